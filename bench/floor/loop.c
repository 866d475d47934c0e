#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, READ_SIZE = 64 * 1024 };

_Noreturn void fail(const char *what)
{
    fprintf(stderr, "kvfloor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in parse(const char *address)
{
    char host[64];
    const char *colon = strrchr(address, ':');
    struct sockaddr_in parsed = {.sin_family = AF_INET};
    errno = EINVAL;
    if (colon == NULL || (size_t)(colon - address) >= sizeof(host))
        fail(address);
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    parsed.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &parsed.sin_addr) != 1)
        fail(address);
    return parsed;
}

static struct conn *conn_new(int fd, void (*take)(struct floor *floor, struct conn *conn))
{
    struct conn *conn = mem_zero(sizeof(*conn));
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    conn->fd = fd;
    conn->take = take;
    return conn;
}

void loop_watch(struct floor *floor, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(floor->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        fail("epoll_ctl");
}

struct listener {
    struct conn conn;
    void (*accepted)(struct floor *floor, struct conn *conn);
};

static void listener_take(struct floor *floor, struct conn *conn)
{
    int fd = accept4(conn->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        loop_watch(floor, conn_new(fd, ((struct listener *)conn)->accepted));
}

void loop_listen(struct floor *floor, const char *address,
                 void (*take)(struct floor *floor, struct conn *conn))
{
    struct sockaddr_in own = parse(address);
    struct listener *listener = mem_zero(sizeof(*listener));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0 || listen(fd, 1024) != 0)
        fail(address);
    listener->conn.fd = fd;
    listener->conn.take = listener_take;
    listener->accepted = take;
    loop_watch(floor, &listener->conn);
}

struct conn *loop_dial(struct floor *floor, const char *address,
                       void (*take)(struct floor *floor, struct conn *conn))
{
    struct sockaddr_in other = parse(address);
    for (int tries = 0; tries < 500; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            fail("socket");
        if (connect(fd, (struct sockaddr *)&other, sizeof(other)) == 0) {
            struct conn *conn = conn_new(fd, take);
            loop_watch(floor, conn);
            return conn;
        }
        (void)close(fd);
        (void)usleep(20000);
    }
    fail(address);
}

void loop_dirty(struct floor *floor, struct conn *conn)
{
    if (conn->dirty || conn->closed)
        return;
    if (floor->dirty_count == CONNS_MAX) {
        errno = EMFILE;
        fail("connections");
    }
    conn->dirty = true;
    floor->dirty[floor->dirty_count++] = conn;
}

void loop_close(struct conn *conn)
{
    /* Without its peers there is nothing left to measure. */
    if (conn->take != work_client)
        exit(0);
    (void)close(conn->fd);
    conn->fd = -1;
    conn->closed = true;
    buf_done(&conn->in);
    buf_done(&conn->out);
}

static void want_writable(struct floor *floor, struct conn *conn, bool wanted)
{
    if (conn->writable == wanted)
        return;
    conn->writable = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0U), .data.ptr = conn};
    (void)epoll_ctl(floor->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

static void conn_flush(struct floor *floor, struct conn *conn)
{
    size_t left = conn->out.size - conn->out_sent;
    ssize_t sent =
        send(conn->fd, conn->out.data + conn->out_sent, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) {
        loop_close(conn);
        return;
    }
    conn->out_sent += sent > 0 ? (size_t)sent : 0;
    if (conn->out_sent == conn->out.size) {
        conn->out_sent = 0;
        buf_clear(&conn->out);
    }
    want_writable(floor, conn, conn->out.size > 0);
}

static void conn_read(struct floor *floor, struct conn *conn)
{
    uint8_t *room = buf_reserve(&conn->in, READ_SIZE);
    ssize_t got = recv(conn->fd, room, READ_SIZE, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        loop_close(conn);
        return;
    }
    conn->in.size += (size_t)got;
    conn->take(floor, conn);
}

static void flush_all(struct floor *floor)
{
    for (uint32_t i = 0; i < floor->dirty_count; i++) {
        struct conn *conn = floor->dirty[i];
        conn->dirty = false;
        if (!conn->closed)
            conn_flush(floor, conn);
    }
    floor->dirty_count = 0;
}

static bool is_stream(const struct conn *conn)
{
    return conn->take == work_client || conn->take == work_inlet || conn->take == work_replies;
}

_Noreturn void loop_run(struct floor *floor)
{
    struct epoll_event events[EVENTS_MAX];
    while (true) {
        int count = epoll_wait(floor->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (!is_stream(conn))
                conn->take(floor, conn);
            else if (!conn->closed && (events[i].events & EPOLLOUT))
                conn_flush(floor, conn);
            if (is_stream(conn) && !conn->closed && (events[i].events & ~(uint32_t)EPOLLOUT))
                conn_read(floor, conn);
        }
        log_flush(floor);
        flush_all(floor);
    }
}
