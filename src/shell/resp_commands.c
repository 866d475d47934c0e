/* The table of commands, what they wait for, and those that read and write keys. */
#include "shell/resp_commands.h"

#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "shell/clients.h"

const char resp_syntax_error[] = "syntax error";
const char resp_not_integer[] = "value is not an integer or out of range";

void resp_wrong_arity(struct session *session, const char *name)
{
    char text[100];
    snprintf(text, sizeof text, "wrong number of arguments for '%s' command", name);
    resp_fail(session, "ERR", text);
}

/* ------------------------------------------------------------------------------ Requests. */

struct request resp_request(const struct session *session, enum method method, struct slice key)
{
    return (struct request){
        .method = method, .bucket = slice_string(session->resp->bucket), .key = key};
}

/* Keys are checked before any part is sent. */
bool resp_key_good(struct session *session, struct slice key)
{
    if (key.size == 0)
        resp_fail(session, "BAD_REQUEST", "a key must not be empty");
    else if (key.size > KEY_SIZE_MAX)
        resp_fail(session, "TOO_LARGE", "the key is larger than 65536 bytes");
    return key.size > 0 && key.size <= KEY_SIZE_MAX;
}

bool resp_value_good(struct session *session, struct slice value)
{
    size_t most = session->clients->options.value_size_max;
    char text[100];
    if (value.size <= most)
        return true;
    snprintf(text, sizeof text, "the value has %zu bytes; this node's limit is %zu", value.size,
             most);
    resp_fail(session, "TOO_LARGE", text);
    return false;
}

void resp_send(struct session *session, enum resp_kind kind, const struct request *request)
{
    struct resp_reply *reply = resp_reply_begin(session, kind, 1);
    if (reply == NULL)
        return;
    resp_reply_part(session, reply, 0, request);
    resp_reply_sent(session, reply);
}

static void read_one(struct session *session, enum resp_kind kind,
                     const struct resp_command *command)
{
    if (!resp_key_good(session, command->words[1]))
        return;
    const struct request request = resp_request(session, METHOD_GET, command->words[1]);
    resp_send(session, kind, &request);
}

static void run_get(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_VALUE, command);
}

static void run_strlen(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_LENGTH, command);
}

static void run_type(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_TYPE, command);
}

static void run_ttl(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_TTL, command);
}

static void run_pttl(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_PTTL, command);
}

static void run_expiretime(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_EXPIRES, command);
}

static void run_pexpiretime(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_EXPIRES_MS, command);
}

static void run_getrange(struct session *session, const struct resp_command *command)
{
    int64_t from, to;
    if (!resp_number(command->words[2], &from) || !resp_number(command->words[3], &to)) {
        resp_fail(session, "ERR", resp_not_integer);
        return;
    }
    if (!resp_key_good(session, command->words[1]))
        return;
    const struct request request = resp_request(session, METHOD_GET, command->words[1]);
    struct resp_reply *reply = resp_reply_begin(session, RESP_KIND_PART, 1);
    if (reply == NULL)
        return;
    reply->from = from;
    reply->to = to;
    resp_reply_part(session, reply, 0, &request);
    resp_reply_sent(session, reply);
}

static void run_kv_get(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_SIBLINGS, command);
}

static void read_many(struct session *session, enum resp_kind kind,
                      const struct resp_command *command)
{
    uint32_t count = command->count - 1;
    for (uint32_t i = 0; i < count; i++)
        if (!resp_key_good(session, command->words[i + 1]))
            return;
    struct resp_reply *reply = resp_reply_begin(session, kind, count);
    for (uint32_t i = 0; reply != NULL && i < count; i++) {
        const struct request request = resp_request(session, METHOD_GET, command->words[i + 1]);
        resp_reply_part(session, reply, i, &request);
    }
    if (reply != NULL)
        resp_reply_sent(session, reply);
}

static void run_mget(struct session *session, const struct resp_command *command)
{
    read_many(session, RESP_KIND_VALUES, command);
}

static void run_exists(struct session *session, const struct resp_command *command)
{
    read_many(session, RESP_KIND_EXISTS, command);
}

enum { SEEN_SIZE = 2048 }; /* A power of two, over RESP_KEYS_MAX. */

/* Words of a command by their hash; 0 is none. */
struct seen {
    uint16_t words[SEEN_SIZE];
};

/* Take note of the key in word AT; false if it was there. */
static bool see(struct seen *seen, const struct resp_command *command, uint32_t at, uint64_t hash)
{
    for (uint64_t place = hash;; place++) {
        uint16_t *word = &seen->words[place % SEEN_SIZE];
        if (*word == 0) {
            *word = (uint16_t)at;
            return true;
        }
        if (slice_equal(command->words[*word], command->words[at]))
            return false;
    }
}

/* The first word of each key and what follows it; of a key that is given twice the last one. */
static uint32_t find_writes(struct session *session, const struct resp_command *command,
                            uint32_t step, uint32_t *ret_words)
{
    const struct core *core = node_core(session->clients->engine->node);
    struct slice bucket = slice_string(session->resp->bucket);
    struct seen *seen = arena_zero(&session->clients->requests, sizeof *seen);
    uint32_t count = 0;
    for (uint32_t left = (command->count - 1) / step; left > 0; left--) {
        uint32_t at = 1 + (left - 1) * step;
        if (see(seen, command, at, key_hash(core->cluster.hash_seed, bucket, command->words[at])))
            ret_words[count++] = at;
    }
    return count;
}

static void write_many(struct session *session, enum resp_kind kind, enum method method,
                       const struct resp_command *command, uint32_t step)
{
    uint32_t words[RESP_KEYS_MAX];
    for (uint32_t i = 1; i < command->count; i += step)
        if (!resp_key_good(session, command->words[i]) ||
            (step == 2 && !resp_value_good(session, command->words[i + 1])))
            return;
    uint32_t count = find_writes(session, command, step, words);
    struct resp_reply *reply = resp_reply_begin(session, kind, count);
    for (uint32_t i = 0; reply != NULL && i < count; i++) {
        struct request request = resp_request(session, method, command->words[words[i]]);
        if (step == 2)
            request.value = command->words[words[i] + 1];
        resp_reply_part(session, reply, i, &request);
    }
    if (reply != NULL)
        resp_reply_sent(session, reply);
}

static void run_mset(struct session *session, const struct resp_command *command)
{
    if (command->count % 2 == 0)
        resp_wrong_arity(session, "mset");
    else
        write_many(session, RESP_KIND_STATUS, METHOD_PUT, command, 2);
}

/* Each key is read, and deleted with the context of that read if it was there. */
static void run_del(struct session *session, const struct resp_command *command)
{
    write_many(session, RESP_KIND_DELETE, METHOD_GET, command, 1);
}

/* --------------------------------------------------------------------- KV.PUT and KV.DEL. */

/* With the context in word AT, if there is one. */
static void write_context(struct session *session, const struct resp_command *command,
                          struct request *request, uint32_t at)
{
    if (command->count > at + 1) {
        resp_fail(session, "ERR", resp_syntax_error);
        return;
    }
    if (command->count > at)
        request->context = command->words[at];
    if (request->context.size > CONTEXT_SIZE_MAX)
        resp_fail(session, "BAD_CONTEXT", "the context is longer than any that KV.GET returns");
    else if (resp_key_good(session, request->key) && resp_value_good(session, request->value))
        resp_send(session, RESP_KIND_STATUS, request);
}

static void run_kv_put(struct session *session, const struct resp_command *command)
{
    struct request request = resp_request(session, METHOD_PUT, command->words[1]);
    request.value = command->words[2];
    write_context(session, command, &request, 3);
}

static void run_kv_del(struct session *session, const struct resp_command *command)
{
    struct request request = resp_request(session, METHOD_DELETE, command->words[1]);
    write_context(session, command, &request, 2);
}

/* --------------------------------------------------------------------------- Connection. */

static void run_ping(struct session *session, const struct resp_command *command)
{
    if (command->count > 2) {
        resp_wrong_arity(session, "ping");
        return;
    }
    struct buf *out = resp_reply_now(session);
    if (command->count == 1)
        resp_status("PONG", out);
    else
        resp_bulk(command->words[1], out);
    resp_replied(session);
}

static void run_echo(struct session *session, const struct resp_command *command)
{
    resp_bulk(command->words[1], resp_reply_now(session));
    resp_replied(session);
}

static void run_quit(struct session *session, const struct resp_command *command)
{
    (void)command;
    resp_status("OK", resp_reply_now(session));
    resp_replied(session);
    session_finish(session);
}

static void run_reset(struct session *session, const struct resp_command *command)
{
    (void)command;
    resp_status("RESET", resp_reply_now(session));
    resp_reset(session);
    resp_replied(session);
}

/* -------------------------------------------------------------------------------- Table. */

#define NO_KEYS 0, 0, 0, false, false
#define READS(last, step) 1, last, step, false, false
#define WRITES(last, step) 1, last, step, true, false

const struct resp_entry resp_entries[] = {
    {"get", 2, run_get, "readonly", READS(1, 1)},
    {"set", -3, resp_set, "write", WRITES(1, 1)},
    {"setnx", 3, resp_setnx, "write", WRITES(1, 1)},
    {"setex", 4, resp_setex, "write", WRITES(1, 1)},
    {"psetex", 4, resp_setex, "write", WRITES(1, 1)},
    {"getset", 3, resp_getset, "write", WRITES(1, 1)},
    {"getdel", 2, resp_getdel, "write", WRITES(1, 1)},
    {"getex", -2, resp_getex, "write", WRITES(1, 1)},
    {"mget", -2, run_mget, "readonly", READS(-1, 1)},
    {"mset", -3, run_mset, "write", WRITES(-1, 2)},
    {"msetnx", -3, resp_msetnx, "write", WRITES(-1, 2)},
    {"del", -2, run_del, "write", WRITES(-1, 1)},
    {"unlink", -2, run_del, "write", WRITES(-1, 1)},
    {"exists", -2, run_exists, "readonly", READS(-1, 1)},
    {"touch", -2, run_exists, "readonly", READS(-1, 1)},
    {"expire", -3, resp_expire, "write", WRITES(1, 1)},
    {"pexpire", -3, resp_expire, "write", WRITES(1, 1)},
    {"expireat", -3, resp_expire, "write", WRITES(1, 1)},
    {"pexpireat", -3, resp_expire, "write", WRITES(1, 1)},
    {"persist", 2, resp_persist, "write", WRITES(1, 1)},
    {"ttl", 2, run_ttl, "readonly", READS(1, 1)},
    {"pttl", 2, run_pttl, "readonly", READS(1, 1)},
    {"expiretime", 2, run_expiretime, "readonly", READS(1, 1)},
    {"pexpiretime", 2, run_pexpiretime, "readonly", READS(1, 1)},
    {"type", 2, run_type, "readonly", READS(1, 1)},
    {"strlen", 2, run_strlen, "readonly", READS(1, 1)},
    {"getrange", 4, run_getrange, "readonly", READS(1, 1)},
    {"substr", 4, run_getrange, "readonly", READS(1, 1)},
    {"append", 3, resp_append, "write", WRITES(1, 1)},
    {"setrange", 4, resp_setrange, "write", WRITES(1, 1)},
    {"incr", 2, resp_incr, "write", WRITES(1, 1)},
    {"decr", 2, resp_incr, "write", WRITES(1, 1)},
    {"incrby", 3, resp_incr, "write", WRITES(1, 1)},
    {"decrby", 3, resp_incr, "write", WRITES(1, 1)},
    {"incrbyfloat", 3, resp_incrbyfloat, "write", WRITES(1, 1)},
    {"scan", -2, resp_run_scan, "readonly", 0, 0, 0, false, true},
    {"keys", 2, resp_keys, "readonly", 0, 0, 0, false, true},
    {"dbsize", 1, resp_dbsize, "readonly", 0, 0, 0, false, true},
    {"kv.get", 2, run_kv_get, "readonly", READS(1, 1)},
    {"kv.put", -3, run_kv_put, "write", WRITES(1, 1)},
    {"kv.del", -2, run_kv_del, "write", WRITES(1, 1)},
    {"ping", -1, run_ping, "fast", NO_KEYS},
    {"echo", 2, run_echo, "fast", NO_KEYS},
    {"hello", -1, resp_hello, "fast", NO_KEYS},
    {"select", 2, resp_select, "fast", NO_KEYS},
    {"client", -2, resp_client, "", NO_KEYS},
    {"command", -1, resp_describe, "", NO_KEYS},
    {"config", -2, resp_config, "", NO_KEYS},
    {"info", -1, resp_info, "", NO_KEYS},
    {"time", 1, resp_time, "fast", NO_KEYS},
    {"quit", -1, run_quit, "fast", NO_KEYS},
    {"reset", 1, run_reset, "fast", NO_KEYS},
};
const uint32_t resp_entries_count = ARRAY_SIZE(resp_entries);

static void refuse_unknown(struct session *session, const struct resp_command *command)
{
    struct buf text = {0};
    struct slice name = command->words[0];
    size_t start;
    buf_printf(&text, "unknown command '%.*s', with args beginning with: ",
               (int)MIN(name.size, (size_t)128), (const char *)name.data);
    start = text.size;
    for (uint32_t i = 1; i < command->count && text.size - start < 128; i++) {
        size_t room = 128 - (text.size - start);
        buf_append_byte(&text, '\'');
        buf_append(&text, slice_of(command->words[i].data, MIN(command->words[i].size, room)));
        buf_append(&text, slice_string("' "));
    }
    resp_error("ERR", buf_slice(&text), resp_reply_now(session));
    resp_replied(session);
    buf_done(&text);
}

const struct resp_entry *resp_entry_of(struct slice name)
{
    for (uint32_t i = 0; i < resp_entries_count; i++)
        if (resp_is(name, resp_entries[i].name))
            return &resp_entries[i];
    return NULL;
}

/* Has an earlier command of the connection one of these keys in hand, to write or to be written? */
static bool must_wait(const struct session *session, const struct resp_entry *entry,
                      const struct resp_command *command)
{
    const struct resp_session *resp = session->resp;
    const struct core *core = node_core(session->clients->engine->node);
    if (session->calls_count == 0)
        return false;
    if (entry->first == 0)
        return entry->alone;
    uint32_t last = entry->last < 0 ? command->count - 1 : (uint32_t)entry->last;
    for (uint32_t i = (uint32_t)entry->first; i <= last; i += (uint32_t)entry->step) {
        uint64_t hash =
            key_hash(core->cluster.hash_seed, slice_string(resp->bucket), command->words[i]);
        const struct call *call = resp->chains[hash % RESP_CHAINS];
        for (; call != NULL; call = call->next_of_key)
            if (call->key_hash == hash && (entry->write || call->write))
                return true;
    }
    return false;
}

static bool run(struct session *session, const struct resp_command *command)
{
    const struct resp_entry *entry = resp_entry_of(command->words[0]);
    if (entry == NULL) {
        refuse_unknown(session, command);
        return true;
    }
    bool fits = entry->arity > 0 ? command->count == (uint32_t)entry->arity
                                 : command->count >= (uint32_t)-entry->arity;
    if (!fits) {
        resp_wrong_arity(session, entry->name);
        return true;
    }
    if (entry->last < 0 && (command->count - 1) / (uint32_t)entry->step > RESP_KEYS_MAX) {
        resp_fail(session, "TOO_LARGE", "a command takes at most 1000 keys");
        return true;
    }
    if (must_wait(session, entry, command))
        return false;
    entry->run(session, command);
    return true;
}

bool resp_run(struct session *session, const struct resp_command *command)
{
    struct resp_session *resp = session->resp;
    bool skip = resp->skip;
    resp->muted = resp->silent || skip;
    resp->skip = false;
    bool taken = run(session, command);
    if (!taken)
        resp->skip = skip;
    return taken;
}
