#include "sim/shrink.h"

#include <stdlib.h>

enum {
    VARIATIONS = 12, /* Tried with each smaller world: another order of events may be needed. */
};

#define VARIATION "variation"

/* What can be made smaller, most telling first, and how small. */
static const struct field {
    const char *name;
    size_t offset;
    size_t size;
    uint64_t least;
} fields[] = {
#define FIELD(name, member, least)                                                                 \
    {                                                                                              \
        name, offsetof(struct sim_options, member), sizeof(((struct sim_options *)0)->member),     \
            least                                                                                  \
    }
    FIELD("ops", operations, 1),
    FIELD("edits", edits, 0),
    FIELD("admin", admin_interval_us, 0),
    FIELD("faults", fault_interval_us, 0),
    FIELD("crash-step", crash_step_ppm, 0),
    FIELD("crash", faults[FAULT_CRASH], 0),
    FIELD("power", faults[FAULT_POWER], 0),
    FIELD("pause", faults[FAULT_PAUSE], 0),
    FIELD("split", faults[FAULT_SPLIT], 0),
    FIELD("oneway", faults[FAULT_ONEWAY], 0),
    FIELD("slow-link", faults[FAULT_SLOW_LINK], 0),
    FIELD("slow-disk", faults[FAULT_SLOW_DISK], 0),
    FIELD("clock", faults[FAULT_CLOCK], 0),
    FIELD("full", faults[FAULT_FULL], 0),
    FIELD("loss", loss_ppm, 0),
    FIELD("dup", duplicate_ppm, 0),
    FIELD("reorder", reorder_ppm, 0),
    FIELD("weak", weak_ppm, 0),
    FIELD("retries", retries, 0),
    FIELD("ttl", ttl_ppm, 0),
    FIELD("scan", scan_ppm, 0),
    FIELD("batch", batch_ppm, 0),
    FIELD("sloppy", sloppy_ppm, 0),
    FIELD("horizon", horizon_us, 0),
    FIELD("delete", delete_ppm, 0),
    FIELD("context", context_ppm, 0),
    FIELD("spares", spares, 0),
    FIELD("losses", losses, 0),
    FIELD("rots", rots, 0),
    FIELD("rot-keys", rot_key_ppm, 0),
    FIELD("trips", trips[0].ppm, 0),
    FIELD("clients", clients, 1),
    FIELD("keys", keys, 1),
    FIELD("shards", shards, 1),
    FIELD("single", single_hosts, 0),
    FIELD("apart", shard_us_max, 0),
    FIELD("hot", hot_ranges, 1),
    FIELD("nodes", nodes, 1),
    FIELD("copies", copies, 1),
    FIELD("jitter", jitter_us, 0),
    FIELD("tick", tick_us, 0),
    FIELD("value", value_size_max, 8),
    FIELD(VARIATION, variation, 0),
#undef FIELD
};

static uint64_t field_get(const struct sim_options *options, const struct field *field)
{
    const uint8_t *at = (const uint8_t *)options + field->offset;
    uint64_t value = 0;
    uint32_t small;
    if (field->size == sizeof(small)) {
        memcpy(&small, at, sizeof(small));
        return small;
    }
    ASSERT(field->size == sizeof(value));
    memcpy(&value, at, sizeof(value));
    return value;
}

static void field_set(struct sim_options *options, const struct field *field, uint64_t value)
{
    uint8_t *at = (uint8_t *)options + field->offset;
    uint32_t small = (uint32_t)value;
    if (field->size == sizeof(small))
        memcpy(at, &small, sizeof(small));
    else
        memcpy(at, &value, sizeof(value));
}

static const struct field *field_find(const char *name, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (strlen(fields[i].name) == size && memcmp(fields[i].name, name, size) == 0)
            return &fields[i];
    }
    return NULL;
}

bool options_set(struct sim_options *options, const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "=");
        const struct field *field = field_find(text, size);
        if (field == NULL || text[size] != '=' || text[size + 1] < '0' || text[size + 1] > '9')
            return false;
        char *end;
        uint64_t value = strtoull(text + size + 1, &end, 10);
        bool free = strcmp(field->name, VARIATION) == 0;
        if ((*end != '\0' && *end != ',') ||
            (!free && (value < field->least || value > field_get(options, field))))
            return false;
        field_set(options, field, value);
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

void options_differences(const struct sim_options *options, struct buf *out)
{
    struct sim_options drawn;
    options_draw(options->seed, options->profile, &drawn);
    const char *before = "";
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        uint64_t value = field_get(options, &fields[i]);
        if (value == field_get(&drawn, &fields[i]))
            continue;
        buf_printf(out, "%s%s=%llu", before, fields[i].name, (unsigned long long)value);
        before = ",";
    }
}

/* Does TRIAL break INVARIANT in some variation? TRIAL keeps the first that does. */
static bool breaks(struct sim_options *trial, const char *invariant, struct run_result *ret_result,
                   uint32_t *worlds)
{
    for (uint64_t variation = 0; variation < VARIATIONS; variation++) {
        trial->variation = variation;
        struct run_result result;
        run_world(trial, false, false, &result);
        (*worlds)++;
        if (strcmp(result.invariant, invariant) == 0) {
            *ret_result = result;
            return true;
        }
    }
    return false;
}

/* The least value that still breaks the invariant, found by halving the way up from the least. */
static bool shrink_field(struct sim_options *options, const struct field *field,
                         struct run_result *result, uint32_t *worlds)
{
    char invariant[sizeof(result->invariant)];
    memcpy(invariant, result->invariant, sizeof(invariant));
    uint64_t value = field_get(options, field);
    for (uint64_t low = field->least; low < value; low += (value - low + 1) / 2) {
        struct sim_options trial = *options;
        field_set(&trial, field, low);
        if (breaks(&trial, invariant, result, worlds)) {
            *options = trial;
            return true;
        }
    }
    return false;
}

uint32_t shrink_world(struct sim_options *options, struct run_result *ret_result)
{
    uint32_t worlds = 0;
    bool again = true;
    while (again) {
        again = false;
        for (size_t i = 0; i + 1 < ARRAY_SIZE(fields); i++) /* All but the variation. */
            again = shrink_field(options, &fields[i], ret_result, &worlds) || again;
    }
    return worlds;
}
