/* RESP2, as Redis and its kind speak it, kvring included: GET, SET, SCAN, and WAIT behind a SET
 * where replicas are to have it. Bucket dbN is database N. */
#include "base/error.h"
#include "kvbench/dialect.h"

#include <stdio.h>
#include <stdlib.h>

enum { NESTING_MAX = 4, RESP_LINE_MAX = 256 };

static void word(struct buf *out, struct slice bytes)
{
    buf_printf(out, "$%zu\r\n", bytes.size);
    buf_append(out, bytes);
    buf_append(out, slice_string("\r\n"));
}

static void resp_greet(struct lane *lane, const struct manner *manner)
{
    struct slice bucket = manner->bucket;
    if (slice_equal(bucket, slice_string("default")))
        return;
    buf_append(&lane->out, slice_string("*2\r\n$6\r\nSELECT\r\n"));
    word(&lane->out, slice_of(bucket.data + 2, bucket.size - 2));
    lane_expect(lane, NULL, true);
}

static void resp_get(struct lane *lane, struct op *op, const struct manner *manner,
                     struct slice key)
{
    (void)manner;
    buf_append(&lane->out, slice_string("*2\r\n$3\r\nGET\r\n"));
    word(&lane->out, key);
    lane_expect(lane, op, true);
}

static void resp_put(struct lane *lane, struct op *op, const struct manner *manner,
                     struct slice key, struct slice value, struct slice context)
{
    (void)context;
    buf_append(&lane->out, slice_string("*3\r\n$3\r\nSET\r\n"));
    word(&lane->out, key);
    word(&lane->out, value);
    op->copies = manner->wait;
    lane_expect(lane, op, manner->wait == 0);
    if (manner->wait == 0)
        return;
    char copies[16];
    char timeout[16];
    (void)snprintf(copies, sizeof(copies), "%u", manner->wait);
    (void)snprintf(timeout, sizeof(timeout), "%u", manner->deadline_ms);
    buf_append(&lane->out, slice_string("*3\r\n$4\r\nWAIT\r\n"));
    word(&lane->out, slice_string(copies));
    word(&lane->out, slice_string(timeout));
    lane_expect(lane, op, true);
}

static void resp_scan(struct lane *lane, struct op *op, const struct manner *manner)
{
    char limit[16];
    (void)snprintf(limit, sizeof(limit), "%u", manner->scan_limit);
    buf_append(&lane->out, slice_string("*4\r\n$4\r\nSCAN\r\n"));
    word(&lane->out, lane->cursor.size > 0 ? buf_slice(&lane->cursor) : slice_string("0"));
    buf_append(&lane->out, slice_string("$5\r\nCOUNT\r\n"));
    word(&lane->out, slice_string(limit));
    lane_expect(lane, op, true);
}

/* ----------------------------------------------------------------------------- Answers. */

/* One value at *AT. Its first string and, of an array, how many elements the last one had, are
 * what an answer is made of here. 1, 0: not whole yet, ERR_CORRUPT. */
struct resp_value {
    char type;
    int64_t number;      /* Of an integer, or the length of a string or array; -1: nil. */
    struct slice string; /* The line of a simple string or error, or the bytes of a string. */
    struct slice first;  /* Of an array. */
    uint32_t items;      /* Of the last array within it. */
};

static int resp_read(struct slice bytes, size_t *at, struct resp_value *value, int depth);

static int resp_read_array(struct slice bytes, size_t *at, struct resp_value *value, int depth)
{
    value->items = value->number > 0 ? (uint32_t)value->number : 0;
    if (value->number > INT32_MAX || depth == NESTING_MAX)
        return ERR_CORRUPT;
    for (int64_t i = 0; i < value->number; i++) {
        struct resp_value element = {0};
        int got = resp_read(bytes, at, &element, depth + 1);
        if (got != 1)
            return got;
        if (i == 0)
            value->first = element.string;
        if (element.type == '*')
            value->items = element.items;
    }
    return 1;
}

static int resp_read(struct slice bytes, size_t *at, struct resp_value *value, int depth)
{
    const uint8_t *line = bytes.data + *at;
    size_t left = bytes.size - *at;
    const uint8_t *end = left > 0 ? memchr(line, '\r', left) : NULL;
    if (end == NULL || end + 1 == bytes.data + bytes.size)
        return left > RESP_LINE_MAX && end == NULL ? ERR_CORRUPT : 0;
    value->type = (char)line[0];
    value->string = slice_of(line + 1, (size_t)(end - line) - 1);
    *at += (size_t)(end - line) + 2;
    if (strchr("+-:$*_", value->type) == NULL || value->type == '\0')
        return ERR_CORRUPT;
    if (value->type == '+' || value->type == '-')
        return 1;
    value->number = value->type == '_' ? -1 : strtoll((const char *)line + 1, NULL, 10);
    if (value->type == '*')
        return resp_read_array(bytes, at, value, depth);
    if (value->type != '$')
        return 1;
    size_t size = value->number > 0 ? (size_t)value->number : 0;
    if (value->number < 0)
        return 1;
    if (bytes.size - *at < size + 2)
        return 0;
    value->string = slice_of(bytes.data + *at, size);
    *at += size + 2;
    return 1;
}

static int error_of_line(struct slice line)
{
    const uint8_t *end = memchr(line.data, ' ', line.size);
    return error_of_word(slice_of(line.data, end != NULL ? (size_t)(end - line.data) : line.size));
}

static void resp_answer(const struct resp_value *value, struct reply *reply)
{
    struct op *op = reply->op;
    if (value->type == '-') {
        reply->error = error_of_line(value->string);
        reply->message = value->string;
    } else if (op->kind == OP_SCAN) {
        reply->items = value->items;
        reply->cursor = value->first;
    } else if (!op->writing && value->number < 0) {
        reply->error = ERR_NOT_FOUND;
    } else if (!op->writing) {
        reply->found = true;
        reply->value = value->string;
    }
}

static int resp_next(struct lane *lane, size_t *at, struct reply *ret_reply)
{
    struct resp_value value = {0};
    size_t next = *at;
    bool last = true;
    *ret_reply = (struct reply){0};
    int got = resp_read(buf_slice(&lane->in), &next, &value, 0);
    if (got != 1)
        return got;
    *at = next;
    struct op *op = lane_answered(lane, &last);
    if (op == NULL)
        return value.type == '-' ? ERR_CORRUPT : 1;
    ret_reply->op = op;
    resp_answer(&value, ret_reply);
    if (!last) {
        op->error = ret_reply->error;
        ret_reply->op = NULL;
    } else if (op->error != 0) {
        ret_reply->error = op->error;
    } else if (value.type == ':' && op->writing && value.number < (int64_t)op->copies) {
        ret_reply->error = ERR_TIMEOUT;
        ret_reply->message = slice_string("too few replicas have it");
    }
    return 1;
}

const struct dialect dialect_resp = {
    .name = "resp",
    .ordered = true,
    .scans = true,
    .greet = resp_greet,
    .get = resp_get,
    .put = resp_put,
    .scan = resp_scan,
    .next = resp_next,
};
