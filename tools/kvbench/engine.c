/* The loop of the load generator. */
#include "base/error.h"
#include "kvbench/dialect.h"
#include "kvbench/engine_private.h"

#include <sys/epoll.h>
#include <time.h>

enum { EVENTS_MAX = 256 };
#define SWEEP_NS 20000000u  /* Deadlines and lost connections are looked at so often. */
#define GRACE_NS 500000000u /* A server that answers at the deadline is given time to. */

uint64_t engine_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void drop(struct engine *engine, struct lane *lane)
{
    bool refused = lane->connecting;
    lane_close(lane);
    for (uint32_t i = 0; i < lane->depth; i++) {
        if (lane->ops[i].used)
            engine_finish(engine, lane, &lane->ops[i], ERR_TIMEOUT,
                          slice_string("the connection broke"), true);
    }
    lane->node++;
    lane->retry_ns = engine->now_ns + (refused ? RECONNECT_NS : RECONNECT_NS / 10);
}

static void flush_all(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->dirty_count; i++) {
        struct lane *lane = engine->dirty[i];
        lane->dirty = false;
        if (lane->fd < 0)
            continue;
        if (lane_flush(lane) != 0)
            drop(engine, lane);
        else if (!lane->connecting)
            engine_watch(engine, lane, lane->out.size > 0);
    }
    engine->dirty_count = 0;
}

static void take_answers(struct engine *engine, struct lane *lane)
{
    if (lane_read(lane) != 0) {
        drop(engine, lane);
        return;
    }
    size_t at = 0;
    struct reply reply;
    int got = 0;
    const struct dialect *dialect = engine->options.manner.dialect;
    while ((got = dialect->next(lane, &at, &reply)) == 1) {
        if (reply.op != NULL)
            engine_answered(engine, lane, &reply);
    }
    if (got < 0) {
        drop(engine, lane);
        return;
    }
    lane_consume(lane, at);
    if (lane->out.size > lane->out_sent)
        engine_dirty(engine, lane); /* The dialect had something to say of its own. */
}

static void connected(struct engine *engine, struct lane *lane)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(lane->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        drop(engine, lane);
        return;
    }
    lane->connecting = false;
    engine_watch(engine, lane, false);
}

static void happened(struct engine *engine, struct lane *lane, uint32_t events)
{
    if (lane->fd < 0)
        return;
    if (lane->connecting) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            connected(engine, lane);
    } else if (events & EPOLLOUT) {
        engine_dirty(engine, lane);
    }
    if (lane->fd >= 0 && !lane->connecting && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        take_answers(engine, lane);
    if (engine->options.streams[lane->stream].rate == 0)
        engine_issue_closed(engine, lane);
}

/* Give up requests past their deadline. Where answers have no names, the connection goes too. */
static void give_up(struct engine *engine, struct lane *lane, uint64_t limit_ns)
{
    for (uint32_t j = 0; j < lane->depth; j++) {
        struct op *op = &lane->ops[j];
        if (!op->used || engine->now_ns <= op->sent_ns + limit_ns)
            continue;
        if (engine->options.manner.dialect->ordered) {
            drop(engine, lane);
            return;
        }
        engine_finish(engine, lane, op, ERR_TIMEOUT, slice_string("past the deadline"), true);
    }
}

static void sweep(struct engine *engine)
{
    uint64_t limit_ns = (uint64_t)engine->options.manner.deadline_ms * 1000000u + GRACE_NS;
    for (uint32_t i = 0; i < engine->lanes_count; i++) {
        struct lane *lane = &engine->lanes[i];
        if (lane->fd < 0 && engine->now_ns >= lane->retry_ns)
            engine_reopen(engine, lane);
        give_up(engine, lane, limit_ns);
        if (engine->options.streams[lane->stream].rate == 0)
            engine_issue_closed(engine, lane);
    }
}

/* How long to sleep: until the next intended start, or the next sweep. */
static uint64_t sleep_ns(const struct engine *engine, uint64_t sweep_ns)
{
    uint64_t until = sweep_ns;
    for (uint32_t s = 0; s < engine->options.streams_count && !engine->stopping; s++) {
        double next = engine->next_ns[s];
        if (engine->options.streams[s].rate > 0 && next > (double)engine->now_ns)
            until = MIN(until, (uint64_t)next);
    }
    return until > engine->now_ns ? until - engine->now_ns : 0;
}

static void turn(struct engine *engine, uint64_t *sweep_ns)
{
    struct epoll_event events[EVENTS_MAX];
    for (uint32_t s = 0; s < engine->options.streams_count; s++) {
        if (engine->options.streams[s].rate > 0)
            engine_issue_open(engine, s);
    }
    flush_all(engine);
    uint64_t wait = sleep_ns(engine, *sweep_ns);
    struct timespec timeout = {.tv_sec = (time_t)(wait / 1000000000u),
                               .tv_nsec = (long)(wait % 1000000000u)};
    int count = epoll_pwait2(engine->epoll, events, EVENTS_MAX, &timeout, NULL);
    engine->now_ns = engine_now();
    for (int i = 0; i < count; i++)
        happened(engine, events[i].data.ptr, events[i].events);
    if (engine->now_ns >= *sweep_ns) {
        sweep(engine);
        *sweep_ns = engine->now_ns + SWEEP_NS;
    }
    flush_all(engine);
}

/* Has everything that was to be sent been sent and answered? */
static bool exhausted(const struct engine *engine)
{
    if (engine->under_way > 0)
        return false;
    if (engine->options.count_max > 0 && engine->issued >= engine->options.count_max)
        return true;
    return engine->options.streams[0].each && engine->again_count == 0 &&
           engine->each_next == engine->workload->keys;
}

void engine_run(struct engine *engine, double seconds, const volatile int *stop,
                void (*tick)(void *arg), void *arg)
{
    engine->now_ns = engine_now();
    engine->stopping = false;
    for (uint32_t s = 0; s < engine->options.streams_count; s++)
        engine->next_ns[s] = (double)engine->now_ns;
    uint64_t end_ns = seconds > 0 ? engine->now_ns + (uint64_t)(seconds * 1e9) : UINT64_MAX;
    uint64_t tick_ns = engine->now_ns + 1000000000u;
    uint64_t sweep_ns = 0;
    while (engine->now_ns < end_ns && (stop == NULL || *stop == 0) && !exhausted(engine)) {
        turn(engine, &sweep_ns);
        if (tick != NULL && engine->now_ns >= tick_ns) {
            tick(arg);
            tick_ns += 1000000000u;
        }
    }
}

void engine_settle(struct engine *engine)
{
    engine->stopping = true;
    uint64_t sweep_ns = 0;
    while (engine->under_way > 0)
        turn(engine, &sweep_ns);
}

void engine_reset(struct engine *engine)
{
    memset(engine->tallies, 0, sizeof(engine->tallies));
}

const struct tally *engine_tally(const struct engine *engine, uint32_t stream)
{
    return &engine->tallies[stream];
}

uint64_t engine_given_up(const struct engine *engine)
{
    return engine->given_up;
}

const char *engine_sample(const struct engine *engine, uint32_t i)
{
    return i < engine->samples_count ? engine->samples[i] : "";
}
