/* The member table: two arrays sorted by id, and a hash for each bucket.
 *
 * Costs: a look-up O(log n); a merge moves pointers of an array when the member is new. A member
 * and its five strings are one allocation, never changed, which copies of the table share.
 *
 *   member    = id, generation, version, status u8, capacity, protocol, 5 strings
 *   departure = id, kind u8, by, nonce u64
 *
 * Numbers without a width are varints. */
#include "data/member.h"

#include "base/checksum.h"
#include "base/rule.h"

enum {
    STRINGS = 5,
    NUMBERS_SIZE_MAX = 16 + 2 * 10 + 1 + 2 * 5 + STRINGS * 3, /* All but what the strings say. */
};

static void strings_of(const struct member *member, struct slice ret_strings[STRINGS])
{
    ret_strings[0] = member->name;
    ret_strings[1] = member->zone;
    ret_strings[2] = member->peer;
    ret_strings[3] = member->client;
    ret_strings[4] = member->http;
}

/* ----------------------------------------------------------------------------------- Encoding. */

void member_encode(const struct member *member, struct buf *out)
{
    struct slice strings[STRINGS];
    strings_of(member, strings);
    size_t size = NUMBERS_SIZE_MAX;
    for (size_t i = 0; i < STRINGS; i++)
        size += strings[i].size;
    buf_reserve(out, size); /* So that it grows once. */
    id_write(out, member->id);
    write_varint(out, member->generation);
    write_varint(out, member->version);
    write_u8(out, (uint8_t)member->status);
    write_varint(out, member->capacity);
    write_varint(out, member->protocol);
    for (size_t i = 0; i < STRINGS; i++)
        write_string(out, strings[i]);
}

static uint32_t read_varint32(struct reader *reader)
{
    uint64_t value = read_varint(reader);
    if (value > UINT32_MAX)
        reader->bad = true;
    return (uint32_t)value;
}

static struct slice read_bounded(struct reader *reader, size_t size_max)
{
    struct slice string = read_string(reader);
    if (string.size > size_max)
        reader->bad = true;
    return string;
}

void member_decode(struct reader *reader, struct member *ret_member)
{
    struct member member = {.id = id_read(reader)};
    member.generation = read_varint(reader);
    member.version = read_varint(reader);
    uint8_t status = read_u8(reader);
    member.status = (enum member_status)status;
    member.capacity = read_varint32(reader);
    member.protocol = read_varint32(reader);
    member.name = read_bounded(reader, NAME_SIZE_MAX);
    member.zone = read_bounded(reader, NAME_SIZE_MAX);
    member.peer = read_bounded(reader, ADDRESS_SIZE_MAX);
    member.client = read_bounded(reader, ADDRESS_SIZE_MAX);
    member.http = read_bounded(reader, ADDRESS_SIZE_MAX);
    if (id_none(member.id) || member.version == 0 || status > MEMBER_LEAVING)
        reader->bad = true;
    *ret_member = reader->bad ? (struct member){0} : member;
}

void departure_encode(const struct departure *departure, struct buf *out)
{
    id_write(out, departure->id);
    write_u8(out, (uint8_t)departure->kind);
    id_write(out, departure->by);
    write_u64(out, departure->nonce);
}

void departure_decode(struct reader *reader, struct departure *ret_departure)
{
    struct departure departure = {.id = id_read(reader)};
    uint8_t kind = read_u8(reader);
    departure.kind = (enum departure_kind)kind;
    departure.by = id_read(reader);
    departure.nonce = read_u64(reader);
    if (id_none(departure.id) || (kind != DEPARTURE_LEFT && kind != DEPARTURE_REMOVED))
        reader->bad = true;
    *ret_departure = reader->bad ? (struct departure){0} : departure;
}

/* ------------------------------------------------------------------------------------- Search. */

void member_table_init(struct member_table *table)
{
    *table = (struct member_table){0};
}

/* What `members` points into. */
struct shared_member {
    uint32_t tables; /* That have it. */
    struct member member;
};

static struct shared_member *shared_of(struct member *member)
{
    return (struct shared_member *)((uint8_t *)member - offsetof(struct shared_member, member));
}

static void member_release(struct member *member)
{
    struct shared_member *shared = shared_of(member);
    if (--shared->tables == 0)
        mem_free(shared);
}

void member_table_copy(struct member_table *table, const struct member_table *from)
{
    ASSERT(!table->members && !table->departures);
    *table = *from;
    table->members = mem_alloc((from->count + 1) * sizeof(table->members[0]));
    for (uint32_t i = 0; i < from->count; i++) {
        table->members[i] = from->members[i];
        shared_of(from->members[i])->tables++;
    }
    table->departures = mem_alloc((from->departures_count + 1) * sizeof(table->departures[0]));
    for (uint32_t i = 0; i < from->departures_count; i++)
        table->departures[i] = from->departures[i];
}

void member_table_done(struct member_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        member_release(table->members[i]);
    mem_free(table->members);
    mem_free(table->departures);
    *table = (struct member_table){0};
}

uint32_t member_place(const struct member_table *table, struct node_id id)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (id_compare(table->members[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t departure_place(const struct member_table *table, struct node_id id)
{
    uint32_t low = 0, high = table->departures_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (id_compare(table->departures[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct member *member_find(const struct member_table *table, struct node_id id)
{
    uint32_t place = member_place(table, id);
    if (place == table->count || !id_equal(table->members[place]->id, id))
        return NULL;
    return table->members[place];
}

const struct departure *departure_find(const struct member_table *table, struct node_id id)
{
    uint32_t place = departure_place(table, id);
    if (place == table->departures_count || !id_equal(table->departures[place].id, id))
        return NULL;
    return &table->departures[place];
}

bool member_departed(const struct member_table *table, struct node_id id)
{
    return departure_find(table, id) != NULL;
}

static bool id_begins(struct node_id id, struct slice digits)
{
    char text[NODE_ID_TEXT];
    id_format(id, text);
    return digits.size > 0 && digits.size < NODE_ID_TEXT &&
           memcmp(text, digits.data, digits.size) == 0;
}

const struct member *member_find_named(const struct member_table *table, struct slice name)
{
    const struct member *named = NULL, *numbered = NULL;
    uint32_t named_count = 0, numbered_count = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct member *member = table->members[i];
        if (slice_equal(member->name, name)) {
            named = member;
            named_count++;
        }
        if (id_begins(member->id, name)) {
            numbered = member;
            numbered_count++;
        }
    }
    if (named_count > 0)
        return named_count == 1 ? named : NULL;
    return numbered_count == 1 ? numbered : NULL;
}

/* -------------------------------------------------------------------------------------- Merge. */

static uint64_t member_hash(const struct member *member)
{
    return checksum_pair(checksum_pair(member->id.hi, member->id.lo),
                         checksum_pair(member->generation, member->version));
}

/* Of the id alone: that somebody departed is what counts. */
static uint64_t departure_hash(struct node_id id)
{
    return checksum_pair(checksum_pair(id.hi, id.lo), UINT64_MAX);
}

static struct slice copy_string(uint8_t **at, struct slice string)
{
    struct slice copy = slice_of(*at, string.size);
    if (string.size > 0)
        memcpy(*at, string.data, string.size);
    *at += string.size;
    return copy;
}

static struct member *member_copy(const struct member *member)
{
    struct slice strings[STRINGS];
    strings_of(member, strings);
    size_t size = 0;
    for (size_t i = 0; i < STRINGS; i++)
        size += strings[i].size;
    struct shared_member *shared = mem_alloc(sizeof(*shared) + size);
    uint8_t *at = (uint8_t *)(shared + 1);
    struct member *copy = &shared->member;
    shared->tables = 1;
    *copy = *member;
    copy->name = copy_string(&at, member->name);
    copy->zone = copy_string(&at, member->zone);
    copy->peer = copy_string(&at, member->peer);
    copy->client = copy_string(&at, member->client);
    copy->http = copy_string(&at, member->http);
    return copy;
}

static bool member_newer(const struct member *member, const struct member *known)
{
    if (member->generation != known->generation)
        return member->generation > known->generation;
    return member->version > known->version;
}

bool member_merge(struct member_table *table, const struct member *member)
{
    ASSERT(!id_none(member->id) && member->version > 0);
    if (RULE(DEPARTED_STAY_AWAY) && member_departed(table, member->id))
        return false;
    uint32_t place = member_place(table, member->id);
    uint64_t *hash = &table->hashes[member_bucket(member->id)];
    if (place < table->count && id_equal(table->members[place]->id, member->id)) {
        struct member *known = table->members[place];
        if (!member_newer(member, known))
            return false;
        *hash ^= member_hash(known);
        /* The copy first: MEMBER may borrow its strings from the record it replaces. */
        table->members[place] = member_copy(member);
        member_release(known);
    } else {
        if (table->count == MEMBERS_MAX)
            return false;
        table->members = mem_grow(table->members, (table->count + 1) * sizeof(table->members[0]));
        memmove(table->members + place + 1, table->members + place,
                (table->count - place) * sizeof(table->members[0]));
        table->members[place] = member_copy(member);
        table->count++;
    }
    *hash ^= member_hash(member);
    table->changes++;
    return true;
}

static void member_forget(struct member_table *table, struct node_id id)
{
    uint32_t place = member_place(table, id);
    if (place == table->count || !id_equal(table->members[place]->id, id))
        return;
    table->hashes[member_bucket(id)] ^= member_hash(table->members[place]);
    member_release(table->members[place]);
    table->count--;
    memmove(table->members + place, table->members + place + 1,
            (table->count - place) * sizeof(table->members[0]));
}

/* Two administrators may have acted at once; all nodes must remember the same of it. */
static bool departure_stronger(const struct departure *a, const struct departure *b)
{
    if (a->kind != b->kind)
        return a->kind > b->kind;
    if (a->nonce != b->nonce)
        return a->nonce < b->nonce;
    return id_compare(a->by, b->by) < 0;
}

bool departure_merge(struct member_table *table, const struct departure *departure)
{
    ASSERT(!id_none(departure->id));
    struct node_id id = departure->id;
    uint32_t place = departure_place(table, id);
    if (place < table->departures_count && id_equal(table->departures[place].id, id)) {
        if (!departure_stronger(departure, &table->departures[place]))
            return false;
        table->departures[place] = *departure;
        table->changes++;
        return true;
    }
    if (table->departures_count == DEPARTURES_MAX)
        return false;
    struct departure copy = *departure; /* It may lie in the very array that grows. */
    table->departures =
        mem_grow(table->departures, (table->departures_count + 1) * sizeof(table->departures[0]));
    memmove(table->departures + place + 1, table->departures + place,
            (table->departures_count - place) * sizeof(table->departures[0]));
    table->departures[place] = copy;
    table->departures_count++;
    table->hashes[member_bucket(id)] ^= departure_hash(id);
    member_forget(table, id);
    table->changes++;
    return true;
}
