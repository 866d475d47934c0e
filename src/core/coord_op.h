/* One request under way: shared by the files of the coordinator, and by nobody else. */
#ifndef COORD_OP_H
#define COORD_OP_H

#include "base/rule.h"
#include "core/buckets.h"
#include "core/coord.h"

enum op_state {
    OP_WAITING,   /* For a usable record or reader; looked at again at the retry interval. */
    OP_FORWARDED, /* Handed to `target`. */
    OP_STORING,   /* PUT, EDIT: the local update is under way. */
    OP_WRITING,   /* PUT, EDIT: acknowledgements are counted, after the answer too. */
    OP_READING,   /* GET */
    OP_SCANNING,  /* SCAN */
    OP_ASKING,    /* EDIT: what the range's nodes hold. */
    OP_MERGING,   /* EDIT: what they hold is put into the own copy. */
};

/* What one replica answered to a SCAN of the present range. */
struct scan_part {
    struct buf bytes; /* Owned. Entries: hash, bucket, key, object. */
    bool answered;
    bool more;
};

/* A fallback that was asked. */
struct stand {
    struct node_id node;
    uint8_t slot;   /* PUT: index in the record of the slot it stands in for, */
    uint8_t writer; /* and which of its writers. */
    bool acked;     /* GET: it holds a hint of the key. */
    bool refused;   /* GET: it holds none. */
};

struct coord_op {
    struct coord *coord;
    uint64_t id;
    struct coord_op *older; /* List of all operations. */
    struct coord_op *newer;
    struct coord_op *next_freed;

    enum op_state state;
    struct request request;
    struct buf memory; /* Owned. What the request's slices point to. */
    uint64_t client;   /* Of a local request. */
    bool remote;       /* Forwarded to us by `from` under `from_id`. */
    struct node_id from;
    uint64_t from_id;
    uint8_t hops;
    struct range_epoch came_with; /* Of a forwarded request. */
    struct node_id target;        /* FORWARDED: to whom. */
    struct node_id avoid;         /* The last target that did not answer. */
    bool to_fallback;             /* FORWARDED: to a fallback. */
    bool asked_as_fallback;       /* The entry node can reach no reader that serves. */
    bool fallback;                /* Coordinated as a fallback. */
    bool hedged;                  /* PUT: writers that are silent are replaced too. */
    uint8_t refusals;             /* Of readers and fallbacks, to coordinate it; */
    uint8_t tries;                /* of these, of fallbacks. */
    uint8_t waits;                /* For news, so far. */
    bool answered;

    uint64_t hash;
    uint32_t range;
    struct bucket bucket;
    uint8_t needed;           /* r or w, resolved against the record's slots. */
    struct range_epoch epoch; /* Of the record that is counted. */
    uint64_t began_us;
    uint64_t deadline; /* HLC */
    uint64_t deadline_us;
    uint64_t given_us; /* How long its client gave it, whatever the clocks say is left of that. */
    uint64_t retry_at_us;
    uint64_t hedge_at_us; /* 0: none, or done. */
    struct timer timer;

    struct buf object; /* Owned. PUT: what is written. GET: merged so far. */
    uint64_t hlc;      /* PUT: of our version. */
    struct dot dot;    /* PUT: of the version that stands. */
    struct dot first;  /* PUT: while it is written once more, and since: of the one before. */
    bool local;        /* PUT: durable here. GET: our own object is merged. */
    bool left;         /* PUT: this node was no writer since, and may have dropped its copy. */
    bool revived;      /* PUT: given up once, asked for again, and stored once more. */
    bool rewritten;    /* PUT: written once more to read as the latest. */
    uint8_t looks;     /* PUT: for what overtook it, as long as their pause grows. */
    struct buf later;  /* Owned. PUT: an object with a later version, seen in an acknowledgement. */
    uint8_t acked[SLOTS_MAX]; /* PUT, EDIT: bits by writer; index as in the record. */
    uint8_t asked;            /* GET, SCAN: bits by slot index. */
    uint8_t got;              /* GET: bits by slot index. */
    uint8_t stale;            /* GET: bits by slot index: lacks something that another has. */
    uint64_t asked_us;        /* GET: when the last readers were asked. */
    bool digests;             /* GET, EDIT: digests are asked for first. */
    bool reading;             /* GET: our own record is asked for; */
    uint32_t reading_late;    /* so often it was, under an older record, and has not come yet. */
    bool unreadable;          /* GET: our own record is damaged; it may be healed meanwhile. */
    bool heals;               /* GET: asked by nobody; its outcome heals our own record, */
    uint64_t loss;            /* which was lost in the loss of that number, */
    bool discards;            /* or our hint of the key. */
    bool renewing;            /* PUT: met a damaged record, waits for a new tenure, */
    bool renewed;             /* and has it. */
    bool busy;                /* PUT, EDIT: waits for room in memory, to be stored then. */

    struct stand *stands; /* Owned. FALLBACKS_MAX of them, NULL while none is needed. */
    uint8_t stands_count;

    uint64_t stamp;     /* EDIT: what its version will be stamped. */
    bool made;          /* EDIT: a version was made. */
    uint8_t outcome;    /* EDIT: enum edit_outcome. */
    struct buf earlier; /* Owned. EDIT: the object before. */

    struct scan_part *parts; /* Owned. SCAN: SLOTS_MAX of them. */
    struct buf result;       /* Owned. SCAN: entries, as in a part. */
    uint32_t result_count;
    uint64_t cursor;
    struct buf cursor_key; /* Owned. */

    uint64_t hole_to;    /* SCAN with `heals`: of a hole (coord_hole.c) its last hash, */
    uint64_t portion_to; /* and that of the portion that is being merged: */
    size_t merging;      /* so many bytes of the result are in the store, */
    size_t merged;       /* and so many with the key that is being merged. */
};

static inline const struct range_record *op_record(const struct core *core,
                                                   const struct coord_op *op)
{
    return ring_get(&core->ring, op->range);
}

/* Is the range served by this node itself: a reader whose installed record is the newest known, and
 * ready? */
static inline bool op_serves(const struct core *core, uint32_t range)
{
    const struct holding *holding = &core->holdings[range];
    return holding->ready && record_slot_read_by(&holding->record, core->self) != NULL &&
           record_compare(&holding->record, ring_get(&core->ring, range)) == 0;
}

/* r or w against a range of SLOTS slots: larger numbers mean all. */
static inline uint8_t op_needed(uint8_t asked, uint8_t fallback, uint32_t slots)
{
    uint8_t level = asked == CONSISTENCY_DEFAULT ? fallback : asked;
    if (level == CONSISTENCY_QUORUM)
        return (uint8_t)((slots - !RULE(QUORUM_GROWS)) / 2 + 1);
    return (uint8_t)MIN((uint32_t)level, slots);
}

/* An operation for REQUEST, which is copied; the caller says until when. */
struct coord_op *op_new(struct coord *coord, struct core *core, const struct request *request);
/* The answer to fill in, on its way to whoever asked. Once an operation. */
struct answer *op_answer(struct core *core, struct coord_op *op, int error);
/* The same with a sentence, and the operation is over. */
void op_fail(struct core *core, struct coord_op *op, int error, struct slice detail);
/* The same, of a write that this node's store did not take. */
void op_refused(struct core *core, struct coord_op *op, int error);
/* End it, without an answer if it has none yet. */
void op_free(struct core *core, struct coord_op *op);
/* Give OP a new id: nothing that is under way under the old one reaches it any more. */
void op_rename(struct coord_op *op);
/* Whoever asked for A is answered with B's outcome, and the other way round. */
void op_swap_askers(struct coord_op *a, struct coord_op *b);
/* Find who coordinates OP now, and begin. */
void op_route(struct core *core, struct coord_op *op);
/* Answer OP, whose deadline has passed, with what came until then. */
void op_deadline_passed(struct core *core, struct coord_op *op);
/* Look at OP again after DELAY_US, or when a newer record comes. */
void op_wait(struct core *core, struct coord_op *op, uint64_t delay_us);
/* Set the timer to the earliest of deadline, retry and hedge. */
void op_schedule(struct core *core, struct coord_op *op);
/* An operation of the store on the operation's key, completed to it. UNDER: by which record it is
 * written; NULL for a read, which leaves that open. */
struct store_op *op_store(struct core *core, const struct coord_op *op, enum store_op_type type,
                          const struct range_epoch *under);
/* Send the operation's key to NODE as WRITE or READ for slot number SLOT. */
struct message *op_send(struct core *core, struct coord_op *op, enum message_type type,
                        struct node_id node, uint8_t slot);

/* Make a new version from the local object, under CONTEXT (empty: blind). */
void put_update(struct core *core, struct coord_op *op, struct slice context);
/* What the other writers get is all that DONE has. */
void put_take_object(struct coord_op *op, const struct store_done *done);
/* What a retry of this put is to be told: SUCCESS, or that it may be attempted anew. */
void put_remember(struct core *core, struct coord_op *op, bool success, uint32_t got, bool sloppy);
/* Have OP's object, in the own log at POSITION, acknowledged by all writers. */
void put_write(struct core *core, struct coord_op *op, uint64_t position);
/* Merge OBJECT into what the own store has, under the record that is installed. */
void put_merge(struct core *core, struct coord_op *op, struct slice object);
/* Do acknowledgements wait for the sync? */
bool put_synced(const struct coord_op *op);
/* What the request and the bucket say of the expiry: 0 never. */
uint64_t put_ttl_ms(const struct coord_op *op);
/* A new dot of this node for OP. */
struct dot put_dot(struct core *core, struct coord_op *op);

/* Is OP a retry of a put that this node coordinates, or coordinated? Then it is answered for that
 * one, and OP is over. Before routing: the range may have moved since. */
bool put_is_retry(struct core *core, struct coord_op *op);
/* Its version was stored once more. */
void put_revived(struct core *core, struct coord_op *op, const struct store_done *done);
void put_start(struct core *core, struct coord_op *op);
void put_stored(struct core *core, struct coord_op *op, const struct store_done *done);
void put_durable(struct core *core, struct coord_op *op);
void put_reply(struct core *core, struct coord_op *op, struct node_id from,
               const struct message *message);
/* Under the newest record, send to all writers that have not acknowledged. */
void put_send(struct core *core, struct coord_op *op);
/* End an answered put that some writer has not acknowledged. */
void put_give_up(struct core *core, struct coord_op *op);
void put_restart(struct core *core, struct coord_op *op);

/* Make the version, whose making met a damaged record, under the tenure of now. */
void put_again(struct core *core, struct coord_op *op);
void put_unreadable(struct core *core, struct coord_op *op);

/* coord_order.c. Was a later version seen in an acknowledgement, so that OP is not answered yet? */
bool order_saw_later(const struct coord_op *op);
/* Then: write once more, now or when the own copy and the record allow it. */
void order_behind(struct core *core, struct coord_op *op);
/* The first half of that: merge what was seen. */
void order_rewrite(struct core *core, struct coord_op *op);
/* What was seen is merged: make the second version, unless the first was overwritten meanwhile. */
void order_merged(struct core *core, struct coord_op *op, const struct store_done *done);
/* The store did not take it. */
void order_refused(struct core *core, struct coord_op *op, int error);
/* Was a later version seen by a fallback, which cannot write once more? */
bool order_unsure(const struct coord_op *op);

/* Ask up to COUNT more readers that are up, lowest slot first. Returns how many were asked. */
uint32_t get_ask(struct core *core, struct coord_op *op, uint32_t count);
/* From how many others a damaged key has to be merged, so that no acknowledged write is missed. */
uint8_t heal_needed(const struct core *core, const struct range_record *record);
void heal_start(struct core *core, struct coord_op *op);
void heal_finish(struct core *core, struct coord_op *op);
/* coord_slots.c. How many slots of the range, as its record is now, have to acknowledge OP: it may
 * have got more of them since the request came. */
uint8_t put_needed(const struct core *core, const struct coord_op *op);
/* Are there nodes enough to take a put? Else it is answered, and nothing was
 * changed.
 */
bool put_enough(struct core *core, struct coord_op *op);
/* Slots whose writers acknowledged, RET_STRICT without those for which fallbacks did. */
uint32_t put_got(const struct core *core, const struct coord_op *op, uint32_t *ret_strict);
/* Index in the record of the first slot whose writers are not all up, else 0: the one that a
 * fallback that coordinates stands in for. */
uint32_t put_first_missing(const struct core *core, const struct coord_op *op);
/* The hedge delay has passed: replace the silent. */
void put_hedge(struct core *core, struct coord_op *op);

/* coord_stand.c. May fallbacks be asked at all? */
bool stands_allowed(const struct coord_op *op);
/* How many there are. */
uint32_t stands_possible(const struct core *core, const struct coord_op *op);
/* Forget whom was asked. */
void stands_reset(struct coord_op *op);
/* PUT: send hints to those that stand in, and see to it that every missing writer has one. */
void stands_send(struct core *core, struct coord_op *op);
/* PUT: did somebody acknowledge in place of that writer (indices in the record)? */
bool stands_have(const struct coord_op *op, uint32_t slot, uint32_t writer);
bool stands_waiting(const struct coord_op *op);
/* PUT: take a reply; false if it is of no fallback. */
bool stands_reply(struct core *core, struct coord_op *op, struct node_id from,
                  const struct message *message);
/* GET: ask all that have not answered for their hints. Returns how many were not asked before. */
uint32_t stands_ask(struct core *core, struct coord_op *op);
/* GET: take a reply; false if it is of no fallback. RET_FOUND: it brings a hint, for the first
 * time. */
bool stands_answer(struct coord_op *op, struct node_id from, const struct message *message,
                   bool *ret_found);
/* GET: how many hold a hint of the key. */
uint32_t stands_found(const struct coord_op *op);

/* Is this node to coordinate OP as a fallback, because another asked it to? */
bool fallback_coordinates(const struct core *core, const struct coord_op *op);
/* At the entry node: READER is whom it would hand OP to. True: to RET_TARGET, as a fallback,
 * instead (this node perhaps). */
bool fallback_route(struct core *core, struct coord_op *op, struct node_id reader,
                    struct node_id *ret_target);
/* Whoever OP was handed to does not serve the range, or cannot take it. */
void fallback_refused(struct coord_op *op);
/* This node is the one that runs edits of OP's range. */
void edit_start(struct core *core, struct coord_op *op);
void edit_stored(struct core *core, struct coord_op *op, const struct store_done *done);
void edit_reply(struct core *core, struct coord_op *op, struct node_id from,
                const struct message *message);
/* Ask again those that have not answered. */
void edit_retry(struct core *core, struct coord_op *op);
/* A newer record than that which OP rests on is there. */
void edit_record(struct core *core, struct coord_op *op);

void get_start(struct core *core, struct coord_op *op);
void get_stored(struct core *core, struct coord_op *op, const struct store_done *done);
void get_reply(struct core *core, struct coord_op *op, struct node_id from,
               const struct message *message);
void get_retry(struct core *core, struct coord_op *op);
/* Repair what was found stale, and end. */
void get_finish(struct core *core, struct coord_op *op);
void get_hedge(struct core *core, struct coord_op *op);
/* How many have answered: readers, and fallbacks that hold a hint. */
uint32_t get_got(const struct coord_op *op);

void scan_start(struct core *core, struct coord_op *op);
void scan_reply(struct core *core, struct coord_op *op, struct node_id from,
                const struct message *message);
void scan_retry(struct core *core, struct coord_op *op);
void scan_range(struct core *core, struct coord_op *op);
/* Answer with what there is. */
void scan_finish(struct core *core, struct coord_op *op, bool more);
void scan_free(struct coord_op *op);
/* Entries as in a part. Reading is false at the end; what is read borrows. */
void scan_entry_write(struct buf *out, const struct entry *entry);
bool scan_entry_read(struct reader *reader, struct entry *ret_entry);
/* In the order of a scan. */
int scan_entry_compare(const struct entry *a, const struct entry *b);
/* The last entry of PART, false if it has none. */
bool scan_last(const struct scan_part *part, struct entry *ret_entry);
/* The part that a reply from FROM to OP's SCAN is to fill: NULL if it is not of the record of now,
 * or is there already. */
struct scan_part *scan_part_of(const struct core *core, const struct coord_op *op,
                               struct node_id from, const struct message *message);

/* coord_hole.c. Ask for what comes at the cursor, under the newest record. */
void hole_portion(struct core *core, struct coord_op *op);
void hole_retry(struct core *core, struct coord_op *op);
/* The store was busy: once more. */
void hole_again(struct core *core, struct coord_op *op);
void hole_reply(struct core *core, struct coord_op *op, struct node_id from,
                const struct message *message);
void hole_stored(struct core *core, struct coord_op *op, const struct store_done *done);

#endif
