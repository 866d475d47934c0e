/* The table of commands, what they wait for, and those that read and write keys. */
#include "shell/resp_commands.h"

#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "shell/clients.h"

/* As for RPC (wire/rpc.c): an expiry must fit into the 48 bits of an HLC. */
static const int64_t ttl_ms_max = INT64_C(100) * 365 * 24 * 3600 * 1000;
static const char syntax_error[] = "syntax error";
static const char not_integer[] = "value is not an integer or out of range";

void resp_wrong_arity(struct session *session, const char *name)
{
    char text[100];
    snprintf(text, sizeof text, "wrong number of arguments for '%s' command", name);
    resp_fail(session, "ERR", text);
}

/* ------------------------------------------------------------------------------ Requests. */

static struct request request_of(const struct session *session, enum method method,
                                 struct slice key)
{
    return (struct request){
        .method = method, .bucket = slice_string(session->resp->bucket), .key = key};
}

/* Keys are checked before any part is sent. */
static bool key_good(struct session *session, struct slice key)
{
    if (key.size == 0)
        resp_fail(session, "BAD_REQUEST", "a key must not be empty");
    else if (key.size > KEY_SIZE_MAX)
        resp_fail(session, "TOO_LARGE", "the key is larger than 65536 bytes");
    return key.size > 0 && key.size <= KEY_SIZE_MAX;
}

static bool value_good(struct session *session, struct slice value)
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

static void send_one(struct session *session, enum resp_kind kind, const struct request *request)
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
    if (!key_good(session, command->words[1]))
        return;
    const struct request request = request_of(session, METHOD_GET, command->words[1]);
    send_one(session, kind, &request);
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

static void run_kv_get(struct session *session, const struct resp_command *command)
{
    read_one(session, RESP_KIND_SIBLINGS, command);
}

static void read_many(struct session *session, enum resp_kind kind,
                      const struct resp_command *command)
{
    uint32_t count = command->count - 1;
    for (uint32_t i = 0; i < count; i++)
        if (!key_good(session, command->words[i + 1]))
            return;
    struct resp_reply *reply = resp_reply_begin(session, kind, count);
    for (uint32_t i = 0; reply != NULL && i < count; i++) {
        const struct request request = request_of(session, METHOD_GET, command->words[i + 1]);
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
        if (!key_good(session, command->words[i]) ||
            (step == 2 && !value_good(session, command->words[i + 1])))
            return;
    uint32_t count = find_writes(session, command, step, words);
    struct resp_reply *reply = resp_reply_begin(session, kind, count);
    for (uint32_t i = 0; reply != NULL && i < count; i++) {
        struct request request = request_of(session, method, command->words[words[i]]);
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

/* ---------------------------------------------------------------------------------- SET. */

/* EX, PX, EXAT or PXAT with its number. False: an error was queued. */
static bool take_expiry(struct session *session, struct slice option, struct slice word,
                        int64_t *ret_ttl_ms)
{
    bool seconds = resp_is(option, "EX") || resp_is(option, "EXAT");
    bool absolute = resp_is(option, "EXAT") || resp_is(option, "PXAT");
    int64_t number;
    if (!resp_number(word, &number)) {
        resp_fail(session, "ERR", not_integer);
        return false;
    }
    int64_t now_ms = (int64_t)session->clients->engine->now.wall_ms;
    bool good =
        number > 0 && number <= (ttl_ms_max + (absolute ? now_ms : 0)) / (seconds ? 1000 : 1);
    if (!good) {
        resp_fail(session, "ERR", "invalid expire time in 'set' command");
        return false;
    }
    *ret_ttl_ms = number * (seconds ? 1000 : 1) - (absolute ? now_ms : 0);
    return true;
}

static bool is_expiry(struct slice word)
{
    return resp_is(word, "EX") || resp_is(word, "PX") || resp_is(word, "EXAT") ||
           resp_is(word, "PXAT");
}

static void run_set(struct session *session, const struct resp_command *command)
{
    struct request request = request_of(session, METHOD_PUT, command->words[1]);
    int64_t ttl_ms = 0;
    if (command->count > 3 && (command->count != 5 || !is_expiry(command->words[3]))) {
        resp_fail(session, "ERR", syntax_error);
        return;
    }
    if (command->count == 5 && !take_expiry(session, command->words[3], command->words[4], &ttl_ms))
        return;
    request.value = command->words[2];
    if (!key_good(session, request.key) || !value_good(session, request.value))
        return;
    if (command->count == 5 && ttl_ms <= 0) {
        /* It has expired already: what a reader would see is a key without a value. */
        request.method = METHOD_DELETE;
        request.value = SLICE_NONE;
    } else {
        request.ttl_ms = (uint64_t)ttl_ms;
    }
    send_one(session, RESP_KIND_STATUS, &request);
}

/* --------------------------------------------------------------------- KV.PUT and KV.DEL. */

/* With the context in word AT, if there is one. */
static void write_context(struct session *session, const struct resp_command *command,
                          struct request *request, uint32_t at)
{
    if (command->count > at + 1) {
        resp_fail(session, "ERR", syntax_error);
        return;
    }
    if (command->count > at)
        request->context = command->words[at];
    if (request->context.size > CONTEXT_SIZE_MAX)
        resp_fail(session, "BAD_CONTEXT", "the context is longer than any that KV.GET returns");
    else if (key_good(session, request->key) && value_good(session, request->value))
        send_one(session, RESP_KIND_STATUS, request);
}

static void run_kv_put(struct session *session, const struct resp_command *command)
{
    struct request request = request_of(session, METHOD_PUT, command->words[1]);
    request.value = command->words[2];
    write_context(session, command, &request, 3);
}

static void run_kv_del(struct session *session, const struct resp_command *command)
{
    struct request request = request_of(session, METHOD_DELETE, command->words[1]);
    write_context(session, command, &request, 2);
}

/* --------------------------------------------------------------------------------- SCAN. */

struct scan_options {
    uint64_t cursor;
    uint32_t count;
    struct slice pattern;
    bool match, none;
};

/* Up to 2^64-1, as our cursors are. */
static bool cursor_of(struct slice word, uint64_t *ret_cursor)
{
    uint64_t cursor = 0;
    for (size_t i = 0; i < word.size; i++) {
        uint8_t digit = (uint8_t)(word.data[i] - '0');
        if (digit > 9 || cursor > (UINT64_MAX - digit) / 10)
            return false;
        cursor = cursor * 10 + digit;
    }
    *ret_cursor = cursor;
    return word.size > 0;
}

/* Redis' sentence of what is wrong, or NULL. */
static const char *scan_parse(const struct resp_command *command, struct scan_options *ret)
{
    if (!cursor_of(command->words[1], &ret->cursor))
        return "invalid cursor";
    for (uint32_t i = 2; i < command->count; i += 2) {
        struct slice option = command->words[i];
        if (i + 1 == command->count)
            return syntax_error;
        struct slice word = command->words[i + 1];
        if (resp_is(option, "COUNT")) {
            int64_t number;
            if (!resp_number(word, &number))
                return not_integer;
            if (number < 1)
                return syntax_error;
            ret->count = (uint32_t)MIN(number, (int64_t)RPC_SCAN_LIMIT_MAX - 1);
        } else if (resp_is(option, "MATCH")) {
            ret->pattern = word;
            ret->match = true;
        } else if (resp_is(option, "TYPE")) {
            ret->none = !resp_is(word, "string");
        } else {
            return syntax_error;
        }
    }
    return NULL;
}

static void run_scan(struct session *session, const struct resp_command *command)
{
    struct scan_options options = {.count = 10};
    const char *wrong = scan_parse(command, &options);
    if (wrong != NULL) {
        resp_fail(session, "ERR", wrong);
        return;
    }
    struct resp_reply *reply = resp_reply_begin(session, RESP_KIND_SCAN, 1);
    if (reply == NULL)
        return;
    reply->match = options.match;
    reply->none = options.none;
    buf_append(&reply->pattern, options.pattern);
    struct request request = request_of(session, METHOD_SCAN, SLICE_NONE);
    request.cursor = options.cursor;
    /* One more: the first key that is not in this page is the next one's cursor. */
    request.limit = options.count + 1;
    resp_reply_part(session, reply, 0, &request);
    resp_reply_sent(session, reply);
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
    {"set", -3, run_set, "write", WRITES(1, 1)},
    {"mget", -2, run_mget, "readonly", READS(-1, 1)},
    {"mset", -3, run_mset, "write", WRITES(-1, 2)},
    {"del", -2, run_del, "write", WRITES(-1, 1)},
    {"unlink", -2, run_del, "write", WRITES(-1, 1)},
    {"exists", -2, run_exists, "readonly", READS(-1, 1)},
    {"ttl", 2, run_ttl, "readonly", READS(1, 1)},
    {"pttl", 2, run_pttl, "readonly", READS(1, 1)},
    {"type", 2, run_type, "readonly", READS(1, 1)},
    {"strlen", 2, run_strlen, "readonly", READS(1, 1)},
    {"scan", -2, run_scan, "readonly", 0, 0, 0, false, true},
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

static const struct resp_entry *entry_of(struct slice name)
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

bool resp_run(struct session *session, const struct resp_command *command)
{
    const struct resp_entry *entry = entry_of(command->words[0]);
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
