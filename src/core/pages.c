/* Cuts news into messages. */
#include "core/pages.h"

void pages_done(struct pages *pages)
{
    mem_free(pages->items);
    buf_done(&pages->scratch);
    *pages = (struct pages){0};
}

/* ---------------------------------------------------------------------------------- Estimates. */

/* A MessagePack unsigned integer. */
static uint32_t number_size(uint64_t value)
{
    return value < 128 ? 1 : value < 256 ? 2 : value < 65536 ? 3 : value <= UINT32_MAX ? 5 : 9;
}

enum { ID_SIZE = 20 };

uint32_t digest_size(const struct digest *digest)
{
    return 3 + ID_SIZE + 3 + (uint32_t)digest->name.size + number_size(digest->range) +
           number_size(digest->major) + number_size(digest->minor) + number_size(digest->nonce);
}

uint32_t load_size(const struct load *load)
{
    return 3 + ID_SIZE + number_size(load->generation) + number_size(load->sequence) +
           number_size(load->ops_per_s) + number_size(load->cpu_permille) +
           number_size(load->live_bytes) + number_size(load->file_bytes) +
           number_size(load->free_bytes) + number_size(load->queue) + number_size(load->inbound) +
           number_size(load->p99_us) + number_size(load->hint_bytes) +
           number_size(load->hint_oldest) + number_size(load->hlc_floor) +
           number_size(load->ahead_ms) + number_size(load->behind_ms) + number_size(load->forks);
}

/* Of an item in our own encoding, which is what MessagePack makes of it but for a few heads. */
static uint32_t item_size(struct buf *encoded)
{
    uint32_t size = (uint32_t)encoded->size + 24;
    buf_clear(encoded);
    return size;
}

/* ------------------------------------------------------------------------------------- Adding. */

static bool add(struct pages *pages, enum digest_kind kind, const void *item, uint32_t size)
{
    if (pages->count > 0 && pages->size + size > PAGES_SIZE_MAX)
        return false;
    if (pages->count == pages->capacity) {
        pages->capacity = MAX(64u, pages->capacity * 2);
        pages->items = mem_grow(pages->items, pages->capacity * sizeof(*pages->items));
    }
    pages->items[pages->count++] = (struct page_item){kind, size, item};
    pages->size += size;
    return true;
}

bool pages_add_departure(struct pages *pages, const struct core *core, struct node_id id)
{
    const struct departure *departure = departure_find(&core->members, id);
    if (!departure)
        return false;
    departure_encode(departure, &pages->scratch);
    return add(pages, DIGEST_DEPARTURE, departure, item_size(&pages->scratch));
}

bool pages_add_member(struct pages *pages, const struct core *core, struct node_id id)
{
    const struct member *member = member_find(&core->members, id);
    if (!member)
        return false;
    member_encode(member, &pages->scratch);
    return add(pages, DIGEST_MEMBER, member, item_size(&pages->scratch));
}

bool pages_add_setting(struct pages *pages, const struct core *core, struct slice name)
{
    const struct setting *setting = setting_find(&core->settings, name);
    if (!setting)
        return false;
    uint32_t size = (uint32_t)(setting->name.size + setting->value.size) + ID_SIZE + 40;
    return add(pages, DIGEST_SETTING, setting, size);
}

bool pages_add_record(struct pages *pages, const struct core *core, uint32_t range)
{
    if (!core->ring.records || range >= ring_ranges(&core->ring))
        return false;
    const struct range_record *record = ring_get(&core->ring, range);
    if (record->epoch == 0)
        return false;
    record_encode(record, &pages->scratch);
    return add(pages, DIGEST_RANGE, record, item_size(&pages->scratch));
}

bool pages_add(struct pages *pages, const struct core *core, const struct digest *digest)
{
    switch (digest->kind) {
    case DIGEST_DEPARTURE:
        return pages_add_departure(pages, core, digest->id);
    case DIGEST_MEMBER:
        return pages_add_member(pages, core, digest->id);
    case DIGEST_SETTING:
        return pages_add_setting(pages, core, digest->name);
    case DIGEST_RANGE:
        return pages_add_record(pages, core, digest->range);
    }
    return false;
}

uint32_t pages_add_small(struct pages *pages, const struct core *core, const struct digest *digest)
{
    if (!pages_add(pages, core, digest))
        return 0;
    uint32_t size = pages->items[pages->count - 1].size;
    if (PAGE_HEAD_SIZE + size <= GOSSIP_SIZE_MAX)
        return size;
    pages->count--;
    pages->size -= size;
    return 0;
}

/* ------------------------------------------------------------------------------------ Sending. */

static uint32_t count_kind(const struct page_item *items, uint32_t count, enum digest_kind kind)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        found += items[i].kind == kind;
    return found;
}

static struct member copy_member(struct core *core, const struct member *member)
{
    struct member copy = *member;
    copy.name = core_copy(core, member->name);
    copy.zone = core_copy(core, member->zone);
    copy.peer = core_copy(core, member->peer);
    copy.client = core_copy(core, member->client);
    copy.http = core_copy(core, member->http);
    return copy;
}

static struct setting copy_setting(struct core *core, const struct setting *setting)
{
    struct setting copy = *setting;
    copy.name = core_copy(core, setting->name);
    copy.value = core_copy(core, setting->value);
    return copy;
}

static void *allocate(struct core *core, uint32_t count, size_t size)
{
    return count == 0 ? NULL : core_alloc(core, count * size);
}

/* Tables may change before the step ends, so a message borrows nothing from them. */
static struct delta delta_of(struct core *core, const struct page_item *items, uint32_t count)
{
    struct departure *departures =
        allocate(core, count_kind(items, count, DIGEST_DEPARTURE), sizeof(*departures));
    struct member *members =
        allocate(core, count_kind(items, count, DIGEST_MEMBER), sizeof(*members));
    struct setting *settings =
        allocate(core, count_kind(items, count, DIGEST_SETTING), sizeof(*settings));
    struct range_record *records =
        allocate(core, count_kind(items, count, DIGEST_RANGE), sizeof(*records));
    struct delta delta = {departures, members, settings, records, 0, 0, 0, 0};
    for (uint32_t i = 0; i < count; i++) {
        switch (items[i].kind) {
        case DIGEST_DEPARTURE:
            departures[delta.departures_count++] = *(const struct departure *)items[i].item;
            break;
        case DIGEST_MEMBER:
            members[delta.members_count++] = copy_member(core, items[i].item);
            break;
        case DIGEST_SETTING:
            settings[delta.settings_count++] = copy_setting(core, items[i].item);
            break;
        case DIGEST_RANGE:
            records[delta.records_count++] = *(const struct range_record *)items[i].item;
            break;
        }
    }
    return delta;
}

/* How many items from FROM on fit into a message that already holds USED bytes. */
static uint32_t page_end(const struct pages *pages, uint32_t from, size_t used)
{
    uint32_t end = from;
    while (end < pages->count && used + pages->items[end].size <= GOSSIP_SIZE_MAX)
        used += pages->items[end++].size;
    return end;
}

static void forget(struct pages *pages)
{
    pages->count = 0;
    pages->size = 0;
}

static void send_from(struct pages *pages, struct core *core, struct node_id to, uint64_t nonce,
                      uint32_t from)
{
    while (from < pages->count) {
        uint32_t end = MAX(page_end(pages, from, PAGE_HEAD_SIZE), from + 1);
        struct message *message = core_send(core, to, MESSAGE_BULK);
        message->bulk.nonce = nonce;
        message->bulk.delta = delta_of(core, pages->items + from, end - from);
        from = end;
    }
    forget(pages);
}

void pages_send(struct pages *pages, struct core *core, struct node_id to, uint64_t nonce)
{
    send_from(pages, core, to, nonce, 0);
}

void pages_send_ack2(struct pages *pages, struct core *core, struct node_id to, uint64_t nonce,
                     const struct digest *wants, uint32_t wants_count)
{
    size_t used = PAGE_HEAD_SIZE;
    for (uint32_t i = 0; i < wants_count; i++)
        used += digest_size(&wants[i]);
    uint32_t end = page_end(pages, 0, used);
    struct message *message = core_send(core, to, MESSAGE_ACK2);
    message->ack2.nonce = nonce;
    message->ack2.wants = wants;
    message->ack2.wants_count = wants_count;
    message->ack2.delta = delta_of(core, pages->items, end);
    send_from(pages, core, to, nonce, end);
}

void pages_send_rumour(struct pages *pages, struct core *core, const struct node_id *to,
                       uint32_t count)
{
    uint32_t end = page_end(pages, 0, PAGE_HEAD_SIZE);
    if (end > 0 && count > 0) {
        struct delta delta = delta_of(core, pages->items, end);
        for (uint32_t i = 0; i < count; i++)
            core_send(core, to[i], MESSAGE_BULK)->bulk.delta = delta;
    }
    forget(pages);
}
