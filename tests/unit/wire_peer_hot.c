/* The quick codec of WRITE, READ, HINT and REPLY against the shapes: the same bytes for the same
 * struct, the same struct for the same bytes, and nothing accepted that the shapes refuse. */
#include "base/arena.h"
#include "base/error.h"
#include "base/prng.h"
#include "data/object.h"
#include "wire/peer_hot.h"
#include "wire/peer_shapes.h"

#include <criterion/criterion.h>

enum { RANGES = 1024, ROUNDS = 20000 };

/* Numbers of every width, the edges among them. */
static uint64_t random_number(struct prng *prng)
{
    uint64_t number = prng_next(prng) >> prng_below(prng, 64);
    return prng_below(prng, 4) == 0 ? 0 : number;
}

static struct slice random_bytes(struct prng *prng, uint64_t lowest, uint64_t highest)
{
    static uint8_t bytes[KEY_SIZE_MAX];
    return slice_of(bytes, lowest + prng_below(prng, highest - lowest + 1));
}

static struct range_epoch random_range(struct prng *prng)
{
    return (struct range_epoch){.range = (uint32_t)prng_below(prng, RANGES),
                                .fork = (uint32_t)random_number(prng),
                                .nonce = random_number(prng),
                                .epoch = random_number(prng)};
}

static struct slice random_object(struct prng *prng, struct buf *object)
{
    buf_clear(object);
    struct update update = {.dot = {1 + random_number(prng) / 2, 1 + random_number(prng) / 2},
                            .hlc = 1 + random_number(prng) / 4,
                            .policy = POLICY_NEWEST,
                            .blind = true,
                            .tombstone = prng_below(prng, 4) == 0};
    if (!update.tombstone)
        update.value = random_bytes(prng, 0, 600);
    cr_assert_eq(object_update(SLICE_NONE, &update, object, NULL), 0);
    return buf_slice(object);
}

static void random_message(struct prng *prng, struct buf *object, struct message *ret)
{
    static const enum message_type types[] = {MESSAGE_WRITE, MESSAGE_READ, MESSAGE_HINT,
                                              MESSAGE_REPLY};
    memset(ret, 0, sizeof(*ret));
    ret->type = types[prng_below(prng, ARRAY_SIZE(types))];
    struct slice bytes = prng_below(prng, 4) == 0 ? SLICE_NONE : random_object(prng, object);
    if (ret->type == MESSAGE_REPLY) {
        ret->reply.id = random_number(prng);
        ret->reply.range = random_range(prng);
        ret->reply.slot = (uint8_t)prng_below(prng, SLOTS_MAX);
        ret->reply.error = prng_below(prng, 8) == 0 ? ERR_BUSY : 0;
        ret->reply.hlc = random_number(prng);
        ret->reply.digest = random_number(prng);
        ret->reply.object = bytes;
        ret->reply.more = prng_below(prng, 8) == 0;
        ret->reply.has_record = prng_below(prng, 8) == 0;
        return;
    }
    ret->write.id = random_number(prng);
    ret->write.range = random_range(prng);
    ret->write.slot = (uint8_t)prng_below(prng, SLOTS_MAX);
    if (prng_below(prng, 4) > 0)
        ret->write.target = (struct node_id){prng_next(prng), prng_next(prng)};
    ret->write.deadline = random_number(prng);
    ret->write.sync = prng_below(prng, 2) == 0;
    ret->write.digest = prng_below(prng, 2) == 0;
    ret->write.repair = prng_below(prng, 2) == 0;
    ret->write.bucket = random_bytes(prng, 1, BUCKET_SIZE_MAX);
    ret->write.key = random_bytes(prng, 1, prng_below(prng, 8) == 0 ? KEY_SIZE_MAX : 40);
    ret->write.object = bytes;
    ret->write.hinted = prng_below(prng, 4) == 0;
    ret->write.stamp = random_number(prng);
}

static void shapes_write(const struct message *message, struct buf *out)
{
    const struct shape *shape = message_shapes[message->type];
    mp_write_array(out, 1 + shape->count);
    mp_write_uint(out, message->type);
    cr_assert_eq(shape_write(shape, message, out), 0);
}

static bool shapes_read(struct slice payload, struct arena *arena, struct message *ret)
{
    struct shape_reader reader = {mp_reader_of(payload), arena, RANGES};
    uint32_t count = mp_read_array(&reader.in);
    uint64_t type = mp_read_uint(&reader.in);
    if (reader.in.bad || type >= MESSAGE_TYPES || message_shapes[type] == NULL)
        return false;
    memset(ret, 0, sizeof(*ret));
    ret->type = (enum message_type)type;
    shape_read(&reader, message_shapes[type], count - 1, ret);
    return mp_finished(&reader.in);
}

Test(peer_hot, writes_what_the_shapes_write)
{
    struct buf object = {0}, quick = {0}, slow = {0};
    uint32_t taken = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct prng prng;
        struct message message;
        prng_init(&prng, seed);
        random_message(&prng, &object, &message);
        buf_clear(&quick);
        buf_clear(&slow);
        shapes_write(&message, &slow);
        if (!hot_write(&message, &quick)) {
            cr_assert(message.reply.has_record || message.type != MESSAGE_REPLY);
            cr_assert_eq(quick.size, 0);
            continue;
        }
        taken++;
        cr_assert(slice_equal(buf_slice(&quick), buf_slice(&slow)), "seed %lu", seed);
    }
    cr_assert(taken > ROUNDS * 9 / 10);
    buf_done(&object);
    buf_done(&quick);
    buf_done(&slow);
}

Test(peer_hot, reads_what_the_shapes_read)
{
    struct buf object = {0}, bytes = {0};
    struct arena arena = {0};
    uint32_t taken = 0, damaged = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct prng prng;
        struct message message, quick, slow;
        prng_init(&prng, seed);
        random_message(&prng, &object, &message);
        buf_clear(&bytes);
        arena_reset(&arena);
        shapes_write(&message, &bytes);
        /* On a copy of its own size, so that the sanitizer sees a read past it. */
        bool harm = seed % 2 == 0;
        size_t size =
            harm && prng_below(&prng, 3) == 0 ? prng_below(&prng, bytes.size) : bytes.size;
        uint8_t *exact = mem_alloc(size + (size == 0));
        memcpy(exact, bytes.data, size);
        for (uint64_t i = prng_below(&prng, 4); harm && i > 0 && size > 0; i--)
            exact[prng_below(&prng, MIN(size, (size_t)120))] = (uint8_t)prng_next(&prng);
        if (hot_read(slice_of(exact, size), RANGES, &quick)) {
            taken++;
            damaged += harm;
            cr_assert(shapes_read(slice_of(exact, size), &arena, &slow), "seed %lu", seed);
            cr_assert_eq(memcmp(&quick, &slow, sizeof(quick)), 0, "seed %lu", seed);
        } else if (!harm) {
            cr_assert(message.type == MESSAGE_REPLY &&
                      (message.reply.error != 0 || message.reply.has_record));
        }
        mem_free(exact);
    }
    cr_assert(taken > ROUNDS / 2 && damaged > 100);
    arena_done(&arena);
    buf_done(&object);
    buf_done(&bytes);
}
