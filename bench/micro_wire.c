/* Nanoseconds to encode and decode the messages of the way of a put and a get: the best of ten
 * rounds, on one thread. Usage: micro_wire [VALUE_BYTES], 100 by default. */
#include "base/error.h"
#include "data/hlc.h"
#include "data/object.h"
#include "wire/frame.h"
#include "wire/peer.h"
#include "wire/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 10, TIMES = 100000 };

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct slice object_make(struct slice value, struct buf *out)
{
    struct update update = {.dot = {0x123456789abcdefu, 70000},
                            .hlc = hlc_at(1700000000000u),
                            .policy = POLICY_NEWEST,
                            .blind = true,
                            .value = value};
    ASSERT(object_update(SLICE_NONE, &update, out, NULL) == 0);
    return buf_slice(out);
}

static void measure_message(const char *name, const struct message *message)
{
    struct arena arena = {0};
    struct buf frame = {0};
    double encode_best = 1e18, decode_best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < TIMES; i++) {
            buf_clear(&frame);
            ASSERT(message_encode(message, &frame) == 0);
        }
        double middle = now_ns();
        struct slice payload =
            slice_of(frame.data + FRAME_HEADER_SIZE, frame.size - FRAME_HEADER_SIZE);
        for (int i = 0; i < TIMES; i++) {
            struct message decoded;
            arena_reset(&arena);
            ASSERT(message_decode(payload, &arena, RANGES_MAX, &decoded) == 0);
        }
        encode_best = MIN(encode_best, (middle - start) / TIMES);
        decode_best = MIN(decode_best, (now_ns() - middle) / TIMES);
    }
    printf("%-12s %6zu bytes  encode %6.0f ns  decode %6.0f ns\n", name, frame.size, encode_best,
           decode_best);
    arena_done(&arena);
    buf_done(&frame);
}

/* A put as a client sends it. */
static void request_make(struct slice value, struct buf *out)
{
    mp_write_array(out, 4);
    mp_write_uint(out, 0);
    mp_write_uint(out, 123456);
    mp_write_text(out, "put");
    mp_write_map(out, 3);
    mp_write_text(out, "bucket");
    mp_write_text(out, "default");
    mp_write_text(out, "key");
    mp_write_binary(out, slice_string("user:0000012345"));
    mp_write_text(out, "value");
    mp_write_binary(out, value);
}

static void measure_rpc(struct slice value, struct slice object)
{
    struct arena arena = {0};
    struct buf request = {0}, response = {0};
    double decode_best = 1e18, answer_best = 1e18;
    request_make(value, &request);
    struct rpc_asked asked = {.method = METHOD_GET,
                              .bucket = slice_string("default"),
                              .key = slice_string("user:0000012345")};
    struct answer answer = {
        .needed = 2, .got = 2, .slots = 3, .copies = 3, .hlc = UINT64_MAX, .object = object};
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < TIMES; i++) {
            struct rpc_request decoded;
            struct mp_scan scan = rpc_scan();
            size_t more;
            arena_reset(&arena);
            ASSERT(mp_scan(&scan, buf_slice(&request), &more) == 0 && more == 0);
            ASSERT(rpc_decode(buf_slice(&request), &arena, VALUE_SIZE_MAX, &decoded) == 0);
        }
        double middle = now_ns();
        for (int i = 0; i < TIMES; i++) {
            arena_reset(&arena);
            buf_clear(&response);
            rpc_answer(1, &asked, &answer, &arena, &response);
        }
        decode_best = MIN(decode_best, (middle - start) / TIMES);
        answer_best = MIN(answer_best, (now_ns() - middle) / TIMES);
    }
    printf("%-12s %6zu bytes  scan and decode %6.0f ns\n", "put request", request.size,
           decode_best);
    printf("%-12s %6zu bytes  encode %6.0f ns\n", "get answer", response.size, answer_best);
    arena_done(&arena);
    buf_done(&request);
    buf_done(&response);
}

int main(int argc, char **argv)
{
    size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    struct buf bytes = {0}, object = {0};
    memset(buf_reserve(&bytes, size), 'v', size);
    bytes.size = size;
    object_make(buf_slice(&bytes), &object);

    struct message write = {.type = MESSAGE_WRITE};
    write.write.id = 123456789;
    write.write.range = (struct range_epoch){.range = 700, .epoch = 12};
    write.write.slot = 1;
    write.write.target = (struct node_id){1, 2};
    write.write.deadline = hlc_at(1700000005000u);
    write.write.bucket = slice_string("default");
    write.write.key = slice_string("user:0000012345");
    struct message read = write;
    read.type = MESSAGE_READ;
    write.write.object = buf_slice(&object);
    struct message reply = {.type = MESSAGE_REPLY};
    reply.reply.id = 123456789;
    reply.reply.range = write.write.range;
    reply.reply.hlc = hlc_at(1700000000001u);
    struct message reply_object = reply;
    reply_object.reply.object = buf_slice(&object);

    measure_message("WRITE", &write);
    measure_message("READ", &read);
    measure_message("REPLY", &reply);
    measure_message("REPLY object", &reply_object);
    measure_rpc(buf_slice(&bytes), buf_slice(&object));
    buf_done(&bytes);
    buf_done(&object);
    return 0;
}
