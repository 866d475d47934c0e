#include "store/record.h"

#include "base/rule.h"

void key_append(struct buf *out, uint64_t hash, struct slice bucket, struct slice key)
{
    uint8_t *at = buf_reserve(out, 8 + bucket.size + 1 + key.size);
    uint64_t size = 8 + bucket.size + 1 + key.size;
    store_u64_be(at, hash);
    memcpy(at + 8, bucket.data, bucket.size);
    at[8 + bucket.size] = 0;
    if (key.size > 0)
        memcpy(at + 8 + bucket.size + 1, key.data, key.size);
    out->size += size;
}

bool key_parse(struct slice bytes, uint64_t *ret_hash, struct slice *ret_bucket,
               struct slice *ret_key)
{
    if (bytes.size < 9)
        return false;
    const uint8_t *bucket = bytes.data + 8;
    const uint8_t *end = memchr(bucket, 0, bytes.size - 8);
    if (!end)
        return false;
    *ret_hash = load_u64_be(bytes.data);
    *ret_bucket = slice_of(bucket, (size_t)(end - bucket));
    *ret_key = slice_of(end + 1, bytes.size - (size_t)(end + 1 - bytes.data));
    return true;
}

bool body_parse(struct slice body, struct slice *ret_key, struct slice *ret_object)
{
    if (body.size < BODY_OVERHEAD)
        return false;
    size_t key_size = load_u32(body.data);
    if (key_size > body.size - BODY_OVERHEAD)
        return false;
    struct slice key = slice_of(body.data + 4, key_size);
    struct slice object =
        slice_of(body.data + BODY_OVERHEAD + key_size, body.size - BODY_OVERHEAD - key_size);
    if (load_u64(body.data + 4 + key_size) != body_checksum(key, object))
        return false;
    *ret_key = key;
    *ret_object = object;
    return true;
}

static uint64_t record_checksum(const uint8_t *bytes, size_t size, uint64_t segment, uint32_t run)
{
    return checksum64(slice_of(bytes + 8, size - 8), checksum_pair(segment, run));
}

void record_seal(uint8_t *bytes, size_t size, const struct record *record, uint64_t segment)
{
    store_u32(bytes + 8, (uint32_t)size);
    bytes[12] = (uint8_t)record->type;
    bytes[13] = record->more ? RECORD_MORE : 0;
    bytes[14] = 0; /* Of the only store, or of the log itself. */
    bytes[15] = 0;
    store_u64(bytes + 16, record->position);
    store_u32(bytes + 24, record->run);
    store_u32(bytes + 28, record->unsynced);
    store_u64(bytes, record_checksum(bytes, size, segment, record->run));
}

void envelope_seal(uint8_t *bytes, size_t size, uint64_t checksum, const struct record *record,
                   uint64_t segment)
{
    store_u32(bytes + 8, (uint32_t)size);
    bytes[12] = RECORD_ENVELOPE;
    bytes[13] = 0;
    bytes[14] = (uint8_t)record->store;
    bytes[15] = (uint8_t)(record->store >> 8);
    store_u64(bytes + 16, record->position);
    store_u32(bytes + 24, record->run);
    store_u32(bytes + 28, record->unsynced);
    store_u64(bytes + RECORD_HEADER, checksum);
    store_u64(bytes, record_checksum(bytes, ENVELOPE_HEADER, segment, record->run));
}

void enclosed_seal(uint8_t *bytes, size_t size, const struct record *record)
{
    store_u32(bytes, (uint32_t)size);
    bytes[4] = (uint8_t)record->type;
    bytes[5] = record->more ? RECORD_MORE : 0;
    bytes[6] = 0;
    bytes[7] = 0;
    store_u64(bytes + 8, record->position);
}

bool enclosed_parse(struct slice bytes, struct record *ret_record)
{
    if (bytes.size < ENCLOSED_HEADER)
        return false;
    size_t size = load_u32(bytes.data);
    uint8_t type = bytes.data[4];
    uint8_t flags = bytes.data[5];
    if (size < ENCLOSED_HEADER || record_padded(size) > bytes.size || type < RECORD_OBJECT ||
        type > RECORD_HINT || flags > RECORD_MORE)
        return false;
    *ret_record = (struct record){
        .type = (enum record_type)type,
        .more = flags == RECORD_MORE,
        .position = load_u64(bytes.data + 8),
        .payload = slice_of(bytes.data + ENCLOSED_HEADER, size - ENCLOSED_HEADER),
        .size = record_padded(size),
    };
    return true;
}

bool record_parse(struct slice bytes, uint64_t segment, struct record *ret_record)
{
    if (bytes.size < RECORD_HEADER)
        return false;
    size_t size = load_u32(bytes.data + 8);
    uint8_t type = bytes.data[12];
    uint8_t flags = bytes.data[13];
    uint32_t run = load_u32(bytes.data + 24);
    size_t header = type == RECORD_ENVELOPE ? ENVELOPE_HEADER : RECORD_HEADER;
    uint32_t store = bytes.data[14] | (uint32_t)bytes.data[15] << 8;
    if (size < header || size > bytes.size || type < RECORD_OBJECT || type > RECORD_ENVELOPE ||
        flags > RECORD_MORE)
        return false;
    size_t sealed = type == RECORD_ENVELOPE ? header : size;
    if (RULE(RECORD_CHECKSUM) &&
        load_u64(bytes.data) != record_checksum(bytes.data, sealed, segment, run))
        return false;
    struct slice payload = slice_of(bytes.data + header, size - header);
    if (RULE(RECORD_CHECKSUM) && type == RECORD_ENVELOPE &&
        load_u64(bytes.data + RECORD_HEADER) != envelope_checksum(payload, store))
        return false;
    *ret_record = (struct record){
        .type = (enum record_type)type,
        .more = flags == RECORD_MORE,
        .store = (uint16_t)store,
        .position = load_u64(bytes.data + 16),
        .run = run,
        .unsynced = load_u32(bytes.data + 28),
        .payload = payload,
        .size = record_padded(size),
    };
    return true;
}
