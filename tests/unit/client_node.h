/* A scripted node for tests of the client: a thread that notes what it is sent and answers as it
 * was told. */
#ifndef CLIENT_NODE_H
#define CLIENT_NODE_H

#include "client/client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum action {
    END_SCRIPT = 0,
    ANSWER,      /* As the method wants it. */
    UNAVAILABLE, /* An error map. */
    CLOSE,       /* Without an answer. */
    SILENCE,     /* Keep the connection, say nothing. */
    GARBAGE,     /* Bytes that are no MessagePack. */
    REFUSE_ALL,  /* An error with id 0, then close. */
    LATE_FIRST,  /* An answer with a wrong id, then the right one. */
};

enum { SEEN_MAX = 32 };

struct node {
    const enum action *script; /* Borrowed; one a request, over all connections. */
    int listener;
    char address[32];
    pthread_t thread;
    /* What came. */
    uint32_t seen;
    char methods[SEEN_MAX][16];
    uint64_t sequences[SEEN_MAX]; /* Second half of `request`, 0 if none. */
    uint64_t deadlines[SEEN_MAX];
    char values[SEEN_MAX][64];
};

static void write_error(struct buf *out, const char *code)
{
    mp_write_map(out, 3);
    mp_write_text(out, "code");
    mp_write_text(out, code);
    mp_write_text(out, "message");
    mp_write_text(out, "a scripted error");
    mp_write_text(out, "unheard_of");
    mp_write_array(out, 0);
}

static void write_result(struct buf *out, const char *method, uint32_t parts)
{
    if (strcmp(method, "get") == 0) {
        mp_write_map(out, 3);
        mp_write_text(out, "siblings");
        mp_write_array(out, 1);
        mp_write_map(out, 3);
        mp_write_text(out, "value");
        mp_write_binary(out, slice_string("hello"));
        mp_write_text(out, "expires_ms");
        mp_write_nil(out);
        mp_write_text(out, "time_ms");
        mp_write_uint(out, 77);
        mp_write_text(out, "context");
        mp_write_binary(out, slice_string("CONTEXT"));
        mp_write_text(out, "copies");
        mp_write_uint(out, 3);
    } else if (strcmp(method, "mput") == 0) {
        mp_write_map(out, 1);
        mp_write_text(out, "results");
        mp_write_array(out, parts);
        for (uint32_t i = 0; i < parts; i++) {
            mp_write_map(out, 1);
            mp_write_text(out, i == 1 ? "error" : "result");
            if (i == 1) {
                write_error(out, "DISK_FULL");
            } else {
                mp_write_map(out, 1);
                mp_write_text(out, "got");
                mp_write_uint(out, i + 1);
            }
        }
    } else {
        mp_write_map(out, 1);
        mp_write_text(out, "got");
        mp_write_uint(out, 2);
    }
}

static void write_answer(struct buf *out, enum action action, uint64_t id, const char *method,
                         uint32_t parts)
{
    mp_write_array(out, 4);
    mp_write_uint(out, 1);
    mp_write_uint(out, action == REFUSE_ALL ? 0 : id);
    if (action == ANSWER || action == LATE_FIRST) {
        mp_write_nil(out);
        write_result(out, method, parts);
    } else {
        write_error(out, action == UNAVAILABLE ? "UNAVAILABLE" : "TOO_LARGE");
        mp_write_nil(out);
    }
}

/* Note what a request says; its id and how many items it has. */
static uint64_t note_request(struct node *node, struct slice bytes, uint32_t *ret_parts)
{
    struct mp_reader reader = mp_reader_of(bytes);
    uint32_t at = node->seen++;
    cr_assert_lt(at, SEEN_MAX);
    mp_read_array(&reader);
    mp_read_uint(&reader);
    uint64_t id = mp_read_uint(&reader);
    struct slice method = mp_read_bytes(&reader);
    memcpy(node->methods[at], method.data, method.size);
    uint32_t pairs = mp_read_map(&reader);
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice key = mp_read_bytes(&reader);
        if (slice_equal(key, slice_string("request"))) {
            mp_read_array(&reader);
            mp_read_uint(&reader);
            node->sequences[at] = mp_read_uint(&reader);
        } else if (slice_equal(key, slice_string("deadline_ms"))) {
            node->deadlines[at] = mp_read_uint(&reader);
        } else if (slice_equal(key, slice_string("value"))) {
            struct slice value = mp_read_bytes(&reader);
            memcpy(node->values[at], value.data, MIN(value.size, 63));
        } else if (slice_equal(key, slice_string("items"))) {
            *ret_parts = mp_read_array(&reader);
            for (uint32_t j = 0; j < *ret_parts; j++) {
                mp_skip(&reader);
            }
        } else {
            mp_skip(&reader);
        }
    }
    cr_assert(mp_finished(&reader));
    return id;
}

/* True to go on with this connection. */
static bool act(struct node *node, int fd, struct slice request)
{
    uint32_t parts = 0;
    enum action action = node->script[node->seen];
    uint64_t id = note_request(node, request, &parts);
    const char *method = node->methods[node->seen - 1];
    struct buf out = {0};
    if (action == LATE_FIRST) {
        write_answer(&out, ANSWER, id + 17, method, parts);
    }
    if (action == GARBAGE) {
        buf_append_byte(&out, 0xc1);
    } else if (action != SILENCE && action != CLOSE) {
        write_answer(&out, action, id, method, parts);
    }
    if (out.size > 0) {
        cr_assert_eq(send(fd, out.data, out.size, MSG_NOSIGNAL), (ssize_t)out.size);
    }
    buf_done(&out);
    return action != CLOSE && action != REFUSE_ALL;
}

static void serve(struct node *node, int fd)
{
    struct buf in = {0};
    bool open = true;
    while (open) {
        uint8_t *to = buf_reserve(&in, 65536);
        ssize_t got = recv(fd, to, 65536, 0);
        if (got <= 0) {
            break;
        }
        in.size += (size_t)got;
        size_t more = 0;
        while (open && in.size > 0 && more == 0) {
            struct mp_scan scan = {.limits = {8, 100000, 1 << 24}};
            cr_assert_eq(mp_scan(&scan, buf_slice(&in), &more), 0);
            if (more == 0) {
                open = act(node, fd, slice_of(in.data, scan.at));
                buf_consume(&in, scan.at);
            }
        }
    }
    buf_done(&in);
    close(fd);
}

static void *run_node(void *argument)
{
    struct node *node = argument;
    int fd;
    while ((fd = accept(node->listener, NULL, NULL)) >= 0) {
        serve(node, fd);
    }
    return NULL;
}

static int listen_anywhere(char *ret_address, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(ret_address, size, "127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

static void node_start(struct node *node, const enum action *script)
{
    *node = (struct node){.script = script};
    node->listener = listen_anywhere(node->address, sizeof(node->address));
    cr_assert_eq(listen(node->listener, 16), 0);
    cr_assert_eq(pthread_create(&node->thread, NULL, run_node, node), 0);
}

/* After the client is gone: its connections are closed, so the thread comes back to accept. */
static void node_stop(struct node *node)
{
    shutdown(node->listener, SHUT_RDWR);
    pthread_join(node->thread, NULL);
    close(node->listener);
}

static struct kvr_client *client_of(const char *first, const char *second)
{
    char list[80];
    struct kvr_client *client = NULL;
    snprintf(list, sizeof(list), "%s%s%s", first, second != NULL ? "," : "",
             second != NULL ? second : "");
    cr_assert_eq(kvr_client_new(list, &client, NULL), 0);
    return client;
}

static struct kvr_bytes text(const char *string)
{
    return (struct kvr_bytes){string, strlen(string)};
}

#endif
