/* The plain calls: one request, one answer, on to another node where that can do no harm. */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

int kvr_client_new(const char *nodes, struct kvr_client **ret_client, struct kvr_error *ret_error)
{
    struct kvr_error unused;
    struct kvr_client *client = mem_zero(sizeof(*client));
    client->connection.fd = -1;
    int error = addresses_parse(nodes, &client->nodes, &client->nodes_count,
                                ret_error != NULL ? ret_error : &unused);
    if (error != 0) {
        mem_free(client);
        return error;
    }
    if (getrandom(&client->id, sizeof(client->id), 0) != (ssize_t)sizeof(client->id)) {
        client->id = client_now_us();
    }
    *ret_client = client;
    return 0;
}

void kvr_client_free(struct kvr_client *client)
{
    if (client == NULL) {
        return;
    }
    connection_done(&client->connection);
    buf_done(&client->request.bytes);
    arena_done(&client->arena);
    mem_free(client->pending);
    mem_free(client->unused);
    mem_free(client->nodes);
    mem_free(client);
}

const char *kvr_node(const struct kvr_client *client)
{
    return client->connection.fd >= 0 ? client->nodes[client->node].text : "";
}

void client_leave_node(struct kvr_client *client)
{
    connection_close(&client->connection);
    client->node = (client->node + 1) % client->nodes_count;
}

static uint64_t left_ms(uint64_t deadline_us)
{
    uint64_t now_us = client_now_us();
    return now_us < deadline_us ? (deadline_us - now_us + 999) / 1000 : 0;
}

int client_connect(struct kvr_client *client, size_t *left, uint64_t deadline_us)
{
    while (client->connection.fd < 0) {
        uint64_t wait_ms = left_ms(deadline_us);
        if (*left == 0 || wait_ms == 0) {
            /* The error of the last attempt stands. */
            return ERR_UNAVAILABLE;
        }
        uint64_t share_ms = MIN(MAX(wait_ms / *left, 1), (uint64_t)CONNECT_MS_MAX);
        int error = connection_open(&client->connection, &client->nodes[client->node], share_ms);
        if (error != 0) {
            char reason[128];
            char message[300];
            snprintf(message, sizeof(message), "cannot connect to %s%.150s: %s",
                     client->nodes_count > 1 ? "any node; last tried " : "",
                     client->nodes[client->node].text,
                     connection_open_text(error, reason, sizeof(reason)));
            client_fail(client, ERR_UNAVAILABLE, "%s", message);
            snprintf(client->error.advice, sizeof(client->error.advice),
                     "nothing was sent; see whether the node runs and listens at this address");
            --*left;
            client_leave_node(client);
        }
    }
    return 0;
}

/* How one attempt ended. */
enum outcome {
    ANSWERED, /* With a result, or with an error that is in client->error. */
    UNSENT,   /* The connection broke before the whole request was out. */
    LOST,     /* It broke, or the deadline passed, afterwards: the outcome is unknown. */
};

struct attempt {
    enum outcome outcome;
    bool late; /* LOST because the deadline has passed. */
    int error;
    struct slice result;
    char reason[128];
};

static struct attempt attempt_lost(struct kvr_client *client, uint64_t end, int error)
{
    struct attempt attempt = {.outcome = client->connection.out_sent >= end ? LOST : UNSENT};
    char text[96];
    const char *why = error == ECONNRESET ? "the node closed the connection"
                                          : strerror_r(error, text, sizeof(text));
    snprintf(attempt.reason, sizeof(attempt.reason), "%s before it answered", why);
    return attempt;
}

/* The answer to the request with ID, if it is there. */
static bool take_answer(struct kvr_client *client, uint32_t id, struct attempt *attempt)
{
    struct slice value;
    int found;
    while ((found = connection_value(&client->connection, &value)) > 0) {
        struct response response = {0};
        found = response_decode(value, &response);
        if (found != 0) {
            break;
        }
        /* An error with id 0 means that the node understood nothing and closes. */
        if (response.id != id && !(response.id == 0 && response.failed)) {
            continue;
        }
        *attempt = (struct attempt){.outcome = ANSWERED, .result = response.result};
        if (response.failed) {
            attempt->error = error_decode(response.error, &client->error);
        }
        return true;
    }
    if (found < 0) {
        *attempt = (struct attempt){
            .outcome = LOST,
            .reason = "what came is no answer of a node: is this its port for clients?"};
    }
    return found < 0;
}

/* Send the request and wait for its answer. */
static struct attempt attempt_make(struct kvr_client *client, uint64_t deadline_us)
{
    struct connection *connection = &client->connection;
    struct attempt attempt = {0};
    uint32_t id = ++client->sync_id;
    if (id == 0) {
        id = ++client->sync_id;
    }
    request_stamp(&client->request, id, (uint32_t)MAX(left_ms(deadline_us), 1));
    connection_queue(connection, buf_slice(&client->request.bytes));
    uint64_t end = connection->out_queued;
    uint64_t end_us = deadline_us + (uint64_t)GRACE_MS * 1000;
    int error = connection_flush(connection);
    while (error == 0) {
        if (take_answer(client, id, &attempt)) {
            return attempt;
        }
        uint64_t wait_ms = left_ms(end_us);
        if (wait_ms == 0) {
            attempt = attempt_lost(client, end, ETIMEDOUT);
            attempt.late = true;
            return attempt;
        }
        error = connection_move(connection, (int)wait_ms);
    }
    /* The answer may have come together with the end of the stream. */
    if (take_answer(client, id, &attempt)) {
        return attempt;
    }
    return attempt_lost(client, end, error);
}

/* One request on its way through the nodes. */
struct run {
    uint64_t deadline_us;
    size_t left; /* Nodes that may still be tried. */
    uint32_t retries;
    bool fresh;    /* The connection was made for this attempt. */
    bool answered; /* A node has answered with the error `first`, which says more than any other. */
    struct kvr_error first;
};

static bool worth_another_node(const struct request *request, int error)
{
    bool elsewhere = error == ERR_UNAVAILABLE || error == ERR_NOT_READY;
    return elsewhere && (request->kind != KIND_CALL || request->repeatable);
}

static void fail_lost(struct kvr_client *client, const struct attempt *attempt)
{
    char message[300];
    if (attempt->late) {
        snprintf(message, sizeof(message), "no answer within %u ms", client->request.deadline_ms);
    } else {
        snprintf(message, sizeof(message), "%s", attempt->reason);
    }
    /* Nothing was changed by what only reads. */
    bool unknown = attempt->outcome != UNSENT && !client->request.repeatable;
    client_fail_node(client, unknown ? ERR_TIMEOUT : ERR_UNAVAILABLE, message);
}

static void sleep_ms(uint32_t ms)
{
    struct timespec time = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&time, NULL);
}

/* Come back to the very node that was lost, which alone knows the request id. */
static bool reconnect_same(struct kvr_client *client, uint64_t deadline_us)
{
    connection_close(&client->connection);
    while (left_ms(deadline_us) > 0) {
        uint64_t wait_ms = MIN(left_ms(deadline_us), (uint64_t)CONNECT_MS_MAX);
        const struct address *node = &client->nodes[client->node];
        if (connection_open(&client->connection, node, wait_ms) == 0) {
            return true;
        }
        sleep_ms(RECONNECT_MS);
    }
    return false;
}

/* After an error from a node: may another one be asked? */
static bool again_elsewhere(struct kvr_client *client, struct run *run, int error)
{
    bool worth = worth_another_node(&client->request, error);
    if (!worth || run->left <= 1 || left_ms(run->deadline_us) == 0) {
        return false;
    }
    run->answered = true;
    run->first = client->error;
    run->left--;
    client_leave_node(client);
    return true;
}

/* After the connection broke: may the request be sent once more, and is there a way? */
static bool again_after_loss(struct kvr_client *client, struct run *run,
                             const struct attempt *attempt)
{
    fail_lost(client, attempt);
    bool harmless = attempt->outcome == UNSENT || client->request.repeatable;
    bool again = false;
    if (attempt->late) {
        again = false;
    } else if (harmless && !run->fresh) {
        /* A connection from an earlier call may have been closed with good reason. */
        connection_close(&client->connection);
        return true;
    } else if (harmless) {
        run->left--;
        again = run->left > 0;
    } else if (run->retries > 0) {
        run->retries--;
        return reconnect_same(client, run->deadline_us);
    }
    client_leave_node(client);
    return again;
}

static int fail_unconnected(struct kvr_client *client, const struct run *run)
{
    if (run->answered) {
        client->error = run->first;
    } else if (client->error.code == 0) {
        client_fail(client, ERR_UNAVAILABLE, "no connection within %u ms",
                    client->request.deadline_ms);
    }
    return client->error.code;
}

/* Carry out client->request. 0 and *RET_RESULT, valid until the next call, or a negative code. */
static int carry_out(struct kvr_client *client, uint32_t retries, struct slice *ret_result)
{
    struct run run = {.left = client->nodes_count, .retries = retries};
    run.deadline_us = client_now_us() + (uint64_t)client->request.deadline_ms * 1000;
    if (client->connection.fd >= 0 && connection_stale(&client->connection)) {
        connection_close(&client->connection);
    }
    bool again;
    do {
        run.fresh = client->connection.fd < 0;
        if (client_connect(client, &run.left, run.deadline_us) != 0) {
            return fail_unconnected(client, &run);
        }
        struct attempt attempt = attempt_make(client, run.deadline_us);
        if (attempt.outcome != ANSWERED) {
            again = again_after_loss(client, &run, &attempt);
        } else if (attempt.error != 0) {
            again = again_elsewhere(client, &run, attempt.error);
        } else {
            *ret_result = attempt.result;
            return 0;
        }
    } while (again);
    return client->error.code;
}

/* What every plain call begins with: the last answer is let go, the request is not begun yet. */
static int call_begin(struct kvr_client *client)
{
    if (client->pending_count > 0) {
        return client_fail(client, ERR_BAD_REQUEST, "submitted requests are under way");
    }
    return 0;
}

static int call_end(struct kvr_client *client, const struct kvr_options *options,
                    struct slice *ret_result)
{
    client->error.code = 0;
    arena_reset(&client->arena);
    return carry_out(client, options != NULL ? options->retries : 0, ret_result);
}

/* An answer that nobody can read: for a write it says no more than that the node has answered. */
static int fail_malformed(struct kvr_client *client)
{
    int code = client->request.repeatable ? ERR_INTERNAL : ERR_TIMEOUT;
    client_fail_node(client, code, "the answer is not well formed");
    client_leave_node(client);
    return code;
}

static int finish_answer(struct kvr_client *client, const struct kvr_options *options,
                         struct kvr_answer *ret_answer)
{
    struct slice result;
    struct kvr_answer answer;
    int error = call_end(client, options, &result);
    if (error != 0) {
        return error;
    }
    if (answer_decode(result, &client->arena, &answer) != 0) {
        return fail_malformed(client);
    }
    if (ret_answer != NULL) {
        *ret_answer = answer;
    }
    return 0;
}

int kvr_get(struct kvr_client *client, struct kvr_bytes key, const struct kvr_options *options,
            struct kvr_answer *ret_answer)
{
    int error = call_begin(client);
    if (error == 0) {
        error = encode_get(client, key, options);
    }
    return error != 0 ? error : finish_answer(client, options, ret_answer);
}

int kvr_put(struct kvr_client *client, struct kvr_bytes key, struct kvr_bytes value,
            const struct kvr_options *options, struct kvr_answer *ret_answer)
{
    int error = call_begin(client);
    if (error == 0) {
        error = encode_write(client, false, key, value, options);
    }
    return error != 0 ? error : finish_answer(client, options, ret_answer);
}

int kvr_delete(struct kvr_client *client, struct kvr_bytes key, const struct kvr_options *options,
               struct kvr_answer *ret_answer)
{
    int error = call_begin(client);
    if (error == 0) {
        error = encode_write(client, true, key, (struct kvr_bytes){0}, options);
    }
    return error != 0 ? error : finish_answer(client, options, ret_answer);
}

static int finish_batch(struct kvr_client *client, const struct kvr_options *options,
                        struct kvr_answer *answers)
{
    struct slice result;
    int error = call_end(client, options, &result);
    if (error != 0) {
        return error;
    }
    error = parts_decode(result, &client->arena, answers, client->request.parts);
    return error != 0 ? fail_malformed(client) : 0;
}

int kvr_mget(struct kvr_client *client, const struct kvr_bytes *keys, size_t count,
             const struct kvr_options *options, struct kvr_answer *answers)
{
    int error = call_begin(client);
    if (error == 0) {
        error = encode_mget(client, keys, count, options);
    }
    return error != 0 ? error : finish_batch(client, options, answers);
}

int kvr_mput(struct kvr_client *client, const struct kvr_item *items, size_t count,
             const struct kvr_options *options, struct kvr_answer *answers)
{
    int error = call_begin(client);
    if (error == 0) {
        error = encode_mput(client, items, count, options);
    }
    if (error != 0) {
        return error;
    }
    /* A batch has no request id, so it must not be sent twice. */
    return finish_batch(client, NULL, answers);
}

int kvr_scan(struct kvr_client *client, struct kvr_bytes cursor, uint32_t limit, bool values,
             const struct kvr_options *options, struct kvr_page *ret_page)
{
    int error = call_begin(client);
    if (error == 0) {
        error = encode_scan(client, cursor, limit, values, options);
    }
    struct slice result;
    if (error == 0) {
        error = call_end(client, options, &result);
    }
    if (error != 0) {
        return error;
    }
    error = page_decode(result, &client->arena, ret_page);
    return error != 0 ? fail_malformed(client) : 0;
}

int kvr_call(struct kvr_client *client, const char *method, struct kvr_bytes params,
             bool repeatable, const struct kvr_options *options, struct kvr_bytes *ret_result)
{
    int error = call_begin(client);
    if (error == 0) {
        error = encode_call(client, method, params, repeatable, options);
    }
    struct slice result;
    if (error == 0) {
        error = call_end(client, NULL, &result);
    }
    if (error != 0) {
        return error;
    }
    *ret_result = (struct kvr_bytes){result.data, result.size};
    return 0;
}
