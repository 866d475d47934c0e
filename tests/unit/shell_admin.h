/* For tests of the cluster methods: a node without its machines, whose tables a test fills by hand,
 * and short ways to call a method and to look into its answer. */
#ifndef SHELL_ADMIN_TEST_H
#define SHELL_ADMIN_TEST_H

#include "shell/admin.h"

#include "base/error.h"
#include "core/buckets.h"
#include "wire/mp.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---------------------------------------------------------------- A node without its machines. */

static struct core core;
static struct node_counters counters;
static struct store_stats stats;
static bool down[16]; /* By the last digit of the id. */
static bool rift;

const struct core *node_core(const struct node *node)
{
    (void)node;
    return &core;
}

const struct node_counters *node_counters(const struct node *node)
{
    (void)node;
    return &counters;
}

enum node_state node_state(const struct node *node)
{
    (void)node;
    return NODE_READY;
}

uint32_t node_peers(const struct node *node, struct peer_status *ret, uint32_t cap)
{
    (void)node;
    uint32_t count = 0;
    for (uint32_t i = 0; i < core.members.count && count < cap; i++) {
        struct node_id id = core.members.members[i]->id;
        if (id_equal(id, core.self))
            continue;
        ret[count++] = (struct peer_status){.id = id,
                                            .up = !down[id.lo],
                                            .phi = 0.5,
                                            .heard_us = 900000,
                                            .since_us = 1000000,
                                            .load = {.generation = 1, .live_bytes = 1000}};
    }
    return count;
}

uint32_t node_transfers(const struct node *node, struct transfer_status *ret, uint32_t cap)
{
    (void)node;
    cr_assert(cap > 0);
    ret[0] = (struct transfer_status){.role = TRANSFER_SOURCE,
                                      .id = 0xabc,
                                      .range = 3,
                                      .slot = 1,
                                      .stage = STAGE_JOINT,
                                      .note = slice_string("waits")};
    return 1;
}

uint32_t node_hints(const struct node *node, struct hint_target *ret, uint32_t cap)
{
    (void)node;
    cr_assert(cap > 1);
    ret[0] = (struct hint_target){
        .range = 5, .slot = 2, .keys = 7, .bytes = 700, .hold = HINT_DOWN, .node = {0, 2}};
    ret[1] =
        (struct hint_target){.range = 3, .slot = 1, .keys = 1, .bytes = 10, .hold = HINT_MOVES};
    return 2;
}

bool node_has_rift(const struct node *node, struct node_id *ret_node)
{
    (void)node;
    *ret_node = (struct node_id){0xabcdef0123456789, 1};
    return rift;
}

void node_repair(const struct node *node, struct repair_status *ret_status)
{
    (void)node;
    *ret_status = (struct repair_status){.dirty_ranges = 3, .rate = 4096, .limit_us = 2000};
}

uint32_t node_repair_preview(const struct node *node, const struct repair_choice *choice)
{
    (void)node;
    return choice->last - choice->first + 1;
}

/* A node of one shard with one store asks for none of these. */
void storage_stats(const struct storage *storage, struct store_stats *ret_stats)
{
    (void)storage, (void)ret_stats;
    abort();
}

void storage_add_stats(struct store_stats *sum, const struct store_stats *part)
{
    (void)sum, (void)part;
    abort();
}

struct range_stat storage_range_stat(const struct storage *storage, uint32_t range)
{
    (void)storage, (void)range;
    abort();
}

void store_stats(const struct store *store, struct store_stats *ret_stats)
{
    (void)store;
    *ret_stats = stats;
}

static uint64_t hole_from, hole_to; /* If stats.holes_now says that there is one. */

bool store_hole(const struct store *store, uint32_t index, uint64_t *ret_from, uint64_t *ret_to)
{
    (void)store;
    *ret_from = hole_from;
    *ret_to = hole_to;
    return index < stats.holes_now;
}

struct range_stat store_range_stat(const struct store *store, uint32_t range)
{
    (void)store;
    return (struct range_stat){.keys = range, .bytes = 10 * range};
}

static bool is_up(const struct core *of, struct node_id id)
{
    return id_equal(id, of->self) || !down[id.lo];
}

static struct node_id node_of(uint64_t digit)
{
    return (struct node_id){0x1000000000000000u * digit, digit};
}

static void member_add(uint64_t digit, const char *name, const char *zone)
{
    struct member member = {.id = node_of(digit),
                            .generation = 1,
                            .version = 1,
                            .capacity = 100,
                            .name = slice_string(name),
                            .zone = slice_string(zone),
                            .peer = slice_string("127.0.0.1:7400"),
                            .client = slice_string("127.0.0.1:7379"),
                            .http = slice_string("127.0.0.1:7380")};
    cr_assert(member_merge(&core.members, &member));
}

/* Give RANGE to OWNERS, slot 0 first. */
static inline void own(uint32_t range, uint64_t epoch, const uint64_t *owners, uint32_t count)
{
    struct range_record record = {.range = range, .epoch = epoch, .slots_count = (uint8_t)count};
    for (uint32_t i = 0; i < count; i++)
        record.slots[i] = (struct slot){.number = (uint8_t)i, .owner = node_of(owners[i])};
    cr_assert(ring_merge(&core.ring, &record));
}

static struct admin admin = {.now_us = 61000000,
                             .started_us = 1000000,
                             .version = {(const uint8_t *)"1", 1},
                             .ops_per_s = 7};

/* Members a, b and c; a owns everything alone. */
static void set_up(void)
{
    core = (struct core){.self = node_of(1), .generation = 5, .peer_is_up = is_up};
    core.cluster = (struct cluster){
        .id = node_of(9), .name = slice_string("prod"), .range_bits = 6, .copies = 3};
    member_table_init(&core.members);
    setting_table_init(&core.settings);
    ring_init(&core.ring, 6);
    memset(down, 0, sizeof(down));
    stats = (struct store_stats){.bytes = 64000, .file_bytes = 90000, .disk_free_bytes = 5000000};
    member_add(1, "a", "z1");
    member_add(2, "b", "z2");
    member_add(3, "c", "z3");
    for (uint32_t range = 0; range < 64; range++)
        own(range, 1, (const uint64_t[]){1}, 1);
}

static void tear_down(void)
{
    member_table_done(&core.members);
    setting_table_done(&core.settings);
    ring_done(&core.ring);
}

/* -------------------------------------------------------------------------- Calls and answers. */

struct pair {
    const char *key;
    const char *text; /* NULL: `number`. */
    uint64_t number;
    bool flag; /* `number` is a flag. */
};

static struct buf params_of(const struct pair *pairs, uint32_t count)
{
    struct buf params = {0};
    mp_write_map(&params, count);
    for (uint32_t i = 0; i < count; i++) {
        mp_write_text(&params, pairs[i].key);
        if (pairs[i].text != NULL)
            mp_write_text(&params, pairs[i].text);
        else if (pairs[i].flag)
            mp_write_bool(&params, pairs[i].number != 0);
        else
            mp_write_uint(&params, pairs[i].number);
    }
    return params;
}

static struct admin_reply call_bytes(const char *method, struct slice params)
{
    struct admin_reply reply;
    admin_call(&admin, slice_string(method), params, &reply);
    return reply;
}

static struct admin_reply call(const char *method, const struct pair *pairs, uint32_t count)
{
    struct buf params = params_of(pairs, count);
    struct admin_reply reply = call_bytes(method, buf_slice(&params));
    buf_done(&params);
    return reply;
}

#define CALL(method, ...)                                                                          \
    call(method, (const struct pair[]){__VA_ARGS__},                                               \
         (uint32_t)ARRAY_SIZE(((const struct pair[]){__VA_ARGS__})))

/* The value of KEY in the map MAP: its MessagePack. Fails when it is not there. */
static struct slice field(struct slice map, const char *key)
{
    struct mp_reader reader = mp_reader_of(map);
    uint32_t pairs = mp_read_map(&reader);
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice name = mp_read_bytes(&reader);
        struct slice value = mp_skip(&reader);
        cr_assert(!reader.bad);
        if (slice_equal(name, slice_string(key)))
            return value;
    }
    cr_assert_fail("no field %s", key);
    return SLICE_NONE;
}

static inline uint64_t number(struct slice map, const char *key)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    uint64_t value = mp_read_uint(&reader);
    cr_assert(mp_finished(&reader), "%s is no number", key);
    return value;
}

static inline bool text_is(struct slice map, const char *key, const char *wanted)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    return slice_equal(mp_read_bytes(&reader), slice_string(wanted));
}

/* Item I of the array at KEY. */
static inline struct slice item(struct slice map, const char *key, uint32_t i)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    uint32_t count = mp_read_array(&reader);
    cr_assert_lt(i, count);
    struct slice value = SLICE_NONE;
    for (uint32_t j = 0; j <= i; j++)
        value = mp_skip(&reader);
    return value;
}

static inline uint32_t items(struct slice map, const char *key)
{
    struct mp_reader reader = mp_reader_of(field(map, key));
    return mp_read_array(&reader);
}

static inline bool item_has(struct slice map, const char *key, uint32_t i, const char *part)
{
    struct slice value = item(map, key, i);
    return memmem(value.data, value.size, part, strlen(part)) != NULL;
}

/* The reply is a whole map and no error. */
static struct slice result_of(const struct admin_reply *reply)
{
    cr_assert_eq(reply->error, 0, "%.*s", (int)reply->text.size, (const char *)reply->text.data);
    struct mp_reader reader = mp_reader_of(buf_slice(&reply->result));
    cr_assert_eq(mp_peek(&reader), MP_MAP);
    (void)mp_skip(&reader);
    cr_assert(mp_finished(&reader));
    return buf_slice(&reply->result);
}

static inline void refused(struct admin_reply reply, int error, const char *part)
{
    cr_assert_eq(reply.outcome, ADMIN_DONE);
    cr_assert_eq(reply.error, error, "got %s", error_word(reply.error));
    cr_assert(memmem(reply.text.data, reply.text.size, part, strlen(part)) != NULL,
              "\"%.*s\" does not say \"%s\"", (int)reply.text.size, (const char *)reply.text.data,
              part);
    cr_assert_eq(reply.result.size, 0);
    admin_reply_done(&reply);
}

/* What the core does with a command: its setting takes effect. */
static inline void obey(const struct admin_reply *reply)
{
    cr_assert_eq(reply->outcome, ADMIN_COMMAND);
    cr_assert_eq(reply->command.type, COMMAND_SET);
    cr_assert(reply->command.conditional);
    const struct setting *known = setting_find(&core.settings, reply->command.name);
    cr_assert_eq(reply->command.counter, known == NULL ? 0 : known->counter);
    struct setting setting = {.name = reply->command.name,
                              .counter = reply->command.counter + 1,
                              .writer = core.self,
                              .value = reply->command.value};
    cr_assert(setting_merge(&core.settings, &setting));
}

#endif
