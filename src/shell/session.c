/* Cutting requests out of a stream, refusing what is none, and stopping to read in time. */
#include "shell/session.h"

#include <stdio.h>

#include "base/error.h"
#include "shell/admin_methods.h"
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

static void write_state(struct buf *out, const struct clients *clients)
{
    const struct core *core = node_core(clients->engine->node);
    const struct member *self = member_find(&core->members, core->self);
    mp_write_map(out, 6);
    mp_write_text(out, "node");
    write_id(out, core->self);
    put_slice(out, "name", self == NULL ? SLICE_NONE : self->name);
    put_id(out, "cluster", core->cluster.id);
    put_slice(out, "cluster_name", core->cluster.name);
    put_text(out, "version", KVRING_VERSION);
    put_text(out, "state", admin_state_name(node_state(clients->engine->node)));
}

static void answer_ping(struct session *session, const struct rpc_request *request)
{
    struct buf result = {0};
    struct mp_reader params = mp_reader_of(request->params);
    struct buf *out = conn_out(&session->conn);
    if (request->params.size > 0 && mp_read_map(&params) > 0) {
        rpc_error(request->id, ERR_BAD_REQUEST, slice_string("ping takes no parameters"), out);
    } else {
        write_state(&result, session->clients);
        rpc_result(request->id, buf_slice(&result), out);
    }
    buf_done(&result);
    session_sent(session);
}

/* The method's name, fit for a sentence. */
static void refuse_method(const struct rpc_request *request, struct buf *out)
{
    char name[33];
    char text[64];
    size_t size = MIN(request->name.size, sizeof name - 1);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = request->name.data[i];
        name[i] = byte > ' ' && byte < 0x7f ? (char)byte : '?';
    }
    name[size] = '\0';
    snprintf(text, sizeof text, "there is no method `%s`", name);
    rpc_error(request->id, ERR_UNKNOWN_METHOD, slice_string(text), out);
}

static void answer_admin(struct session *session, const struct rpc_request *request)
{
    struct clients *clients = session->clients;
    struct admin admin = {0};
    struct admin_reply reply = {0};
    clients->hooks.describe(clients->hooks.arg, &admin);
    admin_call(&admin, request->name, request->params, &reply);
    if (reply.outcome == ADMIN_COMMAND) {
        calls_command(session, request->id, &reply.command, &reply.result);
    } else if (reply.outcome == ADMIN_VERIFY) {
        verify_begin(session, request->id, reply.verify_first, reply.verify_last);
    } else {
        struct buf *out = conn_out(&session->conn);
        if (reply.outcome == ADMIN_UNKNOWN)
            refuse_method(request, out);
        else if (reply.error != 0)
            rpc_error(request->id, reply.error, buf_slice(&reply.text), out);
        else
            rpc_result(request->id, buf_slice(&reply.result), out);
        session_sent(session);
        if (reply.outcome == ADMIN_STOP && reply.error == 0)
            clients->hooks.stop(clients->hooks.arg);
    }
    admin_reply_done(&reply);
}

static void take_request(struct session *session, struct slice message)
{
    struct clients *clients = session->clients;
    struct rpc_request request = {0};
    arena_reset(&clients->requests);
    int result = rpc_decode(message, &clients->requests, clients->options.value_size_max, &request);
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
    } else if (slice_equal(request.name, slice_string("ping"))) {
        answer_ping(session, &request);
    } else {
        answer_admin(session, &request);
    }
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
    take_request(session, slice_of(bytes.data, *ret_size));
    return true;
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
    if (!session->paused || session->resumable || session->conn.closing ||
        session->calls_count > SESSION_CALLS_MAX / 2 ||
        conn_output(&session->conn) > SESSION_OUTPUT_SOFT / 2)
        return;
    session->resumable = true;
    session->next_resumable = session->clients->resumable;
    session->clients->resumable = session;
}

void session_resume(struct session *session)
{
    if (!serves(session) || session->conn.closing || !session->paused)
        return;
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
