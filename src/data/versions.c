/* Objects taken apart and put together: the byte layout of object.h. */
#include "data/versions.h"

#include "base/error.h"
#include "base/limits.h"
#include "data/vector.h"

enum {
    FORMAT_PLAIN = 1,
    FORMAT_HISTORY = 2,
    FLAGS_POLICY = 3,
    FLAG_TOMBSTONE = 4,
    FLAG_EXPIRES = 8,
    FLAG_DROPS = 16,
    FLAG_TYPE = 32,
    FLAG_FIRST = 64,
    FLAGS_ALL = 127,
};

void versions_init(struct versions *versions)
{
    versions->items = versions->few;
    versions->count = 0;
    versions->capacity = VERSIONS_FEW;
    versions->history = SLICE_NONE;
}

void versions_done(struct versions *versions)
{
    if (versions->items != versions->few)
        mem_free(versions->items);
    versions->items = NULL;
}

/* Room for one more, which is not counted yet. */
static struct version *versions_room(struct versions *versions)
{
    if (versions->count == versions->capacity) {
        size_t size = 2 * (size_t)versions->capacity * sizeof(*versions->items);
        if (versions->items == versions->few) {
            versions->items = mem_alloc(size);
            memcpy(versions->items, versions->few, sizeof(versions->few));
        } else {
            versions->items = mem_grow(versions->items, size);
        }
        versions->capacity *= 2;
    }
    return &versions->items[versions->count];
}

void versions_add(struct versions *versions, const struct version *version)
{
    *versions_room(versions) = *version;
    versions->count++;
}

int dot_compare(struct dot a, struct dot b)
{
    if (a.actor != b.actor)
        return a.actor < b.actor ? -1 : 1;
    return (a.counter > b.counter) - (a.counter < b.counter);
}

int stamp_compare(const struct sibling *a, const struct sibling *b)
{
    if (a->hlc != b->hlc)
        return a->hlc < b->hlc ? -1 : 1;
    return dot_compare(a->dot, b->dot);
}

const struct version *versions_latest(const struct versions *versions)
{
    const struct version *latest = NULL;
    for (uint32_t i = 0; i < versions->count; i++) {
        const struct version *version = &versions->items[i];
        if (latest == NULL || stamp_compare(&version->sibling, &latest->sibling) > 0)
            latest = version;
    }
    return latest;
}

void versions_contexts(const struct versions *versions, struct history *history)
{
    for (uint32_t i = 0; i < versions->count; i++)
        history_add_vector(history, versions->items[i].sibling.context);
    history_add_vector(history, versions->history);
}

static struct dot read_dot(struct reader *reader)
{
    uint64_t actor = read_u64(reader);
    return (struct dot){actor, read_varint(reader)};
}

/* The fields after dot and context. A field that the flags announce must say something, so that
 * there is one way only to write a version. */
static void parse_tail(struct reader *reader, struct sibling *ret_sibling)
{
    struct sibling *sibling = ret_sibling;
    sibling->hlc = read_u64(reader);
    uint8_t flags = read_u8(reader);
    sibling->policy = (enum policy)(flags & FLAGS_POLICY);
    sibling->tombstone = (flags & FLAG_TOMBSTONE) != 0;
    sibling->expires = (flags & FLAG_EXPIRES) != 0 ? read_u64(reader) : 0;
    uint64_t drops = (flags & FLAG_DROPS) != 0 ? read_varint(reader) : 0;
    sibling->type = (flags & FLAG_TYPE) != 0 ? read_string(reader) : SLICE_NONE;
    sibling->first = (flags & FLAG_FIRST) != 0 ? read_dot(reader) : (struct dot){0};
    sibling->value = sibling->tombstone ? SLICE_NONE : read_string(reader);
    sibling->drops = (uint32_t)drops;
    bool empty_field = ((flags & FLAG_EXPIRES) != 0 && sibling->expires == 0) ||
                       ((flags & FLAG_DROPS) != 0 && drops == 0) ||
                       ((flags & FLAG_TYPE) != 0 && sibling->type.size == 0) ||
                       ((flags & FLAG_FIRST) != 0 && sibling->first.counter == 0);
    if (empty_field || (flags & ~FLAGS_ALL) != 0 || sibling->policy > POLICY_LWW ||
        sibling->hlc == 0 || sibling->hlc > STAMP_MAX || drops > UINT32_MAX ||
        sibling->type.size > TYPE_SIZE_MAX || sibling->value.size > VALUE_SIZE_MAX ||
        (sibling->tombstone && (flags & (FLAG_EXPIRES | FLAG_TYPE)) != 0))
        reader->bad = true;
}

static void parse_version(struct reader *reader, struct version *ret_version)
{
    const uint8_t *start = reader->at;
    struct sibling *sibling = &ret_version->sibling;
    sibling->dot = read_dot(reader);
    sibling->context = vector_read(reader);
    if (reader->bad || sibling->dot.counter == 0 || vector_covers(sibling->context, sibling->dot)) {
        reader->bad = true;
        return;
    }
    const uint8_t *tail = reader->at;
    parse_tail(reader, sibling);
    if (!reader->bad && sibling->first.counter > 0 &&
        !vector_covers(sibling->context, sibling->first))
        reader->bad = true;
    ret_version->bytes = slice_of(start, (size_t)(reader->at - start));
    ret_version->tail = slice_of(tail, (size_t)(reader->at - tail));
    ret_version->in_a = false;
    ret_version->in_b = false;
}

int versions_parse(struct slice bytes, struct versions *versions)
{
    if (bytes.size == 0)
        return OK;
    struct reader reader = reader_of(bytes);
    uint8_t format = read_u8(&reader);
    uint64_t count = read_varint(&reader);
    if ((format != FORMAT_PLAIN && format != FORMAT_HISTORY) || count == 0 ||
        count > OBJECT_SIBLINGS_MAX)
        return ERR_CORRUPT;
    if (format == FORMAT_HISTORY) {
        versions->history = vector_read(&reader);
        if (versions->history.size <= 1) /* A count of 0 would say nothing. */
            return ERR_CORRUPT;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct version *version = versions_room(versions);
        parse_version(&reader, version);
        if (reader.bad ||
            (i > 0 && dot_compare(version[-1].sibling.dot, version->sibling.dot) >= 0))
            return ERR_CORRUPT;
        versions->count++;
    }
    return reader_finished(&reader) ? OK : ERR_CORRUPT;
}

bool versions_sole(struct slice bytes, struct stamp *ret_stamp, struct slice *ret_context)
{
    if (bytes.size < 2 || bytes.data[0] != FORMAT_PLAIN || bytes.data[1] != 1)
        return false;
    struct reader reader = reader_of(slice_of(bytes.data + 2, bytes.size - 2));
    ret_stamp->dot.actor = read_u64(&reader);
    ret_stamp->dot.counter = read_varint(&reader);
    const uint8_t *context = reader.at;
    for (uint64_t left = read_varint(&reader); left > 0 && !reader.bad; left--) {
        (void)read_u64(&reader);
        (void)read_varint(&reader);
    }
    *ret_context = slice_of(context, (size_t)(reader.at - context));
    ret_stamp->hlc = read_u64(&reader);
    return !reader.bad;
}

void versions_write_head(uint32_t count, const struct history *history, struct buf *out)
{
    write_u8(out, history->count > 0 ? FORMAT_HISTORY : FORMAT_PLAIN);
    write_varint(out, count);
    if (history->count > 0)
        history_write(history, out);
}

void sibling_write_tail(const struct sibling *sibling, struct buf *out)
{
    unsigned flags = (unsigned)sibling->policy;
    flags |= sibling->tombstone ? FLAG_TOMBSTONE : 0;
    flags |= sibling->expires != 0 ? FLAG_EXPIRES : 0;
    flags |= sibling->drops != 0 ? FLAG_DROPS : 0;
    flags |= sibling->type.size != 0 ? FLAG_TYPE : 0;
    flags |= sibling->first.counter != 0 ? FLAG_FIRST : 0;
    write_u64(out, sibling->hlc);
    write_u8(out, (uint8_t)flags);
    if (sibling->expires != 0)
        write_u64(out, sibling->expires);
    if (sibling->drops != 0)
        write_varint(out, sibling->drops);
    if (sibling->type.size != 0)
        write_string(out, sibling->type);
    if (sibling->first.counter != 0) {
        write_u64(out, sibling->first.actor);
        write_varint(out, sibling->first.counter);
    }
    if (!sibling->tombstone)
        write_string(out, sibling->value);
}

void version_write(const struct version *version, struct buf *out)
{
    const struct sibling *sibling = &version->sibling;
    write_u64(out, sibling->dot.actor);
    write_varint(out, sibling->dot.counter);
    if (sibling->context.size == 0)
        write_varint(out, 0);
    else
        buf_append(out, sibling->context);
    if (version->tail.size == 0)
        sibling_write_tail(sibling, out);
    else
        buf_append(out, version->tail);
}
