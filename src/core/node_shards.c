/* A node of several shards: what one of them tells the others, and what that does there
 * (docs/decisions/0036). With one shard nothing here is called but shards_init and shards_done. */
#include "core/node_private.h"

#include "core/route.h"

static bool is_first(const struct core *core)
{
    return core->shard == 0;
}

/* The links of this shard: the first one's to all others, another's to the first. */
static struct shard_link *next_link(struct shards *shards, uint32_t *cursor)
{
    while (*cursor < SHARDS_MAX) {
        struct shard_link *link = shards->links[(*cursor)++];
        if (link != NULL)
            return link;
    }
    return NULL;
}

#define EACH_LINK(link, shards)                                                                    \
    struct shard_link *link = NULL;                                                                \
    for (uint32_t cursor = 0; (link = next_link((shards), &cursor)) != NULL;)

/* ------------------------------------------------------------------------------------ Figures. */

static struct shard_figures figures_of(struct node *node)
{
    const struct core *core = &node->core;
    return (struct shard_figures){
        .floor = core_floor(core),
        .forks = core->ring.forks,
        .hint_bytes = core->hinted.bytes,
        .hint_oldest = hinted_oldest(&core->hinted),
        .logged = core->logged,
        .in_flight = node->coord.active,
        .ready = node->state >= NODE_READY,
        .empty =
            core->holdings != NULL && transfers_may_depart(core) && hints_empty(&node->hints, core),
    };
}

void shards_load(const struct shards *shards, struct load *load)
{
    EACH_LINK(link, (struct shards *)(uintptr_t)shards)
    {
        uint64_t oldest = link->figures.hint_oldest;
        load->hint_bytes += link->figures.hint_bytes;
        if (oldest != 0)
            load->hint_oldest = load->hint_oldest == 0 ? oldest : MIN(load->hint_oldest, oldest);
    }
}

bool shards_forks_differ(const struct shards *shards, uint64_t forks)
{
    bool differ = false;
    EACH_LINK(link, (struct shards *)(uintptr_t)shards)
    differ = differ || link->figures.forks != forks;
    return differ;
}

bool shards_ready(const struct shards *shards)
{
    bool ready = true;
    EACH_LINK(link, (struct shards *)(uintptr_t)shards)
    ready = ready && link->figures.ready;
    return ready;
}

bool shards_empty(const struct shards *shards)
{
    bool empty = true;
    EACH_LINK(link, (struct shards *)(uintptr_t)shards)
    empty = empty && shard_link_level(link) && link->figures.empty;
    return empty;
}

bool shards_busy(const struct shards *shards)
{
    bool busy = false;
    EACH_LINK(link, (struct shards *)(uintptr_t)shards)
    busy = busy || !link->drains || link->acked != link->number || link->figures.in_flight > 0;
    return busy;
}

/* ------------------------------------------------------------------------------------- Telling. */

static void set_due(struct shards *shards)
{
    EACH_LINK(link, shards)
    link->due = true;
}

void shards_signal(struct node *node, const struct signal *signal)
{
    struct core *core = &node->core;
    struct shards *shards = &node->shards;
    EACH_LINK(link, shards)
    {
        switch (signal->type) {
        case SIGNAL_RECORD:
            shard_link_record(link, core, signal->range, id_equal(signal->node, core->self));
            break;
        case SIGNAL_MEMBERS:
            link->due = true;
            break;
        case SIGNAL_SETTINGS:
            if (is_first(core))
                shard_link_setting(link, signal->name);
            break;
        case SIGNAL_PEER_UP:
        case SIGNAL_PEER_DOWN:
            if (is_first(core))
                shard_link_verdict(link, signal->node);
            break;
        case SIGNAL_FLOOR:
            link->due = true;
            break;
        default:
            break;
        }
    }
}

static void tell_cluster(const struct core *core, struct message *message)
{
    message->news.entered = true;
    message->news.id = core->cluster.id;
    message->news.name = core->cluster.name;
    message->news.hash_seed = core->cluster.hash_seed;
    message->news.range_bits = core->cluster.range_bits;
    message->news.copies = core->cluster.copies;
}

/* What is to be told, into MESSAGE; false if there is nothing. */
static bool fill_news(struct node *node, struct shard_link *link, struct message *message)
{
    struct core *core = &node->core;
    bool first = is_first(core);
    bool news = shard_link_fill(link, core, &node->gossip.loads, message) || !first;
    if (first && !link->entered)
        tell_cluster(core, message);
    message->news.drains = first && node->coord.draining;
    news = news || message->news.entered || message->news.drains != link->drains;
    link->entered = link->entered || message->news.entered;
    link->drains = message->news.drains;
    return news;
}

static void flush_link(struct node *node, struct shard_link *link)
{
    struct core *core = &node->core;
    bool free = link->acked == link->number && node->state >= NODE_SYNCING;
    struct message *filled = NULL;
    bool news = false;
    if (link->due && free) {
        filled = arena_zero(&core->out->arena, sizeof(*filled));
        news = fill_news(node, link, filled);
    }
    if (!news && !link->owes)
        return;
    struct message *message = core_send_inside(core, link->shard, MESSAGE_NEWS);
    if (news)
        message->news = filled->news;
    if (!is_first(core))
        message->news.figures = figures_of(node);
    node->shards.in_flight = node->coord.active;
    message->news.shard = core->shard;
    message->news.heard = link->heard;
    link->owes = false;
    /* An acknowledgement alone is not acknowledged. */
    if (news)
        message->news.number = ++link->number;
}

void shards_flush(struct node *node)
{
    struct core *core = &node->core;
    struct shards *shards = &node->shards;
    if (core->holdings == NULL)
        return;
    EACH_LINK(link, shards)
    {
        bool clocks = is_first(core) && shard_link_clocks_changed(link, core);
        /* Whoever stops waits for the last request. */
        bool drains =
            node->coord.draining &&
            (is_first(core) ? !link->drains : node->shards.in_flight != node->coord.active);
        link->due = link->due || clocks || drains;
        flush_link(node, link);
    }
}

/* Loads and figures, which change all the time. */
static void fire(struct core *core, void *machine, struct timer *timer)
{
    struct node *node = machine;
    core_timer_set(core, timer, core->now.us + core->timing.gossip_us);
    if (!is_first(core)) /* What it says of itself, to its own machines. */
        node_set_load(node, &(struct load){0});
    set_due(&node->shards);
}

void shards_start(struct node *node)
{
    set_due(&node->shards);
    core_timer_set(&node->core, &node->shards.timer,
                   node->core.now.us + node->core.timing.gossip_us);
}

void shards_repair(struct node *node, const struct repair_choice *choice)
{
    EACH_LINK(link, &node->shards)
    {
        struct message *message = core_send_inside(&node->core, link->shard, MESSAGE_NEWS);
        message->news.shard = node->core.shard;
        message->news.heard = link->heard;
        message->news.repairs = true;
        message->news.repair_first = choice->first;
        message->news.repair_last = choice->last;
        message->news.repair_node = choice->node;
        message->news.repair_bucket = choice->bucket;
    }
}

/* ------------------------------------------------------------------------------------ Changes. */

void core_reply_level(struct core *core, uint64_t client)
{
    if (core->shards == 1 || core->levels_count == ARRAY_SIZE(core->levels))
        core_reply(core, client);
    else
        core->levels[core->levels_count++] = client;
}

/* Who waits for all shards to know of a change is answered once they do. */
static void answer_levels(struct node *node)
{
    struct core *core = &node->core;
    EACH_LINK(link, &node->shards)
    if (!shard_link_level(link))
        return;
    for (uint32_t i = 0; i < core->levels_count; i++)
        core_reply(core, core->levels[i]);
    core->levels_count = 0;
}

/* -------------------------------------------------------------------------------------- Taking. */

/* Before this shard has begun, tables are all there is to it: it looks at them when it begins. */
static void deliver(struct node *node)
{
    if (node->state < NODE_SYNCING)
        node->core.signals_count = 0;
    else
        node_deliver(node);
}

static void take_records(struct node *node, struct shard_link *link, const struct message *message)
{
    struct core *core = &node->core;
    const struct delta *delta = &message->news.delta;
    for (uint32_t i = 0; i < delta->records_count; i++) {
        const struct range_record *record = &delta->records[i];
        ASSERT(record->range < ring_ranges(&core->ring));
        if (ring_merge(&core->ring, record))
            core_signal(core, SIGNAL_RECORD)->range = record->range;
    }
    deliver(node);
    for (uint32_t i = 0; i < delta->records_count; i++)
        shard_link_knows(link, core, &delta->records[i]);
    for (uint32_t i = 0; i < message->news.chosen_count; i++)
        gossip_spread_record(&node->gossip, core, (uint32_t)message->news.chosen[i].prefix);
}

static void take_tables(struct node *node, const struct message *message)
{
    struct core *core = &node->core;
    const struct delta *delta = &message->news.delta;
    core->peers =
        (struct peer_clocks){message->news.clocks_known, (int64_t)message->news.clocks_low,
                             (int64_t)message->news.clocks_high};
    for (uint32_t i = 0; i < delta->departures_count; i++) {
        if (!departure_merge(&core->members, &delta->departures[i]))
            continue;
        loads_forget(&node->gossip.loads, delta->departures[i].id);
        followed_forget(&node->followed, delta->departures[i].id);
    }
    for (uint32_t i = 0; i < delta->members_count; i++)
        member_merge(&core->members, &delta->members[i]);
    if (delta->members_count + delta->departures_count > 0)
        core_signal(core, SIGNAL_MEMBERS);
    for (uint32_t i = 0; i < delta->settings_count; i++)
        if (setting_merge(&core->settings, &delta->settings[i]))
            core_signal(core, SIGNAL_SETTINGS)->name = delta->settings[i].name;
}

static void take_peers(struct node *node, const struct message *message)
{
    struct core *core = &node->core;
    bool welcomed = false;
    for (uint32_t i = 0; i < message->news.peers_count; i++) {
        const struct shard_peer *peer = &message->news.peers[i];
        followed_set(&node->followed, core, peer->id, peer->up, peer->fresh);
        if (peer->load.generation != 0)
            gossip_load(&node->gossip, core, &peer->load);
        if (peer->welcomed && !handshake_welcomed(&node->handshake, peer->id)) {
            handshake_note(&node->handshake, peer->id);
            welcomed = true;
        }
    }
    deliver(node); /* Readiness is judged by the records that came before the welcome. */
    if (welcomed && node->state >= NODE_SYNCING)
        handshake_judge(core);
}

static void take_repair(struct node *node, const struct message *message)
{
    const struct repair_choice choice = {message->news.repair_first, message->news.repair_last,
                                         message->news.repair_node, message->news.repair_bucket};
    if (node->state >= NODE_SYNCING)
        repairs_ask(&node->repairs, &node->core, &choice);
}

/* Shard 0 says what the node knows. */
static void take_from_first(struct node *node, struct shard_link *link,
                            const struct message *message)
{
    struct core *core = &node->core;
    if (message->news.entered && core->holdings == NULL) {
        struct cluster cluster = {.id = message->news.id,
                                  .name = message->news.name,
                                  .hash_seed = message->news.hash_seed,
                                  .range_bits = message->news.range_bits,
                                  .copies = message->news.copies};
        core_join(core, &cluster);
    }
    if (message->news.repairs) {
        take_repair(node, message);
        return;
    }
    if (message->news.number == 0)
        return; /* Nothing of the rest is filled in. */
    take_tables(node, message);
    take_records(node, link, message);
    take_peers(node, message);
    node->shards.entered = node->shards.entered || message->news.entered;
    if (node->state < NODE_SYNCING && node->shards.entered && node->shards.counted)
        node_enter(node);
    if (message->news.drains && !node->coord.draining)
        node_drain(node, 0);
}

static void take_figures(struct node *node, struct shard_link *link, const struct message *message)
{
    struct core *core = &node->core;
    link->figures = message->news.figures;
    uint64_t floor = UINT64_MAX, logged = 0, before = core->floor_others;
    EACH_LINK(each, &node->shards)
    {
        floor = MIN(floor, each->figures.floor);
        logged += each->figures.logged;
    }
    core->floor_others = floor;
    core->logged_others = logged;
    if (floor != before && core->holdings != NULL)
        core_signal(core, SIGNAL_FLOOR);
}

static void on_news(struct node *node, const struct message *message)
{
    struct core *core = &node->core;
    struct shard_link *link = node->shards.links[message->news.shard];
    ASSERT(link != NULL);
    link->acked = MAX(link->acked, message->news.heard);
    if (message->news.number != 0) {
        ASSERT(message->news.number == link->heard + 1);
        link->heard = message->news.number;
        link->owes = true;
    }
    if (is_first(core)) {
        take_figures(node, link, message);
        take_records(node, link, message);
        answer_levels(node);
    } else {
        take_from_first(node, link, message);
    }
}

/* --------------------------------------------------------------------------------- Requests. */

bool shards_hand_over(struct node *node, uint64_t client, const struct request *request)
{
    struct core *core = &node->core;
    if (request->method == METHOD_SCAN)
        return false; /* It crosses all ranges. */
    uint64_t hash = key_hash(core->cluster.hash_seed, request->bucket, request->key);
    uint32_t range = range_of(hash, core->ring.bits);
    uint8_t shard = shard_of_range(range, core->ring.bits, core->shards);
    if (shard == core->shard)
        return false;
    ASSERT(client >> CLIENT_BITS == 0);
    struct message *message = core_send_inside(core, shard, MESSAGE_HANDED);
    message->forward.id = client_of_shard(client, core->shard, request->method == METHOD_GET);
    message->forward.request = *request;
    return true;
}

void shards_message(struct node *node, const struct message *message)
{
    struct core *core = &node->core;
    if (message->type == MESSAGE_NEWS) {
        on_news(node, message);
    } else if (message->type == MESSAGE_ANSWERED) {
        struct answer *answer = core_reply(core, client_number(message->answer.id));
        *answer = message->answer.answer;
    } else if (node->state < NODE_SYNCING) {
        node_not_ready(core, message->forward.id);
    } else {
        coord_request(&node->coord, core, message->forward.id, &message->forward.request);
    }
}

/* ---------------------------------------------------------------------------------------- Life. */

void shards_init(struct node *node)
{
    struct core *core = &node->core;
    struct shards *shards = &node->shards;
    shards->timer.fire = fire;
    shards->timer.machine = node;
    for (uint8_t shard = 0; shard < core->shards; shard++) {
        if (shard == core->shard || (!is_first(core) && shard != 0))
            continue;
        shards->links[shard] = mem_zero(sizeof(*shards->links[shard]));
        shard_link_init(shards->links[shard], shard, is_first(core));
    }
    if (core->shards > 1 && is_first(core))
        core->floor_others = 0;
    if (!is_first(core))
        followed_start(&node->followed, core);
}

void shards_done(struct node *node)
{
    core_timer_clear(&node->core, &node->shards.timer);
    followed_done(&node->followed);
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        if (node->shards.links[i] == NULL)
            continue;
        shard_link_done(node->shards.links[i]);
        mem_free(node->shards.links[i]);
    }
}
