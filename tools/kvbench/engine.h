/* The load generator: streams of requests over many connections, one thread, one epoll loop.
 *
 * A stream without a rate is a closed loop: each of its connections keeps DEPTH requests under way.
 * A stream with a rate is an open loop: requests have fixed intended starts, and their latency
 * counts from there even if no connection was free, so a stall is charged to all who would have
 * come meanwhile (no coordinated omission; Tene, "How NOT to Measure Latency"). */
#ifndef ENGINE_H
#define ENGINE_H

#include "kvbench/histogram.h"
#include "kvbench/lane.h"
#include "kvbench/ledger.h"
#include "kvbench/sizes.h"

enum { STREAMS_MAX = 4, NODES_MAX = 64, ERRORS_MAX = 24, SAMPLES_MAX = 8 };

struct stream {
    const char *name;
    struct mix mix;
    double rate; /* Requests a second; 0: closed loop. */
    bool each;   /* One `each_kind` (get or put) of each key in order, again after a failure. */
    enum op_kind each_kind;
    uint32_t connections;
    uint32_t depth;
};

/* What was counted since engine_reset. */
struct tally {
    struct histogram latency[OP_KINDS];
    uint64_t done;   /* Answered well, a key that is not there included. */
    uint64_t failed; /* Answered with an error, or not answered in time. */
    uint64_t missed; /* Keys that are not there. */
    uint64_t stale;
    uint64_t wrong;
    uint64_t errors[ERRORS_MAX]; /* Failures by -code. */
    uint64_t lost;               /* Of the failures: the connection broke, or no answer came. */
};

struct engine_options {
    struct manner manner;
    struct stream streams[STREAMS_MAX];
    uint32_t streams_count;
    struct sizes sizes;
    uint64_t count_max; /* Stop issuing after so many requests; 0: never. */
    bool quiet;         /* Keep no samples of failures. */
};

struct engine;

/* NODES is "host:port,host:port"; connections are spread over them. LEDGER may be NULL: unchecked.
 * 0, or ERR_BAD_REQUEST / ERR_UNAVAILABLE with words in ERROR_TEXT. */
int engine_new(const char *nodes, const struct engine_options *options, struct workload *workload,
               struct ledger *ledger, struct engine **ret_engine,
               struct buf *error_text) CHECK_RESULT;
void engine_free(struct engine *engine);
/* Run until SECONDS have passed (0: for ever), the count is used up, each key was done, or STOP
 * (may be NULL) turns nonzero. Calls TICK (may be NULL) about every second. Requests under way at
 * the end stay under way. */
void engine_run(struct engine *engine, double seconds, const volatile int *stop,
                void (*tick)(void *arg), void *arg);
/* Wait for the requests under way, at most until their deadlines. */
void engine_settle(struct engine *engine);
/* Forget what was counted. */
void engine_reset(struct engine *engine);
/* Of stream STREAM. */
const struct tally *engine_tally(const struct engine *engine, uint32_t stream);
/* Keys of an `each` stream that failed ten times. */
uint64_t engine_given_up(const struct engine *engine);
/* Words of the first few failures, "" past the last. */
const char *engine_sample(const struct engine *engine, uint32_t i);
/* Nanoseconds of the monotonic clock. */
uint64_t engine_now(void);

#endif
