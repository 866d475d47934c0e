/* The loop: its handles, its turns, and where the engine's hooks lead. */
#include "shell/host.h"

#include <signal.h>

#include "base/error.h"
#include "shell/admin_methods.h"
#include "shell/hosts.h"
#include "shell/notify.h"
#include "shell/session.h"
#include "shell/verify.h"

enum { ROUNDS_MAX = 8, SEED_LINE_US = 10 * 1000 * 1000 };

/* ------------------------------------------------------------------------------- Hooks. */

static void on_send(void *arg, struct node_id to, struct slice address,
                    const struct message *message)
{
    struct host *host = arg;
    peers_send(&host->peers, to, address, message);
}

static void on_reply(void *arg, uint64_t client, const struct answer *answer)
{
    struct host *host = arg;
    if (client == HOST_CLIENT_DRAIN)
        host_on_drained(host, answer);
    else
        calls_reply(&host->clients, client, answer);
}

static void on_done(void *arg, const struct store_done *done)
{
    struct host *host = arg;
    if (done->token != HOST_TOKEN_NAMES && host->shard != 0)
        hosts_verified(host, done);
    else if (done->token != HOST_TOKEN_NAMES)
        verify_done(&host->clients, done);
    else if (done->error != 0)
        log_warning("name and zone of the node are not remembered",
                    LOG(log_text("why", error_word(done->error))));
}

static void on_halt(void *arg, int error, struct slice detail)
{
    host_halt(arg, error, detail);
}

static bool on_hand(void *arg, uint32_t shard, struct node_id from, bool owed, struct slice payload)
{
    return hosts_hand(arg, shard, from, owed, payload);
}

static void on_stop(void *arg)
{
    struct host *host = arg;
    host->stop_asked = true;
}

static void on_store_done(void *arg, const struct store_done *done)
{
    struct host *host = arg;
    engine_done(&host->engine, done);
}

static void on_store_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct host *host = arg;
    engine_durable(&host->engine, written, synced);
}

static void on_store_damaged(void *arg, const struct store_damage *damage)
{
    struct host *host = arg;
    if (damage->fresh && damage->hole)
        log_warning("the key of a stored record is damaged; what lies between its neighbours is "
                    "fetched from the other copies",
                    LOG(log_number("from", damage->hash), log_number("to", damage->to)));
    else if (damage->fresh)
        log_warning("a stored record is damaged; it is fetched from the other copies",
                    LOG(log_slice("bucket", damage->bucket), log_slice("key", damage->key)));
    engine_damaged(&host->engine, damage);
}

static void on_store_failed(void *arg, const char *text)
{
    host_halt(arg, ERR_IO, slice_string(text));
}

void host_store_options(struct host *host, struct store_options *options)
{
    options->done = on_store_done;
    options->durable = on_store_durable;
    options->failed = on_store_failed;
    options->damaged = on_store_damaged;
    options->arg = host;
}

/* --------------------------------------------------------------------------- Listening. */

static bool listen_all(struct host *host)
{
    struct host_listeners *listeners = &host->listeners;
    int result = peers_listen(&host->peers, listeners->peer_fd);
    listeners->peer_fd = -1;
    if (result == 0) {
        result = clients_listen(&host->clients, listeners->client_fd);
        listeners->client_fd = -1;
    }
    if (result < 0) {
        log_error("cannot listen", LOG(log_text("why", uv_strerror(result))));
        return false;
    }
    if (listeners->http_fd >= 0) {
        host->http = http_start(listeners->http_fd, host->mailbox);
        listeners->http_fd = -1;
        if (host->http == NULL) {
            log_error("cannot serve HTTP", LOG(log_text("address", listeners->http)));
            return false;
        }
    }
    return true;
}

/* The generation is durable: from here on others may know of this node. */
static void begin_serving(struct host *host)
{
    const struct core *core = node_core(host->engine.node);
    char id[NODE_ID_TEXT];
    host->phase = HOST_SERVING;
    host->state = node_state(host->engine.node);
    if (!listen_all(host)) {
        host->halted = true;
        host->exit_code = error_exit_code(ERR_IO);
        return;
    }
    id_format(core->self, id);
    log_info("listening",
             LOG(log_text("peer", host->listeners.peer), log_text("client", host->listeners.client),
                 log_text("http", host->http == NULL ? "off" : host->listeners.http),
                 log_slice("cluster", core->cluster.name), log_text("node", id),
                 log_text("state", admin_state_name(host->state))));
    if (config_exposed(host->config))
        log_warning("TLS is off: everybody who reaches these addresses may read and write", NULL);
    notify("READY=1");
}

static void watch_state(struct host *host)
{
    enum node_state state = node_state(host->engine.node);
    uint64_t now_us = host->engine.now.us;
    if (host->shard != 0)
        return;
    if (host->phase == HOST_STARTING && state != NODE_STARTING && !host->halted)
        begin_serving(host);
    if (state != host->state) {
        log_info("state", LOG(log_text("now", admin_state_name(state)),
                              log_text("before", admin_state_name(host->state)),
                              log_slice("cluster", node_core(host->engine.node)->cluster.name)));
        host->state = state;
    }
    if (state != NODE_JOINING || host->phase != HOST_SERVING)
        return;
    if (host->waiting_since_us == 0) {
        host->waiting_since_us = now_us - SEED_LINE_US / 2;
    } else if (now_us - host->waiting_since_us >= SEED_LINE_US) {
        host->waiting_since_us = now_us;
        log_warning("no seed is a member yet; start exactly one node with --create", NULL);
    }
}

/* ------------------------------------------------------------------------------- Turns. */

static void on_timer(uv_timer_t *timer)
{
    struct host *host = timer->data;
    uint64_t due_us = host->armed_us;
    host->armed_us = 0;
    engine_timer(&host->engine);
    if (due_us != 0 && host->engine.now.us >= due_us)
        metrics_late(&host->metrics, host->engine.now.us - due_us);
}

/* A timer that fires too early costs one turn; so it is only ever moved forward. */
static void arm(struct host *host)
{
    uint64_t wake_us = engine_wake_us(&host->engine);
    uint64_t now_us = host->engine.now.us;
    if (wake_us == UINT64_MAX || (host->armed_us != 0 && wake_us >= host->armed_us))
        return;
    /* At least a millisecond: what cannot go on although it is due must not spin. */
    uint64_t ms = wake_us <= now_us ? 1 : (wake_us - now_us + 999) / 1000;
    uv_update_time(&host->loop);
    uv_timer_start(&host->timer, on_timer, MIN(ms, (uint64_t)3600 * 1000), 0);
    host->armed_us = wake_us;
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* Its being active is all. */
}

static bool pending(const struct host *host)
{
    return engine_pending(&host->engine) || clients_pending(&host->clients);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct host *host = prepare->data;
    uint32_t rounds = 0;
    uv_idle_stop(&host->idle);
    engine_tick(&host->engine);
    do {
        clients_turn(&host->clients);
        engine_flush(&host->engine);
        conns_flush(&host->conns);
        if (host->hosts != NULL)
            hosts_flush(host);
    } while (pending(host) && ++rounds < ROUNDS_MAX && !host->halted);
    watch_state(host);
    host_advance(host);
    if (host->phase == HOST_CLOSING)
        return;
    if (pending(host) || host->conns.dirty != NULL)
        uv_idle_start(&host->idle, on_idle);
    arm(host);
    if (host->engine.turn_began_us != 0)
        metrics_turn(&host->metrics, engine_clock().us - host->engine.turn_began_us);
    host->engine.turn_began_us = 0;
}

static void on_second(uv_timer_t *timer)
{
    struct host *host = timer->data;
    engine_tick(&host->engine);
    uint64_t now_us = host->engine.now.us;
    metrics_second(&host->metrics, now_us);
    if (host->shard == 0)
        host_set_load(host);
    if (host->hosts != NULL)
        hosts_second(host);
    peers_second(&host->peers, now_us);
    clients_second(&host->clients, now_us);
}

static void on_disk(uv_poll_t *poll, int status, int events)
{
    struct host *host = poll->data;
    (void)status, (void)events;
    engine_poll(&host->engine);
}

/* ---------------------------------------------------------------------------- Lifetime. */

static void init_handles(struct host *host)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    uv_prepare_init(&host->loop, &host->prepare);
    uv_idle_init(&host->loop, &host->idle);
    uv_timer_init(&host->loop, &host->timer);
    uv_timer_init(&host->loop, &host->second);
    uv_timer_init(&host->loop, &host->drain);
    host->prepare.data = host;
    host->timer.data = host;
    host->second.data = host;
    host->drain.data = host;
    uv_prepare_start(&host->prepare, on_prepare);
    uv_timer_start(&host->second, on_second, 1000, 1000);
    struct disk *disk = host->disk;
    for (uint32_t i = 0; i < host->storage.count; i++, disk = disk->next) {
        ASSERT(uv_poll_init(&host->loop, &host->disk_events[i], disk_fd(disk)) == 0);
        host->disk_events[i].data = host;
        uv_poll_start(&host->disk_events[i], UV_READABLE, on_disk);
    }
    if (host->hosts != NULL)
        hosts_open(host);
    if (host->shard != 0)
        return; /* The rest is of the process. */
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uv_signal_init(&host->loop, &host->signals[i]);
        host->signals[i].data = host;
        uv_signal_start(&host->signals[i], host_on_signal, numbers[i]);
    }
    host->mailbox = mailbox_new(&host->loop, host_answer, host);
}

static void init_ports(struct host *host)
{
    const struct config *config = host->config;
    const char *http = (host->hosts == NULL ? host : host->first)->listeners.http;
    const struct clients_options options = {
        .sessions_max = hosts_share(host, (uint32_t)config->clients_max),
        .sender_timeout_ms = config->sender_timeout_ms,
        .value_size_max = config->value_bytes_max,
        .http = http[0] == '\0' ? NULL : http,
    };
    const struct clients_hooks hooks = {.describe = host_describe, .stop = on_stop, .arg = host};
    conns_init(&host->conns, &host->loop);
    peers_init(&host->peers, &host->conns, &host->engine);
    clients_init(&host->clients, &host->conns, &host->engine, &host->metrics, &options, &hooks);
}

int host_init(struct host *host, const struct node_options *options)
{
    const struct engine_hooks hooks = {
        .send = on_send,
        .reply = on_reply,
        .done = on_done,
        .halt = on_halt,
        .hand = host->hosts == NULL ? NULL : on_hand,
        .arg = host,
    };
    struct moment now = engine_clock();
    ASSERT(uv_loop_init(&host->loop) == 0);
    host->started_us = now.us;
    host->started_wall_ms = now.wall_ms;
    metrics_init(&host->metrics, now.us);
    init_ports(host);
    init_handles(host);
    host->engine.storage = host->storage.count > 1 ? &host->storage : NULL;
    if (host->shard != 0)
        host->phase = HOST_SERVING;
    return engine_init(&host->engine, options, host->store, &hooks);
}

int host_run(struct host *host)
{
    bool runs = host->hosts == NULL || hosts_run(host->hosts);
    if (runs)
        uv_run(&host->loop, UV_RUN_DEFAULT);
    else
        host_halt(host, ERR_IO, slice_string("a thread cannot be had"));
    if (host->hosts != NULL)
        hosts_join(host->hosts);
    return host->exit_code;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void host_done(struct host *host)
{
    if (host->http != NULL)
        http_stop(host->http);
    host->http = NULL;
    peers_close(&host->peers);
    clients_close(&host->clients);
    if (host->mailbox != NULL)
        mailbox_close(host->mailbox);
    if (host->hosts != NULL)
        hosts_close(host);
    uv_prepare_stop(&host->prepare);
    /* All others are plain members of this struct. */
    uv_walk(&host->loop, close_handle, NULL);
    uv_run(&host->loop, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&host->loop) == 0);
    peers_done(&host->peers);
    clients_done(&host->clients);
    conns_done(&host->conns);
    engine_free(&host->engine);
    storage_done(&host->storage);
}
