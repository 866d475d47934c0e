/* One world after the other: warm up, idle, change, and wait until all know. */
#include "sim/gossip_model.h"

#include "base/checksum.h"
#include "core/gossip.h"
#include "wire/frame.h"
#include "wire/peer.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SECOND = 1000000,
    WARM_US = 5 * SECOND,
    IDLE_US = 10 * SECOND,
    GAP_US = SECOND,       /* Mean, between two changes. */
    LAST_US = 60 * SECOND, /* Who does not know the last change then never will. */
    RANGE_BITS = 6,
    SETTINGS = 8, /* From the start. */
    RECORD_MEMBERS = 3,
    MAIL_AGAIN_US = 200000, /* A lost CHOSEN is sent again. */
    TOKENS_MAX = PENDINGS_MAX,
};

/* What is to happen. */
struct occurrence {
    struct heap_node heap;
    enum { WAKE, ARRIVAL, MAIL } kind;
    uint32_t to;
};

struct arrival {
    struct occurrence occurrence;
    struct node_id from;
    uint32_t size;
    uint8_t bytes[];
};

struct mail {
    struct occurrence occurrence;
    struct range_record record;
};

struct model_node {
    struct occurrence wake;
    struct core core;
    struct gossip gossip;
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
    uint64_t bytes, messages, cpu_us;
    double node_us;
};

struct model {
    const struct gossip_model_options *options;
    uint64_t now;
    uint32_t count, running;
    struct model_node *nodes; /* Owned. */
    bool *up;                 /* Owned; by node, does it run? */
    struct prng prng;
    struct heap occurrences;
    struct effects effects;
    struct buf bytes;
    struct arena arena; /* Of a decoded message. */
    uint32_t *order;    /* Owned; all nodes, shuffled. */
    uint32_t order_next;
    struct change *changes; /* Owned. */
    uint32_t changes_count;
    uint32_t active_first; /* All changes before are known to all. */
    double *rounds[CHANGE_KINDS];
    uint32_t rounds_count[CHANGE_KINDS];
    struct phase now_sums, idle, busy;
    struct gossip_figures *figures;
};

const char *change_kind_name(enum change_kind kind)
{
    static const char *const names[CHANGE_KINDS] = {"member", "setting", "record", "departure"};
    return names[kind];
}

static struct node_id node_of(uint32_t n)
{
    return (struct node_id){checksum_pair(n, 1), n + 1};
}

static uint32_t index_of(struct node_id id)
{
    return (uint32_t)id.lo - 1;
}

static bool is_up(const struct core *core, struct node_id id)
{
    const struct model *model = core->detector;
    return model->up[index_of(id)];
}

/* ---------------------------------------------------------------------------- Who knows what. */

static bool knows(const struct model_node *node, const struct change *change)
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
    double rounds = (double)(model->now - change->begun_us) / (double)timing_default.gossip_us;
    model->rounds[change->kind][model->rounds_count[change->kind]++] = rounds;
    mem_free(change->known);
    change->known = NULL;
    while (model->active_first < model->changes_count && !model->changes[model->active_first].known)
        model->active_first++;
}

static void note_news(struct model *model, uint32_t n)
{
    for (uint32_t i = model->active_first; i < model->changes_count; i++) {
        struct change *change = &model->changes[i];
        if (change->known && !change->known[n] && knows(&model->nodes[n], change))
            learned(model, change, n);
    }
}

/* ----------------------------------------------------------------------------------- Steps. */

static void schedule(struct model *model, struct occurrence *occurrence, uint64_t delay)
{
    heap_set(&model->occurrences, &occurrence->heap, model->now + delay);
}

static uint64_t draw_delay(struct model *model)
{
    return 1000 + prng_below(&model->prng, 9000);
}

static void carry_out_send(struct model *model, struct node_id from, const struct effect *effect)
{
    ASSERT(!id_none(effect->send.to));
    buf_clear(&model->bytes);
    int status = message_encode(effect->send.message, &model->bytes);
    ASSERT(status == 0);
    size_t size = model->bytes.size;
    model->now_sums.bytes += size;
    model->now_sums.messages++;
    model->figures->message_bytes = MAX(model->figures->message_bytes, size);
    bool lost = prng_unit(&model->prng) < model->options->loss;
    uint64_t delay = draw_delay(model);
    uint32_t to = index_of(effect->send.to);
    if (lost || !model->up[to])
        return;
    struct arrival *arrival = mem_alloc(sizeof(*arrival) + size);
    *arrival = (struct arrival){
        .occurrence = {.kind = ARRIVAL, .to = to}, .from = from, .size = (uint32_t)size};
    memcpy(arrival->bytes, model->bytes.data, size);
    schedule(model, &arrival->occurrence, delay);
}

static void begin_step(struct model *model, struct model_node *node)
{
    node->core.out = &model->effects;
    node->core.now = (struct moment){model->now, 1700000000000u + model->now / 1000};
}

static void end_step(struct model *model, struct model_node *node);

/* What a step sends and stores. The disk answers at once, in a step of its own. */
static void carry_out(struct model *model, struct model_node *node)
{
    uint64_t tokens[TOKENS_MAX];
    uint32_t tokens_count = 0;
    for (uint32_t i = 0; i < model->effects.count; i++) {
        const struct effect *effect = &model->effects.items[i];
        ASSERT(effect->type != EFFECT_HALT);
        if (effect->type == EFFECT_SEND)
            carry_out_send(model, node->core.self, effect);
        if (effect->type == EFFECT_STORE && effect->store->token != token_of(OWNER_GOSSIP, 0)) {
            ASSERT(tokens_count < TOKENS_MAX);
            tokens[tokens_count++] = effect->store->token;
        }
    }
    effects_reset(&model->effects);
    for (uint32_t i = 0; i < tokens_count; i++) {
        begin_step(model, node);
        gossip_durable(&node->gossip, &node->core, tokens[i]);
        end_step(model, node);
    }
}

static void end_step(struct model *model, struct model_node *node)
{
    node->core.signals_count = 0;
    carry_out(model, node);
    const struct heap_node *timer = heap_peek(&node->core.timers);
    if (timer && model->up[node->wake.to] && timer->time != node->wake.heap.time)
        heap_set(&model->occurrences, &node->wake.heap, timer->time);
}

/* ------------------------------------------------------------------------------ Occurrences. */

/* Told anew each second, as the product does. */
static void set_load(struct model *model, struct model_node *node)
{
    uint64_t live = (1ull << 36) + prng_below(&model->prng, 1ull << 35);
    struct load load = {.ops_per_s = 5000 + (uint32_t)prng_below(&model->prng, 10000),
                        .cpu_permille = (uint32_t)prng_below(&model->prng, 1000),
                        .live_bytes = live,
                        .file_bytes = live * 2,
                        .free_bytes = 1ull << 38,
                        .p99_us = 1000 + (uint32_t)prng_below(&model->prng, 5000),
                        .hlc_floor = hlc_at(1700000000000u + model->now / 1000)};
    gossip_set_load(&node->gossip, &node->core, &load);
}

static void wake(struct model *model, struct model_node *node)
{
    begin_step(model, node);
    set_load(model, node);
    struct timer *timer = (struct timer *)heap_peek(&node->core.timers);
    heap_remove(&node->core.timers, &timer->node);
    timer->fire(&node->core, timer->machine, timer);
    end_step(model, node);
}

static void arrive(struct model *model, struct model_node *node, const struct arrival *arrival)
{
    struct message message;
    struct slice payload =
        slice_of(arrival->bytes + FRAME_HEADER_SIZE, arrival->size - FRAME_HEADER_SIZE);
    int status = message_decode(payload, &model->arena, 1u << RANGE_BITS, &message);
    ASSERT(status == 0);
    uint64_t news = node->core.counters.gossip_news;
    begin_step(model, node);
    gossip_message(&node->gossip, &node->core, arrival->from, &message);
    end_step(model, node);
    arena_reset(&model->arena);
    if (node->core.counters.gossip_news != news)
        note_news(model, index_of(node->core.self));
}

/* As a member of the range does that the chooser writes to: it takes the record in, and leaves it
 * to the chooser to spread it. */
static void take_mail(struct model *model, struct model_node *node, const struct mail *mail)
{
    if (ring_merge(&node->core.ring, &mail->record))
        note_news(model, index_of(node->core.self));
}

static void happen(struct model *model, struct occurrence *occurrence)
{
    struct model_node *node = &model->nodes[occurrence->to];
    heap_remove(&model->occurrences, &occurrence->heap);
    bool up = model->up[occurrence->to];
    if (occurrence->kind == WAKE) {
        ASSERT(up);
        wake(model, node);
        return;
    }
    if (up && occurrence->kind == ARRIVAL)
        arrive(model, node, (const struct arrival *)occurrence);
    if (up && occurrence->kind == MAIL)
        take_mail(model, node, (const struct mail *)occurrence);
    mem_free(occurrence);
}

static void run_until(struct model *model, uint64_t until)
{
    struct heap_node *first;
    uint64_t from = model->now;
    while ((first = heap_peek(&model->occurrences)) != NULL && first->time <= until) {
        model->now = first->time;
        happen(model, (struct occurrence *)first);
    }
    model->now = until;
    model->now_sums.node_us += (double)(until - from) * model->running;
}

/* ------------------------------------------------------------------------------- The world. */

static struct range_record record_of(struct model *model, uint32_t range, uint64_t epoch)
{
    struct range_record record = {.range = range, .epoch = epoch};
    record.slots_count = RECORD_MEMBERS;
    uint64_t first = prng_below(&model->prng, model->count);
    for (uint32_t i = 0; i < RECORD_MEMBERS; i++) {
        uint32_t n = (uint32_t)((first + i) % model->count);
        record.slots[i] = (struct slot){(uint8_t)i, STAGE_STABLE, node_of(n), NODE_NONE};
    }
    return record;
}

/* Strings such as a cluster of this size would have. */
struct self_text {
    char name[16], zone[16], peer[32], client[32], http[32];
};

static struct member member_of(uint32_t n, struct self_text *text)
{
    unsigned a = n >> 8 & 255, b = n & 255;
    snprintf(text->name, sizeof(text->name), "node-%05u", n);
    snprintf(text->zone, sizeof(text->zone), "zone-%u", n % 5);
    snprintf(text->peer, sizeof(text->peer), "10.20.%u.%u:7400", a, b);
    snprintf(text->client, sizeof(text->client), "10.20.%u.%u:7379", a, b);
    snprintf(text->http, sizeof(text->http), "10.20.%u.%u:7380", a, b);
    return (struct member){.id = node_of(n),
                           .generation = 1,
                           .version = 1,
                           .capacity = 100,
                           .protocol = 1,
                           .name = slice_string(text->name),
                           .zone = slice_string(text->zone),
                           .peer = slice_string(text->peer),
                           .client = slice_string(text->client),
                           .http = slice_string(text->http)};
}

/* What all nodes know from the start. */
struct common {
    struct member_table members;
    struct setting_table settings;
    struct range_record records[1 << RANGE_BITS];
};

static void make_common(struct model *model, struct common *common)
{
    member_table_init(&common->members);
    for (uint32_t n = 0; n < model->count; n++) {
        struct self_text text;
        struct member member = member_of(n, &text);
        member_merge(&common->members, &member);
    }
    setting_table_init(&common->settings);
    for (uint32_t i = 0; i < SETTINGS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bucket/%u", i);
        struct setting setting = {.name = slice_string(name),
                                  .counter = 1,
                                  .writer = node_of(0),
                                  .value = slice_string("policy=newest r=2 w=2")};
        setting_merge(&common->settings, &setting);
    }
    for (uint32_t range = 0; range < 1u << RANGE_BITS; range++)
        common->records[range] = record_of(model, range, 1);
}

static void start_node(struct model *model, uint32_t n, const struct common *common)
{
    struct model_node *node = &model->nodes[n];
    struct core *core = &node->core;
    struct cluster cluster = {.id = {77, 77}, .range_bits = RANGE_BITS, .copies = RECORD_MEMBERS};
    *core = (struct core){.self = node_of(n), .generation = 1, .timing = timing_default};
    core_init(core);
    prng_init(&core->prng, prng_next(&model->prng));
    core_join(core, &cluster);
    member_table_copy(&core->members, &common->members);
    for (uint32_t i = 0; i < common->settings.count; i++)
        setting_merge(&core->settings, common->settings.settings[i]);
    for (uint32_t range = 0; range < 1u << RANGE_BITS; range++)
        ring_merge(&core->ring, &common->records[range]);
    core->peer_is_up = is_up;
    core->detector = model;

    struct self_text text;
    struct member self = member_of(n, &text);
    gossip_init(&node->gossip, &self, NULL, 0);
    node->gossip.version = 1; /* All know its record; it was published long ago. */
    model->up[n] = true;
    node->wake = (struct occurrence){.kind = WAKE, .to = n};
    begin_step(model, node);
    node->core.now.us += prng_below(&model->prng, timing_default.gossip_us);
    gossip_start(&node->gossip, core);
    end_step(model, node);
}

static void start_world(struct model *model, uint64_t seed)
{
    uint32_t count = model->count;
    prng_init(&model->prng, seed);
    model->now = SECOND;
    model->running = count;
    model->nodes = mem_zero(count * sizeof(*model->nodes));
    model->up = mem_zero(count * sizeof(*model->up));
    model->order = mem_alloc(count * sizeof(*model->order));
    model->order_next = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)prng_below(&model->prng, i + 1);
        model->order[i] = model->order[at];
        model->order[at] = i;
    }
    struct common *common = mem_zero(sizeof(*common));
    make_common(model, common);
    for (uint32_t n = 0; n < count; n++)
        start_node(model, n, common);
    member_table_done(&common->members);
    setting_table_done(&common->settings);
    mem_free(common);
}

static void end_world(struct model *model)
{
    for (struct heap_node *first; (first = heap_peek(&model->occurrences)) != NULL;) {
        heap_remove(&model->occurrences, first);
        if (((struct occurrence *)first)->kind != WAKE)
            mem_free(first);
    }
    for (uint32_t n = 0; n < model->count; n++) {
        gossip_done(&model->nodes[n].gossip);
        core_done(&model->nodes[n].core);
    }
    for (uint32_t i = 0; i < model->changes_count; i++)
        mem_free(model->changes[i].known);
    mem_free(model->changes);
    mem_free(model->nodes);
    mem_free(model->up);
    mem_free(model->order);
    model->changes = NULL;
    model->changes_count = 0;
    model->active_first = 0;
}

/* ---------------------------------------------------------------------------------- Changes. */

/* A running node that no other change of this world began at: what a node tells nobody before it
 * dies cannot spread. */
static uint32_t draw_node(struct model *model)
{
    ASSERT(model->order_next < model->count);
    return model->order[model->order_next++];
}

static void publish(struct model *model, struct change *change)
{
    struct model_node *node = &model->nodes[draw_node(model)];
    change->id = node->core.self;
    begin_step(model, node);
    gossip_publish(&node->gossip, &node->core, MEMBER_UP);
    change->version = node->gossip.version;
    end_step(model, node);
    note_news(model, index_of(change->id));
}

static void set(struct model *model, struct change *change)
{
    uint32_t n = draw_node(model);
    struct model_node *node = &model->nodes[n];
    snprintf(change->name, sizeof(change->name), "config/%u", model->changes_count);
    struct command command = {.type = COMMAND_SET,
                              .name = slice_string(change->name),
                              .value = slice_string("a value of some length")};
    begin_step(model, node);
    gossip_set(&node->gossip, &node->core, 0, &command);
    end_step(model, node);
    note_news(model, n);
}

static void mail_record(struct model *model, const struct range_record *record, uint32_t to)
{
    struct mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct mail){.occurrence = {.kind = MAIL, .to = to}, .record = *record};
    uint64_t delay = draw_delay(model);
    while (prng_unit(&model->prng) < model->options->loss)
        delay += MAIL_AGAIN_US;
    schedule(model, &mail->occurrence, delay);
}

/* The reader of a range's lowest slot finds that its record was chosen. */
static void choose(struct model *model, struct change *change)
{
    uint32_t n = draw_node(model);
    struct model_node *node = &model->nodes[n];
    change->range = model->changes_count % (1u << RANGE_BITS);
    change->version = ring_get(&node->core.ring, change->range)->epoch;
    for (uint32_t i = 0; i + 1 < model->changes_count; i++) /* It may not know the last one. */
        if (model->changes[i].kind == CHANGE_RECORD && model->changes[i].range == change->range)
            change->version = MAX(change->version, model->changes[i].version);
    change->version++;
    struct range_record record = record_of(model, change->range, change->version);
    if (!id_equal(record.slots[1].owner, node->core.self) &&
        !id_equal(record.slots[2].owner, node->core.self))
        record.slots[0].owner = node->core.self;
    begin_step(model, node);
    ring_merge(&node->core.ring, &record);
    gossip_spread_record(&node->gossip, &node->core, change->range);
    end_step(model, node);
    note_news(model, n);
    for (uint32_t i = 0; i < RECORD_MEMBERS; i++)
        mail_record(model, &record, index_of(record.slots[i].owner));
}

/* It knows nothing any more, and nobody waits for it. */
static void stop_node(struct model *model, uint32_t n)
{
    model->up[n] = false;
    model->running--;
    heap_remove(&model->occurrences, &model->nodes[n].wake.heap);
    for (uint32_t i = model->active_first; i < model->changes_count; i++)
        if (model->changes[i].known && !model->changes[i].known[n])
            learned(model, &model->changes[i], n);
}

static void depart(struct model *model, struct change *change)
{
    uint32_t n = draw_node(model);
    struct model_node *node = &model->nodes[n];
    begin_step(model, node);
    gossip_depart(&node->gossip, &node->core, 0, change->id, DEPARTURE_REMOVED);
    end_step(model, node);
    note_news(model, n);
}

static void make_change(struct model *model, enum change_kind kind)
{
    struct change *change = &model->changes[model->changes_count];
    *change = (struct change){.kind = kind, .begun_us = model->now};
    if (kind == CHANGE_DEPARTURE) {
        uint32_t victim = draw_node(model);
        stop_node(model, victim);
        change->id = node_of(victim);
    }
    change->known = mem_zero(model->count * sizeof(*change->known));
    change->missing = model->running;
    for (uint32_t n = 0; n < model->count; n++)
        change->known[n] = !model->up[n];
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
    model->now_sums = (struct phase){.cpu_us = cpu_us(model)};
}

static void end_phase(struct model *model, struct phase *phase)
{
    phase->bytes += model->now_sums.bytes;
    phase->messages += model->now_sums.messages;
    phase->cpu_us += cpu_us(model) - model->now_sums.cpu_us;
    phase->node_us += model->now_sums.node_us;
    model->figures->messages += model->now_sums.messages;
}

static bool tables_equal(const struct core *a, const struct core *b)
{
    return memcmp(a->members.hashes, b->members.hashes, sizeof(a->members.hashes)) == 0 &&
           memcmp(a->settings.hashes, b->settings.hashes, sizeof(a->settings.hashes)) == 0 &&
           memcmp(a->ring.hashes, b->ring.hashes, sizeof(a->ring.hashes)) == 0;
}

static uint32_t count_different(const struct model *model)
{
    const struct core *first = NULL;
    uint32_t different = 0;
    for (uint32_t n = 0; n < model->count; n++) {
        if (!model->up[n])
            continue;
        first = first ? first : &model->nodes[n].core;
        different += !tables_equal(first, &model->nodes[n].core);
    }
    return different;
}

static void run_world(struct model *model, uint64_t seed, uint32_t changes)
{
    start_world(model, seed);
    uint64_t begun = model->now;
    struct phase warm = {0};
    begin_phase(model);
    run_until(model, model->now + WARM_US);
    end_phase(model, &warm);
    begin_phase(model);
    run_until(model, model->now + IDLE_US);
    end_phase(model, &model->idle);
    begin_phase(model);
    model->changes = mem_zero(changes * CHANGE_KINDS * sizeof(*model->changes));
    for (uint32_t i = 0; i < changes * CHANGE_KINDS; i++) {
        make_change(model, (enum change_kind)(i % CHANGE_KINDS));
        run_until(model, model->now + prng_below(&model->prng, 2 * GAP_US));
    }
    end_phase(model, &model->busy);
    begin_phase(model);
    uint64_t last = model->now + LAST_US;
    while (model->active_first < model->changes_count && model->now < last)
        run_until(model, model->now + SECOND);
    end_phase(model, &warm);
    model->figures->unknown += model->changes_count - model->active_first;
    model->figures->different += count_different(model);
    model->figures->virtual_s += (double)(model->now - begun) / SECOND;
    end_world(model);
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
    double node_s = phase->node_us / SECOND;
    return (struct gossip_traffic){.bytes = (double)phase->bytes / node_s,
                                   .messages = (double)phase->messages / node_s,
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
    struct model model = {.options = options, .count = options->nodes, .figures = ret_figures};
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
    heap_done(&model.occurrences);
    effects_done(&model.effects);
    buf_done(&model.bytes);
    arena_done(&model.arena);
}
