/* The listener, the bounds of all sessions, and their turn at the end of a tick. */
#include "shell/clients.h"

#include "base/error.h"
#include "shell/session.h"
#include "shell/verify.h"

void clients_init(struct clients *clients, struct conns *conns, struct engine *engine,
                  struct metrics *metrics, const struct clients_options *options,
                  const struct clients_hooks *hooks)
{
    *clients = (struct clients){.conns = conns,
                                .engine = engine,
                                .metrics = metrics,
                                .options = *options,
                                .hooks = *hooks,
                                .room = mem_alloc(CLIENTS_ROOM_SIZE)};
}

static void begin(struct clients *clients, struct session *session)
{
    uint32_t sessions_max = clients->options.sessions_max;
    session_start(session);
    if (clients->sessions_count > sessions_max) {
        uint64_t suppressed;
        clients->counters.refused++;
        session_refuse(session, ERR_BUSY, "too many connections at this node");
        if (logger_limit_pass(&clients->complaints, clients->engine->now.us, &suppressed))
            log_warning("client refused: too many connections",
                        LOG(log_number("max", sessions_max), log_number("suppressed", suppressed)));
    }
}

static bool placed_elsewhere(struct clients *clients, const struct session *session)
{
    return clients->hooks.place != NULL && clients->hooks.place(clients->hooks.arg, &session->conn);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct clients *clients = listener->data;
    if (status < 0)
        return;
    engine_tick(clients->engine);
    struct session *session = session_new(clients);
    uint32_t sessions_max = clients->options.sessions_max;
    if (uv_accept(listener, (uv_stream_t *)&session->conn.tcp) < 0 ||
        clients->sessions_count > sessions_max + CLIENTS_REFUSING_MAX) {
        clients->counters.refused++;
        session_close(session);
    } else if (placed_elsewhere(clients, session)) {
        session_close(session);
    } else {
        clients->counters.accepted++;
        begin(clients, session);
    }
}

void clients_adopt(struct clients *clients, int fd, struct slice bytes)
{
    struct session *session = session_new(clients);
    uint32_t sessions_max = clients->options.sessions_max;
    if (conn_adopt(&session->conn, fd) < 0 ||
        clients->sessions_count > sessions_max + CLIENTS_REFUSING_MAX) {
        clients->counters.refused++;
        session_close(session);
        return;
    }
    clients->counters.accepted += bytes.size == 0; /* Else it was counted where it comes from. */
    begin(clients, session);
    session_feed(session, bytes);
}

int clients_listen(struct clients *clients, int fd)
{
    ASSERT(uv_tcp_init(clients->conns->loop, &clients->listener) == 0);
    clients->listener.data = clients;
    clients->listening = true;
    int result = uv_tcp_open(&clients->listener, fd);
    if (result == 0)
        result = uv_listen((uv_stream_t *)&clients->listener, 4096, on_connection);
    return result;
}

void clients_resume(struct clients *clients)
{
    struct session *session = clients->looking > 0 ? clients->sessions : NULL;
    for (; session != NULL; session = session->next)
        session_look_again(session);
}

void clients_turn(struct clients *clients)
{
    struct session *session = clients->resumable;
    clients->resumable = NULL;
    while (session != NULL) {
        struct session *next = session->next_resumable;
        session->resumable = false;
        session_resume(session);
        session = next;
    }
    calls_turn(clients);
    verify_turn(clients);
}

bool clients_pending(const struct clients *clients)
{
    return clients->resumable != NULL || clients->calls.deferred != NULL || verify_pending(clients);
}

void clients_second(struct clients *clients, uint64_t now_us)
{
    struct session *session = clients->watched;
    while (session != NULL) {
        struct session *next = session->next_watched;
        if (session->deadline_us <= now_us)
            session_expired(session);
        session = next;
    }
}

void clients_stop_listening(struct clients *clients)
{
    if (clients->listening)
        uv_close((uv_handle_t *)&clients->listener, NULL);
    clients->listening = false;
}

void clients_close(struct clients *clients)
{
    clients_stop_listening(clients);
    for (struct session *session = clients->sessions; session != NULL; session = session->next)
        session_close(session);
}

void clients_done(struct clients *clients)
{
    ASSERT(clients->sessions == NULL);
    calls_done(&clients->calls);
    verify_free_all(clients);
    arena_done(&clients->requests);
    arena_done(&clients->answers);
    mem_free(clients->room);
}
