#include "kvbench/timeline.h"

void timeline_start(struct timeline *timeline)
{
    timeline_done(timeline);
    timeline->points = mem_zero(TIMELINE_POINTS * sizeof(*timeline->points));
    timeline->every = 1;
    timeline->start_ns = engine_now();
}

void timeline_done(struct timeline *timeline)
{
    mem_free(timeline->points);
    *timeline = (struct timeline){0};
}

/* All that has ended so far. */
static void sum(const struct engine *engine, uint32_t streams, struct timeline_point *ret_sum)
{
    *ret_sum = (struct timeline_point){0};
    for (uint32_t s = 0; s < streams; s++) {
        const struct tally *tally = engine_tally(engine, s);
        ret_sum->done += tally->done;
        ret_sum->failed += tally->failed;
        for (uint32_t i = 0; i < OP_KINDS; i++)
            histogram_merge(&ret_sum->latency, &tally->latency[i]);
    }
}

static void point_merge(struct timeline_point *point, const struct timeline_point *next)
{
    point->to = next->to;
    point->done += next->done;
    point->failed += next->failed;
    histogram_merge(&point->latency, &next->latency);
}

static void halve(struct timeline *timeline)
{
    struct timeline_point *points = timeline->points;
    for (uint32_t i = 0; i < TIMELINE_POINTS / 2; i++) {
        points[i] = points[2 * i];
        point_merge(&points[i], &points[2 * i + 1]);
    }
    timeline->count = TIMELINE_POINTS / 2;
    timeline->every *= 2;
}

/* Add to the open point what came since the last tick. */
static void take(struct timeline *timeline, const struct engine *engine, uint32_t streams)
{
    struct timeline_point now;
    struct timeline_point news;
    sum(engine, streams, &now);
    news = (struct timeline_point){
        .to = (double)(engine_now() - timeline->start_ns) / 1e9,
        .done = now.done - timeline->before.done,
        .failed = now.failed - timeline->before.failed,
    };
    histogram_since(&now.latency, &timeline->before.latency, &news.latency);
    point_merge(&timeline->open, &news);
    timeline->before = now;
}

static void close_point(struct timeline *timeline)
{
    if (timeline->count == TIMELINE_POINTS)
        halve(timeline);
    timeline->points[timeline->count++] = timeline->open;
    timeline->open = (struct timeline_point){.from = timeline->open.to};
    timeline->ticks = 0;
}

void timeline_tick(struct timeline *timeline, const struct engine *engine, uint32_t streams)
{
    take(timeline, engine, streams);
    if (++timeline->ticks >= timeline->every)
        close_point(timeline);
}

void timeline_end(struct timeline *timeline, const struct engine *engine, uint32_t streams)
{
    take(timeline, engine, streams);
    if (timeline->open.done + timeline->open.failed > 0)
        close_point(timeline);
}
