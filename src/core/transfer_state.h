/* State of the transfer machine's parts: shared by its files, and by nobody else. */
#ifndef TRANSFER_STATE_H
#define TRANSFER_STATE_H

#include "core/transfer.h"

enum {
    DRIVES_MAX = 16, /* Ranges that one driver moves at a time. */
    CHUNK_BYTES_MAX = 256 * 1024,
    INSTALLED_MAX = 2 * SLOTS_MAX + FORMER_MAX,
    FENCES_MAX = 64, /* Slots of departed owners that one driver fences in a second. */
    /* Moves of a plan that are looked at when there is room for one more. What that misses is found
     * by the sweep, which looks at all. */
    PUMP_LOOKS = 1024,
};

/* A range that this node drives. Facts are of the epoch that is installed here. */
struct drive {
    struct transfers *transfers;
    uint32_t range;
    struct range_epoch epoch;
    struct node_id installed[INSTALLED_MAX]; /* Who said it installed this epoch durably. */
    uint32_t installed_count;
    struct node_id cleaned[FORMER_MAX]; /* Former nodes that deleted their copy. */
    uint32_t cleaned_count;
    uint64_t complete;     /* Id of the transfer whose target has everything. */
    uint64_t offered;      /* Id under which a move is offered; 0: none. */
    uint32_t refused;      /* How often in this epoch. */
    bool tidied;           /* Who is gone was proposed to be forgotten, in this epoch. */
    struct plan_move move; /* What is offered. */
    uint64_t since_us;     /* Of the present stage. */
    uint64_t progress_us;  /* Of the last sign of life of the target. */
    bool active;
    struct drive *active_before, *active_next;
    bool moving; /* A slot was on its way when last looked at: */
    uint8_t moving_slot;
    uint64_t given_up; /* Epoch at which we fenced a slot whose owner lives, to let it go. */
    char note[96];
    struct timer timer;
};

/* What comes in from the reader of one slot. */
struct part {
    uint64_t sequence; /* Synced; 0: nothing has come yet. */
    uint64_t cursor;   /* End of the last synced chunk. */
    struct buf bucket; /* Owned. */
    struct buf key;    /* Owned. */
    bool complete;
};

/* A transfer coming in. Its synced part is in META_STAGING. */
struct staging {
    struct transfers *transfers;
    uint32_t range;
    uint64_t transfer;
    struct part parts[SLOTS_MAX]; /* By the number of the slot that sends. */
    uint8_t source;               /* Number of the slot that is asked now. */
    bool storing;                 /* A chunk is on its way to the disk. */
    bool complete;
    uint64_t keys;
    uint64_t bytes;
    uint64_t since_us;
    uint32_t asked; /* How often since the last chunk came. */
    struct timer timer;
};

/* A transfer going out: one chunk at a time, when the target asks. */
struct stream {
    struct transfers *transfers;
    uint32_t range;
    uint64_t transfer;
    struct node_id to;
    uint64_t sequence; /* Asked for. */
    uint64_t asked_us;
    uint64_t cursor;
    struct buf bucket; /* Owned. */
    struct buf key;    /* Owned. */
    bool scanning;
    bool waiting; /* Asked for before our own install was durable. */
    uint64_t keys;
    uint64_t bytes;
    uint64_t since_us;
    struct timer timer; /* Waits for the rate. */
};

/* A copy that moved away: handed to the present owner once more, then deleted. */
struct cleanup {
    struct transfers *transfers;
    uint32_t range;
    enum { CLEANUP_GRACE, CLEANUP_PUSHING, CLEANUP_DROPPING, CLEANUP_DONE } state;
    bool scanning;
    struct range_epoch epoch; /* Of the record under which it is handed over. */
    uint64_t began_us;
    bool handed;   /* In a fork: all of it once, in this life. */
    uint64_t drop; /* Token of its deletion. */
    uint64_t sequence;
    uint64_t first;  /* The sequence with which this pass over the copy began, */
    uint64_t digest; /* and what the copy was then. */
    uint64_t cursor;
    struct buf bucket; /* Owned. */
    struct buf key;    /* Owned. */
    struct timer timer;
};

/* A store operation under way, by token. */
enum wait_kind {
    WAIT_SOURCE_SCAN = 1,
    WAIT_TARGET_CHUNK,
    WAIT_CLEANUP_SCAN,
    WAIT_HANDED,
    WAIT_DROP
};

struct transfer_wait {
    enum wait_kind kind;
    uint32_t range;
    uint64_t transfer;
    uint64_t sequence;
    /* TARGET_CHUNK: the state once it is synced. */
    uint8_t source; /* Number of the slot that sent it. */
    uint64_t cursor;
    struct buf bucket; /* Owned. */
    struct buf key;    /* Owned. */
    bool last;
    uint64_t keys;
    uint64_t bytes;
    uint64_t horizon;         /* That is taken on with it, 0: none. */
    struct node_id from;      /* HANDED: who is told, */
    struct range_epoch epoch; /* and under which record it was taken in. */
};

static inline const struct range_record *held_record(const struct core *core, uint32_t range)
{
    return &core->holdings[range].record;
}

struct transfer_wait *wait_add(struct transfers *transfers, enum wait_kind kind, uint32_t range,
                               uint64_t *ret_token);
void wait_free(struct transfer_wait *wait);
/* When to look again, where many wait until requests bear more: not all in the same moment. */
uint64_t transfer_turn_us(struct core *core);
/* What COUNT records that are sent weigh. */
size_t transfer_bytes(const struct entry *entries, uint32_t count);

/* The slot that is neither STABLE nor FENCE, else one in FENCE, else NULL. */
const struct slot *moving_slot(const struct range_record *record);

/* Is NODE to leave the cluster once it owns nothing? */
bool told_to_leave(const struct core *core, struct node_id node);

/* transfer_drive.c */
void drive_range(struct transfers *transfers, struct core *core, uint32_t range);
void drive_free(struct transfers *transfers, struct core *core, struct drive *drive);
/* A target says that it has everything, or a former member that its copy is gone. */
void drive_completed(struct transfers *transfers, struct core *core, struct node_id from,
                     const struct message *message);
/* Did NODE, or K slots other than SLOT through their readers, install this epoch durably? Then no
 * quorum of the older epoch is left that NODE could take part in. */
bool drive_fenced(const struct core *core, const struct drive *drive, struct node_id node,
                  const struct slot *slot);
/* Propose that SLOT comes to STAGE; the stage says what becomes of its two nodes. */
void drive_propose_stage(struct core *core, uint32_t range, const struct slot *slot,
                         enum stage stage);
void drive_propose_drop(struct core *core, uint32_t range, const struct slot *slot);
void drive_note(struct drive *drive, const char *text);
/* A successor of the installed record, to be changed and proposed. */
struct range_record *drive_successor(struct core *core, uint32_t range);
void drive_propose(struct core *core, const struct range_record *next);
/* Does the drive hold an offer or a moving slot? */
void drive_set_active(struct transfers *transfers, struct drive *drive, bool active);

/* transfer_begin.c */
/* The first move of RANGE in the plan that is still to be made, NULL: none. */
const struct plan_move *drive_next_move(const struct transfers *transfers, const struct core *core,
                                        uint32_t range);
/* May one more move towards NODE begin? */
bool drive_has_room(const struct transfers *transfers, struct node_id node);
/* Offer MOVE to its target, when there is room. */
void drive_start(struct transfers *transfers, struct core *core, struct drive *drive,
                 const struct plan_move *move);
void drive_answered(struct transfers *transfers, struct core *core, struct node_id from,
                    const struct message *message);
/* Begin moves of the plan for which there is room, looking at so many at most. */
void drive_pump(struct transfers *transfers, struct core *core, uint32_t looks);

/* transfer_lost.c */
/* A STABLE slot whose owner has departed, or NULL. */
const struct slot *lost_slot(const struct core *core, const struct range_record *record);
/* RECORD has a slot in LEARN: has the reader departed without which it cannot be filled? */
bool lost_teacher(const struct core *core, struct drive *drive, const struct range_record *record);
/* Fence SLOT, within the bound of this second. */
void lost_fence(struct transfers *transfers, struct core *core, uint32_t range,
                const struct slot *slot);
/* No slot of the range is on its way, some are in FENCE: go on with one that can. True if that was
 * begun, or waits for its turn. */
bool lost_step(struct transfers *transfers, struct core *core, struct drive *drive);

/* transfer_target.c */
void target_range(struct transfers *transfers, struct core *core, uint32_t range);
void target_offer(struct transfers *transfers, struct core *core, struct node_id from,
                  const struct message *message);
void target_chunk(struct transfers *transfers, struct core *core, struct node_id from,
                  const struct message *message);
void target_stored(struct core *core, const struct transfer_wait *wait);
void target_durable(struct transfers *transfers, struct core *core,
                    const struct transfer_wait *wait);
void staging_free(struct transfers *transfers, struct core *core, struct staging *staging);

/* transfer_source.c */
/* When the next chunk may leave this node: as the plan's rate says, or as requests bear (pace.h).
 */
uint64_t source_free_us(const struct transfers *transfers, const struct core *core);
void source_asked(struct transfers *transfers, struct core *core, struct node_id from,
                  const struct message *message);
void source_scanned(struct transfers *transfers, struct core *core,
                    const struct transfer_wait *wait, const struct store_done *done);
void source_range(struct transfers *transfers, struct core *core, uint32_t range);
void stream_free(struct transfers *transfers, struct core *core, struct stream *stream);

/* transfer_cleanup.c */
void cleanup_range(struct transfers *transfers, struct core *core, uint32_t range);
void cleanup_scanned(struct transfers *transfers, struct core *core,
                     const struct transfer_wait *wait, const struct store_done *done);
void cleanup_acked(struct transfers *transfers, struct core *core, struct node_id from,
                   const struct message *message);
/* The other side: a former member hands us what it has. */
void cleanup_handed(struct transfers *transfers, struct core *core, struct node_id from,
                    const struct message *message);
void cleanup_durable(struct transfers *transfers, struct core *core,
                     const struct transfer_wait *wait);
void cleanup_free(struct transfers *transfers, struct core *core, struct cleanup *cleanup);

#endif
