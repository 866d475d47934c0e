/* memcached's text protocol: get and set. */
#include "base/error.h"
#include "kvbench/dialect.h"

#include <stdio.h>

enum { MEMCACHE_LINE_MAX = 512 };

static void memcache_get(struct lane *lane, struct op *op, const struct manner *manner,
                         struct slice key)
{
    (void)manner;
    buf_append(&lane->out, slice_string("get "));
    buf_append(&lane->out, key);
    buf_append(&lane->out, slice_string("\r\n"));
    lane_expect(lane, op, true);
}

static void memcache_put(struct lane *lane, struct op *op, const struct manner *manner,
                         struct slice key, struct slice value, struct slice context)
{
    (void)manner;
    (void)context;
    buf_printf(&lane->out, "set %.*s 0 0 %zu\r\n", (int)key.size, (const char *)key.data,
               value.size);
    buf_append(&lane->out, value);
    buf_append(&lane->out, slice_string("\r\n"));
    lane_expect(lane, op, true);
}

static bool begins(struct slice line, const char *word)
{
    size_t size = strlen(word);
    return line.size >= size && memcmp(line.data, word, size) == 0;
}

/* The answer to a get: the value and a line END, or END alone. 1, 0 or ERR_CORRUPT. */
static int memcache_read(struct slice in, struct slice line, size_t *next, struct reply *reply)
{
    unsigned long long size = 0;
    char head[MEMCACHE_LINE_MAX];
    (void)snprintf(head, sizeof(head), "%.*s", (int)line.size, (const char *)line.data);
    if (sscanf(head, "VALUE %*s %*u %llu", &size) != 1 || size > in.size)
        return size > in.size ? 0 : ERR_CORRUPT;
    static const char end[] = "\r\nEND\r\n";
    if (in.size - *next < size + sizeof(end) - 1)
        return 0;
    reply->value = slice_of(in.data + *next, size);
    reply->found = true;
    *next += size + sizeof(end) - 1;
    return memcmp(reply->value.data + size, end, sizeof(end) - 1) == 0 ? 1 : ERR_CORRUPT;
}

static int memcache_next(struct lane *lane, size_t *at, struct reply *ret_reply)
{
    struct slice in = buf_slice(&lane->in);
    const uint8_t *start = in.data + *at;
    const uint8_t *end = in.size > *at ? memchr(start, '\n', in.size - *at) : NULL;
    *ret_reply = (struct reply){0};
    if (end == NULL)
        return in.size - *at > MEMCACHE_LINE_MAX ? ERR_CORRUPT : 0;
    struct slice line = slice_of(start, (size_t)(end - start) + 1);
    size_t next = *at + line.size;
    if (begins(line, "VALUE ")) {
        int got = memcache_read(in, line, &next, ret_reply);
        if (got != 1)
            return got;
    } else if (begins(line, "END")) {
        ret_reply->error = ERR_NOT_FOUND;
    } else if (!begins(line, "STORED")) {
        ret_reply->error = ERR_INTERNAL;
        ret_reply->message = line;
    }
    bool last = false;
    *at = next;
    ret_reply->op = lane_answered(lane, &last);
    return ret_reply->op != NULL ? 1 : ERR_CORRUPT;
}

const struct dialect dialect_memcache = {
    .name = "memcache",
    .ordered = true,
    .get = memcache_get,
    .put = memcache_put,
    .next = memcache_next,
};
