/* Methods of buckets: settings `bucket/NAME` (core/buckets.h). */
#include "core/buckets.h"
#include "core/horizon.h"
#include "shell/admin_methods.h"

static const char *policy_name(enum policy policy)
{
    switch (policy) {
    case POLICY_SIBLINGS:
        return "siblings";
    case POLICY_NEWEST:
        return "newest";
    case POLICY_LWW:
        return "lww";
    }
    return "unknown";
}

static void put_consistency(struct buf *out, const char *key, uint8_t value)
{
    if (value == CONSISTENCY_QUORUM)
        put_text(out, key, "quorum");
    else if (value == CONSISTENCY_ALL)
        put_text(out, key, "all");
    else
        put_uint(out, key, value);
}

static void bucket_write(struct buf *out, struct slice name, const struct bucket *bucket,
                         uint64_t counter)
{
    mp_write_map(out, 9);
    put_slice(out, "name", name);
    put_text(out, "policy", policy_name(bucket->policy));
    put_consistency(out, "r", bucket->r);
    put_consistency(out, "w", bucket->w);
    put_consistency(out, "dw", bucket->dw);
    put_uint(out, "ttl_ms", bucket->ttl_ms);
    put_text(out, "log_mode", bucket->log_mode == LOG_INTERVAL ? "interval" : "always");
    put_uint(out, "drops", bucket->drops);
    put_uint(out, "counter", counter);
}

/* `bucket/NAME` in TEXT. */
enum { SETTING_TEXT_SIZE = 7 + BUCKET_SIZE_MAX };

static struct slice setting_name_of(struct slice name, char text[SETTING_TEXT_SIZE])
{
    ASSERT(name.size <= BUCKET_SIZE_MAX);
    memcpy(text, "bucket/", 7);
    memcpy(text + 7, name.data, name.size);
    return slice_of(text, 7 + name.size);
}

static bool name_read(struct admin_call *call, struct slice *ret_name)
{
    *ret_name = call->params.texts[PARAM_NAME];
    if (bucket_name_check(*ret_name) == 0)
        return true;
    return admin_refuse(call, ERR_BAD_REQUEST,
                        "a bucket's name is 1 to %d letters, digits, '_', '.' and '-'",
                        BUCKET_SIZE_MAX);
}

static bool policy_read(struct admin_call *call, struct bucket *bucket)
{
    if (!param_given(&call->params, PARAM_POLICY))
        return true;
    static const enum policy all[] = {POLICY_SIBLINGS, POLICY_NEWEST, POLICY_LWW};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (slice_equal(call->params.texts[PARAM_POLICY], slice_string(policy_name(all[i])))) {
            bucket->policy = all[i];
            return true;
        }
    }
    return admin_refuse(call, ERR_BAD_REQUEST, "policy must be newest, siblings or lww");
}

static bool log_mode_read(struct admin_call *call, struct bucket *bucket)
{
    if (!param_given(&call->params, PARAM_LOG_MODE))
        return true;
    struct slice text = call->params.texts[PARAM_LOG_MODE];
    if (slice_equal(text, slice_string("always")))
        bucket->log_mode = LOG_ALWAYS;
    else if (slice_equal(text, slice_string("interval")))
        bucket->log_mode = LOG_INTERVAL;
    else
        return admin_refuse(call, ERR_BAD_REQUEST, "log_mode must be always or interval");
    return true;
}

/* Change BUCKET as the parameters say. */
static bool bucket_read(struct admin_call *call, struct bucket *bucket)
{
    const struct params *params = &call->params;
    if (!policy_read(call, bucket) || !log_mode_read(call, bucket))
        return false;
    if (param_given(params, PARAM_R))
        bucket->r = (uint8_t)params->numbers[PARAM_R];
    if (param_given(params, PARAM_W))
        bucket->w = (uint8_t)params->numbers[PARAM_W];
    if (param_given(params, PARAM_DW))
        bucket->dw = (uint8_t)params->numbers[PARAM_DW];
    if (param_given(params, PARAM_TTL_MS))
        bucket->ttl_ms = params->numbers[PARAM_TTL_MS];
    return true;
}

/* A drop says, too, whether this node collects what it leaves behind. */
static void bucket_answer(struct admin_call *call, struct slice name, const struct bucket *bucket,
                          uint64_t counter)
{
    mp_write_map(call->out, bucket->dropped ? 2 : 1);
    if (bucket->dropped)
        put_bool(call->out, "collecting", horizons_raise(call->core));
    mp_write_text(call->out, "bucket");
    bucket_write(call->out, name, bucket, counter);
}

static bool bucket_set(struct admin_call *call, struct slice name, const struct bucket *bucket)
{
    char text[SETTING_TEXT_SIZE];
    struct slice setting = setting_name_of(name, text);
    uint64_t counter = admin_counter(call->core, setting);
    bucket_answer(call, name, bucket, counter + 1);
    if (call->params.numbers[PARAM_DRY_RUN] != 0)
        return true;
    struct buf value = {0};
    bucket_encode(bucket, &value);
    admin_set(call, setting, buf_slice(&value), counter);
    buf_done(&value);
    return true;
}

bool method_bucket_create(struct admin_call *call)
{
    struct slice name;
    struct bucket bucket;
    if (!admin_joined(call) || !name_read(call, &name))
        return false;
    if (bucket_find(&call->core->settings, name, &bucket) == 0)
        return admin_refuse(call, ERR_REFUSED,
                            "bucket \"%.*s\" exists already; change it with `kvadmin bucket set`",
                            (int)name.size, (const char *)name.data);
    char text[SETTING_TEXT_SIZE];
    struct slice value = setting_value(&call->core->settings, setting_name_of(name, text));
    struct bucket dropped;
    bucket = bucket_default;
    if (value.size > 0 && bucket_decode(value, &dropped) == 0) {
        bucket.drops = dropped.drops; /* What was dropped must stay dead. */
        bucket.dropped_at = dropped.dropped_at;
    }
    return bucket_read(call, &bucket) && bucket_set(call, name, &bucket);
}

bool admin_bucket(struct admin_call *call, struct slice name, struct bucket *ret_bucket)
{
    if (bucket_find(&call->core->settings, name, ret_bucket) == 0)
        return true;
    return admin_refuse(call, ERR_UNKNOWN_BUCKET, "there is no bucket \"%.*s\"", (int)name.size,
                        (const char *)name.data);
}

bool method_bucket_set(struct admin_call *call)
{
    struct slice name;
    struct bucket bucket;
    if (!admin_joined(call) || !name_read(call, &name) || !admin_bucket(call, name, &bucket))
        return false;
    if ((call->params.given & ~(PARAM_BIT(PARAM_NAME) | PARAM_BIT(PARAM_DRY_RUN))) == 0)
        return admin_refuse(call, ERR_BAD_REQUEST, "nothing was given to change");
    return bucket_read(call, &bucket) && bucket_set(call, name, &bucket);
}

/* The name is free at once; what was written under it is dead wherever the setting has arrived.
 * Its space comes free with the horizons, if they rise. */
bool method_bucket_drop(struct admin_call *call)
{
    struct slice name;
    struct bucket bucket;
    if (!admin_joined(call) || !name_read(call, &name) || !admin_bucket(call, name, &bucket))
        return false;
    if (slice_equal(name, slice_string("default")))
        return admin_refuse(call, ERR_REFUSED,
                            "the bucket \"default\" always exists; delete its keys instead");
    if (bucket.drops == UINT32_MAX)
        return admin_refuse(call, ERR_REFUSED, "this name was dropped as often as can be counted");
    bucket.drops++;
    bucket.dropped = true;
    bucket.dropped_at = hlc_next(call->core->hlc, hlc_at(call->admin->wall_ms));
    return bucket_set(call, name, &bucket);
}

bool method_bucket_describe(struct admin_call *call)
{
    struct slice name;
    struct bucket bucket;
    if (!name_read(call, &name) || !admin_bucket(call, name, &bucket))
        return false;
    char text[SETTING_TEXT_SIZE];
    bucket_answer(call, name, &bucket, admin_counter(call->core, setting_name_of(name, text)));
    return true;
}

bool method_bucket_list(struct admin_call *call)
{
    const struct setting_table *table = &call->core->settings;
    struct slice standard = slice_string("default");
    struct buf list = {0};
    uint32_t count = 0;
    bool standard_seen = false;
    for (uint32_t i = 0; i < table->count; i++) {
        struct slice setting = table->settings[i]->name;
        if (setting.size <= 7 || memcmp(setting.data, "bucket/", 7) != 0)
            continue;
        struct slice name = slice_of(setting.data + 7, setting.size - 7);
        struct bucket bucket;
        if (bucket_find(table, name, &bucket) != 0)
            continue;
        standard_seen = standard_seen || slice_equal(name, standard);
        bucket_write(&list, name, &bucket, table->settings[i]->counter);
        count++;
    }
    mp_write_map(call->out, 1);
    mp_write_text(call->out, "buckets");
    mp_write_array(call->out, count + !standard_seen);
    if (!standard_seen)
        bucket_write(call->out, standard, &bucket_default, 0);
    buf_append(call->out, buf_slice(&list));
    buf_done(&list);
    return true;
}
