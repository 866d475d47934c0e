/* Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014, section 3), in one
 * integer that only grows: 48 bits of milliseconds since 1970, and 16 bits that begin at what the
 * wall clock says of the millisecond, and count from there. So two nodes whose clocks agree to the
 * microsecond order by it what was written through them within one millisecond. */
#ifndef HLC_H
#define HLC_H

#include "base/base.h"

static inline uint64_t hlc_at(uint64_t wall_ms)
{
    return wall_ms << 16;
}

static inline uint64_t hlc_ms(uint64_t hlc)
{
    return hlc >> 16;
}

/* Of a horizon that comes from elsewhere: what is stamped above it still is a stamp (object.h). */
#define HLC_HORIZON_MAX (UINT64_MAX >> 2)

/* A stamp above LAST and, where the wall clock is ahead of it, at the wall clock. */
static inline uint64_t hlc_next(uint64_t last, uint64_t wall)
{
    return wall > last ? wall : last + 1;
}

#endif
