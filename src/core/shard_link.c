#include "core/shard_link.h"

enum {
    PAGE_ITEMS = 256,            /* Of members and of peers in one NEWS, each; */
    PAGE_RECORDS = 1024,         /* of records; */
    PAGE_BYTES = 4 * 1024 * 1024 /* and of settings, one beyond. */
};

struct told {
    struct node_id id;
    uint64_t generation;
    uint64_t version;
    uint64_t load_generation;
    uint64_t load_sequence;
    bool up; /* A peer counts as up before it was told of, */
    bool fresh;
    bool welcomed; /* and as not welcoming. */
};

void shard_link_init(struct shard_link *link, uint8_t shard, bool tells_all)
{
    *link = (struct shard_link){.shard = shard, .tells_all = tells_all};
}

void shard_link_done(struct shard_link *link)
{
    mem_free(link->told);
    mem_free(link->records);
    mem_free(link->chosen);
    buf_done(&link->settings);
    *link = (struct shard_link){0};
}

/* -------------------------------------------------------------------------------------- Notes. */

static uint32_t words_of(const struct core *core)
{
    return (ring_ranges(&core->ring) + 63) / 64;
}

void shard_link_record(struct shard_link *link, const struct core *core, uint32_t range,
                       bool chosen)
{
    if (link->records == NULL) {
        link->records = mem_zero(words_of(core) * sizeof(*link->records));
        link->chosen = mem_zero(words_of(core) * sizeof(*link->chosen));
    }
    link->records[range / 64] |= 1ull << range % 64;
    link->chosen[range / 64] |= (uint64_t)chosen << range % 64;
    link->due = true;
}

void shard_link_setting(struct shard_link *link, struct slice name)
{
    struct reader reader = reader_of(buf_slice(&link->settings));
    link->due = true;
    while (reader_left(&reader) > 0) {
        size_t size = read_u8(&reader);
        if (slice_equal(read_bytes(&reader, size), name))
            return;
    }
    ASSERT(name.size <= UINT8_MAX);
    write_u8(&link->settings, (uint8_t)name.size);
    buf_append(&link->settings, name);
}

static struct told *told_find(const struct shard_link *link, struct node_id id)
{
    uint32_t low = 0, high = link->told_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = id_compare(link->told[middle].id, id);
        if (order == 0)
            return &link->told[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void shard_link_verdict(struct shard_link *link, struct node_id node)
{
    struct told *told = told_find(link, node);
    if (told != NULL)
        told->fresh = true;
    link->due = true;
}

void shard_link_knows(struct shard_link *link, const struct core *core,
                      const struct range_record *record)
{
    const struct range_record *newest = ring_get(&core->ring, record->range);
    if (link->records != NULL && record_compare(record, newest) == 0)
        link->records[record->range / 64] &= ~(1ull << record->range % 64);
}

bool shard_link_level(const struct shard_link *link)
{
    return link->acked == link->number && link->settings.size == 0;
}

/* -------------------------------------------------------------------------------------- Pages. */

/* Both tables are sorted by id: keep who is in both, add who is new. */
static void follow_members(struct shard_link *link, const struct core *core)
{
    const struct member_table *members = &core->members;
    struct told *told = mem_zero((members->count + 1) * sizeof(*told));
    uint32_t old = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        struct node_id id = members->members[i]->id;
        while (old < link->told_count && id_compare(link->told[old].id, id) < 0)
            old++;
        bool known = old < link->told_count && id_equal(link->told[old].id, id);
        told[i] = known ? link->told[old] : (struct told){.id = id, .up = true};
    }
    mem_free(link->told);
    link->told = told;
    link->told_count = members->count;
    link->members_seen = members->changes;
}

static bool peer_changed(struct told *told, const struct core *core, const struct load *load,
                         struct shard_peer *ret_peer)
{
    const struct member *member = member_find(&core->members, told->id);
    /* The shards see maintenance in the member's record themselves. */
    bool up = core_is_up(core, told->id) ||
              (member != NULL && member->status == MEMBER_MAINTENANCE && told->up);
    bool welcomed = core->peer_welcomed != NULL && core->peer_welcomed(core, told->id);
    bool newer = load != NULL && (load->generation != told->load_generation ||
                                  load->sequence != told->load_sequence);
    if (up == told->up && welcomed == told->welcomed && !newer && !told->fresh)
        return false;
    *ret_peer =
        (struct shard_peer){.id = told->id, .up = up, .fresh = told->fresh, .welcomed = welcomed};
    if (newer)
        ret_peer->load = *load;
    told->load_generation = load == NULL ? 0 : load->generation;
    told->load_sequence = load == NULL ? 0 : load->sequence;
    told->up = up;
    told->welcomed = welcomed;
    told->fresh = false;
    return true;
}

/* True if there is more than fits. */
static bool fill_members(struct shard_link *link, struct core *core, const struct load_table *loads,
                         struct message *message)
{
    if (link->members_seen != core->members.changes)
        follow_members(link, core);
    struct member *members = core_alloc(core, PAGE_ITEMS * sizeof(*members));
    struct shard_peer *peers = core_alloc(core, PAGE_ITEMS * sizeof(*peers));
    uint32_t count = 0, peers_count = 0;
    for (uint32_t i = 0; i < link->told_count; i++) {
        struct told *told = &link->told[i];
        const struct member *member = core->members.members[i];
        if (count == PAGE_ITEMS || peers_count == PAGE_ITEMS)
            break;
        if (told->generation != member->generation || told->version != member->version)
            members[count++] = *member;
        told->generation = member->generation;
        told->version = member->version;
        if (!id_equal(told->id, core->self) &&
            peer_changed(told, core, loads_find(loads, told->id), &peers[peers_count]))
            peers_count++;
    }
    message->news.delta.members = members;
    message->news.delta.members_count = count;
    message->news.peers = peers;
    message->news.peers_count = peers_count;
    return count == PAGE_ITEMS || peers_count == PAGE_ITEMS;
}

static bool fill_settings(struct shard_link *link, struct core *core, struct message *message)
{
    struct setting *settings = core_alloc(core, PAGE_ITEMS * sizeof(*settings));
    struct reader reader = reader_of(buf_slice(&link->settings));
    uint32_t count = 0;
    size_t size = 0;
    while (reader_left(&reader) > 0 && count < PAGE_ITEMS && size < PAGE_BYTES) {
        size_t name_size = read_u8(&reader);
        const struct setting *setting =
            setting_find(&core->settings, read_bytes(&reader, name_size));
        if (setting == NULL)
            continue;
        settings[count++] = *setting;
        size += setting->value.size;
    }
    buf_consume(&link->settings, link->settings.size - reader_left(&reader));
    message->news.delta.settings = settings;
    message->news.delta.settings_count = count;
    return link->settings.size > 0;
}

static bool fill_records(struct shard_link *link, struct core *core, struct message *message)
{
    uint32_t words = link->records == NULL ? 0 : words_of(core);
    struct range_record *records = core_alloc(core, PAGE_RECORDS * sizeof(*records));
    struct tree_node *chosen = core_alloc(core, PAGE_RECORDS * sizeof(*chosen));
    uint32_t count = 0, chosen_count = 0;
    for (uint32_t word = 0; word < words; word++) {
        while (link->records[word] != 0 && count < PAGE_RECORDS) {
            uint32_t bit = (uint32_t)__builtin_ctzll(link->records[word]);
            uint32_t range = word * 64 + bit;
            records[count++] = *ring_get(&core->ring, range);
            if (link->chosen[word] >> bit & 1)
                chosen[chosen_count++] = (struct tree_node){range, 0};
            link->records[word] &= ~(1ull << bit);
            link->chosen[word] &= ~(1ull << bit);
        }
    }
    message->news.delta.records = records;
    message->news.delta.records_count = count;
    message->news.chosen = chosen;
    message->news.chosen_count = chosen_count;
    return count == PAGE_RECORDS;
}

static bool clocks_differ(const struct peer_clocks *a, const struct peer_clocks *b)
{
    return a->known != b->known || a->low_ms != b->low_ms || a->high_ms != b->high_ms;
}

bool shard_link_clocks_changed(const struct shard_link *link, const struct core *core)
{
    return clocks_differ(&link->clocks, &core->peers);
}

bool shard_link_fill(struct shard_link *link, struct core *core, const struct load_table *loads,
                     struct message *message)
{
    bool more = fill_records(link, core, message);
    bool any = message->news.delta.records_count > 0;
    if (link->tells_all) {
        more = fill_members(link, core, loads, message) || more;
        more = fill_settings(link, core, message) || more;
        if (link->departures != core->members.departures_count) {
            message->news.delta.departures = core->members.departures;
            message->news.delta.departures_count = core->members.departures_count;
            link->departures = core->members.departures_count;
            any = true;
        }
        any = any || message->news.delta.members_count > 0 || message->news.peers_count > 0 ||
              message->news.delta.settings_count > 0 || clocks_differ(&link->clocks, &core->peers);
        link->clocks = core->peers;
        message->news.clocks_known = core->peers.known;
        message->news.clocks_low = (uint64_t)core->peers.low_ms;
        message->news.clocks_high = (uint64_t)core->peers.high_ms;
    }
    link->due = more;
    return any || more;
}
