#include "core/followed.h"

struct followed_peer {
    struct node_id id;
    bool up;
    struct latency latency;
};

void followed_done(struct followed *followed)
{
    for (uint32_t i = 0; i < followed->count; i++)
        mem_free(followed->peers[i]);
    mem_free(followed->peers);
    *followed = (struct followed){0};
}

static uint32_t place_of(const struct followed *followed, struct node_id id)
{
    uint32_t low = 0, high = followed->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (id_compare(followed->peers[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct followed_peer *find(const struct followed *followed, struct node_id id)
{
    uint32_t place = place_of(followed, id);
    bool found = place < followed->count && id_equal(followed->peers[place]->id, id);
    return found ? followed->peers[place] : NULL;
}

static struct followed_peer *add(struct followed *followed, struct node_id id)
{
    if (followed->count == followed->capacity) {
        followed->capacity = MAX(16u, 2 * followed->capacity);
        followed->peers = mem_grow(followed->peers, followed->capacity * sizeof(*followed->peers));
    }
    uint32_t place = place_of(followed, id);
    memmove(followed->peers + place + 1, followed->peers + place,
            (followed->count - place) * sizeof(*followed->peers));
    struct followed_peer *peer = mem_zero(sizeof(*peer));
    peer->id = id;
    peer->up = true;
    followed->peers[place] = peer;
    followed->count++;
    return peer;
}

void followed_set(struct followed *followed, struct core *core, struct node_id node, bool up,
                  bool fresh)
{
    struct followed_peer *peer = find(followed, node);
    if (peer == NULL)
        peer = add(followed, node);
    bool news = peer->up != up || (fresh && up);
    peer->up = up;
    if (news)
        core_signal(core, up ? SIGNAL_PEER_UP : SIGNAL_PEER_DOWN)->node = node;
}

void followed_forget(struct followed *followed, struct node_id node)
{
    uint32_t place = place_of(followed, node);
    if (place == followed->count || !id_equal(followed->peers[place]->id, node))
        return;
    mem_free(followed->peers[place]);
    followed->count--;
    memmove(followed->peers + place, followed->peers + place + 1,
            (followed->count - place) * sizeof(*followed->peers));
}

/* A member of which nothing was told yet counts as up, as it does where the detector is. */
static bool peer_is_up(const struct core *core, struct node_id node)
{
    const struct member *member = member_find(&core->members, node);
    if (id_equal(node, core->self))
        return true;
    if (member == NULL || member->status == MEMBER_MAINTENANCE)
        return false;
    const struct followed_peer *peer = find(core->detector, node);
    return peer == NULL || peer->up;
}

static void peer_answered(const struct core *core, struct node_id node, uint64_t us)
{
    struct followed_peer *peer = find(core->detector, node);
    if (peer != NULL)
        latency_add(&peer->latency, us);
}

static uint64_t peer_p99_us(const struct core *core, struct node_id node)
{
    const struct followed_peer *peer = find(core->detector, node);
    return peer == NULL ? 0 : latency_p99_us(&peer->latency);
}

void followed_start(struct followed *followed, struct core *core)
{
    core->detector = followed;
    core->peer_is_up = peer_is_up;
    core->peer_answered = peer_answered;
    core->peer_p99_us = peer_p99_us;
}
