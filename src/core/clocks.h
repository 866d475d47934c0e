/* By which clocks a node judges its own (docs/decisions/0017).
 *
 * All are wall clocks less this node's monotonic clock, in milliseconds, so that a jump of the own
 * wall clock shows at once. Pure: no state but what is passed in. */
#ifndef CLOCKS_H
#define CLOCKS_H

#include "base/base.h"

enum { CLOCKS_MAX = 64 }; /* Peers by whose clocks the own is judged. */

/* A peer's clock is between these, by what it said at US of our clock; US is 0: it said nothing. */
struct clock_bounds {
    int64_t low_ms;
    int64_t high_ms;
    uint64_t us;
};

/* Wherever the own clock is, its median with the peers' is the own one clamped to these. */
struct peer_clocks {
    bool known; /* With fewer than two peers nobody can say whose clock is wrong. */
    int64_t low_ms;
    int64_t high_ms;
};

/* Of a peer that was asked at ASKED_US and whose answer, WALL_MS of its clock, came at NOW_US: when
 * it read its clock nobody knows, if either side was slow or stopped meanwhile. */
struct clock_bounds clock_bounds_of(uint64_t wall_ms, uint64_t asked_us, uint64_t now_us);
/* Of COUNT peers, which are sorted on the way. */
struct peer_clocks peer_clocks_of(struct clock_bounds *peers, uint32_t count);
/* How far OWN is ahead of the median at least (below 0: behind it); 0 if that is not known. */
int64_t peer_clocks_off_ms(const struct peer_clocks *peers, int64_t own_ms);

#endif
