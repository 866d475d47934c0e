/* Subjects about who is a member: of a cluster that it leaves, of a range that it was alone in. */
#include "sim/rules_own.h"

#include "core/message.h"
#include "sim/draw.h"

enum { MS = 1000, SECOND = 1000000 };

/* An old copy of the founder's disk, from when it had the only copies, comes back once there are
 * others. It hears of them before anybody has welcomed it. */
void draw_alone_first(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    of_old_copies(prng, o);
    o->losses = 1;
    o->alone_first = true;
    o->hot_ranges = 2; /* All ranges: one that did not grow could not lose its only copy. */
    o->keys = between32(prng, 2, 4);
    o->clients = between32(prng, 2, 4);
    o->operations = between32(prng, 150, 250);
    o->edits = 0;
    o->think_us = between(prng, 40 * MS, 120 * MS);
    o->loss_ppm = 0; /* It hears of all records at once. */
    o->gossip_us = between(prng, 200 * MS, 500 * MS);
    o->admin_interval_us = between(prng, 500 * MS, 1500 * MS);
    o->cancel_ppm = between32(prng, 100000, 300000);
    o->held_us_max = between(prng, 5 * SECOND, 20 * SECOND);
}

/* The last puts of who gives a slot up reach nobody else. It leaves as it hands them over, and they
 * come when those who know that prove to each other that they have all there is. */
void draw_goers(struct prng *prng, struct sim_options *o)
{
    bool siblings = chance(prng, 50);
    fast_links(prng, o);
    o->policies[POLICY_SIBLINGS] = siblings;
    o->policies[POLICY_NEWEST] = !siblings;
    o->policies[POLICY_LWW] = false;
    o->copies = 3;
    o->nodes = 8;
    o->spares = 0;
    o->grows_late = false;
    o->losses = 0;
    o->keys = between32(prng, 1, 3);
    o->clients = between32(prng, 3, 5);
    o->operations = between32(prng, 400, 600);
    o->edits = 0;
    o->think_us = between(prng, 60 * MS, 150 * MS);
    o->put_ppm = 550000;
    o->delete_ppm = 400000; /* Few gets: they would bring to others what one has. */
    o->ttl_ppm = 0;
    o->scan_ppm = 0;
    o->weak_ppm = 0;
    o->retries = 0;
    o->loss_ppm = 0;
    o->skew_ms_max = 0;
    o->deadline_ms = between32(prng, 50, 100);
    o->horizon_us = between(prng, 50 * MS, 100 * MS);
    o->gossip_us = between(prng, 300 * MS, 700 * MS);
    o->cleanup_us = between(prng, 1 * SECOND, 3 * SECOND);
    o->repair_us = between(prng, 1 * SECOND, 3 * SECOND);
    o->abort_us = 30 * SECOND;
    o->disk_us_min = between(prng, 2 * MS, 8 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 0, 10 * MS);
    o->leave_ppm = 0;
    o->back_ppm = 0;
    o->cancel_ppm = 0;
    o->admin_interval_us = between(prng, 400 * MS, 1000 * MS);
    o->chunk_objects = 64;
    o->fault_interval_us = 0;
    o->crash_step_ppm = 0;
    o->held_type = MESSAGE_CHUNK;
    o->held_ppm = between32(prng, 700000, 1000000);
    o->held_us_max = between(prng, 400 * MS, 1500 * MS);
    o->trips[0] = (struct trip){.after = MESSAGE_CHUNK,
                                .within_us = between(prng, 1 * SECOND, 2 * SECOND),
                                .type = MESSAGE_WRITE,
                                .deeds = TRIP_LOSE,
                                .ppm = 1000000,
                                .us_max = between(prng, 50 * MS, 300 * MS)};
    o->trips[1] = (struct trip){
        .type = MESSAGE_CHUNK, .of = TRIP_OF_FORMER, .deeds = TRIP_LEAVE, .ppm = 1000000};
}
