#include "sim/trips.h"

#include "sim/admin.h"
#include "sim/edits.h"
#include "sim/faults.h"
#include "sim/host.h"
#include "sim/ledger.h"
#include "sim/losses.h"
#include "sim/network.h"

/* The end of a cut. */
struct heal {
    struct world_event event;
    uint32_t host;
};

struct trips {
    bool active;
    struct heal heals[HOSTS_MAX];
    uint64_t before_us[HOSTS_MAX][TRIPS_MAX]; /* When the host last sent what a trip waits for. */
    uint64_t loses_us[HOSTS_MAX][TRIPS_MAX];  /* Until then what the trip is of is lost. */
};

static void cut(struct world *world, uint32_t host, bool cut)
{
    for (uint32_t other = 0; other < world->hosts_count; other++) {
        if (other == host)
            continue;
        network_cut(world, host, other, cut);
        network_cut(world, other, host, cut);
    }
}

static void on_heal(struct world *world, struct world_event *event)
{
    struct heal *heal = (struct heal *)event;
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "trip: %s is heard again",
                   world_host_name(heal->host));
    cut(world, heal->host, false);
}

/* Connections break with it, so that others soon take it for down. */
static void cut_off(struct world *world, uint32_t host, const struct trip *trip)
{
    bool noticed = world_chance(world, 700000);
    cut(world, host, true);
    for (uint32_t other = 0; noticed && other < world->hosts_count; other++) {
        if (other == host)
            continue;
        host_lose_peer(world->hosts[host], other);
        host_lose_peer(world->hosts[other], host);
    }
    world_at(world, &world->trips->heals[host].event,
             world->now_us + world_draw(world, trip->us_max / 16, trip->us_max));
}

static bool is_of_edit(const struct world *world, const struct message *message)
{
    for (uint32_t policy = 0; policy < ARRAY_SIZE(world->options.policies); policy++)
        if (slice_equal(message->write.bucket, ledger_bucket((enum policy)policy)) &&
            edits_owns(world, (enum policy)policy, message->write.key))
            return true;
    return false;
}

static bool says_good_bye(const struct message *message, struct node_id self)
{
    const struct delta *delta = &message->bulk.delta;
    for (uint32_t i = 0; i < delta->departures_count; i++)
        if (id_equal(delta->departures[i].id, self))
            return true;
    return false;
}

static bool matches(const struct world *world, uint32_t host, const struct trip *trip,
                    const struct message *message)
{
    if (trip->type != (uint32_t)message->type)
        return false;
    switch (trip->of) {
    case TRIP_OF_ANY:
        return true;
    case TRIP_OF_EDIT:
        return is_of_edit(world, message);
    case TRIP_OF_BALLOT:
        return message->vote.ballot.number > 0;
    case TRIP_OF_GOOD_BYE:
        return says_good_bye(message, host_id(world->hosts[host]));
    case TRIP_OF_FORMER:
        return message->chunk.transfer == 0;
    }
    return false;
}

static enum tripped strike(struct world *world, uint32_t host, uint32_t index, bool *ret_lost)
{
    const struct trip *trip = &world->options.trips[index];
    bool power = !world->options.interval;
    world->coverage.trips++;
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "trip: %s%s%s%s%s%s", world_host_name(host),
                   trip->deeds & TRIP_CUT ? " cut off" : "",
                   trip->deeds & TRIP_POWER_SOON ? " dies soon" : "",
                   trip->deeds & TRIP_DIE ? " dies" : "",
                   trip->deeds & TRIP_LOSE ? " is not heard of this" : "",
                   trip->deeds & TRIP_LEAVE ? " is told to leave" : "");
    if (trip->deeds & TRIP_CUT)
        cut_off(world, host, trip);
    if (trip->deeds & TRIP_POWER_SOON)
        faults_die_soon(world, host, power);
    if ((trip->deeds & TRIP_LEAVE) && host > 0)
        admin_may_leave(world, host, host);
    if (trip->deeds & TRIP_LOSE) {
        world->trips->loses_us[host][index] =
            world->now_us + world_draw(world, trip->us_max / 16, trip->us_max);
        *ret_lost = true;
    }
    if (!(trip->deeds & TRIP_DIE))
        return TRIPPED_NOT;
    *ret_lost = world_chance(world, 500000);
    return power && world_chance(world, 500000) ? TRIPPED_POWER : TRIPPED_CRASH;
}

enum tripped trips_at(struct world *world, uint32_t host, const struct message *message,
                      bool *ret_lost)
{
    struct trips *trips = world->trips;
    enum tripped tripped = TRIPPED_NOT;
    *ret_lost = false;
    if (!trips->active || world->calm)
        return TRIPPED_NOT;
    for (uint32_t i = 0; i < TRIPS_MAX; i++) {
        const struct trip *trip = &world->options.trips[i];
        bool due =
            trip->after == 0 || (trips->before_us[host][i] > 0 &&
                                 world->now_us <= trips->before_us[host][i] + trip->within_us);
        if (trip->type != 0 && trip->after == (uint32_t)message->type)
            trips->before_us[host][i] = world->now_us;
        if (world->now_us < trips->loses_us[host][i] && trip->type == (uint32_t)message->type)
            *ret_lost = true;
        else if (trip->type != 0 && due && tripped == TRIPPED_NOT && !losses_quiet(world) &&
                 matches(world, host, trip, message) && world_chance(world, trip->ppm))
            tripped = strike(world, host, i, ret_lost);
    }
    return tripped;
}

void trips_start(struct world *world)
{
    world->trips->active = true;
}

struct trips *trips_new(struct world *world)
{
    struct trips *trips = mem_zero(sizeof(*trips));
    for (uint32_t i = 0; i < world->hosts_count; i++)
        trips->heals[i] = (struct heal){.event.fire = on_heal, .host = i};
    return trips;
}

void trips_free(struct trips *trips)
{
    mem_free(trips);
}
