/* The way to a node: its address, a non-blocking socket, bytes out and whole values in.
 *
 * Memory grows with what has arrived, never with what the other side announces. */
#include "client/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, READ_SIZE_MAX = 4 * 1024 * 1024 };

uint64_t client_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* -------------------------------------------------------------------------- Addresses. */

static bool port_is_good(const char *port)
{
    char *end = NULL;
    unsigned long number = strtoul(port, &end, 10);
    return port[0] >= '0' && port[0] <= '9' && *end == '\0' && number >= 1 && number <= 65535;
}

/* "host", "host:port", "[v6]" or "[v6]:port" in SIZE bytes at TEXT. */
static bool address_parse(const char *text, size_t size, struct address *ret_address)
{
    char copy[sizeof(ret_address->host)];
    if (size == 0 || size >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *host = copy;
    char *port = NULL;
    bool brackets = copy[0] == '[';
    if (brackets) {
        char *end = strchr(copy, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        host++;
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else {
        char *colon = strchr(copy, ':');
        if (colon != NULL) {
            *colon = '\0';
            port = colon + 1;
        }
    }
    port = port != NULL ? port : "7379";
    if (host[0] == '\0' || !port_is_good(port)) {
        return false;
    }
    *ret_address = (struct address){0};
    snprintf(ret_address->host, sizeof(ret_address->host), "%s", host);
    snprintf(ret_address->port, sizeof(ret_address->port), "%s", port);
    snprintf(ret_address->text, sizeof(ret_address->text), brackets ? "[%s]:%s" : "%s:%s", host,
             port);
    return true;
}

int addresses_parse(const char *list, struct address **ret_nodes, size_t *ret_count,
                    struct kvr_error *error)
{
    struct address *nodes = mem_alloc(NODES_MAX * sizeof(*nodes));
    size_t count = 0;
    const char *at = list;
    for (;;) {
        size_t size = strcspn(at, ",");
        if (count == NODES_MAX || !address_parse(at, size, &nodes[count])) {
            error_set(
                error, ERR_BAD_REQUEST,
                "the node list \"%.100s\" is not of the form HOST:PORT,HOST:PORT (at most %d)",
                list, (int)NODES_MAX);
            mem_free(nodes);
            return ERR_BAD_REQUEST;
        }
        count++;
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    *ret_nodes = nodes;
    *ret_count = count;
    return 0;
}

/* -------------------------------------------------------------------------- Connecting. */

static int wait_connected(int fd, uint64_t timeout_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    uint64_t end_us = client_now_us() + timeout_ms * 1000;
    int ready;
    do {
        uint64_t now_us = client_now_us();
        int left_ms = now_us < end_us ? (int)((end_us - now_us + 999) / 1000) : 0;
        ready = poll(&wait, 1, left_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        return ETIMEDOUT;
    }
    int error = 0;
    socklen_t size = sizeof(error);
    if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        return errno;
    }
    return error;
}

/* 0 and *RET_FD, or a system error number. */
static int connect_to(const struct addrinfo *to, uint64_t timeout_ms, int *ret_fd)
{
    int fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (fd < 0) {
        return errno;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    int error = connect(fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        error = wait_connected(fd, timeout_ms);
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

int connection_open(struct connection *connection, const struct address *address,
                    uint64_t timeout_ms)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int unknown = getaddrinfo(address->host, address->port, &hints, &found);
    if (unknown != 0) {
        return unknown == EAI_SYSTEM ? errno : unknown;
    }
    uint64_t end_us = client_now_us() + timeout_ms * 1000;
    int error = EHOSTUNREACH;
    for (const struct addrinfo *to = found; to != NULL && error != 0; to = to->ai_next) {
        uint64_t now_us = client_now_us();
        uint64_t left_ms = now_us < end_us ? (end_us - now_us) / 1000 : 0;
        error = connect_to(to, left_ms, &connection->fd);
    }
    freeaddrinfo(found);
    return error;
}

const char *connection_open_text(int error, char *text, size_t size)
{
    return error < 0 ? gai_strerror(error) : strerror_r(error, text, size);
}

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0) {
        close(connection->fd);
    }
    connection->fd = -1;
    buf_clear(&connection->out);
    buf_clear(&connection->in);
    connection->out_at = 0;
    connection->in_at = 0;
    connection->out_queued = 0;
    connection->out_sent = 0;
    connection->value_size = 0;
    connection->scan = (struct mp_scan){0};
}

void connection_done(struct connection *connection)
{
    connection_close(connection);
    buf_done(&connection->out);
    buf_done(&connection->in);
}

/* ----------------------------------------------------------------------- Bytes out and in. */

void connection_queue(struct connection *connection, struct slice bytes)
{
    if (connection->out_at == connection->out.size) {
        buf_clear(&connection->out);
        connection->out_at = 0;
    }
    buf_append(&connection->out, bytes);
    connection->out_queued += bytes.size;
}

int connection_flush(struct connection *connection)
{
    while (connection->out_at < connection->out.size) {
        ssize_t sent = send(connection->fd, connection->out.data + connection->out_at,
                            connection->out.size - connection->out_at, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN ? 0 : errno;
        }
        connection->out_at += (size_t)sent;
        connection->out_sent += (size_t)sent;
    }
    return 0;
}

/* Give the room of what was dealt with back, once it is most of the buffer. */
static void in_compact(struct connection *connection)
{
    if (connection->in_at == connection->in.size) {
        buf_clear(&connection->in);
    } else if (connection->in_at >= READ_SIZE && connection->in_at > connection->in.size / 2) {
        buf_consume(&connection->in, connection->in_at);
    } else {
        return;
    }
    connection->in_at = 0;
}

static int in_fill(struct connection *connection)
{
    in_compact(connection);
    size_t held = connection->in.size - connection->in_at;
    size_t room = MIN(MAX(held, READ_SIZE), READ_SIZE_MAX);
    uint8_t *to = buf_reserve(&connection->in, room);
    ssize_t got = recv(connection->fd, to, room, 0);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : errno;
    }
    connection->in.size += (size_t)got;
    return got == 0 ? ECONNRESET : 0;
}

bool connection_stale(struct connection *connection)
{
    uint8_t byte;
    ssize_t got = recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

int connection_move(struct connection *connection, int timeout_ms)
{
    int error = connection_flush(connection);
    if (error != 0) {
        return error;
    }
    bool queued = connection->out_at < connection->out.size;
    struct pollfd wait = {.fd = connection->fd, .events = (short)(POLLIN | (queued ? POLLOUT : 0))};
    int ready = poll(&wait, 1, timeout_ms);
    if (ready <= 0) {
        return ready == 0 || errno == EINTR ? 0 : errno;
    }
    if ((wait.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        error = in_fill(connection);
    }
    return error != 0 ? error : connection_flush(connection);
}

int connection_value(struct connection *connection, struct slice *ret_value)
{
    if (connection->value_size > 0) {
        connection->in_at += connection->value_size;
        connection->value_size = 0;
        connection->scan = (struct mp_scan){0};
    }
    if (connection->in_at == connection->in.size) {
        return 0;
    }
    connection->scan.limits = (struct mp_limits){
        .depth_max = MP_DEPTH_MAX, .elements_max = ELEMENTS_MAX, .size_max = ANSWER_MAX};
    struct slice bytes =
        slice_of(connection->in.data + connection->in_at, connection->in.size - connection->in_at);
    size_t more = 0;
    int error = mp_scan(&connection->scan, bytes, &more);
    if (error != 0) {
        return error;
    }
    if (more > 0) {
        return 0;
    }
    connection->value_size = connection->scan.at;
    *ret_value = slice_of(bytes.data, connection->value_size);
    return 1;
}
