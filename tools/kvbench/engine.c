#include "kvbench/engine.h"

#include "base/error.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    SAMPLE_SIZE = 200,
    ATTEMPTS_MAX = 10,
    RANDOM_SIZE = 1 << 20,
};
#define SWEEP_NS 20000000u      /* Deadlines and lost connections are looked at so often. */
#define GRACE_NS 500000000u     /* A server that answers at the deadline is given time to. */
#define RECONNECT_NS 200000000u /* After a refused connection. */

struct address {
    struct sockaddr_storage address;
    socklen_t size;
    char text[128];
};

struct engine {
    struct engine_options options;
    struct workload *workload; /* Borrowed. */
    struct ledger *ledger;     /* Borrowed; may be NULL. */
    struct address nodes[NODES_MAX];
    uint32_t nodes_count;
    int epoll;
    struct lane *lanes; /* Owned; those of stream 0 first. */
    uint32_t lanes_count;
    uint32_t first[STREAMS_MAX]; /* The first connection of each stream, */
    uint32_t turn[STREAMS_MAX];  /* and whose turn it is in an open loop. */
    double next_ns[STREAMS_MAX]; /* The next intended start. */
    struct lane **dirty;         /* Owned: those with something to send. */
    uint32_t dirty_count;
    uint64_t under_way;
    uint64_t issued;
    bool stopping; /* Issue nothing more. */
    uint64_t each_next;
    uint64_t *again; /* Owned: keys that failed, and how often. */
    uint8_t *attempts;
    uint64_t again_count;
    uint64_t given_up;
    uint8_t *random; /* Owned: what unchecked values are cut from. */
    struct buf value;
    struct tally tallies[STREAMS_MAX];
    char samples[SAMPLES_MAX][SAMPLE_SIZE];
    uint32_t samples_count;
    uint64_t now_ns;
};

uint64_t engine_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------------------- Set-up. */

static int node_add(struct engine *engine, const char *text, size_t size, struct buf *error_text)
{
    char host[128];
    if (size == 0 || size >= sizeof(host) || engine->nodes_count == NODES_MAX) {
        buf_printf(error_text, "bad node list: give host:port,host:port");
        return ERR_BAD_REQUEST;
    }
    memcpy(host, text, size);
    host[size] = '\0';
    struct address *node = &engine->nodes[engine->nodes_count];
    (void)snprintf(node->text, sizeof(node->text), "%s", host);
    char *port = strrchr(host, ':');
    if (port != NULL)
        *port++ = '\0';
    char *name = host;
    if (name[0] == '[' && strlen(name) > 1 && name[strlen(name) - 1] == ']') {
        name[strlen(name) - 1] = '\0';
        name++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, port != NULL ? port : "7379", &hints, &found);
    if (error != 0) {
        buf_printf(error_text, "cannot look up %s: %s", node->text, gai_strerror(error));
        return ERR_UNAVAILABLE;
    }
    memcpy(&node->address, found->ai_addr, found->ai_addrlen);
    node->size = found->ai_addrlen;
    freeaddrinfo(found);
    engine->nodes_count++;
    return 0;
}

static int nodes_add(struct engine *engine, const char *nodes, struct buf *error_text)
{
    const char *at = nodes;
    while (true) {
        size_t size = strcspn(at, ",");
        int error = node_add(engine, at, size, error_text);
        if (error != 0 || at[size] == '\0')
            return error;
        at += size + 1;
    }
}

static void watch_writable(struct engine *engine, struct lane *lane, bool wanted)
{
    if (lane->writable_wanted == wanted)
        return;
    lane->writable_wanted = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = lane};
    (void)epoll_ctl(engine->epoll, EPOLL_CTL_MOD, lane->fd, &event);
}

static void open_next(struct engine *engine, struct lane *lane)
{
    struct address *node = &engine->nodes[lane->node % engine->nodes_count];
    if (lane_open(lane, &node->address, node->size) != 0) {
        lane->node++;
        lane->retry_ns = engine->now_ns + RECONNECT_NS;
        return;
    }
    lane->writable_wanted = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = lane};
    int added = epoll_ctl(engine->epoll, EPOLL_CTL_ADD, lane->fd, &event);
    ASSERT(added == 0);
}

static void lanes_make(struct engine *engine)
{
    for (uint32_t s = 0; s < engine->options.streams_count; s++) {
        engine->first[s] = engine->lanes_count;
        engine->lanes_count += engine->options.streams[s].connections;
    }
    engine->lanes = mem_zero(engine->lanes_count * sizeof(*engine->lanes));
    engine->dirty = mem_zero(engine->lanes_count * sizeof(struct lane *));
    for (uint32_t s = 0; s < engine->options.streams_count; s++) {
        for (uint32_t i = 0; i < engine->options.streams[s].connections; i++) {
            struct lane *lane = &engine->lanes[engine->first[s] + i];
            lane_init(lane, engine->options.streams[s].depth);
            lane->stream = s;
            lane->node = engine->first[s] + i;
            open_next(engine, lane);
        }
    }
}

int engine_new(const char *nodes, const struct engine_options *options, struct workload *workload,
               struct ledger *ledger, struct engine **ret_engine, struct buf *error_text)
{
    struct engine *engine = mem_zero(sizeof(*engine));
    engine->options = *options;
    engine->workload = workload;
    engine->ledger = ledger;
    engine->epoll = -1;
    engine->now_ns = engine_now();
    int error = nodes_add(engine, nodes, error_text);
    if (error != 0) {
        engine_free(engine);
        return error;
    }
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    ASSERT(engine->epoll >= 0);
    engine->random = mem_alloc(RANDOM_SIZE);
    for (size_t i = 0; i < RANDOM_SIZE; i++)
        engine->random[i] = (uint8_t)prng_next(&workload->prng);
    engine->again = mem_zero(workload->keys * sizeof(*engine->again));
    engine->attempts = mem_zero(workload->keys);
    lanes_make(engine);
    *ret_engine = engine;
    return 0;
}

void engine_free(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->lanes_count; i++)
        lane_done(&engine->lanes[i]);
    if (engine->epoll >= 0)
        (void)close(engine->epoll);
    mem_free(engine->lanes);
    mem_free(engine->dirty);
    mem_free(engine->again);
    mem_free(engine->attempts);
    mem_free(engine->random);
    buf_done(&engine->value);
    mem_free(engine);
}

/* ------------------------------------------------------------------------------ Issuing. */

static void mark_dirty(struct engine *engine, struct lane *lane)
{
    if (!lane->dirty) {
        lane->dirty = true;
        engine->dirty[engine->dirty_count++] = lane;
    }
}

static struct slice value_make(struct engine *engine, const struct op *op)
{
    size_t size = engine->options.value_size;
    if (engine->options.value_size_max > size)
        size += prng_below(&engine->workload->prng, engine->options.value_size_max - size + 1);
    if (engine->ledger != NULL) {
        buf_clear(&engine->value);
        ledger_value(engine->ledger, op->key, op->sequence, size, &engine->value);
        return buf_slice(&engine->value);
    }
    if (size >= RANDOM_SIZE) {
        buf_clear(&engine->value);
        memset(buf_reserve(&engine->value, size), 'x', size);
        return slice_of(engine->value.data, size);
    }
    return slice_of(engine->random + prng_below(&engine->workload->prng, RANDOM_SIZE - size), size);
}

static void send_put(struct engine *engine, struct lane *lane, struct op *op, struct slice context)
{
    char name[KEY_NAME_MAX];
    uint32_t length = workload_name(engine->workload, op->key, name);
    op->writing = true;
    lane_put(lane, op, &engine->options.manner, slice_of(name, length), value_make(engine, op),
             context);
}

static void send_get(struct engine *engine, struct lane *lane, struct op *op)
{
    char name[KEY_NAME_MAX];
    uint32_t length = workload_name(engine->workload, op->key, name);
    if (engine->ledger != NULL)
        op->floor = ledger_floor(engine->ledger, op->key);
    lane_get(lane, op, &engine->options.manner, slice_of(name, length));
}

/* A key to write: in a checked run one that nobody else is writing. */
static bool choose_key(struct engine *engine, struct op *op)
{
    bool write = op->kind == OP_PUT || op->kind == OP_RMW;
    for (int i = 0; i < 64; i++) {
        op->key = workload_key(engine->workload);
        if (engine->ledger == NULL || !write)
            return true;
        op->sequence = ledger_begin(engine->ledger, op->key);
        if (op->sequence != 0)
            return true;
    }
    return false;
}

/* The next key whose turn it is, or one that failed before. */
static bool each_key(struct engine *engine, struct op *op)
{
    if (engine->again_count > 0)
        op->key = engine->again[--engine->again_count];
    else if (engine->each_next < engine->workload->keys)
        op->key = engine->each_next++;
    else
        return false;
    if (engine->ledger != NULL && op->kind == OP_PUT)
        op->sequence = ledger_begin(engine->ledger, op->key);
    return true;
}

static bool op_begin(struct engine *engine, const struct stream *stream, struct op *op)
{
    if (stream->each) {
        op->kind = stream->each_kind;
        return each_key(engine, op);
    }
    op->kind = workload_kind(engine->workload, &stream->mix);
    if (op->kind == OP_INSERT) {
        ASSERT(engine->ledger == NULL);
        op->key = engine->workload->keys++;
        return true;
    }
    return op->kind == OP_SCAN || choose_key(engine, op);
}

/* Send one request on LANE, which has a free place. False when there is none to send. */
static bool issue(struct engine *engine, struct lane *lane, uint64_t intended_ns)
{
    if (engine->stopping ||
        (engine->options.count_max > 0 && engine->issued >= engine->options.count_max))
        return false;
    struct op *op = lane_take(lane);
    op->stream = lane->stream;
    if (!op_begin(engine, &engine->options.streams[op->stream], op)) {
        lane_give(lane, op);
        return false;
    }
    op->intended_ns = intended_ns;
    op->sent_ns = engine->now_ns;
    if (op->kind == OP_SCAN)
        lane_scan(lane, op, &engine->options.manner);
    else if (op->kind == OP_PUT || op->kind == OP_INSERT)
        send_put(engine, lane, op, SLICE_NONE);
    else
        send_get(engine, lane, op);
    engine->issued++;
    engine->under_way++;
    mark_dirty(engine, lane);
    return true;
}

static bool lane_ready(const struct lane *lane)
{
    return lane->fd >= 0 && !lane->connecting && lane_free(lane);
}

static void issue_closed(struct engine *engine, struct lane *lane)
{
    while (lane_ready(lane) && issue(engine, lane, engine->now_ns))
        ;
}

/* All that is due by now, as far as there are free places: the rest keeps its intended start. */
static void issue_open(struct engine *engine, uint32_t s)
{
    const struct stream *stream = &engine->options.streams[s];
    uint32_t tried = 0;
    while (engine->next_ns[s] <= (double)engine->now_ns && tried < stream->connections) {
        struct lane *lane =
            &engine->lanes[engine->first[s] + engine->turn[s]++ % stream->connections];
        if (!lane_ready(lane)) {
            tried++;
            continue;
        }
        if (!issue(engine, lane, (uint64_t)engine->next_ns[s]))
            return;
        engine->next_ns[s] += 1e9 / stream->rate;
        tried = 0;
    }
}

/* ----------------------------------------------------------------------------- Counting. */

static void sample_add(struct engine *engine, const struct op *op, const char *what,
                       struct slice detail)
{
    if (engine->options.quiet || engine->samples_count == SAMPLES_MAX)
        return;
    char name[KEY_NAME_MAX] = "";
    if (op->kind != OP_SCAN)
        (void)workload_name(engine->workload, op->key, name);
    (void)snprintf(engine->samples[engine->samples_count++], SAMPLE_SIZE, "%s %s: %s%s%.*s",
                   op_name(op->kind), name, what, detail.size > 0 ? ": " : "",
                   (int)MIN(detail.size, (size_t)120), (const char *)detail.data);
}

/* Write down the end of a checked put. */
static void ledger_note(struct engine *engine, const struct op *op, int error)
{
    if (engine->ledger == NULL || op->sequence == 0)
        return;
    if (error == 0)
        ledger_acked(engine->ledger, op->key, op->sequence);
    else if (error == ERR_TIMEOUT && op->writing)
        ledger_unknown(engine->ledger, op->key, op->sequence);
    else
        ledger_refused(engine->ledger, op->key, op->sequence);
}

static void retry_note(struct engine *engine, const struct op *op)
{
    if (!engine->options.streams[op->stream].each)
        return;
    if (++engine->attempts[op->key] >= ATTEMPTS_MAX)
        engine->given_up++;
    else
        engine->again[engine->again_count++] = op->key;
}

/* The end of OP: with ERROR 0 it is done; NULL detail: no answer came. */
static void finish(struct engine *engine, struct lane *lane, struct op *op, int error,
                   struct slice detail, bool lost)
{
    struct tally *tally = &engine->tallies[op->stream];
    uint64_t taken_ns = engine->now_ns - op->intended_ns;
    ledger_note(engine, op, error);
    if (error == 0)
        histogram_add(&tally->latency[op->kind], taken_ns);
    if (error == 0 && engine->options.streams[op->stream].rate > 0 &&
        taken_ns > (uint64_t)engine->options.manner.deadline_ms * 1000000u) {
        /* In time from when it was sent, but not from when its caller wanted it. */
        error = ERR_TIMEOUT;
        detail = slice_string("answered past the deadline");
    }
    if (error == 0) {
        tally->done++;
    } else {
        tally->failed++;
        tally->lost += lost;
        tally->errors[MIN((uint32_t)-error, ERRORS_MAX - 1U)]++;
        sample_add(engine, op, lost ? "no answer" : error_word(error), detail);
        retry_note(engine, op);
    }
    lane_give(lane, op);
    engine->under_way--;
}

static void judge(struct engine *engine, const struct op *op, const struct reply *reply)
{
    if (engine->ledger == NULL)
        return;
    struct tally *tally = &engine->tallies[op->stream];
    switch (ledger_judge(engine->ledger, op->key, op->floor, reply->found, reply->value)) {
    case LEDGER_RIGHT:
        break;
    case LEDGER_STALE:
        tally->stale++;
        sample_add(engine, op, reply->found ? "stale value" : "acknowledged value is missing",
                   slice_of(reply->value.data, MIN(reply->value.size, (size_t)40)));
        break;
    case LEDGER_WRONG:
        tally->wrong++;
        sample_add(engine, op, "value was never written",
                   slice_of(reply->value.data, MIN(reply->value.size, (size_t)40)));
        break;
    }
}

/* One answer; an op may go on with its second half. */
static void answered(struct engine *engine, struct lane *lane, const struct reply *reply)
{
    struct op *op = reply->op;
    int error = reply->error;
    bool reading = !op->writing && op->kind != OP_SCAN;
    if (reading && (error == ERR_NOT_FOUND || error == ERR_DELETED)) {
        engine->tallies[op->stream].missed++;
        error = 0;
    }
    if (reading && error == 0)
        judge(engine, op, reply);
    if (op->kind == OP_SCAN && error == 0) {
        buf_clear(&lane->cursor);
        buf_append(&lane->cursor, reply->cursor);
    }
    if (op->kind == OP_RMW && reading && error == 0) {
        send_put(engine, lane, op, reply->context);
        mark_dirty(engine, lane);
        return;
    }
    finish(engine, lane, op, error, reply->message, false);
}

/* --------------------------------------------------------------------------- The loop. */

static void drop(struct engine *engine, struct lane *lane)
{
    bool refused = lane->connecting;
    lane_close(lane);
    for (uint32_t i = 0; i < lane->depth; i++) {
        if (lane->ops[i].used)
            finish(engine, lane, &lane->ops[i], ERR_TIMEOUT, slice_string("the connection broke"),
                   true);
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
            watch_writable(engine, lane, lane->out.size > 0);
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
    while ((got = lane_next(lane, &at, &reply)) == 1) {
        if (reply.op != NULL)
            answered(engine, lane, &reply);
    }
    if (got < 0) {
        drop(engine, lane);
        return;
    }
    lane_consume(lane, at);
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
    watch_writable(engine, lane, false);
}

static void happened(struct engine *engine, struct lane *lane, uint32_t events)
{
    if (lane->fd < 0)
        return;
    if (lane->connecting) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            connected(engine, lane);
    } else if (events & EPOLLOUT) {
        mark_dirty(engine, lane);
    }
    if (lane->fd >= 0 && !lane->connecting && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        take_answers(engine, lane);
    if (engine->options.streams[lane->stream].rate == 0)
        issue_closed(engine, lane);
}

static void sweep(struct engine *engine)
{
    uint64_t limit_ns = (uint64_t)engine->options.manner.deadline_ms * 1000000u + GRACE_NS;
    for (uint32_t i = 0; i < engine->lanes_count; i++) {
        struct lane *lane = &engine->lanes[i];
        if (lane->fd < 0 && engine->now_ns >= lane->retry_ns)
            open_next(engine, lane);
        for (uint32_t j = 0; j < lane->depth; j++) {
            struct op *op = &lane->ops[j];
            if (op->used && engine->now_ns > op->sent_ns + limit_ns)
                finish(engine, lane, op, ERR_TIMEOUT, slice_string("past the deadline"), true);
        }
        if (engine->options.streams[lane->stream].rate == 0)
            issue_closed(engine, lane);
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
            issue_open(engine, s);
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
