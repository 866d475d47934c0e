/* What the files of the horizon machine share, and nobody else includes. */
#ifndef HORIZON_STATE_H
#define HORIZON_STATE_H

#include "core/horizon.h"

enum {
    PROVE_NODES_MAX = 1024,       /* Of a message. */
    PROVE_OBJECTS_MAX = 2000,     /* Of a message. */
    PROVE_OBJECTS_BYTES = 262144, /* Of a message. */
};

/* What a store operation, or a wait for the disk, is for. */
enum horizon_wait_kind {
    HORIZON_WAIT_FLOOR = 1,
    HORIZON_WAIT_CELL, /* A horizon was taken on; `peer` is told, if any. */
    HORIZON_WAIT_PASS, /* STORE_COLLECT */
    HORIZON_WAIT_STANDS,
    HORIZON_WAIT_GONE,
    HORIZON_WAIT_LOOK,  /* The raiser: */
    HORIZON_WAIT_TREE,  /* own digests, to be sent; */
    HORIZON_WAIT_KEYS,  /* own keys, against those in `bytes`; */
    HORIZON_WAIT_SYNC,  /* own disk. */
    HORIZON_WAIT_ASKED, /* The others: own digests against those in `nodes`; */
    HORIZON_WAIT_LEAVES,
    HORIZON_WAIT_SYNCED,
};

struct horizon_wait {
    enum horizon_wait_kind kind;
    struct range_epoch range;
    struct node_id peer;
    uint64_t nonce;
    uint64_t horizon;
    uint32_t bits;
    uint32_t leaf_bits;
    uint64_t from;
    uint64_t to;
    uint64_t scan_to; /* The last hash that is being read, `to` or before. */
    struct buf nodes; /* Owned. Array of struct tree_node. */
    struct buf bytes; /* Owned. Entries. */
};

struct horizon_wait *horizon_wait_add(struct horizons *horizons, enum horizon_wait_kind kind,
                                      const struct range_epoch *range, struct node_id peer,
                                      uint64_t *ret_token);
void horizon_wait_free(struct horizon_wait *wait);
/* The record of RANGE that this node has installed, if the two are at one epoch, it reads the
 * range, all slots are STABLE and nobody has a copy left to clean up; else NULL. */
const struct range_record *horizon_record(const struct core *core, const struct range_epoch *range);
/* A digest of the lives of RECORD's readers, as this node knows them. */
uint64_t horizon_lives(const struct core *core, const struct range_record *record);
/* Write down the horizon of RANGE and where its tree STANDS, synced; HORIZON, unless 0, is what the
 * store keeps away from then on. */
void horizon_cell_store(struct core *core, uint32_t range, uint64_t stands, uint64_t horizon,
                        uint64_t token);
/* Take HORIZON on for RANGE; PEER, if any, is told once it is durable. */
void horizon_take(struct horizons *horizons, struct core *core, const struct range_epoch *range,
                  uint64_t horizon, struct node_id peer);
void horizon_schedule(struct horizons *horizons, struct core *core);

/* horizon_raise.c */
void raises_tick(struct horizons *horizons, struct core *core);
uint64_t raises_wake_us(const struct horizons *horizons, const struct core *core);
void raise_stored(struct horizons *horizons, struct core *core, struct horizon_wait *wait,
                  const struct store_done *done);
void raise_synced(struct horizons *horizons, struct core *core, const struct horizon_wait *wait);
void raise_proven(struct horizons *horizons, struct core *core, struct node_id from,
                  const struct message *message);
void raise_told(struct horizons *horizons, struct core *core, struct node_id from,
                const struct message *message);

/* horizon_keys.c */
void keys_write(struct buf *out, const struct entry *entries, uint32_t count);
/* In order of (hash, bucket, key). */
int keys_compare(const struct entry *a, const struct entry *b);
/* Of the keys up to hash TO in the leaves of WAIT: does each side, ours in DONE and theirs in WAIT,
 * have what the other has stamped at or below HORIZON? */
bool keys_agree(const struct horizon_wait *wait, uint64_t horizon, const struct store_done *done,
                uint64_t to);

/* horizon_prove.c */
void prove_asked(struct horizons *horizons, struct core *core, struct node_id from,
                 const struct message *message);
void prove_stored(struct horizons *horizons, struct core *core, struct horizon_wait *wait,
                  const struct store_done *done);
void prove_synced(struct core *core, const struct horizon_wait *wait);

/* horizon_pass.c */
void pass_tick(struct horizons *horizons, struct core *core);
void pass_stored(struct horizons *horizons, struct core *core, const struct store_done *done);
void pass_stands(struct horizons *horizons, struct core *core, const struct horizon_wait *wait);

#endif
