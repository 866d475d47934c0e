#include "kvbench/lane.h"

#include "base/error.h"
#include "kvbench/dialect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024 };

void lane_init(struct lane *lane, uint32_t depth)
{
    ASSERT(depth > 0 && depth <= DEPTH_MAX);
    *lane = (struct lane){.fd = -1, .depth = depth, .spare_count = depth};
    lane->ops = mem_zero(depth * sizeof(*lane->ops));
    lane->spare = mem_alloc(depth * sizeof(*lane->spare));
    for (uint32_t i = 0; i < depth; i++)
        lane->spare[i] = depth - 1 - i;
    /* A put may have two answers, and the greeting one. */
    lane->order_size = 2 * depth + 1;
    lane->order = mem_alloc(lane->order_size * sizeof(*lane->order));
}

void lane_done(struct lane *lane)
{
    lane_close(lane);
    mem_free(lane->ops);
    mem_free(lane->spare);
    mem_free(lane->order);
    buf_done(&lane->out);
    buf_done(&lane->in);
    buf_done(&lane->cursor);
}

int lane_open(struct lane *lane, const struct manner *manner,
              const struct sockaddr_storage *address, socklen_t size)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_UNAVAILABLE;
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)address, size) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return ERR_UNAVAILABLE;
    }
    lane->fd = fd;
    lane->connecting = true;
    if (manner->dialect->greet != NULL)
        manner->dialect->greet(lane, manner);
    return 0;
}

void lane_close(struct lane *lane)
{
    if (lane->fd >= 0)
        (void)close(lane->fd);
    lane->fd = -1;
    lane->connecting = false;
    lane->writable_wanted = false;
    lane->out_sent = 0;
    buf_clear(&lane->out);
    buf_clear(&lane->in);
    lane->order_first = 0;
    lane->order_count = 0;
}

struct op *lane_take(struct lane *lane)
{
    struct op *op = &lane->ops[lane->spare[--lane->spare_count]];
    uint32_t serial = op->serial + 1;
    *op = (struct op){.used = true, .serial = serial};
    return op;
}

void lane_give(struct lane *lane, struct op *op)
{
    ASSERT(op->used);
    op->used = false;
    lane->spare[lane->spare_count++] = (uint32_t)(op - lane->ops);
}

int lane_flush(struct lane *lane)
{
    if (lane->connecting || lane->fd < 0)
        return 0;
    struct buf *out = &lane->out;
    while (lane->out_sent < out->size) {
        ssize_t sent =
            send(lane->fd, out->data + lane->out_sent, out->size - lane->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? 0 : ERR_IO;
        lane->out_sent += (size_t)sent;
    }
    lane->out_sent = 0;
    buf_clear(out);
    return 0;
}

/* ----------------------------------------------------------------------------- Answers. */

int lane_read(struct lane *lane)
{
    struct buf *in = &lane->in;
    uint8_t *room = buf_reserve(in, READ_SIZE);
    ssize_t got = recv(lane->fd, room, READ_SIZE, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : ERR_IO;
    if (got == 0)
        return ERR_IO;
    in->size += (size_t)got;
    return 0;
}

struct op *lane_answered(struct lane *lane, bool *ret_last)
{
    struct turn *turn = &lane->order[lane->order_first % lane->order_size];
    if (lane->order_count == 0)
        return NULL;
    lane->order_first++;
    lane->order_count--;
    *ret_last = turn->last;
    return turn->place == PLACE_NONE ? NULL : &lane->ops[turn->place];
}

void lane_expect(struct lane *lane, const struct op *op, bool last)
{
    ASSERT(lane->order_count < lane->order_size);
    uint32_t at = (lane->order_first + lane->order_count++) % lane->order_size;
    lane->order[at] =
        (struct turn){.place = op == NULL ? PLACE_NONE : (uint32_t)(op - lane->ops), .last = last};
}

void lane_consume(struct lane *lane, size_t at)
{
    buf_consume(&lane->in, at);
}
