/* What the files of `kvnode serve` share, and nobody else includes. */
#ifndef SERVE_OWN_H
#define SERVE_OWN_H

#include "shell/hosts.h"

struct server {
    struct config config;
    struct host hosts[SHARDS_MAX]; /* One for each shard, the first one first. */
    struct hosts *all;             /* Owned; NULL where there is one. */
    uint32_t shards;
    uint32_t initialised; /* Hosts. */
    struct disk *disk;
    struct store *stores[STORES_MAX];
    struct store_recovered recovered; /* Of all stores together. */
    uint64_t positions[STORES_MAX];
    struct arena cells; /* Of several stores, copied: what one says it recovered ends with its first
                         * operation. */
    char name[NAME_SIZE_MAX + 1];
    char zone[NAME_SIZE_MAX + 1];
    struct buf error;
};

/* serve_stores.c. Open the directory's stores, and say how many shards run over them. 0, or an
 * error with a sentence in `error`. */
int serve_open_stores(struct server *server) CHECK_RESULT;

#endif
