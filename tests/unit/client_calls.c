/* The client against a scripted node: what it sends, what it never sends twice, where it goes on.
 */
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

/* An address where nobody listens. */
static void dead_address(char *ret_address, size_t size)
{
    close(listen_anywhere(ret_address, size));
}

Test(client, a_get_brings_value_and_context)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_answer answer;
    cr_assert_eq(kvr_get(client, text("k"), NULL, &answer), 0);
    cr_assert_eq(answer.siblings_count, 1);
    cr_assert_eq(answer.siblings[0].value.size, 5);
    cr_assert_eq(memcmp(answer.siblings[0].value.data, "hello", 5), 0);
    cr_assert_eq(answer.siblings[0].time_ms, 77);
    cr_assert_eq(answer.context.size, 7);
    cr_assert_eq(answer.copies, 3);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, bytes_of_an_answer_may_go_into_the_next_call)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_answer answer;
    cr_assert_eq(kvr_get(client, text("k"), NULL, &answer), 0);
    struct kvr_options options = {.context = answer.context};
    cr_assert_eq(kvr_put(client, text("k"), answer.siblings[0].value, &options, &answer), 0);
    cr_assert_str_eq(node.values[1], "hello");
    cr_assert_eq(answer.got, 2);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, a_dead_node_is_passed_over)
{
    struct node node;
    char dead[32];
    dead_address(dead, sizeof(dead));
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(dead, node.address);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    cr_assert_str_eq(kvr_node(client), node.address);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, no_node_at_all_is_unavailable_at_once)
{
    char dead[32];
    dead_address(dead, sizeof(dead));
    struct kvr_client *client = client_of(dead, NULL);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_UNAVAILABLE);
    cr_assert(strstr(kvr_last_error(client)->message, dead) != NULL);
    cr_assert_gt(strlen(kvr_last_error(client)->advice), 10);
    kvr_client_free(client);
}

Test(client, unavailable_at_one_node_is_tried_at_the_next)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){UNAVAILABLE, END_SCRIPT});
    node_start(&second, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    cr_assert_eq(first.seen, 1);
    cr_assert_eq(second.seen, 1);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, a_nodes_error_stands_when_the_others_cannot_be_reached)
{
    struct node node;
    char dead[32];
    dead_address(dead, sizeof(dead));
    node_start(&node, (enum action[]){UNAVAILABLE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, dead);
    cr_assert_eq(kvr_get(client, text("k"), NULL, &(struct kvr_answer){0}), KVR_UNAVAILABLE);
    cr_assert_str_eq(kvr_last_error(client)->message, "a scripted error");
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, a_put_that_may_have_arrived_is_not_sent_again)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){CLOSE, END_SCRIPT});
    node_start(&second, (enum action[]){ANSWER, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_TIMEOUT);
    cr_assert_eq(second.seen, 0);
    cr_assert_str_eq(kvr_last_error(client)->node, first.address);
    /* The next one finds its way. */
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    cr_assert_eq(second.seen, 1);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, a_put_with_retries_goes_to_the_same_node_under_the_same_name)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){CLOSE, CLOSE, ANSWER, ANSWER, END_SCRIPT});
    node_start(&second, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    struct kvr_options options = {.retries = 2};
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), 0);
    cr_assert_eq(first.seen, 3);
    cr_assert_eq(second.seen, 0);
    cr_assert_neq(first.sequences[0], 0);
    cr_assert_eq(first.sequences[0], first.sequences[1]);
    cr_assert_eq(first.sequences[0], first.sequences[2]);
    cr_assert_eq(kvr_put(client, text("k"), text("w"), &options, NULL), 0);
    cr_assert_neq(first.sequences[3], first.sequences[0]);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, a_get_goes_on_at_another_node_with_the_time_that_is_left)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){CLOSE, END_SCRIPT});
    node_start(&second, (enum action[]){LATE_FIRST, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    struct kvr_answer answer;
    struct kvr_options options = {.deadline_ms = 9000};
    cr_assert_eq(kvr_get(client, text("k"), &options, &answer), 0);
    cr_assert_eq(answer.siblings_count, 1);
    cr_assert_leq(second.deadlines[0], 9000);
    cr_assert_gt(second.deadlines[0], 1000);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, silence_ends_at_the_deadline)
{
    struct node node;
    node_start(&node, (enum action[]){SILENCE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_options options = {.deadline_ms = 50};
    uint64_t start_us = client_now_us();
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), KVR_TIMEOUT);
    uint64_t took_ms = (client_now_us() - start_us) / 1000;
    cr_assert_geq(took_ms, 50);
    cr_assert_lt(took_ms, 5000);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, an_idle_connection_that_was_closed_is_made_anew)
{
    struct node node;
    node_start(&node, (enum action[]){REFUSE_ALL, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_TOO_LARGE);
    /* Wait until the close has arrived, else this would be about a put that is lost. */
    while (client->connection.fd >= 0 && !connection_stale(&client->connection)) {
        usleep(1000);
    }
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, nonsense_in_answer_to_a_put_leaves_its_outcome_unknown)
{
    struct node node;
    node_start(&node, (enum action[]){GARBAGE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_TIMEOUT);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, a_batch_has_an_answer_for_each_part)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_item items[3] = {{.key = text("a"), .value = text("1")},
                                {.key = text("b"), .value = text("2"), .ttl_ms = 5},
                                {.key = text("c"), .value = text("3"), .type = "text/plain"}};
    struct kvr_answer answers[3];
    cr_assert_eq(kvr_mput(client, items, 3, NULL, answers), 0);
    cr_assert_eq(answers[0].code, 0);
    cr_assert_eq(answers[0].got, 1);
    cr_assert_eq(answers[1].code, KVR_DISK_FULL);
    cr_assert_str_eq(answers[1].error->word, "DISK_FULL");
    cr_assert_eq(answers[2].got, 3);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, wrong_arguments_are_refused_without_a_node)
{
    char dead[32];
    struct kvr_client *client = NULL;
    struct kvr_error error;
    cr_assert_eq(kvr_client_new("host:0", &client, &error), KVR_BAD_REQUEST);
    cr_assert_eq(kvr_client_new("", &client, &error), KVR_BAD_REQUEST);
    cr_assert_eq(kvr_client_new("a,,b", &client, &error), KVR_BAD_REQUEST);
    cr_assert(strstr(error.message, "a,,b") != NULL);
    dead_address(dead, sizeof(dead));
    client = client_of(dead, NULL);
    struct kvr_options options = {.deadline_ms = 60001};
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), KVR_BAD_REQUEST);
    options = (struct kvr_options){.w = 8};
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), KVR_BAD_REQUEST);
    size_t size = 25u << 20;
    char *large = mem_zero(size);
    struct kvr_bytes value = {large, size};
    cr_assert_eq(kvr_put(client, text("k"), value, NULL, NULL), KVR_TOO_LARGE);
    mem_free(large);
    kvr_client_free(client);
}

Test(pipeline, answers_come_with_their_tags)
{
    struct node node;
    enum action script[21] = {0};
    for (int i = 0; i < 20; i++) {
        script[i] = i == 7 ? UNAVAILABLE : ANSWER;
    }
    node_start(&node, script);
    struct kvr_client *client = client_of(node.address, NULL);
    for (uint64_t tag = 0; tag < 20; tag++) {
        cr_assert_eq(kvr_submit_get(client, text("k"), NULL, 100 + tag), 0);
    }
    cr_assert_eq(kvr_get(client, text("k"), NULL, &(struct kvr_answer){0}), KVR_BAD_REQUEST);
    uint32_t seen = 0;
    struct kvr_completion completion;
    while (kvr_next(client, -1, &completion)) {
        cr_assert_lt(completion.tag - 100, 20);
        seen |= 1u << (completion.tag - 100);
        cr_assert_eq(completion.code, completion.tag == 107 ? KVR_UNAVAILABLE : 0);
        cr_assert_eq(completion.answer.siblings_count, completion.code == 0);
    }
    cr_assert_eq(seen, (1u << 20) - 1);
    cr_assert_eq(kvr_pending(client), 0);
    kvr_client_free(client);
    node_stop(&node);
}

Test(pipeline, a_broken_connection_ends_every_request)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, SILENCE, SILENCE, CLOSE, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_completion completion;
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), NULL, 0), 0);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, 0);
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), NULL, 1), 0);
    cr_assert_eq(kvr_submit_get(client, text("k"), NULL, 2), 0);
    cr_assert_eq(kvr_submit_delete(client, text("k"), NULL, 3), 0);
    int codes[4] = {0};
    while (kvr_next(client, -1, &completion)) {
        codes[completion.tag] = completion.code;
        cr_assert_str_eq(completion.error->node, node.address);
    }
    cr_assert_eq(codes[1], KVR_TIMEOUT);
    cr_assert_eq(codes[2], KVR_UNAVAILABLE);
    cr_assert_eq(codes[3], KVR_TIMEOUT);
    /* And the client goes on. */
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), NULL, 4), 0);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, 0);
    kvr_client_free(client);
    node_stop(&node);
}

Test(pipeline, next_does_not_wait_longer_than_told)
{
    struct node node;
    node_start(&node, (enum action[]){SILENCE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_completion completion;
    struct kvr_options options = {.deadline_ms = 100};
    cr_assert_not(kvr_next(client, -1, &completion));
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), &options, 9), 0);
    cr_assert_not(kvr_next(client, 0, &completion));
    cr_assert_not(kvr_next(client, 20, &completion));
    cr_assert_eq(kvr_pending(client), 1);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, KVR_TIMEOUT);
    cr_assert_eq(completion.tag, 9);
    kvr_client_free(client);
    node_stop(&node);
}

Test(pipeline, a_batch_is_taken_apart_after_its_completion)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_item items[3] = {{.key = text("a")}, {.key = text("b")}, {.key = text("c")}};
    struct kvr_answer answers[3];
    struct kvr_completion completion;
    cr_assert_eq(kvr_submit_mput(client, items, 3, NULL, 1), 0);
    cr_assert_eq(kvr_completion_parts(client, answers, 3), KVR_BAD_REQUEST);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, 0);
    cr_assert_eq(kvr_completion_parts(client, answers, 2), KVR_BAD_REQUEST);
    cr_assert_eq(kvr_completion_parts(client, answers, 3), 0);
    cr_assert_eq(answers[1].code, KVR_DISK_FULL);
    cr_assert_eq(answers[2].got, 3);
    kvr_client_free(client);
    node_stop(&node);
}
