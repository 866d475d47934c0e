/* Generated histories of one key against a naive model: replicas, coordinators, clients, and a
 * network that loses, repeats and reorders.
 *
 * The model knows no vectors. An event has an explicit past, the set of events that it overwrote;
 * a replica has a set of events that took part in its object. At most 64 events a history make
 * every set one word. KVRING_STEPS=5000000 (default 500000) runs longer, KVRING_SEED replays. */
#include "base/error.h"
#include "base/limits.h"
#include "base/prng.h"
#include "data/context.h"
#include "data/object.h"
#include "data/vector.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENTS_MAX = 64, REPLICAS_MAX = 5, FLIGHT_MAX = 12, CONTEXTS_MAX = 8, HASH_SEED = 77 };

struct event {
    struct dot dot;
    uint64_t hlc;
    uint64_t past; /* Overwritten, transitively. */
    enum policy policy;
    bool tombstone;
    uint64_t expires;
    uint32_t drops;
};

/* An object and the events that took part in it. */
struct state {
    struct buf bytes;
    uint64_t events;
};

struct replica {
    struct state state;
    struct state saved; /* What a restored backup would bring back. */
    uint64_t actor;
    uint64_t counter;
    uint64_t clock;
};

struct client_context {
    struct buf bytes;
    uint64_t covered; /* Events. */
    uint64_t hlc;
};

struct world {
    struct prng prng;
    uint64_t seed;
    struct event events[EVENTS_MAX];
    uint32_t events_count;
    struct replica replicas[REPLICAS_MAX];
    uint32_t replicas_count;
    struct state flight[FLIGHT_MAX];
    struct client_context contexts[CONTEXTS_MAX];
    uint64_t actors_count;
    uint32_t blind_percent; /* The profile of a history. */
    uint32_t spread_percent;
    uint32_t policies[3];
    uint64_t refused;
    uint64_t steps;
};

static const char bucket_name[] = "bucket";
static const char key_name[] = "key";

#define CHECK(world, condition)                                                                    \
    cr_assert(condition, "KVRING_SEED=%llu", (unsigned long long)(world)->seed)

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static struct slice bucket_slice(void)
{
    return slice_string(bucket_name);
}

static struct slice key_slice(void)
{
    return slice_string(key_name);
}

/* ------------------------------------------------------------------------------ The model. */

static bool in_set(uint64_t set, uint32_t event)
{
    return (set >> event & 1) != 0;
}

static bool stamped_above(const struct event *a, const struct event *b)
{
    if (a->hlc != b->hlc)
        return a->hlc > b->hlc;
    if (a->dot.actor != b->dot.actor)
        return a->dot.actor > b->dot.actor;
    return a->dot.counter > b->dot.counter;
}

static uint64_t model_pasts(const struct world *world, uint64_t events)
{
    uint64_t past = 0;
    for (uint32_t i = 0; i < world->events_count; i++)
        past |= in_set(events, i) ? world->events[i].past : 0;
    return past;
}

static uint64_t model_live(const struct world *world, uint64_t events)
{
    uint64_t live = events & ~model_pasts(world, events);
    for (uint32_t i = 0; i < world->events_count; i++) {
        if (!in_set(live, i) || world->events[i].policy != POLICY_LWW)
            continue;
        for (uint32_t j = 0; j < world->events_count; j++)
            if (in_set(events, j) && stamped_above(&world->events[j], &world->events[i]))
                live &= ~((uint64_t)1 << i);
    }
    return live;
}

/* What a reader of these events has seen: those that live, and all that any of them overwrote. */
static uint64_t model_seen(const struct world *world, uint64_t events)
{
    return model_live(world, events) | model_pasts(world, events);
}

static bool model_dead(const struct event *event, uint64_t now, uint32_t drops)
{
    return event->tombstone || (event->expires != 0 && event->expires <= now) ||
           event->drops < drops;
}

static uint64_t model_shown(const struct world *world, uint64_t events, uint64_t now,
                            uint32_t drops)
{
    uint64_t live = model_live(world, events);
    uint64_t shown = 0;
    for (uint32_t i = 0; i < world->events_count; i++) {
        bool hidden = !in_set(live, i) || model_dead(&world->events[i], now, drops);
        for (uint32_t j = 0; j < world->events_count && !hidden; j++)
            hidden = world->events[i].policy != POLICY_SIBLINGS && in_set(live, j) &&
                     world->events[j].policy != POLICY_SIBLINGS &&
                     stamped_above(&world->events[j], &world->events[i]);
        shown |= hidden ? 0 : (uint64_t)1 << i;
    }
    return shown;
}

/* ------------------------------------------------------------------------------ Objects. */

static uint32_t event_value(uint32_t event, uint8_t ret_bytes[64])
{
    memset(ret_bytes, (int)(event + 1), 64);
    return event % 64;
}

/* The event of a sibling, all of whose fields must be as they were sent. */
static uint32_t event_of(const struct world *world, const struct sibling *sibling)
{
    for (uint32_t i = 0; i < world->events_count; i++) {
        const struct event *event = &world->events[i];
        if (event->dot.actor != sibling->dot.actor || event->dot.counter != sibling->dot.counter)
            continue;
        uint8_t value[64];
        uint32_t size = event->tombstone ? 0 : event_value(i, value);
        CHECK(world, slice_equal(sibling->value, slice_of(value, size)));
        CHECK(world, sibling->hlc == event->hlc && sibling->policy == event->policy);
        CHECK(world, sibling->tombstone == event->tombstone && sibling->drops == event->drops);
        CHECK(world, sibling->expires == event->expires);
        return i;
    }
    cr_assert(false, "invented sibling, KVRING_SEED=%llu", (unsigned long long)world->seed);
    return 0;
}

/* The object holds exactly the versions that the model says. */
static void check_state(const struct world *world, const struct state *state)
{
    struct arena arena = {0};
    struct object object;
    CHECK(world, object_check(buf_slice(&state->bytes)) == 0);
    CHECK(world, object_decode(buf_slice(&state->bytes), &arena, &object) == 0);
    uint64_t held = 0;
    for (uint32_t i = 0; i < object.count; i++) {
        uint32_t event = event_of(world, &object.siblings[i]);
        CHECK(world, !in_set(held, event));
        held |= (uint64_t)1 << event;
    }
    CHECK(world, held == model_live(world, state->events));
    arena_done(&arena);
}

static void state_copy(struct state *to, const struct state *from)
{
    buf_clear(&to->bytes);
    buf_append(&to->bytes, buf_slice(&from->bytes));
    to->events = from->events;
}

/* RET_MERGED = A merged with B; the flags must tell which of the two it equals. */
static void state_merge(const struct world *world, const struct state *a, const struct state *b,
                        struct state *ret_merged)
{
    struct buf out = {0};
    int same = object_merge(buf_slice(&a->bytes), buf_slice(&b->bytes), &out);
    CHECK(world,
          ((same & MERGE_SAME_A) != 0) == slice_equal(buf_slice(&out), buf_slice(&a->bytes)));
    CHECK(world,
          ((same & MERGE_SAME_B) != 0) == slice_equal(buf_slice(&out), buf_slice(&b->bytes)));
    uint64_t events = a->events | b->events;
    buf_done(&ret_merged->bytes);
    *ret_merged = (struct state){out, events};
}

static void state_done(struct state *state)
{
    buf_done(&state->bytes);
    state->events = 0;
}

static bool state_equal(const struct state *a, const struct state *b)
{
    return slice_equal(buf_slice(&a->bytes), buf_slice(&b->bytes));
}

/* --------------------------------------------------------------------------------- Steps. */

static struct replica *some_replica(struct world *world)
{
    return &world->replicas[prng_below(&world->prng, world->replicas_count)];
}

static bool chance(struct world *world, uint32_t percent)
{
    return prng_below(&world->prng, 100) < percent;
}

static void new_tenure(struct world *world, struct replica *replica)
{
    replica->actor = ++world->actors_count * 0x9e3779b97f4a7c15u;
    replica->counter = 0;
}

static const struct state *some_state(struct world *world)
{
    uint64_t at = prng_below(&world->prng, world->replicas_count + FLIGHT_MAX);
    return at < FLIGHT_MAX ? &world->flight[at] : &world->replicas[at - FLIGHT_MAX].state;
}

static void send_state(struct world *world, const struct replica *replica)
{
    /* Overwriting a message that nobody has read is how messages get lost. */
    state_copy(&world->flight[prng_below(&world->prng, FLIGHT_MAX)], &replica->state);
}

static enum policy some_policy(struct world *world)
{
    uint64_t at = prng_below(&world->prng, 100);
    for (uint32_t policy = 0; policy < 2; policy++) {
        if (at < world->policies[policy])
            return (enum policy)policy;
        at -= world->policies[policy];
    }
    return POLICY_LWW;
}

static void draw_update(struct world *world, struct replica *replica,
                        const struct client_context *context, uint8_t value[64],
                        struct update *ret_update)
{
    struct update update = {.dot = {replica->actor, ++replica->counter}};
    /* Clocks stand still, differ and jump. */
    replica->clock = replica->clock + prng_below(&world->prng, 3);
    update.hlc = replica->clock << 16;
    update.policy = some_policy(world);
    update.tombstone = chance(world, 20);
    update.drops = (uint32_t)prng_below(&world->prng, 3);
    update.ttl_ms = chance(world, 20) ? prng_below(&world->prng, 40) : 0;
    update.blind = context == NULL;
    if (context != NULL)
        update.context = buf_slice(&context->bytes);
    update.type = chance(world, 50) ? slice_string("text/plain") : SLICE_NONE;
    update.value = slice_of(value, event_value(world->events_count, value));
    *ret_update = update;
}

/* Does the version made so exceed the bound, were it put beside those that it does not follow? */
static bool exceeds(struct world *world, uint64_t local, uint64_t past)
{
    struct world *w = world;
    uint64_t before = (uint64_t)__builtin_popcountll(model_live(w, local));
    w->events[w->events_count].past = past;
    w->events_count++;
    uint64_t after =
        (uint64_t)__builtin_popcountll(model_live(w, local | (uint64_t)1 << (w->events_count - 1)));
    w->events_count--;
    return after > SIBLINGS_MAX && after > before;
}

static bool holds_siblings_beside(const struct world *world, uint64_t local)
{
    uint64_t live = model_live(world, local);
    for (uint32_t i = 0; i < world->events_count; i++)
        if (in_set(live, i) && world->events[i].policy == POLICY_SIBLINGS)
            return true;
    return false;
}

static void check_stamp(const struct world *world, const struct event *event, uint64_t local,
                        uint64_t context_hlc, uint64_t wanted)
{
    CHECK(world, event->hlc >= wanted && event->hlc > context_hlc);
    for (uint32_t i = 0; i < world->events_count; i++)
        if (in_set(local | event->past, i))
            CHECK(world, event->hlc > world->events[i].hlc);
}

static void put(struct world *world)
{
    struct replica *replica = some_replica(world);
    struct client_context *context = chance(world, world->blind_percent)
                                         ? NULL
                                         : &world->contexts[prng_below(&world->prng, CONTEXTS_MAX)];
    if (context != NULL && context->bytes.size == 0)
        context = NULL;
    uint8_t value[64];
    struct update update;
    draw_update(world, replica, context, value, &update);
    uint64_t local = replica->state.events;
    struct event *event = &world->events[world->events_count];
    *event = (struct event){.dot = update.dot,
                            .hlc = UINT64_MAX,
                            .policy = update.policy,
                            .tombstone = update.tombstone,
                            .drops = update.drops};
    uint64_t past = context != NULL ? context->covered : 0;
    if (context == NULL && update.policy != POLICY_SIBLINGS)
        past = model_seen(world, local);
    bool refused = false;
    if (exceeds(world, local, past)) {
        refused = update.policy == POLICY_SIBLINGS || holds_siblings_beside(world, local);
        past |= model_seen(world, local);
    }
    struct buf out = {0};
    uint64_t hlc = 0;
    int error = object_update(buf_slice(&replica->state.bytes), &update, &out, &hlc);
    CHECK(world, error == (refused ? ERR_TOO_MANY_SIBLINGS : 0));
    if (refused) {
        CHECK(world, out.size == 0);
        world->refused++;
        buf_done(&out);
        return;
    }
    event->hlc = hlc;
    event->past = past;
    event->expires = update.ttl_ms != 0 && !update.tombstone ? hlc + (update.ttl_ms << 16) : 0;
    check_stamp(world, event, local, context != NULL ? context->hlc : 0, update.hlc);
    replica->state.events |= (uint64_t)1 << world->events_count++;
    buf_done(&replica->state.bytes);
    replica->state.bytes = out;
    check_state(world, &replica->state);
    if (chance(world, world->spread_percent))
        send_state(world, replica);
}

/* A client reads one replica, or several merged, and keeps the context. */
static void read_context(struct world *world)
{
    struct state read = {0};
    state_copy(&read, some_state(world));
    if (chance(world, 50))
        state_merge(world, &read, some_state(world), &read);
    struct client_context *context = &world->contexts[prng_below(&world->prng, CONTEXTS_MAX)];
    buf_clear(&context->bytes);
    int error = object_context(buf_slice(&read.bytes), HASH_SEED, bucket_slice(), key_slice(),
                               &context->bytes);
    CHECK(world, error == 0);
    context->covered = model_seen(world, read.events);
    context->hlc = object_hlc(buf_slice(&read.bytes));
    uint64_t hlc;
    struct slice vector;
    CHECK(world, context_check(buf_slice(&context->bytes), HASH_SEED, bucket_slice(), key_slice(),
                               &hlc) == 0);
    CHECK(world, hlc == context->hlc);
    CHECK(world, context_parse(buf_slice(&context->bytes), &hlc, &vector) == 0);
    for (uint32_t i = 0; i < world->events_count; i++) {
        bool covers = vector_covers(vector, world->events[i].dot);
        CHECK(world, covers || !in_set(context->covered, i));
        /* An entry stands for all earlier dots of its actor. One of those that nobody overwrote
         * died of its stamp, and is obsolete beside whatever was read. */
        uint64_t beside = read.events | (uint64_t)1 << i;
        CHECK(world, !covers || in_set(read.events | context->covered, i) ||
                         !in_set(model_live(world, beside), i));
    }
    state_done(&read);
}

static void read_values(struct world *world)
{
    const struct state *state = some_state(world);
    uint64_t now = prng_below(&world->prng, 200) << 16;
    uint32_t drops = (uint32_t)prng_below(&world->prng, 3);
    struct arena arena = {0};
    struct object read;
    int error = object_read(buf_slice(&state->bytes), now, drops, &arena, &read);
    uint64_t shown = model_shown(world, state->events, now, drops);
    if (state->events == 0)
        CHECK(world, error == ERR_NOT_FOUND);
    else
        CHECK(world, error == (shown == 0 ? ERR_DELETED : 0));
    uint64_t got = 0;
    for (uint32_t i = 0; error == 0 && i < read.count; i++) {
        got |= (uint64_t)1 << event_of(world, &read.siblings[i]);
        CHECK(world, i == 0 || read.siblings[i - 1].hlc >= read.siblings[i].hlc);
    }
    CHECK(world, got == shown);
    arena_done(&arena);
}

static void deliver(struct world *world)
{
    struct replica *replica = some_replica(world);
    state_merge(world, &replica->state, some_state(world), &replica->state);
    check_state(world, &replica->state);
}

/* A restored backup or an unclean start: old data, and so a new tenure. */
static void fall_back(struct world *world)
{
    struct replica *replica = some_replica(world);
    if (chance(world, 50)) {
        state_copy(&replica->saved, &replica->state);
        return;
    }
    state_copy(&replica->state, &replica->saved);
    new_tenure(world, replica);
}

static void check_algebra(struct world *world)
{
    const struct state *a = some_state(world);
    const struct state *b = some_state(world);
    const struct state *c = some_state(world);
    struct state ab = {0}, ba = {0}, bc = {0}, ab_c = {0}, a_bc = {0}, again = {0};
    state_merge(world, a, b, &ab);
    state_merge(world, b, a, &ba);
    state_merge(world, b, c, &bc);
    state_merge(world, &ab, c, &ab_c);
    state_merge(world, a, &bc, &a_bc);
    state_merge(world, &ab, a, &again);
    CHECK(world, state_equal(&ab, &ba));
    CHECK(world, state_equal(&ab_c, &a_bc));
    CHECK(world, state_equal(&again, &ab));
    check_state(world, &ab_c);
    state_merge(world, a, a, &again);
    CHECK(world, state_equal(&again, a));
    uint64_t hash = 5;
    bool same_digest = object_digest(hash, bucket_slice(), key_slice(), buf_slice(&ab.bytes)) ==
                       object_digest(hash, bucket_slice(), key_slice(), buf_slice(&a->bytes));
    CHECK(world, same_digest == (model_live(world, ab.events) == model_live(world, a->events)));
    struct state *all[] = {&ab, &ba, &bc, &ab_c, &a_bc, &again};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        state_done(all[i]);
}

/* Everybody sends to everybody, in any order: all hold the same bytes. */
static void converge(struct world *world)
{
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < world->replicas_count; i++) {
            uint64_t start = prng_below(&world->prng, world->replicas_count);
            for (uint32_t j = 0; j < world->replicas_count; j++) {
                struct replica *from = &world->replicas[(start + j) % world->replicas_count];
                struct replica *to = &world->replicas[i];
                if (from != to)
                    state_merge(world, &to->state, &from->state, &to->state);
            }
        }
    }
    for (uint32_t i = 0; i < world->replicas_count; i++) {
        check_state(world, &world->replicas[i].state);
        CHECK(world, state_equal(&world->replicas[i].state, &world->replicas[0].state));
    }
}

static void world_init(struct world *world, uint64_t seed)
{
    *world = (struct world){.seed = seed};
    prng_init(&world->prng, seed);
    world->replicas_count = 2 + (uint32_t)prng_below(&world->prng, REPLICAS_MAX - 1);
    for (uint32_t i = 0; i < world->replicas_count; i++) {
        new_tenure(world, &world->replicas[i]);
        world->replicas[i].clock = 1 + prng_below(&world->prng, 40);
    }
    static const uint32_t blinds[] = {0, 30, 70, 100};
    static const uint32_t spreads[] = {10, 60, 100};
    static const uint32_t policies[][3] = {{100, 0, 0}, {0, 100, 0}, {0, 0, 100}, {34, 33, 33},
                                           {0, 50, 50}, {50, 0, 50}, {90, 10, 0}};
    world->blind_percent = blinds[prng_below(&world->prng, ARRAY_SIZE(blinds))];
    world->spread_percent = spreads[prng_below(&world->prng, ARRAY_SIZE(spreads))];
    memcpy(world->policies, policies[prng_below(&world->prng, ARRAY_SIZE(policies))],
           sizeof(world->policies));
}

static void world_done(struct world *world)
{
    for (uint32_t i = 0; i < world->replicas_count; i++) {
        state_done(&world->replicas[i].state);
        state_done(&world->replicas[i].saved);
    }
    for (uint32_t i = 0; i < FLIGHT_MAX; i++)
        state_done(&world->flight[i]);
    for (uint32_t i = 0; i < CONTEXTS_MAX; i++)
        buf_done(&world->contexts[i].bytes);
}

static void step(struct world *world)
{
    static void (*const steps[])(struct world *) = {
        put,     put,     put,     put,           read_context,  read_context, read_values,
        deliver, deliver, deliver, check_algebra, check_algebra, fall_back,
    };
    steps[prng_below(&world->prng, ARRAY_SIZE(steps))](world);
    world->steps++;
}

Test(causality, generated_histories_agree_with_the_model)
{
    uint64_t steps_wanted = number_of("KVRING_STEPS", 500000);
    uint64_t seed = number_of("KVRING_SEED", 1);
    uint64_t steps = 0;
    uint64_t refused = 0;
    for (; steps < steps_wanted; seed++) {
        struct world world;
        world_init(&world, seed);
        uint64_t length = 20 + prng_below(&world.prng, 200);
        while (world.steps < length && world.events_count < EVENTS_MAX - 1)
            step(&world);
        converge(&world);
        steps += world.steps;
        refused += world.refused;
        world_done(&world);
        if (getenv("KVRING_SEED") != NULL)
            return;
    }
    cr_assert_gt(refused, 0, "the bound on siblings was never met");
}
