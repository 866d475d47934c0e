/* Comparing two nodes' tables: by the hashes of buckets, then by digests of the buckets that
 * differ.
 *
 * Buckets 0..15 hold members, departures and settings, buckets 16..79 range records. A digest page
 * is `complete` when it lists its buckets in full: what it does not name, its sender does not have.
 * A bucket too large for a page goes in pieces that are not complete; what the receiver has beyond
 * them is then found when it is the receiver's turn to be asked. */
#include "core/exchange.h"

enum {
    BUCKETS = MEMBER_BUCKETS + RING_BUCKETS,
    DIGEST_PAGES_MAX = 16, /* An answer's digests; the next one begins with the next bucket. */
    LOADS_SIZE_MAX = 600,
    DIGESTS_MAX = 512, /* Looked at in one message: more than any page of ours has. */
};

_Static_assert(MEMBER_BUCKETS == 16 && SETTING_BUCKETS == 16 && RING_BUCKETS == 64,
               "the bits of an ACK");

uint64_t exchange_table_hash(const struct core *core, uint32_t bucket)
{
    return core->members.hashes[bucket] ^ core->settings.hashes[bucket];
}

static uint64_t own_hash(const struct core *core, uint32_t bucket)
{
    return bucket < MEMBER_BUCKETS ? exchange_table_hash(core, bucket)
                                   : core->ring.hashes[bucket - MEMBER_BUCKETS];
}

static uint64_t their_hash(const struct message *syn, uint32_t bucket)
{
    return bucket < MEMBER_BUCKETS ? syn->syn.tables[bucket]
                                   : syn->syn.ranges[bucket - MEMBER_BUCKETS];
}

/* Loads take what is left of a message, but no more than LOADS_SIZE_MAX: with the hashes of a SYN
 * that makes about 2 KB a second for an idle node, at any size of the cluster. */
static const struct load *loads_for(struct gossip *gossip, struct core *core, size_t used,
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

void exchange_begin(struct gossip *gossip, struct core *core, struct message *syn, uint64_t nonce)
{
    syn->syn.nonce = nonce;
    for (uint32_t i = 0; i < MEMBER_BUCKETS; i++)
        syn->syn.tables[i] = exchange_table_hash(core, i);
    memcpy(syn->syn.ranges, core->ring.hashes, sizeof(syn->syn.ranges));
    syn->syn.loads = loads_for(gossip, core, PAGE_HEAD_SIZE + BUCKETS * 9, &syn->syn.loads_count);
}

/* -------------------------------------------------------------------------- One bucket's list. */

static void list(struct gossip *gossip, const struct digest *digest)
{
    if (gossip->listing_count == gossip->listing_capacity) {
        gossip->listing_capacity = MAX(64u, gossip->listing_capacity * 2);
        gossip->listing =
            mem_grow(gossip->listing, gossip->listing_capacity * sizeof(*gossip->listing));
    }
    gossip->listing[gossip->listing_count++] = *digest;
}

static void list_tables(struct gossip *gossip, const struct core *core, uint32_t bucket)
{
    struct node_id first = {(uint64_t)bucket << 60, 0};
    const struct member_table *members = &core->members;
    for (uint32_t i = departure_place(members, first);
         i < members->departures_count && member_bucket(members->departures[i].id) == bucket; i++)
        list(gossip, &(struct digest){.kind = DIGEST_DEPARTURE, .id = members->departures[i].id});
    for (uint32_t i = member_place(members, first);
         i < members->count && member_bucket(members->members[i]->id) == bucket; i++) {
        const struct member *member = members->members[i];
        list(gossip, &(struct digest){.kind = DIGEST_MEMBER,
                                      .id = member->id,
                                      .major = member->generation,
                                      .minor = member->version});
    }
    for (uint32_t i = 0; i < core->settings.count; i++) {
        const struct setting *setting = core->settings.settings[i];
        if (setting_bucket(setting->name) == bucket)
            list(gossip, &(struct digest){.kind = DIGEST_SETTING,
                                          .id = setting->writer,
                                          .name = setting->name,
                                          .major = setting->counter});
    }
}

static void list_ranges(struct gossip *gossip, const struct core *core, uint32_t bucket)
{
    if (!core->ring.records)
        return;
    for (uint32_t range = bucket; range < ring_ranges(&core->ring); range += RING_BUCKETS) {
        const struct range_record *record = ring_get(&core->ring, range);
        if (record->epoch > 0)
            list(gossip, &(struct digest){.kind = DIGEST_RANGE,
                                          .range = range,
                                          .major = record->fork,
                                          .minor = record->epoch,
                                          .nonce = record->nonce});
    }
}

/* Everything in BUCKET into the listing. Names borrow from the tables. */
static void list_bucket(struct gossip *gossip, const struct core *core, uint32_t bucket)
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

/* --------------------------------------------------------------------------------- SYN to ACK. */

/* An ACK being filled. */
struct digest_page {
    struct gossip *gossip;
    struct core *core;
    struct node_id to;
    uint64_t nonce;
    struct digest *digests; /* In the arena, with room for a full page; NULL before the first. */
    uint32_t count;
    size_t size;
    uint16_t tables;
    uint64_t ranges;
    uint32_t sent;
};

enum { DIGESTS_PER_PAGE = GOSSIP_SIZE_MAX / 24 };
_Static_assert((int)DIGESTS_PER_PAGE < (int)DIGESTS_MAX, "we look at what we send");

static void page_clear(struct digest_page *page)
{
    page->digests = NULL;
    page->count = 0;
    page->size = PAGE_HEAD_SIZE + 12;
    page->tables = 0;
    page->ranges = 0;
}

static void page_send(struct digest_page *page, bool complete)
{
    struct message *message = core_send(page->core, page->to, MESSAGE_ACK);
    message->ack.nonce = page->nonce;
    message->ack.tables = page->tables;
    message->ack.ranges = page->ranges;
    message->ack.complete = complete;
    message->ack.digests = page->digests;
    message->ack.digests_count = page->count;
    message->ack.loads = loads_for(page->gossip, page->core, page->size, &message->ack.loads_count);
    page->sent++;
    page_clear(page);
}

static void page_bucket(struct digest_page *page, uint32_t bucket)
{
    if (bucket < MEMBER_BUCKETS)
        page->tables = (uint16_t)(page->tables | 1u << bucket);
    else
        page->ranges |= 1ull << (bucket - MEMBER_BUCKETS);
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

/* List a bucket in full on this page or the next; in pieces if no page could hold it. */
static void page_list(struct digest_page *page, uint32_t bucket)
{
    struct gossip *gossip = page->gossip;
    list_bucket(gossip, page->core, bucket);
    size_t size = listing_size(gossip);
    if (!page_has_room(page, size) && page->tables + page->ranges > 0)
        page_send(page, true);
    bool whole = page_has_room(page, size);
    page_bucket(page, bucket);
    uint32_t count = gossip->listing_count;
    /* Pieces begin anywhere, for the last of them may be too many for one answer. */
    uint32_t first = whole ? 0 : (uint32_t)prng_below(&page->core->prng, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct digest *digest = &gossip->listing[(first + i) % count];
        if (!page_has_room(page, digest_size(digest))) {
            page_send(page, false);
            if (page->sent >= DIGEST_PAGES_MAX)
                return;
            page_bucket(page, bucket);
        }
        page_add(page, digest);
    }
    if (!whole && page->count > 0)
        page_send(page, false);
}

/* All of a bucket that the other side has nothing of. */
static void push_bucket(struct gossip *gossip, struct core *core, uint32_t bucket)
{
    list_bucket(gossip, core, bucket);
    for (uint32_t i = 0; i < gossip->listing_count; i++)
        if (!pages_add(&gossip->pages, core, &gossip->listing[i]))
            return;
}

static void note_agreement(struct gossip *gossip, const struct core *core, bool equal)
{
    struct gossip_counters *counters = &gossip->counters;
    if (equal) {
        counters->equal++;
        if (counters->converging_us > 0)
            counters->converged_us = core->now.us - counters->converging_us;
        counters->converging_us = 0;
    } else {
        counters->different++;
        if (counters->converging_us == 0)
            counters->converging_us = MAX(core->now.us, 1u);
    }
}

void exchange_syn(struct gossip *gossip, struct core *core, struct node_id from,
                  const struct message *message)
{
    struct digest_page page = {
        .gossip = gossip, .core = core, .to = from, .nonce = message->syn.nonce};
    page_clear(&page);
    bool equal = true;
    uint32_t first = gossip->cursor;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        uint32_t bucket = (first + i) % BUCKETS;
        uint64_t theirs = their_hash(message, bucket);
        if (theirs == own_hash(core, bucket))
            continue;
        equal = false;
        if (theirs == 0) {
            push_bucket(gossip, core, bucket);
        } else if (page.sent < DIGEST_PAGES_MAX) {
            page_list(&page, bucket);
            gossip->cursor = (bucket + 1) % BUCKETS;
        }
    }
    if (page.sent == 0 || page.tables + page.ranges > 0)
        page_send(&page, true);
    pages_send(&gossip->pages, core, from, message->syn.nonce);
    note_agreement(gossip, core, equal);
}

/* -------------------------------------------------------------------------------- ACK to ACK2. */

enum side { SAME, OURS_NEWER, THEIRS_NEWER };

static enum side newer(int order)
{
    return order == 0 ? SAME : order > 0 ? OURS_NEWER : THEIRS_NEWER;
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static enum side compare_member(const struct core *core, const struct digest *digest)
{
    if (member_departed(&core->members, digest->id))
        return OURS_NEWER;
    const struct member *member = member_find(&core->members, digest->id);
    if (!member)
        return THEIRS_NEWER;
    int order = compare(member->generation, digest->major);
    return newer(order != 0 ? order : compare(member->version, digest->minor));
}

static enum side compare_setting(const struct core *core, const struct digest *digest)
{
    const struct setting *setting = setting_find(&core->settings, digest->name);
    if (!setting)
        return THEIRS_NEWER;
    int order = compare(setting->counter, digest->major);
    return newer(order != 0 ? order : id_compare(setting->writer, digest->id));
}

static enum side compare_range(const struct core *core, const struct digest *digest)
{
    if (!core->ring.records || digest->range >= ring_ranges(&core->ring) ||
        digest->major > UINT32_MAX || digest->minor == 0)
        return SAME; /* Nothing that we could take in. */
    struct range_epoch theirs = {digest->range, (uint32_t)digest->major, digest->nonce,
                                 digest->minor};
    return newer(-range_epoch_compare(&theirs, ring_get(&core->ring, digest->range)));
}

static enum side compare_digest(const struct core *core, const struct digest *digest)
{
    switch (digest->kind) {
    case DIGEST_DEPARTURE:
        return member_departed(&core->members, digest->id) ? SAME : THEIRS_NEWER;
    case DIGEST_MEMBER:
        return compare_member(core, digest);
    case DIGEST_SETTING:
        return compare_setting(core, digest);
    case DIGEST_RANGE:
        return compare_range(core, digest);
    }
    return SAME;
}

/* Add what we have newer: for a member that departed, that it did. */
static void add_ours(struct gossip *gossip, struct core *core, const struct digest *digest)
{
    if (digest->kind == DIGEST_MEMBER && pages_add_departure(&gossip->pages, core, digest->id))
        return;
    pages_add(&gossip->pages, core, digest);
}

static bool same_item(const struct digest *a, const struct digest *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == DIGEST_SETTING)
        return slice_equal(a->name, b->name);
    return a->kind == DIGEST_RANGE ? a->range == b->range : id_equal(a->id, b->id);
}

static bool listed(const struct digest *digests, uint32_t count, const struct digest *item)
{
    for (uint32_t i = 0; i < count; i++)
        if (same_item(&digests[i], item))
            return true;
    return false;
}

/* What they did not list of a bucket that they listed in full. */
static void add_unlisted(struct gossip *gossip, struct core *core, uint32_t bucket,
                         const struct digest *digests, uint32_t count)
{
    list_bucket(gossip, core, bucket);
    for (uint32_t i = 0; i < gossip->listing_count; i++)
        if (!listed(digests, count, &gossip->listing[i]))
            pages_add(&gossip->pages, core, &gossip->listing[i]);
}

void exchange_ack(struct gossip *gossip, struct core *core, struct node_id from,
                  const struct message *message)
{
    const struct digest *digests = message->ack.digests;
    uint32_t count = MIN(message->ack.digests_count, (uint32_t)DIGESTS_MAX);
    note_agreement(gossip, core, message->ack.tables == 0 && message->ack.ranges == 0);
    struct digest *wants = count == 0 ? NULL : core_alloc(core, count * sizeof(*wants));
    uint32_t wants_count = 0;
    size_t wants_size = PAGE_HEAD_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        switch (compare_digest(core, &digests[i])) {
        case SAME:
            break;
        case OURS_NEWER:
            add_ours(gossip, core, &digests[i]);
            break;
        case THEIRS_NEWER:
            wants_size += digest_size(&digests[i]);
            if (wants_size > GOSSIP_SIZE_MAX)
                break; /* Cannot be in answer to a page of ours; a later round brings it. */
            wants[wants_count] = digests[i];
            wants[wants_count++].name = core_copy(core, digests[i].name);
            break;
        }
    }
    bool complete = message->ack.complete && count == message->ack.digests_count;
    for (uint32_t bucket = 0; complete && bucket < BUCKETS; bucket++)
        if (bucket < MEMBER_BUCKETS ? (message->ack.tables >> bucket & 1) != 0
                                    : (message->ack.ranges >> (bucket - MEMBER_BUCKETS) & 1) != 0)
            add_unlisted(gossip, core, bucket, digests, count);
    if (wants_count > 0 || gossip->pages.count > 0)
        pages_send_ack2(&gossip->pages, core, from, message->ack.nonce, wants, wants_count);
}

void exchange_wants(struct gossip *gossip, struct core *core, struct node_id from,
                    const struct message *message)
{
    uint32_t count = MIN(message->ack2.wants_count, (uint32_t)DIGESTS_MAX);
    for (uint32_t i = 0; i < count; i++)
        pages_add(&gossip->pages, core, &message->ack2.wants[i]);
    pages_send(&gossip->pages, core, from, message->ack2.nonce);
}
