#include "sim/coverage.h"

#include "core/core.h"
#include "sim/describe.h"

#include <stdio.h>

void coverage_add(struct coverage *sum, const struct coverage *part)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)part;
    _Static_assert(sizeof(struct coverage) % sizeof(uint64_t) == 0, "counters only");
    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
        to[i] += from[i];
}

/* ----------------------------------------------------------------------------------- The table. */

static const char *name_of_message(uint32_t index)
{
    return message_name((enum message_type)index);
}

static const char *name_of_stage(uint32_t index)
{
    return stage_name((enum stage)index);
}

static const char *name_of_fault(uint32_t index)
{
    return fault_name((enum fault)index);
}

/* Only the checkers ask for VERIFY here. */
static const char *name_of_store(uint32_t index)
{
    return index == STORE_VERIFY ? NULL : store_op_name((enum store_op_type)index);
}

/* NULL for a letter that names no kind of entry, or none that the simulator's nodes write. */
static const char *name_of_meta(uint32_t index)
{
    switch ((int)index + 'a') {
    case META_NODE:
        return "node";
    case META_COUNTER:
        return "counter";
    case META_MEMBER:
        return "member";
    case META_DEPARTURE:
        return "departure";
    case META_SETTING:
        return "setting";
    case META_RECORD:
        return "record";
    case META_VOTE:
        return "vote";
    case META_STAGING:
        return "staging";
    case META_CHOSEN:
        return "chosen";
    case META_HORIZON:
        return "horizon";
    case META_FLOOR:
        return "floor";
    default:
        return NULL;
    }
}

static const char *name_of_death(uint32_t index)
{
    static const char *const names[STORE_OPS] = {
        [STORE_META] = "meta", [STORE_CHUNK] = "chunk", [STORE_DROP] = "drop"};
    return names[index];
}

static const char *name_of_method(uint32_t index)
{
    static const char *const names[METHODS] = {NULL, "get", "put", "delete", "scan"};
    return names[index];
}

static const char *name_of_policy(uint32_t index)
{
    static const char *const names[] = {"siblings", "newest", "lww"};
    return names[index];
}

static const char *name_of_way(uint32_t index)
{
    static const char *const names[] = {"weak",         "with-context", "with-ttl",
                                        "batches",      "retries",      "refused-full",
                                        "expired-read", "sloppy",       "hints-settled"};
    return names[index];
}

static const char *name_of_horizon(uint32_t index)
{
    static const char *const names[] = {"taken", "versions"};
    return names[index];
}

static const char *name_of_change(uint32_t index)
{
    static const char *const names[] = {"moved", "aborted", "learned", "dropped",
                                        "left",  "joined",  "removed", "rebuilt"};
    return names[index];
}

static const char *name_of_outcome(uint32_t index)
{
    static const char *const names[] = {"asked", "answered", "refused", "unknown"};
    return names[index];
}

static const char *name_of_edit(uint32_t index)
{
    static const char *const names[] = {"asked", "held", "unknown"};
    return names[index];
}

static const char *name_of_rot(uint32_t index)
{
    static const char *const names[] = {"found", "healed",     "replaced",
                                        "tails", "keys-found", "keys-healed"};
    return names[index];
}

static const char *name_of_cold(uint32_t index)
{
    static const char *const names[] = {"read", "waited", "refused", "lost"};
    return names[index];
}

static const char *name_of_install(uint32_t index)
{
    (void)index;
    return "record-installed";
}

static const char *name_of_trip(uint32_t index)
{
    (void)index;
    return "by-message";
}

static const char *name_of_crash(uint32_t index)
{
    (void)index;
    return "at-or-after-a-step";
}

static const char *name_of_mail(uint32_t index)
{
    static const char *const names[] = {"mails", "full"};
    return names[index];
}

/* A kind of things: counters side by side, each with a name; NULL: not counted. */
static const struct kind {
    const char *name;
    size_t offset;
    uint32_t count;
    const char *(*name_of)(uint32_t index);
} kinds[] = {
    {"messages", offsetof(struct coverage, messages), MESSAGE_TYPES, name_of_message},
    {"stages", offsetof(struct coverage, stages), STAGE_COUNT, name_of_stage},
    {"faults", offsetof(struct coverage, faults), FAULT_COUNT, name_of_fault},
    {"store", offsetof(struct coverage, stores), STORE_OPS, name_of_store},
    {"durable", offsetof(struct coverage, metas), META_LETTERS, name_of_meta},
    {"durable", offsetof(struct coverage, installs), 1, name_of_install},
    {"deaths", offsetof(struct coverage, step_deaths), STORE_OPS, name_of_death},
    {"deaths", offsetof(struct coverage, step_crashes), 1, name_of_crash},
    {"deaths", offsetof(struct coverage, trips), 1, name_of_trip},
    {"requests", offsetof(struct coverage, methods), METHODS, name_of_method},
    {"policies", offsetof(struct coverage, policies), 3, name_of_policy},
    {"ways", offsetof(struct coverage, weak), 9, name_of_way},
    {"collected", offsetof(struct coverage, horizons), 2, name_of_horizon},
    {"slots", offsetof(struct coverage, moves_done), 8, name_of_change},
    {"outcomes", offsetof(struct coverage, operations), 4, name_of_outcome},
    {"edits", offsetof(struct coverage, edits), 3, name_of_edit},
    {"rot", offsetof(struct coverage, rot_found), 6, name_of_rot},
    {"cold", offsetof(struct coverage, cold_reads), 4, name_of_cold},
    {"shards", offsetof(struct coverage, mails), 2, name_of_mail},
};

static const uint64_t *counters_of(const struct coverage *coverage, const struct kind *kind)
{
    return (const uint64_t *)((const char *)coverage + kind->offset);
}

static bool is_counted(const struct kind *kind, uint32_t index)
{
    const char *name = kind->name_of(index);
    return name != NULL && name[0] != '?';
}

void coverage_print(const struct coverage *coverage)
{
    const char *line = "";
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const uint64_t *counters = counters_of(coverage, &kinds[i]);
        if (strcmp(line, kinds[i].name) != 0)
            printf("%s%-9s", i == 0 ? "" : "\n", kinds[i].name);
        line = kinds[i].name;
        for (uint32_t k = 0; k < kinds[i].count; k++)
            if (is_counted(&kinds[i], k))
                printf(" %s %llu", kinds[i].name_of(k), (unsigned long long)counters[k]);
    }
    printf("\n%-9s steps %llu events %llu\n", "work", (unsigned long long)coverage->steps,
           (unsigned long long)coverage->events);
}

/* ---------------------------------------------------------------------------------- What misses.
 */

enum {
    ALL = (1 << PROFILE_COUNT) - 1,
    TRANSFER = 1 << PROFILE_TRANSFER,
    CAUSAL = 1 << PROFILE_CAUSAL,
    DISK = 1 << PROFILE_DISK,
    GOSSIP = 1 << PROFILE_GOSSIP,
    SWARM = 1 << PROFILE_SWARM,
    HINTS = 1 << PROFILE_HINTS,
    ROT = 1 << PROFILE_ROT,
    MOVES = 1 << PROFILE_MOVES,
    RULES = 1 << PROFILE_RULES,
    SHARDS = 1 << PROFILE_SHARDS,
    FORKS = 1 << PROFILE_FORKS,
    STRICT = ALL & ~(SWARM | HINTS | SHARDS | FORKS),
    ONE_SHARD = ALL & ~(SHARDS | FORKS),
};

/* What some profiles do not meet, and why. */
static const struct exemption {
    const char *kind;
    const char *name;
    int profiles;
    const char *why;
} exemptions[] = {
    {"stages", "FENCE", CAUSAL | DISK | HINTS | ROT, "no node is lost for good"},
    {"stages", "REBUILD", CAUSAL | DISK | HINTS | ROT, "no node is lost for good"},
    {"faults", "lost-disk", CAUSAL | DISK | HINTS | ROT, "no node is lost for good"},
    {"faults", "restored", CAUSAL | DISK | HINTS | ROT, "no node is lost for good"},
    {"faults", "removed", CAUSAL | DISK | HINTS | ROT, "no node is lost for good"},
    {"slots", "removed", CAUSAL | DISK | HINTS | ROT, "no node is lost for good"},
    {"slots", "rebuilt", CAUSAL | DISK | HINTS | ROT, "no node is lost for good"},
    {"messages", "HINT", STRICT, "all requests are strict"},
    {"store", "HINT_UPDATE", STRICT, "all requests are strict"},
    {"store", "HINT_MERGE", STRICT, "all requests are strict"},
    {"store", "HINT_READ", STRICT, "all requests are strict"},
    {"store", "HINT_SETTLE", STRICT, "all requests are strict"},
    {"ways", "sloppy", STRICT, "all requests are strict"},
    {"ways", "hints-settled", STRICT, "all requests are strict"},
    {"deaths", "by-message", ALL & ~RULES, "only there"},
    {"messages", "HANDED", ONE_SHARD, "nodes have one shard"},
    {"messages", "ANSWERED", ONE_SHARD, "nodes have one shard"},
    {"messages", "NEWS", ONE_SHARD, "nodes have one shard"},
    {"shards", "mails", ONE_SHARD, "nodes have one shard"},
    {"shards", "full", ALL & ~SHARDS, "nodes have one shard"},
    {"stages", "BACK", ALL & ~(MOVES | TRANSFER), "one cut in a thousand is taken back"},
    {"deaths", "chunk", GOSSIP, "hardly any data"},
    {"deaths", "drop", ALL & ~(MOVES | TRANSFER), "few drops, and few deaths at steps"},
    {"durable", "departure", DISK, "too few nodes for one to leave"},
    {"slots", "left", DISK, "too few nodes for one to leave"},
    {"slots", "joined", CAUSAL | DISK, "no spare nodes"},
    {"slots", "aborted", GOSSIP, "moves are short"},
    {"ways", "refused-full", GOSSIP, "hardly any data"},
    {"messages", "REJECT", GOSSIP | DISK, "few moves at a time"},
    {"messages", "PREPARE", GOSSIP, "drivers hardly ever change"},
    {"messages", "PROMISE", GOSSIP, "drivers hardly ever change"},
    {"messages", "REFUSED", ALL & ~(MOVES | TRANSFER),
     "only who comes too early or too late is refused"},
    {"ways", "weak", ROT, "what one copy had may rot with it"},
    {"faults", "lost-disk", FORKS, "many are lost at once, and not as a fault"},
    {"faults", "restored", FORKS, "many are lost at once, and not as a fault"},
    {"faults", "removed", FORKS, "many are lost at once, and not as a fault"},
    {"faults", "rot", FORKS, "nothing rots"},
    {"rot", "found", FORKS, "nothing rots"},
    {"rot", "healed", FORKS, "nothing rots"},
    {"rot", "replaced", FORKS, "nothing rots"},
    {"rot", "tails", FORKS, "nothing rots"},
    {"rot", "keys-found", FORKS, "nothing rots"},
    {"rot", "keys-healed", FORKS, "nothing rots"},
    {"store", "WHOLE", FORKS, "nothing rots"},
    {"edits", "asked", FORKS, "there are none"},
    {"edits", "held", FORKS, "there are none"},
    {"edits", "unknown", FORKS, "there are none"},
    {"edits", "asked", GOSSIP, "it is about gossip"},
    {"edits", "held", GOSSIP, "it is about gossip"},
    {"edits", "unknown", GOSSIP, "it is about gossip"},
    {"faults", "rot", GOSSIP, "hardly any data"},
    {"rot", "found", GOSSIP, "hardly any data"},
    {"rot", "healed", GOSSIP, "hardly any data"},
    {"rot", "replaced", GOSSIP, "hardly any data"},
    {"rot", "keys-found", GOSSIP, "hardly any data"},
    {"rot", "keys-healed", GOSSIP, "hardly any data"},
    {"store", "WHOLE", GOSSIP, "hardly any data"},
    {"rot", "tails", GOSSIP | CAUSAL, "few lose power while they write"},
};

static bool exempt(enum profile profile, const char *kind, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(exemptions); i++)
        if (strcmp(exemptions[i].kind, kind) == 0 && strcmp(exemptions[i].name, name) == 0 &&
            exemptions[i].profiles >> profile & 1)
            return true;
    return false;
}

uint32_t coverage_missing(const struct coverage *coverage, enum profile profile, struct buf *out)
{
    uint32_t missing = 0;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const uint64_t *counters = counters_of(coverage, &kinds[i]);
        for (uint32_t k = 0; k < kinds[i].count; k++) {
            if (!is_counted(&kinds[i], k) || counters[k] > 0 ||
                exempt(profile, kinds[i].name, kinds[i].name_of(k)))
                continue;
            buf_printf(out, " %s/%s", kinds[i].name, kinds[i].name_of(k));
            missing++;
        }
    }
    return missing;
}

uint64_t coverage_worlds(enum profile profile)
{
    static const uint64_t worlds[PROFILE_COUNT] = {
        [PROFILE_MOVES] = 10000,  [PROFILE_CAUSAL] = 5000,    [PROFILE_DISK] = 2000,
        [PROFILE_GOSSIP] = 1000,  [PROFILE_SWARM] = 200,      [PROFILE_HINTS] = 2000,
        [PROFILE_ROT] = 5000,     [PROFILE_TRANSFER] = 20000, [PROFILE_RULES] = 20000,
        [PROFILE_SHARDS] = 20000, [PROFILE_FORKS] = 20000,
    };
    return worlds[profile];
}
