/* Well-formed messages out of a fuzzer's bytes: each field of a shape is drawn within its type,
 * from values at the edges, from what the node itself has sent, and from what would make sense. */
#ifndef DRAW_H
#define DRAW_H

#include "base/error.h"
#include "data/hlc.h"
#include "data/plan.h"
#include "wire/peer_shapes.h"

enum { RECENT = 64, DRAWN_NODES = 7, DRAWN_KEYS = 8 };

struct draw {
    const uint8_t *data;
    size_t size;
    size_t at;
    struct arena arena;      /* Owned. What is drawn lies here until the next message. */
    uint64_t recent[RECENT]; /* Numbers that the node has sent: ids, nonces, epochs. */
    uint32_t recent_next;
    uint64_t wall_ms;
    uint32_t ranges;
    const struct ring *ring; /* The node's own. */
};

static inline bool draw_more(const struct draw *draw)
{
    return draw->at < draw->size;
}

/* 0 once all bytes are used up. */
static inline uint8_t draw_byte(struct draw *draw)
{
    return draw->at < draw->size ? draw->data[draw->at++] : 0;
}

static inline uint32_t draw_below(struct draw *draw, uint32_t bound)
{
    return draw_byte(draw) % bound;
}

/* Node 0 is the one under test. */
static inline struct node_id draw_node_of(uint32_t number)
{
    return (struct node_id){(uint64_t)(number + 1) << 60 | number, number + 1};
}

static inline struct node_id draw_node(struct draw *draw)
{
    return draw_node_of(draw_below(draw, DRAWN_NODES));
}

/* Who departed: seldom the node under test, for that is its end. */
static inline struct node_id draw_gone(struct draw *draw)
{
    return draw_node_of(draw_below(draw, 8 * DRAWN_NODES) == 0 ? 0 : DRAWN_NODES - 1);
}

static inline uint64_t draw_number(struct draw *draw)
{
    uint8_t what = draw_byte(draw);
    if (what < 64)
        return draw->recent[what % RECENT];
    if (what < 160)
        return what - 64u;
    if (what < 176)
        return UINT64_MAX - (what & 3);
    if (what < 208)
        return hlc_at(draw->wall_ms - 1000 + (uint64_t)draw_byte(draw) * 100);
    if (what < 224)
        return 1ull << (draw_byte(draw) & 63);
    return draw_byte(draw) * 0x9e3779b97f4a7c15u;
}

static inline uint64_t draw_within(struct draw *draw, uint64_t low, uint64_t high)
{
    uint64_t number = draw_number(draw);
    if (number >= low && number <= high)
        return number;
    return high - low == UINT64_MAX ? number : low + number % (high - low + 1);
}

static inline struct slice draw_copy(struct draw *draw, const void *bytes, size_t size)
{
    return arena_copy(&draw->arena, slice_of(bytes, size));
}

static inline struct slice draw_key(struct draw *draw)
{
    char text[2] = {'k', (char)('0' + draw_below(draw, DRAWN_KEYS))};
    return draw_copy(draw, text, sizeof(text));
}

static inline struct slice draw_bytes(struct draw *draw, uint64_t low, uint64_t high)
{
    static const char *const words[] = {"", "default", "bucket/b", "plan", "1", "0.5", "-3", "n:1"};
    struct slice word = slice_string(words[draw_below(draw, ARRAY_SIZE(words))]);
    if (draw_below(draw, 4) == 0)
        word = draw_key(draw);
    if (word.size < low)
        word = slice_string("default");
    return draw_copy(draw, word.data, MIN(word.size, (size_t)high));
}

/* One or two versions of a few actors, stamped about now, mostly. */
static inline struct slice draw_object(struct draw *draw)
{
    struct buf object = {0};
    for (uint32_t times = 1 + draw_below(draw, 2); times > 0; times--) {
        struct update update = {
            .dot = {1 + draw_below(draw, 4), 1 + draw_below(draw, 64)},
            .hlc = draw_below(draw, 4) > 0 ? hlc_at(draw->wall_ms) : draw_number(draw) >> 1,
            .tombstone = draw_below(draw, 4) == 0,
            .policy = (enum policy)draw_below(draw, 3),
            .ttl_ms = draw_below(draw, 4) == 0 ? draw_byte(draw) : 0,
            .blind = true,
        };
        if (!update.tombstone)
            update.value = draw_bytes(draw, 0, 16);
        struct buf next = {0};
        if (object_update(buf_slice(&object), &update, &next, NULL) == 0) {
            buf_done(&object);
            object = next;
        } else {
            buf_done(&next);
        }
    }
    struct slice copy = draw_copy(draw, object.data, object.size);
    buf_done(&object);
    return copy;
}

/* A record of RANGE, well formed mostly, of nodes next to each other. */
static inline struct range_record draw_record(struct draw *draw, uint32_t range)
{
    struct range_record record = {.range = range, .epoch = 1};
    if (range < draw->ranges && draw_below(draw, 4) > 0) {
        record = *ring_get(draw->ring, range);
        record.epoch += draw_below(draw, 3);
        if (draw_below(draw, 4) == 0)
            return record;
    } else {
        record.fork = draw_below(draw, 2);
        record.nonce = record.fork == 0 ? 0 : draw_number(draw);
        record.epoch = MAX(draw_number(draw), 1ull);
    }
    uint32_t first = draw_byte(draw);
    record.slots_count = (uint8_t)(1 + draw_below(draw, 5));
    record.former_count = 0;
    record.transfer = 0;
    for (uint32_t i = 0; i < record.slots_count; i++)
        record.slots[i] =
            (struct slot){.number = (uint8_t)i, .owner = draw_node_of((first + i) % DRAWN_NODES)};
    struct slot *slot = &record.slots[draw_below(draw, record.slots_count)];
    slot->stage =
        draw_below(draw, 2) == 0 ? STAGE_STABLE : (enum stage)draw_below(draw, STAGE_COUNT);
    if (slot->stage != STAGE_STABLE && slot->stage != STAGE_FENCE)
        slot->target = draw_node_of((first + 5) % DRAWN_NODES);
    if (slot->stage == STAGE_LEARN)
        slot->owner = NODE_NONE;
    if (slot->stage != STAGE_STABLE)
        record.transfer = MAX(draw_number(draw), 1ull);
    if (draw_below(draw, 4) == 0)
        record.former[record.former_count++] = draw_node_of((first + 6) % DRAWN_NODES);
    if (!record_check(&record, draw->ranges)) {
        record.transfer = 0;
        if (!record_check(&record, draw->ranges))
            record.former_count = 0;
    }
    return record;
}

static inline struct member draw_member(struct draw *draw)
{
    return (struct member){.id = draw_node(draw),
                           .generation = draw_number(draw),
                           .version = MAX(draw_number(draw), 1ull),
                           .status = (enum member_status)draw_below(draw, 3),
                           .capacity = draw_byte(draw),
                           .protocol = 1,
                           .name = draw_key(draw),
                           .zone = draw_key(draw),
                           .peer = draw_key(draw),
                           .client = draw_key(draw),
                           .http = draw_key(draw)};
}

static inline struct slice draw_plan(struct draw *draw)
{
    struct plan_move moves[2];
    struct plan plan = {.id = 1 + draw_number(draw) % 1000, .count = 1 + draw_below(draw, 2)};
    plan.state = (enum plan_state)(draw_below(draw, 6) % 3);
    plan.moves = moves;
    uint32_t range = draw_below(draw, draw->ranges);
    for (uint32_t i = 0; i < plan.count; i++) {
        moves[i] = (struct plan_move){range, (uint8_t)draw_below(draw, 4), draw_node(draw),
                                      draw_node(draw)};
        if (draw_below(draw, 4) == 0)
            moves[i].from = NODE_NONE;
        else if (draw_below(draw, 4) == 0)
            moves[i].to = NODE_NONE;
    }
    struct buf out = {0};
    plan_encode(&plan, &out);
    struct slice copy = draw_copy(draw, out.data, out.size);
    buf_done(&out);
    return copy;
}

static inline struct setting draw_setting(struct draw *draw)
{
    bool plan = draw_below(draw, 2) == 0;
    return (struct setting){
        .name = plan ? slice_string("plan") : draw_bytes(draw, 1, 128),
        .counter = MAX(draw_number(draw), 1ull),
        .writer = draw_node(draw),
        .value = plan ? draw_plan(draw) : draw_bytes(draw, 0, 16),
    };
}

static inline void draw_shape(struct draw *draw, const struct shape *shape, void *value);

static inline void draw_list(struct draw *draw, const struct field *field, uint8_t *base)
{
    uint32_t count = draw_below(draw, 4);
    uint8_t *items = arena_zero(&draw->arena, (count + 1) * field->shape->size);
    for (uint32_t i = 0; i < count; i++)
        draw_shape(draw, field->shape, items + i * field->shape->size);
    memcpy(base + field->offset, &items, sizeof(items));
    memcpy(base + field->other, &count, sizeof(count));
}

static inline void draw_integer(struct draw *draw, const struct field *field, void *at)
{
    uint64_t number;
    switch (field->kind) {
    case FIELD_U8:
        *(uint8_t *)at = (uint8_t)draw_within(draw, field->low, MIN(field->high, 255ull));
        break;
    case FIELD_U16:
        *(uint16_t *)at = (uint16_t)draw_within(draw, field->low, MIN(field->high, 65535ull));
        break;
    case FIELD_U32:
        number = draw_within(draw, field->low, MIN(field->high, (uint64_t)UINT32_MAX));
        memcpy(at, &(uint32_t){(uint32_t)number}, sizeof(uint32_t));
        break;
    case FIELD_U64:
        number = draw_within(draw, field->low, field->high);
        memcpy(at, &number, sizeof(number));
        break;
    case FIELD_RANGE:
        *(uint32_t *)at = draw_below(draw, draw->ranges);
        break;
    case FIELD_BOOL:
        *(bool *)at = draw_below(draw, 2) == 1;
        break;
    default: /* An error. */
        *(int *)at = draw_below(draw, 2) == 0 ? 0 : -(int)draw_below(draw, 25);
        break;
    }
}

static inline void draw_field(struct draw *draw, const struct field *field, uint8_t *base)
{
    void *at = base + field->offset;
    switch (field->kind) {
    case FIELD_ID:
        *(struct node_id *)at = draw_node(draw);
        break;
    case FIELD_BYTES:
        *(struct slice *)at = draw_bytes(draw, field->low, field->high);
        break;
    case FIELD_OBJECT:
        *(struct slice *)at = draw_below(draw, 4) > 0 ? draw_object(draw) : SLICE_NONE;
        break;
    case FIELD_WORDS:
        for (uint64_t i = 0; i < field->high; i++)
            ((uint64_t *)at)[i] = 0;
        ((uint64_t *)at)[draw_below(draw, (uint32_t)field->high)] = draw_number(draw);
        break;
    case FIELD_RECORD:
    case FIELD_RECORD_MAYBE:
        *(struct range_record *)at = draw_record(draw, draw_below(draw, draw->ranges));
        break;
    case FIELD_MEMBER:
        *(struct member *)at = draw_member(draw);
        break;
    case FIELD_DEPARTURE:
        *(struct departure *)at =
            (struct departure){draw_gone(draw), (enum departure_kind)(1 + draw_below(draw, 2)),
                               draw_node(draw), draw_number(draw)};
        break;
    case FIELD_SETTING:
        *(struct setting *)at = draw_setting(draw);
        break;
    case FIELD_SHAPE:
        draw_shape(draw, field->shape, at);
        break;
    case FIELD_LIST:
        draw_list(draw, field, base);
        break;
    default:
        draw_integer(draw, field, at);
        break;
    }
}

static inline void draw_shape(struct draw *draw, const struct shape *shape, void *value)
{
    for (uint32_t i = 0; i < shape->count; i++)
        draw_field(draw, &shape->fields[i], value);
}

/* Remember the numbers of a message that the node sent. */
static inline void draw_note(struct draw *draw, const struct message *message)
{
    const struct shape *shape = message_shapes[message->type];
    for (uint32_t i = 0; i < shape->count; i++) {
        uint64_t number;
        if (shape->fields[i].kind != FIELD_U64)
            continue;
        memcpy(&number, (const uint8_t *)message + shape->fields[i].offset, sizeof(number));
        if (number > 1)
            draw->recent[draw->recent_next++ % RECENT] = number;
    }
}

#endif
