/* Moving slots from nodes that hold too much to nodes that hold too little.
 *
 * Each step takes the fullest node that is over its bound (or the emptiest that is under it) and
 * finds it the best partner. A slot is given on at most once a round, so this ends; each move
 * brings the fullest down or the emptiest up, so it never makes things worse. Where zones forbid a
 * direct move, nodes between take a slot in and give another one away: no path is searched for.
 * Slots that move anyway, and new ones, are given on first, for that costs no further move.
 *
 * Costs O(nodes) for a move, plus the look for a slot that may go from one node to the other, which
 * mostly finds one at once; a pair between which there is none is not tried again. */
#include "data/layout.h"

#include <stdlib.h>

enum {
    ROUNDS_MAX = 8,
    STRIDE = 40503, /* Odd, so that every range comes once; 65536 over the golden ratio. */
    LOOKS_MAX = 12, /* Possible slots that are passed over in the hope of a better one. */
};

struct place {
    uint32_t range;
    uint8_t index; /* Of the seat in the range's seating. */
};

/* Slots of one node that may still move, in an order that leaps about the ring; by weight, heaviest
 * first, unless all weigh the same. */
struct pool {
    struct place *places; /* Borrowed from balance. */
    uint32_t *next;       /* Borrowed: from each place to where the next live one may be. */
    uint32_t count;
    uint32_t cursor; /* Where the next look begins if all weigh the same. */
};

/* Slots that move anyway; the others by whether they are the lowest of their range. */
enum { POOL_FREE, POOL_REST, POOL_LEAD, POOLS };

struct balance {
    struct layout *layout;
    struct pool (*pools)[POOLS]; /* Owned; by node. */
    struct place *places;        /* Owned. */
    uint32_t *next;              /* Owned. */
    uint8_t *barred;             /* Owned; a bit for each pair: no slot can go that way. */
    bool *given_up;              /* Owned; by node: nothing helps it in this round. */
};

/* ------------------------------------------------------------------------------------- Pools. */

static struct seat *seat_at(const struct balance *balance, struct place place)
{
    return &balance->layout->seatings[place.range].seats[place.index];
}

/* Which pool of its owner a slot belongs to; POOLS for none. Empty ranges stay: moving them would
 * help nobody. */
static uint32_t pool_of(const struct layout *layout, uint32_t range, const struct seat *seat,
                        const struct seat *lead)
{
    if (layout->seatings[range].fixed || seat->owner < 0 || layout->weights[range] == 0)
        return POOLS;
    if (seat->learned || seat->owner != seat->from)
        return POOL_FREE;
    return seat == lead ? POOL_LEAD : POOL_REST;
}

static int heavier_first(const void *a, const void *b, void *weights)
{
    const uint64_t *weight = weights;
    const struct place *x = a;
    const struct place *y = b;
    if (weight[x->range] != weight[y->range])
        return weight[x->range] > weight[y->range] ? -1 : 1;
    return (x->range > y->range) - (x->range < y->range);
}

static void pools_count(struct balance *balance)
{
    struct layout *layout = balance->layout;
    memset(balance->pools, 0, layout->nodes_count * sizeof(*balance->pools));
    for (uint32_t range = 0; range < layout->ranges; range++) {
        struct seating *seating = &layout->seatings[range];
        const struct seat *lead = layout_lead(layout, range);
        for (uint32_t i = 0; i < seating->count; i++) {
            struct seat *seat = &seating->seats[i];
            uint32_t kind = pool_of(layout, range, seat, lead);
            if (kind < POOLS)
                balance->pools[seat->owner][kind].count++;
        }
    }
}

static void pools_place(struct balance *balance)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < balance->layout->nodes_count; i++) {
        for (uint32_t kind = 0; kind < POOLS; kind++) {
            struct pool *pool = &balance->pools[i][kind];
            pool->places = balance->places + start;
            pool->next = balance->next + start;
            start += pool->count;
            pool->count = 0;
        }
    }
}

static void pools_fill(struct balance *balance)
{
    struct layout *layout = balance->layout;
    for (uint32_t i = 0; i < layout->ranges; i++) {
        /* Strides all over the ring, so that neighbouring ranges get different nodes' moves. */
        uint32_t range = (i * STRIDE) & (layout->ranges - 1);
        struct seating *seating = &layout->seatings[range];
        const struct seat *lead = layout_lead(layout, range);
        for (uint32_t j = 0; j < seating->count; j++) {
            struct seat *seat = &seating->seats[j];
            uint32_t kind = pool_of(layout, range, seat, lead);
            if (kind == POOLS)
                continue;
            struct pool *pool = &balance->pools[seat->owner][kind];
            pool->next[pool->count] = pool->count;
            pool->places[pool->count++] = (struct place){range, (uint8_t)j};
        }
    }
    for (uint32_t i = 0; i < layout->nodes_count; i++) {
        for (uint32_t kind = 0; kind < POOLS; kind++) {
            struct pool *pool = &balance->pools[i][kind];
            if (!layout->uniform)
                qsort_r(pool->places, pool->count, sizeof(*pool->places), heavier_first,
                        layout->weights);
            /* Nodes begin at different places, so that one range seldom has two moves, which could
             * not run at a time. */
            pool->cursor = (uint32_t)((uint64_t)pool->count * i / layout->nodes_count);
        }
    }
}

/* The first place from AT on that has not been used up; the pool's count if there is none. */
static uint32_t pool_live(struct pool *pool, uint32_t at)
{
    uint32_t end = at;
    while (end < pool->count && pool->next[end] != end)
        end = pool->next[end];
    while (at < pool->count && pool->next[at] != end) {
        uint32_t after = pool->next[at];
        pool->next[at] = end;
        at = after;
    }
    return end;
}

/* ---------------------------------------------------------------------------- Finding a slot. */

/* May the slot at PLACE go to node TO? */
static bool place_suits(const struct balance *balance, struct place place, int32_t to)
{
    const struct layout *layout = balance->layout;
    struct seat *seat = seat_at(balance, place);
    if (layout_holds(layout, place.range, to))
        return false;
    if (layout->zones <= 1 || layout->nodes[seat->owner].zone == layout->nodes[to].zone)
        return true;
    return layout_zones(layout, place.range, seat, to) >=
           MIN(layout_zones(layout, place.range, seat, seat->owner), layout->zones);
}

/* Does another slot of the range move as well? */
static bool others_move(const struct balance *balance, struct place place)
{
    const struct seating *seating = &balance->layout->seatings[place.range];
    for (uint32_t i = 0; i < seating->count; i++)
        if (i != place.index && seating->seats[i].owner != seating->seats[i].from)
            return true;
    return false;
}

/* Look from FIRST to before END for a slot that may go to TO; of the first few prefer one whose
 * range has no other move. Returns the index or UINT32_MAX. */
static uint32_t pool_look(struct balance *balance, struct pool *pool, uint32_t first, uint32_t end,
                          int32_t to)
{
    uint32_t found = UINT32_MAX;
    uint32_t looks = 0;
    for (uint32_t at = pool_live(pool, first); at < end && looks < LOOKS_MAX;
         at = pool_live(pool, at + 1)) {
        if (!place_suits(balance, pool->places[at], to))
            continue;
        if (!others_move(balance, pool->places[at]))
            return at;
        found = MIN(found, at);
        looks++;
    }
    return found;
}

/* The first index whose range weighs at most LIMIT. */
static uint32_t pool_light(const struct balance *balance, const struct pool *pool, double limit)
{
    uint32_t low = 0;
    uint32_t high = pool->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((double)balance->layout->weights[pool->places[middle].range] > limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The heaviest slot of weight up to LIMIT, or else the lightest of the others. */
static uint32_t pool_find(struct balance *balance, struct pool *pool, int32_t to, double limit)
{
    if (balance->layout->uniform) {
        uint32_t found = pool_look(balance, pool, pool->cursor, pool->count, to);
        return found != UINT32_MAX ? found : pool_look(balance, pool, 0, pool->cursor, to);
    }
    uint32_t light = pool_light(balance, pool, limit);
    uint32_t found = pool_look(balance, pool, light, pool->count, to);
    for (uint32_t at = light; at > 0 && found == UINT32_MAX; at--)
        if (pool->next[at - 1] == at - 1 && place_suits(balance, pool->places[at - 1], to))
            found = at - 1;
    return found;
}

/* ------------------------------------------------------------------------------------- Moves. */

static double fill_of(const struct layout_node *node, double more)
{
    return ((double)node->load + more) / node->target;
}

enum tried { TRIED_MOVED, TRIED_USELESS, TRIED_NOTHING };

/* Above 1 when it leads more ranges than its share. */
static double leads_fill(const struct layout_node *node)
{
    static const double least = 1e-6;
    return node->leads / MAX(node->leads_target, least);
}

/* A node that leads too often gives those slots away first, any other one keeps them. */
static bool leads_first(const struct layout_node *from, const struct layout_node *to)
{
    return leads_fill(from) > 1 && leads_fill(to) < 1;
}

static bool pair_barred(const struct balance *balance, uint32_t from, uint32_t to)
{
    size_t bit = (size_t)from * balance->layout->nodes_count + to;
    return (balance->barred[bit / 8] >> bit % 8 & 1) != 0;
}

static void pair_bar(struct balance *balance, uint32_t from, uint32_t to)
{
    size_t bit = (size_t)from * balance->layout->nodes_count + to;
    balance->barred[bit / 8] |= (uint8_t)(1u << bit % 8);
}

/* Move one slot from FROM to TO if that leaves the fuller of the two less full than FROM is, and
 * the emptier less empty than TO is. */
static enum tried pair_move(struct balance *balance, uint32_t from, uint32_t to)
{
    struct layout *layout = balance->layout;
    struct layout_node *source = &layout->nodes[from];
    struct layout_node *target = &layout->nodes[to];
    double surplus = (double)source->load - source->target;
    double deficit = target->target - (double)target->load;
    double limit = MAX(MIN(surplus, deficit), MAX(surplus, deficit) / 2);
    bool leads = leads_first(source, target);
    const uint32_t kinds[POOLS] = {POOL_FREE, leads ? POOL_LEAD : POOL_REST,
                                   leads ? POOL_REST : POOL_LEAD};
    enum tried tried = TRIED_NOTHING;
    for (uint32_t i = 0; i < POOLS; i++) {
        struct pool *pool = &balance->pools[from][kinds[i]];
        uint32_t at = pool_find(balance, pool, (int32_t)to, limit);
        if (at == UINT32_MAX)
            continue;
        struct place place = pool->places[at];
        double weight = (double)layout->weights[place.range];
        tried = TRIED_USELESS;
        if (fill_of(target, weight) >= fill_of(source, 0) ||
            fill_of(source, -weight) <= fill_of(target, 0))
            continue;
        layout_give(layout, place.range, seat_at(balance, place), (int32_t)to);
        pool->next[at] = at + 1;
        pool->cursor = at + 1;
        return TRIED_MOVED;
    }
    return tried;
}

/* The emptiest node to take a slot from NODE, or with GIVES false the fullest to give it one;
 * UINT32_MAX if none is left. Of equals the one is best that brings the lowest slots where they are
 * scarce. */
static uint32_t partner_of(const struct balance *balance, uint32_t node, bool gives,
                           const bool *useless)
{
    const struct layout *layout = balance->layout;
    double sign = gives ? 1 : -1;
    double leads_sign = leads_fill(&layout->nodes[node]) > 1 ? 1 : -1;
    uint32_t best = UINT32_MAX;
    double best_fill = 0;
    double best_leads = 0;
    for (uint32_t i = 0; i < layout->nodes_count; i++) {
        if (i == node || layout->nodes[i].node->leaving || useless[i])
            continue;
        double fill = sign * fill_of(&layout->nodes[i], 0);
        double leads = leads_sign * leads_fill(&layout->nodes[i]);
        if (best != UINT32_MAX && (fill > best_fill || (fill >= best_fill && leads >= best_leads)))
            continue;
        if (gives ? pair_barred(balance, node, i) : pair_barred(balance, i, node))
            continue;
        best = i;
        best_fill = fill;
        best_leads = leads;
    }
    return best;
}

/* Let NODE give one slot away, or take one in; false if nobody can help it. */
static bool node_relieve(struct balance *balance, uint32_t node, bool gives, bool *useless)
{
    uint32_t count = balance->layout->nodes_count;
    memset(useless, 0, count * sizeof(*useless));
    for (;;) {
        uint32_t partner = partner_of(balance, node, gives, useless);
        if (partner == UINT32_MAX)
            return false;
        uint32_t from = gives ? node : partner;
        uint32_t to = gives ? partner : node;
        switch (pair_move(balance, from, to)) {
        case TRIED_MOVED:
            return true;
        case TRIED_NOTHING:
            pair_bar(balance, from, to);
            break;
        case TRIED_USELESS:
            /* Of equal weights, no other partner would do better. */
            if (balance->layout->uniform)
                return false;
            useless[partner] = true;
            break;
        }
    }
}

/* The node that is most over its bound, else the one most under it; UINT32_MAX if all are content
 * or given up. */
static uint32_t node_worst(const struct balance *balance, bool *ret_gives)
{
    const struct layout *layout = balance->layout;
    uint32_t fullest = UINT32_MAX;
    uint32_t emptiest = UINT32_MAX;
    for (uint32_t i = 0; i < layout->nodes_count; i++) {
        const struct layout_node *node = &layout->nodes[i];
        if (node->node->leaving || balance->given_up[i])
            continue;
        double load = (double)node->load;
        if (load > node->high &&
            (fullest == UINT32_MAX || fill_of(node, 0) > fill_of(&layout->nodes[fullest], 0)))
            fullest = i;
        if (load < node->low &&
            (emptiest == UINT32_MAX || fill_of(node, 0) < fill_of(&layout->nodes[emptiest], 0)))
            emptiest = i;
    }
    *ret_gives = fullest != UINT32_MAX;
    return *ret_gives ? fullest : emptiest;
}

static uint32_t round_run(struct balance *balance, bool *useless)
{
    uint32_t moves = 0;
    bool gives;
    uint32_t node;
    while ((node = node_worst(balance, &gives)) != UINT32_MAX) {
        if (node_relieve(balance, node, gives, useless))
            moves++;
        else
            balance->given_up[node] = true;
    }
    return moves;
}

void layout_balance(struct layout *layout)
{
    size_t seats = (size_t)layout->ranges * SLOTS_MAX;
    size_t pairs = (size_t)layout->nodes_count * layout->nodes_count / 8 + 1;
    struct balance balance = {.layout = layout};
    balance.pools = mem_zero(layout->nodes_count * sizeof(*balance.pools));
    balance.places = mem_alloc(seats * sizeof(*balance.places));
    balance.next = mem_alloc(seats * sizeof(*balance.next));
    balance.barred = mem_alloc(pairs);
    balance.given_up = mem_alloc(layout->nodes_count * sizeof(*balance.given_up));
    bool *useless = mem_alloc(layout->nodes_count * sizeof(*useless));
    /* What was in the way in one round may have moved by the next. */
    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        pools_count(&balance);
        pools_place(&balance);
        pools_fill(&balance);
        memset(balance.barred, 0, pairs);
        memset(balance.given_up, 0, layout->nodes_count * sizeof(*balance.given_up));
        if (round_run(&balance, useless) == 0)
            break;
    }
    mem_free(useless);
    mem_free(balance.given_up);
    mem_free(balance.barred);
    mem_free(balance.next);
    mem_free(balance.places);
    mem_free(balance.pools);
}
