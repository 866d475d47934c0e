#include "sim/faults.h"

#include "sim/checks.h"
#include "sim/host.h"
#include "sim/losses.h"
#include "sim/network.h"
#include "sim/workload.h"

enum { MS = 1000, SECOND = 1000000 };

/* One timer for each thing that can be wrong with a host; the next fault of that kind moves it. */
struct ailment {
    struct world_event end;
    uint32_t host;
};

struct later_crash {
    struct world_event event;
    uint32_t host;
    bool power;
};

struct faults {
    bool active;
    uint32_t die_steps[HOSTS_MAX]; /* faults_die_at: 0 not. */
    struct world_event next;
    struct world_event heal_split;
    struct ailment down[HOSTS_MAX];
    struct ailment paused[HOSTS_MAX];
    struct ailment slow_disk[HOSTS_MAX];
    struct ailment full[HOSTS_MAX];
    struct ailment links[HOSTS_MAX]; /* One-way cuts and slow links out of the host. */
    struct later_crash crash[HOSTS_MAX];
};

static void on_restart(struct world *world, struct world_event *event)
{
    host_start(world->hosts[((struct ailment *)event)->host]);
}

static void on_resume(struct world *world, struct world_event *event)
{
    host_resume(world->hosts[((struct ailment *)event)->host]);
}

static void on_fast_disk(struct world *world, struct world_event *event)
{
    host_slow_disk(world->hosts[((struct ailment *)event)->host], 1);
}

static void on_room(struct world *world, struct world_event *event)
{
    host_fill_disk(world->hosts[((struct ailment *)event)->host], UINT64_MAX);
}

static void on_links_heal(struct world *world, struct world_event *event)
{
    uint32_t from = ((struct ailment *)event)->host;
    for (uint32_t to = 0; to < world->hosts_count; to++) {
        network_cut(world, from, to, false);
        network_slow(world, from, to, 0);
    }
}

static void on_split_heal(struct world *world, struct world_event *event)
{
    (void)event;
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "fault: split healed");
    for (uint32_t from = 0; from < world->hosts_count; from++)
        for (uint32_t to = 0; to < world->hosts_count; to++)
            network_cut(world, from, to, false);
}

static void on_later_crash(struct world *world, struct world_event *event)
{
    struct later_crash *crash = (struct later_crash *)event;
    if (world->calm || losses_quiet(world) || host_state(world->hosts[crash->host]) == HOST_DOWN)
        return;
    host_crash(world->hosts[crash->host], crash->power);
    faults_restart_later(world, crash->host);
}

static uint64_t duration(struct world *world)
{
    uint64_t most = world->options.fault_us_max;
    return world_chance(world, 700000) ? world_draw(world, 1 * MS, most / 16)
                                       : world_draw(world, most / 16, most);
}

/* The owners of a hot range, as bits. */
static uint64_t owners(struct world *world)
{
    uint32_t index = (uint32_t)world_draw(world, 0, world->options.hot_ranges - 1);
    const struct range_record *record = checks_newest(world, workload_range(world, index));
    struct node_id members[2 * SLOTS_MAX];
    uint32_t count = record == NULL ? 0 : record_members(record, members);
    uint64_t side = 0;
    for (uint32_t i = 0; i < count; i++) {
        int host = world_host_of(world, members[i]);
        if (host >= 0)
            side |= 1ull << host;
    }
    return side;
}

static void split(struct world *world)
{
    uint64_t side = world_draw(world, 1, (1ull << MIN(world->hosts_count, 62)) - 1);
    if (world->options.cut_off_ppm > 0 && world_chance(world, world->options.cut_off_ppm))
        side = owners(world);
    for (uint32_t from = 0; from < world->hosts_count; from++)
        for (uint32_t to = 0; to < world->hosts_count; to++)
            if ((side >> from & 1) != (side >> to & 1)) {
                network_cut(world, from, to, true);
                if (world_chance(world, 500000))
                    host_lose_peer(world->hosts[from], to);
            }
    world_at(world, &world->faults->heal_split, world->now_us + duration(world));
}

static void strike(struct world *world, enum fault fault, uint32_t host, uint32_t other)
{
    struct faults *faults = world->faults;
    uint64_t end = world->now_us + duration(world);
    struct host *victim = world->hosts[host];
    switch (fault) {
    case FAULT_CRASH:
    case FAULT_POWER:
        host_crash(victim, fault == FAULT_POWER);
        faults_restart_later(world, host);
        break;
    case FAULT_PAUSE:
        host_pause(victim);
        world_at(world, &faults->paused[host].end, end);
        break;
    case FAULT_SPLIT:
        split(world);
        break;
    case FAULT_ONEWAY:
        network_cut(world, host, other, true);
        world_at(world, &faults->links[host].end, end);
        break;
    case FAULT_SLOW_LINK:
        network_slow(world, host, other, world_draw(world, 1 * MS, 1 * SECOND));
        world_at(world, &faults->links[host].end, end);
        break;
    case FAULT_SLOW_DISK:
        host_slow_disk(victim, world_draw(world, 10, 200));
        world_at(world, &faults->slow_disk[host].end, end);
        break;
    case FAULT_FULL:
        host_fill_disk(victim, world_draw(world, 0, host_reserve(world)));
        world_at(world, &faults->full[host].end, end);
        break;
    case FAULT_CLOCK: {
        int64_t most = host_skew_ms_max(world, host);
        host_set_skew(victim, (int64_t)world_draw(world, 0, (uint64_t)(2 * most)) - most);
        break;
    }
    case FAULT_LOST_DISK: /* losses.c */
    case FAULT_RESTORED:
    case FAULT_REMOVED:
    case FAULT_ROT: /* rots.c */
        break;
    }
}

static uint32_t weights(const struct world *world)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        sum += world->options.faults[i];
    return sum;
}

static enum fault pick(struct world *world)
{
    uint64_t at = world_draw(world, 0, weights(world) - 1);
    uint32_t i = 0;
    while (at >= world->options.faults[i])
        at -= world->options.faults[i++];
    return (enum fault)i;
}

static void on_next(struct world *world, struct world_event *event)
{
    if (world->calm)
        return;
    enum fault fault = pick(world);
    uint32_t host = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    uint32_t other = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    bool dies = fault == FAULT_CRASH || fault == FAULT_POWER;
    if (host_state(world->hosts[host]) == HOST_UP && !(dies && losses_quiet(world)) &&
        (host != other || fault < FAULT_ONEWAY)) {
        world->coverage.faults[fault]++;
        if (world->trace.text)
            trace_line(&world->trace, world->now_us, "fault: %s %s%s%s", fault_name(fault),
                       fault == FAULT_SPLIT ? "" : world_host_name(host),
                       fault == FAULT_ONEWAY || fault == FAULT_SLOW_LINK ? " to " : "",
                       fault == FAULT_ONEWAY || fault == FAULT_SLOW_LINK ? world_host_name(other)
                                                                         : "");
        strike(world, fault, host, other);
    }
    world_at(world, event, world->now_us + world_pause(world, world->options.fault_interval_us));
}

static void ailment_init(struct ailment *ailment, uint32_t host,
                         void (*fire)(struct world *, struct world_event *))
{
    *ailment = (struct ailment){.end.fire = fire, .host = host};
}

struct faults *faults_new(struct world *world)
{
    struct faults *faults = mem_zero(sizeof(*faults));
    faults->next.fire = on_next;
    faults->heal_split.fire = on_split_heal;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        ailment_init(&faults->down[i], i, on_restart);
        ailment_init(&faults->paused[i], i, on_resume);
        ailment_init(&faults->slow_disk[i], i, on_fast_disk);
        ailment_init(&faults->full[i], i, on_room);
        ailment_init(&faults->links[i], i, on_links_heal);
        faults->crash[i] = (struct later_crash){.event.fire = on_later_crash, .host = i};
    }
    return faults;
}

void faults_free(struct faults *faults)
{
    mem_free(faults);
}

void faults_start(struct world *world)
{
    world->faults->active = true;
    if (world->options.fault_interval_us > 0 && weights(world) > 0)
        world_at(world, &world->faults->next,
                 world->now_us + world_pause(world, world->options.fault_interval_us));
}

static void end_all(struct world *world)
{
    struct faults *faults = world->faults;
    world_cancel(world, &faults->next);
    world_cancel(world, &faults->heal_split);
    network_heal(world);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct host *host = world->hosts[i];
        world_cancel(world, &faults->links[i].end);
        world_cancel(world, &faults->slow_disk[i].end);
        world_cancel(world, &faults->full[i].end);
        world_cancel(world, &faults->paused[i].end);
        world_cancel(world, &faults->crash[i].event);
        host_slow_disk(host, 1);
        host_fill_disk(host, UINT64_MAX);
        if (host_state(host) == HOST_PAUSED)
            host_resume(host);
        if (faults->down[i].end.node.index > 0) {
            world_cancel(world, &faults->down[i].end);
            host_start(host);
        }
    }
}

void faults_rest(struct world *world)
{
    world->faults->active = false;
    end_all(world);
}

void faults_stop(struct world *world)
{
    world->calm = true;
    end_all(world);
    /* Clocks that nobody calls wrong are close enough that no request is past its deadline as it
     * comes: the longest deadline may be far shorter here than what clocks may differ by. A clock
     * is judged by those of others, which are off in turn, and by messages that take their time:
     * up to twice the bound it need not be called wrong. */
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        int64_t most = world->options.deadline_ms / 4;
        int64_t skew_ms = host_skew_ms(world->hosts[i]);
        int64_t called_wrong = 2 * (int64_t)timing_default.clock_skew_ms;
        if (skew_ms <= called_wrong && -skew_ms <= called_wrong)
            host_set_skew(world->hosts[i], MAX(MIN(skew_ms, most), -most));
    }
}

void faults_die_at(struct world *world, uint32_t host, uint32_t step)
{
    world->faults->die_steps[host] = step;
}

void faults_die_soon(struct world *world, uint32_t host, bool power)
{
    world->faults->crash[host].power = power;
    world_at(world, &world->faults->crash[host].event,
             world->now_us + world_draw(world, 0, 2 * world->options.disk_us_max));
}

enum step_crash faults_at_step(struct world *world, uint32_t host)
{
    if (world->faults->die_steps[host] > 0 && --world->faults->die_steps[host] == 0)
        return STEP_NEVER;
    if (world->calm || !world->faults->active || losses_quiet(world) ||
        !world_chance(world, world->options.crash_step_ppm))
        return STEP_LIVES;
    world->coverage.step_crashes++;
    bool power = !world->options.interval && world_chance(world, 300000);
    if (world_chance(world, 500000))
        return power ? STEP_POWER : STEP_CRASH;
    faults_die_soon(world, host, power);
    return STEP_LIVES;
}

void faults_restart_later(struct world *world, uint32_t host)
{
    uint64_t after_us = world->faults->active ? duration(world) : 300 * MS;
    world_at(world, &world->faults->down[host].end, world->now_us + after_us);
}
