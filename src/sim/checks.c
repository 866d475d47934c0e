#include "sim/checks.h"

#include "base/checksum.h"
#include "sim/admin.h"
#include "sim/checks_end.h"
#include "sim/checks_own.h"
#include "sim/describe.h"
#include "sim/host.h"
#include "sim/ledger.h"
#include "sim/workload.h"

struct checks *checks_new(struct world *world)
{
    struct checks *checks = mem_zero(sizeof(*checks));
    checks->ranges = 1u << world->options.range_bits;
    checks->lists = mem_zero(checks->ranges * sizeof(*checks->lists));
    checks->proposed = mem_zero(checks->ranges * sizeof(*checks->proposed));
    checks->installs =
        mem_zero((size_t)world->hosts_count * checks->ranges * sizeof(*checks->installs));
    checks->inbound =
        mem_zero((size_t)world->hosts_count * checks->ranges * sizeof(*checks->inbound));
    checks->horizons = mem_zero(checks->ranges * sizeof(*checks->horizons));
    checks->horizons_sent = mem_zero(checks->ranges * sizeof(*checks->horizons_sent));
    checks->asked = mem_zero(checks->ranges * sizeof(*checks->asked));
    checks->complete = mem_zero(checks->ranges * sizeof(struct slot_ack *));
    return checks;
}

void checks_free(struct checks *checks)
{
    for (uint32_t i = 0; i < checks->ranges; i++) {
        mem_free(checks->lists[i].records);
        mem_free(checks->proposed[i].records);
    }
    mem_free(checks->lists);
    mem_free(checks->proposed);
    mem_free(checks->installs);
    mem_free(checks->inbound);
    mem_free(checks->horizons);
    mem_free(checks->horizons_sent);
    mem_free(checks->asked);
    map_done(&checks->shown);
    map_done(&checks->questions);
    map_done(&checks->gone);
    mem_free(checks->complete);
    map_done(&checks->versions);
    map_done(&checks->seconds);
    map_done(&checks->generations);
    map_done(&checks->ballots);
    map_done(&checks->voters);
    map_done(&checks->pasts);
    map_done(&checks->acks);
    map_done(&checks->writes);
    map_done(&checks->sources);
    map_done(&checks->lost);
    map_done(&checks->hints_taken);
    map_done(&checks->streams);
    map_done(&checks->members);
    map_done(&checks->handed_keys);
    map_done(&checks->rounds);
    map_done(&checks->readings);
    arena_done(&checks->arena);
    buf_done(&checks->bytes);
    mem_free(checks);
}

/* ----------------------------------------------------------------------------------- Messages. */

static void check_generation(struct world *world, uint32_t from, uint64_t generation)
{
    struct checks *checks = world->checks;
    uint64_t name = checksum_pair(from, generation);
    uintptr_t life = host_lives(world->hosts[from]);
    void *known = map_get(&checks->generations, name);
    if (known == NULL)
        map_put(&checks->generations, name, (void *)life);
    else if ((uintptr_t)known != life)
        world_violate(world, "GenerationFresh", "%s speaks of generation %llu in two lives",
                      world_host_name(from), (unsigned long long)generation);
}

static void check_packet(struct world *world, uint32_t from, const struct message *message,
                         size_t size)
{
    bool gossip = message->type == MESSAGE_SYN || message->type == MESSAGE_ACK ||
                  message->type == MESSAGE_ACK2;
    if (gossip && size > GOSSIP_SIZE_MAX)
        world_violate(world, "PacketBound", "%s sends %s of %zu bytes", world_host_name(from),
                      message_name(message->type), size);
}

static void take_delta(struct world *world, uint32_t from, const struct delta *delta)
{
    for (uint32_t i = 0; i < delta->records_count; i++)
        checks_record_chosen(world, from, &delta->records[i]);
}

static void note_good_bye(struct world *world, uint32_t from, const struct delta *delta)
{
    for (uint32_t i = 0; i < delta->departures_count; i++)
        world->checks->left[from] |= id_equal(delta->departures[i].id, host_id(world->hosts[from]));
}

void checks_message(struct world *world, uint32_t from, uint32_t to, const struct message *message,
                    size_t size)
{
    check_packet(world, from, message, size);
    if (host_restored(world->hosts[from])) {
        checks_amnesiac(world, from, message);
        if (message->type == MESSAGE_REPLY) /* What it still may answer counts. */
            checks_write_acknowledged(world, from, to, message);
        return;
    }
    switch (message->type) {
    case MESSAGE_HELLO:
        check_generation(world, from, message->hello.self.generation);
        break;
    case MESSAGE_PING:
    case MESSAGE_PONG:
        check_generation(world, from, message->ping.generation);
        checks_floor(world, from, &message->ping.load);
        break;
    case MESSAGE_SYN:
        for (uint32_t i = 0; i < message->syn.loads_count; i++)
            checks_floor(world, from, &message->syn.loads[i]);
        break;
    case MESSAGE_ACK:
        for (uint32_t i = 0; i < message->ack.loads_count; i++)
            checks_floor(world, from, &message->ack.loads[i]);
        break;
    case MESSAGE_PROVE:
    case MESSAGE_PROVEN:
    case MESSAGE_HORIZON:
        checks_horizon_message(world, from, to, message);
        break;
    case MESSAGE_WELCOME:
        check_generation(world, from, message->welcome.self.generation);
        for (uint32_t i = 0; i < message->welcome.records_count; i++)
            checks_record_chosen(world, from, &message->welcome.records[i]);
        break;
    case MESSAGE_ACK2:
        take_delta(world, from, &message->ack2.delta);
        break;
    case MESSAGE_BULK:
        note_good_bye(world, from, &message->bulk.delta);
        take_delta(world, from, &message->bulk.delta);
        break;
    case MESSAGE_PROPOSE:
        if (message->vote.has_record)
            checks_record_proposed(world, from, &message->vote.record);
        checks_vote(world, from, message);
        break;
    case MESSAGE_PROMISE:
    case MESSAGE_ACCEPTED:
        checks_vote(world, from, message);
        break;
    case MESSAGE_CHUNK:
        checks_chunk(world, from, to, message);
        checks_chunk_sent(world, from, message);
        if (message->chunk.transfer == 0)
            checks_hands_over(world, from, message);
        checks_horizon_message(world, from, to, message);
        break;
    case MESSAGE_CHUNK_ACK:
        if (message->chunk.transfer == 0)
            checks_handed_acknowledged(world, from, message->chunk.range.range);
        checks_chunk(world, from, to, message);
        break;
    case MESSAGE_COMPLETE:
        if (message->chunk.transfer == 0)
            checks_says_dropped(world, from, message->chunk.range.range);
        checks_chunk(world, from, to, message);
        break;
    case MESSAGE_CHOSEN:
        if (message->vote.has_record)
            checks_record_chosen(world, from, &message->vote.record);
        break;
    case MESSAGE_FORWARD:
        if (message->forward.hops > HOPS_MAX)
            world_violate(world, "HopBound", "%s hands a request on the %u. time",
                          world_host_name(from), message->forward.hops);
        break;
    case MESSAGE_WRITE:
    case MESSAGE_READ:
    case MESSAGE_HINT:
        if (message->write.has_record)
            checks_record_chosen(world, from, &message->write.record);
        checks_write_sent(world, from, to, message);
        if (message->type == MESSAGE_READ)
            checks_read_sent(world, from, message);
        break;
    case MESSAGE_REPLY:
        if (message->reply.has_record)
            checks_record_chosen(world, from, &message->reply.record);
        checks_write_acknowledged(world, from, to, message);
        checks_read_replied(world, from, to, message);
        break;
    case MESSAGE_ANSWER:
        if (message->answer.has_record)
            checks_record_chosen(world, from, &message->answer.record);
        break;
    default:
        break;
    }
}

/* -------------------------------------------------------------------------------------- Store. */

static void check_install(struct world *world, uint32_t host, const struct store_op *op)
{
    struct checks *checks = world->checks;
    struct install *install = install_of(checks, host, op->range);
    struct range_epoch next = {op->range, op->fork, op->nonce, op->epoch};
    /* What was only submitted may be lost in a crash; what was synced may not. */
    if (checks_compare(&next, &install->submitted) < 0)
        world_violate(world, "EpochMonotonic",
                      "%s installs epoch %llu of range %u after epoch %llu", world_host_name(host),
                      (unsigned long long)op->epoch, op->range,
                      (unsigned long long)install->submitted.epoch);
    install->submitted = next;
    install->position = 0;
    install->token = op->token;
}

static bool has(const struct range_record *record, struct node_id node)
{
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++)
        if (id_equal(record->slots[i].owner, node) || id_equal(record->slots[i].target, node))
            return true;
    return false;
}

/* Is NODE counted on for what it holds? A target is only once it takes its transfer in. */
static bool counted(const struct range_record *record, struct node_id node)
{
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        bool target = slot->stage == STAGE_CUT || slot->stage == STAGE_BACK;
        if (id_equal(slot->owner, node) || (target && id_equal(slot->target, node)))
            return true;
    }
    return false;
}

static void check_drop(struct world *world, uint32_t host, const struct store_op *op)
{
    const struct checks *checks = world->checks;
    struct node_id self = host_id(world->hosts[host]);
    const struct install *install = install_of(checks, host, op->range);
    if (counted(checks_newest(world, op->range), self) ||
        has(checks_find(checks, &install->submitted), self))
        world_violate(world, "CleanupSafe", "%s drops range %u, of which it is a member",
                      world_host_name(host), op->range);
    checks_dropped(world, host, op->range);
    world->coverage.drops++;
}

void checks_store_op(struct world *world, uint32_t host, const struct store_op *op)
{
    struct checks *checks = world->checks;
    if (host_restored(world->hosts[host]))
        return;
    if (op->type == STORE_SCAN && token_owner(op->token) == OWNER_TRANSFER &&
        op->range < checks->ranges)
        checks_snapshot(world, host, op->range);
    if (op->type == STORE_META && op->batch.install && op->range < checks->ranges)
        check_install(world, host, op);
    if (op->type == STORE_DROP && op->range < checks->ranges)
        check_drop(world, host, op);
    if (op->type == STORE_READ && token_owner(op->token) == OWNER_COORD &&
        op->range < checks->ranges)
        checks_read_own(world, host, op);
    checks_taken(world, host, op);
    if (op->type == STORE_META && op->batch.horizon != 0)
        checks_horizon_taken(world, host, op->range, op->batch.horizon);
    bool watched = op->type == STORE_UPDATE || op->type == STORE_DROP || op->type == STORE_MERGE ||
                   op->type == STORE_CHUNK || op->type == STORE_COLLECT ||
                   op->type == STORE_HINT_UPDATE || op->type == STORE_HINT_SETTLE ||
                   op->type == STORE_HINT_MERGE || (op->type == STORE_META && op->batch.install);
    if (!watched)
        return;
    bool makes = op->type == STORE_UPDATE || op->type == STORE_HINT_UPDATE;
    struct flight *flight = checks->free_flights;
    if (flight != NULL)
        checks->free_flights = flight->next;
    else
        flight = arena_alloc(&checks->arena, sizeof(*flight));
    *flight = (struct flight){
        .token = op->token,
        .type = op->type,
        .install = op->type == STORE_META,
        .handed = op->type == STORE_CHUNK && token_owner(op->token) == OWNER_TRANSFER &&
                  op->batch.metas_count == 0,
        .heals = op->type == STORE_MERGE && op->heals,
        .range = {op->range, op->fork, op->nonce, op->epoch},
        .dot = op->update.dot,
        .number = makes && op->update.policy == POLICY_SIBLINGS && op->update.edit == NULL
                      ? ledger_number(workload_ledger(world), op->update.value)
                      : 0,
        .key_hash = op->hash,
        .horizon = op->type == STORE_COLLECT && op->collect.count_max > 0 ? op->collect.horizon : 0,
        .next = checks->flights[host],
    };
    checks->flights[host] = flight;
    if (op->type == STORE_HINT_MERGE)
        checks_hint_brought(world, op, flight);
}

static bool is_of_key(enum store_op_type type)
{
    return type == STORE_UPDATE || type == STORE_MERGE || type == STORE_HINT_UPDATE ||
           type == STORE_HINT_MERGE || type == STORE_HINT_SETTLE;
}

/* What has just completed may not have overtaken what was handed to the store before. */
static void check_order(struct world *world, uint32_t host, const struct flight *flight)
{
    bool older = false; /* The list is newest first, and FLIGHT is still in it. */
    for (const struct flight *at = world->checks->flights[host]; at != NULL; at = at->next) {
        if (older && is_of_key(at->type) && at->key_hash == flight->key_hash)
            world_violate(world, "KeyInOrder",
                          "an operation on a key of range %u overtakes an earlier one in the store "
                          "of %s",
                          flight->range.range, world_host_name(host));
        older = older || at == flight;
    }
}

static struct flight *take_flight(struct world *world, uint32_t host, const struct store_done *done)
{
    struct checks *checks = world->checks;
    /* The oldest with that token: the list is newest first. */
    struct flight **found = NULL;
    for (struct flight **at = &checks->flights[host]; *at != NULL; at = &(*at)->next)
        if ((*at)->token == done->token && (*at)->type == done->type)
            found = at;
    if (found == NULL)
        return NULL;
    struct flight *flight = *found;
    if (is_of_key(done->type) && done->error != ERR_BUSY)
        check_order(world, host, flight);
    *found = flight->next;
    flight->next = checks->free_flights;
    checks->free_flights = flight;
    return flight;
}

static void check_old_epoch(struct world *world, uint32_t host, const struct flight *flight)
{
    const struct install *install = install_of(world->checks, host, flight->range.range);
    if (install->position > 0 && checks_compare(&flight->range, &install->submitted) < 0)
        world_violate(world, "NoOldEpochInstall",
                      "%s takes a record of epoch %llu of range %u into its log after epoch %llu",
                      world_host_name(host), (unsigned long long)flight->range.epoch,
                      flight->range.range, (unsigned long long)install->submitted.epoch);
}

void checks_store_done(struct world *world, uint32_t host, const struct store_done *done)
{
    struct checks *checks = world->checks;
    const struct flight *flight = take_flight(world, host, done);
    if (flight == NULL || done->error < 0 || flight->range.range >= checks->ranges)
        return;
    struct install *install = install_of(checks, host, flight->range.range);
    if (flight->install) {
        if (install->token == done->token)
            install->position = done->position;
        return;
    }
    if (done->type == STORE_HINT_SETTLE)
        checks_hint_settled(world, host, done);
    if (done->type == STORE_HINT_MERGE || done->type == STORE_HINT_UPDATE)
        checks_hint_taken(world, host, flight, done);
    if (done->type == STORE_HINT_SETTLE || done->type == STORE_HINT_MERGE)
        return;
    bool hint = done->type == STORE_HINT_UPDATE;
    if (done->changed && !hint) {
        check_old_epoch(world, host, flight);
        install->dropped = 0;
    }
    if (done->type == STORE_DROP) {
        install->dropped = done->position;
        checks_gone_forget(world, host, flight->range.range);
    }
    if (done->type == STORE_MERGE && done->changed)
        checks_merged(world, host, flight, done->object);
    if (flight->heals)
        checks_healed(world, host, flight, done->object);
    if (flight->handed)
        checks_handed(world, host, flight->range.range, done->position);
    if (done->type == STORE_COLLECT)
        checks_collected(world, host, flight, done);
    if ((done->type != STORE_UPDATE || !done->changed) && !hint)
        return;
    checks_versions(world, flight->range.range, SLICE_NONE, SLICE_NONE, done->object);
    checks_made(world, host, flight, done->object);
    if (flight->number > 0)
        ledger_made(workload_ledger(world), world, host, flight->number);
}

void checks_durable(struct world *world, uint32_t host, uint32_t shard, uint64_t synced)
{
    struct checks *checks = world->checks;
    uint32_t shards = host_shards(world->hosts[host]);
    if (host_restored(world->hosts[host]))
        return;
    checks->handed[shard][host].synced = synced;
    for (uint32_t range = 0; range < checks->ranges; range++) {
        struct install *install = install_of(checks, host, range);
        if (shard_of_range(range, world->options.range_bits, shards) != shard)
            continue;
        if (install->position == 0 || install->position > synced ||
            checks_compare(&install->submitted, &install->durable) == 0)
            continue;
        install->durable = install->submitted;
        const struct range_record *record = checks_find(checks, &install->submitted);
        if (record != NULL)
            checks_complete(world, host, record);
    }
}

/* What it recovered is what it goes on from: not less than it had synced before. */
void checks_start(struct world *world, uint32_t host)
{
    struct checks *checks = world->checks;
    const struct core *core = node_core(host_node(world->hosts[host]));
    if (host_restored(world->hosts[host]))
        return;
    if (core->floor < checks->floors[host])
        world_violate(world, "HorizonSafe", "%s comes back without the floor that it promised",
                      world_host_name(host));
    for (uint32_t range = 0; range < checks->ranges; range++) {
        struct install *install = install_of(checks, host, range);
        struct range_epoch now = {.range = range};
        core = node_core(host_node_of(world->hosts[host], range));
        if (core->holdings != NULL)
            now = range_epoch_of(&core->holdings[range].record);
        if (checks_compare(&now, &install->durable) < 0)
            world_violate(world, "EpochMonotonic",
                          "%s had synced epoch %llu of range %u and comes back with %llu",
                          world_host_name(host), (unsigned long long)install->durable.epoch, range,
                          (unsigned long long)now.epoch);
        install->submitted = install->durable = now;
        if (install->dropped > 0)
            checks_stays_dropped(world, host, range);
        if (now.epoch > 0)
            checks_complete(world, host, &core->holdings[range].record);
    }
    if (core->holdings != NULL && host_lives(world->hosts[host]) > 1)
        checks_verify(world, host);
}

void checks_crash(struct world *world, uint32_t host)
{
    struct checks *checks = world->checks;
    while (checks->flights[host] != NULL) {
        struct flight *flight = checks->flights[host];
        bool changes = flight->type == STORE_UPDATE || flight->type == STORE_MERGE ||
                       flight->type == STORE_CHUNK;
        /* What it was about to write, and nobody heard of, may be in the log all the same. */
        if (changes && flight->range.range < checks->ranges)
            install_of(checks, host, flight->range.range)->dropped = 0;
        checks->flights[host] = flight->next;
        flight->next = checks->free_flights;
        checks->free_flights = flight;
    }
    checks_gone_forget(world, host, UINT32_MAX);
    for (uint32_t shard = 0; shard < SHARDS_MAX; shard++)
        checks->handed[shard][host].count = 0;
    memset(&checks->inbound[(size_t)host * checks->ranges], 0,
           checks->ranges * sizeof(*checks->inbound));
    for (uint32_t range = 0; range < checks->ranges; range++) {
        struct install *install = install_of(checks, host, range);
        install->submitted = install->durable;
        install->position = 0;
        install->token = 0;
        if (install->dropped > checks_handed_of(world, host, range)->synced)
            install->dropped = 0;
    }
}

void checks_halt(struct world *world, uint32_t host, int error)
{
    bool removed = error == ERR_NOT_MEMBER && admin_removed(world, host);
    bool left = (error == 0 || error == ERR_NOT_MEMBER) && admin_leaving(world, host);
    if (left && !removed)
        checks_hints_left(world, host);
    bool amnesiac = error == ERR_REFUSED && host_restored(world->hosts[host]);
    if (!removed && !left && !amnesiac)
        world_violate(world, "NodesServe", "%s halts: %s", world_host_name(host),
                      error_word(error));
}
