/* Answers as docs/protocol.md, "Client port", says. Keys that are not known are passed over, so
 * that nodes may say more than this client understands. */
#include "client/client.h"

#include <stdio.h>

static bool is_key(struct slice key, const char *name)
{
    return slice_equal(key, slice_string(name));
}

static struct kvr_bytes bytes_of(struct slice slice)
{
    return (struct kvr_bytes){slice.data, slice.size};
}

static uint32_t take_u32(struct mp_reader *reader)
{
    uint64_t value = mp_read_uint(reader);
    return value <= UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

int response_decode(struct slice bytes, struct response *ret_response)
{
    struct mp_reader reader = mp_reader_of(bytes);
    uint32_t count = mp_read_array(&reader);
    uint64_t type = mp_read_uint(&reader);
    uint64_t id = mp_read_uint(&reader);
    bool no_error = mp_peek(&reader) == MP_NIL;
    struct slice error = mp_skip(&reader);
    struct slice result = mp_skip(&reader);
    if (!mp_finished(&reader) || count != 4 || type != 1 || id > UINT32_MAX) {
        return ERR_CORRUPT;
    }
    *ret_response = (struct response){
        .id = (uint32_t)id, .failed = !no_error, .error = error, .result = result};
    return 0;
}

static void copy_text(char *to, size_t size, struct slice text)
{
    size_t copied = MIN(text.size, size - 1);
    if (copied > 0) {
        memcpy(to, text.data, copied);
    }
    to[copied] = '\0';
}

static void error_field(struct mp_reader *reader, struct slice key, struct kvr_error *error)
{
    if (is_key(key, "code")) {
        struct slice word = mp_read_bytes(reader);
        error->code = error_of_word(word);
        copy_text(error->word, sizeof(error->word), word);
    } else if (is_key(key, "message")) {
        copy_text(error->message, sizeof(error->message), mp_read_bytes(reader));
    } else if (is_key(key, "advice")) {
        copy_text(error->advice, sizeof(error->advice), mp_read_bytes(reader));
    } else if (is_key(key, "node")) {
        copy_text(error->node, sizeof(error->node), mp_read_bytes(reader));
    } else if (is_key(key, "needed")) {
        error->needed = take_u32(reader);
    } else if (is_key(key, "got")) {
        error->got = take_u32(reader);
    } else if (is_key(key, "slots")) {
        error->slots = take_u32(reader);
    } else if (is_key(key, "copies")) {
        error->copies = take_u32(reader);
    } else {
        mp_skip(reader);
    }
}

int error_decode(struct slice bytes, struct kvr_error *ret_error)
{
    struct mp_reader reader = mp_reader_of(bytes);
    *ret_error = (struct kvr_error){0};
    uint32_t pairs = mp_read_map(&reader);
    for (uint32_t i = 0; i < pairs && !reader.bad; i++) {
        struct slice key = mp_read_bytes(&reader);
        if (mp_peek(&reader) == MP_NIL) {
            mp_skip(&reader);
        } else {
            error_field(&reader, key, ret_error);
        }
    }
    if (!mp_finished(&reader) || ret_error->code == 0) {
        error_set(ret_error, ERR_INTERNAL, "the node's error is not well formed");
    }
    return ret_error->code;
}

static void sibling_read(struct mp_reader *reader, struct kvr_sibling *ret_sibling)
{
    uint32_t pairs = mp_read_map(reader);
    *ret_sibling = (struct kvr_sibling){0};
    for (uint32_t i = 0; i < pairs && !reader->bad; i++) {
        struct slice key = mp_read_bytes(reader);
        if (mp_peek(reader) == MP_NIL) {
            mp_skip(reader);
        } else if (is_key(key, "value")) {
            ret_sibling->value = bytes_of(mp_read_bytes(reader));
        } else if (is_key(key, "type")) {
            ret_sibling->type = bytes_of(mp_read_bytes(reader));
        } else if (is_key(key, "hlc")) {
            ret_sibling->hlc = mp_read_uint(reader);
        } else if (is_key(key, "time_ms")) {
            ret_sibling->time_ms = mp_read_uint(reader);
        } else if (is_key(key, "expires_ms")) {
            ret_sibling->expires_ms = mp_read_uint(reader);
        } else {
            mp_skip(reader);
        }
    }
}

static void siblings_read(struct mp_reader *reader, struct arena *arena, struct kvr_answer *answer)
{
    uint32_t count = mp_read_array(reader);
    struct kvr_sibling *siblings = arena_alloc(arena, count * sizeof(*siblings));
    for (uint32_t i = 0; i < count; i++) {
        sibling_read(reader, &siblings[i]);
    }
    answer->siblings = siblings;
    answer->siblings_count = count;
}

static void answer_field(struct mp_reader *reader, struct slice key, struct arena *arena,
                         struct kvr_answer *answer)
{
    if (mp_peek(reader) == MP_NIL) {
        mp_skip(reader);
    } else if (is_key(key, "siblings")) {
        siblings_read(reader, arena, answer);
    } else if (is_key(key, "context")) {
        answer->context = bytes_of(mp_read_bytes(reader));
    } else if (is_key(key, "held")) {
        answer->held = mp_read_bool(reader);
    } else if (is_key(key, "key")) {
        answer->key = bytes_of(mp_read_bytes(reader));
    } else if (is_key(key, "hlc")) {
        answer->hlc = mp_read_uint(reader);
    } else if (is_key(key, "siblings_count")) {
        answer->versions = take_u32(reader);
    } else if (is_key(key, "needed")) {
        answer->needed = take_u32(reader);
    } else if (is_key(key, "got")) {
        answer->got = take_u32(reader);
    } else if (is_key(key, "slots")) {
        answer->slots = take_u32(reader);
    } else if (is_key(key, "copies")) {
        answer->copies = take_u32(reader);
    } else if (is_key(key, "sloppy")) {
        answer->sloppy = mp_read_bool(reader);
    } else {
        mp_skip(reader);
    }
}

static void answer_read(struct mp_reader *reader, struct arena *arena, struct kvr_answer *answer)
{
    *answer = (struct kvr_answer){0};
    uint32_t pairs = mp_read_map(reader);
    for (uint32_t i = 0; i < pairs && !reader->bad; i++) {
        struct slice key = mp_read_bytes(reader);
        answer_field(reader, key, arena, answer);
    }
}

int answer_decode(struct slice bytes, struct arena *arena, struct kvr_answer *ret_answer)
{
    struct mp_reader reader = mp_reader_of(bytes);
    answer_read(&reader, arena, ret_answer);
    return mp_finished(&reader) ? 0 : ERR_CORRUPT;
}

/* A part of a batch: {result} or {error}. */
static void part_read(struct mp_reader *reader, struct arena *arena, struct kvr_answer *part)
{
    *part = (struct kvr_answer){.code = ERR_INTERNAL};
    uint32_t pairs = mp_read_map(reader);
    for (uint32_t i = 0; i < pairs && !reader->bad; i++) {
        struct slice key = mp_read_bytes(reader);
        bool nil = mp_peek(reader) == MP_NIL;
        if (!nil && is_key(key, "result")) {
            answer_read(reader, arena, part);
        } else if (!nil && is_key(key, "error")) {
            struct kvr_error *error = arena_alloc(arena, sizeof(*error));
            *part =
                (struct kvr_answer){.code = error_decode(mp_skip(reader), error), .error = error};
        } else {
            mp_skip(reader);
        }
    }
    reader->bad = reader->bad || (part->code != 0 && part->error == NULL);
}

int parts_decode(struct slice bytes, struct arena *arena, struct kvr_answer *answers, size_t count)
{
    struct mp_reader reader = mp_reader_of(bytes);
    bool found = false;
    uint32_t pairs = mp_read_map(&reader);
    for (uint32_t i = 0; i < pairs && !reader.bad; i++) {
        if (!is_key(mp_read_bytes(&reader), "results")) {
            mp_skip(&reader);
            continue;
        }
        found = true;
        reader.bad = mp_read_array(&reader) != count || reader.bad;
        for (size_t part = 0; part < count && !reader.bad; part++) {
            part_read(&reader, arena, &answers[part]);
        }
    }
    return found && mp_finished(&reader) ? 0 : ERR_CORRUPT;
}

static void page_field(struct mp_reader *reader, struct slice key, struct arena *arena,
                       struct kvr_page *page)
{
    if (mp_peek(reader) == MP_NIL) {
        mp_skip(reader);
    } else if (is_key(key, "cursor")) {
        page->cursor = bytes_of(mp_read_bytes(reader));
    } else if (is_key(key, "items")) {
        uint32_t count = mp_read_array(reader);
        struct kvr_answer *items = arena_alloc(arena, count * sizeof(*items));
        for (uint32_t i = 0; i < count; i++) {
            answer_read(reader, arena, &items[i]);
        }
        page->items = items;
        page->count = count;
    } else {
        mp_skip(reader);
    }
}

int page_decode(struct slice bytes, struct arena *arena, struct kvr_page *ret_page)
{
    struct mp_reader reader = mp_reader_of(bytes);
    *ret_page = (struct kvr_page){0};
    uint32_t pairs = mp_read_map(&reader);
    for (uint32_t i = 0; i < pairs && !reader.bad; i++) {
        struct slice key = mp_read_bytes(&reader);
        page_field(&reader, key, arena, ret_page);
    }
    return mp_finished(&reader) ? 0 : ERR_CORRUPT;
}
