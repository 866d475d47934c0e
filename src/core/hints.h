/* Hints: writes that this node keeps for slots of ranges of which it is no member, because an owner
 * could not be reached, and their delivery (Dynamo section 4.6; docs/protocol.md, "Hints").
 *
 * A hint is the whole object of a key with the numbers of the slots that it is for. It is addressed
 * to slots, not to nodes: it goes to whoever writes them at delivery.
 *
 *   HINT     a coordinator's write for a slot -> REPLY, once it is as durable as a write would be
 *   READ     (hinted) -> REPLY with the object, or NOT_FOUND: only a holder counts for a get
 *   WRITE    (repair, sync) to all writers of the slots -> REPLY from each; then it is forgotten
 *
 * What faults do, step by step:
 * - HINT lost or repeated: the coordinator sends it again, and merging once more changes nothing.
 *   A crash before it is durable: no acknowledgement was sent. After: it is there again, counted
 *   before anything new is taken, and delivered.
 * - WRITE lost: sent again at the retry interval, and in the next round if nobody answers.
 * Repeated: merges to the same object. A crash between any two: the hint is still there and goes
 * out again.
 * - REPLY lost or repeated: as WRITE; acknowledgements are bits by slot and writer.
 * - a newer record meanwhile: acknowledgements of the older one count no more, as with a put.
 * - the hint grew meanwhile: what is forgotten is what was delivered, by the digest of its bytes.
 * - a crash after the settling is in the log but not on the disk: delivered once more.
 *
 * Never dropped: over its bounds a node refuses (BUSY), and the next fallback is tried. A hint of a
 * slot that is gone goes to all slots; one whose slot has no writer, or is being rebuilt, waits.
 *
 * Why a fallback's versions are safe (PROTOCOL.md section 7). The entry (a, n) of a vector stands
 * for all dots of actor a up to n, so who makes a dot of a key must hold, or have seen overwritten,
 * all earlier dots of that actor and key. A fallback makes its versions on top of its hint of the
 * key, in one step of the store, and there is one hint a key whatever slots it is for. So as long
 * as a hint has only grown, it holds every version that this node made of the key under its tenure.
 * Two things end that. A hint leaves: hence the range's tenure is renewed in the step that asks for
 * the removal, before it, and what is made after it has an actor without a past. And the process
 * ends: what was not synced may be gone, so no tenure outlives the process. It is drawn from the
 * generation, which is on the disk before the first message and never comes again: so renewing
 * needs no write, and is as durable as if it had one. A damaged hint takes no new version at all.
 * The hint that is removed is the one that was delivered (same bytes), so a version made between
 * the delivery and the removal keeps its hint, and the next one is made on top of it.
 *
 * A damaged hint is counted, and its key is asked of its owners until they all have the same
 * (coord_heal.c); only then is it forgotten. What it had been counted for cannot be told: so
 * whenever all hints of a range were read in one page, the figures of the range are what was read.
 *
 * Flow control: one page of at most 64 hints or 256 KiB is under way at a time; after it comes a
 * pause as long as it took, so that delivery takes at most half of what the slowest writer gives,
 * and a second when a writer refused; and it waits until what it moved is paid for at the rate that
 * clients' requests bear (pace.h). */
#ifndef HINTS_H
#define HINTS_H

#include "core/node.h"

enum { HINTS_PAGE = 64, HINTS_PAGE_BYTES = 256 * 1024 };

/* One hint of the page that is being delivered. */
struct hint_out {
    uint64_t id; /* Of its WRITEs. 0: over. */
    uint32_t range;
    uint64_t hash;
    struct buf name; /* Owned. Bucket and key, */
    size_t bucket_size;
    struct buf object; /* Owned. */
    uint8_t slots;     /* That it is for, */
    uint8_t due;       /* of these those being delivered now. */
    struct range_epoch epoch;
    uint8_t to[SLOTS_MAX];    /* By index in the record: bits of writers to be asked, */
    uint8_t acked[SLOTS_MAX]; /* of these the ones that have it synced. */
    uint32_t attempts;
};

struct hints {
    struct map takes; /* token value -> struct hint_take. Owned. */
    uint64_t tokens_next;
    struct hint_out page[HINTS_PAGE];
    uint32_t page_count; /* 0: none is under way. */
    uint32_t page_open;  /* Of these not over yet. */
    bool page_failed;
    uint64_t page_began_us;
    bool scanning;   /* A page, or the count, is being read. */
    uint64_t cursor; /* Where the next page begins: keys of that hash up to `name` are done. */
    struct buf cursor_name; /* Owned. Bucket and key, */
    size_t cursor_bucket_size;
    bool more;           /* The last scan ended at a bound. */
    uint32_t scan_range; /* In which it began, */
    bool scan_whole;     /* at its first hash. */
    bool measures;       /* It delivers nothing. */
    bool checking;       /* All hints are looked at, for how many are damaged: */
    uint64_t check_us;   /* next at this time, */
    uint64_t check_bad;  /* so many so far. */
    bool started;
    uint64_t settled; /* Position of the last settlement: a loss of power before it is synced brings
                       * the hint back. */
    struct timer timer;
};

void hints_init(struct hints *hints, uint64_t bytes_max, struct core *core);
void hints_done(struct hints *hints, struct core *core);
/* The node is a member: count what recovery found, then deliver. */
void hints_start(struct hints *hints, struct core *core);
/* Takes HINT, READ of hints, and REPLY to deliveries. */
void hints_message(struct hints *hints, struct core *core, struct node_id from,
                   const struct message *message);
void hints_stored(struct hints *hints, struct core *core, const struct store_done *done);
void hints_durable(struct hints *hints, struct core *core, uint64_t token);
/* NODE is up again, or a range has a newer record: look soon. */
void hints_look(struct hints *hints, struct core *core);

/* What holds the hints for slot NUMBER of RANGE: fills in RET's hold, node and error. */
void hints_hold(const struct core *core, const struct hinted_range *range, uint32_t number,
                struct hint_target *ret_target);
/* Is there nothing left that only this node may have? */
bool hints_empty(const struct hints *hints, const struct core *core);

/* Is the answer to a request with this id the hint machine's? */
static inline bool hints_own_id(uint64_t id)
{
    return token_owner(id) == OWNER_HINTS;
}

/* Count the next page of what recovery found; hints.c, for hints_deliver.c. */
void hints_count(struct hints *hints, struct core *core);
/* The next scan begins with the first hint, */
void hints_rewind(struct hints *hints);
/* or goes on behind LAST. */
void hints_set_cursor(struct hints *hints, const struct entry *last);
/* hints_deliver.c, for hints.c. */
void hints_deliver_fire(struct core *core, void *machine, struct timer *timer);
void hints_deliver_scanned(struct hints *hints, struct core *core, const struct store_done *done);
void hints_deliver_settled(struct hints *hints, struct core *core, const struct store_done *done);
void hints_deliver_reply(struct hints *hints, struct core *core, struct node_id from,
                         const struct message *message);

/* Tokens of OWNER_HINTS: what for is in the low bits. */
enum hint_token { HINT_TAKE = 0, HINT_COUNT, HINT_SCAN, HINT_SETTLE };
static inline uint64_t hint_token(uint64_t number, enum hint_token what)
{
    return token_of(OWNER_HINTS, number << 2 | what);
}

#endif
