/* Gathered writes over libuv streams. */
#include "shell/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void conns_init(struct conns *conns, uv_loop_t *loop)
{
    *conns = (struct conns){.loop = loop};
}

void conns_done(struct conns *conns)
{
    ASSERT(conns->open == 0);
    while (conns->spares_count > 0)
        buf_done(&conns->spares[--conns->spares_count]);
}

/* ------------------------------------------------------------------------------ Buffers. */

static void buffer_take(struct conns *conns, struct buf *buf)
{
    if (buf->data == NULL && conns->spares_count > 0)
        *buf = conns->spares[--conns->spares_count];
}

static void buffer_give_back(struct conns *conns, struct buf *buf)
{
    if (buf->data == NULL)
        return;
    if (buf->capacity <= CONN_SPARE_SIZE_MAX && conns->spares_count < CONN_SPARES) {
        buf_clear(buf);
        conns->spares[conns->spares_count++] = *buf;
        *buf = (struct buf){0};
    } else {
        buf_done(buf);
    }
}

struct buf *conn_out(struct conn *conn)
{
    buffer_take(conn->conns, &conn->out);
    return &conn->out;
}

static void count_output(struct conn *conn)
{
    size_t now = conn_output(conn);
    conn->conns->output_bytes += now - conn->counted;
    conn->counted = now;
}

/* ------------------------------------------------------------------------------- Output. */

static void flush(struct conn *conn);

static void drained(struct conn *conn)
{
    int fd;
    if (conn->finishing && uv_fileno((const uv_handle_t *)&conn->tcp, &fd) == 0)
        shutdown(fd, SHUT_WR);
    if (conn->events->on_drained != NULL)
        conn->events->on_drained(conn);
}

static void on_written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;
    conn->writing = false;
    buffer_give_back(conn->conns, &conn->sending);
    count_output(conn);
    if (conn->closing)
        return;
    if (status < 0) {
        conn->events->on_end(conn, status);
        return;
    }
    if (conn->out.size > 0)
        flush(conn);
    if (!conn->closing && conn_output(conn) == 0)
        drained(conn);
}

static void queue_rest(struct conn *conn, size_t sent)
{
    conn->sending = conn->out;
    conn->out = (struct buf){0};
    conn->writing = true;
    conn->write.data = conn;
    uv_buf_t rest =
        uv_buf_init((char *)conn->sending.data + sent, (unsigned)(conn->sending.size - sent));
    int result = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &rest, 1, on_written);
    if (result < 0) {
        conn->writing = false;
        buffer_give_back(conn->conns, &conn->sending);
        conn->events->on_end(conn, result);
    }
}

static void flush(struct conn *conn)
{
    if (conn->closing || conn->held || conn->writing || conn->out.size == 0)
        return;
    uv_buf_t all = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.size);
    int sent = uv_try_write((uv_stream_t *)&conn->tcp, &all, 1);
    conn->conns->bytes_out += conn->out.size;
    if (sent < 0 && sent != UV_EAGAIN) {
        conn->events->on_end(conn, sent);
    } else if ((size_t)MAX(sent, 0) == conn->out.size) {
        buffer_give_back(conn->conns, &conn->out);
        drained(conn);
    } else {
        queue_rest(conn, (size_t)MAX(sent, 0));
    }
}

void conn_dirty(struct conn *conn)
{
    if (conn->dirty || conn->closing)
        return;
    conn->dirty = true;
    conn->dirty_next = conn->conns->dirty;
    conn->conns->dirty = conn;
}

void conn_finish(struct conn *conn)
{
    conn->finishing = true;
    if (conn_output(conn) == 0)
        drained(conn);
    else
        conn_dirty(conn);
}

void conns_flush(struct conns *conns)
{
    while (conns->dirty != NULL) {
        struct conn *conn = conns->dirty;
        conns->dirty = conn->dirty_next;
        conn->dirty = false;
        flush(conn);
        count_output(conn);
    }
}

/* -------------------------------------------------------------------------------- Input. */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct conn *conn = handle->data;
    size_t size;
    uint8_t *room = conn->events->on_room(conn, &size);
    *ret_buf = uv_buf_init((char *)room, (unsigned)MIN(size, (size_t)INT32_MAX));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    if (size > 0) {
        conn->conns->bytes_in += (uint64_t)size;
        conn->events->on_read(conn, (const uint8_t *)buf->base, (size_t)size);
    } else if (size < 0) {
        conn->events->on_end(conn, size == UV_EOF ? 0 : (int)size);
    }
}

void conn_read_start(struct conn *conn)
{
    if (conn->reading || conn->closing)
        return;
    int result = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    if (result < 0)
        conn->events->on_end(conn, result);
    else
        conn->reading = true;
}

void conn_read_stop(struct conn *conn)
{
    if (!conn->reading)
        return;
    uv_read_stop((uv_stream_t *)&conn->tcp);
    conn->reading = false;
}

/* ----------------------------------------------------------------------------- Lifetime. */

void conn_init(struct conn *conn, struct conns *conns, const struct conn_events *events)
{
    *conn = (struct conn){.conns = conns, .events = events};
    ASSERT(uv_tcp_init(conns->loop, &conn->tcp) == 0);
    conn->tcp.data = conn;
    conns->open++;
}

void conn_tune(struct conn *conn, uint32_t timeout_ms)
{
    int fd;
    uv_tcp_nodelay(&conn->tcp, 1);
    /* Best effort: without it a dead host is noticed later. */
    if (uv_fileno((const uv_handle_t *)&conn->tcp, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

int conn_give_up(const struct conn *conn)
{
    int fd;
    if (uv_fileno((const uv_handle_t *)&conn->tcp, &fd) < 0)
        return -EBADF;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

int conn_adopt(struct conn *conn, int fd)
{
    return uv_tcp_open(&conn->tcp, fd);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    ASSERT(!conn->writing && !conn->dirty);
    buffer_give_back(conn->conns, &conn->out);
    buffer_give_back(conn->conns, &conn->sending);
    count_output(conn);
    conn->conns->open--;
    conn->events->on_closed(conn);
}

void conn_close(struct conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    if (conn->dirty) {
        struct conn **at = &conn->conns->dirty;
        while (*at != conn)
            at = &(*at)->dirty_next;
        *at = conn->dirty_next;
        conn->dirty = false;
    }
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
}
