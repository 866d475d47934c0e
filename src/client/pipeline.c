/* Many requests under way on one connection, their answers told apart by id.
 *
 * An id is an entry of the table of pending requests and the entry's generation, so that a late
 * answer is never taken for the answer to the entry's next user. */
#include "client/client.h"

#include <errno.h>
#include <poll.h>

enum { ENTRY_BITS = 12, GENERATION_MAX = (1 << (32 - ENTRY_BITS)) - 1, FLUSH_SIZE = 64 * 1024 };

_Static_assert(KVR_DEPTH_MAX == 1 << ENTRY_BITS, "an entry must fit its bits");

/* --------------------------------------------------------------------- Pending requests. */

static void pending_init(struct kvr_client *client)
{
    client->pending = mem_zero(KVR_DEPTH_MAX * sizeof(*client->pending));
    client->unused = mem_alloc(KVR_DEPTH_MAX * sizeof(*client->unused));
    for (uint32_t i = 0; i < KVR_DEPTH_MAX; i++) {
        client->unused[i] = (uint16_t)(KVR_DEPTH_MAX - 1 - i);
    }
    client->unused_count = KVR_DEPTH_MAX;
}

/* Give the entry back; only its generation stays. */
static struct pending pending_take(struct kvr_client *client, struct pending *entry)
{
    struct pending taken = *entry;
    *entry = (struct pending){.generation = taken.generation};
    client->unused[client->unused_count++] = (uint16_t)(entry - client->pending);
    client->pending_count--;
    if (client->pending_count == 0) {
        client->deadline_us = UINT64_MAX;
    }
    return taken;
}

static struct pending *pending_find(struct kvr_client *client, uint32_t id)
{
    struct pending *entry = &client->pending[id & (KVR_DEPTH_MAX - 1)];
    return entry->used && entry->generation == id >> ENTRY_BITS ? entry : NULL;
}

/* ---------------------------------------------------------------------------- Submitting. */

static int check_room(struct kvr_client *client)
{
    if (client->broken) {
        return client_fail(client, ERR_BUSY, "requests of a broken connection are to be taken");
    }
    if (client->pending_count == KVR_DEPTH_MAX) {
        return client_fail(client, ERR_BUSY, "%d requests are under way", (int)KVR_DEPTH_MAX);
    }
    const struct connection *connection = &client->connection;
    if (connection->out.size - connection->out_at > QUEUED_MAX) {
        return client_fail(client, ERR_BUSY, "%d bytes wait to be sent", (int)QUEUED_MAX);
    }
    return 0;
}

/* A connection that broke while nothing was under way is made anew. */
static int check_connection(struct kvr_client *client)
{
    struct connection *connection = &client->connection;
    if (client->pending_count == 0 && connection->fd >= 0 && connection_stale(connection)) {
        connection_close(connection);
    }
    if (connection->fd >= 0) {
        return 0;
    }
    size_t left = client->nodes_count;
    uint64_t wait_us = (uint64_t)client->request.deadline_ms * 1000;
    return client_connect(client, &left, client_now_us() + wait_us);
}

static int submit(struct kvr_client *client, uint64_t tag)
{
    if (client->pending == NULL) {
        pending_init(client);
    }
    int error = check_connection(client);
    if (error != 0) {
        return error;
    }
    struct request *request = &client->request;
    struct connection *connection = &client->connection;
    uint32_t place = client->unused[--client->unused_count];
    struct pending *entry = &client->pending[place];
    uint64_t wait_us = ((uint64_t)request->deadline_ms + GRACE_MS) * 1000;
    *entry = (struct pending){.used = true,
                              .kind = request->kind,
                              .repeatable = request->repeatable,
                              .generation = entry->generation % GENERATION_MAX + 1,
                              .parts = request->parts,
                              .tag = tag,
                              .deadline_us = client_now_us() + wait_us};
    client->deadline_us = client->pending_count == 0 ? entry->deadline_us
                                                     : MIN(client->deadline_us, entry->deadline_us);
    client->pending_count++;
    request_stamp(request, entry->generation << ENTRY_BITS | place, request->deadline_ms);
    connection_queue(connection, buf_slice(&request->bytes));
    entry->sent_at = connection->out_queued;
    if (connection->out.size - connection->out_at >= FLUSH_SIZE) {
        /* An error shows itself in kvr_next, to all requests alike. */
        (void)!connection_flush(connection);
    }
    return 0;
}

int kvr_submit_get(struct kvr_client *client, struct kvr_bytes key,
                   const struct kvr_options *options, uint64_t tag)
{
    int error = check_room(client);
    if (error == 0) {
        error = encode_get(client, key, options);
    }
    return error != 0 ? error : submit(client, tag);
}

int kvr_submit_put(struct kvr_client *client, struct kvr_bytes key, struct kvr_bytes value,
                   const struct kvr_options *options, uint64_t tag)
{
    int error = check_room(client);
    if (error == 0) {
        error = encode_write(client, false, key, value, options);
    }
    return error != 0 ? error : submit(client, tag);
}

int kvr_submit_delete(struct kvr_client *client, struct kvr_bytes key,
                      const struct kvr_options *options, uint64_t tag)
{
    int error = check_room(client);
    if (error == 0) {
        error = encode_write(client, true, key, (struct kvr_bytes){0}, options);
    }
    return error != 0 ? error : submit(client, tag);
}

int kvr_submit_mput(struct kvr_client *client, const struct kvr_item *items, size_t count,
                    const struct kvr_options *options, uint64_t tag)
{
    int error = check_room(client);
    if (error == 0) {
        error = encode_mput(client, items, count, options);
    }
    return error != 0 ? error : submit(client, tag);
}

int kvr_submit_call(struct kvr_client *client, const char *method, struct kvr_bytes params,
                    const struct kvr_options *options, uint64_t tag)
{
    int error = check_room(client);
    if (error == 0) {
        error = encode_call(client, method, params, false, options);
    }
    return error != 0 ? error : submit(client, tag);
}

/* ---------------------------------------------------------------------------- Completing. */

static void break_connection(struct kvr_client *client, const char *reason)
{
    client->broken = true;
    client_fail_node(client, ERR_TIMEOUT, reason);
    client->broken_error = client->error;
}

/* End one request of a broken connection; with the last one the client is as new. */
static void next_broken(struct kvr_client *client, struct kvr_completion *ret_completion)
{
    struct pending *entry = client->pending;
    while (!entry->used) {
        entry++;
    }
    struct pending ended = pending_take(client, entry);
    bool sent = client->connection.out_sent >= ended.sent_at;
    client->error = client->broken_error;
    if (ended.repeatable || !sent) {
        error_set(&client->error, ERR_UNAVAILABLE, "%s", client->broken_error.message);
        memcpy(client->error.node, client->broken_error.node, sizeof(client->error.node));
    }
    *ret_completion = (struct kvr_completion){
        .tag = ended.tag, .code = client->error.code, .error = &client->error};
    if (client->pending_count == 0) {
        client->broken = false;
        client_leave_node(client);
    }
}

/* Take RESPONSE for the end of the request ENDED. */
static void complete(struct kvr_client *client, const struct pending *ended,
                     const struct response *response, struct kvr_completion *ret_completion)
{
    struct kvr_completion completion = {.tag = ended->tag};
    arena_reset(&client->arena);
    int malformed = 0;
    if (response->failed) {
        completion.code = error_decode(response->error, &client->error);
    } else if (ended->kind == KIND_GET || ended->kind == KIND_WRITE) {
        malformed = answer_decode(response->result, &client->arena, &completion.answer);
    } else {
        completion.result = (struct kvr_bytes){response->result.data, response->result.size};
    }
    client->result = ended->kind == KIND_BATCH ? response->result : SLICE_NONE;
    client->result_parts = ended->parts;
    if (malformed != 0) {
        completion.code = client_fail_node(client, ended->repeatable ? ERR_INTERNAL : ERR_TIMEOUT,
                                           "the answer is not well formed");
    }
    completion.error = completion.code != 0 ? &client->error : NULL;
    *ret_completion = completion;
}

/* The next answer that was received already. */
static bool next_received(struct kvr_client *client, struct kvr_completion *ret_completion)
{
    struct slice value;
    int found;
    while ((found = connection_value(&client->connection, &value)) > 0) {
        struct response response;
        if (response_decode(value, &response) != 0) {
            found = ERR_CORRUPT;
            break;
        }
        if (response.id == 0 && response.failed) {
            struct kvr_error error;
            error_decode(response.error, &error);
            break_connection(client, error.message);
            return false;
        }
        struct pending *entry = pending_find(client, response.id);
        if (entry != NULL) {
            struct pending ended = pending_take(client, entry);
            complete(client, &ended, &response, ret_completion);
            return true;
        }
    }
    if (found < 0) {
        break_connection(client, "the answer is not well formed");
    }
    return false;
}

/* A request that even the node has not given up in time means that the node is stuck. */
static void check_deadlines(struct kvr_client *client, uint64_t now_us)
{
    if (now_us < client->deadline_us) {
        return;
    }
    uint64_t earliest_us = UINT64_MAX;
    for (uint32_t i = 0; i < KVR_DEPTH_MAX; i++) {
        if (client->pending[i].used) {
            earliest_us = MIN(earliest_us, client->pending[i].deadline_us);
        }
    }
    client->deadline_us = earliest_us;
    if (now_us >= earliest_us) {
        break_connection(client, "no answer within the deadline");
    }
}

static int wait_ms(const struct kvr_client *client, uint64_t now_us, uint64_t end_us)
{
    uint64_t until_us = MIN(end_us, client->deadline_us);
    uint64_t left_us = now_us < until_us ? until_us - now_us : 0;
    return (int)MIN((left_us + 999) / 1000, (uint64_t)60000);
}

bool kvr_next(struct kvr_client *client, int timeout_ms, struct kvr_completion *ret_completion)
{
    uint64_t end_us = UINT64_MAX;
    if (timeout_ms >= 0) {
        end_us = client_now_us() + (uint64_t)timeout_ms * 1000;
    }
    client->result = SLICE_NONE;
    while (client->pending_count > 0) {
        uint64_t now_us = client_now_us();
        if (client->broken) {
            next_broken(client, ret_completion);
            return true;
        }
        if (next_received(client, ret_completion)) {
            return true;
        }
        check_deadlines(client, now_us);
        if (client->broken) {
            continue;
        }
        int error = connection_move(&client->connection, wait_ms(client, now_us, end_us));
        /* Answers that came together with the end of the stream count. */
        if (next_received(client, ret_completion)) {
            return true;
        }
        if (error != 0 && !client->broken) {
            char text[96];
            break_connection(client, error == ECONNRESET ? "the node closed the connection"
                                                         : strerror_r(error, text, sizeof(text)));
        }
        if (!client->broken && client_now_us() >= end_us) {
            return false;
        }
    }
    return false;
}

int kvr_completion_parts(struct kvr_client *client, struct kvr_answer *answers, size_t count)
{
    if (client->result.data == NULL || count != client->result_parts) {
        return client_fail(client, ERR_BAD_REQUEST, "no batch of %zu was completed last", count);
    }
    if (parts_decode(client->result, &client->arena, answers, count) != 0) {
        return client_fail_node(client, ERR_TIMEOUT, "the answer is not well formed");
    }
    return 0;
}

size_t kvr_pending(const struct kvr_client *client)
{
    return client->pending_count;
}

int kvr_fd(const struct kvr_client *client, short *ret_events)
{
    const struct connection *connection = &client->connection;
    bool queued = connection->out_at < connection->out.size;
    *ret_events = (short)(POLLIN | (queued ? POLLOUT : 0));
    return connection->fd;
}
