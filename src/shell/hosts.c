#include "shell/hosts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/error.h"
#include "shell/verify.h"

enum { VIEW_OLD_US = 5 * 1000 * 1000 };

struct hosts {
    struct host *hosts; /* Borrowed. */
    uint32_t count;
    struct lanes *lanes; /* Owned. */
    pthread_t threads[SHARDS_MAX];
    atomic_uint sessions; /* Of clients, at all shards. */
    uint32_t running;     /* Threads. */
    /* The first one's: */
    uint32_t placed;                /* Clients so far. */
    uint32_t stopped;               /* Shards whose stores have. */
    struct view *views[SHARDS_MAX]; /* Owned; by shard less one. */
    uint64_t views_us[SHARDS_MAX];  /* When they came. */
};

struct hosts *hosts_new(struct host *hosts, uint32_t count)
{
    struct hosts *all = mem_zero(sizeof *all);
    all->hosts = hosts;
    all->count = count;
    all->lanes = lanes_new(count);
    for (uint32_t i = 0; i < count; i++) {
        hosts[i].shard = i;
        hosts[i].first = &hosts[0];
        hosts[i].hosts = all;
    }
    return all;
}

uint32_t hosts_share(const struct host *host, uint32_t of_node)
{
    uint32_t count = host->hosts == NULL ? 1 : host->hosts->count;
    return (of_node + count - 1) / count;
}

uint32_t hosts_count(const struct hosts *all)
{
    return all->count;
}

void hosts_free(struct hosts *all)
{
    lanes_free(all->lanes);
    for (uint32_t i = 0; i + 1 < all->count; i++)
        view_free(all->views[i]);
    mem_free(all);
}

/* ----------------------------------------------------------------------------- Threads. */

static void *run(void *arg)
{
    struct host *host = arg;
    uv_run(&host->loop, UV_RUN_DEFAULT);
    return NULL;
}

bool hosts_run(struct hosts *all)
{
    for (uint32_t i = 1; i < all->count; i++) {
        if (pthread_create(&all->threads[i], NULL, run, &all->hosts[i]) != 0)
            return false;
        all->running++;
    }
    return true;
}

static void on_end(void *arg, void *what)
{
    struct host *host = arg;
    (void)what;
    host->phase = HOST_CLOSING;
    uv_stop(&host->loop);
}

void hosts_join(struct hosts *all)
{
    for (uint32_t i = 1; i <= all->running; i++)
        lanes_call(all->lanes, 0, i, on_end, NULL);
    lanes_flush(all->lanes, 0);
    for (uint32_t i = 1; i <= all->running; i++)
        pthread_join(all->threads[i], NULL);
    all->running = 0;
}

/* ---------------------------------------------------------------------------- Stopping. */

static void on_stop(void *arg, void *what)
{
    struct host *host = arg;
    (void)what;
    if (!host->halted)
        host_begin_stop(host);
}

void hosts_stop(struct host *first)
{
    for (uint32_t i = 1; i < first->hosts->count; i++)
        lanes_call(first->hosts->lanes, 0, i, on_stop, NULL);
}

static void on_stopped(void *arg, void *what)
{
    struct host *first = arg;
    (void)what;
    first->hosts->stopped++;
}

void hosts_tell_stopped(struct host *host)
{
    host->told_stopped = true;
    lanes_call(host->hosts->lanes, host->shard, 0, on_stopped, NULL);
}

bool hosts_stopped(const struct host *first)
{
    return first->hosts->stopped + 1 == first->hosts->count;
}

struct halt {
    int error;
    struct buf what; /* Owned. */
};

static void on_halt(void *arg, void *what)
{
    struct halt *halt = what;
    host_halt(arg, halt->error, buf_slice(&halt->what));
    buf_done(&halt->what);
    mem_free(halt);
}

void hosts_halt(struct host *host, int error, struct slice what)
{
    struct halt *halt = mem_zero(sizeof *halt);
    halt->error = error;
    buf_append(&halt->what, what);
    lanes_call(host->hosts->lanes, host->shard, 0, on_halt, halt);
}

/* ------------------------------------------------------------------------- Connections. */

struct arrival {
    int fd;
    struct buf bytes; /* Owned. */
};

static void on_client(void *arg, void *what)
{
    struct host *host = arg;
    struct arrival *arrival = what;
    if (host->phase <= HOST_SERVING)
        clients_adopt(&host->clients, arrival->fd, buf_slice(&arrival->bytes));
    else
        close(arrival->fd);
    buf_done(&arrival->bytes);
    mem_free(arrival);
}

static void give_client(struct host *host, uint32_t to, int fd, struct slice bytes)
{
    struct arrival *arrival = mem_zero(sizeof *arrival);
    arrival->fd = fd;
    buf_append(&arrival->bytes, bytes);
    lanes_call(host->hosts->lanes, host->shard, to, on_client, arrival);
}

static bool place_client(void *arg, const struct conn *conn)
{
    struct host *first = arg;
    uint32_t to = first->hosts->placed++ % first->hosts->count;
    int fd = to == 0 ? -1 : conn_give_up(conn);
    if (fd >= 0)
        give_client(first, to, fd, SLICE_NONE);
    return fd >= 0;
}

static void move_client(void *arg, int fd, struct slice bytes)
{
    give_client(arg, 0, fd, bytes);
}

static void on_peer(void *arg, void *what)
{
    struct host *host = arg;
    struct peers_arrival *arrival = what;
    peers_adopt(&host->peers, arrival);
    buf_done(&arrival->bytes);
    mem_free(arrival);
}

static bool place_peer(void *arg, const struct conn *conn, struct peers_arrival *arrival)
{
    struct host *first = arg;
    uint32_t to = arrival->prelude.shard & (first->hosts->count - 1);
    if (to == 0 || (arrival->fd = conn_give_up(conn)) < 0)
        return false;
    struct peers_arrival *moved = mem_alloc(sizeof *moved);
    *moved = *arrival;
    arrival->bytes = (struct buf){0};
    lanes_call(first->hosts->lanes, 0, to, on_peer, moved);
    return true;
}

/* ------------------------------------------------------------------------------- Views. */

static void on_view(void *arg, void *what)
{
    struct host *first = arg;
    struct view *view = what;
    struct view **at = &first->hosts->views[view->shard - 1];
    view_free(*at);
    *at = view;
    first->hosts->views_us[view->shard - 1] = first->engine.now.us;
    clients_resume(&first->clients);
    mailbox_again(first->mailbox);
}

static void send_view(struct host *host)
{
    const struct node *node = host->engine.node;
    struct view *view = view_new(node);
    host_figures(host, &view->figures);
    view_ranges(view, node_core(node), host->engine.storage, host->store);
    view->holes_alone = view_holes_alone(node_core(node), host->engine.storage, host->store);
    lanes_call(host->hosts->lanes, host->shard, 0, on_view, view);
}

static void on_look(void *arg, void *what)
{
    (void)what;
    send_view(arg);
}

static bool have_all(const struct hosts *all, uint64_t since_us)
{
    bool have = true;
    for (uint32_t i = 0; i + 1 < all->count; i++)
        have = have && all->views[i] != NULL && all->views_us[i] >= since_us;
    return have;
}

static bool look(void *arg, uint64_t *since_us)
{
    struct host *first = arg;
    if (*since_us != 0)
        return have_all(first->hosts, *since_us);
    *since_us = first->engine.now.us;
    for (uint32_t i = 1; i < first->hosts->count; i++)
        lanes_call(first->hosts->lanes, 0, i, on_look, NULL);
    return false;
}

struct view *const *hosts_views(const struct host *first, uint32_t *ret_count)
{
    const struct hosts *all = first->hosts;
    uint32_t count = 0;
    while (count + 1 < all->count && all->views[count] != NULL)
        count++;
    *ret_count = count;
    return all->views;
}

bool hosts_answer(const struct host *first, uint64_t now_us)
{
    bool answer = true;
    for (uint32_t i = 0; i + 1 < first->hosts->count; i++)
        answer = answer && (now_us < first->started_us + VIEW_OLD_US ||
                            now_us < first->hosts->views_us[i] + VIEW_OLD_US);
    return answer;
}

/* OTHERS without what PART is of all. */
static void leave_out(struct clients_others *others, const struct exposition *part)
{
    others->accepted -= part->clients.accepted;
    others->refused -= part->clients.refused;
    others->requests -= part->clients.requests;
    others->bytes_in -= part->bytes_in;
    others->bytes_out -= part->bytes_out;
    others->ops_per_s -= part->metrics.ops_per_s;
}

static void on_others(void *arg, void *what)
{
    struct host *host = arg;
    host->clients.others = *(struct clients_others *)what;
    mem_free(what);
}

/* Tell each shard what all others add up to. */
static void tell_others(struct host *first)
{
    struct hosts *all = first->hosts;
    struct exposition *sum = mem_zero(2 * sizeof *sum);
    struct exposition *own = sum + 1;
    host_figures(first, own);
    *sum = *own;
    for (uint32_t i = 0; i + 1 < all->count; i++)
        if (all->views[i] != NULL)
            exposition_add(sum, &all->views[i]->figures);
    const struct clients_others whole = {
        .accepted = sum->clients.accepted,
        .refused = sum->clients.refused,
        .requests = sum->clients.requests,
        .bytes_in = sum->bytes_in,
        .bytes_out = sum->bytes_out,
        .sessions_max = first->clients.options.sessions_max * (all->count - 1),
        .ops_per_s = sum->metrics.ops_per_s,
    };
    first->clients.others = whole;
    leave_out(&first->clients.others, own);
    for (uint32_t i = 0; i + 1 < all->count; i++) {
        if (all->views[i] == NULL)
            continue;
        struct clients_others *others = mem_alloc(sizeof *others);
        *others = whole;
        leave_out(others, &all->views[i]->figures);
        lanes_call(all->lanes, 0, i + 1, on_others, others);
    }
    mem_free(sum);
}

void hosts_second(struct host *host)
{
    if (host->shard != 0)
        send_view(host);
    else
        tell_others(host);
}

/* ------------------------------------------------------------------------ Verifications. */

static void on_verify(void *arg, void *what)
{
    struct host *host = arg;
    struct store_op *op = what;
    engine_submit(&host->engine, op);
    mem_free(op);
}

static bool verify(void *arg, const struct store_op *op)
{
    const struct host *first = arg;
    const struct core *core = node_core(first->engine.node);
    uint32_t shard = shard_of_range(op->range, core->ring.bits, first->hosts->count);
    if (shard == 0)
        return false;
    struct store_op *copy = mem_alloc(sizeof *copy);
    *copy = *op;
    lanes_call(first->hosts->lanes, 0, shard, on_verify, copy);
    return true;
}

static void on_verified(void *arg, void *what)
{
    struct host *first = arg;
    struct store_done *done = what;
    verify_done(&first->clients, done);
    mem_free(done);
}

void hosts_verified(struct host *host, const struct store_done *done)
{
    struct store_done *copy = mem_alloc(sizeof *copy);
    *copy = *done; /* What it points to is not looked at. */
    lanes_call(host->hosts->lanes, host->shard, 0, on_verified, copy);
}

/* ------------------------------------------------------------------------------ Reload. */

static void on_reload(void *arg, void *what)
{
    struct host *host = arg;
    const struct clients_options *options = what;
    host->clients.options.sessions_max = options->sessions_max;
    host->clients.options.sender_timeout_ms = options->sender_timeout_ms;
    host->clients.options.value_size_max = options->value_size_max;
    mem_free(what);
}

void hosts_reload(struct host *first, const struct clients_options *options)
{
    for (uint32_t i = 1; i < first->hosts->count; i++) {
        struct clients_options *copy = mem_alloc(sizeof *copy);
        *copy = *options;
        lanes_call(first->hosts->lanes, 0, i, on_reload, copy);
    }
}

/* ------------------------------------------------------------------------------- Lanes. */

static void on_begin(void *arg)
{
    struct host *host = arg;
    engine_tick(&host->engine);
}

static void on_message(void *arg, struct node_id from, struct slice payload)
{
    struct host *host = arg;
    engine_take(&host->engine, from, payload);
}

static void on_call(void *arg, void (*run_it)(void *arg, void *what), void *what)
{
    run_it(arg, what);
}

void hosts_open(struct host *host)
{
    const struct lanes_events events = {
        .message = on_message, .call = on_call, .begin = on_begin, .arg = host};
    host->clients.sessions_all = &host->hosts->sessions;
    lanes_open(host->hosts->lanes, host->shard, &host->loop, &events);
    if (host->shard != 0) {
        host->clients.hooks.move = move_client;
        return;
    }
    host->clients.hooks.place = place_client;
    host->clients.hooks.look = look;
    host->clients.hooks.verify = verify;
    host->peers.place = place_peer;
    host->peers.place_arg = host;
}

void hosts_close(struct host *host)
{
    lanes_close(host->hosts->lanes, host->shard);
}

bool hosts_hand(struct host *host, uint32_t shard, struct node_id from, bool owed,
                struct slice payload)
{
    return lanes_message(host->hosts->lanes, host->shard, shard, from, owed, payload);
}

const struct lanes_counters *hosts_counters(const struct host *host)
{
    return lanes_counters(host->hosts->lanes, host->shard);
}

void hosts_flush(struct host *host)
{
    lanes_flush(host->hosts->lanes, host->shard);
}
