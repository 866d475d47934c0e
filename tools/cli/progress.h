/* Progress of whatever takes longer than a second: a bar on a terminal, a plain line every few
 * seconds elsewhere. Always on stderr; silent when it is over within a second. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "base/base.h"

enum progress_unit { PROGRESS_COUNT = 1, PROGRESS_BYTES };

struct progress {
    const char *label;
    enum progress_unit unit;
    uint64_t total; /* 0: not known; then there is no bar and no time left. */
    uint64_t done;
    bool terminal;
    bool drawn;
    uint64_t start_us;
    uint64_t shown_us;
};

/* LABEL is borrowed. A bar of "rebalance" that counts "moves" reads:
 *   rebalance [##########----------]  50%  512/1024  41/s  12 s left  NOTE */
void progress_start(struct progress *progress, const char *label, enum progress_unit unit,
                    uint64_t total);
/* Cheap: draws at most ten times a second. NOTE is shown behind, NULL for none. */
void progress_set(struct progress *progress, uint64_t done, const char *note);
/* The total has become known, or has changed. */
void progress_total(struct progress *progress, uint64_t total);
/* Take the bar away, so that other lines can be printed; the next progress_set draws it again. */
void progress_clear(struct progress *progress);
/* Seconds since the start. */
double progress_seconds(const struct progress *progress);

#endif
