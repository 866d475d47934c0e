/* How a node stops: drain, node_stop, store_stop; or at once, with a reason. */
#include <signal.h>

#include "base/error.h"
#include "shell/amnesiac.h"
#include "shell/host.h"
#include "shell/hosts.h"
#include "shell/notify.h"

void host_halt(struct host *host, int error, struct slice what)
{
    if (host->halted)
        return;
    if (host->shard != 0) {
        host->halted = true;
        hosts_halt(host, error, what);
        return;
    }
    host->halted = true;
    host->exit_code = error == 0 ? 0 : error_exit_code(error) == 5 ? 5 : 6;
    if (error == 0)
        log_info("stopping", LOG(log_slice("why", what)));
    else
        log_error("halted: this node serves no more",
                  LOG(log_slice("why", what), log_text("code", error_word(error)),
                      log_text("advice", error_advice(error))));
    if (amnesiac_is(what) && amnesiac_note(host->config->data, what) < 0)
        log_error("cannot write AMNESIAC into the data directory: never start it again", NULL);
}

/* ------------------------------------------------------------------------------- Drain. */

void host_on_drained(struct host *host, const struct answer *answer)
{
    (void)answer; /* Refused or not: the stop goes on. */
    host->drained = true;
}

static void on_drain_timeout(uv_timer_t *timer)
{
    struct host *host = timer->data;
    log_warning("drain timed out: requests under way get no answer",
                LOG(log_number("requests", node_counters(host->engine.node)->in_flight)));
    host->drained = true;
}

static void begin_drain(struct host *host)
{
    const struct command command = {.type = COMMAND_DRAIN};
    const struct event event = {
        .type = EVENT_COMMAND,
        .command = {.client = HOST_CLIENT_DRAIN, .command = &command},
    };
    log_info("draining", LOG(log_number("timeout_ms", host->config->drain_timeout_ms)));
    notify("STOPPING=1");
    host->phase = HOST_DRAINING;
    clients_stop_listening(&host->clients);
    uv_timer_start(&host->drain, on_drain_timeout, host->config->drain_timeout_ms, 0);
    engine_step(&host->engine, &event);
    engine_flush(&host->engine);
    conns_flush(&host->conns);
}

void host_begin_stop(struct host *host)
{
    host->phase = HOST_STOPPING;
    engine_stop(&host->engine);
    conns_flush(&host->conns);
    storage_stop(&host->storage);
    engine_poll(&host->engine);
}

static void begin_stop(struct host *host)
{
    log_info("stopping: writing the checkpoint", NULL);
    uv_timer_stop(&host->drain);
    if (host->hosts != NULL)
        hosts_stop(host);
    host_begin_stop(host);
}

void host_ask_stop(struct host *host)
{
    if (host->stop_asked)
        host->drained = true; /* Asked twice: wait no longer. */
    host->stop_asked = true;
}

/* A shard that is not the first: its stores are polled until all of the node's have stopped, and
 * the first one ends it. */
static void advance_other(struct host *host)
{
    if (host->phase == HOST_STOPPING && !host->told_stopped && storage_stopped(&host->storage))
        hosts_tell_stopped(host);
}

static bool all_stopped(const struct host *host)
{
    return storage_stopped(&host->storage) && (host->hosts == NULL || hosts_stopped(host));
}

void host_advance(struct host *host)
{
    if (host->shard != 0) {
        advance_other(host);
        return;
    }
    if (host->phase == HOST_SERVING && host->stop_asked && !host->halted)
        begin_drain(host);
    /* Somebody who cannot wait for the start to end is not made to. */
    if (host->phase == HOST_STARTING && host->stop_asked && host->drained)
        host->halted = true;
    if (host->phase == HOST_DRAINING && host->drained && !host->halted)
        begin_stop(host);
    if (host->phase == HOST_STOPPING && all_stopped(host)) {
        log_info("stopped", NULL);
        host->phase = HOST_CLOSING;
    }
    if (host->halted)
        host->phase = HOST_CLOSING;
    if (host->phase == HOST_CLOSING)
        uv_stop(&host->loop);
}

/* ----------------------------------------------------------------------------- Signals. */

static void reload(struct host *host)
{
    struct config fresh;
    struct buf error = {0};
    if (config_read(host->arguments_count, host->arguments, &fresh, &error) < 0) {
        log_error("configuration not reloaded", LOG(log_slice("why", buf_slice(&error))));
    } else {
        struct config *config = host->config;
        config->log_level = fresh.log_level;
        config->log_format = fresh.log_format;
        config->clients_max = fresh.clients_max;
        config->drain_timeout_ms = fresh.drain_timeout_ms;
        config->sender_timeout_ms = fresh.sender_timeout_ms;
        config->value_bytes_max = fresh.value_bytes_max;
        host->clients.options.sessions_max = hosts_share(host, (uint32_t)fresh.clients_max);
        host->clients.options.sender_timeout_ms = fresh.sender_timeout_ms;
        host->clients.options.value_size_max = fresh.value_bytes_max;
        if (host->hosts != NULL)
            hosts_reload(host, &host->clients.options);
        logger_set(fresh.log_level, fresh.log_format);
        log_info("configuration reloaded: logs, limits; all else needs a restart", NULL);
        config_done(&fresh);
    }
    buf_done(&error);
}

void host_on_signal(uv_signal_t *handle, int number)
{
    struct host *host = handle->data;
    if (number == SIGHUP)
        reload(host);
    else
        host_ask_stop(host);
}
