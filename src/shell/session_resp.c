/* The queue of replies, what waits for what, and replies made of answers. */
#include "shell/session_resp.h"

#include <stdio.h>

#include "base/error.h"
#include "data/hlc.h"
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
    if (resp->newest != NULL)
        resp->newest->next = reply;
    else
        resp->first = reply;
    resp->newest = reply;
    resp->replies++;
    return reply;
}

static void count_held(struct session *session, struct resp_reply *reply)
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
        buf_append(conn_out(&session->conn), buf_slice(&reply->bytes));
        resp->first = reply->next;
        if (resp->first == NULL)
            resp->newest = NULL;
        resp->replies--;
        buf_clear(&reply->bytes);
        count_held(session, reply);
        reply_free(reply);
    }
    conn_dirty(&session->conn);
}

struct buf *resp_reply_now(struct session *session)
{
    if (session->resp->first == NULL)
        return conn_out(&session->conn);
    return &enqueue(session, RESP_KIND_READY)->bytes;
}

void resp_replied(struct session *session)
{
    if (session->resp->newest != NULL)
        count_held(session, session->resp->newest);
    session_sent(session);
}

void resp_fail(struct session *session, const char *word, const char *text)
{
    resp_error(word, slice_string(text), resp_reply_now(session));
    resp_replied(session);
}

/* Where the reply is written: at the head of the queue straight to the connection. */
static struct buf *room_of(struct session *session, struct resp_reply *reply)
{
    return session->resp->first == reply ? conn_out(&session->conn) : &reply->bytes;
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
    struct buf *out = room_of(session, reply);
    resp_array(reply->count, out);
    for (uint32_t i = 0; i < reply->count; i++)
        buf_append(out, slice_of(parts.data + reply->parts[i].at, reply->parts[i].size));
    buf_done(&parts);
}

/* All parts have ended. */
static void finish(struct session *session, struct resp_reply *reply)
{
    reply->ready = true;
    if (reply->error.size > 0) {
        buf_clear(&reply->bytes);
        buf_append(room_of(session, reply), buf_slice(&reply->error));
    } else if (reply->kind == RESP_KIND_VALUES) {
        finish_values(session, reply);
    } else if (reply->kind == RESP_KIND_STATUS) {
        resp_status("OK", room_of(session, reply));
    } else if (reply->kind == RESP_KIND_EXISTS || reply->kind == RESP_KIND_DELETE) {
        resp_integer(reply->number, room_of(session, reply));
    }
    count_held(session, reply);
    send_ready(session);
}

static void part_ended(struct session *session, struct resp_reply *reply)
{
    if (--reply->left == 0)
        finish(session, reply);
}

void resp_reply_sent(struct session *session, struct resp_reply *reply)
{
    part_ended(session, reply);
    session_relax(session);
}

/* ------------------------------------------------------------------------------ Answers. */

static void note_error(struct resp_reply *reply, int error, struct slice detail)
{
    if (reply->error.size > 0)
        return;
    struct buf text = {0};
    buf_append(&text, detail.size > 0 ? detail : slice_string(error_word(error)));
    buf_printf(&text, "; %s", error_advice(error));
    resp_error(error_word(error), buf_slice(&text), &reply->error);
    buf_done(&text);
}

static const char *sentence_of(int error)
{
    return error == ERR_TOO_LARGE ? "the key's history is too long for a context"
                                  : "the stored object cannot be read";
}

/* A value, nil, or the conflict of several. */
static void write_value(struct resp_reply *reply, const struct object *object, struct slice key,
                        struct buf *out)
{
    if (object->count == 0) {
        resp_null(reply->protocol, out);
    } else if (object->count == 1) {
        resp_bulk(object->siblings[0].value, out);
    } else {
        char text[160];
        snprintf(text, sizeof text,
                 "`%.*s` has %u siblings: read them with KV.GET, then KV.PUT one value with that "
                 "context",
                 (int)MIN(key.size, (size_t)60), (const char *)key.data, object->count);
        if (reply->error.size == 0)
            resp_error("CONFLICT", slice_string(text), &reply->error);
    }
}

static int64_t ttl_of(const struct object *object, uint64_t now_hlc)
{
    if (object->count == 0)
        return -2;
    uint64_t expires = object->siblings[0].expires;
    if (expires == 0)
        return -1;
    return (int64_t)(hlc_ms(MAX(expires, now_hlc)) - hlc_ms(now_hlc));
}

static void write_siblings(struct call *call, const struct answer *answer,
                           const struct object *object, struct buf *out)
{
    struct resp_reply *reply = call->reply;
    struct buf context = {0};
    if (object->count == 0) {
        resp_null_array(reply->protocol, out);
        return;
    }
    int error = object_context(answer->object, call->asked.hash_seed, call->asked.bucket,
                               call->asked.key, &context);
    if (error != 0) {
        note_error(reply, error, slice_string(sentence_of(error)));
    } else {
        resp_array(object->count + 1, out);
        resp_bulk(buf_slice(&context), out);
        for (uint32_t i = 0; i < object->count; i++)
            resp_bulk(object->siblings[i].value, out);
    }
    buf_done(&context);
}

/* A key to be deleted was there: delete what was read. True if that is under way. */
static bool delete_read(struct clients *clients, struct call *call, const struct answer *answer)
{
    int error = object_context(answer->object, call->asked.hash_seed, call->asked.bucket,
                               call->asked.key, &call->result);
    if (error == 0) {
        calls_defer(clients, call);
        return true;
    }
    note_error(call->reply, error, slice_string(sentence_of(error)));
    return false;
}

/* The answer to a read; true if the call goes on. */
static bool take_read(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    struct buf *out =
        reply->kind == RESP_KIND_VALUES ? &reply->bytes : room_of(call->session, reply);
    struct object object = {0};
    int error = object_read(answer->object, answer->hlc, answer->drops, &clients->answers, &object);
    if (error == ERR_NOT_FOUND || error == ERR_DELETED)
        object.count = 0;
    else if (error != 0) {
        note_error(reply, error, slice_string(sentence_of(error)));
        return false;
    }
    size_t start = out->size;
    int64_t ttl = ttl_of(&object, answer->hlc);
    switch (reply->kind) {
    case RESP_KIND_VALUE:
    case RESP_KIND_VALUES:
        write_value(reply, &object, call->asked.key, out);
        if (reply->parts != NULL)
            reply->parts[call->part] = (struct resp_part){start, out->size - start};
        break;
    case RESP_KIND_EXISTS:
        reply->number += object.count > 0;
        break;
    case RESP_KIND_DELETE:
        return object.count > 0 && delete_read(clients, call, answer);
    case RESP_KIND_LENGTH:
        if (object.count > 1)
            write_value(reply, &object, call->asked.key, out);
        else
            resp_integer(object.count == 0 ? 0 : (int64_t)object.siblings[0].value.size, out);
        break;
    case RESP_KIND_TYPE:
        resp_status(object.count > 0 ? "string" : "none", out);
        break;
    case RESP_KIND_TTL:
        resp_integer(ttl < 0 ? ttl : (ttl + 500) / 1000, out);
        break;
    case RESP_KIND_PTTL:
        resp_integer(ttl, out);
        break;
    case RESP_KIND_SIBLINGS:
        write_siblings(call, answer, &object, out);
        break;
    case RESP_KIND_READY:
    case RESP_KIND_STATUS:
    case RESP_KIND_SCAN:
        break;
    }
    return false;
}

/* Redis' cursor is one number: the hash of the first key that is not in this reply. So keys that
 * share their hash stay together, but for a page of nothing else. */
static uint32_t scan_page(const struct answer *answer, uint64_t *ret_cursor)
{
    uint32_t count = answer->entries_count;
    *ret_cursor = 0;
    if (!answer->more)
        return count;
    *ret_cursor = answer->cursor;
    if (answer->cursor_key.size == 0 || count == 0)
        return count; /* At the start of a range. */
    uint64_t hash = answer->entries[count - 1].hash;
    uint32_t whole = count - 1;
    while (whole > 0 && answer->entries[whole - 1].hash == hash)
        whole--;
    *ret_cursor = whole > 0 ? hash : hash + 1;
    return whole > 0 ? whole : count;
}

static void take_scan(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    struct buf *out = room_of(call->session, reply);
    struct buf keys = {0};
    char cursor_text[24];
    uint64_t cursor;
    uint32_t found = 0, count = scan_page(answer, &cursor);
    for (uint32_t i = 0; i < count && !reply->none; i++) {
        const struct entry *entry = &answer->entries[i];
        struct object object;
        if (object_read(entry->object, answer->hlc, answer->drops, &clients->answers, &object) != 0)
            continue;
        if (reply->match && !resp_match(buf_slice(&reply->pattern), entry->key, false))
            continue;
        resp_bulk(entry->key, &keys);
        found++;
    }
    snprintf(cursor_text, sizeof cursor_text, "%llu", (unsigned long long)cursor);
    resp_array(2, out);
    resp_text(cursor_text, out);
    resp_array(found, out);
    buf_append(out, buf_slice(&keys));
    buf_done(&keys);
}

bool resp_answer(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    bool on = false;
    bool missing = answer->error == ERR_NOT_FOUND || answer->error == ERR_DELETED;
    struct answer none = *answer;
    if (missing && call->asked.method == METHOD_GET) {
        none.error = 0;
        none.object = SLICE_NONE;
        answer = &none;
    }
    if (answer->error != 0)
        note_error(reply, answer->error, answer->detail);
    else if (call->asked.method == METHOD_GET)
        on = take_read(clients, call, answer);
    else if (call->asked.method == METHOD_SCAN)
        take_scan(clients, call, answer);
    else if (reply->kind == RESP_KIND_DELETE)
        reply->number++;
    count_held(call->session, reply);
    if (!on)
        part_ended(call->session, reply);
    return on;
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
