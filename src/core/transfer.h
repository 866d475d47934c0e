/* Moving slots between nodes: the driver's steps through the stages, the stream from source to
 * target, and the clean-up of copies that moved away (protocol.md, "Stages of a slot").
 *
 * The record alone says how far a transfer is; everything here can be lost and is found again from
 * it:
 * - driver lost: the next voter in slot order that is up goes on;
 * - source or target restarted: the target asks again from its last synced position;
 * - a lost message is repeated by whoever waits for its effect; a repeated one changes nothing. */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "base/map.h"
#include "core/core.h"
#include "core/node.h"

/* Was this node told to leave, and is it a member of no range, as far as this shard knows? */
bool transfers_may_depart(const struct core *core);

struct reservation {
    uint64_t transfer; /* 0: free. */
    uint64_t expires_us;
};

struct transfers {
    struct plan plan;     /* The setting `plan`, decoded. */
    uint32_t plan_cursor; /* Where the next look for work begins. */
    struct map drives;    /* range + 1 -> struct drive. Owned. */
    struct map stagings;  /* range + 1 -> struct staging: what comes in. Owned. */
    struct map streams;   /* range + 1 -> struct stream: what goes out. Owned. */
    struct map cleanups;  /* range + 1 -> struct cleanup. Owned. */
    struct map waits;     /* token value -> struct transfer_wait. Owned. */
    uint64_t waits_next;
    struct reservation reservations[INBOUND_MAX];
    uint64_t send_free_us; /* The rate allows the next chunk from then on. */
    struct drive *actives; /* Drives that hold an offer or a moving slot: a list, */
    uint32_t active;       /* and how many. */
    uint32_t fences_left;  /* Until the next sweep. */
    struct timer sweep;
    bool draining;
};

void transfers_init(struct transfers *transfers);
void transfers_done(struct transfers *transfers, struct core *core);
void transfers_start(struct transfers *transfers, struct core *core);
/* A META_STAGING cell that recovery found. 0 or ERR_CORRUPT. */
int transfers_restore(struct transfers *transfers, uint32_t range, struct slice value) CHECK_RESULT;

void transfers_message(struct transfers *transfers, struct core *core, struct node_id from,
                       const struct message *message);
void transfers_stored(struct transfers *transfers, struct core *core,
                      const struct store_done *done);
void transfers_durable(struct transfers *transfers, struct core *core, uint64_t token);
/* The holding of RANGE changed, or became durable. */
void transfers_range(struct transfers *transfers, struct core *core, uint32_t range);
void transfers_peer_installed(struct transfers *transfers, struct core *core,
                              const struct signal *signal);
void transfers_settings(struct transfers *transfers, struct core *core, struct slice name);

/* Will MOVE of the plan not be made, although the ring shows it open? Its target has departed since
 * the plan was made, or was told to leave, and takes nothing in. Two administrators who plan at the
 * same time end so: the later plan replaces the earlier one, and knows nothing of the node that
 * was told to leave with it. */
bool transfers_overtaken(const struct core *core, const struct plan_move *move);

uint32_t transfers_status(const struct transfers *transfers, const struct core *core,
                          struct transfer_status *ret, uint32_t cap);

#endif
