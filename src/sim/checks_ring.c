/* Records: how they follow one another, and who may say so. */
#include "data/fork.h"
#include "sim/admin.h"
#include "sim/checks_own.h"
#include "sim/describe.h"
#include "sim/host.h"

int checks_compare(const struct range_epoch *a, const struct range_epoch *b)
{
    if (a->fork != b->fork)
        return a->fork < b->fork ? -1 : 1;
    if (a->nonce != b->nonce)
        return a->nonce > b->nonce ? -1 : 1;
    return (a->epoch > b->epoch) - (a->epoch < b->epoch);
}

static struct range_epoch epoch_of(const struct range_record *record)
{
    return (struct range_epoch){record->range, record->fork, record->nonce, record->epoch};
}

static const struct range_record *find(const struct record_list *list, uint32_t fork,
                                       uint64_t nonce, uint64_t epoch)
{
    for (uint32_t i = list->count; i-- > 0;) {
        const struct range_record *record = &list->records[i];
        if (record->epoch == epoch && record->fork == fork && record->nonce == nonce)
            return record;
    }
    return NULL;
}

const struct range_record *checks_find(const struct checks *checks, const struct range_epoch *range)
{
    if (range->range >= checks->ranges)
        return NULL;
    return find(&checks->lists[range->range], range->fork, range->nonce, range->epoch);
}

const struct range_record *checks_find_epoch(const struct checks *checks, uint32_t range,
                                             uint64_t epoch)
{
    if (range >= checks->ranges)
        return NULL;
    const struct record_list *list = &checks->lists[range];
    for (uint32_t i = list->count; i-- > 0;)
        if (list->records[i].epoch == epoch)
            return &list->records[i];
    return NULL;
}

const struct range_record *checks_newest(const struct world *world, uint32_t range)
{
    const struct record_list *list = &world->checks->lists[range];
    const struct range_record *newest = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        struct range_epoch one = epoch_of(&list->records[i]);
        struct range_epoch best = newest == NULL ? (struct range_epoch){0} : epoch_of(newest);
        if (newest == NULL || checks_compare(&one, &best) > 0)
            newest = &list->records[i];
    }
    return newest;
}

static void say(struct world *world, const char *invariant, uint32_t speaker, const char *what,
                const struct range_record *a, const struct range_record *b)
{
    struct buf text = {0};
    describe_record(world, a, &text);
    if (b != NULL) {
        buf_printf(&text, " and");
        describe_record(world, b, &text);
    }
    world_violate(world, invariant, "%s: %s:%.*s", world_host_name(speaker), what, (int)text.size,
                  (const char *)text.data);
    buf_done(&text);
}

/* Written out here, not with the core's helpers: those are what is checked. */
static void check_distinct(struct world *world, uint32_t speaker, const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *a = &record->slots[i];
        if (!id_none(a->owner) && id_equal(a->owner, a->target))
            say(world, "DistinctSlots", speaker, "a slot moves onto itself", record, NULL);
        for (uint32_t k = i + 1; k < record->slots_count; k++) {
            const struct slot *b = &record->slots[k];
            bool shared = (!id_none(a->owner) &&
                           (id_equal(a->owner, b->owner) || id_equal(a->owner, b->target))) ||
                          (!id_none(a->target) &&
                           (id_equal(a->target, b->owner) || id_equal(a->target, b->target)));
            if (shared || a->number == b->number)
                say(world, "DistinctSlots", speaker, "one node in two slots", record, NULL);
        }
    }
}

struct node_id checks_reader(const struct slot *slot)
{
    switch (slot->stage) {
    case STAGE_STABLE:
    case STAGE_JOINT:
    case STAGE_BACK:
        return slot->owner;
    case STAGE_CUT:
        return slot->target;
    default:
        return NODE_NONE;
    }
}

static bool installed(const struct world *world, struct node_id id, const struct range_record *base)
{
    int host = world_host_of(world, id);
    if (host < 0)
        return false;
    if (host_restored(world->hosts[host]))
        return true; /* What an old disk installs is not followed: it acknowledges nothing. */
    const struct install *install = install_of(world->checks, (uint32_t)host, base->range);
    struct range_epoch wanted = epoch_of(base);
    return checks_compare(&install->durable, &wanted) >= 0;
}

/* Has WHO installed BASE durably, or K readers of slots other than NUMBER? */
static bool fenced(const struct world *world, const struct range_record *base, struct node_id who,
                   uint8_t number)
{
    if (installed(world, who, base))
        return true;
    uint32_t counted = 0;
    uint32_t others = 0;
    for (uint32_t i = 0; i < base->slots_count; i++) {
        const struct slot *slot = &base->slots[i];
        counted += slot->stage != STAGE_LEARN;
        struct node_id reader = checks_reader(slot);
        others += slot->number != number && !id_none(reader) && installed(world, reader, base);
    }
    return others >= counted - (counted / 2 + 1) + 1;
}

static const struct slot *slot_numbered(const struct range_record *record, uint8_t number)
{
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (record->slots[i].number == number)
            return &record->slots[i];
    return NULL;
}

static bool may_become(enum stage from, enum stage to)
{
    switch (from) {
    case STAGE_STABLE:
        return to == STAGE_JOINT || to == STAGE_FENCE;
    case STAGE_JOINT:
        return to == STAGE_CUT || to == STAGE_STABLE;
    case STAGE_CUT:
        return to == STAGE_STABLE || to == STAGE_BACK;
    case STAGE_BACK:
    case STAGE_LEARN:
        return to == STAGE_STABLE;
    case STAGE_FENCE:
        return to == STAGE_REBUILD || to == STAGE_STABLE;
    case STAGE_REBUILD:
        return to == STAGE_STABLE || to == STAGE_FENCE;
    }
    return false;
}

/* The facts that must hold before BASE's slot may become AFTER's. */
static void check_facts(struct world *world, uint32_t speaker, const struct range_record *base,
                        const struct range_record *next, const struct slot *before,
                        const struct slot *after)
{
    bool allowed = true;
    if (before->stage == STAGE_JOINT && after->stage == STAGE_CUT)
        allowed = installed(world, before->owner, base);
    else if (before->stage == STAGE_CUT && after->stage == STAGE_STABLE)
        allowed = fenced(world, base, before->owner, before->number);
    else if (before->stage == STAGE_BACK)
        allowed = fenced(world, base, before->target, before->number);
    else if (before->stage == STAGE_FENCE && after->stage == STAGE_REBUILD &&
             !fenced(world, base, NODE_NONE, before->number))
        say(world, "KFenceBeforeRebuild", speaker, "not fenced by enough others", base, next);
    else if (before->stage == STAGE_REBUILD && after->stage == STAGE_STABLE &&
             !checks_rebuilt(world->checks, base))
        say(world, "RebuiltFromEnough", speaker, "too few others sent what they have", base, next);
    if (!allowed)
        say(world, "FenceBeforeStable", speaker, "not installed yet", base, next);
}

static void check_follows(struct world *world, uint32_t speaker, const struct range_record *base,
                          const struct range_record *next)
{
    uint32_t changes = 0;
    for (uint32_t i = 0; i < next->slots_count; i++) {
        const struct slot *after = &next->slots[i];
        const struct slot *before = slot_numbered(base, after->number);
        if (before == NULL) {
            changes++;
            if (after->stage != STAGE_LEARN)
                say(world, "FollowsRules", speaker, "a new slot counts at once", base, next);
            continue;
        }
        bool same = before->stage == after->stage && id_equal(before->owner, after->owner) &&
                    id_equal(before->target, after->target);
        if (same)
            continue;
        changes++;
        if (before->stage == after->stage || !may_become(before->stage, after->stage))
            say(world, "FollowsRules", speaker, "no such step", base, next);
        else
            check_facts(world, speaker, base, next, before, after);
    }
    for (uint32_t i = 0; i < base->slots_count; i++) {
        const struct slot *gone = &base->slots[i];
        if (slot_numbered(next, gone->number) != NULL)
            continue;
        changes++;
        if (gone->stage == STAGE_FENCE && !fenced(world, base, NODE_NONE, gone->number))
            say(world, "KFenceBeforeRebuild", speaker, "given up too early", base, next);
    }
    if (changes > 1)
        say(world, "FollowsRules", speaker, "two slots change at once", base, next);
}

static void list_add(struct record_list *list, const struct range_record *record)
{
    if (list->count == list->capacity) {
        list->capacity = MAX(8u, list->capacity * 2);
        list->records = mem_grow(list->records, list->capacity * sizeof(*list->records));
    }
    list->records[list->count++] = *record;
}

/* Only what would follow one and the same record is kept: of an older one it is settled. */
static void note_proposed(struct world *world, const struct range_record *record)
{
    struct record_list *list = &world->checks->proposed[record->range];
    if (list->count > 0) {
        struct range_epoch had = epoch_of(&list->records[0]);
        struct range_epoch has = epoch_of(record);
        int order = checks_compare(&has, &had);
        if (order < 0)
            return;
        if (order > 0)
            list->count = 0;
    }
    for (uint32_t i = 0; i < list->count; i++)
        if (record_equal(&list->records[i], record))
            return;
    list_add(list, record);
}

uint32_t checks_proposed(const struct world *world, uint32_t range,
                         const struct range_record **ret_records)
{
    const struct record_list *list = &world->checks->proposed[range];
    const struct range_record *newest = checks_newest(world, range);
    *ret_records = list->records;
    if (list->count == 0 || newest == NULL)
        return 0;
    struct range_epoch had = epoch_of(&list->records[0]);
    struct range_epoch has = epoch_of(newest);
    return checks_compare(&had, &has) > 0 ? list->count : 0;
}

void checks_record_proposed(struct world *world, uint32_t speaker,
                            const struct range_record *record)
{
    struct checks *checks = world->checks;
    if (record->range >= checks->ranges || record->epoch < 2)
        return;
    check_distinct(world, speaker, record);
    note_proposed(world, record);
    const struct range_record *base =
        find(&checks->lists[record->range], record->fork, record->nonce, record->epoch - 1);
    if (base != NULL)
        check_follows(world, speaker, base, record);
}

static bool equal(struct checks *checks, const struct range_record *a, const struct range_record *b)
{
    struct buf *bytes = &checks->bytes;
    buf_clear(bytes);
    record_encode(a, bytes);
    size_t size = bytes->size;
    record_encode(b, bytes);
    return slice_equal(slice_of(bytes->data, size),
                       slice_of(bytes->data + size, bytes->size - size));
}

/* Who has said good-bye is counted on by nobody any more. */
static void check_present(struct world *world, uint32_t speaker, const struct range_record *base,
                          const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        const struct slot *before = base == NULL ? NULL : slot_numbered(base, slot->number);
        struct node_id reader = checks_reader(slot);
        int host = world_host_of(world, reader);
        bool read = before != NULL && id_equal(checks_reader(before), reader);
        if (host >= 0 && !read && world->checks->left[host])
            say(world, "DeparturesForever", speaker, "a slot is given to who has left", record,
                NULL);
    }
}

/* The first record of a fork: an administrator gave so many nodes of some record up that no
 * majority of its readers is left, and nobody is in it whom that record did not have, but for one
 * who begins with nothing. */
static bool forks_rightly(const struct world *world, const struct range_record *base,
                          const struct range_record *fork)
{
    uint32_t counted = 0, left = 0, strangers = 0;
    for (uint32_t i = 0; i < base->slots_count; i++) {
        int reader = world_host_of(world, checks_reader(&base->slots[i]));
        counted += base->slots[i].stage != STAGE_LEARN;
        left +=
            reader >= 0 && !admin_removed(world, (uint32_t)reader) && !world->checks->left[reader];
    }
    for (uint32_t i = 0; i < fork->slots_count; i++) {
        const struct slot *before = slot_numbered(base, fork->slots[i].number);
        struct node_id owner = fork->slots[i].owner;
        int host = world_host_of(world, owner);
        bool member =
            before != NULL && (id_equal(before->owner, owner) || id_equal(before->target, owner));
        if (fork->slots[i].stage != STAGE_STABLE || host < 0)
            return false; /* One that is given up next may be in it. */
        strangers += !member;
    }
    return left < counted / 2 + 1 && (strangers == 0 || (left == 0 && fork->slots_count == 1));
}

static void check_fork(struct world *world, uint32_t speaker, const struct record_list *list,
                       const struct range_record *record)
{
    /* Of an earlier fork that it was made from, one of several, nobody may have spoken, nor of the
     * first record of this one. */
    bool rightly = record->fork == 0 || record->epoch % (1u << FORK_EPOCH_BITS) != 0;
    bool judged = false;
    for (uint32_t i = 0; i < list->count && !rightly; i++) {
        const struct range_record *base = &list->records[i];
        bool same = base->fork == record->fork && base->nonce == record->nonce;
        bool before = base->fork + 1 == record->fork && base->epoch < record->epoch;
        judged = judged || (before && base->fork == 0);
        rightly = same || (before && forks_rightly(world, base, record));
    }
    if (!rightly && judged)
        say(world, "ForkByCommand", speaker, "nobody had to accept a loss", record, NULL);
}

static void count_stages(struct world *world, const struct range_record *base,
                         const struct range_record *record)
{
    struct coverage *coverage = &world->coverage;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        const struct slot *before = base == NULL ? NULL : slot_numbered(base, slot->number);
        if (before != NULL && before->stage == slot->stage)
            continue;
        coverage->stages[slot->stage]++;
        if (before == NULL || slot->stage != STAGE_STABLE)
            continue;
        coverage->learns += before->stage == STAGE_LEARN;
        coverage->moves_done += before->stage == STAGE_CUT;
        coverage->rebuilds += before->stage == STAGE_REBUILD;
        coverage->moves_aborted += before->stage == STAGE_JOINT || before->stage == STAGE_BACK;
    }
}

void checks_record_chosen(struct world *world, uint32_t speaker, const struct range_record *record)
{
    struct checks *checks = world->checks;
    if (record->range >= checks->ranges || record->epoch == 0)
        return;
    struct record_list *list = &checks->lists[record->range];
    const struct range_record *known = find(list, record->fork, record->nonce, record->epoch);
    if (known != NULL) {
        if (!equal(checks, known, record))
            say(world, "OneSuccessor", speaker, "two records of one epoch", known, record);
        return;
    }
    if (world->trace.text) {
        struct buf text = {0};
        describe_record(world, record, &text);
        trace_line(&world->trace, world->now_us, "chosen%.*s", (int)text.size,
                   (const char *)text.data);
        buf_done(&text);
    }
    checks_record_proposed(world, speaker, record);
    check_fork(world, speaker, list, record);
    const struct range_record *base = find(list, record->fork, record->nonce, record->epoch - 1);
    count_stages(world, base, record);
    if (base != NULL)
        checks_ordered(world, speaker, base, record);
    check_present(world, speaker, base, record);
    list_add(list, record);
}
