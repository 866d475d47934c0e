/* Merging news into the tables, and what follows from it. */
#include "core/news.h"

#include "base/error.h"
#include "base/rule.h"

/* --------------------------------------------------------------------------------- Durability. */

static struct meta meta_of(struct core *core, enum meta_kind kind, struct buf *name,
                           struct buf *value)
{
    uint8_t *key = core_alloc(core, 1 + name->size);
    key[0] = (uint8_t)kind;
    memcpy(key + 1, name->data, name->size);
    struct meta meta = {slice_of(key, 1 + name->size), core_copy(core, buf_slice(value))};
    buf_done(name);
    buf_done(value);
    return meta;
}

struct meta news_meta_member(struct core *core, const struct member *member)
{
    struct buf name = {0}, value = {0};
    id_write(&name, member->id);
    member_encode(member, &value);
    return meta_of(core, META_MEMBER, &name, &value);
}

/* A member that departed is deleted. */
static struct meta meta_no_member(struct core *core, struct node_id id)
{
    struct buf name = {0}, value = {0};
    id_write(&name, id);
    return meta_of(core, META_MEMBER, &name, &value);
}

struct meta news_meta_departure(struct core *core, const struct departure *departure)
{
    struct buf name = {0}, value = {0};
    id_write(&name, departure->id);
    departure_encode(departure, &value);
    return meta_of(core, META_DEPARTURE, &name, &value);
}

struct meta news_meta_setting(struct core *core, const struct setting *setting)
{
    struct buf name = {0}, value = {0};
    buf_append(&name, setting->name);
    setting_encode(setting, &value);
    return meta_of(core, META_SETTING, &name, &value);
}

struct meta news_meta_record(struct core *core, const struct range_record *record)
{
    struct buf name = {0}, value = {0};
    for (uint32_t shift = 32; shift > 0; shift -= 8)
        write_u8(&name, (uint8_t)(record->range >> (shift - 8)));
    record_encode(record, &value);
    return meta_of(core, META_CHOSEN, &name, &value);
}

int news_restore(struct core *core, const struct meta *meta)
{
    if (meta->key.size == 0)
        return ERR_CORRUPT;
    struct reader reader = reader_of(meta->value);
    struct member member;
    struct departure departure;
    struct setting setting;
    struct range_record record;
    switch (meta->key.data[0]) {
    case META_MEMBER:
        member_decode(&reader, &member);
        if (!reader_finished(&reader))
            return ERR_CORRUPT;
        member_merge(&core->members, &member);
        return OK;
    case META_DEPARTURE:
        departure_decode(&reader, &departure);
        if (!reader_finished(&reader))
            return ERR_CORRUPT;
        departure_merge(&core->members, &departure);
        return OK;
    case META_SETTING:
        setting_decode(&reader, &setting);
        if (!reader_finished(&reader))
            return ERR_CORRUPT;
        setting_merge(&core->settings, &setting);
        return OK;
    case META_CHOSEN:
        record_decode(&reader, &record);
        if (!reader_finished(&reader) || !core->ring.records ||
            record.range >= ring_ranges(&core->ring))
            return ERR_CORRUPT;
        ring_merge(&core->ring, &record);
        return OK;
    default:
        return OK;
    }
}

/* ------------------------------------------------------------------------------------ Rumours. */

static bool rumour_is(const struct rumour *rumour, const struct digest *digest)
{
    return rumour->kind == digest->kind && id_equal(rumour->id, digest->id) &&
           rumour->range == digest->range &&
           slice_equal(slice_of(rumour->name, rumour->name_size), digest->name);
}

/* Enough for the goals of docs/protocol.md, "Gossip", with one to tell a round, beside the
 * comparison of tables: log2 of the members, and two more against loss. */
static uint8_t rumour_rounds(const struct core *core)
{
    uint8_t rounds = 2;
    for (uint32_t members = core->members.count; members > 1; members /= 2)
        rounds++;
    return rounds;
}

void rumour_add(struct rumours *rumours, const struct core *core, const struct digest *digest)
{
    struct rumour rumour = {.kind = digest->kind,
                            .rounds = rumour_rounds(core),
                            .name_size = (uint8_t)digest->name.size,
                            .range = digest->range,
                            .id = digest->id};
    ASSERT(digest->name.size <= sizeof(rumour.name));
    if (digest->name.size > 0)
        memcpy(rumour.name, digest->name.data, digest->name.size);
    uint32_t last = 0;
    while (last < rumours->count && !rumour_is(&rumours->items[last], digest))
        last++;
    if (last == rumours->count) {
        if (rumours->count < RUMOURS_MAX)
            rumours->count++;
        last = rumours->count - 1;
    }
    memmove(rumours->items + 1, rumours->items, last * sizeof(rumours->items[0]));
    rumours->items[0] = rumour;
}

/* ------------------------------------------------------------------------------------ Merging. */

struct intake {
    struct core *core;
    struct meta *metas; /* In the arena, with room for all. */
    uint32_t metas_count;
    struct digest *news; /* Worth passing on; in the arena, with room for all. */
    uint32_t news_count;
    uint32_t count; /* Of all that was new. */
    bool members_changed;
    bool departures; /* Some of it are. */
};

static void take_departures(struct intake *intake, const struct delta *delta)
{
    struct core *core = intake->core;
    for (uint32_t i = 0; i < delta->departures_count; i++) {
        const struct departure *departure = &delta->departures[i];
        bool known = member_find(&core->members, departure->id) != NULL;
        if (!departure_merge(&core->members, departure))
            continue;
        intake->metas[intake->metas_count++] = news_meta_departure(core, departure);
        if (known)
            intake->metas[intake->metas_count++] = meta_no_member(core, departure->id);
        intake->news[intake->news_count++] =
            (struct digest){.kind = DIGEST_DEPARTURE, .id = departure->id};
        intake->count++;
        intake->members_changed = true;
        intake->departures = true;
    }
}

static void take_members(struct intake *intake, const struct delta *delta)
{
    struct core *core = intake->core;
    for (uint32_t i = 0; i < delta->members_count; i++) {
        const struct member *member = &delta->members[i];
        if (id_equal(member->id, core->self) || !member_merge(&core->members, member))
            continue;
        intake->metas[intake->metas_count++] = news_meta_member(core, member);
        intake->news[intake->news_count++] =
            (struct digest){.kind = DIGEST_MEMBER, .id = member->id};
        intake->count++;
        intake->members_changed = true;
    }
}

/* Merge, tell the other machines, and name it if it is worth passing on. */
static bool take_setting(struct core *core, const struct setting *setting,
                         struct digest *ret_digest)
{
    if (!setting_merge(&core->settings, setting))
        return false;
    struct slice name = core_copy(core, setting->name);
    core_signal(core, SIGNAL_SETTINGS)->name = name;
    *ret_digest = (struct digest){.kind = DIGEST_SETTING, .name = name};
    return true;
}

bool news_setting(struct rumours *rumours, struct core *core, const struct setting *setting)
{
    struct digest digest;
    if (!take_setting(core, setting, &digest))
        return false;
    if (setting->value.size <= RUMOUR_SIZE_MAX)
        rumour_add(rumours, core, &digest);
    return true;
}

static void take_settings(struct intake *intake, const struct delta *delta)
{
    struct core *core = intake->core;
    for (uint32_t i = 0; i < delta->settings_count; i++) {
        const struct setting *setting = &delta->settings[i];
        struct digest digest;
        if (!take_setting(core, setting, &digest))
            continue;
        intake->metas[intake->metas_count++] = news_meta_setting(core, setting);
        intake->count++;
        if (setting->value.size <= RUMOUR_SIZE_MAX)
            intake->news[intake->news_count++] = digest;
    }
}

static void take_records(struct intake *intake, const struct delta *delta)
{
    struct core *core = intake->core;
    if (!core->ring.records)
        return;
    for (uint32_t i = 0; i < delta->records_count; i++) {
        const struct range_record *record = &delta->records[i];
        if (record->range >= ring_ranges(&core->ring) || !ring_merge(&core->ring, record))
            continue;
        /* A member installs it, with its data: the register's to make durable. */
        if (!record_has_member(record, core->self))
            intake->metas[intake->metas_count++] = news_meta_record(core, record);
        intake->count++;
        *core_signal(core, SIGNAL_RECORD) =
            (struct signal){.type = SIGNAL_RECORD, .range = record->range, .stored = true};
        intake->news[intake->news_count++] =
            (struct digest){.kind = DIGEST_RANGE, .range = record->range};
    }
}

void news_keep_record(struct core *core, uint32_t range)
{
    const struct range_record *record = ring_get(&core->ring, range);
    const struct range_record *held = &core->holdings[range].record;
    if (!RULE(FORKS_OF_NEWEST) || core->shard != 0 || record_has_member(record, core->self) ||
        record_compare(record, held) == 0)
        return;
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = news_meta_record(core, record);
    struct store_op *op = core_store(core, STORE_META, token_of(OWNER_GOSSIP, GOSSIP_NEWS));
    op->batch.metas = meta;
    op->batch.metas_count = 1;
}

uint32_t news_merge(struct rumours *rumours, struct core *core, const struct delta *delta,
                    bool pass_on)
{
    size_t room = (size_t)delta->departures_count + delta->members_count + delta->settings_count +
                  delta->records_count;
    if (room == 0)
        return 0;
    struct intake intake = {.core = core};
    intake.metas = core_alloc(core, (room + delta->departures_count) * sizeof(struct meta));
    intake.news = core_alloc(core, room * sizeof(struct digest));
    take_departures(&intake, delta);
    take_members(&intake, delta);
    take_settings(&intake, delta);
    take_records(&intake, delta);
    if (intake.members_changed)
        core_signal(core, SIGNAL_MEMBERS);
    if (intake.metas_count > 0) {
        uint64_t value = intake.departures ? GOSSIP_DEPARTURES : GOSSIP_NEWS;
        struct store_op *op = core_store(core, STORE_META, token_of(OWNER_GOSSIP, value));
        op->sync = intake.departures;
        core->departures_unsynced += intake.departures;
        op->batch.metas = intake.metas;
        op->batch.metas_count = intake.metas_count;
    }
    if (pass_on || intake.count <= CATCHING_UP)
        for (uint32_t i = 0; i < intake.news_count; i++)
            rumour_add(rumours, core, &intake.news[i]);
    core->counters.gossip_news += intake.count;
    return intake.count;
}
