/* A TCP connection of the loop: gathered output, and a close that happens once.
 *
 * Output is appended to `out` during a turn of the loop and leaves at its end in one system call
 * (conns_flush). What the kernel does not take waits in one queued write; meanwhile further output
 * gathers. Buffers come from a pool of the loop and go back when empty, so that an idle connection
 * holds none and a busy one allocates none.
 *
 * Whoever embeds a struct conn owns its memory until on_closed is called. */
#ifndef CONN_H
#define CONN_H

#include "base/buf.h"

#include <uv.h> /* After base.h: both name MIN and MAX. */

enum { CONN_SPARES = 64, CONN_SPARE_SIZE_MAX = 64 * 1024 };

struct conn;

/* All connections of a loop. */
struct conns {
    uv_loop_t *loop;
    struct conn *dirty; /* Those with output gathered in this turn. */
    struct buf spares[CONN_SPARES];
    uint32_t spares_count;
    uint32_t open;         /* Handles not closed yet, of any user. */
    uint64_t output_bytes; /* Waiting in all connections, as of the last flush. */
    uint64_t bytes_in, bytes_out;
};

void conns_init(struct conns *conns, uv_loop_t *loop);
void conns_done(struct conns *conns);
/* Send what was gathered: at the end of each turn. */
void conns_flush(struct conns *conns);

struct conn_events {
    /* SIZE bytes were read into what on_room gave. */
    void (*on_read)(struct conn *conn, const uint8_t *bytes, size_t size);
    uint8_t *(*on_room)(struct conn *conn, size_t *ret_size);
    /* End of stream (ERROR 0) or a failed read or write (a UV_ code): the owner shall conn_close.
     */
    void (*on_end)(struct conn *conn, int error);
    /* All output is with the kernel. */
    void (*on_drained)(struct conn *conn);
    void (*on_closed)(struct conn *conn);
};

struct conn {
    uv_tcp_t tcp;
    uv_write_t write;
    struct conns *conns;
    const struct conn_events *events;
    struct buf out;     /* Append here, then conn_dirty. */
    struct buf sending; /* Of the queued write. */
    struct conn *dirty_next;
    size_t counted; /* Of this connection in conns->output_bytes. */
    bool dirty;
    bool held; /* Not connected yet: gather only. */
    bool writing;
    bool reading;
    bool finishing;
    bool closing;
};

void conn_init(struct conn *conn, struct conns *conns, const struct conn_events *events);
/* TCP_NODELAY, and unacknowledged data breaks the connection after TIMEOUT_MS. */
void conn_tune(struct conn *conn, uint32_t timeout_ms);
/* Another descriptor of the connection, for another loop to adopt: then conn_close, and nobody at
 * the other end notices. Below 0: errno. */
int conn_give_up(const struct conn *conn) CHECK_RESULT;
/* Go on with such a one; the connection is new. 0 or a UV_ code. */
int conn_adopt(struct conn *conn, int fd) CHECK_RESULT;
void conn_read_start(struct conn *conn);
void conn_read_stop(struct conn *conn);
/* Output was appended: send it at the end of this turn. */
void conn_dirty(struct conn *conn);
/* Bytes that the kernel has not taken yet. */
static inline size_t conn_output(const struct conn *conn)
{
    return conn->out.size + conn->sending.size;
}
/* The output buffer, from the pool when it was empty: append, then conn_dirty. */
struct buf *conn_out(struct conn *conn);
/* Close now, output or not; on_closed follows. A second call does nothing. */
void conn_close(struct conn *conn);
/* Send what waits and then a FIN: for an error answer that shall arrive before the close. The owner
 * goes on reading, for unread input at the close would destroy the answer on its way. */
void conn_finish(struct conn *conn);

#endif
