/* Who is up, as seen from here: phi accrual over direct traffic (Hayashibara et al., "The phi
 * Accrual Failure Detector", 2004; protocol.md, "Failure detection is local"). A verdict changes
 * routing, never ownership.
 *
 * Any message from a peer ends its silence. A peer that shares a range with this node is pinged
 * when it is silent for timing.ping_us, and is down when phi of its silence reaches DOWN_PHI. Of
 * others we would hear too seldom for that: such a peer goes down when it leaves something that was
 * asked of it unanswered, pings included. A broken connection makes any peer suspect at once: it is
 * pinged, and is down after a short grace without a sign of life.
 *
 * A peer that was never heard in this life: one that shares ranges counts as up for one ping
 * interval, or requests that arrive together with the node would find nobody, and then as down. One
 * that shares none counts as up until it fails us once: it may be long until it has a reason to
 * speak to us, and requests must be handed on meanwhile; and as its verdict cannot be renewed by
 * pings, a newer generation of its member record makes it unknown, and so up, again.
 *
 * Costs: heard O(log members); a look at all peers four times a ping interval. A crash forgets all
 * verdicts; lost, repeated or late messages only lengthen or end a silence. */
#ifndef DETECTOR_H
#define DETECTOR_H

#include "core/core.h"

struct detector_peer;

struct detector {
    struct detector_peer **peers; /* Owned; sorted by id: members other than self. */
    uint32_t count;
    struct timer tick;
    struct timer grace;      /* The earliest end of a suspect's grace. */
    uint64_t ticked_us;      /* Last tick; 0 before the first. */
    uint64_t judged_from_us; /* Silence before this is our own fault. */
    uint32_t on_time;        /* Ticks since the last late one. */
    uint32_t health;         /* 0 well .. HEALTH_MAX: how much slower we judge. */
    uint64_t sequence;       /* Of pings. */
    uint32_t clocks_wanted;  /* Of peers that share no range. */
    struct load load;        /* Own, sent along. */
    uint64_t members_seen;   /* Change count of the member table that peers are made from, */
    uint64_t ring_seen[RING_BUCKETS]; /* and hashes of the ring that sharing is made from. */
};

enum { DOWN_PHI = 8, HEALTH_MAX = 4 };

/* A peer's state, for status pages. */
struct detector_status {
    bool up;
    bool shares; /* A range with this node. */
    double phi;
    uint64_t heard_us;   /* Monotonic time of the last message, 0 never. */
    uint64_t since_us;   /* When it went up or down. */
    uint64_t p99_us;     /* 0 unknown. */
    uint64_t generation; /* Newest heard in pings, */
    uint64_t position;   /* with its synced log position. */
};

void detector_init(struct detector *detector);
void detector_done(struct detector *detector);
/* Begin to judge, and answer for core->peer_is_up and peer_asked. */
void detector_start(struct detector *detector, struct core *core);

/* A message came from NODE: call it for every one, before it is handled. */
void detector_heard(struct detector *detector, struct core *core, struct node_id node);
/* Takes PING and PONG. */
void detector_message(struct detector *detector, struct core *core, struct node_id from,
                      const struct message *message);
/* NODE said in a HELLO under which NONCE its life GENERATION greets, and from which log POSITION it
 * had started. */
void detector_greeted(struct detector *detector, struct node_id node, uint64_t generation,
                      uint64_t nonce, uint64_t position);
/* The connection to NODE broke. */
void detector_lost(struct detector *detector, struct core *core, struct node_id node);
/* Something was asked of NODE that it answers if it is alive. */
void detector_asked(struct detector *detector, struct core *core, struct node_id node);
/* A request to NODE was answered after so long. Pings note their own. */
void detector_answered(struct detector *detector, struct node_id node, uint64_t us);

/* Up, and not down for maintenance. True for self, false for who is no member. */
bool detector_is_up(const struct core *core, struct node_id node);
/* The 99th percentile of its answers' times, for hedging; 0 while fewer than 16 are known. */
uint64_t detector_p99_us(const struct detector *detector, struct node_id node);
/* False for who is no peer. */
bool detector_status(const struct detector *detector, const struct core *core, struct node_id node,
                     struct detector_status *ret_status);
/* The own load, to be sent with pings; its id, generation and sequence are filled in by its maker.
 */
void detector_set_load(struct detector *detector, const struct load *load);

#endif
