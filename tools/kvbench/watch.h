/* What the servers cost meanwhile: CPU time and memory of processes, bytes written to the devices.
 */
#ifndef WATCH_H
#define WATCH_H

#include "base/base.h"

enum { WATCH_PIDS_MAX = 64 };

struct watch_sample {
    uint64_t cpu_us;       /* User and system time of all processes, summed. */
    uint64_t rss_bytes;    /* Resident, summed; */
    uint64_t anon_bytes;   /* of it anonymous: not backed by a file. */
    uint64_t device_bytes; /* Written to the devices watched, since boot. */
    uint32_t missing;      /* Processes that could not be read. */
};

struct watch {
    int pids[WATCH_PIDS_MAX];
    uint32_t pids_count;
    char device[32]; /* As in /proc/diskstats; empty: all whole devices that are no loop or ram. */
};

/* A comma-separated list of pids; 0 or ERR_BAD_REQUEST. */
int watch_parse(const char *text, struct watch *watch) CHECK_RESULT;
void watch_take(const struct watch *watch, struct watch_sample *ret_sample);

#endif
