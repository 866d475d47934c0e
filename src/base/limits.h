/* Every bound of the program in one place (docs/operations.md repeats them for operators). */
#ifndef LIMITS_H
#define LIMITS_H

enum {
    KEY_SIZE_MAX = 64 * 1024,
    BUCKET_SIZE_MAX = 64,
    TYPE_SIZE_MAX = 255,
    VALUE_SIZE_MAX = 16 * 1024 * 1024,
    VALUE_SIZE_DEFAULT = 1024 * 1024,
    CONTEXT_SIZE_MAX = 16 * 1024,
    SIBLINGS_MAX = 32,
    SLOTS_MAX = 7,
    FORMER_MAX = 8,
    RANGES_MIN = 64,
    RANGES_DEFAULT = 1024,
    RANGES_MAX = 65536,
    RANGE_BITS_MIN = 1, /* log2 of the ranges that the core copes with; nobody founds so few. */
    RANGE_BITS_MAX = 16,
    MEMBERS_MAX = 16384,
    ADDRESS_SIZE_MAX = 255,
    NAME_SIZE_MAX = 64,
    SETTING_NAME_SIZE_MAX = 128,
    SETTING_VALUE_SIZE_MAX = 4 * 1024 * 1024,
    SETTINGS_MAX = 4096,
    FRAME_SIZE_MAX = 64 * 1024 * 1024, /* Of a peer; an object may hold 32 values. */
    RPC_SIZE_MAX = 24 * 1024 * 1024,
    RPC_DEPTH_MAX = 8,
    GOSSIP_SIZE_MAX = 1400,
    REQUESTS_MAX = 4096, /* In flight at one coordinator. */
    INBOUND_MAX = 2,     /* Transfers that one node takes in at a time, or one for each shard. */
    SHARDS_MAX = 16,     /* Of a node. */
    HOPS_MAX = 2,
    FALLBACKS_MAX = 16, /* That one request may ask. */
    HINT_SHARE = 4,     /* The hints of one range take at most one in so many of the bytes. */
    CLOCK_SKEW_MS = 500,
    REQUEST_MS_MAX = 60000, /* The longest deadline of a request. */
};

#endif
