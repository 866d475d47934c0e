/* The composition: which machine hears of what. */
#include "core/node_private.h"

#include "base/rule.h"

/* Tell the cluster that this node has left. The node stops when it hears that from others: then
 * they have it, and it need not keep it. The same is true of others that left before, and of which
 * perhaps only this node knows. */
static void announce_departure(struct node *node)
{
    struct core *core = &node->core;
    uint32_t others = core->members.departures_count;
    struct departure *departures = core_alloc(core, (others + 1) * sizeof(*departures));
    for (uint32_t i = 0; i < others; i++)
        departures[i] = core->members.departures[i];
    departures[others] =
        (struct departure){core->self, DEPARTURE_LEFT, core->self, core->generation};
    for (uint32_t i = 0; i < core->members.count; i++) {
        struct node_id id = core->members.members[i]->id;
        if (id_equal(id, core->self) || !core_is_up(core, id))
            continue;
        struct message *message = core_send(core, id, MESSAGE_BULK);
        message->bulk.delta.departures = departures;
        message->bulk.delta.departures_count = others + 1;
    }
}

/* The floor goes out beside our load, which the host sets at other times. */
static void tell_floor(struct node *node)
{
    struct load own = {0};
    const struct load *known = loads_find(&node->gossip.loads, node->core.self);
    if (known != NULL)
        own = *known;
    node_set_load(node, &own);
}

/* --------------------------------------------------------------------------------------- Signals.
 */

static void judge_state(struct node *node)
{
    const struct core *core = &node->core;
    if (node->state != NODE_SYNCING ||
        (core->shards > 1 && core->shard == 0 && !shards_ready(&node->shards)))
        return;
    bool reads = false;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct holding *holding = &core->holdings[range];
        if (holding->record.epoch == 0 || !record_has_member(&holding->record, core->self))
            continue;
        if (!holding->ready)
            return;
        reads = reads || record_slot_read_by(&holding->record, core->self) != NULL;
    }
    /* A majority of the voters of what it reads may be this node alone: then nobody else need be
     * up. While it reads nothing it asks somebody before it speaks for the cluster. */
    if (reads || node->handshake.welcomed_count > 0 || core->members.count <= 1)
        node->state = NODE_READY;
}

static void on_signal(struct node *node, const struct signal *signal)
{
    struct core *core = &node->core;
    if (core->shards > 1)
        shards_signal(node, signal);
    switch (signal->type) {
    case SIGNAL_RECORD:
        registers_adopt(&node->registers, core, signal->range);
        if (!signal->stored)
            news_keep_record(core, signal->range);
        coord_record(&node->coord, core, signal->range);
        hints_look(&node->hints, core);
        if (id_equal(signal->node, core->self))
            gossip_spread_record(&node->gossip, core, signal->range);
        break;
    case SIGNAL_RANGE_READY:
        repairs_dirty(&node->repairs, core, signal->range);
        registers_resume(&node->registers, core, signal->range);
        transfers_range(&node->transfers, core, signal->range);
        break;
    case SIGNAL_ADOPTED:
        transfers_range(&node->transfers, core, signal->range);
        break;
    case SIGNAL_INSTALLED:
        handshake_judge_range(core, signal->range);
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
    case SIGNAL_DEPART: /* Raised again each second, until its hints are with their slots. */
        if (core->shard == 0 && shards_empty(&node->shards) &&
            (hints_empty(&node->hints, core) || !RULE(HINTS_LEAVE_FIRST)))
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
    case SIGNAL_UNREADABLE:
        tenure_renew(core, signal->range, &node->registers.tenures_next);
        coord_renewed(&node->coord, core, signal->range);
        break;
    case SIGNAL_FLOOR:
        tell_floor(node);
        break;
    case SIGNAL_STANDS:
        horizons_differ(core, signal->range, signal->node);
        break;
    case SIGNAL_RAISED:
        horizons_brought(&node->horizons, core, signal->range);
        break;
    case SIGNAL_DROPPED:
        horizons_dropped(&node->horizons, core, signal->range);
        break;
    case SIGNAL_PEER_UP:
        repairs_peer_up(&node->repairs, core, signal->node);
        hints_look(&node->hints, core);
        break;
    case SIGNAL_PEER_DOWN:
        coord_peer_lost(&node->coord, core, signal->node);
        break;
    }
}

void node_deliver(struct node *node)
{
    struct core *core = &node->core;
    for (uint32_t i = 0; i < core->signals_count; i++) {
        struct signal signal = core->signals[i]; /* The list may grow, and move, meanwhile. */
        on_signal(node, &signal);
    }
    core->signals_count = 0;
}

/* ---------------------------------------------------------------------------------------- Events.
 */

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
        detector_greeted(&node->detector, from, message->hello.self.generation,
                         message->hello.nonce, message->hello.position);
        break;
    case HANDSHAKE_DISOWNED:
        rift_disowned(&node->gossip.rift, core->now.us, from);
        break;
    case HANDSHAKE_JOIN:
        node_join(node, &message->welcome.cluster);
        break;
    case HANDSHAKE_WELCOME:
        learn_member(node, &message->welcome.self);
        for (uint32_t i = 0; i < message->welcome.records_count; i++) {
            const struct range_record *record = &message->welcome.records[i];
            if (record->range < ring_ranges(&core->ring) && ring_merge(&core->ring, record))
                core_signal(core, SIGNAL_RECORD)->range = record->range;
        }
        node_deliver(node); /* Readiness is judged by the records just taken in. */
        handshake_judge(core);
        break;
    }
}

/* A hint is taken, and shown, from any other node's word on: no majority is asked whether this disk
 * is an old copy. So whoever asks has welcomed this life first, with what it remembers of this
 * node's log; until then it hears nothing, and asks somebody else, or once more. Who can ask can
 * welcome: this costs a round trip after a start. */
static void take_hint(struct node *node, struct node_id from, const struct message *message)
{
    if (id_equal(from, node->core.self) || handshake_welcomed(&node->handshake, from) ||
        !RULE(HINTS_AFTER_WELCOME))
        hints_message(&node->hints, &node->core, from, message);
}

/* Nothing that a departed node says or holds counts any more: where it has not heard of its removal
 * it goes on under old records, or under forks of its own, and the readers of what it had prove
 * their horizons without it. It is told so when it asks to be heard, and what it says of this node
 * then is looked at (rift.h). */
static bool is_heard(const struct core *core, struct node_id from, enum message_type type)
{
    return !member_departed(&core->members, from) || type == MESSAGE_HELLO ||
           type == MESSAGE_REFUSED || type == MESSAGE_SYN || type == MESSAGE_BULK ||
           !RULE(DEPARTED_NOT_HEARD);
}

static void on_message(struct node *node, struct node_id from, const struct message *message)
{
    struct core *core = &node->core;
    core->counters.messages_in++;
    if (message_is_inside(message->type)) {
        if (id_equal(from, core->self) && core->shards > 1)
            shards_message(node, message);
        return;
    }
    if (!is_heard(core, from, message->type))
        return;
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
    case MESSAGE_PROPOSE:
    case MESSAGE_CHOSEN:
        gossip_judge_record(&node->gossip, core, from, &message->vote.record);
        registers_message(&node->registers, core, from, message);
        break;
    case MESSAGE_PREPARE:
    case MESSAGE_PROMISE:
    case MESSAGE_ACCEPTED:
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
        if (message->type == MESSAGE_REPLY && hints_own_id(message->reply.id))
            hints_message(&node->hints, core, from, message);
        else
            coord_message(&node->coord, core, from, message);
        break;
    case MESSAGE_WRITE:
    case MESSAGE_READ:
    case MESSAGE_HINT:
        if (message->write.has_record && ring_merge(&core->ring, &message->write.record)) {
            core_signal(core, SIGNAL_RECORD)->range = message->write.record.range;
            node_deliver(node); /* The request is under that very record. */
        }
        if (message->type == MESSAGE_HINT || message->write.hinted)
            take_hint(node, from, message);
        else
            replica_message(&node->replica, core, from, message);
        break;
    case MESSAGE_ROOTS:
    case MESSAGE_COMPARE:
    case MESSAGE_LEAVES:
    case MESSAGE_OBJECTS:
        repairs_message(&node->repairs, core, from, message);
        break;
    case MESSAGE_PROVE:
    case MESSAGE_PROVEN:
    case MESSAGE_HORIZON:
        horizons_message(&node->horizons, core, from, message);
        break;
    case MESSAGE_SCAN:
        replica_message(&node->replica, core, from, message);
        break;
    default:
        break;
    }
}

void node_not_ready(struct core *core, uint64_t client)
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
        node_drain(node, client);
        return;
    }
    if (node->state < NODE_SYNCING) {
        node_not_ready(core, client);
        return;
    }
    if (command->type == COMMAND_REPAIR) {
        repairs_ask(&node->repairs, core, &command->repair);
        shards_repair(node, &command->repair);
        core_reply(core, client);
        return;
    }
    if (command->type == COMMAND_REMOVE && command->accept_loss) {
        gossip_accept_loss(&node->gossip, core, client, command->node);
        return;
    }
    if (command->type == COMMAND_REMOVE) {
        gossip_depart(&node->gossip, core, client, command->node, DEPARTURE_REMOVED);
        return;
    }
    gossip_set(&node->gossip, core, client, command);
}

static void on_store(struct node *node, const struct store_done *done)
{
    struct core *core = &node->core;
    enum owner owner = token_owner(done->token);
    if (done->type >= STORE_HINT_UPDATE && done->changed)
        hinted_change(&core->hinted, done->range, &done->hint, done->object);
    for (uint32_t i = 0; done->type == STORE_HINT_SCAN && i < done->entries_count; i++)
        if (done->entries_slots[i] == 0)
            coord_hint_damaged(&node->coord, core, done->entries[i].bucket, done->entries[i].key);
    if (owner == OWNER_COORD) {
        coord_stored(&node->coord, core, done);
    } else if (owner == OWNER_REPLICA) {
        replica_stored(&node->replica, core, done);
    } else if (owner == OWNER_TRANSFER) {
        transfers_stored(&node->transfers, core, done);
    } else if (owner == OWNER_REPAIR) {
        repairs_stored(&node->repairs, core, done);
    } else if (owner == OWNER_HINTS) {
        hints_stored(&node->hints, core, done);
    } else if (owner == OWNER_HORIZON && done->type != STORE_META) {
        horizons_stored(&node->horizons, core, done);
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
        case OWNER_HORIZON:
            horizons_durable(&node->horizons, core, token);
            break;
        case OWNER_REPAIR: /* Waits for no sync. */
            break;
        case OWNER_HINTS:
            hints_durable(&node->hints, core, token);
            break;
        }
        node_deliver(node);
    }
}

static void on_damaged(struct node *node, const struct event *event)
{
    struct core *core = &node->core;
    if (core->holdings == NULL)
        return;
    uint32_t range = range_of(event->damaged.hash, core->ring.bits);
    if (event->damaged.fresh)
        tenure_renew(core, range, &node->registers.tenures_next);
    bool rested = event->damaged.rested || !RULE(DAMAGE_RESTS);
    if (node->state >= NODE_SYNCING && rested && event->damaged.hole)
        coord_hole(&node->coord, core, event->damaged.hash, event->damaged.to,
                   event->damaged.number);
    else if (node->state >= NODE_SYNCING && rested)
        coord_damaged(&node->coord, core, event->damaged.bucket, event->damaged.key,
                      event->damaged.number);
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
    core_step_at(core, now);
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
            node_not_ready(core, event->request.client);
            break;
        }
        if (core->shards > 1 &&
            shards_hand_over(node, event->request.client, event->request.request))
            break;
        coord_request(&node->coord, core, event->request.client, event->request.request);
        break;
    case EVENT_COMMAND:
        on_command(node, event->command.client, event->command.command);
        break;
    case EVENT_STORE:
        on_store(node, event->store);
        on_durable(node); /* What it waits for may be on the disk since long ago. */
        break;
    case EVENT_DURABLE:
        core->written = MAX(core->written, event->durable.written);
        core->synced = MAX(core->synced, event->durable.synced);
        core->logged = MAX(core->logged, event->durable.logged);
        on_durable(node);
        break;
    case EVENT_DAMAGED:
        on_damaged(node, event);
        break;
    case EVENT_PEER_LOST:
        if (node->state >= NODE_SYNCING) {
            detector_lost(&node->detector, core, event->peer);
            coord_peer_lost(&node->coord, core, event->peer);
        }
        break;
    }
    node_deliver(node);
    judge_state(node);
    if (core->shards > 1)
        shards_flush(node);
    core->out = NULL;
}

uint64_t node_wake_us(const struct node *node)
{
    const struct heap_node *next = heap_peek(&node->core.timers);
    return next == NULL ? UINT64_MAX : next->time;
}
