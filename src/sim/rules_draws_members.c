/* Subjects about who is a member. */
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
