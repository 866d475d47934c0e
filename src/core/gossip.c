/* Rounds, whom they are with, the own record, and changes made here. What the messages of a round
 * say is in exchange.c, what becomes of news in news.c. */
#include "core/gossip.h"

#include "base/error.h"
#include "core/exchange.h"

enum { SAMPLE_MAX = 64 };

static void fire(struct core *core, void *machine, struct timer *timer);

static struct slice keep(struct buf *strings, struct slice string)
{
    buf_append(strings, string);
    return slice_of(strings->data + strings->size - string.size, string.size);
}

void gossip_init(struct gossip *gossip, const struct member *self, const struct slice *seeds,
                 uint32_t seeds_count)
{
    *gossip = (struct gossip){.self = *self, .tokens = GOSSIP_DEPARTURES};
    gossip->timer.fire = fire;
    gossip->timer.machine = gossip;
    /* Room for all first: slices into a buffer do not survive its growth. */
    buf_reserve(&gossip->strings, self->name.size + self->zone.size + self->peer.size +
                                      self->client.size + self->http.size + 1);
    gossip->self.name = keep(&gossip->strings, self->name);
    gossip->self.zone = keep(&gossip->strings, self->zone);
    gossip->self.peer = keep(&gossip->strings, self->peer);
    gossip->self.client = keep(&gossip->strings, self->client);
    gossip->self.http = keep(&gossip->strings, self->http);
    gossip->seeds_count = MIN(seeds_count, (uint32_t)SEEDS_MAX);
    size_t size = 1;
    for (uint32_t i = 0; i < gossip->seeds_count; i++)
        size += seeds[i].size;
    buf_reserve(&gossip->seed_text, size);
    for (uint32_t i = 0; i < gossip->seeds_count; i++)
        gossip->seeds[i] = keep(&gossip->seed_text, seeds[i]);
}

void gossip_done(struct gossip *gossip)
{
    for (uint32_t i = 0; i < PENDINGS_MAX; i++) {
        buf_done(&gossip->pendings[i].name);
        buf_done(&gossip->pendings[i].value);
        mem_free(gossip->pendings[i].forks);
    }
    buf_done(&gossip->strings);
    buf_done(&gossip->seed_text);
    pages_done(&gossip->pages);
    loads_done(&gossip->loads);
    mem_free(gossip->listing);
    *gossip = (struct gossip){0};
}

int gossip_restore(struct gossip *gossip, struct core *core, const struct meta *meta)
{
    ASSERT(!gossip->started);
    return news_restore(core, meta);
}

static void halt(struct gossip *gossip, struct core *core, int error, struct slice detail)
{
    gossip->halted = true;
    core_timer_clear(core, &gossip->timer);
    struct effect *effect = effects_add(core->out, EFFECT_HALT);
    effect->halt.error = error;
    effect->halt.detail = detail;
}

/* ------------------------------------------------------------------------------------- Rounds. */

static void remember(struct round *rounds, uint32_t count, uint32_t *next, uint64_t nonce,
                     struct node_id peer)
{
    rounds[*next] = (struct round){.nonce = nonce, .peer = peer};
    *next = (*next + 1) % count;
}

/* NULL if it is over. */
static struct round *find_round(struct round *rounds, uint32_t count, uint64_t nonce,
                                struct node_id peer)
{
    for (uint32_t i = 0; i < count; i++)
        if (nonce != 0 && rounds[i].nonce == nonce &&
            (id_none(rounds[i].peer) || id_equal(rounds[i].peer, peer)))
            return &rounds[i];
    return NULL;
}

static void begin(struct gossip *gossip, struct core *core, struct node_id peer,
                  struct slice address)
{
    uint64_t nonce = prng_next(&core->prng) | 1;
    remember(gossip->rounds, ROUNDS_MAX, &gossip->rounds_next, nonce, peer);
    struct message *message = id_none(peer) ? core_send_address(core, address, MESSAGE_SYN)
                                            : core_send(core, peer, MESSAGE_SYN);
    exchange_begin(gossip, core, message, nonce);
    if (!id_none(peer) && core->peer_asked)
        core->peer_asked(core, peer);
}

/* Live and other members: of few all, of many as many as are needed, so that a round costs the
 * same in a cluster of any size. */
struct sample {
    struct node_id up[SAMPLE_MAX];
    struct node_id down[SAMPLE_MAX];
    uint32_t up_count;
    uint32_t down_count;
};

static void sample_add(struct sample *sample, const struct core *core, struct node_id id)
{
    if (id_equal(id, core->self))
        return;
    if (core_is_up(core, id))
        sample->up[sample->up_count++] = id;
    else
        sample->down[sample->down_count++] = id;
}

/* Who lives is hard to meet by chance where almost all are down. */
static void sample_search(struct sample *sample, struct core *core)
{
    uint64_t found = 0;
    for (uint32_t i = 0; i < core->members.count; i++) {
        struct node_id id = core->members.members[i]->id;
        if (id_equal(id, core->self) || !core_is_up(core, id))
            continue;
        if (prng_below(&core->prng, ++found) == 0)
            sample->up[0] = id;
        sample->up_count = 1;
    }
}

static void sample_draw(struct sample *sample, struct core *core)
{
    const struct member_table *members = &core->members;
    sample->up_count = 0;
    sample->down_count = 0;
    if (members->count <= SAMPLE_MAX) {
        for (uint32_t i = 0; i < members->count; i++)
            sample_add(sample, core, members->members[i]->id);
        return;
    }
    for (uint32_t i = 0; i < SAMPLE_MAX; i++)
        sample_add(sample, core, members->members[prng_below(&core->prng, members->count)]->id);
    if (sample->up_count == 0)
        sample_search(sample, core);
}

/* A seed is an ordinary member, once it is known to be one. */
static void begin_with_seed(struct gossip *gossip, struct core *core)
{
    struct slice seed = gossip->seeds[prng_below(&core->prng, gossip->seeds_count)];
    for (uint32_t i = 0; i < core->members.count; i++) {
        const struct member *member = core->members.members[i];
        if (!slice_equal(member->peer, seed))
            continue;
        if (!id_equal(member->id, core->self))
            begin(gossip, core, member->id, SLICE_NONE);
        return;
    }
    begin(gossip, core, NODE_NONE, seed);
}

/* Whom to compare tables with: one live node; at times one that seems unreachable, which is how
 * partitions heal, and a seed, which is how two halves that forgot each other do. */
static void begin_rounds(struct gossip *gossip, struct core *core)
{
    struct prng *prng = &core->prng;
    struct sample sample;
    sample_draw(&sample, core);
    uint32_t up = sample.up_count, down = sample.down_count;
    bool begun = up > 0;
    if (up > 0)
        begin(gossip, core, sample.up[prng_below(prng, up)], SLICE_NONE);
    if (down > 0 && prng_unit(prng) * (up + 1) < down) {
        begin(gossip, core, sample.down[prng_below(prng, down)], SLICE_NONE);
        begun = true;
    }
    if (gossip->seeds_count == 0)
        return;
    double seeds = 10.0 * gossip->seeds_count / MAX(core->members.count, 1u);
    if (!begun || prng_unit(prng) < MIN(0.1, seeds))
        begin_with_seed(gossip, core);
}

/* COUNT distinct live nodes, or as many as there are or are met. Returns how many. */
static uint32_t pick_up(struct core *core, uint32_t count, struct node_id *ret_nodes)
{
    struct sample sample;
    sample_draw(&sample, core);
    uint32_t picked = 0;
    uint64_t first = sample.up_count > 0 ? prng_below(&core->prng, sample.up_count) : 0;
    for (uint32_t i = 0; i < sample.up_count && picked < count; i++) {
        struct node_id id = sample.up[(first + i) % sample.up_count];
        bool known = false;
        for (uint32_t j = 0; j < picked; j++)
            known = known || id_equal(ret_nodes[j], id);
        if (!known)
            ret_nodes[picked++] = id;
    }
    return picked;
}

/* Tell COUNT live nodes the newest rumours, as many as fit into a message. */
static void tell_rumours(struct gossip *gossip, struct core *core, uint32_t count)
{
    struct rumours *rumours = &gossip->rumours;
    struct node_id to[TOLD_AT_ONCE];
    count = rumours->count > 0 ? pick_up(core, count, to) : 0;
    if (count == 0)
        return; /* Nobody to tell: they are kept. */
    size_t size = PAGE_HEAD_SIZE;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rumours->count; i++) {
        struct rumour *rumour = &rumours->items[i];
        struct digest digest = {.kind = rumour->kind,
                                .id = rumour->id,
                                .range = rumour->range,
                                .name = slice_of(rumour->name, rumour->name_size)};
        uint32_t added = pages_add_small(&gossip->pages, core, &digest);
        size += added;
        if (added > 0 && size <= GOSSIP_SIZE_MAX)
            rumour->rounds--;
        if (added > 0 && rumour->rounds > 0)
            rumours->items[kept++] = *rumour;
    }
    rumours->count = kept;
    pages_send_rumour(&gossip->pages, core, to, count);
}

void gossip_tell_now(struct gossip *gossip, struct core *core, bool large)
{
    if (!gossip->started || gossip->halted)
        return;
    struct node_id to[TOLD_AT_ONCE];
    uint32_t count = large ? pick_up(core, TOLD_AT_ONCE, to) : 0;
    for (uint32_t i = 0; i < count; i++)
        begin(gossip, core, to[i], SLICE_NONE);
    if (!large)
        tell_rumours(gossip, core, TOLD_AT_ONCE);
}

static void fire(struct core *core, void *machine, struct timer *timer)
{
    struct gossip *gossip = machine;
    /* A tenth more or less, so that the nodes' rounds do not fall into step. */
    uint64_t tenth = core->timing.gossip_us / 10;
    uint64_t next = core->timing.gossip_us - tenth + prng_below(&core->prng, 2 * tenth + 1);
    core_timer_set(core, timer, core->now.us + next);
    core->counters.gossip_rounds++;
    begin_rounds(gossip, core);
    tell_rumours(gossip, core, 1);
}

void gossip_start(struct gossip *gossip, struct core *core)
{
    ASSERT(!gossip->started && !id_none(core->cluster.id));
    gossip->started = true;
    if (!gossip->halted)
        core_timer_set(core, &gossip->timer, core->now.us);
}

void gossip_follow(struct gossip *gossip)
{
    gossip->started = true;
}

/* ----------------------------------------------------------------------------------- Messages. */

/* Is it a record of this node that this node did not write? */
static bool is_imposter(const struct gossip *gossip, const struct core *core,
                        const struct member *member)
{
    if (!id_equal(member->id, core->self) || member->generation < core->generation)
        return false;
    if (member->generation > core->generation || member->version > gossip->version)
        return true;
    return member->version == gossip->version && !slice_equal(member->peer, gossip->self.peer);
}

/* Does DELTA say that this node must not go on? */
static bool ends_us(struct gossip *gossip, struct core *core, const struct delta *delta)
{
    for (uint32_t i = 0; i < delta->departures_count; i++) {
        const struct departure *departure = &delta->departures[i];
        if (!id_equal(departure->id, core->self))
            continue;
        char by[NODE_ID_TEXT];
        id_format(departure->by, by);
        /* Who comes back after it left is told the same by a greeting, which may be later. */
        bool left = departure->kind == DEPARTURE_LEFT;
        bool leaves = left && departure->nonce >= core->generation;
        halt(gossip, core, leaves ? OK : ERR_NOT_MEMBER,
             core_printf(core,
                         "this node %s its cluster at an administrator's command given to node "
                         "%.8s; it can only come back as a new node with an empty data directory",
                         left ? "has left" : "was removed from", by));
        return true;
    }
    for (uint32_t i = 0; i < delta->members_count; i++) {
        const struct member *member = &delta->members[i];
        if (!is_imposter(gossip, core, member))
            continue;
        halt(
            gossip, core, ERR_REFUSED,
            core_printf(
                core,
                "another process runs under this node's id, or did in a later life (generation "
                "%llu, this is %llu), at %.*s: its data directory was copied and both run, or this "
                "directory is an old backup; stop one of the two, or start this one as a "
                "new node with an empty directory",
                (unsigned long long)member->generation, (unsigned long long)core->generation,
                (int)member->peer.size, (const char *)member->peer.data));
        return true;
    }
    return false;
}

static void forget_departed_loads(struct gossip *gossip, const struct delta *delta)
{
    for (uint32_t i = 0; i < delta->departures_count; i++)
        loads_forget(&gossip->loads, delta->departures[i].id);
}

/* Take in news unless it ends us. */
static uint32_t merge(struct gossip *gossip, struct core *core, const struct delta *delta,
                      bool pass_on)
{
    if (ends_us(gossip, core, delta))
        return 0;
    forget_departed_loads(gossip, delta);
    return news_merge(&gossip->rumours, core, delta, pass_on);
}

uint32_t gossip_learn(struct gossip *gossip, struct core *core, const struct delta *delta)
{
    return gossip->halted ? 0 : merge(gossip, core, delta, true);
}

void gossip_load(struct gossip *gossip, struct core *core, const struct load *load)
{
    if (!id_equal(load->id, core->self) && member_find(&core->members, load->id))
        loads_merge(&gossip->loads, load);
}

static void take_loads(struct gossip *gossip, struct core *core, const struct load *loads,
                       uint32_t count)
{
    for (uint32_t i = 0; i < MIN(count, (uint32_t)LOADS_PER_MESSAGE); i++)
        gossip_load(gossip, core, &loads[i]);
}

/* A departed node that comes back is told so, and nothing else. */
static void tell_departed(struct gossip *gossip, struct core *core, struct node_id to)
{
    gossip->counters.refused++;
    if (core->departures_unsynced > 0)
        return; /* It counts on us to remember that it left, and stops. It will ask again. */
    pages_add_departure(&gossip->pages, core, to);
    pages_send_rumour(&gossip->pages, core, &to, 1);
}

/* Only what begins an exchange is answered, so that two such nodes cannot go on for ever. */
static void on_departed(struct gossip *gossip, struct core *core, struct node_id from,
                        const struct message *message)
{
    if (message->type == MESSAGE_SYN) {
        rift_heard(&gossip->rift, core->now.us, from);
        tell_departed(gossip, core, from);
    }
    if (message->type != MESSAGE_BULK)
        return;
    for (uint32_t i = 0; i < message->bulk.delta.departures_count; i++)
        if (id_equal(message->bulk.delta.departures[i].id, core->self))
            rift_disowned(&gossip->rift, core->now.us, from);
}

void gossip_judge_record(struct gossip *gossip, struct core *core, struct node_id from,
                         const struct range_record *record)
{
    if (id_equal(from, core->self) || !gossip->started)
        return;
    bool departed = false;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id target = record->slots[i].target;
        departed =
            (!id_none(target) && pages_add_departure(&gossip->pages, core, target)) || departed;
    }
    if (departed)
        pages_send_rumour(&gossip->pages, core, &from, 1);
}

void gossip_message(struct gossip *gossip, struct core *core, struct node_id from,
                    const struct message *message)
{
    if (gossip->halted || !gossip->started || id_equal(from, core->self))
        return;
    if (member_departed(&core->members, from)) {
        on_departed(gossip, core, from, message);
        return;
    }
    struct round *round;
    switch (message->type) {
    case MESSAGE_SYN:
        remember(gossip->answered, ANSWERED_MAX, &gossip->answered_next, message->syn.nonce, from);
        take_loads(gossip, core, message->syn.loads, message->syn.loads_count);
        exchange_syn(gossip, core, from, message);
        break;
    case MESSAGE_ACK:
        round = find_round(gossip->rounds, ROUNDS_MAX, message->ack.nonce, from);
        if (!round) {
            gossip->counters.stale++;
            break;
        }
        take_loads(gossip, core, message->ack.loads, message->ack.loads_count);
        exchange_ack(gossip, core, round, from, message);
        break;
    case MESSAGE_ACK2:
        if (!find_round(gossip->answered, ANSWERED_MAX, message->ack2.nonce, from)) {
            gossip->counters.stale++;
            break;
        }
        merge(gossip, core, &message->ack2.delta, false);
        if (!gossip->halted)
            exchange_wants(gossip, core, from, message);
        break;
    case MESSAGE_BULK:
        if (message->bulk.nonce != 0 &&
            !find_round(gossip->rounds, ROUNDS_MAX, message->bulk.nonce, from) &&
            !find_round(gossip->answered, ANSWERED_MAX, message->bulk.nonce, from)) {
            gossip->counters.stale++;
            break;
        }
        merge(gossip, core, &message->bulk.delta, message->bulk.nonce == 0);
        break;
    default:
        break; /* Another machine's. */
    }
}

/* ------------------------------------------------------------------------------ Own knowledge. */

void gossip_publish(struct gossip *gossip, struct core *core, enum member_status status)
{
    ASSERT(core->generation > 0 && id_equal(gossip->self.id, core->self));
    gossip->self.generation = core->generation;
    gossip->self.version = ++gossip->version;
    gossip->self.status = status;
    member_merge(&core->members, &gossip->self);
    rumour_add(&gossip->rumours, core, &(struct digest){.kind = DIGEST_MEMBER, .id = core->self});
    core_signal(core, SIGNAL_MEMBERS);
    gossip_tell_now(gossip, core, false);
}

void gossip_spread_record(struct gossip *gossip, struct core *core, uint32_t range)
{
    rumour_add(&gossip->rumours, core, &(struct digest){.kind = DIGEST_RANGE, .range = range});
}

void gossip_set_load(struct gossip *gossip, struct core *core, const struct load *load)
{
    struct load own = *load;
    own.id = core->self;
    own.generation = core->generation;
    own.sequence = ++gossip->load_sequence;
    int64_t skew_ms = core_skew_ms(core);
    own.ahead_ms = (uint32_t)MIN(MAX(skew_ms, 0), (int64_t)UINT32_MAX);
    own.behind_ms = (uint32_t)MIN(MAX(-skew_ms, 0), (int64_t)UINT32_MAX);
    own.hlc_floor = core->forks_differ ? 0 : MIN(core_floor(core), core->floor_others);
    own.forks = core->ring.forks;
    loads_merge(&gossip->loads, &own);
}
