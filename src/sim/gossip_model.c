/* One world after the other: warm up, idle, change, and wait until all know. */
#include "sim/gossip_model.h"

#include "sim/gossip_world.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SECOND = 1000000,
    WARM_US = 5 * SECOND,
    IDLE_US = 10 * SECOND,
    GAP_US = SECOND,       /* Mean, between two changes. */
    LAST_US = 60 * SECOND, /* Who does not know the last change then never will. */
};

struct change {
    enum change_kind kind;
    uint64_t begun_us;
    uint32_t missing; /* Running nodes that do not know it. */
    bool *known;      /* Owned; by node; NULL once all know. */
    struct node_id id;
    uint64_t version; /* Of the member, of the range. */
    uint32_t range;
    char name[32];
};

/* Sums over all worlds. */
struct phase {
    struct gossip_sums sums;
    uint64_t cpu_us;
};

struct model {
    struct gossip_world world; /* The present one. */
    const struct gossip_model_options *options;
    uint32_t *order; /* Owned; all nodes, shuffled. */
    uint32_t order_next;
    struct change *changes; /* Owned. */
    uint32_t changes_count;
    uint32_t active_first; /* All changes before are known to all. */
    /* Over all worlds: */
    double *rounds[CHANGE_KINDS]; /* Owned. */
    uint32_t rounds_count[CHANGE_KINDS];
    struct phase idle, busy, other;
    uint64_t cpu_us; /* When the present phase began. */
    struct gossip_figures *figures;
};

const char *change_kind_name(enum change_kind kind)
{
    static const char *const names[CHANGE_KINDS] = {"member", "setting", "record", "departure"};
    return names[kind];
}

/* ---------------------------------------------------------------------------- Who knows what. */

static bool knows(const struct gossip_node *node, const struct change *change)
{
    const struct core *core = &node->core;
    const struct member *member;
    switch (change->kind) {
    case CHANGE_MEMBER:
        member = member_find(&core->members, change->id);
        return member ? member->version >= change->version
                      : member_departed(&core->members, change->id);
    case CHANGE_SETTING:
        return setting_find(&core->settings, slice_string(change->name)) != NULL;
    case CHANGE_RECORD:
        return ring_get(&core->ring, change->range)->epoch >= change->version;
    case CHANGE_DEPARTURE:
        return member_departed(&core->members, change->id);
    }
    return false;
}

static void learned(struct model *model, struct change *change, uint32_t n)
{
    change->known[n] = true;
    if (--change->missing > 0)
        return;
    double rounds =
        (double)(model->world.now - change->begun_us) / (double)timing_default.gossip_us;
    model->rounds[change->kind][model->rounds_count[change->kind]++] = rounds;
    mem_free(change->known);
    change->known = NULL;
    while (model->active_first < model->changes_count && !model->changes[model->active_first].known)
        model->active_first++;
}

static void note_news(struct gossip_world *world, uint32_t n)
{
    struct model *model = (struct model *)world; /* Its first member. */
    for (uint32_t i = model->active_first; i < model->changes_count; i++) {
        struct change *change = &model->changes[i];
        if (change->known && !change->known[n] && knows(&world->nodes[n], change))
            learned(model, change, n);
    }
}

/* ---------------------------------------------------------------------------------- Changes. */

/* A running node that no other change of this world began at: what a node tells nobody before it
 * dies cannot spread. */
static uint32_t draw_node(struct model *model)
{
    ASSERT(model->order_next < model->world.count);
    return model->order[model->order_next++];
}

static void publish(struct model *model, struct change *change)
{
    struct gossip_world *world = &model->world;
    struct gossip_node *node = &world->nodes[draw_node(model)];
    change->id = node->core.self;
    gossip_world_begin_step(world, node);
    gossip_publish(&node->gossip, &node->core, MEMBER_UP);
    change->version = node->gossip.version;
    gossip_world_end_step(world, node);
    note_news(world, gossip_world_index(change->id));
}

static void set(struct model *model, struct change *change)
{
    struct gossip_world *world = &model->world;
    uint32_t n = draw_node(model);
    struct gossip_node *node = &world->nodes[n];
    snprintf(change->name, sizeof(change->name), "config/%u", model->changes_count);
    struct command command = {.type = COMMAND_SET,
                              .name = slice_string(change->name),
                              .value = slice_string("a value of some length")};
    gossip_world_begin_step(world, node);
    gossip_set(&node->gossip, &node->core, 0, &command);
    gossip_world_end_step(world, node);
    note_news(world, n);
}

/* The reader of a range's lowest slot finds that its record was chosen. */
static void choose(struct model *model, struct change *change)
{
    struct gossip_world *world = &model->world;
    uint32_t n = draw_node(model);
    struct gossip_node *node = &world->nodes[n];
    change->range = model->changes_count % (1u << WORLD_RANGE_BITS);
    change->version = ring_get(&node->core.ring, change->range)->epoch;
    for (uint32_t i = 0; i + 1 < model->changes_count; i++) /* It may not know the last one. */
        if (model->changes[i].kind == CHANGE_RECORD && model->changes[i].range == change->range)
            change->version = MAX(change->version, model->changes[i].version);
    change->version++;
    struct range_record record = gossip_world_record(world, change->range, change->version);
    if (!id_equal(record.slots[1].owner, node->core.self) &&
        !id_equal(record.slots[2].owner, node->core.self))
        record.slots[0].owner = node->core.self;
    gossip_world_begin_step(world, node);
    ring_merge(&node->core.ring, &record);
    gossip_spread_record(&node->gossip, &node->core, change->range);
    gossip_world_end_step(world, node);
    note_news(world, n);
    for (uint32_t i = 0; i < WORLD_RECORD_MEMBERS; i++)
        gossip_world_mail(world, &record, gossip_world_index(record.slots[i].owner));
}

/* It knows nothing any more, and nobody waits for it. */
static void stop_node(struct model *model, uint32_t n)
{
    gossip_world_stop(&model->world, n);
    for (uint32_t i = model->active_first; i < model->changes_count; i++)
        if (model->changes[i].known && !model->changes[i].known[n])
            learned(model, &model->changes[i], n);
}

static void depart(struct model *model, struct change *change)
{
    struct gossip_world *world = &model->world;
    uint32_t n = draw_node(model);
    struct gossip_node *node = &world->nodes[n];
    gossip_world_begin_step(world, node);
    gossip_depart(&node->gossip, &node->core, 0, change->id, DEPARTURE_REMOVED);
    gossip_world_end_step(world, node);
    note_news(world, n);
}

static void make_change(struct model *model, enum change_kind kind)
{
    struct gossip_world *world = &model->world;
    struct change *change = &model->changes[model->changes_count];
    *change = (struct change){.kind = kind, .begun_us = world->now};
    if (kind == CHANGE_DEPARTURE) {
        uint32_t victim = draw_node(model);
        stop_node(model, victim);
        change->id = gossip_world_id(victim);
    }
    change->known = mem_zero(world->count * sizeof(*change->known));
    change->missing = world->running;
    for (uint32_t n = 0; n < world->count; n++)
        change->known[n] = !world->up[n];
    model->changes_count++;
    if (kind == CHANGE_MEMBER)
        publish(model, change);
    else if (kind == CHANGE_SETTING)
        set(model, change);
    else if (kind == CHANGE_RECORD)
        choose(model, change);
    else
        depart(model, change);
}

/* ----------------------------------------------------------------------------------- A run. */

static uint64_t cpu_us(const struct model *model)
{
    return model->options->cpu_us ? model->options->cpu_us() : 0;
}

static void begin_phase(struct model *model)
{
    model->world.sums = (struct gossip_sums){0};
    model->cpu_us = cpu_us(model);
}

static void end_phase(struct model *model, struct phase *phase)
{
    const struct gossip_sums *sums = &model->world.sums;
    phase->sums.bytes += sums->bytes;
    phase->sums.messages += sums->messages;
    phase->sums.node_us += sums->node_us;
    phase->cpu_us += cpu_us(model) - model->cpu_us;
    model->figures->messages += sums->messages;
}

static bool tables_equal(const struct core *a, const struct core *b)
{
    return memcmp(a->members.hashes, b->members.hashes, sizeof(a->members.hashes)) == 0 &&
           memcmp(a->settings.hashes, b->settings.hashes, sizeof(a->settings.hashes)) == 0 &&
           memcmp(a->ring.hashes, b->ring.hashes, sizeof(a->ring.hashes)) == 0;
}

static uint32_t count_different(const struct gossip_world *world)
{
    const struct core *first = NULL;
    uint32_t different = 0;
    for (uint32_t n = 0; n < world->count; n++) {
        if (!world->up[n])
            continue;
        first = first ? first : &world->nodes[n].core;
        different += !tables_equal(first, &world->nodes[n].core);
    }
    return different;
}

static void shuffle(struct model *model)
{
    uint32_t count = model->world.count;
    model->order = mem_alloc(count * sizeof(*model->order));
    model->order_next = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)prng_below(&model->world.prng, i + 1);
        model->order[i] = model->order[at];
        model->order[at] = i;
    }
}

static void run_phase(struct model *model, uint64_t us, struct phase *phase)
{
    begin_phase(model);
    gossip_world_run(&model->world, model->world.now + us);
    end_phase(model, phase);
}

static void make_changes(struct model *model, uint32_t count)
{
    struct gossip_world *world = &model->world;
    model->changes = mem_zero(count * sizeof(*model->changes));
    begin_phase(model);
    for (uint32_t i = 0; i < count; i++) {
        make_change(model, (enum change_kind)(i % CHANGE_KINDS));
        gossip_world_run(world, world->now + prng_below(&world->prng, 2 * GAP_US));
    }
    end_phase(model, &model->busy);
}

/* What did not spread, and free the changes. */
static void end_changes(struct model *model)
{
    for (uint32_t i = 0; i < model->changes_count; i++) {
        model->figures->unknown += model->changes[i].known != NULL;
        mem_free(model->changes[i].known);
    }
    mem_free(model->changes);
    model->changes = NULL;
    model->changes_count = 0;
    model->active_first = 0;
}

static void run_world(struct model *model, uint64_t seed, uint32_t changes)
{
    struct gossip_world *world = &model->world;
    struct gossip_figures *figures = model->figures;
    *world = (struct gossip_world){
        .count = model->options->nodes, .loss = model->options->loss, .news = note_news};
    gossip_world_start(world, seed);
    shuffle(model);
    uint64_t begun = world->now;
    run_phase(model, WARM_US, &model->other);
    run_phase(model, IDLE_US, &model->idle);
    make_changes(model, changes * CHANGE_KINDS);
    uint64_t last = world->now + LAST_US;
    while (model->active_first < model->changes_count && world->now < last)
        run_phase(model, SECOND, &model->other);
    end_changes(model);
    figures->different += count_different(world);
    figures->virtual_s += (double)(world->now - begun) / SECOND;
    figures->message_bytes = MAX(figures->message_bytes, world->message_bytes);
    gossip_world_end(world);
    mem_free(model->order);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* By nearest rank. */
static struct gossip_rounds rounds_of(double *rounds, uint32_t count)
{
    if (count == 0)
        return (struct gossip_rounds){0};
    qsort(rounds, count, sizeof(*rounds), compare_doubles);
    return (struct gossip_rounds){.p50 = rounds[(count * 50 + 99) / 100 - 1],
                                  .p99 = rounds[(count * 99 + 99) / 100 - 1],
                                  .max = rounds[count - 1],
                                  .count = count};
}

static struct gossip_traffic traffic_of(const struct phase *phase)
{
    double node_s = phase->sums.node_us / SECOND;
    return (struct gossip_traffic){.bytes = (double)phase->sums.bytes / node_s,
                                   .messages = (double)phase->sums.messages / node_s,
                                   .cpu_us = (double)phase->cpu_us / node_s};
}

static void take_figures(struct model *model)
{
    struct gossip_figures *figures = model->figures;
    double *all = NULL;
    uint32_t count = 0;
    for (uint32_t kind = 0; kind < CHANGE_KINDS; kind++) {
        figures->kinds[kind] = rounds_of(model->rounds[kind], model->rounds_count[kind]);
        all = mem_grow(all, (count + model->rounds_count[kind] + 1) * sizeof(*all));
        for (uint32_t i = 0; i < model->rounds_count[kind]; i++)
            all[count++] = model->rounds[kind][i];
    }
    figures->all = rounds_of(all, count);
    figures->idle = traffic_of(&model->idle);
    figures->busy = traffic_of(&model->busy);
    mem_free(all);
}

void gossip_model_run(const struct gossip_model_options *options,
                      struct gossip_figures *ret_figures)
{
    ASSERT(options->nodes >= MODEL_NODES_MIN && options->nodes <= MODEL_NODES_MAX);
    ASSERT(options->loss >= 0 && options->loss < 1);
    *ret_figures = (struct gossip_figures){0};
    struct model model = {.options = options, .figures = ret_figures};
    uint32_t changes = options->changes > 0 ? options->changes : options->nodes > 1000 ? 25 : 100;
    /* A world loses a tenth of its nodes at most. */
    uint32_t changes_each = MIN(changes, options->nodes / 10);
    ret_figures->worlds = (changes + changes_each - 1) / changes_each;
    for (uint32_t kind = 0; kind < CHANGE_KINDS; kind++)
        model.rounds[kind] =
            mem_alloc(ret_figures->worlds * changes_each * sizeof(*model.rounds[kind]));
    struct prng seeds;
    prng_init(&seeds, options->seed);
    for (uint32_t i = 0; i < ret_figures->worlds; i++)
        run_world(&model, prng_next(&seeds), changes_each);
    take_figures(&model);
    for (uint32_t kind = 0; kind < CHANGE_KINDS; kind++)
        mem_free(model.rounds[kind]);
}
