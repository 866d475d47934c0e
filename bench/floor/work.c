/* What the messages mean. Between nodes a message is its size, its kind and its number, 16 bytes,
 * then key and value of a put, the key of a get, or the value that a get found. Replies come in the
 * order of the requests, so the number is a check and no more. */
#include "floor.h"

#include <stdlib.h>

enum { PUT = 1, GET = 2, VALUE_SIZE = 64, REQUEST_MAX = 1 << 20 };

struct head {
    uint32_t size; /* Of what follows. */
    uint32_t kind;
    uint64_t id;
};

static void message(struct floor *floor, struct conn *conn, uint32_t kind, uint64_t id,
                    struct slice body)
{
    struct head head = {.size = (uint32_t)body.size, .kind = kind, .id = id};
    uint8_t *room = buf_reserve(&conn->out, sizeof(head) + body.size);
    memcpy(room, &head, sizeof(head));
    if (body.size > 0)
        memcpy(room + sizeof(head), body.data, body.size);
    conn->out.size += sizeof(head) + body.size;
    loop_dirty(floor, conn);
}

/* CONN is told of ID when BODY is in the log; without a CONN the coordinator itself is. */
static void hold(struct floor *floor, struct conn *conn, uint64_t id, struct slice body)
{
    if (floor->held_count == WINDOW)
        exit(3);
    floor->held[(floor->held_first + floor->held_count++) % WINDOW] =
        (struct held){.conn = conn, .id = id, .record = log_append(&floor->log, body)};
}

/* ------------------------------------------------------------------------- Coordinator. */

static void begin(struct queue *queue, struct conn *conn)
{
    /* The clients' pipelines bound it; a client that sends more ends the run. */
    if (queue->begun - queue->answered == WINDOW)
        exit(3);
    queue->clients[queue->begun++ % WINDOW] = conn;
}

static void put(struct floor *floor, struct conn *conn, struct slice body)
{
    struct queue *puts = &floor->puts;
    begin(puts, conn);
    conn->puts++;
    for (uint32_t i = 0; i < floor->peers_count; i++)
        message(floor, floor->peers[i], PUT, puts->begun, body);
    if (floor->log.sync == SYNC_NONE)
        puts->replied[0] = puts->begun;
    else
        hold(floor, NULL, puts->begun, body);
}

static void get(struct floor *floor, struct conn *conn, struct slice key)
{
    begin(&floor->gets, conn);
    conn->gets++;
    message(floor, floor->peers[0], GET, floor->gets.begun, key);
}

/* The second of the three: up to here two have it. */
static uint64_t second(const uint64_t replied[1 + PEERS])
{
    uint64_t low = MIN(replied[0], replied[1]);
    uint64_t high = MAX(replied[0], replied[1]);
    return MAX(low, MIN(high, replied[2]));
}

static void answer(struct floor *floor, struct queue *queue, struct slice text)
{
    struct conn *conn = queue->clients[queue->answered++ % WINDOW];
    if (queue == &floor->puts)
        conn->puts--;
    else
        conn->gets--;
    if (conn->closed)
        return;
    buf_append(&conn->out, text);
    loop_dirty(floor, conn);
}

static void answer_puts(struct floor *floor)
{
    uint64_t upto = second(floor->puts.replied);
    while (floor->puts.answered < upto)
        answer(floor, &floor->puts, slice_of("+OK\r\n", 5));
}

void work_replies(struct floor *floor, struct conn *conn)
{
    size_t at = 0;
    struct head head;
    while (conn->in.size - at >= sizeof(head)) {
        memcpy(&head, conn->in.data + at, sizeof(head));
        if (conn->in.size - at < sizeof(head) + head.size)
            break;
        struct slice body = slice_of(conn->in.data + at + sizeof(head), head.size);
        if (head.kind == PUT)
            floor->puts.replied[conn->peer] = head.id;
        else
            answer(floor, &floor->gets, body);
        at += sizeof(head) + head.size;
    }
    buf_consume(&conn->in, at);
    answer_puts(floor);
}

/* The number after TYPE at *AT, and its line's end; -1: not whole yet, -2: not understood. */
static int64_t number(const struct buf *in, size_t *at, uint8_t type)
{
    int64_t value = 0;
    size_t i = *at;
    if (i == in->size)
        return -1;
    if (in->data[i++] != type)
        return -2;
    for (; i < in->size && in->data[i] != '\r'; i++) {
        if (in->data[i] < '0' || in->data[i] > '9' || value > REQUEST_MAX)
            return -2;
        value = value * 10 + (in->data[i] - '0');
    }
    if (i + 2 > in->size)
        return -1;
    *at = i + 2;
    return value;
}

/* One command: 1 when it was whole, 0 when it is not yet, -1 when it is not understood. */
static int command(struct floor *floor, struct conn *conn, size_t *at)
{
    size_t next = *at;
    size_t body = 0;
    int64_t words = number(&conn->in, &next, '*');
    for (int64_t i = 0; i < words; i++) {
        int64_t size = number(&conn->in, &next, '$');
        if (size < 0)
            return (int)size + 1;
        if (conn->in.size < next + (size_t)size + 2)
            return 0;
        next += (size_t)size + 2;
        body = i == 0 ? next : body;
    }
    if (words < 0)
        return (int)words + 1;
    struct slice rest = slice_of(conn->in.data + body, next - body);
    *at = next;
    if (words == 3 && conn->gets == 0)
        put(floor, conn, rest);
    else if (words == 2 && conn->puts == 0 && floor->peers_count > 0)
        get(floor, conn, rest);
    else
        return -1;
    return 1;
}

void work_client(struct floor *floor, struct conn *conn)
{
    size_t at = 0;
    int got = 0;
    while ((got = command(floor, conn, &at)) == 1)
        ;
    if (got < 0)
        loop_close(conn);
    else
        buf_consume(&conn->in, at);
    answer_puts(floor);
}

/* -------------------------------------------------------------------------------- Peer. */

void work_inlet(struct floor *floor, struct conn *conn)
{
    static const uint8_t value[] = "$64\r\n"
                                   "0123456789abcdef0123456789abcdef"
                                   "0123456789abcdef0123456789abcdef\r\n";
    size_t at = 0;
    struct head head;
    while (conn->in.size - at >= sizeof(head)) {
        memcpy(&head, conn->in.data + at, sizeof(head));
        if (conn->in.size - at < sizeof(head) + head.size)
            break;
        struct slice body = slice_of(conn->in.data + at + sizeof(head), head.size);
        if (head.kind == GET)
            message(floor, conn, GET, head.id, slice_of(value, sizeof(value) - 1));
        else if (floor->log.sync == SYNC_NONE)
            message(floor, conn, PUT, head.id, SLICE_NONE);
        else
            hold(floor, conn, head.id, body);
        at += sizeof(head) + head.size;
    }
    buf_consume(&conn->in, at);
}

void work_durable(struct floor *floor)
{
    uint64_t durable = floor->log.durable;
    while (floor->held_count > 0) {
        const struct held *held = &floor->held[floor->held_first % WINDOW];
        if (held->record > durable)
            break;
        if (held->conn != NULL)
            message(floor, held->conn, PUT, held->id, SLICE_NONE);
        else
            floor->puts.replied[0] = held->id;
        floor->held_first++;
        floor->held_count--;
    }
    answer_puts(floor);
}
