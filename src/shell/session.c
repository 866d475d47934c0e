/* Cutting requests out of a stream, refusing what is none, and stopping to read in time. */
#include "shell/session.h"

#include <stdio.h>

#include "base/error.h"
#include "shell/clients.h"
#include "shell/session_resp.h"
#include "shell/verify.h"

/* ---------------------------------------------------------------------------- Deadlines. */

static void unwatch(struct session *session)
{
    if (session->deadline_us == 0)
        return;
    session->deadline_us = 0;
    *session->at_watched = session->next_watched;
    if (session->next_watched != NULL)
        session->next_watched->at_watched = session->at_watched;
}

static void watch(struct session *session, uint64_t deadline_us)
{
    struct clients *clients = session->clients;
    if (session->deadline_us == 0) {
        session->next_watched = clients->watched;
        session->at_watched = &clients->watched;
        if (clients->watched != NULL)
            clients->watched->at_watched = &session->next_watched;
        clients->watched = session;
    }
    session->deadline_us = deadline_us;
}

/* A begun request is due some time after its first byte, the later the larger it is. */
static void watch_request(struct session *session)
{
    struct clients *clients = session->clients;
    if (session->in.size == 0 || session->paused) {
        unwatch(session);
    } else if (session->deadline_us == 0) {
        watch(session, clients->engine->now.us + clients->options.sender_timeout_ms * 1000);
    }
}

/* ------------------------------------------------------------------------------ Refusal. */

/* Answers to earlier requests go out first. */
static void finish_when_idle(struct session *session)
{
    if (session->calls_count > 0 || session->conn.finishing || session->conn.closing)
        return;
    watch(session, session->clients->engine->now.us + SESSION_LINGER_MS * 1000);
    conn_finish(&session->conn);
}

void session_finish(struct session *session)
{
    session->state = SESSION_REFUSED;
    session->paused = false;
    buf_done(&session->in);
    unwatch(session);
    verify_forget(session);
    conn_dirty(&session->conn);
    conn_read_start(&session->conn);
    finish_when_idle(session);
}

void session_refuse(struct session *session, int error, const char *detail)
{
    if (session->state == SESSION_RESP)
        resp_fail(session, error == ERR_BAD_REQUEST ? "ERR" : error_word(error), detail);
    else
        rpc_error(0, error, slice_string(detail), conn_out(&session->conn));
    session->clients->counters.malformed++;
    session_finish(session);
}

void session_refuse_http(struct session *session)
{
    struct clients *clients = session->clients;
    buf_printf(resp_reply_now(session),
               "HTTP/1.1 400 this port speaks MessagePack-RPC and RESP; HTTP is at %s\r\n"
               "Connection: close\r\n\r\n",
               clients->options.http == NULL ? "no port of this node" : clients->options.http);
    resp_replied(session);
    clients->counters.other++;
    session_finish(session);
}

/* Somebody who does not speak our protocols gets one line that he can read. */
static void refuse_stranger(struct session *session)
{
    buf_printf(conn_out(&session->conn),
               "-ERR this port speaks MessagePack-RPC and RESP (docs/protocol.md)\r\n");
    session->clients->counters.other++;
    session_finish(session);
}

/* ------------------------------------------------------------------------------ Methods. */

/* False: it is for another shard to take, which gets the connection. */
static bool take_request(struct session *session, struct slice message)
{
    struct clients *clients = session->clients;
    struct rpc_request request = {0};
    arena_reset(&clients->requests);
    int result = rpc_decode(message, &clients->requests, clients->options.value_size_max, &request);
    bool admin = result == 0 && request.method == RPC_OTHER &&
                 !slice_equal(request.name, slice_string("ping"));
    if (admin && clients->hooks.move != NULL) {
        session->moves = true;
        return false;
    }
    if (admin && clients->hooks.look != NULL &&
        !clients->hooks.look(clients->hooks.arg, &session->looks_us)) {
        session->looks = true;
        clients->looking++;
        return false;
    }
    session->looks_us = 0;
    clients->counters.requests++;
    if (result == ERR_CORRUPT) {
        rpc_error(0, ERR_BAD_REQUEST, request.detail, conn_out(&session->conn));
        clients->counters.malformed++;
        session_finish(session);
    } else if (result < 0) {
        rpc_error(request.id, result, request.detail, conn_out(&session->conn));
        session_sent(session);
    } else if (request.method != RPC_OTHER) {
        calls_request(session, &request);
    } else if (!admin) {
        session_answer_ping(session, &request);
    } else {
        session_answer_admin(session, &request);
    }
    return true;
}

/* ------------------------------------------------------------------------------- Stream. */

static bool overfull(const struct session *session)
{
    return session->calls_count >= SESSION_CALLS_MAX ||
           conn_output(&session->conn) >= SESSION_OUTPUT_SOFT ||
           (session->state == SESSION_RESP && resp_overfull(session));
}

/* Does it take requests? */
static bool serves(const struct session *session)
{
    return session->state == SESSION_RPC || session->state == SESSION_RESP;
}

static void pause_reading(struct session *session)
{
    session->paused = true;
    conn_read_stop(&session->conn);
}

/* Take the message at the start of BYTES. False: none is whole, or no more is to be taken. */
static bool take_message(struct session *session, struct slice bytes, size_t *ret_size)
{
    size_t more = 0;
    int result = mp_scan(&session->scan, bytes, &more);
    if (result < 0) {
        session_refuse(session, result == ERR_TOO_LARGE ? result : ERR_BAD_REQUEST,
                       result == ERR_TOO_LARGE ? "a request is larger or deeper than allowed"
                                               : "what came is not MessagePack-RPC");
        return false;
    }
    if (more > 0)
        return false;
    *ret_size = session->scan.at;
    session->scan = rpc_scan();
    if (take_request(session, slice_of(bytes.data, *ret_size)))
        return true;
    pause_reading(session);
    return false;
}

static bool take_command(struct session *session, struct slice bytes, size_t *ret_size)
{
    enum resp_taken taken = resp_take(session, bytes, ret_size);
    if (taken == RESP_BLOCKED) {
        *ret_size = 0;
        pause_reading(session);
    }
    return taken == RESP_TAKEN;
}

/* Take whole requests from the front of BYTES; returns how much was used. */
static size_t take_requests(struct session *session, struct slice bytes)
{
    size_t used = 0;
    while (serves(session) && used < bytes.size) {
        size_t size = 0;
        if (overfull(session)) {
            pause_reading(session);
            break;
        }
        struct slice rest = slice_of(bytes.data + used, bytes.size - used);
        if (session->moves || session->looks)
            break;
        bool taken = session->state == SESSION_RPC ? take_message(session, rest, &size)
                                                   : take_command(session, rest, &size);
        if (!taken)
            break;
        used += size;
        /* Whoever is being refused has a deadline of his own by now. */
        if (serves(session))
            unwatch(session);
    }
    return serves(session) ? used : bytes.size;
}

/* Take whole requests from what was kept. What is used is dropped once it is half of that: a
 * pipeline that waits after each command would move all the rest each time. */
static void take_kept(struct session *session)
{
    struct buf *in = &session->in;
    size_t used = session->in_used;
    used += take_requests(session, slice_of(in->data + used, in->size - used));
    session->in_used = used;
    if (used >= in->size / 2) {
        buf_consume(in, MIN(used, in->size));
        session->in_used = 0;
    }
}

static void count_input(struct session *session)
{
    struct clients *clients = session->clients;
    clients->input_bytes += session->in.capacity - session->counted;
    session->counted = session->in.capacity;
}

/* What is left of the input stays in `in`. */
static void keep_rest(struct session *session)
{
    struct clients *clients = session->clients;
    if (session->in.size == 0)
        buf_done(&session->in);
    count_input(session);
    if (serves(session) && session->in.size > CLIENTS_ROOM_SIZE &&
        clients->input_bytes > CLIENTS_INPUT_MAX) {
        clients->counters.busy++;
        session_refuse(session, ERR_BUSY, "too many large requests are coming in at this node");
        count_input(session);
    }
    if (serves(session))
        watch_request(session);
    if (session->moves)
        session_relax(session);
}

/* An array, or a line: a command's first letter, or an empty one. */
static bool speaks_resp(uint8_t byte)
{
    return byte == '*' || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           byte == '\r' || byte == '\n';
}

static void begin_session(struct session *session, struct slice bytes)
{
    if (bytes.data[0] == 0x94) {
        session->state = SESSION_RPC;
        session->scan = rpc_scan();
    } else if (speaks_resp(bytes.data[0])) {
        resp_begin(session);
    } else {
        refuse_stranger(session);
    }
}

void session_feed(struct session *session, struct slice bytes)
{
    if (bytes.size == 0)
        return;
    if (session->state == SESSION_NEW)
        begin_session(session, bytes);
    if (session->state == SESSION_REFUSED)
        return;
    buf_append(&session->in, bytes);
    take_kept(session);
    keep_rest(session);
}

static void on_read(struct conn *conn, const uint8_t *bytes, size_t size)
{
    struct session *session = (struct session *)(void *)conn;
    engine_tick(session->clients->engine);
    if (session->state == SESSION_NEW)
        begin_session(session, slice_of(bytes, size));
    if (session->state == SESSION_REFUSED)
        return;
    if (session->in.size == 0) {
        size_t used = take_requests(session, slice_of(bytes, size));
        buf_append(&session->in, slice_of(bytes + used, size - used));
    } else {
        session->in.size += size;
        take_kept(session);
    }
    keep_rest(session);
}

/* The rest of a begun request is read to where it belongs. The room grows with what has come, so
 * that a declared size alone costs nothing. */
static uint8_t *on_room(struct conn *conn, size_t *ret_size)
{
    struct session *session = (struct session *)(void *)conn;
    struct buf *in = &session->in;
    if (session->state == SESSION_REFUSED || in->size == 0) {
        *ret_size = CLIENTS_ROOM_SIZE;
        return session->clients->room;
    }
    if (in->capacity - in->size < 4096) {
        buf_reserve(in, MAX(in->size, (size_t)16384));
        count_input(session);
    }
    *ret_size = in->capacity - in->size;
    return in->data + in->size;
}

void session_sent(struct session *session)
{
    conn_dirty(&session->conn);
    session_relax(session);
}

static bool busy(const struct session *session)
{
    return session->calls_count > 0 || session->verifies > 0 || conn_output(&session->conn) > 0;
}

void session_relax(struct session *session)
{
    if (session->state == SESSION_REFUSED)
        finish_when_idle(session);
    if (session->state == SESSION_ENDING && !busy(session))
        session_close(session);
    if (!session->paused || session->resumable || session->conn.closing || session->looks ||
        session->calls_count > SESSION_CALLS_MAX / 2 ||
        conn_output(&session->conn) > SESSION_OUTPUT_SOFT / 2)
        return;
    session->resumable = true;
    session->next_resumable = session->clients->resumable;
    session->clients->resumable = session;
}

/* Where the connection cannot be given away, for want of descriptors, it ends: its owner asks
 * anew. */
static void move_on(struct session *session)
{
    struct clients *clients = session->clients;
    struct slice rest =
        slice_of(session->in.data + session->in_used, session->in.size - session->in_used);
    if (busy(session))
        return; /* Until the last answer is on its way. */
    int fd = conn_give_up(&session->conn);
    if (fd >= 0)
        clients->hooks.move(clients->hooks.arg, fd, rest);
    session_close(session);
}

void session_look_again(struct session *session)
{
    if (!session->looks)
        return;
    session->looks = false;
    session->clients->looking--;
    session_relax(session);
}

void session_resume(struct session *session)
{
    if (!serves(session) || session->conn.closing || !session->paused)
        return;
    if (session->moves) {
        move_on(session);
        return;
    }
    session->paused = false;
    if (session->in.size > 0) {
        take_kept(session);
        keep_rest(session);
    }
    if (!session->paused)
        conn_read_start(&session->conn);
}

static void on_drained(struct conn *conn)
{
    session_relax((struct session *)(void *)conn);
}

void session_expired(struct session *session)
{
    struct clients *clients = session->clients;
    uint64_t earned_us =
        (uint64_t)(session->in.size - session->in_used) * 1000000 / SESSION_RATE_MIN;
    if (session->state == SESSION_REFUSED) {
        session_close(session);
    } else if (session->deadline_us + earned_us <= clients->engine->now.us) {
        clients->counters.slow++;
        session_refuse(session, ERR_BAD_REQUEST, "a request did not arrive in time");
        count_input(session);
    }
}

/* ----------------------------------------------------------------------------- Lifetime. */

/* Somebody who has said all he wanted may still wait for the answers. */
static void on_end(struct conn *conn, int error)
{
    struct session *session = (struct session *)(void *)conn;
    if (error != 0 || !serves(session) || !busy(session)) {
        session_close(session);
        return;
    }
    session->state = SESSION_ENDING;
    unwatch(session);
    conn_read_stop(conn);
    buf_done(&session->in);
    count_input(session);
}

static void on_closed(struct conn *conn)
{
    struct session *session = (struct session *)(void *)conn;
    *session->at = session->next;
    if (session->next != NULL)
        session->next->at = session->at;
    session->clients->sessions_count--;
    if (session->clients->sessions_all != NULL)
        atomic_fetch_sub_explicit(session->clients->sessions_all, 1, memory_order_relaxed);
    resp_free(session);
    mem_free(session);
}

static const struct conn_events events = {.on_read = on_read,
                                          .on_room = on_room,
                                          .on_end = on_end,
                                          .on_drained = on_drained,
                                          .on_closed = on_closed};

struct session *session_new(struct clients *clients)
{
    struct session *session = mem_zero(sizeof *session);
    conn_init(&session->conn, clients->conns, &events);
    session->clients = clients;
    session->id = ++clients->sessions_ids;
    session->began_us = clients->engine->now.us;
    session->next = clients->sessions;
    session->at = &clients->sessions;
    if (session->next != NULL)
        session->next->at = &session->next;
    clients->sessions = session;
    clients->sessions_count++;
    if (clients->sessions_all != NULL)
        atomic_fetch_add_explicit(clients->sessions_all, 1, memory_order_relaxed);
    return session;
}

void session_start(struct session *session)
{
    conn_tune(&session->conn, SESSION_SILENT_MS);
    conn_read_start(&session->conn);
}

void session_close(struct session *session)
{
    if (session->conn.closing)
        return;
    if (session->looks)
        session->clients->looking--;
    session->looks = false;
    calls_forget(session);
    verify_forget(session);
    unwatch(session);
    buf_done(&session->in);
    count_input(session);
    struct session **at = &session->clients->resumable;
    while (session->resumable && *at != session)
        at = &(*at)->next_resumable;
    if (session->resumable)
        *at = session->next_resumable;
    session->resumable = false;
    conn_close(&session->conn);
}
