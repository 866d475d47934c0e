/* The life of a node: its durable cells, how it starts, joins, drains and stops. */
#include "core/node_private.h"

#include "base/rule.h"

enum { TOKEN_START = 1, TOKEN_JOIN = 2, TOKEN_STOP = 3 };

/* -------------------------------------------------------------------------- Cells of the node. */

/* META_NODE: who this directory is. */
static struct slice identity_encode(struct core *core, const struct cluster *cluster)
{
    struct buf value = {0};
    write_u64(&value, core->self.hi);
    write_u64(&value, core->self.lo);
    write_u64(&value, cluster->id.hi);
    write_u64(&value, cluster->id.lo);
    write_u64(&value, cluster->hash_seed);
    write_u8(&value, cluster->range_bits);
    write_u8(&value, cluster->copies);
    write_string(&value, cluster->name);
    struct slice bytes = core_copy(core, buf_slice(&value));
    buf_done(&value);
    return bytes;
}

int node_identity(const struct meta *metas, uint32_t count, struct node_id *ret_self,
                  struct cluster *ret_cluster)
{
    for (uint32_t i = 0; i < count; i++) {
        if (metas[i].key.size != 1 || metas[i].key.data[0] != META_NODE)
            continue;
        struct reader reader = reader_of(metas[i].value);
        struct node_id self = {.hi = read_u64(&reader)};
        self.lo = read_u64(&reader);
        struct cluster cluster = {.id.hi = read_u64(&reader)};
        cluster.id.lo = read_u64(&reader);
        cluster.hash_seed = read_u64(&reader);
        cluster.range_bits = read_u8(&reader);
        cluster.copies = read_u8(&reader);
        cluster.name = read_string(&reader);
        bool joined = !id_none(cluster.id);
        if (!reader_finished(&reader) || id_none(self) ||
            (joined &&
             (cluster.range_bits < RANGE_BITS_MIN || cluster.range_bits > RANGE_BITS_MAX ||
              cluster.copies < 1 || cluster.copies > SLOTS_MAX)))
            return ERR_CORRUPT;
        *ret_self = self;
        *ret_cluster = cluster;
        return 0;
    }
    return ERR_NOT_FOUND;
}

/* META_COUNTER: the one durable counter, the mark of a clean stop, and what it keeps alive.
 * After an unclean stop all tenures below `tenure_floor` are replaced: the node may have forgotten
 * dots that it issued under them. */
struct counter_cell {
    uint64_t generation;
    bool clean;
    uint64_t dots;
    uint64_t tenure_floor;
};

static struct slice counter_encode(struct core *core, const struct counter_cell *cell)
{
    struct buf value = {0};
    write_varint(&value, cell->generation);
    write_u8(&value, cell->clean);
    write_varint(&value, cell->dots);
    write_varint(&value, cell->tenure_floor);
    struct slice bytes = core_copy(core, buf_slice(&value));
    buf_done(&value);
    return bytes;
}

/* Each shard of the last life had one; those of shards of an earlier life were taken over by it. */
static void counter_add(struct counter_cell *newest, const struct counter_cell *cell)
{
    if (cell->generation > newest->generation) {
        *newest = *cell;
    } else if (cell->generation == newest->generation) {
        newest->clean = newest->clean && cell->clean;
        newest->dots = MAX(newest->dots, cell->dots);
        newest->tenure_floor = MAX(newest->tenure_floor, cell->tenure_floor);
    }
}

static int counter_find(const struct node_options *options, struct counter_cell *ret_cell)
{
    *ret_cell = (struct counter_cell){.clean = true};
    for (uint32_t i = 0; i < options->metas_count; i++) {
        const struct meta *meta = &options->metas[i];
        if (meta->key.size != 1 || meta->key.data[0] != META_COUNTER)
            continue;
        struct reader reader = reader_of(meta->value);
        struct counter_cell cell = {.generation = read_varint(&reader)};
        cell.clean = read_u8(&reader) == 1;
        cell.dots = read_varint(&reader);
        cell.tenure_floor = read_varint(&reader);
        if (!reader_finished(&reader))
            return ERR_CORRUPT;
        counter_add(ret_cell, &cell);
    }
    return 0;
}

static struct meta cell(struct core *core, enum meta_kind kind, struct slice value)
{
    uint8_t key = (uint8_t)kind;
    return (struct meta){core_copy(core, slice_of(&key, 1)), value};
}

static void store_metas(struct core *core, const struct meta *metas, uint32_t count, uint64_t token)
{
    struct store_op *op = core_store(core, STORE_META, token_of(OWNER_NODE, token));
    op->sync = true;
    op->batch.metas = metas;
    op->batch.metas_count = count;
}

/* ----------------------------------------------------------------------------------- Starting. */

/* Of a range that another shard holds its record is knowledge, and the rest nothing to this one. */
static int restore_foreign(struct core *core, const struct meta *meta, enum meta_kind kind)
{
    struct range_record record;
    struct reader reader = reader_of(meta->value);
    if (kind != META_RECORD)
        return 0;
    (void)read_varint(&reader); /* The tenure. */
    record_decode(&reader, &record);
    if (!reader_finished(&reader) || !record_check(&record, ring_ranges(&core->ring)))
        return ERR_CORRUPT;
    ring_merge(&core->ring, &record);
    return 0;
}

static int restore_range(struct node *node, const struct meta *meta, enum meta_kind kind)
{
    if (meta->key.size != 5)
        return ERR_CORRUPT;
    uint32_t range = 0;
    for (int i = 1; i < 5; i++)
        range = range << 8 | meta->key.data[i];
    if (range >= ring_ranges(&node->core.ring))
        return ERR_CORRUPT;
    if (!core_owns(&node->core, range))
        return restore_foreign(&node->core, meta, kind);
    if (kind == META_HORIZON)
        return horizons_restore(&node->horizons, &node->core, range, meta->value);
    if (kind == META_STAGING)
        return transfers_restore(&node->transfers, range, meta->value);
    return registers_restore(&node->registers, &node->core, kind, range, meta->value,
                             node->tenure_floor);
}

/* Take in all cells of KIND; records come before the votes on their successors. */
static int restore_kind(struct node *node, const struct node_options *options, enum meta_kind kind)
{
    for (uint32_t i = 0; i < options->metas_count; i++) {
        const struct meta *meta = &options->metas[i];
        if (meta->key.size < 1 || meta->key.data[0] != kind || meta->value.size == 0)
            continue;
        bool of_range = kind == META_RECORD || kind == META_VOTE || kind == META_STAGING ||
                        kind == META_HORIZON;
        int error = of_range             ? restore_range(node, meta, kind)
                    : kind == META_FLOOR ? horizons_restore_floor(&node->core, meta->value)
                                         : gossip_restore(&node->gossip, &node->core, meta);
        if (error < 0)
            return error;
    }
    return 0;
}

static int restore(struct node *node, const struct node_options *options,
                   const struct cluster *cluster)
{
    if (id_none(cluster->id))
        return 0;
    core_join(&node->core, cluster);
    static const enum meta_kind kinds[] = {META_DEPARTURE, META_MEMBER,  META_SETTING,
                                           META_CHOSEN,    META_RECORD,  META_VOTE,
                                           META_STAGING,   META_HORIZON, META_FLOOR};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        int error = restore_kind(node, options, kinds[i]);
        if (error < 0)
            return error;
    }
    return 0;
}

static void init_machines(struct node *node, const struct node_options *options)
{
    struct member self = {.id = options->self,
                          .capacity = options->capacity == 0 ? 100 : options->capacity,
                          .protocol = 1,
                          .name = options->name,
                          .zone = options->zone,
                          .peer = options->peer,
                          .client = options->client,
                          .http = options->http};
    gossip_init(&node->gossip, &self, options->seeds, options->seeds_count);
    handshake_init(&node->handshake, &node->gossip.self, node->gossip.seeds,
                   node->gossip.seeds_count);
    detector_init(&node->detector);
    registers_init(&node->registers);
    replica_init(&node->replica);
    const uint32_t shards = node->core.shards;
    uint64_t active_max = options->requests_max == 0 ? REQUESTS_MAX : options->requests_max;
    coord_init(&node->coord, MAX((uint32_t)active_max / shards, 1u), &node->core);
    hints_init(&node->hints, options->hints_max / shards, &node->core);
    transfers_init(&node->transfers);
    repairs_init(&node->repairs, &node->core);
    horizons_init(&node->horizons);
    shards_init(node);
    node->core.loads = &node->gossip.loads;
}

static void drain_fire(struct core *core, void *machine, struct timer *timer);

int node_new(const struct node_options *options, struct moment now, struct effects *out,
             struct node **ret_node)
{
    struct node_id self = options->self;
    struct cluster cluster = {0};
    struct counter_cell counter;
    int error = node_identity(options->metas, options->metas_count, &self, &cluster);
    bool fresh = error == ERR_NOT_FOUND;
    if ((error < 0 && !fresh) || (error = counter_find(options, &counter)) < 0)
        return ERR_CORRUPT;

    struct node *node = mem_zero(sizeof(*node));
    struct core *core = &node->core;
    core_init(core);
    core->self = self;
    core->timing = options->timing;
    core->now = now;
    core->started_us = now.us;
    core->out = out;
    prng_init(&core->prng, options->seed);
    core->generation = counter.generation + 1;
    core->shard = options->shard;
    core->shards = MAX(options->shards, (uint8_t)1);
    core->recovered = options->found;
    core->written = options->position;
    core->synced = options->position;
    core->logged = options->position;
    node->drain.fire = drain_fire;
    node->drain.machine = node;
    init_machines(node, options);

    bool clean = options->clean && counter.clean;
    bool remembers = clean || !RULE(TENURE_AFTER_UNCLEAN);
    node->tenure_floor = remembers ? counter.tenure_floor : core->generation << 24;
    node->coord.counter = clean ? counter.dots : 0;
    error = restore(node, options, &cluster);
    if (error < 0) {
        core->out = NULL;
        node_free(node);
        return error;
    }
    if (fresh && options->create) {
        cluster = options->cluster;
        core_join(core, &cluster);
        registers_found(&node->registers, core);
    }
    /* Durable before the first message, mark of the clean stop erased with it. */
    struct counter_cell next = {core->generation, false, node->coord.counter, node->tenure_floor};
    struct meta *metas = core_alloc(core, 2 * sizeof(*metas));
    metas[0] = cell(core, META_COUNTER, counter_encode(core, &next));
    metas[1] = cell(core, META_NODE, identity_encode(core, &core->cluster));
    store_metas(core, metas, core->shard == 0 ? 2 : 1, TOKEN_START);
    if (!RULE(GENERATION_SYNCED))
        node_durable(node, TOKEN_START);
    node_deliver(node);
    core->out = NULL;
    *ret_node = node;
    return 0;
}

void node_free(struct node *node)
{
    struct core *core = &node->core;
    shards_done(node);
    transfers_done(&node->transfers, core);
    repairs_done(&node->repairs, core);
    horizons_done(&node->horizons, core);
    coord_done(&node->coord, core);
    hints_done(&node->hints, core);
    replica_done(&node->replica);
    registers_done(&node->registers, core);
    core_timer_clear(core, &node->pace);
    core_timer_clear(core, &node->handshake.timer);
    handshake_done(&node->handshake);
    detector_done(&node->detector);
    gossip_done(&node->gossip);
    buf_done(&node->joining_name);
    core_done(core);
    mem_free(node);
}

/* A crash may have kept a record that was heard of, and lost that it was installed. */
static void adopt_records(struct node *node)
{
    for (uint32_t range = 0; range < ring_ranges(&node->core.ring); range++)
        registers_adopt(&node->registers, &node->core, range);
}

static void enter_first(struct node *node)
{
    struct core *core = &node->core;
    gossip_publish(&node->gossip, core, MEMBER_UP);
    gossip_start(&node->gossip, core);
    detector_start(&node->detector, core);
    handshake_start(&node->handshake, core);
}

void node_enter(struct node *node)
{
    struct core *core = &node->core;
    node->state = NODE_SYNCING;
    if (core->shard == 0) {
        enter_first(node);
    } else {
        gossip_follow(&node->gossip);
        handshake_follow(&node->handshake, core);
    }
    handshake_judge(core);
    adopt_records(node);
    transfers_start(&node->transfers, core);
    repairs_start(&node->repairs, core);
    hints_start(&node->hints, core);
    horizons_start(&node->horizons, core);
    node_pace_start(node);
    if (core->shards > 1)
        shards_start(node);
}

void node_durable(struct node *node, uint64_t token)
{
    struct core *core = &node->core;
    switch (token_value(token)) {
    case TOKEN_START:
        if (node->state != NODE_STARTING)
            break;
        node->shards.counted = true;
        if (core->shard != 0) {
            if (node->shards.entered)
                node_enter(node);
        } else if (core->holdings != NULL) {
            node_enter(node);
        } else {
            node->state = NODE_JOINING;
            handshake_start(&node->handshake, core);
        }
        break;
    case TOKEN_JOIN:
        core_join(core, &node->joining);
        node_enter(node);
        break;
    default:
        break;
    }
}

void node_join(struct node *node, const struct cluster *cluster)
{
    struct core *core = &node->core;
    if (node->state != NODE_JOINING || !id_none(node->joining.id))
        return;
    node->joining = *cluster;
    buf_append(&node->joining_name, cluster->name);
    node->joining.name = buf_slice(&node->joining_name);
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = cell(core, META_NODE, identity_encode(core, &node->joining));
    store_metas(core, meta, 1, TOKEN_JOIN);
}

/* -------------------------------------------------------------------------------------- Stopping.
 */

static void drain_fire(struct core *core, void *machine, struct timer *timer)
{
    struct node *node = machine;
    if (node->coord.active > 0 || (core->shard == 0 && shards_busy(&node->shards))) {
        core_timer_set(core, timer, core->now.us + core->timing.retry_us / 10);
        return;
    }
    if (core->shard == 0)
        core_reply(core, node->drain_client);
}

void node_drain(struct node *node, uint64_t client)
{
    struct core *core = &node->core;
    node->drain_client = client;
    if (core->holdings != NULL && node->state != NODE_HALTED) {
        if (core->shard == 0)
            gossip_publish(&node->gossip, core, MEMBER_MAINTENANCE);
        node->state = NODE_DRAINING;
    }
    node->coord.draining = true;
    node->transfers.draining = true;
    core->hinted.closed = true;
    /* A moment for the news, so that others stop sending requests here. */
    core_timer_set(core, &node->drain, core->now.us + core->timing.retry_us);
}

void node_stop(struct node *node, struct moment now, struct effects *out)
{
    struct core *core = &node->core;
    core->now = now;
    core->out = out;
    struct counter_cell last = {core->generation, true, node->coord.counter, node->tenure_floor};
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = cell(core, META_COUNTER, counter_encode(core, &last));
    store_metas(core, meta, 1, TOKEN_STOP);
    core->out = NULL;
}
