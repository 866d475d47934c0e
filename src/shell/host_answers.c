/* What the host tells about itself: to the cluster methods, to HTTP, to the peers. */
#include <stdio.h>

#include "base/error.h"
#include "core/horizon.h"
#include "shell/admin_methods.h"
#include "shell/exposition.h"
#include "shell/host.h"
#include "shell/hosts.h"

static void describe_others(const struct host *host, struct admin *admin)
{
    admin->views = hosts_views(host, &admin->views_count);
    for (uint32_t i = 0; i < admin->views_count; i++) {
        const struct exposition *figures = &admin->views[i]->figures;
        admin->ops_per_s += figures->metrics.ops_per_s;
        admin->connections += (uint32_t)figures->connections;
        admin->p50_us = MAX(admin->p50_us, figures->metrics.p50_us);
        admin->p99_us = MAX(admin->p99_us, figures->metrics.p99_us);
        admin->loop_stall_us_max =
            MAX(admin->loop_stall_us_max, figures->metrics.loop_stall_us_max);
    }
}

void host_describe(void *arg, struct admin *ret_admin)
{
    struct host *host = arg;
    engine_tick(&host->engine);
    *ret_admin = (struct admin){
        .node = host->engine.node,
        .store = host->store,
        .storage = host->engine.storage,
        .version = slice_string(KVRING_VERSION),
        .insecure = config_exposed(host->config),
        .started_us = host->started_us,
        .now_us = host->engine.now.us,
        .wall_ms = host->engine.now.wall_ms,
        .p50_us = host->metrics.p50_us,
        .p99_us = host->metrics.p99_us,
        .loop_stall_us_max = host->metrics.loop_stall_us_max,
        .ops_per_s = host->metrics.ops_per_s,
        .cpu_permille = host->metrics.cpu_permille,
        .connections = host->clients.sessions_count,
        .rss_bytes = host->metrics.rss_bytes,
    };
    if (host->hosts != NULL && host->shard == 0)
        describe_others(host, ret_admin);
    else
        ret_admin->ops_per_s += host->clients.others.ops_per_s;
}

void host_set_load(struct host *host)
{
    const struct core *core = node_core(host->engine.node);
    struct store_stats stats;
    struct admin admin;
    host_describe(host, &admin);
    admin_store_stats(&admin, &stats);
    const struct load load = {
        .id = core->self,
        .generation = core->generation,
        .ops_per_s = admin.ops_per_s,
        .cpu_permille = admin.cpu_permille,
        .live_bytes = stats.bytes,
        .file_bytes = stats.file_bytes,
        .free_bytes = stats.disk_free_bytes,
        .queue = (uint32_t)MIN(admin_counters(&admin).in_flight, (uint64_t)UINT32_MAX),
        .p99_us = (uint32_t)MIN(admin.p99_us, (uint64_t)UINT32_MAX),
    };
    node_set_load(host->engine.node, &load);
}

/* ------------------------------------------------------------------------ The HTTP port. */

static void copy_text(char *ret_text, struct slice text)
{
    size_t size = MIN(text.size, (size_t)NAME_SIZE_MAX);
    if (size > 0)
        memcpy(ret_text, text.data, size);
    ret_text[size] = '\0';
}

static void count_peers(struct exposition *figures, const struct node *node)
{
    uint32_t members = node_core(node)->members.count;
    struct peer_status *peers = mem_alloc((members + 1) * sizeof *peers);
    uint32_t count = node_peers(node, peers, members + 1);
    for (uint32_t i = 0; i < count; i++) {
        figures->peers_up += peers[i].up;
        figures->peers_down += !peers[i].up;
    }
    figures->members = members;
    mem_free(peers);
}

void host_figures(const struct host *host, struct exposition *figures)
{
    figures->metrics = host->metrics;
    storage_stats(&host->storage, &figures->store);
    figures->peers = host->peers.counters;
    figures->clients = host->clients.counters;
    figures->connections = host->clients.sessions_count;
    figures->bytes_in = host->conns.bytes_in;
    figures->bytes_out = host->conns.bytes_out;
    figures->output_bytes = host->conns.output_bytes;
    figures->input_bytes = host->clients.input_bytes;
    if (host->hosts != NULL)
        figures->lanes = *hosts_counters(host);
}

/* As the others were a second ago at most. */
static void collect_others(const struct host *host, struct exposition *figures)
{
    uint32_t count;
    struct view *const *views = hosts_views(host, &count);
    for (uint32_t i = 0; i < count; i++)
        exposition_add(figures, &views[i]->figures);
}

static struct exposition *collect(struct host *host)
{
    const struct node *node = host->engine.node;
    const struct core *core = node_core(node);
    const struct member *self = member_find(&core->members, core->self);
    struct exposition *figures = mem_zero(sizeof *figures);
    figures->node = *node_counters(node);
    node_repair(node, &figures->repair);
    host_figures(host, figures);
    figures->state = node_state(node);
    id_format(core->self, figures->id);
    copy_text(figures->name, self == NULL ? SLICE_NONE : self->name);
    copy_text(figures->zone, self == NULL ? SLICE_NONE : self->zone);
    copy_text(figures->cluster, core->cluster.name);
    figures->hint_keys = core->hinted.keys;
    figures->hint_bytes = core->hinted.bytes;
    figures->hint_bytes_max = core->hinted.bytes_max;
    figures->hint_bad = core->hinted.bad;
    figures->started_wall_ms = host->started_wall_ms;
    if (host->hosts != NULL)
        collect_others(host, figures);
    figures->repair_dirty_ranges = figures->repair.dirty_ranges;
    count_peers(figures, node);
    if (!id_none(core->cluster.id)) {
        figures->slots = ring_slots_of(&core->ring, core->self);
        figures->ranges = ring_ranges(&core->ring);
        uint64_t at_ms = hlc_ms(horizon_allowed(core, NULL));
        uint64_t now_ms = host->engine.now.wall_ms;
        figures->horizon_age_us = at_ms != 0 && now_ms > at_ms ? (now_ms - at_ms) * 1000 : 0;
    }
    return figures;
}

static void answer_call(struct host *host, struct question *question)
{
    struct admin admin;
    struct admin_reply reply = {0};
    host_describe(host, &admin);
    admin_call(&admin, buf_slice(&question->text), buf_slice(&question->params), &reply);
    /* The port shows; whatever would change something is not routed here. */
    question->error = reply.outcome == ADMIN_DONE ? reply.error : ERR_UNKNOWN_METHOD;
    buf_append(&question->answer, buf_slice(question->error == 0 ? &reply.result : &reply.text));
    admin_reply_done(&reply);
}

/* What is shown of other shards is to be of now. */
static bool must_wait(struct host *host, struct question *question)
{
    bool shows = question->kind == HTTP_METRICS || question->kind == HTTP_CALL;
    if (!shows || host->hosts == NULL)
        return false;
    return !host->clients.hooks.look(host, &question->since_us);
}

bool host_answer(void *arg, struct question *question)
{
    struct host *host = arg;
    engine_tick(&host->engine);
    if (must_wait(host, question))
        return false;
    enum node_state state = node_state(host->engine.node);
    switch ((enum http_question)question->kind) {
    case HTTP_HEALTH:
        if (host->hosts != NULL && !hosts_answer(host, engine_clock().us))
            question->error = ERR_TIMEOUT;
        break;
    case HTTP_READY:
        buf_append(&question->answer, slice_string(admin_state_name(state)));
        question->error = state == NODE_READY ? 0 : ERR_NOT_READY;
        break;
    case HTTP_METRICS:
        question->object = collect(host);
        break;
    case HTTP_CALL:
        answer_call(host, question);
        break;
    }
    return true;
}
