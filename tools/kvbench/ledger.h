/* What was written, what was acknowledged, and whether what is read can be right.
 *
 * Every checked value names its run, its key and its sequence number, and all its bytes follow from
 * these three, so a reader can tell a torn, foreign or invented value from a good one. Of each key
 * at most one put is under way, so its sequence numbers are acknowledged in order; a put whose
 * outcome is unknown (no answer, TIMEOUT) may show up later and is allowed for. */
#ifndef LEDGER_H
#define LEDGER_H

#include "base/buf.h"

enum { LEDGER_VALUE_MIN = 56 };

struct ledger_key {
    uint32_t sent;    /* Highest sequence number ever sent; 0 none. */
    uint32_t acked;   /* Highest acknowledged. */
    uint32_t unknown; /* Highest with an unknown outcome. */
    bool busy;        /* A put is under way. */
    uint64_t older;   /* Bit i: so has unknown - 1 - i. */
};

struct ledger {
    uint64_t run;            /* Names this run in its values. */
    struct ledger_key *keys; /* Owned. */
    uint64_t keys_count;
};

enum ledger_verdict {
    LEDGER_RIGHT,
    LEDGER_STALE, /* Older than what was acknowledged before the read began, or missing. */
    LEDGER_WRONG, /* Never written: foreign bytes, another key's value, not yet sent. */
};

void ledger_init(struct ledger *ledger, uint64_t run, uint64_t keys);
void ledger_done(struct ledger *ledger);
/* Append the value of (KEY, SEQUENCE): SIZE bytes, at least LEDGER_VALUE_MIN. */
void ledger_value(const struct ledger *ledger, uint64_t key, uint32_t sequence, size_t size,
                  struct buf *out);
/* Begin a put of KEY: its sequence number, or 0 when one is under way. */
uint32_t ledger_begin(struct ledger *ledger, uint64_t key);
/* The put was acknowledged; or it certainly did not happen; or nobody knows. */
void ledger_acked(struct ledger *ledger, uint64_t key, uint32_t sequence);
void ledger_refused(struct ledger *ledger, uint64_t key, uint32_t sequence);
void ledger_unknown(struct ledger *ledger, uint64_t key, uint32_t sequence);
/* Judge what a read of KEY brought. FLOOR is ledger_floor from before the read began; FOUND false:
 * not found. */
static inline uint32_t ledger_floor(const struct ledger *ledger, uint64_t key)
{
    return ledger->keys[key].acked;
}
enum ledger_verdict ledger_judge(const struct ledger *ledger, uint64_t key, uint32_t floor,
                                 bool found, struct slice value);

/* Write all of it to a file, or read it back: 0, or ERR_IO / ERR_CORRUPT. */
int ledger_save(const struct ledger *ledger, const char *path) CHECK_RESULT;
int ledger_load(struct ledger *ret_ledger, const char *path) CHECK_RESULT;

#endif
