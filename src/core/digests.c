/* Listing buckets, and cutting the lists into pages. */
#include "core/digests.h"

enum { LOADS_SIZE_MAX = 600, DIGESTS_PER_PAGE = GOSSIP_SIZE_MAX / 24 };

_Static_assert(MEMBER_BUCKETS == 16 && SETTING_BUCKETS == 16 && RING_BUCKETS == 64,
               "the bits of an ACK");

void buckets_add(struct buckets *buckets, uint32_t bucket)
{
    if (bucket < MEMBER_BUCKETS)
        buckets->tables = (uint16_t)(buckets->tables | 1u << bucket);
    else
        buckets->ranges |= 1ull << (bucket - MEMBER_BUCKETS);
}

/* Loads take what is left of a message, but no more than LOADS_SIZE_MAX: with the hashes of a SYN
 * that makes about 2 KB a second for an idle node, at any size of the cluster. */
const struct load *loads_for(struct gossip *gossip, struct core *core, size_t used,
                             uint32_t *ret_count)
{
    struct load loads[LOADS_PER_MESSAGE];
    uint32_t count = loads_pick(&gossip->loads, core->self, LOADS_PER_MESSAGE, loads);
    uint32_t fit = 0;
    size_t end = MIN(used + LOADS_SIZE_MAX, (size_t)GOSSIP_SIZE_MAX);
    while (fit < count && used + load_size(&loads[fit]) <= end)
        used += load_size(&loads[fit++]);
    *ret_count = fit;
    if (fit == 0)
        return NULL;
    struct load *copy = core_alloc(core, fit * sizeof(*copy));
    memcpy(copy, loads, fit * sizeof(*copy));
    return copy;
}

/* ----------------------------------------------------------------------------------- Listing. */

static void list(struct gossip *gossip, const struct digest *digest)
{
    if (gossip->listing_count == gossip->listing_capacity) {
        gossip->listing_capacity = MAX(64u, gossip->listing_capacity * 2);
        gossip->listing =
            mem_grow(gossip->listing, gossip->listing_capacity * sizeof(*gossip->listing));
    }
    gossip->listing[gossip->listing_count++] = *digest;
}

static struct digest of_departure(struct node_id id)
{
    return (struct digest){.kind = DIGEST_DEPARTURE, .id = id};
}

static struct digest of_member(const struct member *member)
{
    return (struct digest){.kind = DIGEST_MEMBER,
                           .id = member->id,
                           .major = member->generation,
                           .minor = member->version};
}

static struct digest of_setting(const struct setting *setting)
{
    return (struct digest){.kind = DIGEST_SETTING,
                           .id = setting->writer,
                           .name = setting->name,
                           .major = setting->counter};
}

static struct digest of_record(const struct range_record *record)
{
    return (struct digest){.kind = DIGEST_RANGE,
                           .range = record->range,
                           .major = record->fork,
                           .minor = record->epoch,
                           .nonce = record->nonce};
}

static void list_tables(struct gossip *gossip, const struct core *core, uint32_t bucket)
{
    struct node_id first = {(uint64_t)bucket << 60, 0};
    const struct member_table *members = &core->members;
    for (uint32_t i = departure_place(members, first);
         i < members->departures_count && member_bucket(members->departures[i].id) == bucket; i++) {
        struct digest digest = of_departure(members->departures[i].id);
        list(gossip, &digest);
    }
    for (uint32_t i = member_place(members, first);
         i < members->count && member_bucket(members->members[i]->id) == bucket; i++) {
        struct digest digest = of_member(members->members[i]);
        list(gossip, &digest);
    }
    for (uint32_t i = 0; i < core->settings.count; i++) {
        if (setting_bucket(core->settings.settings[i]->name) != bucket)
            continue;
        struct digest digest = of_setting(core->settings.settings[i]);
        list(gossip, &digest);
    }
}

static void list_ranges(struct gossip *gossip, const struct core *core, uint32_t bucket)
{
    if (!core->ring.records)
        return;
    for (uint32_t range = bucket; range < ring_ranges(&core->ring); range += RING_BUCKETS) {
        const struct range_record *record = ring_get(&core->ring, range);
        if (record->epoch == 0)
            continue;
        struct digest digest = of_record(record);
        list(gossip, &digest);
    }
}

void digests_list(struct gossip *gossip, const struct core *core, uint32_t bucket)
{
    gossip->listing_count = 0;
    if (bucket < MEMBER_BUCKETS)
        list_tables(gossip, core, bucket);
    else
        list_ranges(gossip, core, bucket - MEMBER_BUCKETS);
}

static size_t listing_size(const struct gossip *gossip)
{
    size_t size = 0;
    for (uint32_t i = 0; i < gossip->listing_count; i++)
        size += digest_size(&gossip->listing[i]);
    return size;
}

/* ------------------------------------------------------------------------------- Recent news. */

/* The digest of what a rumour is about, and its bucket; false if the tables have it no more. */
static bool look_up(const struct core *core, const struct rumour *rumour, uint32_t *ret_bucket,
                    struct digest *ret_digest)
{
    const struct member *member;
    const struct setting *setting;
    struct slice name = slice_of(rumour->name, rumour->name_size);
    switch (rumour->kind) {
    case DIGEST_DEPARTURE:
        *ret_bucket = member_bucket(rumour->id);
        *ret_digest = of_departure(rumour->id);
        return member_departed(&core->members, rumour->id);
    case DIGEST_MEMBER:
        member = member_find(&core->members, rumour->id);
        if (!member)
            return false;
        *ret_bucket = member_bucket(rumour->id);
        *ret_digest = of_member(member);
        return true;
    case DIGEST_SETTING:
        setting = setting_find(&core->settings, name);
        if (!setting)
            return false;
        *ret_bucket = setting_bucket(name);
        *ret_digest = of_setting(setting);
        return true;
    case DIGEST_RANGE:
        if (!core->ring.records || rumour->range >= ring_ranges(&core->ring))
            return false;
        *ret_bucket = MEMBER_BUCKETS + rumour->range % RING_BUCKETS;
        *ret_digest = of_record(ring_get(&core->ring, rumour->range));
        return ret_digest->minor > 0;
    }
    return false;
}

uint32_t digests_recent(const struct gossip *gossip, const struct core *core,
                        struct buckets buckets, struct digest ret[RUMOURS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < gossip->rumours.count; i++) {
        uint32_t bucket;
        if (look_up(core, &gossip->rumours.items[i], &bucket, &ret[count]) &&
            buckets_have(buckets, bucket))
            count++;
    }
    return count;
}

uint32_t digests_recent_buckets(const struct gossip *gossip, const struct core *core)
{
    struct buckets buckets = {0};
    for (uint32_t i = 0; i < gossip->rumours.count; i++) {
        uint32_t bucket;
        struct digest digest;
        if (look_up(core, &gossip->rumours.items[i], &bucket, &digest))
            buckets_add(&buckets, bucket);
    }
    uint32_t count = 0;
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++)
        count += buckets_have(buckets, bucket);
    return count;
}

/* ------------------------------------------------------------------------------------- Pages. */

static void page_clear(struct digest_page *page)
{
    page->digests = NULL;
    page->count = 0;
    page->size = PAGE_HEAD_SIZE + 12;
    page->buckets = (struct buckets){0};
}

void page_init(struct digest_page *page, struct gossip *gossip, struct core *core,
               struct node_id to, uint64_t nonce)
{
    *page = (struct digest_page){.gossip = gossip, .core = core, .to = to, .nonce = nonce};
    page_clear(page);
}

void page_send(struct digest_page *page, bool complete)
{
    struct message *message = core_send(page->core, page->to, MESSAGE_ACK);
    message->ack.nonce = page->nonce;
    message->ack.tables = page->buckets.tables;
    message->ack.ranges = page->buckets.ranges;
    message->ack.complete = complete;
    message->ack.digests = page->digests;
    message->ack.digests_count = page->count;
    message->ack.loads = loads_for(page->gossip, page->core, page->size, &message->ack.loads_count);
    page->sent++;
    page_clear(page);
}

static bool page_has_room(const struct digest_page *page, size_t size)
{
    return page->size + size <= GOSSIP_SIZE_MAX;
}

static void page_add(struct digest_page *page, const struct digest *digest)
{
    if (!page->digests)
        page->digests = core_alloc(page->core, DIGESTS_PER_PAGE * sizeof(*page->digests));
    ASSERT(page->count < DIGESTS_PER_PAGE);
    struct digest *copy = &page->digests[page->count++];
    *copy = *digest;
    copy->name = core_copy(page->core, digest->name);
    page->size += digest_size(digest);
}

bool page_list(struct digest_page *page, uint32_t bucket, uint32_t *ret_pages)
{
    struct gossip *gossip = page->gossip;
    digests_list(gossip, page->core, bucket);
    size_t size = listing_size(gossip);
    size_t room = GOSSIP_SIZE_MAX - (PAGE_HEAD_SIZE + 12);
    *ret_pages = (uint32_t)(size / room) + 1;
    if (size > room)
        return false;
    if (!page_has_room(page, size))
        page_send(page, true);
    buckets_add(&page->buckets, bucket);
    for (uint32_t i = 0; i < gossip->listing_count; i++)
        page_add(page, &gossip->listing[i]);
    return true;
}

/* A page of whole buckets must not be mixed with others. */
static void page_end_whole(struct digest_page *page)
{
    if (!buckets_none(page->buckets))
        page_send(page, true);
}

void page_list_pieces(struct digest_page *page, uint32_t bucket)
{
    struct gossip *gossip = page->gossip;
    page_end_whole(page);
    digests_list(gossip, page->core, bucket);
    uint32_t count = gossip->listing_count;
    /* Begin anywhere, for the last pieces may be too many for one answer. */
    uint32_t first = (uint32_t)prng_below(&page->core->prng, MAX(count, 1u));
    buckets_add(&page->buckets, bucket);
    for (uint32_t i = 0; i < count; i++) {
        const struct digest *digest = &gossip->listing[(first + i) % count];
        if (!page_has_room(page, digest_size(digest))) {
            page_send(page, false);
            if (page->sent >= DIGEST_PAGES_MAX)
                return;
            buckets_add(&page->buckets, bucket);
        }
        page_add(page, digest);
    }
    page_send(page, false);
}

void page_list_recent(struct digest_page *page, struct buckets buckets)
{
    struct digest recent[RUMOURS_MAX];
    uint32_t count = digests_recent(page->gossip, page->core, buckets, recent);
    page_end_whole(page);
    page->buckets = buckets;
    for (uint32_t i = 0; i < count && page_has_room(page, digest_size(&recent[i])); i++)
        page_add(page, &recent[i]);
    page_send(page, false);
}
