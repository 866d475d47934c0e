/* Making a load generator: looking up nodes, opening lanes. */
#include "base/error.h"
#include "kvbench/engine_private.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static int node_add(struct engine *engine, const char *text, size_t size, struct buf *error_text)
{
    char host[128];
    if (size == 0 || size >= sizeof(host) || engine->nodes_count == NODES_MAX) {
        buf_printf(error_text, "bad node list: give host:port,host:port");
        return ERR_BAD_REQUEST;
    }
    memcpy(host, text, size);
    host[size] = '\0';
    struct address *node = &engine->nodes[engine->nodes_count];
    (void)snprintf(node->text, sizeof(node->text), "%s", host);
    char *port = strrchr(host, ':');
    if (port != NULL)
        *port++ = '\0';
    char *name = host;
    if (name[0] == '[' && strlen(name) > 1 && name[strlen(name) - 1] == ']') {
        name[strlen(name) - 1] = '\0';
        name++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, port != NULL ? port : "7379", &hints, &found);
    if (error != 0) {
        buf_printf(error_text, "cannot look up %s: %s", node->text, gai_strerror(error));
        return ERR_UNAVAILABLE;
    }
    memcpy(&node->address, found->ai_addr, found->ai_addrlen);
    node->size = found->ai_addrlen;
    freeaddrinfo(found);
    engine->nodes_count++;
    return 0;
}

static int nodes_add(struct engine *engine, const char *nodes, struct buf *error_text)
{
    const char *at = nodes;
    while (true) {
        size_t size = strcspn(at, ",");
        int error = node_add(engine, at, size, error_text);
        if (error != 0 || at[size] == '\0')
            return error;
        at += size + 1;
    }
}

enum { PROBE_MS = 3000 };

/* 0, or what stands in the way of a connection. */
static int node_probe(const struct address *node)
{
    int fd = socket(node->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = 0;
    if (connect(fd, (const struct sockaddr *)&node->address, node->size) != 0)
        error = errno;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof(error);
    if (error == EINPROGRESS &&
        (poll(&wait, 1, PROBE_MS) <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0))
        error = ETIMEDOUT;
    (void)close(fd);
    return error;
}

/* Nodes may be down during a run, but not all from the start: there would be nothing to measure. */
static int nodes_probe(const struct engine *engine, struct buf *error_text)
{
    int error = 0;
    for (uint32_t i = 0; i < engine->nodes_count; i++) {
        error = node_probe(&engine->nodes[i]);
        if (error == 0)
            return 0;
    }
    buf_printf(error_text, "cannot connect to %s: %s", engine->nodes[engine->nodes_count - 1].text,
               strerror(error));
    return ERR_UNAVAILABLE;
}

void engine_watch(struct engine *engine, struct lane *lane, bool wanted)
{
    if (lane->writable_wanted == wanted)
        return;
    lane->writable_wanted = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = lane};
    (void)epoll_ctl(engine->epoll, EPOLL_CTL_MOD, lane->fd, &event);
}

void engine_reopen(struct engine *engine, struct lane *lane)
{
    struct address *node = &engine->nodes[lane->node % engine->nodes_count];
    if (lane_open(lane, &engine->options.manner, &node->address, node->size) != 0) {
        lane->node++;
        lane->retry_ns = engine->now_ns + RECONNECT_NS;
        return;
    }
    lane->writable_wanted = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = lane};
    int added = epoll_ctl(engine->epoll, EPOLL_CTL_ADD, lane->fd, &event);
    ASSERT(added == 0);
}

static void lanes_make(struct engine *engine)
{
    for (uint32_t s = 0; s < engine->options.streams_count; s++) {
        engine->first[s] = engine->lanes_count;
        engine->lanes_count += engine->options.streams[s].connections;
    }
    engine->lanes = mem_zero(engine->lanes_count * sizeof(*engine->lanes));
    engine->dirty = mem_zero(engine->lanes_count * sizeof(struct lane *));
    for (uint32_t s = 0; s < engine->options.streams_count; s++) {
        for (uint32_t i = 0; i < engine->options.streams[s].connections; i++) {
            struct lane *lane = &engine->lanes[engine->first[s] + i];
            lane_init(lane, engine->options.streams[s].depth);
            lane->stream = s;
            lane->node = engine->first[s] + i;
            engine_reopen(engine, lane);
        }
    }
}

int engine_new(const char *nodes, const struct engine_options *options, struct workload *workload,
               struct ledger *ledger, struct engine **ret_engine, struct buf *error_text)
{
    struct engine *engine = mem_zero(sizeof(*engine));
    engine->options = *options;
    engine->workload = workload;
    engine->ledger = ledger;
    engine->epoll = -1;
    engine->now_ns = engine_now();
    int error = nodes_add(engine, nodes, error_text);
    if (error == 0)
        error = nodes_probe(engine, error_text);
    if (error != 0) {
        engine_free(engine);
        return error;
    }
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    ASSERT(engine->epoll >= 0);
    engine->random = mem_alloc(RANDOM_SIZE);
    for (size_t i = 0; i < RANDOM_SIZE; i++)
        engine->random[i] = (uint8_t)prng_next(&workload->prng);
    engine->again = mem_zero(workload->keys * sizeof(*engine->again));
    engine->attempts = mem_zero(workload->keys);
    lanes_make(engine);
    *ret_engine = engine;
    return 0;
}

void engine_free(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->lanes_count; i++)
        lane_done(&engine->lanes[i]);
    if (engine->epoll >= 0)
        (void)close(engine->epoll);
    mem_free(engine->lanes);
    mem_free(engine->dirty);
    mem_free(engine->again);
    mem_free(engine->attempts);
    mem_free(engine->random);
    buf_done(&engine->value);
    mem_free(engine);
}
