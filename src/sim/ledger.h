/* What the clients asked for and were told, and what must follow from it: the promises of the
 * design, judged by values and answers alone.
 *
 *   AckedVisible       a strict quorum read returns at least the last write acknowledged before it
 *                      began, or what follows it (log mode always; and any fault)
 *   NoAckedWriteLost   the same at the end of the world for writes of any w, read with r=all; but
 *                      for those of less than a quorum that began before a node was lost, or a
 *                      record
 *   LaterReadsLater    under newest and lww, a write acknowledged before another began never reads
 *                      as the newer one
 *   NoDeletedReturns   what an acknowledged put or delete had seen is not returned any more, shown
 *                      or as a sibling; under newest and lww only of what was answered before: a
 *                      put that is not answered yet may be written once more, above one whose
 *                      writer saw its first self
 *   NoResurrection     what a collected version had overwritten is never read again
 *   LwwKeepsOne        of versions stamped lww one is left
 *   NoInventedSibling  every version ever returned was sent, whole, for that key
 *   RefusedIsRefused   a write refused with any code but TIMEOUT never shows
 *   PutOnce            under siblings, one put shows as one version
 *   RetryOnce          a retry at the same coordinator makes no second version (siblings only:
 *                      under the other policies a put may be written once more)
 *   RequestsAnswered   a node that lives answers every request soon after its deadline
 *   ScanComplete       a page of a strict quorum scan shows of each key in its part of the ring
 * what a strict quorum read of that key would (AckedVisible) ScanInOrder        it shows no key
 * twice, in order, and none of elsewhere DeadStaysDead      a version expires when its stamp and
 * time to live say, and is not read any more: anywhere, once the slowest clock has passed that
 * (clocks within skew_ms_max), nor by a process that has read anything at a later time */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include "sim/world.h"

enum entry_state {
    ENTRY_OPEN = 0,
    ENTRY_DONE,    /* Acknowledged; of a get: answered, found or not. */
    ENTRY_REFUSED, /* Nothing was changed, it says. */
    ENTRY_UNKNOWN, /* TIMEOUT, or whoever was asked died. */
};

/* One request of a client. A put's value names its number. */
struct entry_op {
    uint32_t number; /* From 1. */
    enum method method;
    enum policy policy;
    uint32_t key;
    bool strict; /* Asks for owners only. */
    bool strong; /* Counted on owners alone, r or w at least a quorum. */
    bool final;  /* A read at the end: r=all. */
    enum entry_state state;
    uint64_t begun, ended; /* By count of events: a total order. */
    uint64_t begun_us;
    uint32_t deadline_ms; /* Of the first attempt. */
    bool retried;         /* After TIMEOUT: may be there twice, through two coordinators. */
    uint32_t made_at;     /* Host that made a version of it, + 1, */
    uint32_t made_life;   /* and in which life. */
    struct dot dot;       /* Of the version made, as its answer shows it; counter 0: not known. */
    struct dot first;     /* The dot that version had before it was written once more. */
    uint64_t hlc;
    uint64_t ttl_ms;      /* PUT: 0 for ever. */
    uint64_t expires;     /* Of the version made. */
    uint32_t lives;       /* Processes started so far when it began. */
    uint32_t coordinator; /* Host + 1 that answered, 0 when that is not sure, */
    uint32_t coordinator_life;
    uint64_t read_hlc;     /* and its time by then. */
    uint64_t scan_from;    /* SCAN: the page's beginning, */
    struct slice scan_key; /* in the world's memory. */
    uint32_t *seen;        /* Numbers of the puts that its context covers. */
    uint32_t seen_count;
    struct entry_op *older; /* Of the same key and bucket. */
};

struct ledger;

struct ledger *ledger_new(struct world *world);
void ledger_free(struct ledger *ledger);

/* Note a request as it is sent. SEEN is copied. */
struct entry_op *ledger_begin(struct ledger *ledger, struct world *world, enum method method,
                              enum policy policy, uint32_t key, bool strong, const uint32_t *seen,
                              uint32_t seen_count);
/* Its answer, or NULL when whoever was asked died. Checks all that the answer must keep. */
void ledger_end(struct ledger *ledger, struct world *world, struct entry_op *op,
                const struct answer *answer);
/* The number of the put that VALUE is of, 0 if it is of none. */
uint32_t ledger_number(const struct ledger *ledger, struct slice value);
/* HOST has made a version, stamped siblings, of put NUMBER. */
void ledger_made(struct ledger *ledger, struct world *world, uint32_t host, uint32_t number);
/* Numbers of the puts among an object's siblings, into the ledger's memory. */
uint32_t ledger_seen(struct ledger *ledger, struct slice object, uint32_t **ret_seen);
uint32_t ledger_count(const struct ledger *ledger);

/* The bytes of a put: its number, then filler that its number decides. */
void ledger_value(uint32_t number, uint32_t size_max, struct buf *out);
/* The bucket of a policy and the name of a key. */
struct slice ledger_bucket(enum policy policy);

#endif
