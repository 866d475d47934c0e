/* One table of headers serves the scan and the cursor: what a first byte says about the value. */
#include "wire/mp.h"

#include "base/error.h"

/* A value's header, decoded: `size` bytes of header, then `body` bytes, then `values` values. */
struct header {
    enum mp_type type;
    uint32_t size;
    uint64_t number; /* Of an integer, bool or float (bits of the double); pairs of a map. */
    uint64_t body;
    uint64_t values;
};

/* A number of 0, 1, 2, 4 or 8 bytes. */
static inline uint64_t load_be(const uint8_t *at, uint32_t size)
{
    switch (size) {
    case 0:
        return 0;
    case 1:
        return at[0];
    case 2:
        return (uint64_t)at[0] << 8 | at[1];
    case 4:
        return (uint64_t)at[0] << 24 | (uint64_t)at[1] << 16 | (uint64_t)at[2] << 8 | at[3];
    default:
        return load_u64_be(at);
    }
}

/* What follows the first bytes 0xc0..0xdf: the type, and how wide a number comes next. */
static const struct {
    uint8_t type;
    uint8_t width;
} wide[32] = {
    {MP_NIL, 0},       {MP_END, 0},       {MP_BOOL, 0},      {MP_BOOL, 0},      {MP_BINARY, 1},
    {MP_BINARY, 2},    {MP_BINARY, 4},    {MP_EXTENSION, 1}, {MP_EXTENSION, 2}, {MP_EXTENSION, 4},
    {MP_FLOAT, 4},     {MP_FLOAT, 8},     {MP_UINT, 1},      {MP_UINT, 2},      {MP_UINT, 4},
    {MP_UINT, 8},      {MP_INT, 1},       {MP_INT, 2},       {MP_INT, 4},       {MP_INT, 8},
    {MP_EXTENSION, 0}, {MP_EXTENSION, 0}, {MP_EXTENSION, 0}, {MP_EXTENSION, 0}, {MP_EXTENSION, 0},
    {MP_STRING, 1},    {MP_STRING, 2},    {MP_STRING, 4},    {MP_ARRAY, 2},     {MP_ARRAY, 4},
    {MP_MAP, 2},       {MP_MAP, 4},
};

/* The forms that hold their number in the first byte. */
static struct header header_short(uint8_t first)
{
    if (first < 0x80)
        return (struct header){.type = MP_UINT, .size = 1, .number = first};
    if (first >= 0xe0)
        return (struct header){
            .type = MP_INT, .size = 1, .number = (uint64_t)(int64_t)(int8_t)first};
    if (first >= 0xa0)
        return (struct header){.type = MP_STRING, .size = 1, .body = first & 0x1f};
    uint32_t count = first & 0x0f;
    if (first >= 0x90)
        return (struct header){.type = MP_ARRAY, .size = 1, .values = count};
    return (struct header){.type = MP_MAP, .size = 1, .number = count, .values = 2 * count};
}

/* Sign-extend a big-endian integer of WIDTH bytes. */
static uint64_t extend(uint64_t number, uint32_t width)
{
    uint32_t unused = 64 - 8 * width;
    return (uint64_t)((int64_t)(number << unused) >> unused);
}

/* The bits of a double that equals the float with these bits. */
static uint64_t widen(uint32_t bits)
{
    float narrow;
    memcpy(&narrow, &bits, sizeof narrow);
    double value = (double)narrow;
    uint64_t ret;
    memcpy(&ret, &value, sizeof ret);
    return ret;
}

/* The forms with a number of WIDTH bytes after the first. */
static struct header header_wide(enum mp_type type, uint8_t first, uint32_t width, uint64_t number)
{
    struct header header = {.type = type, .size = 1 + width, .number = number};
    switch (type) {
    case MP_BOOL:
        header.number = first & 1;
        break;
    case MP_INT:
        header.number = extend(number, width);
        if ((int64_t)header.number >= 0)
            header.type = MP_UINT;
        break;
    case MP_FLOAT:
        header.number = width == 4 ? widen((uint32_t)number) : number;
        break;
    case MP_STRING:
    case MP_BINARY:
        header.body = number;
        break;
    case MP_EXTENSION: /* The five fixed sizes, or a length; then a byte of type. */
        header.size++;
        header.body = width > 0 ? number : 1u << (first - 0xd4);
        break;
    case MP_ARRAY:
        header.values = number;
        break;
    case MP_MAP:
        header.values = 2 * number;
        break;
    default:
        break;
    }
    return header;
}

/* Decode the header at AT, of which LEFT bytes are there. Returns 0, ERR_CORRUPT, or how many bytes
 * the header has when they are not all there. */
static int header_read(const uint8_t *at, size_t left, struct header *ret)
{
    if (left == 0)
        return 1;
    uint8_t first = at[0];
    if (first < 0xc0 || first >= 0xe0) {
        *ret = header_short(first);
        return 0;
    }
    enum mp_type type = wide[first - 0xc0].type;
    uint32_t width = wide[first - 0xc0].width;
    if (type == MP_END)
        return ERR_CORRUPT;
    uint32_t size = 1 + width + (type == MP_EXTENSION);
    if (left < size)
        return (int)size;
    *ret = header_wide(type, first, width, load_be(at + 1, width));
    return 0;
}

/* ------------------------------------------------------------------------------- Scan. */

/* Enter a value with this header: open what it contains, close what it was the last of. */
static void scan_enter(struct mp_scan *scan, const struct header *header)
{
    scan->at += header->size + (size_t)header->body;
    scan->elements++;
    scan->outstanding += header->values - 1;
    if (scan->depth > 0)
        scan->left[scan->depth - 1]--;
    if (header->values > 0)
        scan->left[scan->depth++] = header->values;
    while (scan->depth > 0 && scan->left[scan->depth - 1] == 0)
        scan->depth--;
}

/* Would the value grow past a limit with this header and one byte for each value still to come? */
static bool scan_exceeds(const struct mp_scan *scan, const struct header *header)
{
    uint64_t waiting = scan->outstanding - 1 + header->values;
    bool container = header->type == MP_ARRAY || header->type == MP_MAP;
    return scan->at + header->size + header->body + waiting > scan->limits.size_max ||
           scan->elements + 1 + waiting > scan->limits.elements_max ||
           (container && scan->depth >= scan->limits.depth_max);
}

int mp_scan(struct mp_scan *scan, struct slice bytes, size_t *ret_more)
{
    ASSERT(scan->limits.depth_max <= MP_DEPTH_MAX && scan->at <= bytes.size);
    if (scan->elements == 0)
        scan->outstanding = 1;
    while (scan->outstanding > 0) {
        size_t left = bytes.size - scan->at;
        struct header header = {0};
        int status = header_read(left == 0 ? NULL : bytes.data + scan->at, left, &header);
        if (status < 0)
            return status;
        if (status > 0)
            header.size = (uint32_t)status;
        if (scan_exceeds(scan, &header))
            return ERR_TOO_LARGE;
        uint64_t size = header.size + header.body;
        if (size > left) {
            *ret_more = (size_t)(size - left + scan->outstanding - 1 + header.values);
            return OK;
        }
        scan_enter(scan, &header);
    }
    *ret_more = 0;
    return OK;
}

/* ----------------------------------------------------------------------------- Cursor. */

struct mp_reader mp_reader_of(struct slice bytes)
{
    /* A pointer to nothing must not take part in arithmetic, so an empty slice gets a real one. */
    static const uint8_t nothing;
    const uint8_t *start = bytes.size == 0 ? &nothing : bytes.data;
    return (struct mp_reader){.at = start, .end = start + bytes.size};
}

/* Look at the next header; false if none is there or what it announces cannot be there. */
static inline bool look(const struct mp_reader *reader, struct header *ret)
{
    size_t left = mp_left(reader);
    return !reader->bad && header_read(reader->at, left, ret) == 0 &&
           ret->body <= left - ret->size && ret->values <= left - ret->size;
}

/* Take the next header and body; one of type MP_END and `bad` if there is none. */
static inline struct header take_any(struct mp_reader *reader)
{
    struct header header;
    if (!look(reader, &header)) {
        reader->bad = true;
        return (struct header){.type = MP_END};
    }
    reader->at += header.size + header.body;
    return header;
}

/* The same, if the value is of TYPE. */
static struct header take(struct mp_reader *reader, enum mp_type type)
{
    struct header header = take_any(reader);
    if (header.type == type)
        return header;
    reader->bad = true;
    return (struct header){.type = MP_END};
}

enum mp_type mp_peek(const struct mp_reader *reader)
{
    struct header header;
    return look(reader, &header) ? header.type : MP_END;
}

bool mp_take_nil(struct mp_reader *reader)
{
    if (reader->bad || reader->at == reader->end || *reader->at != 0xc0)
        return false;
    reader->at++;
    return true;
}

bool mp_read_bool_any(struct mp_reader *reader)
{
    return take(reader, MP_BOOL).number != 0;
}

uint64_t mp_read_uint_any(struct mp_reader *reader)
{
    if (mp_left(reader) >= 3 && !reader->bad && *reader->at == 0xcd) {
        reader->at += 3;
        return (uint64_t)reader->at[-2] << 8 | reader->at[-1];
    }
    return take(reader, MP_UINT).number;
}

int64_t mp_read_int(struct mp_reader *reader)
{
    struct header header = take_any(reader);
    if (header.type == MP_INT || (header.type == MP_UINT && header.number <= INT64_MAX))
        return (int64_t)header.number;
    reader->bad = true;
    return 0;
}

double mp_read_double(struct mp_reader *reader)
{
    struct header header = take_any(reader);
    if (header.type == MP_UINT)
        return (double)header.number;
    if (header.type == MP_INT)
        return (double)(int64_t)header.number;
    if (header.type != MP_FLOAT) {
        reader->bad = true;
        return 0;
    }
    double value;
    memcpy(&value, &header.number, sizeof value);
    return value;
}

/* Short strings and binaries have a header of one or two bytes: spare them the table. 0 if it is
 * none of these, or not whole. */
static inline uint32_t short_header(const struct mp_reader *reader, uint32_t *ret_size)
{
    size_t left = mp_left(reader);
    if (reader->bad || left < 2)
        return 0;
    uint8_t first = reader->at[0];
    bool fixed = first >= 0xa0 && first < 0xc0;
    if (!fixed && first != 0xc4 && first != 0xd9)
        return 0;
    uint32_t header = fixed ? 1 : 2;
    *ret_size = fixed ? first & 0x1fU : reader->at[1];
    return *ret_size <= left - header ? header : 0;
}

struct slice mp_read_bytes_any(struct mp_reader *reader)
{
    uint32_t size = 0;
    uint32_t short_size = short_header(reader, &size);
    if (short_size > 0) {
        reader->at += short_size + size;
        return slice_of(reader->at - size, size);
    }
    struct header header = take_any(reader);
    if (header.type == MP_STRING || header.type == MP_BINARY)
        return slice_of(reader->at - header.body, (size_t)header.body);
    reader->bad = true;
    return SLICE_NONE;
}

struct slice mp_read_extension(struct mp_reader *reader, int8_t *ret_type)
{
    struct header header = take(reader, MP_EXTENSION);
    if (reader->bad)
        return SLICE_NONE;
    struct slice body = slice_of(reader->at - header.body, (size_t)header.body);
    *ret_type = (int8_t) * (body.data - 1);
    return body;
}

uint32_t mp_read_array_any(struct mp_reader *reader)
{
    return (uint32_t)take(reader, MP_ARRAY).values;
}

uint32_t mp_read_map(struct mp_reader *reader)
{
    return (uint32_t)take(reader, MP_MAP).number;
}

struct slice mp_skip(struct mp_reader *reader)
{
    const uint8_t *start = reader->at;
    /* Each container adds fewer values than bytes are left, so this cannot overflow. */
    for (uint64_t outstanding = 1; outstanding > 0 && !reader->bad; outstanding--)
        outstanding += take_any(reader).values;
    return reader->bad ? SLICE_NONE : slice_of(start, (size_t)(reader->at - start));
}

bool mp_finished(const struct mp_reader *reader)
{
    return !reader->bad && reader->at == reader->end;
}

/* ----------------------------------------------------------------------------- Writer. */

/* Append FIRST and NUMBER in WIDTH big-endian bytes, with one store. */
static inline void put(struct buf *buf, uint8_t first, uint64_t number, uint32_t width)
{
    uint8_t *at = buf_reserve(buf, 9);
    *at = first;
    store_u64_be(at + 1, number << (64 - 8 * width));
    buf->size += 1 + width;
}

/* A number in the narrowest of 1, 2, 4 and 8 bytes, whose first bytes follow one another. */
static inline void put_narrowest(struct buf *buf, uint8_t first_of_1, uint64_t number)
{
    uint32_t log = number <= UINT8_MAX    ? 0
                   : number <= UINT16_MAX ? 1
                   : number <= UINT32_MAX ? 2
                                          : 3;
    put(buf, (uint8_t)(first_of_1 + log), number, 1u << log);
}

void mp_write_uint_wide(struct buf *buf, uint64_t value)
{
    put_narrowest(buf, 0xcc, value);
}

void mp_write_int(struct buf *buf, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    if (value >= 0)
        mp_write_uint(buf, bits);
    else if (value >= -32)
        buf_append_byte(buf, (uint8_t)value);
    else if (value >= INT8_MIN)
        put(buf, 0xd0, bits, 1);
    else if (value >= INT16_MIN)
        put(buf, 0xd1, bits, 2);
    else if (value >= INT32_MIN)
        put(buf, 0xd2, bits, 4);
    else
        put(buf, 0xd3, bits, 8);
}

void mp_write_double(struct buf *buf, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(buf, 0xcb, bits, 8);
}

void mp_write_string(struct buf *buf, struct slice bytes)
{
    ASSERT(bytes.size <= UINT32_MAX);
    if (bytes.size < 32)
        buf_append_byte(buf, (uint8_t)(0xa0 | bytes.size));
    else
        put_narrowest(buf, 0xd9, bytes.size);
    buf_append(buf, bytes);
}

void mp_write_binary(struct buf *buf, struct slice bytes)
{
    ASSERT(bytes.size <= UINT32_MAX);
    put_narrowest(buf, 0xc4, bytes.size);
    buf_append(buf, bytes);
}

size_t mp_binary_begin(struct buf *buf)
{
    /* Room for the shortest header: most of what is so written is short. */
    put(buf, 0xc4, 0, 1);
    return buf->size;
}

void mp_binary_end(struct buf *buf, size_t start)
{
    size_t size = buf->size - start;
    ASSERT(size <= UINT32_MAX);
    size_t shift = size <= UINT8_MAX ? 0 : size <= UINT16_MAX ? 1 : 3;
    if (shift > 0) {
        buf_reserve(buf, shift);
        memmove(buf->data + start + shift, buf->data + start, size);
    }
    /* The body stands behind the header already: not a byte more than the header is written. */
    uint8_t *header = buf->data + start - 2;
    uint32_t log = shift == 3 ? 2 : (uint32_t)shift;
    header[0] = (uint8_t)(0xc4 + log);
    for (uint32_t i = 0; i < 1u << log; i++)
        header[1 + i] = (uint8_t)(size >> (8 * ((1u << log) - 1 - i)));
    buf->size += shift;
}

static void put_container(struct buf *buf, uint8_t first_short, uint8_t first_of_2, uint32_t count)
{
    if (count < 16)
        buf_append_byte(buf, (uint8_t)(first_short | count));
    else if (count <= UINT16_MAX)
        put(buf, first_of_2, count, 2);
    else
        put(buf, (uint8_t)(first_of_2 + 1), count, 4);
}

void mp_write_array(struct buf *buf, uint32_t count)
{
    put_container(buf, 0x90, 0xdc, count);
}

void mp_write_map(struct buf *buf, uint32_t pairs)
{
    put_container(buf, 0x80, 0xde, pairs);
}
