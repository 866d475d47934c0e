/* The composition: which machine hears of what, in which order a node starts and stops. */
#include "core/node.h"

#include "core/buckets.h"
#include "core/coord.h"
#include "core/detector.h"
#include "core/gossip.h"
#include "core/handshake.h"
#include "core/register.h"
#include "core/repair.h"
#include "core/replica.h"
#include "core/transfer.h"

struct node {
    struct core core;
    struct gossip gossip;
    struct detector detector;
    struct handshake handshake;
    struct registers registers;
    struct replica replica;
    struct coord coord;
    struct transfers transfers;
    struct repairs repairs;
    enum node_state state;
    struct cluster joining;  /* The cluster that is being written down; id none otherwise. */
    struct buf joining_name; /* Owned. */
    uint64_t tenure_floor;   /* See META_COUNTER below. */
    struct timer drain;
    uint64_t drain_client;
};

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
            (joined && (cluster.range_bits < 6 || cluster.range_bits > 16 || cluster.copies < 1 ||
                        cluster.copies > SLOTS_MAX)))
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

static int counter_find(const struct node_options *options, struct counter_cell *ret_cell)
{
    *ret_cell = (struct counter_cell){.clean = true};
    for (uint32_t i = 0; i < options->metas_count; i++) {
        const struct meta *meta = &options->metas[i];
        if (meta->key.size != 1 || meta->key.data[0] != META_COUNTER)
            continue;
        struct reader reader = reader_of(meta->value);
        ret_cell->generation = read_varint(&reader);
        ret_cell->clean = read_u8(&reader) == 1;
        ret_cell->dots = read_varint(&reader);
        ret_cell->tenure_floor = read_varint(&reader);
        return reader_finished(&reader) ? 0 : ERR_CORRUPT;
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

/* ------------------------------------------------------------------------------------ Starting. */

static int restore_range(struct node *node, const struct meta *meta, enum meta_kind kind)
{
    if (meta->key.size != 5)
        return ERR_CORRUPT;
    uint32_t range = 0;
    for (int i = 1; i < 5; i++)
        range = range << 8 | meta->key.data[i];
    if (range >= ring_ranges(&node->core.ring))
        return ERR_CORRUPT;
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
        bool of_range = kind == META_RECORD || kind == META_VOTE || kind == META_STAGING;
        int error = of_range ? restore_range(node, meta, kind)
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
    static const enum meta_kind kinds[] = {META_DEPARTURE, META_MEMBER, META_SETTING, META_CHOSEN,
                                           META_RECORD,    META_VOTE,   META_STAGING};
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
    uint64_t active_max = options->requests_max == 0 ? REQUESTS_MAX : options->requests_max;
    coord_init(&node->coord, (uint32_t)active_max, node->core.generation);
    transfers_init(&node->transfers);
    repairs_init(&node->repairs);
}

static void deliver_signals(struct node *node);
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
    core->out = out;
    prng_init(&core->prng, options->seed);
    core->generation = counter.generation + 1;
    core->written = options->position;
    core->synced = options->position;
    node->drain.fire = drain_fire;
    node->drain.machine = node;
    init_machines(node, options);

    bool clean = options->clean && counter.clean;
    node->tenure_floor = clean ? counter.tenure_floor : core->generation << 24;
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
    store_metas(core, metas, 2, TOKEN_START);
    deliver_signals(node);
    core->out = NULL;
    *ret_node = node;
    return 0;
}

void node_free(struct node *node)
{
    struct core *core = &node->core;
    transfers_done(&node->transfers, core);
    repairs_done(&node->repairs, core);
    coord_done(&node->coord, core);
    replica_done(&node->replica);
    registers_done(&node->registers, core);
    core_timer_clear(core, &node->handshake.timer);
    handshake_done(&node->handshake);
    detector_done(&node->detector);
    gossip_done(&node->gossip);
    buf_done(&node->joining_name);
    core_done(core);
    mem_free(node);
}

/* The node is a member, and its identity is on the disk. */
static void enter_cluster(struct node *node)
{
    struct core *core = &node->core;
    node->state = NODE_SYNCING;
    gossip_publish(&node->gossip, core, MEMBER_UP);
    gossip_start(&node->gossip, core);
    detector_start(&node->detector, core);
    handshake_start(&node->handshake, core);
    handshake_judge(&node->handshake, core);
    transfers_start(&node->transfers, core);
    repairs_start(&node->repairs, core);
}

static void node_durable(struct node *node, uint64_t token)
{
    struct core *core = &node->core;
    switch (token & 0x00ffffffffffffffu) {
    case TOKEN_START:
        if (core->holdings != NULL) {
            enter_cluster(node);
        } else {
            node->state = NODE_JOINING;
            handshake_start(&node->handshake, core);
        }
        break;
    case TOKEN_JOIN:
        core_join(core, &node->joining);
        enter_cluster(node);
        break;
    default:
        break;
    }
}

static void learn_member(struct node *node, const struct member *member)
{
    gossip_learn(&node->gossip, &node->core,
                 &(struct delta){.members = member, .members_count = 1});
}

static void on_handshake(struct node *node, struct node_id from, const struct message *message)
{
    struct core *core = &node->core;
    switch (handshake_message(&node->handshake, core, from, message)) {
    case HANDSHAKE_NOTHING:
        break;
    case HANDSHAKE_MEMBER:
        learn_member(node, &message->hello.self);
        break;
    case HANDSHAKE_JOIN:
        if (node->state != NODE_JOINING || !id_none(node->joining.id))
            break;
        node->joining = message->welcome.cluster;
        buf_append(&node->joining_name, message->welcome.cluster.name);
        node->joining.name = buf_slice(&node->joining_name);
        struct meta *meta = core_alloc(core, sizeof(*meta));
        *meta = cell(core, META_NODE, identity_encode(core, &node->joining));
        store_metas(core, meta, 1, TOKEN_JOIN);
        break;
    case HANDSHAKE_WELCOME:
        learn_member(node, &message->welcome.self);
        for (uint32_t i = 0; i < message->welcome.records_count; i++) {
            const struct range_record *record = &message->welcome.records[i];
            if (record->range < ring_ranges(&core->ring) && ring_merge(&core->ring, record))
                core_signal(core, SIGNAL_RECORD)->range = record->range;
        }
        deliver_signals(node); /* Readiness is judged by the records just taken in. */
        handshake_judge(&node->handshake, core);
        break;
    }
}

/* ------------------------------------------------------------------------------------- Stopping.
 */

static void drain_fire(struct core *core, void *machine, struct timer *timer)
{
    struct node *node = machine;
    if (node->coord.active > 0) {
        core_timer_set(core, timer, core->now.us + core->timing.retry_us / 10);
        return;
    }
    core_reply(core, node->drain_client);
}

static void drain(struct node *node, uint64_t client)
{
    struct core *core = &node->core;
    node->drain_client = client;
    if (core->holdings != NULL && node->state != NODE_HALTED) {
        gossip_publish(&node->gossip, core, MEMBER_MAINTENANCE);
        node->state = NODE_DRAINING;
    }
    node->coord.draining = true;
    node->transfers.draining = true;
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

/* Tell the cluster that this node has left. The node stops when it hears that from others: then
 * they have it, and it need not keep it. */
static void announce_departure(struct node *node)
{
    struct core *core = &node->core;
    struct departure *departure = core_alloc(core, sizeof(*departure));
    *departure = (struct departure){core->self, DEPARTURE_LEFT, core->self, core->generation};
    for (uint32_t i = 0; i < core->members.count; i++) {
        struct node_id id = core->members.members[i]->id;
        if (id_equal(id, core->self) || !core_is_up(core, id))
            continue;
        struct message *message = core_send(core, id, MESSAGE_BULK);
        message->bulk.delta.departures = departure;
        message->bulk.delta.departures_count = 1;
    }
}

/* -------------------------------------------------------------------------------------- Signals.
 */

static void judge_state(struct node *node)
{
    const struct core *core = &node->core;
    if (node->state != NODE_SYNCING)
        return;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct holding *holding = &core->holdings[range];
        if (!holding->ready && holding->record.epoch > 0 &&
            record_has_member(&holding->record, core->self))
            return;
    }
    if (node->handshake.welcomed_count > 0 || core->members.count <= 1)
        node->state = NODE_READY;
}

static void on_signal(struct node *node, const struct signal *signal)
{
    struct core *core = &node->core;
    switch (signal->type) {
    case SIGNAL_RECORD:
        registers_adopt(&node->registers, core, signal->range);
        coord_record(&node->coord, core, signal->range);
        if (id_equal(signal->node, core->self))
            gossip_spread_record(&node->gossip, core, signal->range);
        break;
    case SIGNAL_RANGE_READY:
        repairs_dirty(&node->repairs, core, signal->range);
        transfers_range(&node->transfers, core, signal->range);
        break;
    case SIGNAL_ADOPTED:
        transfers_range(&node->transfers, core, signal->range);
        break;
    case SIGNAL_INSTALLED:
        handshake_judge(&node->handshake, core);
        transfers_range(&node->transfers, core, signal->range);
        break;
    case SIGNAL_PEER_INSTALLED:
        transfers_peer_installed(&node->transfers, core, signal);
        break;
    case SIGNAL_REMIND:
        registers_remind(core, signal->range, signal->node);
        break;
    case SIGNAL_PROPOSE:
        registers_propose(&node->registers, core, signal->record);
        break;
    case SIGNAL_DEPART:
        announce_departure(node);
        break;
    case SIGNAL_SETTINGS:
        transfers_settings(&node->transfers, core, signal->name);
        break;
    case SIGNAL_MEMBERS: /* The detector and the handshake look at the table themselves. */
        break;
    case SIGNAL_DIRTY:
        repairs_dirty(&node->repairs, core, signal->range);
        break;
    case SIGNAL_PEER_UP:
        repairs_peer_up(&node->repairs, core, signal->node);
        break;
    case SIGNAL_PEER_DOWN:
        coord_peer_lost(&node->coord, core, signal->node);
        break;
    }
}

static void deliver_signals(struct node *node)
{
    struct core *core = &node->core;
    for (uint32_t i = 0; i < core->signals_count; i++) {
        struct signal signal = core->signals[i]; /* The list may grow, and move, meanwhile. */
        on_signal(node, &signal);
    }
    core->signals_count = 0;
}

/* --------------------------------------------------------------------------------------- Events.
 */

static void on_message(struct node *node, struct node_id from, const struct message *message)
{
    struct core *core = &node->core;
    core->counters.messages_in++;
    bool handshake = message->type == MESSAGE_HELLO || message->type == MESSAGE_WELCOME ||
                     message->type == MESSAGE_REFUSED;
    if (handshake && node->state != NODE_STARTING) {
        on_handshake(node, from, message);
        return;
    }
    if (node->state < NODE_SYNCING)
        return; /* What it says waits for its identity to be durable. */
    if (!id_equal(from, core->self))
        detector_heard(&node->detector, core, from);
    switch (message->type) {
    case MESSAGE_SYN:
    case MESSAGE_ACK:
    case MESSAGE_ACK2:
    case MESSAGE_BULK:
        gossip_message(&node->gossip, core, from, message);
        break;
    case MESSAGE_PING:
    case MESSAGE_PONG:
        gossip_load(&node->gossip, core, &message->ping.load);
        detector_message(&node->detector, core, from, message);
        break;
    case MESSAGE_PREPARE:
    case MESSAGE_PROMISE:
    case MESSAGE_PROPOSE:
    case MESSAGE_ACCEPTED:
    case MESSAGE_CHOSEN:
    case MESSAGE_INSTALLED:
        registers_message(&node->registers, core, from, message);
        break;
    case MESSAGE_OFFER:
    case MESSAGE_ACCEPT:
    case MESSAGE_REJECT:
    case MESSAGE_CHUNK:
    case MESSAGE_CHUNK_ACK:
    case MESSAGE_COMPLETE:
        transfers_message(&node->transfers, core, from, message);
        break;
    case MESSAGE_FORWARD:
    case MESSAGE_ANSWER:
    case MESSAGE_REPLY:
        coord_message(&node->coord, core, from, message);
        break;
    case MESSAGE_WRITE:
    case MESSAGE_READ:
        if (message->write.has_record && ring_merge(&core->ring, &message->write.record)) {
            core_signal(core, SIGNAL_RECORD)->range = message->write.record.range;
            deliver_signals(node); /* The request is under that very record. */
        }
        replica_message(&node->replica, core, from, message);
        break;
    case MESSAGE_COMPARE:
    case MESSAGE_OBJECTS:
        repairs_message(&node->repairs, core, from, message);
        break;
    case MESSAGE_SCAN:
        replica_message(&node->replica, core, from, message);
        break;
    default:
        break;
    }
}

static void not_ready(struct core *core, uint64_t client)
{
    struct answer *answer = core_reply(core, client);
    answer->error = ERR_NOT_READY;
    answer->detail = slice_string(core->holdings == NULL ? "this node has not joined a cluster yet"
                                                         : "this node is starting");
}

static void on_command(struct node *node, uint64_t client, const struct command *command)
{
    struct core *core = &node->core;
    if (command->type == COMMAND_DRAIN) {
        drain(node, client);
        return;
    }
    if (node->state < NODE_SYNCING) {
        not_ready(core, client);
        return;
    }
    gossip_set(&node->gossip, core, client, command);
}

static void on_store(struct node *node, const struct store_done *done)
{
    struct core *core = &node->core;
    enum owner owner = token_owner(done->token);
    if (owner == OWNER_COORD) {
        coord_stored(&node->coord, core, done);
    } else if (owner == OWNER_REPLICA) {
        replica_stored(&node->replica, core, done);
    } else if (owner == OWNER_TRANSFER) {
        transfers_stored(&node->transfers, core, done);
    } else if (owner == OWNER_REPAIR) {
        repairs_stored(&node->repairs, core, done);
    } else if (done->error == 0) {
        core_when_durable(core, done->position, true, done->token);
    } else if (owner == OWNER_GOSSIP) {
        gossip_refused(&node->gossip, core, done);
    } else {
        struct effect *effect = effects_add(core->out, EFFECT_HALT);
        effect->halt.error = done->error;
        effect->halt.detail = slice_string("the store refused a cell that the node cannot do "
                                           "without; see the lines above for why");
    }
}

static void on_durable(struct node *node)
{
    struct core *core = &node->core;
    uint64_t token;
    while ((token = core_durable_next(core)) != 0) {
        switch (token_owner(token)) {
        case OWNER_COORD:
            coord_durable(&node->coord, core, token);
            break;
        case OWNER_REPLICA:
            replica_durable(&node->replica, core, token);
            break;
        case OWNER_REGISTER:
            registers_durable(&node->registers, core, token);
            break;
        case OWNER_TRANSFER:
            transfers_durable(&node->transfers, core, token);
            break;
        case OWNER_GOSSIP:
            gossip_durable(&node->gossip, core, token);
            break;
        case OWNER_NODE:
            node_durable(node, token);
            break;
        case OWNER_REPAIR: /* Waits for no sync. */
            break;
        }
        deliver_signals(node);
    }
}

static void fire_timers(struct core *core)
{
    struct heap_node *due;
    while ((due = heap_peek(&core->timers)) != NULL && due->time <= core->now.us) {
        heap_remove(&core->timers, due);
        struct timer *timer = (struct timer *)due; /* Its first field. */
        timer->fire(core, timer->machine, timer);
    }
}

void node_step(struct node *node, struct moment now, const struct event *event, struct effects *out)
{
    struct core *core = &node->core;
    core->now.us = MAX(core->now.us, now.us);
    core->now.wall_ms = now.wall_ms;
    core->out = out;
    if (event->type != EVENT_STORE)
        coord_sweep(&node->coord);
    switch (event->type) {
    case EVENT_TIMER:
        fire_timers(core);
        break;
    case EVENT_MESSAGE:
        on_message(node, event->message.from, event->message.message);
        break;
    case EVENT_REQUEST:
        if (node->state < NODE_SYNCING) {
            not_ready(core, event->request.client);
            break;
        }
        coord_request(&node->coord, core, event->request.client, event->request.request);
        break;
    case EVENT_COMMAND:
        on_command(node, event->command.client, event->command.command);
        break;
    case EVENT_STORE:
        on_store(node, event->store);
        break;
    case EVENT_DURABLE:
        core->written = MAX(core->written, event->durable.written);
        core->synced = MAX(core->synced, event->durable.synced);
        on_durable(node);
        break;
    case EVENT_PEER_LOST:
        if (node->state >= NODE_SYNCING) {
            detector_lost(&node->detector, core, event->peer);
            coord_peer_lost(&node->coord, core, event->peer);
        }
        break;
    }
    deliver_signals(node);
    judge_state(node);
    core->out = NULL;
}

uint64_t node_wake_us(const struct node *node)
{
    const struct heap_node *next = heap_peek(&node->core.timers);
    return next == NULL ? UINT64_MAX : next->time;
}

/* --------------------------------------------------------------------------------------- Views. */

void node_check(const struct node *node)
{
    const struct core *core = &node->core;
    ASSERT(core->signals_count == 0);
    ASSERT(core->written >= core->synced);
    for (uint32_t range = 0; core->holdings != NULL && range < ring_ranges(&core->ring); range++) {
        const struct holding *holding = &core->holdings[range];
        const struct range_record *record = ring_get(&core->ring, range);
        if (holding->record.epoch == 0)
            continue;
        ASSERT(record_check(&holding->record, ring_ranges(&core->ring)));
        ASSERT(record_compare(&holding->record, record) <= 0);
        bool reads = record_slot_read_by(&holding->record, core->self) != NULL;
        ASSERT(!reads || holding->tenure != 0);
    }
}

const struct core *node_core(const struct node *node)
{
    return &node->core;
}

enum node_state node_state(const struct node *node)
{
    return node->state;
}

const struct node_counters *node_counters(const struct node *node)
{
    return &node->core.counters;
}

bool node_range_ready(const struct node *node, uint32_t range)
{
    return node->core.holdings != NULL && node->core.holdings[range].ready;
}

void node_set_load(struct node *node, const struct load *load)
{
    gossip_set_load(&node->gossip, &node->core, load);
    const struct load *own = loads_find(&node->gossip.loads, node->core.self);
    if (own != NULL)
        detector_set_load(&node->detector, own);
}

uint32_t node_peers(const struct node *node, struct peer_status *ret, uint32_t cap)
{
    const struct core *core = &node->core;
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->members.count && count < cap; i++) {
        struct node_id id = core->members.members[i]->id;
        struct detector_status status;
        if (id_equal(id, core->self) || !detector_status(&node->detector, core, id, &status))
            continue;
        struct peer_status *peer = &ret[count++];
        memset(peer, 0, sizeof(*peer));
        peer->id = id;
        peer->up = status.up;
        peer->phi = status.phi;
        peer->heard_us = status.heard_us;
        peer->since_us = status.since_us;
        const struct load *load = loads_find(&node->gossip.loads, id);
        if (load != NULL)
            peer->load = *load;
    }
    return count;
}

uint32_t node_transfers(const struct node *node, struct transfer_status *ret, uint32_t cap)
{
    if (node->core.holdings == NULL)
        return 0;
    return transfers_status(&node->transfers, &node->core, ret, cap);
}
