/* `status` and `members`: the whole picture, judged.
 *
 * The verdict rests on which readers of each range are believed up from here. */
#include "core/horizon.h"
#include "shell/admin_methods.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A member with all that is shown of it. */
struct member_view {
    const struct member *member;
    const char *state;
    bool up;
    bool leaving;
    uint32_t slots; /* That it reads. */
    uint64_t since_us;
    struct load load; /* generation 0: not known. */
};

struct picture {
    struct member_view *views; /* Owned; by name. */
    uint32_t views_count;
    uint32_t copies[SLOTS_MAX + 1]; /* Ranges by slots whose reader is up. */
    uint32_t headless;              /* Ranges without a majority of their slots. */
    uint32_t unknown;               /* Ranges of which this node has no record. */
    uint32_t orphaned;              /* Ranges with a slot whose owner has departed. */
    uint32_t stages[STAGE_COUNT];   /* Ranges by the stage of the slot on its way. */
    uint32_t moving;
    uint32_t cleanup;
    struct plan_progress plan;
    struct buf reasons; /* MessagePack strings, and how many. */
    uint32_t reasons_count;
    struct buf advice;
    uint32_t advice_count;
};

/* ------------------------------------------------------------------------ Taking it in. */

static struct load own_load(const struct admin_call *call)
{
    const struct admin *admin = call->admin;
    int64_t skew_ms = core_skew_ms(call->core);
    struct store_stats stats;
    admin_store_stats(admin, &stats);
    return (struct load){
        .generation = 1,
        .ops_per_s = admin->ops_per_s,
        .cpu_permille = admin->cpu_permille,
        .live_bytes = stats.bytes,
        .file_bytes = stats.file_bytes,
        .free_bytes = stats.disk_free_bytes,
        .p99_us = (uint32_t)MIN(admin->p99_us, (uint64_t)UINT32_MAX),
        .hint_bytes = admin_hinted(admin).bytes,
        .ahead_ms = (uint32_t)MIN(MAX(skew_ms, 0), (int64_t)UINT32_MAX),
        .behind_ms = (uint32_t)MIN(MAX(-skew_ms, 0), (int64_t)UINT32_MAX),
    };
}

static const struct peer_status *peer_of(const struct peer_status *peers, uint32_t count,
                                         struct node_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(peers[i].id, id))
            return &peers[i];
    }
    return NULL;
}

static const char *state_text(const struct member_view *view)
{
    if (!view->up)
        return view->member->status == MEMBER_MAINTENANCE ? "maintenance" : "down";
    if (view->leaving)
        return "leaving";
    return view->member->status == MEMBER_MAINTENANCE ? "maintenance" : "up";
}

static void view_fill(struct admin_call *call, const struct peer_status *peers, uint32_t count,
                      struct member_view *view)
{
    const struct admin *admin = call->admin;
    struct node_id id = view->member->id;
    view->leaving = view->member->status == MEMBER_LEAVING || member_leaving(call->core, id);
    if (id_equal(id, call->core->self)) {
        view->up = true;
        view->since_us = admin->started_us;
        view->load = own_load(call);
    } else {
        const struct peer_status *peer = peer_of(peers, count, id);
        view->up = call->core->peer_is_up(call->core, id);
        if (peer != NULL) {
            view->since_us = peer->since_us;
            view->load = peer->load;
        }
    }
    view->state = state_text(view);
}

static void views_take(struct admin_call *call, struct picture *picture)
{
    uint32_t count = call->core->members.count;
    struct peer_status *peers = mem_zero((count + 1) * sizeof(*peers));
    uint32_t peers_count = node_peers(call->admin->node, peers, count);
    const struct member **sorted = admin_members_sorted(call->core);
    picture->views = mem_zero((count + 1) * sizeof(*picture->views));
    picture->views_count = count;
    for (uint32_t i = 0; i < count; i++) {
        picture->views[i].member = sorted[i];
        view_fill(call, peers, peers_count, &picture->views[i]);
    }
    mem_free(sorted);
    mem_free(peers);
}

static int by_id(const void *a, const void *b)
{
    const struct member_view *const *one = a;
    const struct member_view *const *two = b;
    return id_compare((*one)->member->id, (*two)->member->id);
}

static struct member_view *view_find(struct member_view *const *views, uint32_t count,
                                     struct node_id id)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = id_compare(views[middle]->member->id, id);
        if (order == 0)
            return views[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The stage of a range is that of its slot on the way, of which there is at most one. */
static enum stage record_stage(const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        if (record->slots[i].stage != STAGE_STABLE)
            return record->slots[i].stage;
    }
    return STAGE_STABLE;
}

static void record_take(const struct core *core, struct picture *picture,
                        struct member_view *const *views, const struct range_record *record)
{
    if (record->epoch == 0) {
        picture->unknown++;
        return;
    }
    uint32_t live = 0;
    bool orphaned = false;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        orphaned = orphaned || member_departed(&core->members, record->slots[i].owner);
        struct member_view *view =
            view_find(views, picture->views_count, slot_reader(&record->slots[i]));
        if (view == NULL)
            continue;
        view->slots++;
        live += view->up;
    }
    picture->copies[live]++;
    picture->orphaned += orphaned;
    picture->headless += live < record_quorum(record);
    picture->stages[record_stage(record)]++;
    picture->moving += record->transfer != 0;
    picture->cleanup += record->former_count > 0;
}

static void ring_take(const struct core *core, struct picture *picture)
{
    if (core->ring.bits == 0)
        return;
    uint32_t count = picture->views_count;
    struct member_view **views = mem_alloc((count + 1) * sizeof(struct member_view *));
    for (uint32_t i = 0; i < count; i++)
        views[i] = &picture->views[i];
    qsort(views, count, sizeof(struct member_view *), by_id);
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++)
        record_take(core, picture, views, ring_get(&core->ring, range));
    mem_free(views);
}

/* ----------------------------------------------------------------------------- Judging. */

#define REASON(picture, ...) admin_say(&(picture)->reasons, &(picture)->reasons_count, __VA_ARGS__)
#define ADVISE(picture, ...) admin_say(&(picture)->advice, &(picture)->advice_count, __VA_ARGS__)

static void duration_text(uint64_t us, char *text, size_t size)
{
    uint64_t s = us / 1000000;
    if (s < 120)
        (void)snprintf(text, size, "%llus", (unsigned long long)s);
    else if (s < 7200)
        (void)snprintf(text, size, "%llum", (unsigned long long)(s / 60));
    else if (s < 172800)
        (void)snprintf(text, size, "%lluh", (unsigned long long)(s / 3600));
    else
        (void)snprintf(text, size, "%llud", (unsigned long long)(s / 86400));
}

static void judge_ranges(const struct core *core, struct picture *picture)
{
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t copies = core->cluster.copies;
    char lost[NODE_ID_TEXT];
    uint32_t forsaken = picture->headless > 0 ? loss_unaccepted(core, lost) : 0;
    if (forsaken > 0)
        ADVISE(picture, "run `kvadmin remove %.8s --accept-loss`: %u ranges lost their majority",
               lost, forsaken);
    if (picture->headless > 0)
        REASON(picture, "%u of %u ranges have no majority of their copies up", picture->headless,
               ranges);
    for (uint32_t i = 0; i < copies; i++) {
        if (picture->copies[i] > 0)
            REASON(picture, "%u of %u ranges have %u of %u copies", picture->copies[i], ranges, i,
                   copies);
    }
    if (picture->orphaned > 0)
        REASON(picture, "%u of %u ranges had a copy at a removed node", picture->orphaned, ranges);
    if (picture->unknown > 0)
        REASON(picture, "this node does not know %u of %u ranges yet", picture->unknown, ranges);
}

static void judge_members(const struct admin *admin, struct picture *picture)
{
    for (uint32_t i = 0; i < picture->views_count; i++) {
        const struct member_view *view = &picture->views[i];
        int size = (int)view->member->name.size;
        const char *name = (const char *)view->member->name.data;
        if (!view->up && view->slots == 0)
            continue; /* It owns nothing: shown in the table, and nobody lacks a copy for it. */
        if (!view->up) {
            char since[32] = "";
            if (view->since_us > 0 && admin->now_us > view->since_us)
                duration_text(admin->now_us - view->since_us, since, sizeof(since));
            REASON(picture, "%.*s %s%s%s", size, name,
                   view->member->status == MEMBER_MAINTENANCE ? "stopped" : "down",
                   since[0] != '\0' ? " " : "", since);
            if (view->member->status == MEMBER_MAINTENANCE)
                ADVISE(picture, "start %.*s", size, name);
            else if (picture->headless > 0)
                ADVISE(picture,
                       "start %.*s; if it is lost for good, `kvadmin remove %.*s --accept-loss`",
                       size, name, size, name);
            else
                ADVISE(picture, "start %.*s, or `kvadmin replace %.*s NEW`", size, name, size,
                       name);
        } else if (view->member->status == MEMBER_MAINTENANCE) {
            REASON(picture, "%.*s is stopping", size, name);
        }
        if (view->up && view->load.ahead_ms + view->load.behind_ms > 0) {
            REASON(picture, "the clock of %.*s is %.1f s %s its peers'", size, name,
                   (view->load.ahead_ms + view->load.behind_ms) / 1000.0,
                   view->load.ahead_ms > 0 ? "ahead of" : "behind");
            ADVISE(picture, "set the clock of %.*s (NTP); it leaves puts to others meanwhile", size,
                   name);
        }
    }
}

/* What the plan, or the lack of one, asks of the administrator. */
static void advise_plan(const struct core *core, struct picture *picture)
{
    uint32_t left = plan_progress_left(&picture->plan);
    if (left > 0 && picture->plan.plan.state == PLAN_PAUSED) {
        ADVISE(picture, "run `kvadmin transfers resume`: %u moves are waiting", left);
        return;
    }
    if (left > 0) {
        ADVISE(picture, "wait: %u of %u moves are left", left, picture->plan.plan.count);
        return;
    }
    if (picture->orphaned > 0)
        ADVISE(picture, "run `kvadmin rebalance`: %u ranges wait for another owner of that copy",
               picture->orphaned);
    uint32_t owners = 0;
    struct buf idle = {0};
    for (uint32_t i = 0; i < picture->views_count; i++) {
        const struct member_view *view = &picture->views[i];
        if (view->leaving) {
            if (view->slots > 0 && view->up)
                ADVISE(picture, "run `kvadmin leave %.*s` again: it still owns %u slots",
                       (int)view->member->name.size, (const char *)view->member->name.data,
                       view->slots);
            continue;
        }
        owners++;
        if (view->slots == 0 && view->up && idle.size < 200)
            buf_printf(&idle, "%s%.*s", idle.size > 0 ? ", " : "", (int)view->member->name.size,
                       (const char *)view->member->name.data);
    }
    uint32_t copies = core->cluster.copies;
    if (owners < copies)
        ADVISE(picture, "start %u more node%s with --seed, then run `kvadmin rebalance`",
               copies - owners, copies - owners > 1 ? "s" : "");
    if (idle.size > 0)
        ADVISE(picture, "run `kvadmin rebalance`: nothing is owned yet by %.*s", (int)idle.size,
               (const char *)idle.data);
    else if (owners >= copies && picture->copies[copies] < ring_ranges(&core->ring) &&
             picture->reasons_count > 0 && picture->advice_count == 0)
        ADVISE(picture, "run `kvadmin rebalance`");
    buf_done(&idle);
}

static void judge(struct admin_call *call, struct picture *picture)
{
    const struct core *core = call->core;
    if (id_none(core->cluster.id) || core->ring.bits == 0) {
        REASON(picture, "this node has not joined a cluster yet");
        ADVISE(picture, "see that a seed is up and can be reached from this node");
        return;
    }
    judge_ranges(core, picture);
    judge_members(call->admin, picture);
    health_judge(call, &picture->reasons, &picture->reasons_count, &picture->advice,
                 &picture->advice_count);
    advise_plan(core, picture);
}

static const char *verdict(const struct core *core, const struct picture *picture)
{
    if (picture->headless > 0 || core->ring.bits == 0)
        return "UNAVAILABLE";
    return picture->reasons_count > 0 ? "DEGRADED" : "OK";
}

/* ----------------------------------------------------------------------------- Writing. */

static void put_load(struct buf *out, const char *key, const struct load *load, uint64_t value)
{
    mp_write_text(out, key);
    if (load->generation == 0)
        mp_write_nil(out);
    else
        mp_write_uint(out, value);
}

static void view_write(struct admin_call *call, const struct member_view *view)
{
    struct buf *out = call->out;
    const struct load *load = &view->load;
    mp_write_map(out, 19);
    put_id(out, "id", view->member->id);
    put_slice(out, "name", view->member->name);
    put_slice(out, "zone", view->member->zone);
    put_text(out, "state", view->state);
    put_uint(out, "slots", view->slots);
    put_load(out, "live_bytes", load, load->live_bytes);
    put_load(out, "file_bytes", load, load->file_bytes);
    put_load(out, "free_bytes", load, load->free_bytes);
    put_load(out, "ops_per_s", load, load->ops_per_s);
    put_load(out, "p99_us", load, load->p99_us);
    put_load(out, "cpu_permille", load, load->cpu_permille);
    put_load(out, "clock_ahead_ms", load, load->ahead_ms);
    put_load(out, "clock_behind_ms", load, load->behind_ms);
    put_load(out, "hint_bytes", load, load->hint_bytes);
    mp_write_text(out, "since_ms");
    if (view->since_us == 0 || view->since_us > call->admin->now_us)
        mp_write_nil(out);
    else
        mp_write_uint(out, (call->admin->now_us - view->since_us) / 1000);
    put_uint(out, "capacity", view->member->capacity);
    put_slice(out, "peer", view->member->peer);
    put_slice(out, "client", view->member->client);
    put_slice(out, "http", view->member->http);
}

static void members_write(struct admin_call *call, const struct picture *picture)
{
    mp_write_text(call->out, "members");
    mp_write_array(call->out, picture->views_count);
    for (uint32_t i = 0; i < picture->views_count; i++)
        view_write(call, &picture->views[i]);
}

static void cluster_write(struct admin_call *call)
{
    const struct cluster *cluster = &call->core->cluster;
    mp_write_text(call->out, "cluster");
    mp_write_map(call->out, 4);
    put_id(call->out, "id", cluster->id);
    put_slice(call->out, "name", cluster->name);
    put_uint(call->out, "ranges", call->core->ring.bits == 0 ? 0 : ring_ranges(&call->core->ring));
    put_uint(call->out, "copies", cluster->copies);
}

static void node_write(struct admin_call *call)
{
    const struct admin *admin = call->admin;
    struct buf *out = call->out;
    char text[NODE_ID_TEXT];
    mp_write_text(out, "node");
    mp_write_map(out, 7);
    put_id(out, "id", call->core->self);
    put_slice(out, "name", admin_name(call->core, call->core->self, text));
    put_text(out, "state", admin_state_name(node_state(admin->node)));
    put_slice(out, "version", admin->version);
    put_bool(out, "insecure", admin->insecure);
    put_uint(out, "uptime_ms",
             admin->now_us > admin->started_us ? (admin->now_us - admin->started_us) / 1000 : 0);
    put_uint(out, "connections", admin->connections);
}

static void ranges_write(struct admin_call *call, const struct picture *picture)
{
    struct buf *out = call->out;
    mp_write_text(out, "copies");
    mp_write_array(out, SLOTS_MAX + 1);
    for (uint32_t i = 0; i <= SLOTS_MAX; i++)
        mp_write_uint(out, picture->copies[i]);
    mp_write_text(out, "stages");
    mp_write_map(out, STAGE_COUNT);
    for (uint32_t i = 0; i < STAGE_COUNT; i++)
        put_uint(out, stage_name((enum stage)i), picture->stages[i]);
    mp_write_text(out, "transfers");
    mp_write_map(out, 2);
    put_uint(out, "moving", picture->moving);
    put_uint(out, "cleanup", picture->cleanup);
    mp_write_text(out, "plan");
    plan_progress_write(out, &picture->plan);
}

static void picture_write(struct admin_call *call, const struct picture *picture)
{
    struct buf *out = call->out;
    bool collecting = horizons_raise(call->core); /* One more field. */
    mp_write_map(out, 12 + collecting);
    put_text(out, "verdict", verdict(call->core, picture));
    mp_write_text(out, "reasons");
    mp_write_array(out, picture->reasons_count);
    buf_append(out, buf_slice(&picture->reasons));
    mp_write_text(out, "advice");
    mp_write_array(out, picture->advice_count);
    buf_append(out, buf_slice(&picture->advice));
    cluster_write(call);
    node_write(call);
    members_write(call, picture);
    ranges_write(call, picture); /* Four fields. */
    health_write(call);          /* Two. */
    if (collecting)
        horizon_write(call);
}

static void picture_take(struct admin_call *call, struct picture *ret_picture)
{
    *ret_picture = (struct picture){0};
    views_take(call, ret_picture);
    ring_take(call->core, ret_picture);
    plan_progress_load(call->core, &ret_picture->plan);
}

static void picture_done(struct picture *picture)
{
    mem_free(picture->views);
    plan_progress_done(&picture->plan);
    buf_done(&picture->reasons);
    buf_done(&picture->advice);
}

bool method_status(struct admin_call *call)
{
    struct picture picture;
    picture_take(call, &picture);
    judge(call, &picture);
    picture_write(call, &picture);
    picture_done(&picture);
    return true;
}

bool method_members(struct admin_call *call)
{
    struct picture picture;
    picture_take(call, &picture);
    mp_write_map(call->out, 2);
    members_write(call, &picture);
    const struct member_table *table = &call->core->members;
    mp_write_text(call->out, "departed");
    mp_write_array(call->out, table->departures_count);
    for (uint32_t i = 0; i < table->departures_count; i++) {
        const struct departure *departure = &table->departures[i];
        mp_write_map(call->out, 2);
        put_id(call->out, "id", departure->id);
        put_text(call->out, "kind", departure->kind == DEPARTURE_LEFT ? "left" : "removed");
    }
    picture_done(&picture);
    return true;
}
