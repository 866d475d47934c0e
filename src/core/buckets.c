/* Buckets as settings: their encoding and look-up. */
#include "core/buckets.h"

#include "base/checksum.h"

const struct bucket bucket_default = {
    .policy = POLICY_NEWEST,
    .r = CONSISTENCY_QUORUM,
    .w = CONSISTENCY_QUORUM,
    .log_mode = LOG_ALWAYS,
};

void bucket_encode(const struct bucket *bucket, struct buf *out)
{
    write_u8(out, (uint8_t)bucket->policy);
    write_u8(out, bucket->r);
    write_u8(out, bucket->w);
    write_u8(out, bucket->dw);
    write_u8(out, (uint8_t)bucket->log_mode);
    write_u8(out, bucket->dropped);
    write_varint(out, bucket->ttl_ms);
    write_varint(out, bucket->drops);
    if (bucket->drops > 0)
        write_u64(out, bucket->dropped_at);
}

int bucket_decode(struct slice bytes, struct bucket *ret_bucket)
{
    struct reader reader = reader_of(bytes);
    struct bucket bucket = {0};
    uint8_t policy = read_u8(&reader);
    bucket.r = read_u8(&reader);
    bucket.w = read_u8(&reader);
    bucket.dw = read_u8(&reader);
    uint8_t log_mode = read_u8(&reader);
    uint8_t dropped = read_u8(&reader);
    bucket.ttl_ms = read_varint(&reader);
    uint64_t drops = read_varint(&reader);
    bucket.dropped_at = drops > 0 ? read_u64(&reader) : 0;
    if (!reader_finished(&reader) || policy > POLICY_LWW || log_mode > LOG_INTERVAL ||
        dropped > 1 || drops > UINT32_MAX)
        return ERR_CORRUPT;
    bucket.policy = (enum policy)policy;
    bucket.log_mode = (enum log_mode)log_mode;
    bucket.dropped = dropped == 1;
    bucket.drops = (uint32_t)drops;
    *ret_bucket = bucket;
    return 0;
}

int bucket_name_check(struct slice name)
{
    if (name.size == 0 || name.size > BUCKET_SIZE_MAX)
        return ERR_BAD_REQUEST;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool digit = c >= '0' && c <= '9';
        if (!letter && !digit && c != '_' && c != '.' && c != '-')
            return ERR_BAD_REQUEST;
    }
    return 0;
}

int bucket_find(const struct setting_table *settings, struct slice name, struct bucket *ret_bucket)
{
    if (bucket_name_check(name) < 0)
        return ERR_UNKNOWN_BUCKET;
    uint8_t setting[sizeof("bucket/") - 1 + BUCKET_SIZE_MAX] = "bucket/";
    memcpy(setting + sizeof("bucket/") - 1, name.data, name.size);
    struct slice value =
        setting_value(settings, slice_of(setting, sizeof("bucket/") - 1 + name.size));
    struct bucket bucket;
    if (value.size > 0 && bucket_decode(value, &bucket) == 0) {
        if (bucket.dropped)
            return ERR_UNKNOWN_BUCKET;
        *ret_bucket = bucket;
        return 0;
    }
    if (!slice_equal(name, slice_string("default")))
        return ERR_UNKNOWN_BUCKET;
    *ret_bucket = bucket_default;
    return 0;
}

static bool line_of(const struct setting *setting, struct drop_line *ret_line)
{
    size_t prefix = sizeof("bucket/") - 1;
    struct bucket bucket;
    if (setting->name.size <= prefix || memcmp(setting->name.data, "bucket/", prefix) != 0 ||
        bucket_decode(setting->value, &bucket) < 0 || bucket.drops == 0)
        return false;
    *ret_line =
        (struct drop_line){slice_of(setting->name.data + prefix, setting->name.size - prefix),
                           bucket.drops, bucket.dropped_at};
    return true;
}

uint32_t buckets_dropped(const struct setting_table *settings, struct arena *arena,
                         struct drop_line **ret_lines)
{
    struct drop_line line;
    uint32_t count = 0;
    for (uint32_t i = 0; i < settings->count; i++)
        count += line_of(settings->settings[i], &line);
    *ret_lines = arena_alloc(arena, (count + 1) * sizeof(**ret_lines));
    uint32_t filled = 0;
    for (uint32_t i = 0; i < settings->count; i++)
        filled += line_of(settings->settings[i], &(*ret_lines)[filled]);
    return filled;
}

uint64_t buckets_drops_digest(const struct setting_table *settings)
{
    struct drop_line line;
    uint64_t digest = 0;
    for (uint32_t i = 0; i < settings->count; i++)
        if (line_of(settings->settings[i], &line))
            digest ^= checksum64(line.bucket, checksum_pair(line.drops, line.dropped_at));
    return digest;
}
