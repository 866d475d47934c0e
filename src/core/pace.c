/* A rate that follows how far requests are from what they may take. */
#include "core/pace.h"

void pace_init(struct pace *pace)
{
    *pace = (struct pace){.rate = PACE_RATE_FIRST, .share = PACE_RATE_MAX};
}

static void note_peer(struct pace *pace, struct node_id peer)
{
    for (uint32_t i = 0; i < pace->peers_count; i++)
        if (id_equal(pace->peers[i], peer))
            return;
    if (pace->peers_count < PACE_PEERS_MAX)
        pace->peers[pace->peers_count++] = peer;
}

void pace_spent(struct pace *pace, struct node_id peer, uint64_t bytes)
{
    pace->spent += bytes;
    pace->total += bytes;
    note_peer(pace, peer);
}

void pace_take(struct pace *pace, uint64_t now_us, struct node_id peer, uint64_t bytes)
{
    pace->free_us = pace_paid_us(pace->free_us, now_us, bytes, pace_rate(pace));
    pace_spent(pace, peer, bytes);
}

void pace_take_move(struct pace *pace, uint64_t now_us, struct node_id peer, uint64_t bytes)
{
    pace->move_free_us = pace_paid_us(pace->move_free_us, now_us, bytes, pace_move_rate(pace));
    pace_spent(pace, peer, bytes);
}

/* The 99th percentile since the last look, 0 while there are too few to tell. */
static uint64_t requests_p99_us(struct pace *pace)
{
    uint64_t p99_us = latency_p99_us(&pace->requests);
    pace->unsure = p99_us == 0 ? pace->unsure + 1 : 0;
    if (p99_us != 0 || pace->unsure >= PACE_UNSURE_LOOKS) {
        pace->requests = (struct latency){0};
        pace->unsure = 0;
    }
    return p99_us;
}

/* Down quicker than up: what others do in the background is in it too. */
static void learn(struct pace *pace, uint64_t p99_us)
{
    if (pace->calm_us == 0)
        pace->calm_us = p99_us;
    else if (p99_us < pace->calm_us)
        pace->calm_us -= (pace->calm_us - p99_us) / 4;
    else
        pace->calm_us += (p99_us - pace->calm_us + 7) / 8;
}

/* As much faster or slower as requests were quicker or slower than they may be, within bounds.
 * What was spent is what was tried: the rest says nothing of what requests bear. */
static void judge(struct pace *pace, uint64_t p99_us)
{
    bool slow = p99_us > pace->limit_us;
    uint64_t tried = MAX(slow ? pace->spent : 2 * pace->spent, (uint64_t)PACE_RATE_FIRST);
    uint64_t from = slow ? MIN(pace->rate, tried) : pace->rate;
    uint64_t rate = from + from / 4;
    if (p99_us > 0)
        rate = MIN(rate, MAX(from * pace->limit_us / p99_us, from / 2));
    rate = MAX(MIN(rate, tried), (uint64_t)PACE_RATE_MIN);
    pace->rate = MIN(rate, (uint64_t)PACE_RATE_MAX);
    pace->slowed += slow;
}

void pace_look(struct pace *pace, uint64_t peers_p99_us, bool quiet)
{
    uint64_t own_p99_us = requests_p99_us(pace);
    uint64_t p99_us = MAX(own_p99_us, peers_p99_us);
    /* Whatever is lower, requests take by themselves at most. */
    bool calm = pace->spent <= PACE_RATE_CALM || p99_us < pace->calm_us;
    pace->share = p99_us == 0 ? (uint64_t)PACE_RATE_MAX
                              : MAX(pace->answered * PACE_SHARE, (uint64_t)PACE_SHARE_MIN);
    pace->idle = quiet && p99_us == 0 && pace->answered == 0;
    if (p99_us != 0) {
        if (calm)
            learn(pace, p99_us);
        pace->limit_us = MAX(pace->calm_us + pace->calm_us / 2, (uint64_t)PACE_SLOW_US);
    }
    judge(pace, p99_us);
    pace->p99_us = p99_us;
    pace->answered = 0;
    pace->spent = 0;
    pace->peers_count = 0;
}

void pace_check(const struct pace *pace)
{
    ASSERT(pace->rate >= PACE_RATE_MIN && pace->rate <= PACE_RATE_MAX);
    ASSERT(pace->share >= PACE_SHARE_MIN);
    ASSERT(pace->peers_count <= PACE_PEERS_MAX);
    ASSERT(pace->limit_us >= pace->calm_us);
}
