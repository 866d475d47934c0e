/* The queue of replies, and what waits for what. */
#include "shell/session_resp.h"

#include "base/error.h"
#include "shell/clients.h"
#include "shell/resp_commands.h"

void resp_begin(struct session *session)
{
    session->resp = mem_zero(sizeof *session->resp);
    session->state = SESSION_RESP;
    resp_reset(session);
}

static void reply_free(struct resp_reply *reply)
{
    buf_done(&reply->bytes);
    buf_done(&reply->error);
    buf_done(&reply->pattern);
    mem_free(reply->parts);
    mem_free(reply);
}

void resp_free(struct session *session)
{
    struct resp_session *resp = session->resp;
    if (resp == NULL)
        return;
    while (resp->first != NULL) {
        struct resp_reply *reply = resp->first;
        resp->first = reply->next;
        session->clients->held_bytes -= reply->held;
        reply_free(reply);
    }
    mem_free(resp);
    session->resp = NULL;
}

bool resp_overfull(const struct session *session)
{
    const struct resp_session *resp = session->resp;
    return resp->replies >= SESSION_CALLS_MAX || resp->held >= SESSION_OUTPUT_SOFT;
}

/* -------------------------------------------------------------------------------- Queue. */

static struct resp_reply *enqueue(struct session *session, enum resp_kind kind)
{
    struct resp_session *resp = session->resp;
    struct resp_reply *reply = mem_zero(sizeof *reply);
    reply->kind = kind;
    reply->protocol = resp->protocol;
    reply->ready = kind == RESP_KIND_READY;
    reply->muted = resp->muted;
    if (resp->newest != NULL)
        resp->newest->next = reply;
    else
        resp->first = reply;
    resp->newest = reply;
    resp->replies++;
    return reply;
}

void resp_reply_held(struct session *session, struct resp_reply *reply)
{
    size_t more = reply->bytes.size - reply->held; /* Wraps where there is less. */
    reply->held += more;
    session->resp->held += more;
    session->clients->held_bytes += more;
}

/* Replies that nothing stands before any more go out. */
static void send_ready(struct session *session)
{
    struct resp_session *resp = session->resp;
    while (resp->first != NULL && resp->first->ready) {
        struct resp_reply *reply = resp->first;
        if (!reply->muted)
            buf_append(conn_out(&session->conn), buf_slice(&reply->bytes));
        resp->first = reply->next;
        if (resp->first == NULL)
            resp->newest = NULL;
        resp->replies--;
        buf_clear(&reply->bytes);
        resp_reply_held(session, reply);
        reply_free(reply);
    }
    conn_dirty(&session->conn);
}

struct buf *resp_reply_now(struct session *session)
{
    if (session->resp->first == NULL && !session->resp->muted)
        return conn_out(&session->conn);
    return &enqueue(session, RESP_KIND_READY)->bytes;
}

void resp_replied(struct session *session)
{
    if (session->resp->newest != NULL)
        resp_reply_held(session, session->resp->newest);
    send_ready(session);
    session_sent(session);
}

void resp_fail(struct session *session, const char *word, const char *text)
{
    resp_error(word, slice_string(text), resp_reply_now(session));
    resp_replied(session);
}

struct buf *resp_reply_room(struct session *session, struct resp_reply *reply)
{
    bool direct = session->resp->first == reply && !reply->muted;
    return direct ? conn_out(&session->conn) : &reply->bytes;
}

/* ------------------------------------------------------------------------------- Parts. */

struct resp_reply *resp_reply_begin(struct session *session, enum resp_kind kind, uint32_t count)
{
    struct clients *clients = session->clients;
    if (clients->calls.live + count > CALLS_MAX) {
        clients->counters.busy++;
        resp_fail(session, "BUSY", "too many requests are under way at this node; retry");
        return NULL;
    }
    struct resp_reply *reply = enqueue(session, kind);
    reply->count = count;
    /* One more is left than there are parts, until all have been sent. */
    reply->left = count + 1;
    if (kind == RESP_KIND_VALUES)
        reply->parts = mem_zero(count * sizeof *reply->parts);
    return reply;
}

void resp_reply_part(struct session *session, struct resp_reply *reply, uint32_t part,
                     const struct request *request)
{
    calls_part(session, request, reply, part, reply->kind == RESP_KIND_DELETE);
}

static void finish_values(struct session *session, struct resp_reply *reply)
{
    struct buf parts = reply->bytes;
    reply->bytes = (struct buf){0};
    struct buf *out = resp_reply_room(session, reply);
    resp_array(reply->count, out);
    for (uint32_t i = 0; i < reply->count; i++)
        buf_append(out, slice_of(parts.data + reply->parts[i].at, reply->parts[i].size));
    buf_done(&parts);
}

/* The keys of all pages. */
static void finish_keys(struct session *session, struct resp_reply *reply)
{
    struct buf keys = reply->bytes;
    reply->bytes = (struct buf){0};
    struct buf *out = resp_reply_room(session, reply);
    resp_array((uint32_t)reply->number, out);
    buf_append(out, buf_slice(&keys));
    buf_done(&keys);
}

/* All parts have ended. */
static void finish(struct session *session, struct resp_reply *reply)
{
    reply->ready = true;
    if (reply->error.size > 0) {
        buf_clear(&reply->bytes);
        buf_append(resp_reply_room(session, reply), buf_slice(&reply->error));
    } else if (reply->kind == RESP_KIND_VALUES) {
        finish_values(session, reply);
    } else if (reply->kind == RESP_KIND_STATUS) {
        resp_status("OK", resp_reply_room(session, reply));
    } else if (reply->kind == RESP_KIND_KEYS) {
        finish_keys(session, reply);
    } else if (reply->kind == RESP_KIND_EXISTS || reply->kind == RESP_KIND_DELETE ||
               reply->kind == RESP_KIND_COUNT) {
        resp_integer(reply->number, resp_reply_room(session, reply));
    }
    resp_reply_held(session, reply);
    send_ready(session);
}

void resp_part_ended(struct session *session, struct resp_reply *reply)
{
    if (--reply->left == 0)
        finish(session, reply);
}

void resp_reply_sent(struct session *session, struct resp_reply *reply)
{
    resp_part_ended(session, reply);
    session_relax(session);
}

/* ------------------------------------------------------------------------------ Commands. */

/* An HTTP request, or the header that a browser can be made to send. */
static bool is_http(const struct resp_command *command)
{
    static const char *const verbs[] = {"GET",    "POST",  "PUT",     "HEAD",
                                        "DELETE", "PATCH", "OPTIONS", "CONNECT"};
    bool version = command->count >= 3 && command->words[2].size >= 5 &&
                   resp_is(slice_of(command->words[2].data, 5), "HTTP/");
    for (size_t i = 0; version && i < ARRAY_SIZE(verbs); i++)
        if (resp_is(command->words[0], verbs[i]))
            return true;
    return resp_is(command->words[0], "POST") || resp_is(command->words[0], "Host:");
}

enum resp_taken resp_take(struct session *session, struct slice bytes, size_t *ret_size)
{
    struct resp_session *resp = session->resp;
    struct clients *clients = session->clients;
    struct resp_command command;
    size_t more = 0;
    if (resp_scan(&resp->scan, bytes, &more) < 0) {
        char sentence[sizeof resp->scan.error];
        memcpy(sentence, resp->scan.error, sizeof sentence);
        session_refuse(session, ERR_BAD_REQUEST, sentence);
        return RESP_REFUSED;
    }
    if (more > 0)
        return RESP_WAITS;
    *ret_size = resp->scan.at;
    arena_reset(&clients->requests);
    if (resp_decode(slice_of(bytes.data, *ret_size), &clients->requests, &command) < 0) {
        session_refuse(session, ERR_BAD_REQUEST, "Protocol error: unbalanced quotes in request");
        return RESP_REFUSED;
    }
    if (command.count > 0 && bytes.data[0] != '*' && is_http(&command)) {
        session_refuse_http(session);
        return RESP_REFUSED;
    }
    resp->scan = (struct resp_scan){0};
    if (command.count > 0 && !resp_run(session, &command))
        return RESP_BLOCKED;
    if (session->state != SESSION_RESP)
        return RESP_REFUSED;
    clients->counters.requests += command.count > 0;
    return RESP_TAKEN;
}
