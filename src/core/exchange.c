/* Comparing two nodes' tables: by the hashes of buckets, then by digests of the buckets that
 * differ. Where a bucket is too large to be listed on a page, news is looked for first: most nodes
 * differ by what both will know in a few seconds, and listing thousands of members for that would
 * cost a large cluster more than all other gossip. What is found then is what either side is
 * telling as a rumour; what is older is found by pieces of the list, sent at times, or always when
 * more buckets differ than there is news of. */
#include "core/exchange.h"

#include "core/digests.h"

enum { DIGESTS_MAX = 512 /* Looked at in one message: more than any page of ours has. */ };

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

void exchange_begin(struct gossip *gossip, struct core *core, struct message *syn, uint64_t nonce)
{
    syn->syn.nonce = nonce;
    for (uint32_t i = 0; i < MEMBER_BUCKETS; i++)
        syn->syn.tables[i] = exchange_table_hash(core, i);
    memcpy(syn->syn.ranges, core->ring.hashes, sizeof(syn->syn.ranges));
    syn->syn.loads = loads_for(gossip, core, PAGE_HEAD_SIZE + BUCKETS * 9, &syn->syn.loads_count);
}

/* --------------------------------------------------------------------------------- SYN to ACK. */

/* All of a bucket that the other side has nothing of. */
static void push_bucket(struct gossip *gossip, struct core *core, uint32_t bucket)
{
    digests_list(gossip, core, bucket);
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

/* Of DIFFERING buckets those that no page can hold: the news, and pieces of the lists. While news
 * may be all that differs, the chance of these is such that an answer has two pieces of a bucket on
 * average, however large it is. */
static void list_large(struct digest_page *page, struct buckets large,
                       const uint32_t pages[BUCKETS], uint32_t differing)
{
    struct gossip *gossip = page->gossip;
    bool missing = differing > digests_recent_buckets(gossip, page->core);
    uint32_t first = gossip->cursor;
    page_list_recent(page, large);
    for (uint32_t i = 0; i < BUCKETS && page->sent < DIGEST_PAGES_MAX; i++) {
        uint32_t bucket = (first + i) % BUCKETS;
        if (!buckets_have(large, bucket) ||
            (!missing && prng_below(&page->core->prng, pages[bucket]) >= 2))
            continue;
        page_list_pieces(page, bucket);
        gossip->cursor = (bucket + 1) % BUCKETS;
    }
}

void exchange_syn(struct gossip *gossip, struct core *core, struct node_id from,
                  const struct message *message)
{
    struct digest_page page;
    struct buckets large = {0};
    uint32_t pages[BUCKETS];
    uint32_t differing = 0;
    uint32_t first = gossip->cursor;
    page_init(&page, gossip, core, from, message->syn.nonce);
    for (uint32_t i = 0; i < BUCKETS; i++) {
        uint32_t bucket = (first + i) % BUCKETS;
        uint64_t theirs = their_hash(message, bucket);
        if (theirs == own_hash(core, bucket))
            continue;
        differing++;
        if (theirs == 0)
            push_bucket(gossip, core, bucket);
        else if (page.sent >= DIGEST_PAGES_MAX)
            continue;
        else if (page_list(&page, bucket, &pages[bucket]))
            gossip->cursor = (bucket + 1) % BUCKETS;
        else
            buckets_add(&large, bucket);
    }
    if (!buckets_none(large))
        list_large(&page, large, pages, differing);
    if (page.sent == 0 || !buckets_none(page.buckets))
        page_send(&page, true);
    pages_send(&gossip->pages, core, from, message->syn.nonce);
    note_agreement(gossip, core, differing == 0);
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
    digests_list(gossip, core, bucket);
    for (uint32_t i = 0; i < gossip->listing_count; i++)
        if (!listed(digests, count, &gossip->listing[i]))
            pages_add(&gossip->pages, core, &gossip->listing[i]);
}

/* Of a bucket that they could not list in full: our news that they did not name. Once for each
 * bucket and round, for they name their news on one page only. */
static void add_recent(struct gossip *gossip, struct core *core, struct round *round,
                       struct buckets buckets, const struct digest *digests, uint32_t count)
{
    struct buckets todo = {.tables = (uint16_t)(buckets.tables & ~round->told.tables),
                           .ranges = buckets.ranges & ~round->told.ranges};
    round->told.tables |= todo.tables;
    round->told.ranges |= todo.ranges;
    if (buckets_none(todo))
        return;
    struct digest recent[RUMOURS_MAX];
    uint32_t recent_count = digests_recent(gossip, core, todo, recent);
    for (uint32_t i = 0; i < recent_count; i++)
        if (!listed(digests, count, &recent[i]))
            pages_add_small(&gossip->pages, core, &recent[i]);
}

/* Sort what they have into what we want and what we have newer. Returns how many we want. */
static uint32_t compare_all(struct gossip *gossip, struct core *core, const struct digest *digests,
                            uint32_t count, struct digest *ret_wants)
{
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
            ret_wants[wants_count] = digests[i];
            ret_wants[wants_count++].name = core_copy(core, digests[i].name);
            break;
        }
    }
    return wants_count;
}

void exchange_ack(struct gossip *gossip, struct core *core, struct round *round,
                  struct node_id from, const struct message *message)
{
    const struct digest *digests = message->ack.digests;
    uint32_t count = MIN(message->ack.digests_count, (uint32_t)DIGESTS_MAX);
    struct buckets buckets = {message->ack.tables, message->ack.ranges};
    note_agreement(gossip, core, buckets_none(buckets));
    struct digest *wants = count == 0 ? NULL : core_alloc(core, count * sizeof(*wants));
    uint32_t wants_count = compare_all(gossip, core, digests, count, wants);
    bool complete = message->ack.complete && count == message->ack.digests_count;
    for (uint32_t bucket = 0; complete && bucket < BUCKETS; bucket++)
        if (buckets_have(buckets, bucket))
            add_unlisted(gossip, core, bucket, digests, count);
    if (!complete)
        add_recent(gossip, core, round, buckets, digests, count);
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
