/* Cluster methods: decode the parameters, find the method, and what the methods share. */
#include "shell/admin.h"

#include "shell/admin_methods.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum param_type { TYPE_NUMBER, TYPE_FLAG, TYPE_TEXT, TYPE_ARRAY, TYPE_CONSISTENCY };

static const struct {
    const char *name;
    enum param_type type;
} param_table[PARAMS_MAX] = {
    [PARAM_FROM] = {"from", TYPE_NUMBER},
    [PARAM_TO] = {"to", TYPE_NUMBER},
    [PARAM_COUNT] = {"count", TYPE_NUMBER},
    [PARAM_BY] = {"by", TYPE_TEXT},
    [PARAM_WEIGHTS] = {"weights", TYPE_ARRAY},
    [PARAM_LEAVE] = {"leave", TYPE_TEXT},
    [PARAM_FEWER_COPIES] = {"fewer_copies", TYPE_FLAG},
    [PARAM_RATE] = {"rate", TYPE_NUMBER},
    [PARAM_MOVES] = {"moves", TYPE_ARRAY},
    [PARAM_COUNTER] = {"counter", TYPE_NUMBER},
    [PARAM_RANGE] = {"range", TYPE_NUMBER},
    [PARAM_SLOT] = {"slot", TYPE_NUMBER},
    [PARAM_NODE] = {"node", TYPE_TEXT},
    [PARAM_CANCEL] = {"cancel", TYPE_FLAG},
    [PARAM_DRY_RUN] = {"dry_run", TYPE_FLAG},
    [PARAM_NAME] = {"name", TYPE_TEXT},
    [PARAM_POLICY] = {"policy", TYPE_TEXT},
    [PARAM_R] = {"r", TYPE_CONSISTENCY},
    [PARAM_W] = {"w", TYPE_CONSISTENCY},
    [PARAM_DW] = {"dw", TYPE_CONSISTENCY},
    [PARAM_TTL_MS] = {"ttl_ms", TYPE_NUMBER},
    [PARAM_LOG_MODE] = {"log_mode", TYPE_TEXT},
    [PARAM_ONTO] = {"onto", TYPE_TEXT},
    [PARAM_EVEN_IF_ALIVE] = {"even_if_alive", TYPE_FLAG},
    [PARAM_REBUILD] = {"rebuild", TYPE_FLAG},
    [PARAM_BUCKET] = {"bucket", TYPE_TEXT},
    [PARAM_ACCEPT_LOSS] = {"accept_loss", TYPE_FLAG},
    [PARAM_LOSS] = {"loss", TYPE_TEXT},
};

#define BIT PARAM_BIT
#define BUCKET_PARAMS                                                                              \
    (BIT(PARAM_NAME) | BIT(PARAM_POLICY) | BIT(PARAM_R) | BIT(PARAM_W) | BIT(PARAM_DW) |           \
     BIT(PARAM_TTL_MS) | BIT(PARAM_LOG_MODE) | BIT(PARAM_DRY_RUN))

static const struct {
    const char *name;
    uint32_t accepted;
    uint32_t needed;
    bool (*run)(struct admin_call *call);
} methods[] = {
    {"status", 0, 0, method_status},
    {"members", 0, 0, method_members},
    {"ring", BIT(PARAM_FROM) | BIT(PARAM_COUNT), 0, method_ring},
    {"gossip", 0, 0, method_gossip},
    {"transfers", 0, 0, method_transfers},
    {"ranges", 0, 0, method_ranges},
    {"hints", 0, 0, method_hints},
    {"stats", 0, 0, method_stats},
    {"plan",
     BIT(PARAM_BY) | BIT(PARAM_WEIGHTS) | BIT(PARAM_LEAVE) | BIT(PARAM_FEWER_COPIES) |
         BIT(PARAM_RATE) | BIT(PARAM_REBUILD) | BIT(PARAM_ONTO) | BIT(PARAM_ACCEPT_LOSS),
     0, method_plan},
    {"apply", BIT(PARAM_MOVES) | BIT(PARAM_COUNTER) | BIT(PARAM_RATE),
     BIT(PARAM_MOVES) | BIT(PARAM_COUNTER), method_apply},
    {"transfers_pause", BIT(PARAM_DRY_RUN), 0, method_pause},
    {"transfers_resume", BIT(PARAM_DRY_RUN), 0, method_resume},
    {"transfers_cancel", BIT(PARAM_DRY_RUN), 0, method_cancel},
    {"move",
     BIT(PARAM_RANGE) | BIT(PARAM_SLOT) | BIT(PARAM_NODE) | BIT(PARAM_RATE) | BIT(PARAM_DRY_RUN),
     BIT(PARAM_RANGE) | BIT(PARAM_SLOT) | BIT(PARAM_NODE), method_move},
    {"leave",
     BIT(PARAM_NODE) | BIT(PARAM_FEWER_COPIES) | BIT(PARAM_CANCEL) | BIT(PARAM_DRY_RUN) |
         BIT(PARAM_WEIGHTS) | BIT(PARAM_RATE),
     BIT(PARAM_NODE), method_leave},
    {"remove",
     BIT(PARAM_NODE) | BIT(PARAM_ONTO) | BIT(PARAM_FEWER_COPIES) | BIT(PARAM_EVEN_IF_ALIVE) |
         BIT(PARAM_DRY_RUN) | BIT(PARAM_WEIGHTS) | BIT(PARAM_RATE) | BIT(PARAM_ACCEPT_LOSS) |
         BIT(PARAM_LOSS),
     BIT(PARAM_NODE), method_remove},
    {"bucket_create", BUCKET_PARAMS, BIT(PARAM_NAME), method_bucket_create},
    {"bucket_set", BUCKET_PARAMS, BIT(PARAM_NAME), method_bucket_set},
    {"bucket_drop", BIT(PARAM_NAME) | BIT(PARAM_DRY_RUN), BIT(PARAM_NAME), method_bucket_drop},
    {"bucket_list", 0, 0, method_bucket_list},
    {"bucket_describe", BIT(PARAM_NAME), BIT(PARAM_NAME), method_bucket_describe},
    {"verify", BIT(PARAM_FROM) | BIT(PARAM_TO), 0, method_verify},
    {"repair",
     BIT(PARAM_FROM) | BIT(PARAM_TO) | BIT(PARAM_NODE) | BIT(PARAM_BUCKET) | BIT(PARAM_DRY_RUN), 0,
     method_repair},
    {"drain", BIT(PARAM_DRY_RUN), 0, method_drain},
};

bool admin_refuse(struct admin_call *call, int error, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    call->reply->outcome = ADMIN_DONE;
    call->reply->error = error;
    buf_clear(call->out);
    buf_clear(&call->reply->text);
    buf_append(&call->reply->text, slice_of(text, MIN((size_t)length, sizeof(text) - 1)));
    return false;
}

/* The names of a set of parameters, for people. */
static void param_names(uint32_t set, struct buf *out)
{
    if (set == 0)
        buf_printf(out, "none");
    for (uint32_t i = 0; i < PARAMS_MAX; i++) {
        if ((set & BIT(i)) == 0)
            continue;
        buf_printf(out, "%s%s", out->size > 0 ? ", " : "", param_table[i].name);
    }
}

/* ------------------------------------------------------------------------------ Parameters. */

static bool read_consistency(struct mp_reader *reader, uint64_t *ret_value)
{
    enum mp_type type = mp_peek(reader);
    if (type == MP_UINT) {
        *ret_value = mp_read_uint(reader);
        return *ret_value >= 1 && *ret_value <= SLOTS_MAX;
    }
    if (type != MP_STRING && type != MP_BINARY)
        return false;
    struct slice text = mp_read_bytes(reader);
    if (slice_equal(text, slice_string("one")))
        *ret_value = 1;
    else if (slice_equal(text, slice_string("quorum")))
        *ret_value = CONSISTENCY_QUORUM;
    else if (slice_equal(text, slice_string("all")))
        *ret_value = CONSISTENCY_ALL;
    else
        return false;
    return true;
}

/* Take the value of PARAM; false if it has the wrong type. */
static bool param_read(struct params *params, enum param param, struct mp_reader *reader)
{
    enum mp_type type = mp_peek(reader);
    switch (param_table[param].type) {
    case TYPE_NUMBER:
        params->numbers[param] = mp_read_uint(reader);
        return type == MP_UINT;
    case TYPE_FLAG:
        params->numbers[param] = mp_read_bool(reader);
        return type == MP_BOOL;
    case TYPE_TEXT:
        params->texts[param] = mp_read_bytes(reader);
        return type == MP_STRING || type == MP_BINARY;
    case TYPE_ARRAY:
        params->texts[param] = mp_skip(reader);
        return type == MP_ARRAY;
    case TYPE_CONSISTENCY:
        if (param == PARAM_DW && type == MP_UINT && *reader->at == 0) {
            params->numbers[param] = mp_read_uint(reader); /* dw 0: as the log mode says. */
            return true;
        }
        return read_consistency(reader, &params->numbers[param]);
    }
    return false;
}

static const char *type_text(enum param_type type)
{
    static const char *const texts[] = {
        [TYPE_NUMBER] = "a whole number from 0",
        [TYPE_FLAG] = "true or false",
        [TYPE_TEXT] = "a string",
        [TYPE_ARRAY] = "an array",
        [TYPE_CONSISTENCY] = "one, quorum, all or a number from 1 to 7",
    };
    return texts[type];
}

static bool refuse_unknown(struct admin_call *call, struct slice name, struct slice method,
                           uint32_t accepted)
{
    struct buf names = {0};
    param_names(accepted, &names);
    admin_refuse(call, ERR_BAD_REQUEST, "%.*s takes no parameter \"%.*s\"; it takes: %.*s",
                 (int)method.size, (const char *)method.data, (int)MIN(name.size, (size_t)64),
                 (const char *)name.data, (int)names.size, (const char *)names.data);
    buf_done(&names);
    return false;
}

static bool params_read(struct admin_call *call, struct slice method, struct slice bytes,
                        uint32_t accepted)
{
    if (bytes.size == 0)
        return true;
    struct mp_reader reader = mp_reader_of(bytes);
    uint32_t pairs = mp_read_map(&reader);
    for (uint32_t i = 0; i < pairs && !reader.bad; i++) {
        struct slice name = mp_read_bytes(&reader);
        uint32_t param = 0;
        while (param < PARAMS_MAX && !slice_equal(name, slice_string(param_table[param].name)))
            param++;
        if (param == PARAMS_MAX || (accepted & BIT(param)) == 0)
            return refuse_unknown(call, name, method, accepted);
        if (mp_take_nil(&reader))
            continue; /* As if it were not there. */
        if (!param_read(&call->params, (enum param)param, &reader))
            return admin_refuse(call, ERR_BAD_REQUEST, "%s must be %s", param_table[param].name,
                                type_text(param_table[param].type));
        call->params.given |= BIT(param);
    }
    if (!mp_finished(&reader))
        return admin_refuse(call, ERR_BAD_REQUEST, "the parameters must be one map");
    return true;
}

void admin_call(const struct admin *admin, struct slice method, struct slice params,
                struct admin_reply *ret_reply)
{
    *ret_reply = (struct admin_reply){.outcome = ADMIN_UNKNOWN};
    struct admin_call call = {.admin = admin, .core = node_core(admin->node), .reply = ret_reply};
    call.out = &ret_reply->result;
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (!slice_equal(method, slice_string(methods[i].name)))
            continue;
        ret_reply->outcome = ADMIN_DONE;
        if (!params_read(&call, method, params, methods[i].accepted))
            return;
        uint32_t missing = methods[i].needed & ~call.params.given;
        if (missing != 0) {
            struct buf names = {0};
            param_names(missing, &names);
            admin_refuse(&call, ERR_BAD_REQUEST, "%s needs: %.*s", methods[i].name, (int)names.size,
                         (const char *)names.data);
            buf_done(&names);
            return;
        }
        bool done = methods[i].run(&call);
        ASSERT(done == (ret_reply->error == 0));
        return;
    }
}

void admin_reply_done(struct admin_reply *reply)
{
    buf_done(&reply->text);
    buf_done(&reply->result);
    buf_done(&reply->memory);
    *reply = (struct admin_reply){0};
}

/* ------------------------------------------------------------------ What the methods share. */

static int by_name(const void *a, const void *b)
{
    const struct member *const *one = a;
    const struct member *const *two = b;
    int order = slice_compare((*one)->name, (*two)->name);
    return order != 0 ? order : id_compare((*one)->id, (*two)->id);
}

const struct member **admin_members_sorted(const struct core *core)
{
    const struct member_table *table = &core->members;
    const struct member **sorted = mem_alloc((table->count + 1) * sizeof(const struct member *));
    for (uint32_t i = 0; i < table->count; i++)
        sorted[i] = table->members[i];
    qsort(sorted, table->count, sizeof(*sorted), by_name);
    return sorted;
}

bool admin_joined(struct admin_call *call)
{
    if (!id_none(call->core->cluster.id) && call->core->ring.bits > 0)
        return true;
    return admin_refuse(call, ERR_NOT_READY, "this node has not joined a cluster yet");
}

bool admin_member(struct admin_call *call, enum param param, const struct member **ret_member)
{
    struct slice name = call->params.texts[param];
    const struct member *member =
        name.size == 0 ? NULL : member_find_named(&call->core->members, name);
    if (member != NULL) {
        *ret_member = member;
        return true;
    }
    struct buf names = {0};
    const struct member **sorted = admin_members_sorted(call->core);
    uint32_t same = 0;
    for (uint32_t i = 0; i < call->core->members.count && names.size < 512; i++) {
        char id[NODE_ID_TEXT];
        id_format(sorted[i]->id, id);
        same += slice_equal(sorted[i]->name, name);
        buf_printf(&names, "%s%.*s (%.8s)", i > 0 ? ", " : "", (int)sorted[i]->name.size,
                   (const char *)sorted[i]->name.data, id);
    }
    admin_refuse(call, ERR_NOT_MEMBER, "%s member is called \"%.*s\"; the members are %.*s",
                 same > 1 ? "more than one" : "no", (int)MIN(name.size, (size_t)NAME_SIZE_MAX),
                 (const char *)name.data, (int)names.size, (const char *)names.data);
    mem_free(sorted);
    buf_done(&names);
    return false;
}

uint64_t admin_counter(const struct core *core, struct slice name)
{
    const struct setting *setting = setting_find(&core->settings, name);
    return setting == NULL ? 0 : setting->counter;
}

void admin_set(struct admin_call *call, struct slice name, struct slice value, uint64_t counter)
{
    struct buf *memory = &call->reply->memory;
    ASSERT(memory->size == 0);
    buf_append(memory, name);
    buf_append(memory, value);
    call->reply->outcome = ADMIN_COMMAND;
    call->reply->command = (struct command){
        .type = COMMAND_SET,
        .name = slice_of(memory->data, name.size),
        .value = slice_of(memory->data + name.size, value.size),
        .conditional = true,
        .counter = counter,
    };
}

struct slice admin_name(const struct core *core, struct node_id id, char text[NODE_ID_TEXT])
{
    const struct member *member = member_find(&core->members, id);
    if (member != NULL && member->name.size > 0)
        return member->name;
    id_format(id, text);
    return slice_of(text, 8);
}

const char *admin_state_name(enum node_state state)
{
    static const char *const names[] = {
        [NODE_STARTING] = "starting", [NODE_JOINING] = "joining",   [NODE_SYNCING] = "syncing",
        [NODE_READY] = "ready",       [NODE_DRAINING] = "draining", [NODE_HALTED] = "halted",
    };
    return names[state];
}

void leave_name(struct node_id id, char ret_name[LEAVE_NAME_SIZE + 1])
{
    memcpy(ret_name, "leave/", 6);
    id_format(id, ret_name + 6);
}

bool member_leaving(const struct core *core, struct node_id id)
{
    char name[LEAVE_NAME_SIZE + 1];
    leave_name(id, name);
    return setting_value(&core->settings, slice_string(name)).size > 0;
}

void put_uint(struct buf *out, const char *key, uint64_t value)
{
    mp_write_text(out, key);
    mp_write_uint(out, value);
}

void put_bool(struct buf *out, const char *key, bool value)
{
    mp_write_text(out, key);
    mp_write_bool(out, value);
}

void put_real(struct buf *out, const char *key, double value)
{
    mp_write_text(out, key);
    mp_write_double(out, value);
}

void put_text(struct buf *out, const char *key, const char *value)
{
    mp_write_text(out, key);
    mp_write_text(out, value);
}

void put_slice(struct buf *out, const char *key, struct slice value)
{
    mp_write_text(out, key);
    mp_write_string(out, value);
}

void write_id(struct buf *out, struct node_id id)
{
    char text[NODE_ID_TEXT];
    if (id_none(id)) {
        mp_write_nil(out);
        return;
    }
    id_format(id, text);
    mp_write_text(out, text);
}

void put_id(struct buf *out, const char *key, struct node_id id)
{
    mp_write_text(out, key);
    write_id(out, id);
}

void put_hex(struct buf *out, const char *key, uint64_t value)
{
    char text[17];
    (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
    put_text(out, key, text);
}
