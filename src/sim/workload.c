#include "sim/workload.h"

#include "base/error.h"
#include "sim/checks.h"
#include "sim/host.h"
#include "sim/ledger.h"
#include "sim/losses.h"

#include <stdio.h>

enum { POLICIES = 3, KEY_TEXT = 24, MS = 1000, SECOND = 1000000 };

/* What a client remembers of a key: the context of its last read or write. */
struct memory {
    struct buf context; /* Owned. */
    uint32_t *seen;     /* In the ledger. */
    uint32_t seen_count;
};

struct client {
    struct host_call call;
    struct world_event think; /* Next request, or giving up on the open one. */
    uint32_t index;
    struct entry_op *op; /* Open. */
    uint8_t level;       /* Of that request, as the next ones: r and w. */
    bool blind;
    uint32_t limit; /* Of a page. */
    uint32_t attempts;
    bool scanning; /* The next page of the last scan is wanted: */
    enum policy scan_policy;
    uint64_t scan_from;
    char scan_key[KEY_TEXT];
    bool overdue; /* The request's deadline is long past: the next wake checks the node. */
    struct memory *memories; /* Owned, by policy, then key. */
    uint32_t memories_count;
};

/* The last read of one key of one bucket. */
struct workload {
    struct ledger *ledger; /* Owned. */
    struct client clients[CLIENTS_MAX];
    uint32_t issued;
    bool stopped;
    char keys[POLICIES][KEYS_MAX][KEY_TEXT];
    uint32_t ranges[HOT_RANGES_MAX];
};

struct ledger *workload_ledger(const struct world *world)
{
    return world->workload->ledger;
}

uint32_t workload_range(const struct world *world, uint32_t index)
{
    return world->workload->ranges[index];
}

struct slice workload_key(const struct world *world, enum policy policy, uint32_t key)
{
    return slice_string(world->workload->keys[policy][key]);
}

/* A name whose hash lies in RANGE: found by trying. */
static void find_key(struct world *world, enum policy policy, uint32_t key, uint32_t range)
{
    char *name = world->workload->keys[policy][key];
    for (uint32_t attempt = 0;; attempt++) {
        snprintf(name, KEY_TEXT, "k%u.%u", key, attempt);
        uint64_t hash =
            key_hash(world->cluster.hash_seed, ledger_bucket(policy), slice_string(name));
        if (range_of(hash, world->options.range_bits) == range)
            return;
    }
}

/* ----------------------------------------------------------------------------------- Requests. */

static struct memory *memory_of(const struct world *world, const struct client *client,
                                enum policy policy, uint32_t key)
{
    return &client->memories[policy * world->options.keys + key];
}

static void think(struct world *world, struct client *client)
{
    world_at(world, &client->think, world->now_us + world_pause(world, world->options.think_us));
}

static void remember(struct world *world, struct client *client, const struct entry_op *op,
                     const struct answer *answer)
{
    struct memory *memory = memory_of(world, client, op->policy, op->key);
    buf_clear(&memory->context);
    if (object_context(answer->object, world->cluster.hash_seed, ledger_bucket(op->policy),
                       workload_key(world, op->policy, op->key), &memory->context) < 0) {
        buf_clear(&memory->context);
        return;
    }
    memory->seen_count = ledger_seen(world->workload->ledger, answer->object, &memory->seen);
}

static enum method draw_method(struct world *world)
{
    if (world_chance(world, world->options.scan_ppm))
        return METHOD_SCAN;
    uint64_t at = world_draw(world, 0, 999999);
    if (at < world->options.put_ppm)
        return METHOD_PUT;
    return at < (uint64_t)world->options.put_ppm + world->options.delete_ppm ? METHOD_DELETE
                                                                             : METHOD_GET;
}

static enum policy draw_policy(struct world *world)
{
    uint64_t policy;
    do
        policy = world_draw(world, 0, POLICIES - 1);
    while (!world->options.policies[policy]);
    return (enum policy)policy;
}

static uint8_t draw_level(struct world *world, bool weak)
{
    if (weak)
        return 1;
    return world_chance(world, 100000) ? CONSISTENCY_ALL : CONSISTENCY_QUORUM;
}

static void trace_request(struct world *world, const struct client *client,
                          const struct entry_op *op, uint32_t host, bool blind)
{
    static const char *const names[] = {"?", "get", "put", "delete"};
    if (world->trace.text && op->method == METHOD_SCAN)
        trace_line(&world->trace, world->now_us, "client %u -> %s request %u: scan %s from %llx%s",
                   client->index, world_host_name(host), op->number,
                   (const char *)ledger_bucket(op->policy).data, (unsigned long long)op->scan_from,
                   op->strong ? "" : " weakly");
    else if (world->trace.text)
        trace_line(&world->trace, world->now_us, "client %u -> %s request %u: %s %s/%s%s%s%s",
                   client->index, world_host_name(host), op->number, names[op->method],
                   (const char *)ledger_bucket(op->policy).data,
                   world->workload->keys[op->policy][op->key], op->strong ? "" : " weakly",
                   op->strict ? "" : " sloppily",
                   op->method == METHOD_GET || blind ? "" : " with context");
}

static void on_answer(struct world *world, struct host_call *call, const struct answer *answer);
static void turn_page(struct client *client, const struct entry_op *op,
                      const struct answer *answer);

/* Ask HOST, which is up, for what CLIENT has open. */
static void send_request(struct world *world, struct client *client, uint32_t host)
{
    const struct entry_op *op = client->op;
    const struct memory *memory = memory_of(world, client, op->policy, op->key);
    struct buf value = {0};
    if (op->method == METHOD_PUT)
        ledger_value(op->number, world->options.value_size_max, &value);
    struct request request = {
        .method = op->method,
        .bucket = ledger_bucket(op->policy),
        .key = workload_key(world, op->policy, op->key),
        .value = buf_slice(&value),
        .context = client->blind ? SLICE_NONE : buf_slice(&memory->context),
        .r = client->level,
        .w = client->level,
        .strict = op->strict,
        .ttl_ms = op->ttl_ms,
        .deadline_ms = op->deadline_ms,
        .client = world->options.retries > 0 ? client->index + 1 : 0,
        .sequence = op->number,
    };
    if (op->method == METHOD_SCAN) {
        request.key = op->scan_key;
        request.cursor = op->scan_from;
        request.limit = client->limit;
        request.context = SLICE_NONE;
    }
    client->call.done = on_answer;
    client->attempts++;
    bool asked = host_request(world->hosts[host], &client->call, &request);
    ASSERT(asked);
    client->overdue = false;
    world_at(world, &client->think, world->now_us + request.deadline_ms * 1000 + 1 * SECOND);
    buf_done(&value);
}

/* Does the client ask once more, the same node, for what that node may have done or not? */
static bool retries(struct world *world, const struct client *client, const struct answer *answer)
{
    bool write = client->op->method == METHOD_PUT || client->op->method == METHOD_DELETE;
    return answer != NULL && answer->error == ERR_TIMEOUT && write &&
           client->attempts <= world->options.retries &&
           host_state(world->hosts[client->call.host]) == HOST_UP;
}

static void on_answer(struct world *world, struct host_call *call, const struct answer *answer)
{
    struct client *client = (struct client *)call;
    struct entry_op *op = client->op;
    if (retries(world, client, answer)) {
        op->retried = true;
        world->coverage.retries++;
        send_request(world, client, call->host);
        return;
    }
    client->op = NULL;
    ledger_end(world->workload->ledger, world, op, answer);
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "client %u: request %u answered %s", client->index,
                   op->number, answer == NULL ? "by silence" : error_word(answer->error));
    if (op->method == METHOD_SCAN) {
        turn_page(client, op, answer);
    } else if (op->state == ENTRY_DONE) {
        remember(world, client, op, answer);
        if (op->method != METHOD_GET && op->strong && !op->retried)
            checks_quorum(world, answer);
        if (op->method == METHOD_GET || op->dot.counter > 0)
            checks_answered(world, answer, op->method, op->strict, ledger_bucket(op->policy),
                            workload_key(world, op->policy, op->key), op->dot);
    }
    think(world, client);
}

/* A page: the next one of the last scan, or the first one from a hot range. */
static void ask_page(struct world *world, struct client *client, uint32_t host)
{
    struct workload *workload = world->workload;
    bool goes_on = client->scanning && world_chance(world, 700000);
    enum policy policy = goes_on ? client->scan_policy : draw_policy(world);
    bool weak = world_chance(world, world->options.weak_ppm);
    if (!goes_on) {
        uint64_t hot = world_draw(world, 0, world->options.hot_ranges - 1);
        client->scan_from = range_first(workload->ranges[hot], world->options.range_bits);
        client->scan_key[0] = '\0';
        client->scan_policy = policy;
    }
    struct entry_op *op =
        ledger_begin(workload->ledger, world, METHOD_SCAN, policy, 0, !weak, NULL, 0);
    op->scan_from = client->scan_from;
    op->scan_key = slice_string(client->scan_key);
    client->op = op;
    client->level = draw_level(world, weak);
    client->limit = (uint32_t)world_draw(world, 1, 5);
    client->blind = true;
    client->attempts = 0;
    op->deadline_ms = (uint32_t)world_draw(world, 500, 3000);
    trace_request(world, client, op, host, true);
    send_request(world, client, host);
}

static void turn_page(struct client *client, const struct entry_op *op, const struct answer *answer)
{
    client->scanning = op->state == ENTRY_DONE && answer->more &&
                       answer->cursor_key.size < sizeof(client->scan_key);
    if (!client->scanning)
        return;
    client->scan_from = answer->cursor;
    memset(client->scan_key, 0, sizeof(client->scan_key));
    if (answer->cursor_key.size > 0)
        memcpy(client->scan_key, answer->cursor_key.data, answer->cursor_key.size);
}

static void ask(struct world *world, struct client *client, uint32_t host)
{
    struct workload *workload = world->workload;
    workload->issued++;
    enum method method = draw_method(world);
    if (method == METHOD_SCAN) {
        ask_page(world, client, host);
        return;
    }
    enum policy policy = draw_policy(world);
    uint32_t key = (uint32_t)world_draw(world, 0, world->options.keys - 1);
    bool weak = world_chance(world, world->options.weak_ppm);
    bool with_context = method != METHOD_GET && world_chance(world, world->options.context_ppm);
    const struct memory *memory = memory_of(world, client, policy, key);
    bool blind = !with_context || memory->context.size == 0;
    struct entry_op *op = ledger_begin(workload->ledger, world, method, policy, key, !weak,
                                       memory->seen, blind ? 0 : memory->seen_count);
    op->strict = !world_chance(world, world->options.sloppy_ppm);
    client->op = op;
    client->level = draw_level(world, weak);
    client->blind = blind;
    client->attempts = 0;
    if (method == METHOD_PUT && world_chance(world, world->options.ttl_ppm))
        op->ttl_ms = world_draw(world, 1, world->options.ttl_ms_max);
    world->coverage.with_ttl += op->ttl_ms > 0;
    world->coverage.with_context += !blind;
    op->deadline_ms = world->options.deadline_ms / (uint32_t)world_draw(world, 1, 6);
    trace_request(world, client, op, host, blind);
    send_request(world, client, host);
}

/* Many requests at one instant through one node, as mget, mput and pipelines come. */
static void ask_batch(struct world *world, uint32_t host)
{
    uint32_t asked = 0;
    for (uint32_t i = 0; i < world->options.clients && !workload_issued(world); i++) {
        struct client *client = &world->workload->clients[i];
        if (client->op != NULL)
            continue;
        ask(world, client, host);
        asked++;
    }
    world->coverage.batches += asked > 1;
}

/* The open request was not answered in time: the client goes on without, once it is sure that this
 * is the node's fault and not a pause. */
static void give_up(struct world *world, struct client *client)
{
    struct host *host = world->hosts[client->call.host];
    if (host_state(host) == HOST_PAUSED || !client->overdue) {
        client->overdue = host_state(host) != HOST_PAUSED;
        world_at(world, &client->think, world->now_us + 10 * SECOND);
        return;
    }
    world_violate(world, "RequestsAnswered", "%s never answered request %u, begun at %llu ms",
                  world_host_name(client->call.host), client->op->number,
                  (unsigned long long)client->op->begun_us / 1000);
}

static void on_think(struct world *world, struct world_event *event)
{
    struct client *client = (struct client *)((char *)event - offsetof(struct client, think));
    if (client->op != NULL) {
        give_up(world, client);
        return;
    }
    if (workload_issued(world))
        return;
    uint32_t host = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    if (host_state(world->hosts[host]) != HOST_UP || losses_deaf(world))
        think(world, client);
    else if (world_chance(world, world->options.batch_ppm))
        ask_batch(world, host);
    else
        ask(world, client, host);
}

void workload_describe(const struct world *world, struct buf *out)
{
    const struct workload *workload = world->workload;
    for (uint32_t i = 0; i < world->options.clients; i++)
        if (workload->clients[i].op != NULL)
            buf_printf(out, " request %u is open at %s", workload->clients[i].op->number,
                       world_host_name(workload->clients[i].call.host));
}

/* --------------------------------------------------------------------------------- Life cycle. */

struct workload *workload_new(struct world *world)
{
    struct workload *workload = mem_zero(sizeof(*workload));
    world->workload = workload;
    workload->ledger = ledger_new(world);
    ASSERT(world->options.hot_ranges >= 1 && world->options.hot_ranges <= HOT_RANGES_MAX);
    ASSERT(world->options.keys <= KEYS_MAX && world->options.clients <= CLIENTS_MAX);
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        bool repeated;
        do {
            repeated = false;
            workload->ranges[i] =
                (uint32_t)world_draw(world, 0, (1u << world->options.range_bits) - 1);
            for (uint32_t k = 0; k < i; k++)
                repeated = repeated || workload->ranges[k] == workload->ranges[i];
        } while (repeated);
    }
    if (world->options.range >= 0)
        workload->ranges[0] = (uint32_t)world->options.range;
    for (uint32_t policy = 0; policy < POLICIES; policy++)
        for (uint32_t key = 0; key < world->options.keys; key++)
            find_key(world, (enum policy)policy, key,
                     workload->ranges[key % world->options.hot_ranges]);
    for (uint32_t i = 0; i < world->options.clients; i++) {
        workload->clients[i].index = i;
        workload->clients[i].think.fire = on_think;
        workload->clients[i].memories = mem_zero((size_t)POLICIES * world->options.keys *
                                                 sizeof(*workload->clients[i].memories));
        workload->clients[i].memories_count = POLICIES * world->options.keys;
    }
    return workload;
}

void workload_free(struct workload *workload)
{
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &workload->clients[i];
        for (uint32_t k = 0; k < client->memories_count; k++)
            buf_done(&client->memories[k].context);
        mem_free(client->memories);
    }
    ledger_free(workload->ledger);
    mem_free(workload);
}

void workload_start(struct world *world)
{
    for (uint32_t i = 0; i < world->options.clients; i++)
        think(world, &world->workload->clients[i]);
}

void workload_stop(struct world *world)
{
    world->workload->stopped = true;
}

void workload_resume(struct world *world)
{
    world->workload->stopped = false;
    for (uint32_t i = 0; i < world->options.clients; i++)
        if (world->workload->clients[i].op == NULL)
            think(world, &world->workload->clients[i]);
}

bool workload_half_issued(const struct world *world)
{
    return world->options.accepts_all || world->workload->issued >= world->options.operations / 2;
}

bool workload_issued(const struct world *world)
{
    return world->workload->stopped || world->workload->issued >= world->options.operations;
}

bool workload_rests(const struct world *world)
{
    for (uint32_t i = 0; i < world->options.clients; i++)
        if (world->workload->clients[i].op != NULL)
            return false;
    return true;
}

bool workload_idle(const struct world *world)
{
    return workload_rests(world) && workload_issued(world);
}
