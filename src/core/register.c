#include "core/register.h"

#include "base/rule.h"
#include "core/tenure.h"

/* Votes on one successor: what this node promised and accepted, and its own proposal if any. Exists
 * only from the first message of a vote until the next record is installed. */
struct ballot_box {
    struct registers *registers;
    struct range_epoch base; /* Of the record whose successor is voted on. */
    struct ballot promised;
    struct ballot accepted;
    bool has_accepted;
    struct range_record accepted_record;

    enum { PHASE_IDLE, PHASE_PREPARE, PHASE_PROPOSE, PHASE_CHOSEN } phase;
    struct ballot ballot; /* Of our proposal. */
    struct ballot best;   /* The highest ballot that a promise said it accepted under. */
    bool has_best;
    struct range_record proposal; /* What we propose under `ballot`. */
    uint32_t answered;            /* Bits: voters that promised or accepted. */
    uint64_t number_seen;         /* The highest ballot number met. */
    bool outbid;                  /* A voter has promised a higher ballot than ours. */
    uint32_t prepares;            /* Ballots of ours so far, but 0. */
    struct timer retry;
};

/* Ballots of one life of a node before they could be taken for those of its next one. */
enum { BALLOT_LIFE_BITS = 20 };

enum { RETRY_DOUBLINGS_MAX = 4 };

/* A message that may leave once its state is synced. */
struct pending {
    uint32_t range;
    struct range_epoch epoch;
    enum message_type type; /* PROMISE, ACCEPTED, INSTALLED. */
    struct ballot ballot;
    struct node_id to; /* INSTALLED: who told us, or none. */
};

static int ballot_compare(const struct ballot *a, const struct ballot *b)
{
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return id_compare(a->node, b->node);
}

/* ------------------------------------------------------------------------------ Durable cells. */

enum { RANGE_KEY_SIZE = 5 };

static struct slice range_key(struct core *core, enum meta_kind kind, uint32_t range)
{
    uint8_t *key = core_alloc(core, RANGE_KEY_SIZE);
    key[0] = (uint8_t)kind;
    for (int i = 0; i < 4; i++)
        key[1 + i] = (uint8_t)(range >> (24 - 8 * i));
    return slice_of(key, RANGE_KEY_SIZE);
}

/* Move BUF's content into the effects' arena. */
static struct slice take(struct core *core, struct buf *buf)
{
    struct slice bytes = core_copy(core, buf_slice(buf));
    buf_done(buf);
    return bytes;
}

static struct pending *pending_add(struct registers *registers, uint64_t *ret_token)
{
    struct pending *pending = mem_zero(sizeof(*pending));
    uint64_t value = ++registers->pendings_next;
    map_put(&registers->pendings, value, pending);
    *ret_token = token_of(OWNER_REGISTER, value);
    return pending;
}

static void write_ballot(struct buf *out, const struct ballot *ballot)
{
    write_varint(out, ballot->number);
    write_u64(out, ballot->node.hi);
    write_u64(out, ballot->node.lo);
}

static struct ballot read_ballot(struct reader *reader)
{
    struct ballot ballot = {.number = read_varint(reader)};
    ballot.node.hi = read_u64(reader);
    ballot.node.lo = read_u64(reader);
    return ballot;
}

static void vote_durable(struct core *core, const struct ballot_box *box,
                         const struct pending *pending);

/* Sync the voter's part of BOX, then answer TO with a message of TYPE. */
static void box_save(struct registers *registers, struct core *core, const struct ballot_box *box,
                     struct node_id to, enum message_type type, const struct ballot *ballot)
{
    struct buf value = {0};
    write_u32(&value, box->base.fork);
    write_u64(&value, box->base.nonce);
    write_u64(&value, box->base.epoch);
    write_ballot(&value, &box->promised);
    write_u8(&value, box->has_accepted);
    if (box->has_accepted) {
        write_ballot(&value, &box->accepted);
        record_encode(&box->accepted_record, &value);
    }
    uint64_t token;
    struct pending *pending = pending_add(registers, &token);
    *pending = (struct pending){box->base.range, box->base, type, *ballot, to};
    if (!RULE(VOTES_SYNCED))
        vote_durable(core, box, pending);
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = (struct meta){range_key(core, META_VOTE, box->base.range), take(core, &value)};
    struct store_op *op = core_store(core, STORE_META, token);
    op->sync = true;
    op->batch.metas = meta;
    op->batch.metas_count = 1;
}

static int restore_record(struct core *core, uint32_t range, struct slice value,
                          uint64_t tenure_floor)
{
    struct reader reader = reader_of(value);
    uint64_t tenure = read_varint(&reader);
    struct range_record record;
    record_decode(&reader, &record);
    if (!reader_finished(&reader) || record.range != range ||
        !record_check(&record, ring_ranges(&core->ring)))
        return ERR_CORRUPT;
    struct holding *holding = &core->holdings[range];
    holding->record = record;
    holding->tenure = tenure == 0 ? 0 : MAX(tenure, tenure_floor);
    holding->durable = true;
    ring_merge(&core->ring, &record);
    return 0;
}

static void retry_fire(struct core *core, void *machine, struct timer *timer);

static struct ballot_box *box_get(struct registers *registers, struct core *core, uint32_t range)
{
    struct ballot_box *box = map_get(&registers->boxes, (uint64_t)range + 1);
    if (box != NULL)
        return box;
    box = mem_zero(sizeof(*box));
    box->registers = registers;
    box->base = range_epoch_of(&core->holdings[range].record);
    box->retry.fire = retry_fire;
    box->retry.machine = box;
    map_put(&registers->boxes, (uint64_t)range + 1, box);
    return box;
}

static int restore_vote(struct registers *registers, struct core *core, uint32_t range,
                        struct slice value)
{
    struct reader reader = reader_of(value);
    struct range_epoch base = {.range = range};
    base.fork = read_u32(&reader);
    base.nonce = read_u64(&reader);
    base.epoch = read_u64(&reader);
    struct ballot promised = read_ballot(&reader);
    struct ballot accepted = {0};
    struct range_record record = {0};
    bool has_accepted = read_u8(&reader) == 1;
    if (has_accepted) {
        accepted = read_ballot(&reader);
        record_decode(&reader, &record);
    }
    if (!reader_finished(&reader))
        return ERR_CORRUPT;
    if (range_epoch_compare(&base, &core->holdings[range].record) != 0)
        return 0; /* Of an older record: settled. */
    struct ballot_box *box = box_get(registers, core, range);
    box->promised = promised;
    box->accepted = accepted;
    box->has_accepted = has_accepted;
    box->accepted_record = record;
    box->number_seen = promised.number;
    return 0;
}

int registers_restore(struct registers *registers, struct core *core, enum meta_kind kind,
                      uint32_t range, struct slice value, uint64_t tenure_floor)
{
    if (range >= ring_ranges(&core->ring))
        return ERR_CORRUPT;
    if (kind == META_RECORD)
        return restore_record(core, range, value, tenure_floor);
    ASSERT(kind == META_VOTE);
    return restore_vote(registers, core, range, value);
}

/* -------------------------------------------------------------------------------- Installing. */

/* From here on this node answers by RECORD and refuses older epochs; what it answers that rests on
 * the install being durable waits for SIGNAL_INSTALLED. */
static void install(struct registers *registers, struct core *core,
                    const struct range_record *record, struct node_id notify)
{
    struct holding *holding = &core->holdings[record->range];
    bool reads = record_slot_read_by(record, core->self) != NULL;
    bool read_before = record_slot_read_by(&holding->record, core->self) != NULL;
    if (reads && ((RULE(TENURE_AS_READER) && !read_before) || holding->tenure == 0))
        holding->tenure = tenure_draw(core, &registers->tenures_next);
    else if (RULE(TENURE_AS_READER) && !reads)
        holding->tenure = 0;
    core_note_install(core, record);
    holding->record = *record;
    holding->durable = !RULE(INSTALLED_SYNCED);
    holding->fresh = true;

    /* The vote on what is installed now stays where it is: it is passed over at a start, and the
     * next one takes its place. */
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = tenure_cell(core, record->range);
    uint64_t token;
    struct pending *pending = pending_add(registers, &token);
    *pending = (struct pending){.range = record->range,
                                .epoch = range_epoch_of(record),
                                .type = MESSAGE_INSTALLED,
                                .to = notify};
    struct store_op *op = core_store_under(core, STORE_META, token, range_epoch_of(record));
    op->sync = true;
    op->batch.metas = meta;
    op->batch.metas_count = 1;
    op->batch.install = true;
    core->counters.records_installed++;
    core_signal(core, SIGNAL_ADOPTED)->range = record->range;
}

static void box_free(struct registers *registers, struct core *core, uint32_t range)
{
    struct ballot_box *box = map_remove(&registers->boxes, (uint64_t)range + 1);
    if (box == NULL)
        return;
    core_timer_clear(core, &box->retry);
    mem_free(box);
}

static void adopt(struct registers *registers, struct core *core, uint32_t range,
                  struct node_id notify)
{
    const struct range_record *record = ring_get(&core->ring, range);
    const struct range_record *held = &core->holdings[range].record;
    /* In a fork whoever ever had a copy may have one that nobody knows of, and keeps up. */
    bool concerned = record_has_member(record, core->self) ||
                     record_has_former(record, core->self) ||
                     (held->epoch > 0 && (record->fork > 0 || record_has_member(held, core->self) ||
                                          record_has_former(held, core->self)));
    int order = record_compare(record, held);
    if (!core_owns(core, range) || !concerned || order == 0 || (order < 0 && RULE(RECORDS_RISE)))
        return;
    box_free(registers, core, range);
    install(registers, core, record, notify);
}

void registers_found(struct registers *registers, struct core *core)
{
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        struct range_record record = {.range = range, .epoch = 1, .slots_count = 1};
        record.slots[0] = (struct slot){.stage = STAGE_STABLE, .owner = core->self};
        ring_merge(&core->ring, &record);
        adopt(registers, core, range, NODE_NONE);
    }
}

void registers_adopt(struct registers *registers, struct core *core, uint32_t range)
{
    adopt(registers, core, range, NODE_NONE);
}

static struct message *send_vote(struct core *core, struct node_id to, enum message_type type,
                                 const struct range_epoch *epoch, const struct ballot *ballot,
                                 const struct range_record *record)
{
    struct message *message = core_send(core, to, type);
    message->vote.range = *epoch;
    if (ballot != NULL)
        message->vote.ballot = *ballot;
    if (record != NULL) {
        message->vote.has_record = true;
        message->vote.record = *record;
    }
    return message;
}

static void send_chosen(struct core *core, struct node_id to, const struct range_record *record)
{
    struct range_epoch epoch = range_epoch_of(record);
    send_vote(core, to, MESSAGE_CHOSEN, &epoch, NULL, record);
}

void registers_remind(struct core *core, uint32_t range, struct node_id member)
{
    send_chosen(core, member, &core->holdings[range].record);
}

static void send_installed(struct core *core, struct node_id to, const struct range_record *record)
{
    struct message *message = core_send(core, to, MESSAGE_INSTALLED);
    message->vote.range = range_epoch_of(record);
    message->vote.position = core->synced;
}

/* --------------------------------------------------------------------------------- Proposing. */

/* The pause doubles with each ballot: several proposers, on disks that take longer to sync a
 * promise than they wait for it, would outbid each other for ever. */
static void schedule_retry(struct core *core, struct ballot_box *box)
{
    uint32_t further = box->prepares > 0 ? box->prepares - 1 : 0;
    uint64_t base = core->timing.retry_us << MIN(further, (uint32_t)RETRY_DOUBLINGS_MAX);
    core_timer_set(core, &box->retry, core->now.us + base / 2 + prng_below(&core->prng, base));
}

/* Send what the present phase asks to every voter that has not answered. */
static void broadcast(struct core *core, struct ballot_box *box)
{
    const struct range_record *base = &core->holdings[box->base.range].record;
    struct node_id voters[SLOTS_MAX];
    uint32_t count = record_voters(base, voters);
    for (uint32_t i = 0; i < count; i++) {
        if (box->answered & 1u << i)
            continue;
        if (box->phase == PHASE_PREPARE)
            send_vote(core, voters[i], MESSAGE_PREPARE, &box->base, &box->ballot, NULL);
        else
            send_vote(core, voters[i], MESSAGE_PROPOSE, &box->base, &box->ballot, &box->proposal);
    }
    schedule_retry(core, box);
}

static void prepare(struct core *core, struct ballot_box *box)
{
    box->phase = PHASE_PREPARE;
    box->prepares++;
    /* Above all numbers of earlier lives of this node: what they proposed may still be under way,
     * and was not noted down here before it left. */
    uint64_t least = RULE(BALLOT_ABOVE_LIVES) ? core->generation << BALLOT_LIFE_BITS : 0;
    uint64_t seen = MAX(box->number_seen, box->promised.number);
    box->ballot = (struct ballot){MAX(seen, least) + 1, core->self};
    box->number_seen = box->ballot.number;
    box->outbid = false;
    box->has_best = false;
    box->answered = 0;
    broadcast(core, box);
}

static void propose(struct core *core, struct ballot_box *box)
{
    box->phase = PHASE_PROPOSE;
    box->answered = 0;
    broadcast(core, box);
}

bool registers_propose(struct registers *registers, struct core *core,
                       const struct range_record *record)
{
    const struct holding *holding = &core->holdings[record->range];
    ASSERT(record_may_follow(&holding->record, record));
    struct ballot_box *box = box_get(registers, core, record->range);
    if (box->phase != PHASE_IDLE)
        return false;
    box->proposal = *record;
    /* Ballot 0 is safe without phase 1 only while its one owner provably gives it one value: in the
     * life in which it installed the base durably, and once: a box is never idle again. */
    bool driver = id_equal(record_driver(&holding->record), core->self);
    bool owner = driver || !RULE(BALLOT_ZERO_IS_DRIVERS);
    bool fresh = holding->fresh || !RULE(BALLOT_ZERO_FRESH);
    if (owner && fresh && holding->durable) {
        box->ballot = (struct ballot){0, core->self};
        propose(core, box);
    } else {
        prepare(core, box);
    }
    return true;
}

void registers_resume(struct registers *registers, struct core *core, uint32_t range)
{
    const struct ballot_box *box = map_get(&registers->boxes, (uint64_t)range + 1);
    if (RULE(VOTES_RESUMED) && box != NULL && box->has_accepted)
        (void)registers_propose(registers, core, &box->accepted_record);
}

static void retry_fire(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct ballot_box *box = machine;
    const struct range_record *base = &core->holdings[box->base.range].record;
    /* A voter that missed the base's CHOSEN cannot vote on its successor: tell it first. */
    struct node_id voters[SLOTS_MAX];
    uint32_t count = record_voters(base, voters);
    for (uint32_t i = 0; i < count; i++)
        if (!(box->answered & 1u << i) && !id_equal(voters[i], core->self))
            send_chosen(core, voters[i], base);
    if (box->outbid || box->number_seen > box->ballot.number ||
        (box->ballot.number == 0 && box->promised.number > 0))
        prepare(core, box);
    else
        broadcast(core, box);
}

/* The index of FROM among the voters, or -1. */
static int voter_index(const struct range_record *base, struct node_id from)
{
    struct node_id voters[SLOTS_MAX];
    uint32_t count = record_voters(base, voters);
    for (uint32_t i = 0; i < count; i++)
        if (id_equal(voters[i], from))
            return (int)i;
    return -1;
}

static void chosen(struct core *core, struct ballot_box *box)
{
    const struct range_record *base = &core->holdings[box->base.range].record;
    struct node_id told[4 * SLOTS_MAX];
    uint32_t count = record_members(base, told);
    count += record_members(&box->proposal, told + count);
    for (uint32_t i = 0; i < count; i++) {
        bool repeated = id_equal(told[i], core->self);
        for (uint32_t k = 0; k < i; k++)
            repeated = repeated || id_equal(told[k], told[i]);
        if (!repeated)
            send_chosen(core, told[i], &box->proposal);
    }
    core->counters.records_chosen++;
    core_timer_clear(core, &box->retry);
    box->phase = PHASE_CHOSEN; /* Until the record is adopted, and the box goes with its base. */
    if (ring_merge(&core->ring, &box->proposal))
        *core_signal(core, SIGNAL_RECORD) =
            (struct signal){.type = SIGNAL_RECORD, .range = box->base.range, .node = core->self};
}

static void on_vote(struct core *core, struct ballot_box *box, struct node_id from,
                    const struct message *message)
{
    const struct range_record *base = &core->holdings[box->base.range].record;
    int index = voter_index(base, from);
    bool promise = message->type == MESSAGE_PROMISE;
    if (index < 0 || box->phase != (promise ? PHASE_PREPARE : PHASE_PROPOSE))
        return;
    if (message->vote.refused) {
        /* Lost to a higher ballot: come back above it, after a random pause. */
        core->counters.ballots_lost++;
        box->number_seen = MAX(box->number_seen, message->vote.ballot.number);
        box->outbid = box->outbid || ballot_compare(&message->vote.ballot, &box->ballot) > 0;
        schedule_retry(core, box);
        return;
    }
    if (ballot_compare(&message->vote.ballot, &box->ballot) != 0)
        return;
    box->answered |= 1u << index;
    if (RULE(ACCEPTED_VALUE_WINS) && promise && message->vote.has_record &&
        (!box->has_best || ballot_compare(&message->vote.accepted, &box->best) > 0)) {
        box->has_best = true;
        box->best = message->vote.accepted;
        box->proposal = message->vote.record;
    }
    if ((uint32_t)__builtin_popcount(box->answered) < record_quorum(base))
        return;
    if (promise)
        propose(core, box);
    else
        chosen(core, box);
}

/* ------------------------------------------------------------------------------------ Voting. */

static void on_prepare(struct registers *registers, struct core *core, struct ballot_box *box,
                       struct node_id from, const struct message *message)
{
    if (RULE(PROMISES_RISE) && ballot_compare(&message->vote.ballot, &box->promised) < 0) {
        send_vote(core, from, MESSAGE_PROMISE, &box->base, &box->promised, NULL)->vote.refused =
            true;
        return;
    }
    box->promised = message->vote.ballot;
    box->number_seen = MAX(box->number_seen, box->promised.number);
    box_save(registers, core, box, from, MESSAGE_PROMISE, &box->promised);
}

static void on_propose(struct registers *registers, struct core *core, struct ballot_box *box,
                       struct node_id from, const struct message *message)
{
    const struct range_record *base = &core->holdings[box->base.range].record;
    const struct ballot *ballot = &message->vote.ballot;
    if (!message->vote.has_record || !record_may_follow(base, &message->vote.record))
        return;
    /* Ballot 0 is nobody's but the driver's. */
    if (RULE(BALLOT_ZERO_IS_DRIVERS) && ballot->number == 0 &&
        !(id_equal(ballot->node, record_driver(base)) && id_equal(from, ballot->node)))
        return;
    bool below = ballot->number < box->promised.number ||
                 (ballot->number > 0 && ballot_compare(ballot, &box->promised) < 0);
    if (RULE(PROMISE_KEPT) && below) {
        send_vote(core, from, MESSAGE_ACCEPTED, &box->base, &box->promised, NULL)->vote.refused =
            true;
        return;
    }
    box->promised = *ballot;
    box->number_seen = MAX(box->number_seen, ballot->number);
    box->accepted = *ballot;
    box->accepted_record = message->vote.record;
    box->has_accepted = true;
    box_save(registers, core, box, from, MESSAGE_ACCEPTED, ballot);
}

static void on_chosen(struct registers *registers, struct core *core, struct node_id from,
                      const struct message *message)
{
    if (!message->vote.has_record)
        return;
    const struct range_record *record = &message->vote.record;
    struct holding *holding = &core->holdings[record->range];
    if (ring_merge(&core->ring, record)) {
        core_signal(core, SIGNAL_RECORD)->range = record->range;
        adopt(registers, core, record->range, from);
    } else if (record_compare(record, &holding->record) < 0) {
        send_chosen(core, from, &holding->record);
    } else {
        adopt(registers, core, record->range, from);
        if (holding->durable && record_compare(record, &holding->record) == 0)
            send_installed(core, from, record);
    }
}

static void on_installed(struct core *core, struct node_id from, const struct message *message)
{
    const struct range_epoch *range = &message->vote.range;
    *core_signal(core, SIGNAL_PEER_INSTALLED) = (struct signal){
        SIGNAL_PEER_INSTALLED, .range = range->range, .installed = *range, .node = from};
}

void registers_message(struct registers *registers, struct core *core, struct node_id from,
                       const struct message *message)
{
    uint32_t range = message->vote.range.range;
    if (range >= ring_ranges(&core->ring))
        return;
    if (message->type == MESSAGE_CHOSEN) {
        on_chosen(registers, core, from, message);
        return;
    }
    if (message->type == MESSAGE_INSTALLED) {
        on_installed(core, from, message);
        return;
    }
    struct holding *holding = &core->holdings[range];
    int order = range_epoch_compare(&message->vote.range, &holding->record);
    if (order < 0 && holding->record.epoch > 0)
        send_chosen(core, from, &holding->record); /* The sender's knowledge is old. */
    if (order != 0)
        return;
    if (message->type == MESSAGE_PROMISE || message->type == MESSAGE_ACCEPTED) {
        struct ballot_box *box = map_get(&registers->boxes, (uint64_t)range + 1);
        if (box != NULL)
            on_vote(core, box, from, message);
        return;
    }
    if (!holding->ready || record_slot_read_by(&holding->record, core->self) == NULL)
        return;
    struct ballot_box *box = box_get(registers, core, range);
    if (message->type == MESSAGE_PREPARE)
        on_prepare(registers, core, box, from, message);
    else if (message->type == MESSAGE_PROPOSE)
        on_propose(registers, core, box, from, message);
}

/* ----------------------------------------------------------------------------------- Durable. */

static void installed(struct core *core, const struct pending *pending)
{
    struct holding *holding = &core->holdings[pending->range];
    if (range_epoch_compare(&pending->epoch, &holding->record) != 0)
        return; /* A newer one followed. */
    holding->durable = true;
    core_signal(core, SIGNAL_INSTALLED)->range = pending->range;
    struct node_id driver = record_driver(&holding->record);
    if (!id_none(driver) && !id_equal(driver, core->self))
        send_installed(core, driver, &holding->record);
    if (!id_none(pending->to) && !id_equal(pending->to, driver))
        send_installed(core, pending->to, &holding->record);
}

static void vote_durable(struct core *core, const struct ballot_box *box,
                         const struct pending *pending)
{
    /* Overtaken by a higher ballot meanwhile: what was saved for this answer no longer holds. */
    if (ballot_compare(&box->promised, &pending->ballot) != 0)
        return;
    struct message *message =
        send_vote(core, pending->to, pending->type, &box->base, &pending->ballot, NULL);
    if (pending->type == MESSAGE_PROMISE && box->has_accepted) {
        message->vote.has_record = true;
        message->vote.record = box->accepted_record;
        message->vote.accepted = box->accepted;
    }
}

void registers_durable(struct registers *registers, struct core *core, uint64_t token)
{
    struct pending *pending = map_remove(&registers->pendings, token_value(token));
    ASSERT(pending != NULL);
    if (pending->type == MESSAGE_INSTALLED) {
        installed(core, pending);
    } else {
        struct ballot_box *box = map_get(&registers->boxes, (uint64_t)pending->range + 1);
        const struct range_record *held = &core->holdings[pending->range].record;
        if (box != NULL && range_epoch_compare(&pending->epoch, held) == 0)
            vote_durable(core, box, pending);
    }
    mem_free(pending);
}

void registers_init(struct registers *registers)
{
    *registers = (struct registers){0};
}

void registers_done(struct registers *registers, struct core *core)
{
    size_t cursor = 0;
    for (struct ballot_box *box; (box = map_next(&registers->boxes, &cursor, NULL)) != NULL;) {
        core_timer_clear(core, &box->retry);
        mem_free(box);
    }
    cursor = 0;
    for (struct pending *each; (each = map_next(&registers->pendings, &cursor, NULL)) != NULL;)
        mem_free(each);
    map_done(&registers->boxes);
    map_done(&registers->pendings);
}
