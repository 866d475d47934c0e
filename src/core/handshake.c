#include "core/handshake.h"

#include "base/rule.h"

void handshake_init(struct handshake *handshake, const struct member *self,
                    const struct slice *seeds, uint32_t seeds_count)
{
    *handshake = (struct handshake){.self = self, .seeds = seeds, .seeds_count = seeds_count};
}

void handshake_done(struct handshake *handshake)
{
    mem_free(handshake->welcomed);
}

bool handshake_welcomed(const struct handshake *handshake, struct node_id node)
{
    for (uint32_t i = 0; i < handshake->welcomed_count; i++) {
        if (id_equal(handshake->welcomed[i], node))
            return true;
    }
    return false;
}

void handshake_note(struct handshake *handshake, struct node_id node)
{
    if (handshake_welcomed(handshake, node))
        return;
    if (handshake->welcomed_count == handshake->welcomed_capacity) {
        handshake->welcomed_capacity = MAX(16u, 2 * handshake->welcomed_capacity);
        handshake->welcomed = mem_grow(handshake->welcomed,
                                       handshake->welcomed_capacity * sizeof(*handshake->welcomed));
    }
    handshake->welcomed[handshake->welcomed_count++] = node;
}

/* The records we hold, by rising range: the other side answers with the newer ones. */
static void fill_hello(const struct handshake *handshake, struct core *core,
                       struct message *message)
{
    message->hello.cluster = core->cluster.id;
    message->hello.self = *handshake->self;
    message->hello.self.generation = core->generation;
    /* A node that joins has not published itself yet, and no record has version 0. */
    message->hello.self.version = MAX(handshake->self->version, 1u);
    message->hello.position = core->recovered; /* What this life began with. */
    message->hello.nonce = handshake->nonce;
    if (core->holdings == NULL)
        return;
    uint32_t ranges = ring_ranges(&core->ring);
    struct range_epoch *epochs = core_alloc(core, ranges * sizeof(*epochs));
    for (uint32_t range = 0; range < ranges; range++) {
        /* Of other shards' ranges: what they have by the time that they hear of the welcome. */
        bool own = core_owns(core, range);
        const struct range_record *record =
            own ? &core->holdings[range].record : ring_get(&core->ring, range);
        if (record->epoch > 0 && (own || record_has_member(record, core->self)))
            epochs[message->hello.epochs_count++] = range_epoch_of(record);
    }
    message->hello.epochs = epochs;
}

static void greet(struct handshake *handshake, struct core *core)
{
    if (core->holdings == NULL) {
        for (uint32_t i = 0; i < handshake->seeds_count; i++)
            fill_hello(handshake, core,
                       core_send_address(core, handshake->seeds[i], MESSAGE_HELLO));
        return;
    }
    for (uint32_t i = 0; i < core->members.count; i++) {
        struct node_id id = core->members.members[i]->id;
        if (!id_equal(id, core->self) && !handshake_welcomed(handshake, id))
            fill_hello(handshake, core, core_send(core, id, MESSAGE_HELLO));
    }
    /* Members may all have moved while this node was away: seeds lead back to them. */
    for (uint32_t i = 0; handshake->welcomed_count == 0 && i < handshake->seeds_count; i++)
        fill_hello(handshake, core, core_send_address(core, handshake->seeds[i], MESSAGE_HELLO));
}

static void greet_fire(struct core *core, void *machine, struct timer *timer)
{
    greet(machine, core);
    core_timer_set(core, timer, core->now.us + core->timing.gossip_us);
}

static bool peer_welcomed(const struct core *core, struct node_id id)
{
    return handshake_welcomed(core->handshake, id);
}

void handshake_follow(struct handshake *handshake, struct core *core)
{
    core->peer_welcomed = peer_welcomed;
    core->handshake = handshake;
}

void handshake_start(struct handshake *handshake, struct core *core)
{
    handshake_follow(handshake, core);
    if (handshake->nonce == 0)
        handshake->nonce = prng_next(&core->prng) | 1;
    handshake->timer.fire = greet_fire;
    handshake->timer.machine = handshake;
    greet_fire(core, handshake, &handshake->timer);
}

/* -------------------------------------------------------------------------------------- HELLO. */

/* The answer goes where the sender says it listens: under its id the member table may know another
 * process. */
static void refuse(struct core *core, struct node_id from, const struct message *hello, int error,
                   struct slice detail)
{
    struct slice address = hello->hello.self.peer;
    struct message *message = address.size > 0 ? core_send_address(core, address, MESSAGE_REFUSED)
                                               : core_send(core, from, MESSAGE_REFUSED);
    message->refused.nonce = hello->hello.nonce;
    message->refused.error = error;
    message->refused.detail = detail;
}

static const struct range_epoch *find_epoch(const struct message *hello, uint32_t range)
{
    uint32_t low = 0;
    uint32_t high = hello->hello.epochs_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (hello->hello.epochs[middle].range < range)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < hello->hello.epochs_count && hello->hello.epochs[low].range == range;
    return found ? &hello->hello.epochs[low] : NULL;
}

static void welcome(struct handshake *handshake, struct core *core, struct node_id to,
                    const struct message *hello)
{
    const struct member *known = member_find(&core->members, to);
    struct message *message = core_send(core, to, MESSAGE_WELCOME);
    message->welcome.cluster = core->cluster;
    message->welcome.self = *handshake->self;
    message->welcome.self.generation = core->generation;
    message->welcome.nonce = hello->hello.nonce;
    message->welcome.generation_seen = known == NULL ? 0 : known->generation;
    if (core->peer_position != NULL)
        message->welcome.position_seen =
            core->peer_position(core, to, hello->hello.self.generation, hello->hello.nonce);
    message->welcome.hlc = core->hlc;
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t count = 0;
    struct range_record *records = NULL;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            records = core_alloc(core, (count + 1) * sizeof(*records));
        count = 0;
        for (uint32_t range = 0; range < ranges; range++) {
            const struct range_record *record = ring_get(&core->ring, range);
            const struct range_epoch *theirs = find_epoch(hello, range);
            bool concerns =
                theirs != NULL || record_has_member(record, to) || record_has_former(record, to);
            if (!concerns || record->epoch == 0 ||
                (theirs != NULL && range_epoch_compare(theirs, record) >= 0))
                continue;
            if (pass == 1)
                records[count] = *record;
            count++;
        }
    }
    message->welcome.records = records;
    message->welcome.records_count = count;
}

static enum handshake_news on_hello(struct handshake *handshake, struct core *core,
                                    struct node_id from, const struct message *message)
{
    if (id_equal(from, core->self) || core->holdings == NULL)
        return HANDSHAKE_NOTHING; /* Our own seed entry, or we wait for a seed ourselves. */
    struct node_id cluster = message->hello.cluster;
    if (!id_none(cluster) && !id_equal(cluster, core->cluster.id)) {
        char ours[NODE_ID_TEXT];
        char theirs[NODE_ID_TEXT];
        id_format(core->cluster.id, ours);
        id_format(cluster, theirs);
        refuse(core, from, message, ERR_REFUSED,
               core_printf(core,
                           "this node's data directory is of cluster %.8s, the seed is of cluster "
                           "%.8s; start it with the seeds of its own cluster, or with an empty "
                           "directory to join this one",
                           theirs, ours));
        return HANDSHAKE_NOTHING;
    }
    if (member_departed(&core->members, from)) {
        if (core->departures_unsynced > 0)
            return HANDSHAKE_NOTHING; /* A moment later, when we cannot forget it any more. */
        bool left = departure_find(&core->members, from)->kind == DEPARTURE_LEFT;
        refuse(core, from, message, ERR_NOT_MEMBER,
               left ? slice_string("this node has left the cluster for good; to bring the host "
                                   "back, start it with an empty data directory: it joins as a "
                                   "new node")
                    : slice_string("this node was removed from the cluster for good, by an "
                                   "administrator; to bring the host back, start it with an empty "
                                   "data directory: it joins as a new node"));
        return HANDSHAKE_NOTHING;
    }
    const struct member *known = member_find(&core->members, from);
    if (known != NULL && known->generation > message->hello.self.generation) {
        refuse(core, from, message, ERR_REFUSED,
               core_printf(core,
                           "AMNESIAC: the cluster remembers a later start of this node: its data "
                           "directory was copied or restored from a backup; start the host with an "
                           "empty directory, as a new node, and run `kvadmin replace %.*s NEW`",
                           (int)known->name.size, (const char *)known->name.data));
        return HANDSHAKE_NOTHING;
    }
    if (known != NULL && known->generation == message->hello.self.generation &&
        !slice_equal(known->peer, message->hello.self.peer)) {
        refuse(core, from, message, ERR_REFUSED,
               core_printf(core,
                           "another process runs under this node's id at %.*s: its data directory "
                           "was copied; stop one of the two, or start this one with an empty "
                           "directory: it joins as a new node",
                           (int)known->peer.size, (const char *)known->peer.data));
        return HANDSHAKE_NOTHING;
    }
    welcome(handshake, core, from, message);
    return id_none(cluster) ? HANDSHAKE_NOTHING : HANDSHAKE_MEMBER;
}

/* ------------------------------------------------------------------------------------ WELCOME. */

static void halt(struct core *core, int error, struct slice detail)
{
    struct effect *effect = effects_add(core->out, EFFECT_HALT);
    effect->halt.error = error;
    effect->halt.detail = detail;
}

static enum handshake_news on_welcome(struct handshake *handshake, struct core *core,
                                      struct node_id from, const struct message *message)
{
    if (message->welcome.nonce != handshake->nonce || id_equal(from, core->self))
        return HANDSHAKE_NOTHING;
    if (message->welcome.generation_seen > core->generation) {
        halt(core, ERR_REFUSED,
             core_printf(core,
                         "AMNESIAC: the cluster remembers a later start of this node than its data "
                         "directory does: the directory is an old copy; start the host with an "
                         "empty directory, as a new node, and run `kvadmin replace %.*s NEW`",
                         (int)handshake->self->name.size,
                         (const char *)handshake->self->name.data));
        return HANDSHAKE_NOTHING;
    }
    /* A torn tail of the log is forgiven only past what this node had said is synced. */
    if (RULE(POSITION_REMEMBERED) && message->welcome.position_seen > core->recovered) {
        halt(
            core, ERR_REFUSED,
            core_printf(core,
                        "AMNESIAC: the cluster remembers more of this node's log (up to %llu) than "
                        "its data directory has (up to %llu): the directory is an old copy, or its "
                        "disk lost what it had synced; start the host with an empty directory, as "
                        "a new node, and run `kvadmin replace %.*s NEW`",
                        (unsigned long long)message->welcome.position_seen,
                        (unsigned long long)core->recovered, (int)handshake->self->name.size,
                        (const char *)handshake->self->name.data));
        return HANDSHAKE_NOTHING;
    }
    if (core->holdings == NULL)
        return HANDSHAKE_JOIN;
    if (!id_equal(message->welcome.cluster.id, core->cluster.id))
        return HANDSHAKE_NOTHING;
    handshake_note(handshake, from);
    core_hlc_seen(core, message->welcome.hlc);
    return HANDSHAKE_WELCOME;
}

enum handshake_news handshake_message(struct handshake *handshake, struct core *core,
                                      struct node_id from, const struct message *message)
{
    if (message->type == MESSAGE_HELLO)
        return on_hello(handshake, core, from, message);
    if (message->type == MESSAGE_WELCOME)
        return on_welcome(handshake, core, from, message);
    ASSERT(message->type == MESSAGE_REFUSED);
    if (message->refused.nonce != handshake->nonce || message->refused.error >= 0)
        return HANDSHAKE_NOTHING;
    if (member_departed(&core->members, from))
        return HANDSHAKE_DISOWNED;
    halt(core, message->refused.error, message->refused.detail);
    return HANDSHAKE_NOTHING;
}

void handshake_judge_range(struct core *core, uint32_t range)
{
    struct holding *holding = &core->holdings[range];
    if (holding->record.epoch == 0 || holding->ready || !core_is_welcome(core, &holding->record))
        return;
    holding->ready = true;
    core_signal(core, SIGNAL_RANGE_READY)->range = range;
}

void handshake_judge(struct core *core)
{
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++)
        handshake_judge_range(core, range);
}
