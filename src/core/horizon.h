/* Collection horizons: dead versions leave a range for good, by proof and not by a timer (DESIGN.md
 * section 4).
 *
 * The reader of a range's lowest slot raises the range's horizon to T, in this order:
 *
 *   1. Floors. Every member that has not departed said, beside its load, that it holds no hint
 *      stamped at or below T, and a floor of T or more: from then on it stamps nothing at or below
 *      the floor, and takes nothing so stamped, as a replica or as a hint, from whoever has just
 *      made it. So however long a coordinator goes on sending, and however wrong clocks are, from
 *      then on versions up to T only pass between nodes that have them. The floor is a durable
 * cell.
 *   2. Proof. With all slots STABLE at one epoch and no former member, it compares its tree with
 *      each other reader's, leaves that differ down to keys (PROVE, PROVEN): of the versions
 *      stamped at or below T none may be held by one and not by the other.
 *      Twice: after the first round it has all that anybody has, so after the second everybody has.
 *      Then each says that it has synced what it had, and that it is still the process that it was.
 *   3. HORIZON goes to all readers, again and again until each has said that it has it.
 *   4. Each replica collects what is dead up to T, and a log record ends the pass: only then does
 *      its tree stand at T. Trees are compared where they stand at one horizon only.
 *
 * Why a proof outlives the record it was made under: from then on every reader has every version up
 * to T or what covers it, no new one is made, and whoever becomes a reader is filled from readers.
 * So any reader's horizon is right for every other one, however much later it hears of it. One that
 * comes to read the range gets it with the last chunk, before it may stamp anything: it may have
 * become a member later, with a clock that lies far behind.
 *
 * Faults, step by step:
 *
 * - A floor: a crash before the cell is synced, and nobody was told; after it, the next life stamps
 *   above it. A load that is lost or old holds T back, no more.
 * - PROVE, PROVEN: a lost one is asked again under a new nonce; late and repeated answers have an
 *   old nonce. A reader that restarts in between has another generation: it may have forgotten what
 *   it showed, so the raise is given up. A raiser that restarts has forgotten it. Whatever changes
 *   the record ends it: each message is under an epoch.
 * - A version that comes late, from a life that died before it had synced it, so that nobody shows
 *   it any more: both sides of a PROVE know the same lives of all readers, and repair takes nothing
 *   of an earlier life than the one that is known. Requests have deadlines, which T is past, and
 *   the chunks of a transfer its id.
 * - HORIZON: lost, it is sent again; if the raiser dies or gives up, the next raise finds a reader
 *   that stands elsewhere, and hands the higher horizon on (PROVEN, refused). Where nothing is left
 *   to collect there is no next raise: whoever is asked to compare (repair.h) under a horizon that
 *   is not its own names the one that it has, none as well, and is handed the higher one. Repeated:
 *   answered, and nothing else. Under another epoch: ignored.
 * - The record of it: the cell and the store's own are one log record. A crash before it is synced:
 *   as if lost. After: the pass begins (again).
 * - The pass: after a crash it begins again, and finds collected what it had collected. Meanwhile
 *   the tree stands nowhere, and nobody compares with it or raises past it.
 * - Its end: a crash before it is synced, and the pass is made again. */
#ifndef HORIZON_H
#define HORIZON_H

#include "base/map.h"
#include "core/core.h"

enum { RAISING_MAX = 4 };

enum raise_state {
    RAISE_NONE = 0,
    RAISE_LOOKING, /* Is there anything to collect? */
    RAISE_PROVING,
    RAISE_SYNCING, /* The proof is made: has everybody synced it? */
    RAISE_SENDING,
};

/* A horizon on its way up. */
struct raise {
    enum raise_state state;
    struct range_epoch range;
    uint64_t horizon;
    uint64_t nonce; /* Of the question under way. */
    uint32_t slot;  /* Index in the record of whom it is asked. */
    uint32_t round;
    bool leaves;        /* The roots differ: leaf by leaf, */
    uint32_t leaf_bits; /* at this depth, */
    uint64_t cursor;    /* from this hash on. */
    uint64_t generations[SLOTS_MAX];
    uint8_t told; /* Bits by slot index: who has answered HORIZON. */
    uint64_t asked_us;
    uint32_t tries;
    bool waits; /* For the own store, which always answers: nothing is asked again meanwhile. */
};

struct horizons {
    bool started;
    struct raise raises[RAISING_MAX];
    uint64_t nonces; /* Last one drawn. */
    uint32_t look;   /* The next range to look at. */
    uint64_t look_us;
    uint64_t allowed;    /* horizon_allowed of a moment ago, */
    uint64_t allowed_us; /* to be worked out again then. */
    struct map waits;    /* token value -> struct horizon_wait. Owned. */
    uint64_t waits_next;
    uint64_t floor_us;  /* When the floor is to rise next. */
    uint64_t floor_due; /* The one that is not said yet, 0 none; */
    bool floor_synced;  /* is it on the disk? */
    /* The pass under way, one at a time. */
    bool passing;
    bool pass_waits; /* For the store. */
    bool pass_scans; /* A bucket was dropped: look at all keys. */
    bool pass_ended; /* Its last record is on its way to the disk. */
    uint32_t pass_range;
    uint64_t pass_horizon;
    uint64_t pass_from;
    uint64_t pass_us;
    uint32_t pass_look;
    uint32_t open; /* Ranges whose tree does not stand at their horizon. */
    struct timer timer;
};

/* Does this node raise floors and horizons? Where not, nobody else can either, for want of its
 * floor: what no horizon was ever raised for stays. One that was is still taken on and carried out,
 * since replicas that stand elsewhere cannot be compared. */
static inline bool horizons_raise(const struct core *core)
{
    return core->timing.horizon_us != 0;
}

void horizons_init(struct horizons *horizons);
void horizons_done(struct horizons *horizons, struct core *core);
void horizons_start(struct horizons *horizons, struct core *core);
/* A cell of META_HORIZON (of RANGE) or META_FLOOR. 0 or ERR_CORRUPT. */
int horizons_restore(struct horizons *horizons, struct core *core, uint32_t range,
                     struct slice value) CHECK_RESULT;
int horizons_restore_floor(struct core *core, struct slice value) CHECK_RESULT;
/* Takes PROVE, PROVEN and HORIZON. */
void horizons_message(struct horizons *horizons, struct core *core, struct node_id from,
                      const struct message *message);
void horizons_stored(struct horizons *horizons, struct core *core, const struct store_done *done);
void horizons_durable(struct horizons *horizons, struct core *core, uint64_t token);
/* The copy of RANGE is gone, durably. */
void horizons_dropped(struct horizons *horizons, struct core *core, uint32_t range);
/* A transfer brought a horizon for RANGE along. */
void horizons_brought(struct horizons *horizons, struct core *core, uint32_t range);
/* NODE's tree stands elsewhere than ours: the one whose horizon is lower is to learn of the other.
 */
void horizons_differ(struct core *core, uint32_t range, struct node_id node);

/* The highest horizon that floors and hints allow now; 0 none. RET_HOLDER, if not NULL, is who
 * keeps it from being higher: none where nobody lags behind. */
uint64_t horizon_allowed(const struct core *core, struct node_id *ret_holder);

#endif
