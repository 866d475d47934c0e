/* SET, and the commands that Redis carries out in one atomic step. They become edits of the core;
 * SET without a condition, and what is made of it, stays a plain put, which any W nodes take. */
#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "shell/clients.h"
#include "shell/resp_commands.h"

/* As for RPC (wire/rpc.c): an expiry must fit into the 48 bits of an HLC. */
static const int64_t ttl_ms_max = INT64_C(100) * 365 * 24 * 3600 * 1000;

static struct request edit_of(const struct session *session, struct slice key, enum edit_kind kind)
{
    struct request request = resp_request(session, METHOD_EDIT, key);
    request.edit.kind = (uint8_t)kind;
    request.edit.size_max = session->clients->options.value_size_max;
    return request;
}

static void send_edit(struct session *session, enum resp_kind kind, const struct request *request)
{
    if (resp_key_good(session, request->key) && resp_value_good(session, request->value))
        resp_send(session, kind, request);
}

/* ------------------------------------------------------------------------------- Expiry. */

/* A point in time, or a duration, of which a number was given. */
struct expiry {
    bool given;
    bool absolute;
    bool seconds;
    struct slice number;
    int64_t at_ms;  /* Since 1970: absolute. */
    int64_t ttl_ms; /* Else. */
};

/* Read the number. POSITIVE: anything below 1 is wrong. False: an error was queued. */
static bool expiry_parse(struct session *session, const char *name, bool positive,
                         struct expiry *expiry)
{
    char text[80];
    int64_t number;
    if (!resp_number(expiry->number, &number)) {
        resp_fail(session, "ERR", resp_not_integer);
        return false;
    }
    int64_t now_ms = (int64_t)session->clients->engine->now.wall_ms;
    int64_t most = (ttl_ms_max + (expiry->absolute ? now_ms : 0)) / (expiry->seconds ? 1000 : 1);
    if (number > most || number < -most || (positive && number <= 0)) {
        snprintf(text, sizeof text, "invalid expire time in '%s' command", name);
        resp_fail(session, "ERR", text);
        return false;
    }
    number *= expiry->seconds ? 1000 : 1;
    expiry->at_ms = expiry->absolute ? number : 0;
    expiry->ttl_ms = expiry->absolute ? 0 : number;
    return true;
}

/* Have REQUEST, an edit, set EXPIRY. What has passed already deletes the key. */
static void expiry_set(const struct expiry *expiry, struct request *request)
{
    bool past = expiry->absolute ? expiry->at_ms <= 0 : expiry->ttl_ms <= 0;
    request->edit.expiry = expiry->absolute || past ? EDIT_EXPIRY_AT : EDIT_EXPIRY_TTL;
    request->edit.expires_ms = past ? 1 : (uint64_t)expiry->at_ms;
    request->ttl_ms = past ? 0 : (uint64_t)expiry->ttl_ms;
}

/* EX, PX, EXAT or PXAT. */
static bool expiry_option(struct slice word, struct expiry *ret_expiry)
{
    bool seconds = resp_is(word, "EX") || resp_is(word, "EXAT");
    bool absolute = resp_is(word, "EXAT") || resp_is(word, "PXAT");
    if (!seconds && !absolute && !resp_is(word, "PX"))
        return false;
    *ret_expiry = (struct expiry){.given = true, .absolute = absolute, .seconds = seconds};
    return true;
}

/* ---------------------------------------------------------------------------------- SET. */

struct set_options {
    struct expiry expiry;
    uint8_t conditions;
    bool keep;
    bool get;
    bool persist;
};

/* The options from word AT on, of which SET has most and GETEX some. False: syntax error. */
static bool options_parse(const struct resp_command *command, uint32_t at, bool set,
                          struct set_options *ret)
{
    for (; at < command->count; at++) {
        struct slice word = command->words[at];
        bool timed = ret->expiry.given || ret->keep || ret->persist;
        if (set && resp_is(word, "NX") && ret->conditions == 0) {
            ret->conditions = EDIT_IF_ABSENT;
        } else if (set && resp_is(word, "XX") && ret->conditions == 0) {
            ret->conditions = EDIT_IF_PRESENT;
        } else if (set && resp_is(word, "GET")) {
            ret->get = true;
        } else if (set && resp_is(word, "KEEPTTL") && !timed) {
            ret->keep = true;
        } else if (!set && resp_is(word, "PERSIST") && !timed) {
            ret->persist = true;
        } else if (!timed && at + 1 < command->count && expiry_option(word, &ret->expiry)) {
            ret->expiry.number = command->words[++at];
        } else {
            return false;
        }
    }
    return true;
}

/* A put that expires; what has expired already is a key without a value. */
static void plain_put(struct session *session, struct slice key, struct slice value,
                      const struct expiry *expiry)
{
    struct request request = resp_request(session, METHOD_PUT, key);
    int64_t now_ms = (int64_t)session->clients->engine->now.wall_ms;
    int64_t ttl_ms = expiry->absolute ? expiry->at_ms - now_ms : expiry->ttl_ms;
    if (!resp_key_good(session, key) || !resp_value_good(session, value))
        return;
    if (expiry->given && ttl_ms <= 0) {
        request.method = METHOD_DELETE;
    } else {
        request.value = value;
        request.ttl_ms = (uint64_t)ttl_ms;
    }
    resp_send(session, RESP_KIND_STATUS, &request);
}

void resp_set(struct session *session, const struct resp_command *command)
{
    struct set_options options = {0};
    if (!options_parse(command, 3, true, &options)) {
        resp_fail(session, "ERR", resp_syntax_error);
        return;
    }
    if (options.expiry.given && !expiry_parse(session, "set", true, &options.expiry))
        return;
    if (options.conditions == 0 && !options.get && !options.keep) {
        plain_put(session, command->words[1], command->words[2], &options.expiry);
        return;
    }
    struct request request = edit_of(session, command->words[1], EDIT_PUT);
    request.value = command->words[2];
    request.edit.conditions = options.conditions;
    request.edit.expiry = options.keep ? EDIT_EXPIRY_KEEP : EDIT_EXPIRY_TTL;
    request.edit.earlier = options.get;
    if (options.expiry.given)
        expiry_set(&options.expiry, &request);
    send_edit(session, options.get ? RESP_KIND_EARLIER : RESP_KIND_OK_HELD, &request);
}

/* SETEX and PSETEX */
void resp_setex(struct session *session, const struct resp_command *command)
{
    bool seconds = resp_is(command->words[0], "SETEX");
    struct expiry expiry = {.given = true, .seconds = seconds, .number = command->words[2]};
    if (expiry_parse(session, seconds ? "setex" : "psetex", true, &expiry))
        plain_put(session, command->words[1], command->words[3], &expiry);
}

static void set_if_absent(struct session *session, struct slice key, struct slice value)
{
    struct request request = edit_of(session, key, EDIT_PUT);
    request.value = value;
    request.edit.conditions = EDIT_IF_ABSENT;
    request.edit.expiry = EDIT_EXPIRY_TTL;
    send_edit(session, RESP_KIND_HELD, &request);
}

void resp_setnx(struct session *session, const struct resp_command *command)
{
    set_if_absent(session, command->words[1], command->words[2]);
}

void resp_msetnx(struct session *session, const struct resp_command *command)
{
    if (command->count % 2 == 0)
        resp_wrong_arity(session, "msetnx");
    else if (command->count == 3)
        set_if_absent(session, command->words[1], command->words[2]);
    else
        resp_fail(session, "ERR",
                  "MSETNX of more than one key is not supported: keys lie on different nodes, and "
                  "no step covers several of them");
}

void resp_getset(struct session *session, const struct resp_command *command)
{
    struct request request = edit_of(session, command->words[1], EDIT_PUT);
    request.value = command->words[2];
    request.edit.expiry = EDIT_EXPIRY_TTL;
    request.edit.earlier = true;
    send_edit(session, RESP_KIND_EARLIER, &request);
}

void resp_getdel(struct session *session, const struct resp_command *command)
{
    struct request request = edit_of(session, command->words[1], EDIT_DELETE);
    request.edit.earlier = true;
    send_edit(session, RESP_KIND_EARLIER, &request);
}

void resp_getex(struct session *session, const struct resp_command *command)
{
    struct set_options options = {0};
    if (!options_parse(command, 2, false, &options)) {
        resp_fail(session, "ERR", resp_syntax_error);
        return;
    }
    if (options.expiry.given && !expiry_parse(session, "getex", true, &options.expiry))
        return;
    if (!options.expiry.given && !options.persist) {
        const struct request request = resp_request(session, METHOD_GET, command->words[1]);
        send_edit(session, RESP_KIND_VALUE, &request);
        return;
    }
    struct request request = edit_of(session, command->words[1], EDIT_EXPIRE);
    request.edit.earlier = true;
    request.edit.expiry = EDIT_EXPIRY_NEVER;
    /* Nothing is written where there is no expiry to take away. */
    request.edit.conditions = options.persist ? EDIT_IF_EXPIRES : 0;
    if (options.expiry.given)
        expiry_set(&options.expiry, &request);
    send_edit(session, RESP_KIND_EARLIER, &request);
}

/* ------------------------------------------------------------------------ EXPIRE and kin. */

/* NX, XX, GT, LT. False: an error was queued. */
static bool conditions_parse(struct session *session, const struct resp_command *command,
                             uint8_t *ret_conditions)
{
    uint8_t set = 0;
    char text[160];
    for (uint32_t i = 3; i < command->count; i++) {
        struct slice word = command->words[i];
        uint8_t bit = resp_is(word, "NX")   ? (uint8_t)EDIT_IF_STAYS
                      : resp_is(word, "XX") ? (uint8_t)EDIT_IF_EXPIRES
                      : resp_is(word, "GT") ? (uint8_t)EDIT_IF_LATER
                      : resp_is(word, "LT") ? (uint8_t)EDIT_IF_EARLIER
                                            : 0;
        if (bit == 0) {
            snprintf(text, sizeof text, "Unsupported option %.*s", (int)MIN(word.size, (size_t)128),
                     (const char *)word.data);
            resp_fail(session, "ERR", text);
            return false;
        }
        set |= bit;
    }
    if (set & EDIT_IF_STAYS && set & ~(uint32_t)EDIT_IF_STAYS)
        resp_fail(session, "ERR",
                  "NX and XX, GT or LT options at the same time are not compatible");
    else if (set & EDIT_IF_LATER && set & EDIT_IF_EARLIER)
        resp_fail(session, "ERR", "GT and LT options at the same time are not compatible");
    else
        *ret_conditions = set;
    return *ret_conditions == set;
}

/* EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT */
void resp_expire(struct session *session, const struct resp_command *command)
{
    const struct resp_entry *entry = resp_entry_of(command->words[0]);
    struct request request = edit_of(session, command->words[1], EDIT_EXPIRE);
    struct expiry expiry = {
        .given = true,
        .seconds = entry->name[0] != 'p',
        .absolute = strstr(entry->name, "at") != NULL,
        .number = command->words[2],
    };
    if (!conditions_parse(session, command, &request.edit.conditions) ||
        !expiry_parse(session, entry->name, false, &expiry))
        return;
    expiry_set(&expiry, &request);
    send_edit(session, RESP_KIND_HELD, &request);
}

void resp_persist(struct session *session, const struct resp_command *command)
{
    struct request request = edit_of(session, command->words[1], EDIT_EXPIRE);
    request.edit.conditions = EDIT_IF_EXPIRES;
    request.edit.expiry = EDIT_EXPIRY_NEVER;
    send_edit(session, RESP_KIND_HELD, &request);
}

/* --------------------------------------------------------------------- Numbers and bytes. */

/* INCR, DECR, INCRBY, DECRBY */
void resp_incr(struct session *session, const struct resp_command *command)
{
    bool down = command->words[0].data[0] == 'd' || command->words[0].data[0] == 'D';
    struct request request = edit_of(session, command->words[1], EDIT_ADD);
    int64_t number = 1;
    if (command->count > 2 && !resp_number(command->words[2], &number)) {
        resp_fail(session, "ERR", resp_not_integer);
        return;
    }
    if (down && number == INT64_MIN) {
        resp_fail(session, "ERR", "decrement would overflow");
        return;
    }
    request.edit.number = (uint64_t)(down ? -number : number);
    send_edit(session, RESP_KIND_INTEGER, &request);
}

void resp_incrbyfloat(struct session *session, const struct resp_command *command)
{
    struct request request = edit_of(session, command->words[1], EDIT_ADD_FLOAT);
    request.value = command->words[2];
    send_edit(session, RESP_KIND_RESULT, &request);
}

void resp_append(struct session *session, const struct resp_command *command)
{
    struct request request = edit_of(session, command->words[1], EDIT_APPEND);
    request.value = command->words[2];
    send_edit(session, RESP_KIND_SIZE, &request);
}

void resp_setrange(struct session *session, const struct resp_command *command)
{
    struct request request = edit_of(session, command->words[1], EDIT_OVERWRITE);
    int64_t at;
    if (!resp_number(command->words[2], &at))
        resp_fail(session, "ERR", resp_not_integer);
    else if (at < 0)
        resp_fail(session, "ERR", "offset is out of range");
    else {
        request.value = command->words[3];
        request.edit.number = (uint64_t)at;
        send_edit(session, RESP_KIND_SIZE, &request);
    }
}
