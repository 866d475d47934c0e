/* How fast work in the background may go: as fast as clients' requests do not feel it (admission by
 * feedback; Dynamo section 6.5).
 *
 * What compares replicas, delivers hints and moves ranges asks here before it begins something, and
 * says what that cost: bytes, and for what takes time beside its bytes so many more, about 200 for
 * a microsecond. Once a second the 99th percentile of the time that requests took is judged: the
 * rate becomes as much lower as they took longer than the limit, or as much higher as they stayed
 * below it, by a half or a quarter at most, and never over twice what was spent. The limit follows
 * what requests take by themselves, which is learnt while nothing runs in the background, or next
 * to nothing. So a load that becomes slow for reasons of its own slows the background down for a
 * while only, and the lowest rate keeps it going in any case. While nobody asks for anything
 * nothing is held back.
 *
 * Where there is time to spare requests feel nothing, and yet their machine would work for the
 * background most of the time. So while there are requests, what nodes do by themselves may also
 * cost no more than a share of what requests cost, or than a small part of a processor. Moves are
 * an administrator's wish: they take whatever requests do not feel.
 *
 * Pure: the time comes in, no randomness, no I/O. A crash forgets what was learnt; messages that
 * are lost or repeated cost what they cost. */
#ifndef PACE_H
#define PACE_H

#include "core/latency.h"
#include "data/id.h"

enum {
    PACE_RATE_MIN = 256 * 1024,       /* Bytes a second. */
    PACE_RATE_CALM = 2 * 1024 * 1024, /* What costs less is not felt. */
    PACE_RATE_FIRST = 4 * 1024 * 1024,
    PACE_RATE_MAX = 1024 * 1024 * 1024,
    PACE_LOOK_US = 1000000, /* Between two looks. */
    PACE_SLOW_US = 2000,    /* What takes less is never slow. */
    /* For each request of a second, or in all if that is more: some 15 % of what requests cost, or
     * 4 % of a processor. */
    PACE_SHARE = 2048,
    PACE_SHARE_MIN = 8 * 1024 * 1024,
    /* Beside the bytes, at both ends: */
    PACE_MESSAGE_COST = 4096, /* of a message and its answer, */
    PACE_WRITE_COST = 2048,   /* of one of many writes that leave together, or of an object, */
    PACE_RANGE_COST = 4096,   /* of comparing the digests of a range. Six times what it takes, for
                               * that is done although nothing may be missing, */
    PACE_RECORD_COST = 65536, /* of a record that voters agree upon, */
    PACE_MOVE_COST = 3 * PACE_RECORD_COST, /* of those of a range that moves. */
    PACE_PEERS_MAX = 8,
    PACE_UNSURE_LOOKS = 10, /* For so long a few samples are gathered, until they are enough. */
};

struct pace {
    uint64_t rate;         /* Bytes a second, as what requests feel allows, */
    uint64_t share;        /* and as what they cost does. */
    uint64_t answered;     /* Requests since the last look. */
    uint64_t limit_us;     /* What requests may take, 0: not known. */
    uint64_t calm_us;      /* What they take by themselves, 0: not known. */
    uint64_t p99_us;       /* What they took when last looked, 0: there were too few. */
    bool idle;             /* Nobody asked for anything since the last look but one. */
    uint64_t free_us;      /* What was begun is paid for at this time, */
    uint64_t move_free_us; /* and of moves, which pay by `rate` alone: neither starves the other. */
    uint64_t spent;        /* Bytes, since the last look, */
    uint64_t total;        /* and in all. */
    uint64_t slowed;       /* How often requests took too long. */
    uint32_t unsure;       /* Looks in a row without enough samples. */
    struct latency requests;              /* Answered since the last look that had enough. */
    struct node_id peers[PACE_PEERS_MAX]; /* Who took part since the last look. */
    uint32_t peers_count;
};

void pace_init(struct pace *pace);
/* Bytes a second that what nodes do by themselves may cost now, and that moves may. */
static inline uint64_t pace_rate(const struct pace *pace)
{
    return pace->idle ? (uint64_t)PACE_RATE_MAX : MIN(pace->rate, pace->share);
}
static inline uint64_t pace_move_rate(const struct pace *pace)
{
    return pace->idle ? (uint64_t)PACE_RATE_MAX : pace->rate;
}
/* May something begin at NOW_US? A move asks `move_free_us` instead. */
static inline bool pace_free(const struct pace *pace, uint64_t now_us)
{
    return now_us >= pace->free_us;
}
/* When what was paid for until FREE_US is, and BYTES more at RATE bytes a second. */
static inline uint64_t pace_paid_us(uint64_t free_us, uint64_t now_us, uint64_t bytes,
                                    uint64_t rate)
{
    return MAX(free_us, now_us) + bytes * 1000000 / rate;
}
/* BYTES went to PEER and back, or will. */
void pace_take(struct pace *pace, uint64_t now_us, struct node_id peer, uint64_t bytes);
/* The same, for a move. */
void pace_take_move(struct pace *pace, uint64_t now_us, struct node_id peer, uint64_t bytes);
/* The same of what goes at a rate of its own: requests may feel it, but it waits for nothing. */
void pace_spent(struct pace *pace, struct node_id peer, uint64_t bytes);
/* A client's request was answered after so long. */
static inline void pace_answered(struct pace *pace, uint64_t us)
{
    latency_add(&pace->requests, us);
    pace->answered++;
}
/* Judge, once every PACE_LOOK_US: PEERS_P99_US is the highest of what those in `peers` say of
 * their own requests, 0 if they say nothing. QUIET: no node is known to be asked for anything. */
void pace_look(struct pace *pace, uint64_t peers_p99_us, bool quiet);
void pace_check(const struct pace *pace);

#endif
