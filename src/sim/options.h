/* What a world is like: everything that one seed and a profile decide before the first event.
 *
 * All of a run follows from these values and the generator seeded by `seed`, so printing them says
 * what was tried. Times are virtual microseconds, shares are parts per million. */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include "base/buf.h"

enum { HOSTS_MAX = 32, CLIENTS_MAX = 8, HOT_RANGES_MAX = 8, KEYS_MAX = 64 };

enum profile {
    PROFILE_MOVES = 0, /* Five nodes, one range, moves and crashes at their durable steps. */
    PROFILE_CAUSAL,    /* Few nodes, siblings, contexts, long partitions. */
    PROFILE_DISK,      /* Small memtables, power loss, slow disks. */
    PROFILE_GOSSIP,    /* Many nodes, joins and settings, hardly any data. */
    PROFILE_SWARM,     /* A bit of everything, more of it. */
    PROFILE_HINTS,     /* Sloppy requests, long faults, fallbacks with little room. */
    PROFILE_ROT,       /* Few keys, small memtables, records that go bad again and again. */
    PROFILE_TRANSFER,  /* As moves, but short: a million of them are run. */
    PROFILE_RULES,     /* As transfer, each about a rule that is rarely needed (rules.h). */
    PROFILE_SHARDS,    /* As transfer, of nodes with several shards. */
    PROFILE_FORKS, /* As transfer; half-way a majority is lost, and that accepted (accepts.h). */
};
enum { PROFILE_COUNT = PROFILE_FORKS + 1 };

enum fault {
    FAULT_CRASH = 0, /* kill -9: what the kernel got stays. */
    FAULT_POWER,     /* What was synced stays; the last write may be torn. */
    FAULT_PAUSE,     /* The process stands still, its clock does not. */
    FAULT_SPLIT,     /* Two groups that cannot reach each other. */
    FAULT_ONEWAY,    /* One link loses everything in one direction. */
    FAULT_SLOW_LINK,
    FAULT_SLOW_DISK,
    FAULT_CLOCK, /* The wall clock of a node jumps, within bounds. */
    FAULT_FULL,  /* A disk has hardly any room left, or none. */
    /* Not drawn with the others, but within a budget (losses.h): */
    FAULT_LOST_DISK, /* A node never comes back; another one takes its place. */
    FAULT_RESTORED,  /* It comes back with an older copy of its disk. */
    FAULT_REMOVED,   /* It is removed while it runs. */
    FAULT_ROT,       /* A record of its database goes bad (rots.h). */
};
enum { FAULT_COUNT = FAULT_ROT + 1 };

enum losses_of {
    LOSSES_OF_ANY = 0,
    LOSSES_OF_COPIES,  /* By old copies of disks that come back alone, */
    LOSSES_OF_THE_REST /* or by all but these. */
};

/* A fault that a message sets off (trips.h). */
enum trip_of {
    TRIP_OF_ANY = 0,
    TRIP_OF_EDIT,
    TRIP_OF_BALLOT /* Of a number above 0. */,
    TRIP_OF_GOOD_BYE,
    TRIP_OF_FORMER /* What a former member hands over. */
};
enum {
    TRIP_CUT = 1, /* Nothing passes to or from the sender any more, this message included. */
    TRIP_POWER_SOON = 2,
    TRIP_DIE = 4,
    TRIP_LOSE = 8,   /* Messages of this type from the sender are lost for a while, this one too. */
    TRIP_LEAVE = 16, /* The sender is told to leave the cluster. */
};
struct trip {
    uint32_t after;     /* Message type: only so soon after one of these; 0 at any time. */
    uint64_t within_us; /* Of it. */
    uint32_t type;      /* Of the message; 0: no trip. */
    enum trip_of of;
    uint32_t deeds;
    uint32_t ppm;
    uint64_t us_max; /* Of a cut, or of what is lost. */
};
enum { TRIPS_MAX = 2 };

struct sim_options {
    uint64_t seed;
    uint64_t variation; /* Another run of the same options; 0 as drawn. */
    enum profile profile;

    uint32_t shards;       /* Of a node, */
    uint32_t single_hosts; /* but for these, by bits, which have one. */
    uint64_t shard_us_max; /* From one shard of a node to another. */
    uint32_t mailbox_max;  /* What may be lost, or refused, is past so many in one mailbox. */

    uint32_t nodes;      /* From the start; one founds, the others join. */
    uint32_t spares;     /* Join later, at an administrator's command. */
    uint32_t copies;     /* n */
    uint32_t range_bits; /* log2 of the ranges. */
    uint32_t tree_bits;  /* log2 of the leaves of the hash tree. */
    uint32_t hot_ranges; /* Ranges that hold keys and move. */
    int32_t range;       /* The first of them; -1: drawn. */
    bool move_all;       /* The planner moves all ranges, not just the hot ones. */

    uint32_t clients;
    uint32_t keys;
    uint32_t operations;
    uint32_t edits;            /* Atomic requests, on keys of their own; 0 none. */
    uint32_t edit_deadline_ms; /* Of these. */
    uint32_t plain_ppm;        /* Of locks given back, those by a plain delete. */
    uint64_t think_us;         /* Mean pause of a client between requests. */
    uint32_t value_size_max;
    uint32_t put_ppm, delete_ppm; /* The rest are gets. */
    uint32_t context_ppm;         /* Of puts and deletes, those with a context. */
    uint32_t weak_ppm;            /* Of requests, those with r=1 or w=1. */
    uint32_t sloppy_ppm;          /* Of requests, those that are not strict. */
    uint64_t hints_max;           /* Bytes of hints that a node keeps. */
    uint32_t cut_off_ppm;         /* Of splits, those that cut off all owners of a hot range. */
    uint32_t ttl_ppm;             /* Of puts, those that expire. */
    uint64_t ttl_ms_max;          /* After so long at most. */
    uint32_t scan_ppm;            /* Of requests, pages of a scan. */
    uint32_t batch_ppm; /* Of requests, those that all idle clients join at one instant. */
    uint32_t retries;   /* After TIMEOUT, of a put or delete; 0: it has no name. */
    bool policies[3];   /* Which buckets are used, by enum policy. */
    bool interval;      /* Log mode interval: no power is lost in such a world. */

    uint64_t delay_us_min, delay_us_max; /* Of a link, drawn once each. */
    uint64_t jitter_us;
    uint32_t loss_ppm, duplicate_ppm, reorder_ppm;
    uint32_t held_type;                /* Messages of this type (enum message_type; 0 none), */
    uint32_t held_ppm;                 /* this share of them, */
    uint64_t held_us_max;              /* come so much later, and others overtake them. */
    uint64_t disk_us_min, disk_us_max; /* Of one log write with its sync. */
    uint64_t tick_us;                  /* From a change to the flush of the log. */
    int64_t skew_ms_max;               /* Of a wall clock, either way: */
    uint32_t skewed;                   /* of this one of each eight hosts; others are kept right. */
    uint64_t memory_max;               /* Of a store's memtables. */
    uint64_t segment_size;             /* Of the log. */
    bool scrub;                        /* Stores look for damage by themselves. */
    uint32_t cold_cache;               /* Records of a store's engine that are in memory; 0 all. */
    uint32_t cold_max; /* Operations of a store that wait for others; 0 as in the product. */

    uint64_t fault_interval_us;   /* Mean, 0 none. */
    uint64_t fault_us_max;        /* Of one that ends. */
    uint32_t faults[FAULT_COUNT]; /* Weights. */
    struct trip trips[TRIPS_MAX];
    uint32_t rot_crash_ppm; /* Of writes to a bad record, those at which power is lost. */
    enum losses_of losses_of;
    uint32_t losses;                /* Nodes that may be lost for good, one after the other. */
    bool to_old_copies;             /* A slot is moved to an old copy as it comes back. */
    bool alone_first;               /* The founder has the only copies at first, and the old copy
                                     * of a disk is of its disk then. */
    uint32_t rots;                  /* Records that may rot, and any unsynced tail of a log. */
    uint32_t rot_key_ppm;           /* Of these, those that rot in their key, */
    uint32_t rot_key_bytes;         /* in one of its first so many bytes; 0: of all. */
    uint64_t rot_us;                /* Mean, between two of them. */
    uint32_t crash_step_ppm;        /* A node dies at a durable step of the protocol. */
    uint64_t admin_interval_us;     /* Mean, 0 none. */
    uint32_t back_ppm;              /* Of moves, those to a node that has just given a slot up. */
    uint32_t cancel_ppm;            /* Of what the administrator does, plans taken back. */
    uint32_t lowest_ppm;            /* Of moves, those of the lowest slot. */
    uint32_t leave_ppm;             /* Of moves, those whose target is told to leave. */
    uint32_t target;                /* Host that moves go to if they may, HOSTS_MAX: another one
                                     * for each plan; 0 any. */
    bool accepts;                   /* A majority is lost half-way, */
    bool accepts_all;               /* or all copies, before anything is written. */
    bool grows_late;                /* The last copy is added under faults. */
    uint64_t cleanup_us, gossip_us; /* Of the core's timing. */
    uint64_t abort_us, repair_us;
    uint32_t chunk_objects; /* Of a transfer's chunk. */
    uint64_t horizon_us;    /* Between horizons; 0: nothing is collected. */
    uint32_t deadline_ms;   /* The longest of a request: horizons lag three of them behind. */

    uint64_t safety_us_max;   /* The faults stop then, or when all operations were issued. */
    uint64_t liveness_us_max; /* All must have converged so long after healing. */
    uint32_t check_every;     /* node_check after every so many steps of a node. */
};

const char *profile_name(enum profile profile);
/* False for an unknown name. */
bool profile_find(const char *name, enum profile *ret_profile);
const char *fault_name(enum fault fault);

/* Draw everything from SEED, as PROFILE leans. */
void options_draw(uint64_t seed, enum profile profile, struct sim_options *ret_options);
/* One line of name=value. */
void options_format(const struct sim_options *options, struct buf *out);

#endif
