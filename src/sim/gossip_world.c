/* Steps of nodes, what follows from them, and how the nodes begin. */
#include "sim/gossip_world.h"

#include "base/checksum.h"
#include "wire/frame.h"
#include "wire/peer.h"

#include <stdio.h>

enum {
    SECOND = 1000000,
    SETTINGS = 8, /* From the start. */
    MAIL_AGAIN_US = 200000,
    TOKENS_MAX = PENDINGS_MAX,
    /* Nodes that have a load to tell: they fill everybody's messages as well as all would, and the
     * memory for what each node heard of each other stays small. */
    LOADED_MAX = 1000,
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

struct node_id gossip_world_id(uint32_t n)
{
    return (struct node_id){checksum_pair(n, 1), n + 1};
}

uint32_t gossip_world_index(struct node_id id)
{
    return (uint32_t)id.lo - 1;
}

static bool is_up(const struct core *core, struct node_id id)
{
    const struct gossip_world *world = core->detector;
    return world->up[gossip_world_index(id)];
}

/* ----------------------------------------------------------------------------------- Steps. */

static void schedule(struct gossip_world *world, struct occurrence *occurrence, uint64_t delay)
{
    heap_set(&world->occurrences, &occurrence->heap, world->now + delay);
}

static uint64_t draw_delay(struct gossip_world *world)
{
    return 1000 + prng_below(&world->prng, 9000);
}

static void carry_out_send(struct gossip_world *world, struct node_id from,
                           const struct effect *effect)
{
    ASSERT(!id_none(effect->send.to));
    buf_clear(&world->bytes);
    int status = message_encode(effect->send.message, &world->bytes);
    ASSERT(status == 0);
    size_t size = world->bytes.size;
    world->sums.bytes += size;
    world->sums.messages++;
    world->message_bytes = MAX(world->message_bytes, size);
    bool lost = prng_unit(&world->prng) < world->loss;
    uint64_t delay = draw_delay(world);
    uint32_t to = gossip_world_index(effect->send.to);
    if (lost || !world->up[to])
        return;
    struct arrival *arrival = mem_alloc(sizeof(*arrival) + size);
    *arrival = (struct arrival){
        .occurrence = {.kind = ARRIVAL, .to = to}, .from = from, .size = (uint32_t)size};
    memcpy(arrival->bytes, world->bytes.data, size);
    schedule(world, &arrival->occurrence, delay);
}

void gossip_world_begin_step(struct gossip_world *world, struct gossip_node *node)
{
    node->core.out = &world->effects;
    node->core.now =
        (struct moment){.us = world->now, .wall_ms = 1700000000000u + world->now / 1000};
}

/* What a step sends and stores. The disk answers at once, in a step of its own. */
static void carry_out(struct gossip_world *world, struct gossip_node *node)
{
    uint64_t tokens[TOKENS_MAX];
    uint32_t tokens_count = 0;
    for (uint32_t i = 0; i < world->effects.count; i++) {
        const struct effect *effect = &world->effects.items[i];
        ASSERT(effect->type != EFFECT_HALT);
        if (effect->type == EFFECT_SEND)
            carry_out_send(world, node->core.self, effect);
        if (effect->type == EFFECT_STORE && effect->store->token != token_of(OWNER_GOSSIP, 0)) {
            ASSERT(tokens_count < TOKENS_MAX);
            tokens[tokens_count++] = effect->store->token;
        }
    }
    effects_reset(&world->effects);
    for (uint32_t i = 0; i < tokens_count; i++) {
        gossip_world_begin_step(world, node);
        gossip_durable(&node->gossip, &node->core, tokens[i]);
        gossip_world_end_step(world, node);
    }
}

void gossip_world_end_step(struct gossip_world *world, struct gossip_node *node)
{
    node->core.signals_count = 0;
    carry_out(world, node);
    const struct heap_node *timer = heap_peek(&node->core.timers);
    if (timer && world->up[node->wake.to] && timer->time != node->wake.heap.time)
        heap_set(&world->occurrences, &node->wake.heap, timer->time);
}

/* ------------------------------------------------------------------------------ Occurrences. */

/* Told anew each second, as the product does. */
static void set_load(struct gossip_world *world, struct gossip_node *node)
{
    if (node->wake.to >= LOADED_MAX)
        return;
    uint64_t live = (1ull << 36) + prng_below(&world->prng, 1ull << 35);
    struct load load = {.ops_per_s = 5000 + (uint32_t)prng_below(&world->prng, 10000),
                        .cpu_permille = (uint32_t)prng_below(&world->prng, 1000),
                        .live_bytes = live,
                        .file_bytes = live * 2,
                        .free_bytes = 1ull << 38,
                        .p99_us = 1000 + (uint32_t)prng_below(&world->prng, 5000),
                        .hlc_floor = hlc_at(1700000000000u + world->now / 1000)};
    gossip_set_load(&node->gossip, &node->core, &load);
}

static void wake(struct gossip_world *world, struct gossip_node *node)
{
    gossip_world_begin_step(world, node);
    set_load(world, node);
    struct timer *timer = (struct timer *)heap_peek(&node->core.timers);
    heap_remove(&node->core.timers, &timer->node);
    timer->fire(&node->core, timer->machine, timer);
    gossip_world_end_step(world, node);
}

static void arrive(struct gossip_world *world, struct gossip_node *node,
                   const struct arrival *arrival)
{
    struct message message;
    struct slice payload =
        slice_of(arrival->bytes + FRAME_HEADER_SIZE, arrival->size - FRAME_HEADER_SIZE);
    int status = message_decode(payload, &world->arena, 1u << WORLD_RANGE_BITS, &message);
    ASSERT(status == 0);
    uint64_t news = node->core.counters.gossip_news;
    gossip_world_begin_step(world, node);
    gossip_message(&node->gossip, &node->core, arrival->from, &message);
    gossip_world_end_step(world, node);
    arena_reset(&world->arena);
    if (node->core.counters.gossip_news != news)
        world->news(world, gossip_world_index(node->core.self));
}

/* As a member of the range does that the chooser writes to: it takes the record in, and leaves it
 * to the chooser to spread it. */
static void take_mail(struct gossip_world *world, struct gossip_node *node, const struct mail *mail)
{
    if (ring_merge(&node->core.ring, &mail->record))
        world->news(world, gossip_world_index(node->core.self));
}

static void happen(struct gossip_world *world, struct occurrence *occurrence)
{
    struct gossip_node *node = &world->nodes[occurrence->to];
    heap_remove(&world->occurrences, &occurrence->heap);
    bool up = world->up[occurrence->to];
    if (occurrence->kind == WAKE) {
        ASSERT(up);
        wake(world, node);
        return;
    }
    if (up && occurrence->kind == ARRIVAL)
        arrive(world, node, (const struct arrival *)occurrence);
    if (up && occurrence->kind == MAIL)
        take_mail(world, node, (const struct mail *)occurrence);
    mem_free(occurrence);
}

void gossip_world_run(struct gossip_world *world, uint64_t until)
{
    struct heap_node *first;
    uint64_t from = world->now;
    while ((first = heap_peek(&world->occurrences)) != NULL && first->time <= until) {
        world->now = first->time;
        happen(world, (struct occurrence *)first);
    }
    world->now = until;
    world->sums.node_us += (double)(until - from) * world->running;
}

void gossip_world_mail(struct gossip_world *world, const struct range_record *record, uint32_t to)
{
    struct mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct mail){.occurrence = {.kind = MAIL, .to = to}, .record = *record};
    uint64_t delay = draw_delay(world);
    while (prng_unit(&world->prng) < world->loss)
        delay += MAIL_AGAIN_US;
    schedule(world, &mail->occurrence, delay);
}

void gossip_world_stop(struct gossip_world *world, uint32_t n)
{
    world->up[n] = false;
    world->running--;
    heap_remove(&world->occurrences, &world->nodes[n].wake.heap);
}

/* ------------------------------------------------------------------------------- The world. */

struct range_record gossip_world_record(struct gossip_world *world, uint32_t range, uint64_t epoch)
{
    struct range_record record = {.range = range, .epoch = epoch};
    record.slots_count = WORLD_RECORD_MEMBERS;
    uint64_t first = prng_below(&world->prng, world->count);
    for (uint32_t i = 0; i < WORLD_RECORD_MEMBERS; i++) {
        uint32_t n = (uint32_t)((first + i) % world->count);
        record.slots[i] = (struct slot){(uint8_t)i, STAGE_STABLE, gossip_world_id(n), NODE_NONE};
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
    return (struct member){.id = gossip_world_id(n),
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
    struct range_record records[1 << WORLD_RANGE_BITS];
};

static void make_common(struct gossip_world *world, struct common *common)
{
    member_table_init(&common->members);
    for (uint32_t n = 0; n < world->count; n++) {
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
                                  .writer = gossip_world_id(0),
                                  .value = slice_string("policy=newest r=2 w=2")};
        setting_merge(&common->settings, &setting);
    }
    for (uint32_t range = 0; range < 1u << WORLD_RANGE_BITS; range++)
        common->records[range] = gossip_world_record(world, range, 1);
}

static void start_node(struct gossip_world *world, uint32_t n, const struct common *common)
{
    struct gossip_node *node = &world->nodes[n];
    struct core *core = &node->core;
    struct cluster cluster = {
        .id = {77, 77}, .range_bits = WORLD_RANGE_BITS, .copies = WORLD_RECORD_MEMBERS};
    *core = (struct core){.self = gossip_world_id(n), .generation = 1, .timing = timing_default};
    core_init(core);
    prng_init(&core->prng, prng_next(&world->prng));
    core_join(core, &cluster);
    member_table_copy(&core->members, &common->members);
    for (uint32_t i = 0; i < common->settings.count; i++)
        setting_merge(&core->settings, common->settings.settings[i]);
    for (uint32_t range = 0; range < 1u << WORLD_RANGE_BITS; range++)
        ring_merge(&core->ring, &common->records[range]);
    core->peer_is_up = is_up;
    core->detector = world;

    struct self_text text;
    struct member self = member_of(n, &text);
    gossip_init(&node->gossip, &self, NULL, 0);
    node->gossip.version = 1; /* All know its record; it was published long ago. */
    world->up[n] = true;
    node->wake = (struct occurrence){.kind = WAKE, .to = n};
    gossip_world_begin_step(world, node);
    node->core.now.us += prng_below(&world->prng, timing_default.gossip_us);
    gossip_start(&node->gossip, core);
    gossip_world_end_step(world, node);
}

void gossip_world_start(struct gossip_world *world, uint64_t seed)
{
    uint32_t count = world->count;
    prng_init(&world->prng, seed);
    world->now = SECOND;
    world->running = count;
    world->nodes = mem_zero(count * sizeof(*world->nodes));
    world->up = mem_zero(count * sizeof(*world->up));
    struct common *common = mem_zero(sizeof(*common));
    make_common(world, common);
    for (uint32_t n = 0; n < count; n++)
        start_node(world, n, common);
    member_table_done(&common->members);
    setting_table_done(&common->settings);
    mem_free(common);
}

void gossip_world_end(struct gossip_world *world)
{
    for (struct heap_node *first; (first = heap_peek(&world->occurrences)) != NULL;) {
        heap_remove(&world->occurrences, first);
        if (((struct occurrence *)first)->kind != WAKE)
            mem_free(first);
    }
    for (uint32_t n = 0; n < world->count; n++) {
        gossip_done(&world->nodes[n].gossip);
        core_done(&world->nodes[n].core);
    }
    mem_free(world->nodes);
    mem_free(world->up);
    heap_done(&world->occurrences);
    effects_done(&world->effects);
    buf_done(&world->bytes);
    arena_done(&world->arena);
    *world = (struct gossip_world){0};
}
