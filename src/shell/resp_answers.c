/* Replies made of answers of the core: reads, scans, edits. */
#include <stdio.h>

#include "base/error.h"
#include "data/hlc.h"
#include "shell/clients.h"
#include "shell/resp_commands.h"

static void note_error(struct resp_reply *reply, int error, struct slice detail)
{
    if (reply->error.size > 0)
        return;
    struct buf text = {0};
    buf_append(&text, detail.size > 0 ? detail : slice_string(error_word(error)));
    buf_printf(&text, "; %s", error_advice(error));
    resp_error(error_word(error), buf_slice(&text), &reply->error);
    buf_done(&text);
}

static const char *sentence_of(int error)
{
    return error == ERR_TOO_LARGE ? "the key's history is too long for a context"
                                  : "the stored object cannot be read";
}

/* A value, nil, or the conflict of several. */
static void write_value(struct resp_reply *reply, const struct object *object, struct slice key,
                        struct buf *out)
{
    if (object->count == 0) {
        resp_null(reply->protocol, out);
    } else if (object->count == 1) {
        resp_bulk(object->siblings[0].value, out);
    } else {
        char text[160];
        snprintf(text, sizeof text,
                 "`%.*s` has %u siblings: read them with KV.GET, then KV.PUT one value with that "
                 "context",
                 (int)MIN(key.size, (size_t)60), (const char *)key.data, object->count);
        if (reply->error.size == 0)
            resp_error("CONFLICT", slice_string(text), &reply->error);
    }
}

static int64_t ttl_of(const struct object *object, uint64_t now_hlc)
{
    if (object->count == 0)
        return -2;
    uint64_t expires = object->siblings[0].expires;
    if (expires == 0)
        return -1;
    return (int64_t)(hlc_ms(MAX(expires, now_hlc)) - hlc_ms(now_hlc));
}

static void write_siblings(struct call *call, const struct answer *answer,
                           const struct object *object, struct buf *out)
{
    struct resp_reply *reply = call->reply;
    struct buf context = {0};
    if (object->count == 0) {
        resp_null_array(reply->protocol, out);
        return;
    }
    int error = object_context(answer->object, call->asked.hash_seed, call->asked.bucket,
                               call->asked.key, &context);
    if (error != 0) {
        note_error(reply, error, slice_string(sentence_of(error)));
    } else {
        resp_array(object->count + 1, out);
        resp_bulk(buf_slice(&context), out);
        for (uint32_t i = 0; i < object->count; i++)
            resp_bulk(object->siblings[i].value, out);
    }
    buf_done(&context);
}

/* A key to be deleted was there: delete what was read. True if that is under way. */
static bool delete_read(struct clients *clients, struct call *call, const struct answer *answer)
{
    int error = object_context(answer->object, call->asked.hash_seed, call->asked.bucket,
                               call->asked.key, &call->result);
    if (error == 0) {
        calls_defer(clients, call);
        return true;
    }
    note_error(call->reply, error, slice_string(sentence_of(error)));
    return false;
}

/* Bytes FROM to TO, both included, as Redis counts them. */
static void write_part(const struct resp_reply *reply, const struct object *object, struct buf *out)
{
    int64_t size = object->count == 0 ? 0 : (int64_t)object->siblings[0].value.size;
    int64_t from = reply->from < 0 ? MAX(reply->from + size, INT64_C(0)) : reply->from;
    int64_t to = reply->to < 0 ? MAX(reply->to + size, INT64_C(0)) : MIN(reply->to, size - 1);
    bool none =
        size == 0 || from > to || (reply->from < 0 && reply->to < 0 && reply->from > reply->to);
    struct slice part = SLICE_NONE;
    if (!none)
        part = slice_of(object->siblings[0].value.data + from, (size_t)(to - from + 1));
    resp_bulk(part, out);
}

static int64_t expires_of(const struct object *object)
{
    if (object->count == 0)
        return -2;
    uint64_t expires = object->siblings[0].expires;
    return expires == 0 ? -1 : (int64_t)hlc_ms(expires);
}

/* The answer to a read; true if the call goes on. */
static bool take_read(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    struct buf *out =
        reply->kind == RESP_KIND_VALUES ? &reply->bytes : resp_reply_room(call->session, reply);
    struct object object = {0};
    int error = object_read(answer->object, answer->hlc, answer->drops, &clients->answers, &object);
    if (error == ERR_NOT_FOUND || error == ERR_DELETED)
        object.count = 0;
    else if (error != 0) {
        note_error(reply, error, slice_string(sentence_of(error)));
        return false;
    }
    size_t start = out->size;
    int64_t ttl = ttl_of(&object, answer->hlc);
    int64_t expires = expires_of(&object);
    switch (reply->kind) {
    case RESP_KIND_VALUE:
    case RESP_KIND_VALUES:
        write_value(reply, &object, call->asked.key, out);
        if (reply->parts != NULL)
            reply->parts[call->part] = (struct resp_part){start, out->size - start};
        break;
    case RESP_KIND_EXISTS:
        reply->number += object.count > 0;
        break;
    case RESP_KIND_DELETE:
        return object.count > 0 && delete_read(clients, call, answer);
    case RESP_KIND_LENGTH:
        if (object.count > 1)
            write_value(reply, &object, call->asked.key, out);
        else
            resp_integer(object.count == 0 ? 0 : (int64_t)object.siblings[0].value.size, out);
        break;
    case RESP_KIND_TYPE:
        resp_status(object.count > 0 ? "string" : "none", out);
        break;
    case RESP_KIND_TTL:
        resp_integer(ttl < 0 ? ttl : (ttl + 500) / 1000, out);
        break;
    case RESP_KIND_PTTL:
        resp_integer(ttl, out);
        break;
    case RESP_KIND_EXPIRES:
        resp_integer(expires < 0 ? expires : (expires + 500) / 1000, out);
        break;
    case RESP_KIND_EXPIRES_MS:
        resp_integer(expires, out);
        break;
    case RESP_KIND_PART:
        if (object.count > 1)
            write_value(reply, &object, call->asked.key, out);
        else
            write_part(reply, &object, out);
        break;
    case RESP_KIND_SIBLINGS:
        write_siblings(call, answer, &object, out);
        break;
    default: /* Of no read. */
        break;
    }
    return false;
}

/* Redis' cursor is one number: the hash of the first key that is not in this reply. So keys that
 * share their hash stay together, but for a page of nothing else. */
static uint32_t scan_page(const struct answer *answer, uint64_t *ret_cursor)
{
    uint32_t count = answer->entries_count;
    *ret_cursor = 0;
    if (!answer->more)
        return count;
    *ret_cursor = answer->cursor;
    if (answer->cursor_key.size == 0 || count == 0)
        return count; /* At the start of a range. */
    uint64_t hash = answer->entries[count - 1].hash;
    uint32_t whole = count - 1;
    while (whole > 0 && answer->entries[whole - 1].hash == hash)
        whole--;
    *ret_cursor = whole > 0 ? hash : hash + 1;
    return whole > 0 ? whole : count;
}

/* Does a reader see the key, and is it one of those that are asked for? */
static bool is_found(struct clients *clients, const struct resp_reply *reply,
                     const struct answer *answer, const struct entry *entry)
{
    struct object object;
    return object_read(entry->object, answer->hlc, answer->drops, &clients->answers, &object) ==
               0 &&
           (!reply->match || resp_match(buf_slice(&reply->pattern), entry->key, false));
}

/* A page of KEYS or DBSIZE; true if there are more. */
static bool take_page(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    for (uint32_t i = 0; i < answer->entries_count; i++) {
        if (!is_found(clients, reply, answer, &answer->entries[i]))
            continue;
        reply->number++;
        if (reply->kind == RESP_KIND_KEYS)
            resp_bulk(answer->entries[i].key, &reply->bytes);
    }
    if (reply->kind == RESP_KIND_KEYS &&
        (reply->number > RESP_FOUND_MAX || reply->bytes.size > RESP_FOUND_BYTES_MAX)) {
        resp_error("TOO_LARGE", slice_string("KEYS finds more than one reply may hold; use SCAN"),
                   &reply->error);
        return false;
    }
    if (!answer->more)
        return false;
    buf_clear(&call->result);
    buf_append(&call->result, answer->cursor_key);
    call->cursor = answer->cursor;
    calls_defer(clients, call);
    return true;
}

static void take_scan(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    struct buf *out = resp_reply_room(call->session, reply);
    struct buf keys = {0};
    char cursor_text[24];
    uint64_t cursor;
    uint32_t found = 0, count = scan_page(answer, &cursor);
    for (uint32_t i = 0; i < count && !reply->none; i++) {
        if (!is_found(clients, reply, answer, &answer->entries[i]))
            continue;
        resp_bulk(answer->entries[i].key, &keys);
        found++;
    }
    snprintf(cursor_text, sizeof cursor_text, "%llu", (unsigned long long)cursor);
    resp_array(2, out);
    resp_text(cursor_text, out);
    resp_array(found, out);
    buf_append(out, buf_slice(&keys));
    buf_done(&keys);
}

/* ------------------------------------------------------------------------------- Edits. */

/* Redis' sentence for what an edit could not do; NULL for none. */
static const char *edit_sentence(uint8_t outcome)
{
    static const char *const sentences[EDIT_OUTCOMES] = {
        [EDIT_NOT_INTEGER] = "value is not an integer or out of range",
        [EDIT_OVERFLOWS] = "increment or decrement would overflow",
        [EDIT_NOT_FLOAT] = "value is not a valid float",
        [EDIT_NOT_FINITE] = "increment would produce NaN or Infinity",
        [EDIT_TOO_LARGE] = "string exceeds maximum allowed size (proto-max-bulk-len)",
    };
    return outcome < EDIT_OUTCOMES ? sentences[outcome] : NULL;
}

static bool look(struct clients *clients, struct resp_reply *reply, const struct answer *answer,
                 struct slice bytes, struct object *ret_object)
{
    int error = object_read(bytes, answer->hlc, answer->drops, &clients->answers, ret_object);
    if (error == ERR_NOT_FOUND || error == ERR_DELETED)
        *ret_object = (struct object){0};
    else if (error != 0)
        note_error(reply, error, slice_string(sentence_of(error)));
    return reply->error.size == 0;
}

static void write_edit(struct resp_reply *reply, const struct answer *answer,
                       const struct object *object, struct slice key, struct buf *out)
{
    int64_t number = 0;
    bool held = answer->outcome == EDIT_HELD;
    switch (reply->kind) {
    case RESP_KIND_HELD:
        resp_integer(held, out);
        break;
    case RESP_KIND_OK_HELD:
        if (held)
            resp_status("OK", out);
        else
            resp_null(reply->protocol, out);
        break;
    case RESP_KIND_INTEGER:
        if (object->count != 1 || !edit_integer(object->siblings[0].value, &number))
            note_error(reply, ERR_INTERNAL, slice_string("the sum is not there"));
        else
            resp_integer(number, out);
        break;
    case RESP_KIND_SIZE:
        resp_integer(object->count == 0 ? 0 : (int64_t)object->siblings[0].value.size, out);
        break;
    default: /* RESULT, EARLIER */
        write_value(reply, object, key, out);
        break;
    }
}

/* The answer to an edit. The clock of this node may be ahead of the edit's: what the edit made is
 * shown as it was made. */
static void take_edit(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    const char *sentence = edit_sentence(answer->outcome);
    bool earlier = reply->kind == RESP_KIND_EARLIER;
    struct object object;
    if (sentence != NULL) {
        resp_error("ERR", slice_string(sentence), &reply->error);
        return;
    }
    if (!look(clients, reply, answer, earlier ? answer->earlier : answer->object, &object))
        return;
    if (answer->outcome == EDIT_SIBLINGS)
        write_value(reply, &object, call->asked.key, &reply->bytes);
    else
        write_edit(reply, answer, &object, call->asked.key, resp_reply_room(call->session, reply));
}

bool resp_answer(struct clients *clients, struct call *call, const struct answer *answer)
{
    struct resp_reply *reply = call->reply;
    bool on = false;
    bool missing = answer->error == ERR_NOT_FOUND || answer->error == ERR_DELETED;
    struct answer none = *answer;
    if (missing && call->asked.method == METHOD_GET) {
        none.error = 0;
        none.object = SLICE_NONE;
        answer = &none;
    }
    if (answer->error != 0)
        note_error(reply, answer->error, answer->detail);
    else if (call->asked.method == METHOD_GET)
        on = take_read(clients, call, answer);
    else if (call->asked.method == METHOD_EDIT)
        take_edit(clients, call, answer);
    else if (call->asked.method == METHOD_SCAN && reply->kind != RESP_KIND_SCAN)
        on = take_page(clients, call, answer);
    else if (call->asked.method == METHOD_SCAN)
        take_scan(clients, call, answer);
    else if (reply->kind == RESP_KIND_DELETE)
        reply->number++;
    resp_reply_held(call->session, reply);
    if (!on)
        resp_part_ended(call->session, reply);
    return on;
}
