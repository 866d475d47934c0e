/* Silence, suspicion, verdicts. */
#include "core/detector.h"

#include "core/latency.h"

enum {
    TALK_INTERVALS = 4,   /* Between pings to a peer that is never silent. */
    CLOCKS_LEAST = 4,     /* Peers whose clocks are asked for, whether they share ranges or not, */
    CLOCK_INTERVALS = 16, /* and for how long an answer is good. */
};

/* One peer, seen from here. */
struct detector_peer {
    struct node_id id;
    uint64_t record_generation; /* Of its member record when last looked at. */
    uint64_t generation;        /* Heard in pings. */
    uint64_t position;
    uint64_t position_before; /* Synced by its lives before this one. */
    uint64_t nonce;           /* Of its HELLOs in this life; 0: there was none. */
    bool up;
    bool unknown; /* Not heard since known_us: `up` is a guess. */
    bool shares;  /* A range with this node, */
    bool shared;  /* and before the ring changed. */
    struct clock_bounds clock;
    uint64_t known_us;     /* When it became known, or unknown again. */
    uint64_t heard_us;     /* 0: never. */
    uint64_t since_us;     /* When the verdict last changed. */
    uint64_t asked_us;     /* First question since it was heard; 0: none is open. */
    uint64_t suspect_us;   /* Down at this time unless heard; 0: no suspect. */
    uint64_t pinged_us;    /* 0: never. */
    uint64_t ping_number;  /* Of the ping that measures; 0: none is open. */
    uint64_t window_us;    /* Begin of the present sample. */
    uint64_t gap_us;       /* Longest silence within it. */
    uint64_t mean_us;      /* Of the samples; 0: none yet. */
    uint64_t deviation_us; /* Mean, from the mean. */
    struct latency latency;
};

static void tick(struct core *core, void *machine, struct timer *timer);
static void end_graces(struct core *core, void *machine, struct timer *timer);

void detector_init(struct detector *detector)
{
    *detector = (struct detector){0};
    detector->tick.fire = tick;
    detector->tick.machine = detector;
    detector->grace.fire = end_graces;
    detector->grace.machine = detector;
}

void detector_done(struct detector *detector)
{
    for (uint32_t i = 0; i < detector->count; i++)
        mem_free(detector->peers[i]);
    mem_free(detector->peers);
    *detector = (struct detector){0};
}

static struct detector_peer *find(const struct detector *detector, struct node_id id)
{
    uint32_t low = 0, high = detector->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = id_compare(detector->peers[middle]->id, id);
        if (order == 0)
            return detector->peers[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* --------------------------------------------------------------------------------------- Whom. */

static struct detector_peer *peer_new(const struct core *core, const struct member *member)
{
    struct detector_peer *peer = mem_zero(sizeof(*peer));
    peer->id = member->id;
    peer->record_generation = member->generation;
    peer->up = true;
    peer->unknown = true;
    peer->known_us = core->now.us;
    peer->since_us = core->now.us;
    return peer;
}

/* It may be up or down: nothing is known of its present life. */
static void make_unknown(struct detector_peer *peer, const struct core *core)
{
    peer->unknown = true;
    peer->known_us = core->now.us;
    peer->asked_us = 0;
    peer->suspect_us = 0;
}

static void set_up(struct core *core, struct detector_peer *peer, bool up)
{
    if (peer->up == up)
        return;
    peer->up = up;
    peer->clock.us = 0; /* In its next life it may be another. */
    peer->since_us = core->now.us;
    core_signal(core, up ? SIGNAL_PEER_UP : SIGNAL_PEER_DOWN)->node = peer->id;
}

/* Both arrays are sorted by id: keep who is in both, add who is new, free who has gone. */
static void follow_members(struct detector *detector, struct core *core)
{
    const struct member_table *members = &core->members;
    struct detector_peer **peers = mem_alloc((members->count + 1) * sizeof(struct detector_peer *));
    uint32_t count = 0, old = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = members->members[i];
        if (id_equal(member->id, core->self))
            continue;
        while (old < detector->count && id_compare(detector->peers[old]->id, member->id) < 0)
            mem_free(detector->peers[old++]);
        if (old < detector->count && id_equal(detector->peers[old]->id, member->id))
            peers[count] = detector->peers[old++];
        else
            peers[count] = peer_new(core, member);
        struct detector_peer *peer = peers[count++];
        if (peer->record_generation < member->generation) {
            peer->record_generation = member->generation;
            if (!peer->up && !peer->shares) {
                make_unknown(peer, core);
                set_up(core, peer, true);
            }
        }
    }
    while (old < detector->count)
        mem_free(detector->peers[old++]);
    mem_free(detector->peers);
    detector->peers = peers;
    detector->count = count;
    detector->members_seen = members->changes;
}

static void follow_ring(struct detector *detector, struct core *core)
{
    for (uint32_t i = 0; i < detector->count; i++) {
        detector->peers[i]->shared = detector->peers[i]->shares;
        detector->peers[i]->shares = false;
    }
    for (uint32_t range = 0; core->ring.records && range < ring_ranges(&core->ring); range++) {
        const struct range_record *record = ring_get(&core->ring, range);
        if (!record_has_member(record, core->self))
            continue;
        struct node_id nodes[2 * SLOTS_MAX];
        uint32_t count = record_members(record, nodes);
        for (uint32_t i = 0; i < count; i++) {
            struct detector_peer *peer = find(detector, nodes[i]);
            if (peer)
                peer->shares = true;
        }
    }
    /* Nobody expected to hear of it until now: its silence so far means nothing. */
    for (uint32_t i = 0; i < detector->count; i++)
        if (detector->peers[i]->shares && !detector->peers[i]->shared)
            make_unknown(detector->peers[i], core);
    memcpy(detector->ring_seen, core->ring.hashes, sizeof(detector->ring_seen));
}

static void follow(struct detector *detector, struct core *core)
{
    bool members_changed = detector->members_seen != core->members.changes;
    if (members_changed)
        follow_members(detector, core);
    if (members_changed ||
        memcmp(detector->ring_seen, core->ring.hashes, sizeof(detector->ring_seen)) != 0)
        follow_ring(detector, core);
}

/* ------------------------------------------------------------------------------------ Silence. */

/* A window of at least a ping interval gives one sample, its longest silence; shorter ones count as
 * the interval, else busy traffic would make every lull a failure. Means move by a sixteenth, so
 * that some minutes of traffic are remembered. The first message is no sample. */
static void take_sample(const struct detector *detector, struct detector_peer *peer,
                        const struct core *core)
{
    uint64_t now = core->now.us, interval = core->timing.ping_us;
    bool first = peer->unknown || !peer->up || peer->heard_us < detector->judged_from_us;
    if (first || peer->window_us == 0) {
        peer->window_us = now;
        peer->gap_us = 0;
        return;
    }
    peer->gap_us = MAX(peer->gap_us, now - peer->heard_us);
    if (now - peer->window_us < interval)
        return;
    uint64_t sample = MIN(MAX(peer->gap_us, interval), 8 * interval);
    if (peer->mean_us == 0) {
        peer->mean_us = sample;
    } else {
        uint64_t off = sample > peer->mean_us ? sample - peer->mean_us : peer->mean_us - sample;
        peer->deviation_us = peer->deviation_us - peer->deviation_us / 16 + off / 16;
        peer->mean_us = peer->mean_us - peer->mean_us / 16 + sample / 16;
    }
    peer->window_us = now;
    peer->gap_us = 0;
}

/* How long it has been silent by no fault of ours. */
static uint64_t silence(const struct detector *detector, const struct core *core,
                        const struct detector_peer *peer)
{
    uint64_t from = MAX(peer->heard_us, detector->judged_from_us);
    return core->now.us > from ? core->now.us - from : 0;
}

/* -log10 of the chance that a living peer is silent for so long, with normal gaps: the logistic
 * approximation of the tail as Akka has it, whose last term is below 0.31 and left out. The
 * standard deviation is 1.25 times the mean one, and at least half a ping interval, for that is how
 * finely we ping. The local health (Lifeguard: Dadgar et al., 2018) stretches it all. */
static double phi_of(const struct detector *detector, const struct core *core,
                     const struct detector_peer *peer)
{
    uint64_t interval = core->timing.ping_us;
    double mean = (double)MAX(peer->mean_us, interval);
    double deviation = (double)MAX(peer->deviation_us * 5 / 4, interval / 2);
    double elapsed = (double)silence(detector, core, peer) / (1 + detector->health);
    double y = (elapsed - mean) / deviation;
    return y <= 0 ? 0 : y * (1.5976 + 0.070566 * y * y) * 0.4342944819;
}

static void ping(struct detector *detector, struct core *core, struct detector_peer *peer,
                 enum message_type type, uint64_t sequence)
{
    struct message *message = core_send(core, peer->id, type);
    message->ping.sequence = sequence;
    message->ping.generation = core->generation;
    message->ping.position = core->logged + core->logged_others;
    message->ping.hlc = core_hlc(core);
    message->ping.load = detector->load;
    message->ping.wall_ms = core->own_wall_ms;
}

static void ping_now(struct detector *detector, struct core *core, struct detector_peer *peer)
{
    peer->ping_number = ++detector->sequence;
    peer->pinged_us = core->now.us;
    ping(detector, core, peer, MESSAGE_PING, peer->ping_number);
}

static bool pinged_within(const struct detector_peer *peer, const struct core *core, uint64_t us)
{
    return peer->pinged_us > 0 && core->now.us - peer->pinged_us < us;
}

/* ----------------------------------------------------------------------------------- Verdicts. */

static void judge_sharing(struct detector *detector, struct core *core, struct detector_peer *peer)
{
    uint64_t interval = core->timing.ping_us;
    uint64_t quiet = silence(detector, core, peer);
    /* One lost ping must not decide: who is up is pinged twice an interval once it is late. Who is
     * never silent is asked all the same, for its clock and how far its log is, and told of ours.
     */
    bool late = peer->unknown || quiet >= interval;
    uint64_t pause = peer->up ? interval / 2 : interval;
    if (!pinged_within(peer, core, late ? pause : TALK_INTERVALS * interval))
        ping_now(detector, core, peer);
    bool silent = phi_of(detector, core, peer) >= DOWN_PHI;
    if (peer->unknown)
        silent = quiet >= interval && core->now.us - peer->known_us >= interval;
    if (peer->up && silent)
        set_up(core, peer, false);
}

static void judge_other(struct detector *detector, struct core *core, struct detector_peer *peer)
{
    uint64_t interval = core->timing.ping_us;
    if (detector->clocks_wanted > 0 && peer->up &&
        !pinged_within(peer, core, TALK_INTERVALS * interval)) {
        detector->clocks_wanted--;
        ping_now(detector, core, peer);
    }
    if (peer->asked_us == 0)
        return;
    uint64_t open = core->now.us - MAX(peer->asked_us, MIN(detector->judged_from_us, core->now.us));
    if (peer->up && open >= interval && !pinged_within(peer, core, interval / 2))
        ping_now(detector, core, peer);
    if (open >= 4 * interval * (1 + detector->health))
        set_up(core, peer, false);
}

/* Late ticks say that it is we who are slow. Other nodes' silence does not: it may be just what it
 * seems, and would then delay its own verdict. */
static void judge_ourselves(struct detector *detector, const struct core *core, uint64_t step)
{
    uint64_t now = core->now.us, interval = core->timing.ping_us;
    uint64_t due = detector->ticked_us + step;
    uint64_t late = detector->ticked_us > 0 && now > due ? now - due : 0;
    detector->ticked_us = now;
    detector->on_time = late < interval / 2 ? detector->on_time + 1 : 0;
    if (detector->on_time == 0)
        detector->health = MIN(detector->health + 1, (uint32_t)HEALTH_MAX);
    else if (detector->on_time % 8 == 0 && detector->health > 0)
        detector->health--;
    if (late >= 2 * interval)
        detector->judged_from_us = now; /* What was sent meanwhile is still to be read. */
}

/* Who shares ranges with few may not know enough clocks to judge its own by: then others are asked
 * as well. */
static void judge_clocks(struct detector *detector, struct core *core)
{
    struct clock_bounds clocks[CLOCKS_MAX];
    uint64_t old_us = CLOCK_INTERVALS * core->timing.ping_us;
    uint32_t count = 0;
    for (uint32_t i = 0; i < detector->count && count < CLOCKS_MAX; i++) {
        const struct detector_peer *peer = detector->peers[i];
        if (peer->up && peer->clock.us > 0 && core->now.us - peer->clock.us < old_us)
            clocks[count++] = peer->clock;
    }
    core->peers = peer_clocks_of(clocks, count);
    detector->clocks_wanted = count < CLOCKS_LEAST ? CLOCKS_LEAST - count : 0;
}

static void tick(struct core *core, void *machine, struct timer *timer)
{
    struct detector *detector = machine;
    uint64_t step = core->timing.ping_us / 4;
    core_timer_set(core, timer, core->now.us + step);
    follow(detector, core);
    judge_ourselves(detector, core, step);
    judge_clocks(detector, core);
    for (uint32_t i = 0; i < detector->count; i++) {
        if (detector->peers[i]->shares)
            judge_sharing(detector, core, detector->peers[i]);
        else
            judge_other(detector, core, detector->peers[i]);
    }
}

/* Sets the timer to the next end of a grace, if there is one. */
static void end_graces(struct core *core, void *machine, struct timer *timer)
{
    struct detector *detector = machine;
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < detector->count; i++) {
        struct detector_peer *peer = detector->peers[i];
        if (peer->suspect_us == 0)
            continue;
        if (peer->suspect_us <= core->now.us) {
            peer->suspect_us = 0;
            set_up(core, peer, false);
        } else {
            next = MIN(next, peer->suspect_us);
        }
    }
    if (next != UINT64_MAX)
        core_timer_set(core, timer, next);
}

/* ------------------------------------------------------------------------------------- Events. */

static void peer_asked(struct core *core, struct node_id node)
{
    detector_asked(core->detector, core, node);
}

static void peer_answered(const struct core *core, struct node_id node, uint64_t us)
{
    detector_answered(core->detector, node, us);
}

static uint64_t peer_p99_us(const struct core *core, struct node_id node)
{
    return detector_p99_us(core->detector, node);
}

/* A directory that was copied before the last start draws the generation of that start again: two
 * lives under one number, told apart by their nonces. */
static uint64_t peer_position(const struct core *core, struct node_id node, uint64_t generation,
                              uint64_t nonce)
{
    const struct detector_peer *peer = find(core->detector, node);
    if (!peer)
        return 0;
    bool another = generation > peer->generation || (peer->nonce != 0 && nonce != peer->nonce);
    return another ? MAX(peer->position, peer->position_before) : peer->position_before;
}

void detector_start(struct detector *detector, struct core *core)
{
    core->peer_answered = peer_answered;
    core->peer_p99_us = peer_p99_us;
    core->detector = detector;
    core->peer_is_up = detector_is_up;
    core->peer_asked = peer_asked;
    core->peer_position = peer_position;
    detector->judged_from_us = core->now.us;
    core_timer_set(core, &detector->tick, core->now.us);
}

void detector_heard(struct detector *detector, struct core *core, struct node_id node)
{
    struct detector_peer *peer = find(detector, node);
    if (!peer)
        return;
    take_sample(detector, peer, core);
    peer->heard_us = core->now.us;
    peer->asked_us = 0;
    peer->suspect_us = 0;
    if (peer->unknown && peer->up) /* No more a guess: that is news to those who wait for it. */
        core_signal(core, SIGNAL_PEER_UP)->node = peer->id;
    peer->unknown = false;
    set_up(core, peer, true);
}

static void note_position(struct detector_peer *peer, uint64_t generation, uint64_t position)
{
    if (generation > peer->generation) {
        peer->position_before = MAX(peer->position_before, peer->position);
        peer->position = 0;
        peer->generation = generation;
        peer->nonce = 0;
    }
    peer->position = MAX(peer->position, position);
}

void detector_greeted(struct detector *detector, struct node_id node, uint64_t generation,
                      uint64_t nonce, uint64_t position)
{
    struct detector_peer *peer = find(detector, node);
    if (!peer || generation < peer->generation)
        return;
    if (generation == peer->generation && peer->nonce != 0 && peer->nonce != nonce)
        return; /* It is told that it is another one, again if need be. */
    note_position(peer, generation, position);
    peer->nonce = nonce;
    /* Where it started is what its lives before had synced, of which we may not have heard. */
    peer->position_before = MAX(peer->position_before, position);
}

/* An answer that took long says too little. */
static void take_clock(const struct core *core, struct detector_peer *peer, uint64_t wall_ms)
{
    uint64_t trip_us = core->now.us - peer->pinged_us;
    if (wall_ms > 0 && wall_ms <= INT64_MAX / 2 &&
        trip_us <= (uint64_t)core->timing.clock_skew_ms * 1000 / 2)
        peer->clock = clock_bounds_of(wall_ms, peer->pinged_us, core->now.us);
}

void detector_message(struct detector *detector, struct core *core, struct node_id from,
                      const struct message *message)
{
    struct detector_peer *peer = find(detector, from);
    if (!peer || message->ping.generation < peer->generation)
        return;
    note_position(peer, message->ping.generation, message->ping.position);
    (void)core_hlc_seen(core, message->ping.hlc);
    if (message->type == MESSAGE_PING) {
        ping(detector, core, peer, MESSAGE_PONG, message->ping.sequence);
    } else if (peer->ping_number != 0 && message->ping.sequence == peer->ping_number) {
        peer->ping_number = 0;
        latency_add(&peer->latency, core->now.us - peer->pinged_us);
        take_clock(core, peer, message->ping.wall_ms);
    }
}

void detector_lost(struct detector *detector, struct core *core, struct node_id node)
{
    struct detector_peer *peer = find(detector, node);
    if (!peer || !peer->up || peer->suspect_us != 0)
        return;
    /* Time to connect again, and for the answer: a few times its slowest on a long line. */
    uint64_t grace = core->timing.retry_us + 4 * latency_p99_us(&peer->latency);
    peer->suspect_us = core->now.us + grace;
    ping_now(detector, core, peer);
    if (!timer_is_set(&detector->grace) || detector->grace.node.time > peer->suspect_us)
        core_timer_set(core, &detector->grace, peer->suspect_us);
}

void detector_asked(struct detector *detector, struct core *core, struct node_id node)
{
    struct detector_peer *peer = find(detector, node);
    if (peer && peer->asked_us == 0)
        peer->asked_us = core->now.us;
}

void detector_answered(struct detector *detector, struct node_id node, uint64_t us)
{
    struct detector_peer *peer = find(detector, node);
    if (peer)
        latency_add(&peer->latency, us);
}

/* ------------------------------------------------------------------------------------ Answers. */

bool detector_is_up(const struct core *core, struct node_id node)
{
    if (id_equal(node, core->self))
        return true;
    const struct member *member = member_find(&core->members, node);
    if (!member || member->status == MEMBER_MAINTENANCE)
        return false;
    const struct detector_peer *peer = find(core->detector, node);
    return !peer || peer->up; /* A member since the last tick is unknown, as in peer_new. */
}

uint64_t detector_p99_us(const struct detector *detector, struct node_id node)
{
    const struct detector_peer *peer = find(detector, node);
    return peer ? latency_p99_us(&peer->latency) : 0;
}

bool detector_status(const struct detector *detector, const struct core *core, struct node_id node,
                     struct detector_status *ret_status)
{
    const struct detector_peer *peer = find(detector, node);
    if (!peer)
        return false;
    *ret_status = (struct detector_status){.up = peer->up,
                                           .shares = peer->shares,
                                           .phi = phi_of(detector, core, peer),
                                           .heard_us = peer->heard_us,
                                           .since_us = peer->since_us,
                                           .p99_us = latency_p99_us(&peer->latency),
                                           .generation = peer->generation,
                                           .position = peer->position};
    return true;
}

void detector_set_load(struct detector *detector, const struct load *load)
{
    detector->load = *load;
}
