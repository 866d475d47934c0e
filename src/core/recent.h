/* Puts by a name, the one their client gave them, so that a retry takes effect once at the same
 * coordinator (docs/protocol.md, "Requests"; invariant RetryOnce).
 *
 * Bounded in number and time: remembered for two deadlines, the oldest dropped past RECENT_MAX. */
#ifndef RECENT_H
#define RECENT_H

#include "base/map.h"

enum { RECENT_MAX = 65536 };

struct recent_put {
    uint64_t client;
    uint64_t sequence;
    uint64_t op;         /* The operation while it is unanswered, 0 afterwards. */
    uint64_t expires_us; /* Of the monotonic clock. */
    uint64_t hlc;        /* Of the version, once answered with success. */
    uint8_t needed;
    uint8_t got;
    bool sloppy;  /* Fallbacks were counted. */
    uint64_t key; /* In the map. */
    struct recent_put *next;
};

struct recent {
    struct map puts; /* checksum_pair(client, sequence) -> struct recent_put. Owned. */
    struct recent_put *oldest;
    struct recent_put *newest;
};

void recent_done(struct recent *recent);
/* The put of that name, or NULL. */
struct recent_put *recent_find(const struct recent *recent, uint64_t client, uint64_t sequence);
/* Remember a put that begins as operation OP; drops what expired before NOW_US. */
void recent_add(struct recent *recent, uint64_t client, uint64_t sequence, uint64_t op,
                uint64_t now_us, uint64_t expires_us);
/* Forget it: it was refused, so a retry is a new attempt. */
void recent_remove(struct recent *recent, uint64_t client, uint64_t sequence);

#endif
