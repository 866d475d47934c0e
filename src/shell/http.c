/* Routes over libmicrohttpd. */
#include "shell/http.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "shell/exposition.h"
#include "shell/json.h"
#include "shell/logger.h"
#include "wire/mp.h"

enum { ASK_MS = 1000, CONNECTIONS_MAX = 64, CONNECTION_TIMEOUT_S = 10, MEMORY_MAX = 16384 };

struct http {
    struct MHD_Daemon *daemon;
    struct mailbox *mailbox; /* Borrowed. */
};

struct response {
    unsigned status;
    const char *type;
    struct buf body;
};

/* ----------------------------------------------------------------------------- Answers. */

static void respond_json_error(struct response *response, unsigned status, int error,
                               struct slice message)
{
    response->status = status;
    response->type = "application/json";
    buf_printf(&response->body, "{\"error\":{\"code\":\"%s\",\"message\":", error_word(error));
    logger_json_string(message, &response->body);
    buf_append(&response->body, slice_string(",\"advice\":"));
    logger_json_string(slice_string(error_advice(error)), &response->body);
    buf_append(&response->body, slice_string("}}\n"));
}

static void respond_text(struct response *response, unsigned status, struct slice text)
{
    response->status = status;
    response->type = "text/plain; charset=utf-8";
    buf_append(&response->body, text);
    buf_append_byte(&response->body, '\n');
}

/* The question, answered, or NULL after the response says why not. */
static struct question *ask(struct http *http, struct question *question, struct response *response)
{
    int result = mailbox_ask(http->mailbox, &question, ASK_MS);
    if (result == 0)
        return question;
    question_free(question);
    respond_text(response, MHD_HTTP_SERVICE_UNAVAILABLE,
                 slice_string(result == ERR_BUSY ? "too many HTTP requests wait for this node"
                                                 : "the node's loop does not answer"));
    return NULL;
}

/* ------------------------------------------------------------------------------- Routes. */

static void get_health(struct http *http, struct response *response)
{
    struct question *question = ask(http, question_new(HTTP_HEALTH), response);
    if (question != NULL && question->error == 0)
        respond_text(response, MHD_HTTP_OK, slice_string("ok"));
    else if (question != NULL)
        respond_text(response, MHD_HTTP_SERVICE_UNAVAILABLE,
                     slice_string("a thread of this node does not answer"));
    question_free(question);
}

static void get_ready(struct http *http, struct response *response)
{
    struct question *question = ask(http, question_new(HTTP_READY), response);
    if (question != NULL)
        respond_text(response, question->error == 0 ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                     buf_slice(&question->answer));
    question_free(question);
}

static void get_metrics(struct http *http, struct response *response)
{
    struct question *question = ask(http, question_new(HTTP_METRICS), response);
    if (question != NULL) {
        response->status = MHD_HTTP_OK;
        response->type = "text/plain; version=0.0.4; charset=utf-8";
        exposition_write(question->object, &response->body);
    }
    question_free(question);
}

/* Whole numbers of the query, as parameters. */
struct query {
    struct buf params;
    uint32_t count;
    bool bad;
};

static enum MHD_Result take_argument(void *arg, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    struct query *query = arg;
    char *end = NULL;
    (void)kind;
    unsigned long long number = value == NULL ? 0 : strtoull(value, &end, 10);
    if (value == NULL || value[0] < '0' || value[0] > '9' || *end != '\0' || query->count == 15) {
        query->bad = true;
        return MHD_NO;
    }
    mp_write_text(&query->params, key);
    mp_write_uint(&query->params, number);
    query->count++;
    return MHD_YES;
}

static unsigned status_of(int error)
{
    return error == ERR_BAD_REQUEST ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static void get_call(struct http *http, struct MHD_Connection *connection, const char *method,
                     struct response *response)
{
    struct query query = {0};
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_argument, &query);
    if (query.bad) {
        buf_done(&query.params);
        respond_json_error(response, MHD_HTTP_BAD_REQUEST, ERR_BAD_REQUEST,
                           slice_string("arguments are whole numbers"));
        return;
    }
    struct question *question = question_new(HTTP_CALL);
    buf_append(&question->text, slice_string(method));
    mp_write_map(&question->params, query.count);
    buf_append(&question->params, buf_slice(&query.params));
    buf_done(&query.params);
    question = ask(http, question, response);
    if (question == NULL)
        return;
    if (question->error != 0) {
        respond_json_error(response, status_of(question->error), question->error,
                           buf_slice(&question->answer));
    } else if (json_from_mp(buf_slice(&question->answer), &response->body) < 0) {
        respond_json_error(response, MHD_HTTP_INTERNAL_SERVER_ERROR, ERR_INTERNAL,
                           slice_string("the answer is malformed"));
    } else {
        response->status = MHD_HTTP_OK;
        response->type = "application/json";
        buf_append_byte(&response->body, '\n');
    }
    question_free(question);
}

static void route(struct http *http, struct MHD_Connection *connection, const char *url,
                  struct response *response)
{
    static const char prefix[] = "/v1/cluster/";
    static const char *const methods[] = {"status", "ring", "members", "transfers", "gossip"};
    if (strcmp(url, "/healthz") == 0) {
        get_health(http, response);
        return;
    }
    if (strcmp(url, "/readyz") == 0) {
        get_ready(http, response);
        return;
    }
    if (strcmp(url, "/metrics") == 0) {
        get_metrics(http, response);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (strncmp(url, prefix, sizeof prefix - 1) == 0 &&
            strcmp(url + sizeof prefix - 1, methods[i]) == 0) {
            get_call(http, connection, methods[i], response);
            return;
        }
    }
    respond_json_error(response, MHD_HTTP_NOT_FOUND, ERR_NOT_FOUND,
                       slice_string("there is /metrics, /healthz, /readyz and "
                                    "/v1/cluster/{status,ring,members,transfers,gossip}"));
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    struct http *http = arg;
    struct response response = {.status = MHD_HTTP_INTERNAL_SERVER_ERROR, .type = "text/plain"};
    (void)version, (void)upload, (void)context;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        respond_text(&response, MHD_HTTP_METHOD_NOT_ALLOWED,
                     slice_string("this port is read only: GET and HEAD"));
    else if (*upload_size > 0)
        respond_text(&response, MHD_HTTP_BAD_REQUEST, slice_string("no body is expected"));
    else
        route(http, connection, url, &response);
    *upload_size = 0;
    struct MHD_Response *out = MHD_create_response_from_buffer(
        response.body.size, response.body.data, MHD_RESPMEM_MUST_COPY);
    buf_done(&response.body);
    if (out == NULL)
        return MHD_NO;
    MHD_add_response_header(out, MHD_HTTP_HEADER_CONTENT_TYPE, response.type);
    MHD_add_response_header(out, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(connection, response.status, out);
    MHD_destroy_response(out);
    return result;
}

struct http *http_start(int fd, struct mailbox *mailbox)
{
    struct http *http = mem_zero(sizeof *http);
    http->mailbox = mailbox;
    if (listen(fd, CONNECTIONS_MAX) == 0)
        http->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, on_request, http,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX, MHD_OPTION_END);
    if (http->daemon == NULL) {
        close(fd);
        mem_free(http);
        return NULL;
    }
    return http;
}

void http_stop(struct http *http)
{
    MHD_stop_daemon(http->daemon);
    mem_free(http);
}
