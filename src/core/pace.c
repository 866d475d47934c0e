/* A rate that falls by halves and grows by quarters. */
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

void pace_take(struct pace *pace, uint64_t now_us, struct node_id peer, uint64_t bytes)
{
    pace->free_us = MAX(pace->free_us, now_us) + bytes * 1000000 / pace_rate(pace);
    pace->spent += bytes;
    pace->total += bytes;
    note_peer(pace, peer);
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

static void faster(struct pace *pace)
{
    pace->rate = MIN(pace->rate + pace->rate / 4, (uint64_t)PACE_RATE_MAX);
}

void pace_look(struct pace *pace, uint64_t peers_p99_us)
{
    uint64_t own_p99_us = requests_p99_us(pace);
    uint64_t p99_us = MAX(own_p99_us, peers_p99_us);
    /* What is seen first, and whatever is lower, requests take by themselves at most. */
    bool calm = pace->spent == 0 || pace->rate == PACE_RATE_MIN || pace->calm_us == 0 ||
                p99_us < pace->calm_us;
    pace->share = p99_us == 0 ? (uint64_t)PACE_RATE_MAX
                              : MAX(pace->answered * PACE_SHARE, (uint64_t)PACE_SHARE_MIN);
    pace->answered = 0;
    pace->p99_us = p99_us;
    pace->spent = 0;
    pace->peers_count = 0;
    if (p99_us == 0) { /* Next to nobody is there to feel it. */
        faster(pace);
        return;
    }
    if (calm)
        learn(pace, p99_us);
    pace->limit_us = MAX(pace->calm_us + pace->calm_us / 2, (uint64_t)PACE_SLOW_US);
    if (p99_us <= pace->limit_us) {
        faster(pace);
    } else {
        pace->rate = MAX(pace->rate / 2, (uint64_t)PACE_RATE_MIN);
        pace->slowed++;
    }
}

void pace_check(const struct pace *pace)
{
    ASSERT(pace->rate >= PACE_RATE_MIN && pace->rate <= PACE_RATE_MAX);
    ASSERT(pace->share >= PACE_SHARE_MIN);
    ASSERT(pace->peers_count <= PACE_PEERS_MAX);
    ASSERT(pace->limit_us >= pace->calm_us);
}
