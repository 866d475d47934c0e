/* What the files of the shared log share. Nobody else includes this. */
#ifndef LOG_SHARED_PRIVATE_H
#define LOG_SHARED_PRIVATE_H

#include <pthread.h>

#include "store/log_private.h"
#include "store/log_shared.h"

/* All under the mutex once several threads are at it. */
struct log_shared {
    pthread_mutex_t mutex;
    uint32_t users;
    uint32_t stores;
    struct log log;            /* Segments, slots, run, figures; its positions are the sequence. */
    struct log_point issued;   /* Behind the last envelope that the disk was given. */
    struct log_batch *waiting; /* The others, for a slot, in order. */
    struct log_batch **waiting_last;
    uint64_t segments[STORES_MAX]; /* The first that each store still needs, */
    uint64_t marks[STORES_MAX];    /* and log.bytes at its mark. */
};

#endif
