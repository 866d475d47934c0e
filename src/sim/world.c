#include "sim/world.h"

#include "sim/admin.h"
#include "sim/checks.h"
#include "sim/checks_end.h"
#include "sim/edits.h"
#include "sim/faults.h"
#include "sim/host.h"
#include "sim/last_reads.h"
#include "sim/losses.h"
#include "sim/network.h"
#include "sim/rots.h"
#include "sim/trips.h"
#include "sim/workload.h"

#include <stdarg.h>
#include <stdio.h>

void world_init(struct world *world, const struct sim_options *options, bool text, bool print)
{
    *world = (struct world){.options = *options};
    prng_init(&world->prng, options->seed + options->variation * 0x9e3779b97f4a7c15u);
    trace_init(&world->trace, text, print);
    world->cluster = (struct cluster){
        .id = {prng_next(&world->prng) | 1, prng_next(&world->prng)},
        .name = slice_string("sim"),
        .hash_seed = prng_next(&world->prng),
        .range_bits = (uint8_t)options->range_bits,
        .copies = (uint8_t)options->copies,
    };
    world->hosts_count = options->nodes + options->spares + options->losses;
    ASSERT(world->hosts_count <= HOSTS_MAX);
    world->checks = checks_new(world);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        world->hosts[i] = host_new(world, i);
    world->network = network_new(world);
    world->workload = workload_new(world);
    world->edits = edits_new(world);
    world->admin = admin_new(world);
    world->faults = faults_new(world);
    world->losses = losses_new(world);
    world->rots = rots_new(world);
    world->trips = trips_new(world);
}

void world_done(struct world *world)
{
    /* What is in the queue lies in what is freed next. */
    for (struct heap_node *node; (node = heap_peek(&world->queue)) != NULL;)
        heap_remove(&world->queue, node);
    trips_free(world->trips);
    rots_free(world->rots);
    losses_free(world->losses);
    faults_free(world->faults);
    admin_free(world->admin);
    edits_free(world->edits);
    last_reads_free(world->last_reads);
    workload_free(world->workload);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        host_free(world->hosts[i]);
    network_free(world->network);
    checks_free(world->checks);
    looks_free(world->looks);
    heap_done(&world->queue);
    trace_done(&world->trace);
    buf_done(&world->violation.text);
    *world = (struct world){0};
}

void world_at(struct world *world, struct world_event *event, uint64_t at_us)
{
    uint64_t at = MAX(at_us, world->now_us);
    if (event->node.index == 0 || event->node.time != at)
        heap_set(&world->queue, &event->node, at);
}

void world_cancel(struct world *world, struct world_event *event)
{
    heap_remove(&world->queue, &event->node);
}

bool world_step(struct world *world, uint64_t until_us)
{
    struct heap_node *node = heap_peek(&world->queue);
    if (node == NULL || node->time > until_us) {
        world->now_us = MAX(world->now_us, until_us);
        return false;
    }
    struct world_event *event = (struct world_event *)node;
    heap_remove(&world->queue, node);
    ASSERT(node->time >= world->now_us);
    world->now_us = node->time;
    world->coverage.events++;
    trace_mix(&world->trace, 1, world->now_us);
    event->fire(world, event);
    return true;
}

bool world_run(struct world *world, uint64_t until_us, bool (*done)(struct world *world))
{
    /* What DONE asks for is rarely cheap, so it is asked every few virtual milliseconds only. */
    enum { EVERY_US = 5000 };
    while (!world_broken(world)) {
        if (done(world))
            return true;
        if (world->now_us >= until_us)
            return false;
        uint64_t next = MIN(until_us, world->now_us + EVERY_US);
        while (!world_broken(world) && world_step(world, next))
            ;
    }
    return false;
}

void world_violate(struct world *world, const char *invariant, const char *format, ...)
{
    if (world_broken(world))
        return;
    snprintf(world->violation.invariant, sizeof(world->violation.invariant), "%s", invariant);
    char text[1000];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    buf_printf(&world->violation.text, "%s", text);
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "VIOLATION %s: %s", invariant, text);
}

uint64_t world_draw(struct world *world, uint64_t low, uint64_t high)
{
    ASSERT(low <= high);
    return low + prng_below(&world->prng, high - low + 1);
}

bool world_chance(struct world *world, uint32_t ppm)
{
    return ppm > 0 && prng_below(&world->prng, 1000000) < ppm;
}

uint64_t world_pause(struct world *world, uint64_t mean_us)
{
    return prng_below(&world->prng, 2 * mean_us + 1);
}

int world_host_of(const struct world *world, struct node_id id)
{
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (id_equal(host_id(world->hosts[i]), id))
            return (int)i;
    return -1;
}

const char *world_host_name(uint32_t host)
{
    static const char *const names[HOSTS_MAX] = {
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k",  "l",  "m",  "n",  "o",  "p",
        "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "a1", "b1", "c1", "d1", "e1", "f1"};
    ASSERT(host < HOSTS_MAX);
    return names[host];
}

const char *world_name(const struct world *world, struct node_id id)
{
    if (id_none(id))
        return "-";
    int host = world_host_of(world, id);
    return host < 0 ? "?" : world_host_name((uint32_t)host);
}
