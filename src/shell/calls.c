/* The table of calls, gathers, and the encoding of answers. */
#include "shell/calls.h"

#include "base/error.h"
#include "shell/clients.h"
#include "shell/session_resp.h"

/* The parts of an mget or mput, in order of their keys. */
struct gather {
    uint32_t count;
    uint32_t left;
    struct buf bytes;
    struct gather_part {
        size_t at;
        size_t size;
    } parts[];
};

/* -------------------------------------------------------------------------------- Table. */

static uint32_t index_of(uint64_t number)
{
    return (uint32_t)number;
}

static void grow(struct calls *calls)
{
    uint32_t capacity = MAX(calls->capacity * 2, 64u);
    calls->table = mem_grow(calls->table, capacity * sizeof(struct call *));
    calls->capacity = capacity;
}

/* NULL when CALLS_MAX are under way. */
static struct call *call_new(struct session *session, uint32_t id)
{
    struct clients *clients = session->clients;
    struct calls *calls = &clients->calls;
    struct call *call = calls->free;
    if (call != NULL) {
        calls->free = call->next;
    } else if (calls->count < CALLS_MAX) {
        if (calls->count == calls->capacity)
            grow(calls);
        call = mem_zero(sizeof *call);
        call->number = calls->count;
        calls->table[calls->count++] = call;
    } else {
        return NULL;
    }
    /* A late answer to an earlier use of the place must not be taken for this one's. */
    call->number += UINT64_C(1) << 32;
    call->number &= (UINT64_C(1) << CLIENT_BITS) - 1;
    call->live = true;
    call->session = session;
    call->id = id;
    call->began_us = clients->engine->now.us;
    call->next_of_session = session->calls;
    call->at_session = &session->calls;
    if (session->calls != NULL)
        session->calls->at_session = &call->next_of_session;
    session->calls = call;
    session->calls_count++;
    calls->live++;
    return call;
}

static void leave_session(struct call *call)
{
    *call->at_session = call->next_of_session;
    if (call->next_of_session != NULL)
        call->next_of_session->at_session = call->at_session;
    call->session->calls_count--;
    call->session = NULL;
    call->reply = NULL;
    if (call->at_key == NULL)
        return;
    *call->at_key = call->next_of_key;
    if (call->next_of_key != NULL)
        call->next_of_key->at_key = call->at_key;
    call->at_key = NULL;
}

static void call_free(struct calls *calls, struct call *call)
{
    if (call->session != NULL)
        leave_session(call);
    buf_done(&call->result);
    mem_free(call->long_name);
    call->long_name = NULL;
    call->gather = NULL;
    call->command = false;
    call->live = false;
    call->asked = (struct rpc_asked){0};
    call->next = calls->free;
    calls->free = call;
    calls->live--;
}

void calls_done(struct calls *calls)
{
    for (uint32_t i = 0; i < calls->count; i++) {
        struct call *call = calls->table[i];
        struct gather *gather = call->live ? call->gather : NULL;
        if (gather != NULL && --gather->left == 0) {
            buf_done(&gather->bytes);
            mem_free(gather);
        }
        buf_done(&call->result);
        mem_free(call->long_name);
        mem_free(call);
    }
    mem_free(calls->table);
    *calls = (struct calls){0};
}

void calls_forget(struct session *session)
{
    while (session->calls != NULL)
        leave_session(session->calls);
}

/* ----------------------------------------------------------------------------- Requests. */

/* The answer to a read carries a context, which is bound to bucket and key. */
static void remember(struct call *call, const struct request *request, bool values,
                     uint64_t hash_seed)
{
    call->asked.method = request->method;
    call->asked.values = values;
    call->asked.hash_seed = hash_seed;
    if (request->method == METHOD_SCAN && call->reply == NULL)
        return;
    struct slice key = request->method == METHOD_SCAN ? SLICE_NONE : request->key;
    size_t size = request->bucket.size + key.size;
    uint8_t *name = call->name;
    if (size > CALL_NAME_SIZE)
        name = call->long_name = mem_alloc(size);
    memcpy(name, request->bucket.data, request->bucket.size);
    if (key.size > 0)
        memcpy(name + request->bucket.size, key.data, key.size);
    call->asked.bucket = slice_of(name, request->bucket.size);
    call->asked.key = slice_of(name + request->bucket.size, key.size);
}

static void submit(struct session *session, struct call *call, const struct request *request,
                   bool values)
{
    struct engine *engine = session->clients->engine;
    const struct event event = {
        .type = EVENT_REQUEST,
        .request = {.client = call->number, .request = request},
    };
    remember(call, request, values, node_core(engine->node)->cluster.hash_seed);
    engine_step(engine, &event);
}

static void expect(const struct session *session, const struct request *request)
{
    if (request->method != METHOD_SCAN)
        (void)engine_expect(session->clients->engine, request->bucket, request->key);
}

static void refuse_busy(struct session *session, uint32_t id)
{
    session->clients->counters.busy++;
    rpc_error(id, ERR_BUSY, slice_string("too many requests are under way at this node"),
              conn_out(&session->conn));
    session_sent(session);
}

static void finish_gather(struct session *session, uint32_t id, struct gather *gather)
{
    if (session != NULL) {
        struct slice *parts = mem_alloc(gather->count * sizeof *parts);
        for (uint32_t i = 0; i < gather->count; i++)
            parts[i] = slice_of(gather->bytes.data + gather->parts[i].at, gather->parts[i].size);
        rpc_parts(id, parts, gather->count, conn_out(&session->conn));
        mem_free(parts);
        session_sent(session);
    }
    buf_done(&gather->bytes);
    mem_free(gather);
}

static void request_many(struct session *session, const struct rpc_request *request)
{
    struct calls *calls = &session->clients->calls;
    uint32_t count = request->requests_count;
    if (calls->live + count > CALLS_MAX) {
        refuse_busy(session, request->id);
        return;
    }
    /* One more is left than there are parts, until all have been submitted. */
    struct gather *gather = mem_zero(sizeof *gather + count * sizeof(struct gather_part));
    gather->count = count;
    gather->left = count + 1;
    for (uint32_t i = 0; i < count; i++) {
        struct call *call = call_new(session, request->id);
        ASSERT(call != NULL);
        call->gather = gather;
        call->part = i;
        if (i + 1 < count)
            expect(session, &request->requests[i + 1]);
        submit(session, call, &request->requests[i], false);
    }
    if (--gather->left == 0)
        finish_gather(session, request->id, gather);
}

void calls_request(struct session *session, const struct rpc_request *request)
{
    if (request->method == RPC_MGET || request->method == RPC_MPUT) {
        request_many(session, request);
        return;
    }
    expect(session, &request->requests[0]);
    struct call *call = call_new(session, request->id);
    if (call == NULL)
        refuse_busy(session, request->id);
    else
        submit(session, call, &request->requests[0], request->values);
}

/* -------------------------------------------------------------------------- RESP. */

static void chain(struct session *session, struct call *call)
{
    struct call **head = &session->resp->chains[call->key_hash % RESP_CHAINS];
    call->next_of_key = *head;
    call->at_key = head;
    if (*head != NULL)
        (*head)->at_key = &call->next_of_key;
    *head = call;
}

void calls_part(struct session *session, const struct request *request, struct resp_reply *reply,
                uint32_t part, bool write)
{
    struct call *call = call_new(session, 0);
    ASSERT(call != NULL);
    call->reply = reply;
    call->part = part;
    call->write = write || request->method == METHOD_PUT || request->method == METHOD_DELETE ||
                  request->method == METHOD_EDIT;
    if (request->method != METHOD_SCAN) {
        call->key_hash = engine_expect(session->clients->engine, request->bucket, request->key);
        chain(session, call);
    }
    submit(session, call, request, false);
}

void calls_defer(struct clients *clients, struct call *call)
{
    call->next = clients->calls.deferred;
    clients->calls.deferred = call;
}

/* What follows the answer that CALL had: the next page of a scan, or the delete of what was read.
 */
static struct request next_request(const struct call *call)
{
    struct request request = {.method = METHOD_DELETE, .bucket = call->asked.bucket};
    if (call->asked.method == METHOD_SCAN) {
        request.method = METHOD_SCAN;
        request.limit = RPC_SCAN_LIMIT_MAX;
        request.cursor = call->cursor;
        request.key = buf_slice(&call->result);
    } else {
        request.key = call->asked.key;
        request.context = buf_slice(&call->result);
    }
    return request;
}

void calls_turn(struct clients *clients)
{
    struct call *call = clients->calls.deferred;
    clients->calls.deferred = NULL;
    while (call != NULL) {
        struct call *next = call->next;
        const struct request request = next_request(call);
        const struct event event = {
            .type = EVENT_REQUEST,
            .request = {.client = call->number, .request = &request},
        };
        call->asked.method = request.method;
        engine_step(clients->engine, &event);
        call = next;
    }
}

void calls_command(struct session *session, uint32_t id, const struct command *command,
                   struct buf *result)
{
    struct call *call = call_new(session, id);
    if (call == NULL) {
        refuse_busy(session, id);
        return;
    }
    call->command = true;
    call->result = *result;
    *result = (struct buf){0};
    const struct event event = {
        .type = EVENT_COMMAND,
        .command = {.client = call->number, .command = command},
    };
    engine_step(session->clients->engine, &event);
}

/* ------------------------------------------------------------------------------ Answers. */

/* Reads are answered BUSY where their result would not fit: OUTPUT bytes wait already. */
static const struct answer *bounded(struct clients *clients, const struct answer *answer,
                                    size_t output, size_t output_max, struct answer *ret_busy)
{
    bool read = answer->entries_count > 0 || answer->object.size > 4096;
    uint64_t all = clients->conns->output_bytes + clients->held_bytes;
    if (!read || (output <= output_max && all <= CLIENTS_OUTPUT_MAX))
        return answer;
    clients->counters.busy++;
    *ret_busy = *answer;
    ret_busy->error = ERR_BUSY;
    ret_busy->detail = slice_string("too many bytes of earlier answers wait to be read");
    ret_busy->object = SLICE_NONE;
    ret_busy->entries_count = 0;
    return ret_busy;
}

static void answer_part(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct gather *gather = call->gather;
    struct answer busy;
    /* A put that took effect is always told so. */
    if (call->asked.method == METHOD_GET)
        answer = bounded(clients, answer, gather->bytes.size, GATHER_BYTES_MAX, &busy);
    if (call->session != NULL) {
        struct gather_part *part = &gather->parts[call->part];
        part->at = gather->bytes.size;
        rpc_part(&call->asked, answer, &clients->answers, &gather->bytes);
        part->size = gather->bytes.size - part->at;
    }
    if (--gather->left == 0)
        finish_gather(call->session, call->id, gather);
}

static void answer_command(struct call *call, const struct answer *answer)
{
    struct buf *out = conn_out(&call->session->conn);
    if (answer->error != 0)
        rpc_error(call->id, answer->error, answer->detail, out);
    else
        rpc_result(call->id, buf_slice(&call->result), out);
}

static void answer_single(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct conn *conn = &call->session->conn;
    struct answer busy;
    if (call->asked.method == METHOD_GET || call->asked.method == METHOD_SCAN)
        answer = bounded(clients, answer, conn_output(conn), SESSION_OUTPUT_MAX, &busy);
    rpc_answer(call->id, &call->asked, answer, &clients->answers, conn_out(conn));
}

/* True if the call goes on: its next request is sent at the end of the turn. */
static bool answer_resp(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct session *session = call->session;
    struct answer busy;
    if (session == NULL)
        return false;
    if (call->asked.method == METHOD_GET || call->asked.method == METHOD_SCAN)
        answer = bounded(clients, answer, conn_output(&session->conn) + session->resp->held,
                         SESSION_OUTPUT_MAX, &busy);
    return resp_answer(clients, call, answer);
}

void calls_reply(struct clients *clients, uint64_t number, const struct answer *answer)
{
    struct calls *calls = &clients->calls;
    uint32_t index = index_of(number);
    struct call *call = index < calls->count ? calls->table[index] : NULL;
    if (call == NULL || !call->live || call->number != number)
        return;
    struct session *session = call->session;
    bool goes_on = false;
    arena_reset(&clients->answers);
    if (call->reply != NULL)
        goes_on = answer_resp(clients, call, answer);
    else if (call->gather != NULL)
        answer_part(clients, call, answer);
    else if (session != NULL && call->command)
        answer_command(call, answer);
    else if (session != NULL)
        answer_single(clients, call, answer);
    metrics_request(clients->metrics, call->command ? METRIC_OTHER : call->asked.method,
                    clients->engine->now.us - call->began_us);
    bool single = call->gather == NULL;
    if (goes_on)
        return;
    call_free(calls, call);
    if (session != NULL && single)
        session_sent(session);
    else if (session != NULL)
        session_relax(session);
}
