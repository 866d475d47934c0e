/* Every member of every message must travel: the lists in peer_shapes.c are held against the
 * structs, byte by byte, and random messages of every type go there and back. */
#include "base/error.h"
#include "base/prng.h"
#include "data/object.h"
#include "wire/frame.h"
#include "wire/peer.h"
#include "wire/peer_shapes.h"

#include <criterion/criterion.h>

enum { RANGES = 1024 };

/* --------------------------------------------- Which bytes of the struct does a shape cover? */

static size_t field_size(const struct field *field)
{
    switch (field->kind) {
    case FIELD_U8:
    case FIELD_BOOL:
        return 1;
    case FIELD_U16:
        return 2;
    case FIELD_U32:
    case FIELD_RANGE:
    case FIELD_ERROR:
        return 4;
    case FIELD_U64:
    case FIELD_LIST:
        return 8;
    case FIELD_ID:
    case FIELD_BYTES:
    case FIELD_OBJECT:
        return 16;
    case FIELD_WORDS:
        return 8 * field->high;
    case FIELD_RECORD:
    case FIELD_RECORD_MAYBE:
        return sizeof(struct range_record);
    case FIELD_MEMBER:
        return sizeof(struct member);
    case FIELD_DEPARTURE:
        return sizeof(struct departure);
    case FIELD_SETTING:
        return sizeof(struct setting);
    case FIELD_SHAPE:
        return field->shape->size;
    }
    return 0;
}

/* What lies inside lists and shapes is checked apart. */
static void cover(const struct shape *shape, uint8_t *covered)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct field *field = &shape->fields[i];
        memset(covered + field->offset, 1, field_size(field));
        if (field->kind == FIELD_LIST)
            memset(covered + field->other, 1, 4);
    }
}

#ifndef __clang__ /* gcc alone can tell which bytes are padding. */
static void check_cover(const char *name, const struct shape *shape, size_t offset,
                        const uint8_t *needed, size_t size)
{
    uint8_t covered[sizeof(struct message)] = {0};
    cover(shape, covered);
    for (size_t i = 0; i < size; i++)
        cr_assert(!needed[i] || covered[offset + i], "byte %zu of %s travels nowhere", i, name);
}

#define CHECK_COVER(type, member)                                                                  \
    do {                                                                                           \
        __typeof__(((struct message *)0)->member) value;                                           \
        memset(&value, 1, sizeof value);                                                           \
        __builtin_clear_padding(&value);                                                           \
        check_cover(#member, message_shapes[type], offsetof(struct message, member),               \
                    (const uint8_t *)&value, sizeof value);                                        \
    } while (0)

/* By the lists that stand in messages: which field of which message leads to the element. */
static const struct shape *element(enum message_type type, size_t offset)
{
    for (uint32_t i = 0; i < message_shapes[type]->count; i++) {
        if (message_shapes[type]->fields[i].offset == offset)
            return message_shapes[type]->fields[i].shape;
    }
    return NULL;
}

#define CHECK_ELEMENT(type, member, element_type)                                                  \
    do {                                                                                           \
        element_type value;                                                                        \
        memset(&value, 1, sizeof value);                                                           \
        __builtin_clear_padding(&value);                                                           \
        check_cover(#element_type, element(type, offsetof(struct message, member)), 0,             \
                    (const uint8_t *)&value, sizeof value);                                        \
    } while (0)

Test(peer, every_member_of_every_message_travels)
{
    CHECK_COVER(MESSAGE_HELLO, hello);
    CHECK_COVER(MESSAGE_WELCOME, welcome);
    CHECK_COVER(MESSAGE_REFUSED, refused);
    CHECK_COVER(MESSAGE_SYN, syn);
    CHECK_COVER(MESSAGE_ACK, ack);
    CHECK_COVER(MESSAGE_ACK2, ack2);
    CHECK_COVER(MESSAGE_BULK, bulk);
    CHECK_COVER(MESSAGE_PING, ping);
    CHECK_COVER(MESSAGE_PONG, ping);
    for (int type = MESSAGE_OFFER; type <= MESSAGE_REJECT; type++)
        CHECK_COVER(type, offer);
    for (int type = MESSAGE_PREPARE; type <= MESSAGE_INSTALLED; type++)
        CHECK_COVER(type, vote);
    for (int type = MESSAGE_CHUNK; type <= MESSAGE_COMPLETE; type++)
        CHECK_COVER(type, chunk);
    CHECK_COVER(MESSAGE_FORWARD, forward);
    CHECK_COVER(MESSAGE_ANSWER, answer);
    CHECK_COVER(MESSAGE_WRITE, write);
    CHECK_COVER(MESSAGE_READ, write);
    CHECK_COVER(MESSAGE_SCAN, scan);
    CHECK_COVER(MESSAGE_REPLY, reply);
    CHECK_COVER(MESSAGE_COMPARE, compare);
    CHECK_COVER(MESSAGE_OBJECTS, compare);
    CHECK_COVER(MESSAGE_LEAVES, compare);
    CHECK_COVER(MESSAGE_ROOTS, roots);
    CHECK_COVER(MESSAGE_HANDED, forward);
    CHECK_COVER(MESSAGE_ANSWERED, answer);
    CHECK_COVER(MESSAGE_NEWS, news);
    CHECK_ELEMENT(MESSAGE_NEWS, news.peers, struct shard_peer);
    CHECK_ELEMENT(MESSAGE_ROOTS, roots.nodes, struct tree_node);
    CHECK_ELEMENT(MESSAGE_COMPARE, compare.nodes, struct tree_node);
    CHECK_ELEMENT(MESSAGE_HELLO, hello.epochs, struct range_epoch);
    CHECK_ELEMENT(MESSAGE_ACK, ack.digests, struct digest);
    CHECK_ELEMENT(MESSAGE_SYN, syn.loads, struct load);
    CHECK_ELEMENT(MESSAGE_PING, ping.load, struct load);
    CHECK_ELEMENT(MESSAGE_CHUNK, chunk.entries, struct entry);
    for (int type = 1; type < MESSAGE_TYPES; type++)
        cr_assert_not_null(message_shapes[type], "type %d", type);
}
#endif

/* ------------------------------------------------------------------------- Random messages. */

static struct slice random_bytes(struct prng *prng, struct arena *arena, uint64_t low,
                                 uint64_t high)
{
    uint64_t size = MIN(low + prng_below(prng, 40), high);
    uint8_t *bytes = arena_alloc(arena, size);
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)('a' + prng_below(prng, 26));
    return slice_of(bytes, size);
}

static struct node_id random_id(struct prng *prng)
{
    return (struct node_id){prng_next(prng), prng_next(prng)};
}

static struct slice random_object(struct prng *prng, struct arena *arena)
{
    struct buf one = {0}, two = {0};
    struct slice object = SLICE_NONE;
    for (uint64_t versions = 1 + prng_below(prng, 3); versions > 0; versions--) {
        struct update update = {.dot = {prng_next(prng), 1 + prng_below(prng, 100)},
                                .hlc = prng_next(prng) >> 2,
                                .policy = POLICY_SIBLINGS,
                                .tombstone = prng_below(prng, 5) == 0,
                                .blind = true};
        if (!update.tombstone)
            update.value = random_bytes(prng, arena, 0, 100);
        buf_clear(&two);
        cr_assert_eq(object_update(buf_slice(&one), &update, &two, NULL), 0);
        struct buf swap = one;
        one = two;
        two = swap;
    }
    object = arena_copy(arena, buf_slice(&one));
    buf_done(&one);
    buf_done(&two);
    return object;
}

static struct range_record random_record(struct prng *prng)
{
    struct range_record record = {.range = (uint32_t)prng_below(prng, RANGES),
                                  .epoch = 1 + prng_below(prng, 1000),
                                  .slots_count = (uint8_t)(1 + prng_below(prng, SLOTS_MAX))};
    if (prng_below(prng, 4) == 0) {
        record.fork = 1 + (uint32_t)prng_below(prng, 5);
        record.nonce = prng_next(prng) | 1;
    }
    for (uint8_t i = 0; i < record.slots_count; i++)
        record.slots[i] =
            (struct slot){.number = i, .stage = STAGE_STABLE, .owner = random_id(prng)};
    if (prng_below(prng, 2) == 0) {
        record.slots[0].stage = STAGE_JOINT;
        record.slots[0].target = random_id(prng);
        record.transfer = prng_next(prng) | 1;
    }
    return record;
}

static void fill(struct prng *prng, struct arena *arena, const struct shape *shape, void *value);

static void fill_field(struct prng *prng, struct arena *arena, const struct field *field,
                       void *value)
{
    uint8_t *member = (uint8_t *)value + field->offset;
    uint64_t number = prng_next(prng) >> prng_below(prng, 64);
    if (field->high < UINT64_MAX && field->kind <= FIELD_U64)
        number = field->low + number % (field->high - field->low + 1);
    switch (field->kind) {
    case FIELD_U8:
        *(uint8_t *)member = (uint8_t)number;
        break;
    case FIELD_U16:
        *(uint16_t *)member = (uint16_t)number;
        break;
    case FIELD_U32:
        *(uint32_t *)member = (uint32_t)number;
        break;
    case FIELD_U64:
        *(uint64_t *)member = number;
        break;
    case FIELD_RANGE:
        *(uint32_t *)member = (uint32_t)(number % RANGES);
        break;
    case FIELD_BOOL:
        *(bool *)member = number & 1;
        break;
    case FIELD_ERROR:
        *(int *)member = -(int)(number % 24);
        break;
    case FIELD_ID:
        *(struct node_id *)member = number & 1 ? random_id(prng) : NODE_NONE;
        break;
    case FIELD_BYTES:
        *(struct slice *)member = random_bytes(prng, arena, field->low, field->high);
        break;
    case FIELD_OBJECT:
        *(struct slice *)member = random_object(prng, arena);
        break;
    case FIELD_WORDS:
        for (uint64_t i = 0; i < field->high; i++)
            ((uint64_t *)member)[i] = prng_next(prng);
        break;
    case FIELD_RECORD:
    case FIELD_RECORD_MAYBE:
        *(struct range_record *)member = random_record(prng);
        break;
    case FIELD_MEMBER:
        *(struct member *)member =
            (struct member){.id = random_id(prng),
                            .generation = 1 + prng_below(prng, 1000),
                            .version = 1 + prng_below(prng, 1000),
                            .status = (enum member_status)prng_below(prng, 3),
                            .capacity = 1 + (uint32_t)prng_below(prng, 1000),
                            .protocol = PEER_PROTOCOL,
                            .name = random_bytes(prng, arena, 1, NAME_SIZE_MAX),
                            .zone = random_bytes(prng, arena, 0, NAME_SIZE_MAX),
                            .peer = slice_string("10.0.0.1:7400"),
                            .client = slice_string("10.0.0.1:7379"),
                            .http = slice_string("10.0.0.1:7380")};
        break;
    case FIELD_DEPARTURE:
        *(struct departure *)member = (struct departure){.id = random_id(prng),
                                                         .kind = DEPARTURE_REMOVED,
                                                         .by = random_id(prng),
                                                         .nonce = prng_next(prng)};
        break;
    case FIELD_SETTING:
        *(struct setting *)member = (struct setting){.name = random_bytes(prng, arena, 1, 100),
                                                     .counter = 1 + prng_below(prng, 1000),
                                                     .writer = random_id(prng),
                                                     .value = random_bytes(prng, arena, 0, 1000)};
        break;
    case FIELD_SHAPE:
        fill(prng, arena, field->shape, member);
        break;
    case FIELD_LIST: {
        uint32_t count = (uint32_t)prng_below(prng, 5);
        uint8_t *elements = count == 0 ? NULL : arena_zero(arena, count * field->shape->size);
        for (uint32_t i = 0; i < count; i++)
            fill(prng, arena, field->shape, elements + i * field->shape->size);
        memcpy(member, &elements, sizeof elements);
        *(uint32_t *)((uint8_t *)value + field->other) = count;
    }
    }
}

static void fill(struct prng *prng, struct arena *arena, const struct shape *shape, void *value)
{
    for (uint32_t i = 0; i < shape->count; i++)
        fill_field(prng, arena, &shape->fields[i], value);
}

/* The rules between fields. */
static void reconcile(struct message *message)
{
    if (message->type == MESSAGE_WELCOME) {
        message->welcome.cluster.id = (struct node_id){1, 1};
        message->welcome.cluster.range_bits = 10;
    } else if (message->type >= MESSAGE_PREPARE && message->type <= MESSAGE_INSTALLED) {
        message->vote.record.range = message->vote.range.range;
    } else if (message->type == MESSAGE_WRITE || message->type == MESSAGE_READ ||
               message->type == MESSAGE_HINT) {
        message->write.record.range = message->write.range.range;
    } else if (message->type == MESSAGE_REPLY) {
        message->reply.record.range = message->reply.range.range;
    }
}

static void random_message(struct prng *prng, struct arena *arena, enum message_type type,
                           struct message *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->type = type;
    fill(prng, arena, message_shapes[type], ret);
    reconcile(ret);
}

static struct slice payload_of(const struct buf *frame)
{
    return slice_of(frame->data + FRAME_HEADER_SIZE, frame->size - FRAME_HEADER_SIZE);
}

Test(peer, random_messages_come_back_the_same)
{
    struct arena arena = {0};
    struct buf first = {0}, second = {0};
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        enum message_type type = (enum message_type)(1 + seed % (MESSAGE_TYPES - 1));
        struct message message, decoded;
        arena_reset(&arena);
        buf_clear(&first);
        buf_clear(&second);
        random_message(&prng, &arena, type, &message);
        cr_assert_eq(message_encode(&message, &first), 0);
        int status = message_decode(payload_of(&first), &arena, RANGES, &decoded);
        cr_assert_eq(status, 0, "seed %lu: %s: %s", seed, message_name(type), error_word(status));
        /* All members travel (see above), so equal bytes mean equal messages. */
        cr_assert_eq(message_encode(&decoded, &second), 0);
        cr_assert(slice_equal(buf_slice(&first), buf_slice(&second)), "seed %lu: %s", seed,
                  message_name(type));
    }
    arena_done(&arena);
    buf_done(&first);
    buf_done(&second);
}

Test(peer, a_write_is_read_as_written)
{
    struct arena arena = {0};
    struct prng prng;
    prng_init(&prng, 1);
    struct message message = {.type = MESSAGE_WRITE}, decoded;
    message.write.id = 77;
    message.write.range = (struct range_epoch){.range = 5, .epoch = 9};
    message.write.slot = 2;
    message.write.target = (struct node_id){1, 2};
    message.write.deadline = 1ull << 60;
    message.write.sync = true;
    message.write.bucket = slice_string("default");
    message.write.key = slice_string("k");
    message.write.object = random_object(&prng, &arena);
    struct buf frame = {0};
    cr_assert_eq(message_encode(&message, &frame), 0);
    cr_assert_eq(message_decode(payload_of(&frame), &arena, RANGES, &decoded), 0);
    cr_assert_eq(decoded.type, MESSAGE_WRITE);
    cr_assert_eq(decoded.write.id, 77);
    cr_assert_eq(decoded.write.range.range, 5);
    cr_assert_eq(decoded.write.range.epoch, 9);
    cr_assert_eq(decoded.write.slot, 2);
    cr_assert(id_equal(decoded.write.target, message.write.target));
    cr_assert_eq(decoded.write.deadline, 1ull << 60);
    cr_assert(decoded.write.sync && !decoded.write.digest && !decoded.write.has_record);
    cr_assert(slice_equal(decoded.write.bucket, slice_string("default")));
    cr_assert(slice_equal(decoded.write.key, slice_string("k")));
    cr_assert(slice_equal(decoded.write.object, message.write.object));
    buf_done(&frame);
    arena_done(&arena);
}

Test(peer, later_versions_may_add_fields_and_types)
{
    struct arena arena = {0};
    struct message decoded;
    /* REFUSED with error, detail and two fields of a later version. */
    struct slice grown = slice_of("\x95\x03\xf0\xc4\x02no\x07\x91\xa1x", 11);
    cr_assert_eq(message_decode(grown, &arena, RANGES, &decoded), 0);
    cr_assert_eq(decoded.refused.error, ERR_REFUSED);
    cr_assert(slice_equal(decoded.refused.detail, slice_string("no")));
    cr_assert_eq(message_decode(slice_of("\x92\x7f\xc0", 3), &arena, RANGES, &decoded),
                 ERR_UNKNOWN_METHOD);
    /* Too few fields, and bytes after the end. */
    cr_assert_eq(message_decode(slice_of("\x92\x03\xf0", 3), &arena, RANGES, &decoded),
                 ERR_CORRUPT);
    cr_assert_eq(
        message_decode(slice_of("\x93\x03\xf0\xc4\x02no\xc0", 8), &arena, RANGES, &decoded),
        ERR_CORRUPT);
    arena_done(&arena);
}

Test(peer, what_breaks_a_rule_is_refused)
{
    struct arena arena = {0};
    struct buf frame = {0};
    struct prng prng;
    prng_init(&prng, 3);
    struct message good, bad, decoded;
#define REFUSED_WHEN(of_type, change)                                                              \
    do {                                                                                           \
        random_message(&prng, &arena, of_type, &good);                                             \
        bad = good;                                                                                \
        change;                                                                                    \
        buf_clear(&frame);                                                                         \
        cr_assert_eq(message_encode(&bad, &frame), 0);                                             \
        cr_assert_eq(message_decode(payload_of(&frame), &arena, RANGES, &decoded), ERR_CORRUPT,    \
                     #change);                                                                     \
    } while (0)
    REFUSED_WHEN(MESSAGE_WRITE, bad.write.range.range = bad.write.record.range = RANGES);
    REFUSED_WHEN(MESSAGE_WRITE, bad.write.record.range ^= 1);
    REFUSED_WHEN(MESSAGE_WRITE, bad.write.slot = SLOTS_MAX);
    REFUSED_WHEN(MESSAGE_WRITE, bad.write.key = SLICE_NONE);
    REFUSED_WHEN(MESSAGE_WRITE, bad.write.object = SLICE_NONE);
    REFUSED_WHEN(MESSAGE_HINT, bad.write.object = SLICE_NONE);
    REFUSED_WHEN(MESSAGE_HINT, bad.write.record.range ^= 1);
    REFUSED_WHEN(MESSAGE_WRITE, bad.write.object = slice_string("not an object"));
    REFUSED_WHEN(MESSAGE_WRITE, (bad.write.has_record = true, bad.write.record.epoch = 0));
    REFUSED_WHEN(MESSAGE_PROPOSE, bad.vote.record.epoch = 0);
    REFUSED_WHEN(MESSAGE_CHOSEN, bad.vote.record.slots[0].number = SLOTS_MAX);
    REFUSED_WHEN(MESSAGE_WELCOME, bad.welcome.cluster.range_bits = 17);
    REFUSED_WHEN(MESSAGE_WELCOME, bad.welcome.cluster.copies = 0);
    REFUSED_WHEN(MESSAGE_WELCOME, bad.welcome.cluster.id = NODE_NONE);
    REFUSED_WHEN(MESSAGE_FORWARD, bad.forward.request.method = 9);
    REFUSED_WHEN(MESSAGE_REFUSED, bad.refused.error = 1);
#undef REFUSED_WHEN
    /* The ranges of a WELCOME are bounded by the cluster that it names. */
    random_message(&prng, &arena, MESSAGE_WELCOME, &good);
    struct range_record record = random_record(&prng);
    record.range = 64;
    good.welcome.records = &record;
    good.welcome.records_count = 1;
    good.welcome.cluster.range_bits = 6;
    buf_clear(&frame);
    cr_assert_eq(message_encode(&good, &frame), 0);
    cr_assert_eq(message_decode(payload_of(&frame), &arena, RANGES_MAX, &decoded), ERR_CORRUPT);
    buf_done(&frame);
    arena_done(&arena);
}

Test(peer, a_damaged_payload_never_harms)
{
    struct arena arena = {0};
    struct buf frame = {0};
    uint32_t accepted = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct message message, decoded;
        arena_reset(&arena);
        buf_clear(&frame);
        random_message(&prng, &arena, (enum message_type)(1 + seed % (MESSAGE_TYPES - 1)),
                       &message);
        cr_assert_eq(message_encode(&message, &frame), 0);
        struct slice payload = payload_of(&frame);
        /* On a copy of its own size, so that the sanitizer sees a read past it. */
        size_t size = prng_below(&prng, 3) == 0 ? prng_below(&prng, payload.size) : payload.size;
        uint8_t *bytes = malloc(size + 1);
        memcpy(bytes, payload.data, size);
        for (uint64_t i = prng_below(&prng, 4); i > 0 && size > 0; i--)
            bytes[prng_below(&prng, size)] = (uint8_t)prng_next(&prng);
        uint8_t *exact = realloc(bytes, size > 0 ? size : 1);
        accepted += message_decode(slice_of(exact, size), &arena, RANGES, &decoded) == 0;
        free(exact);
    }
    cr_assert(accepted > 0 && accepted < 3000);
    arena_done(&arena);
    buf_done(&frame);
}

Test(peer, a_list_past_its_bound_is_not_sent)
{
    struct message message = {.type = MESSAGE_HELLO};
    struct buf out = {0};
    buf_append(&out, slice_string("before"));
    message.hello.self.id = (struct node_id){1, 1};
    message.hello.epochs_count = RANGES_MAX + 1;
    cr_assert_eq(message_encode(&message, &out), ERR_TOO_LARGE);
    cr_assert(slice_equal(buf_slice(&out), slice_string("before")));
    buf_done(&out);
}
