/* How the worlds of those subjects are drawn (rules.c) that are about what leaves a replica: dead
 * versions, copies that were handed over, records that rot within their key. */
#include "sim/rules_own.h"

#include "core/message.h"
#include "sim/draw.h"

enum { MS = 1000, SECOND = 1000000 };

/* Three replicas that stay where they are, near each other, and nothing goes wrong that is not
 * asked for. */
static void at_rest(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    o->loss_ppm = 0;
    o->copies = 3;
    o->nodes = 3;
    o->spares = 0;
    o->grows_late = false;
    o->hot_ranges = 1;
    o->losses = 0;
    o->rots = 0;
    o->edits = 0;
    o->ttl_ppm = 0;
    o->admin_interval_us = between(prng, 100 * MS, 500 * MS); /* Copies are made, none moves. */
    o->fault_interval_us = 0;
    o->crash_step_ppm = 0;
    o->held_type = 0;
}

/* A put and a delete do not see each other. The delete hides the put, both are collected where the
 * word of the horizon has come, and where it is late somebody writes who has seen the delete only.
 * Many keys, to each of which few clients come now and then: about as often as a horizon takes. */
void draw_hidden(struct prng *prng, struct sim_options *o)
{
    at_rest(prng, o);
    o->policies[POLICY_SIBLINGS] = false;
    o->policies[POLICY_NEWEST] = true;
    o->policies[POLICY_LWW] = false;
    o->keys = between32(prng, 32, KEYS_MAX);
    o->clients = between32(prng, 2, 3);
    o->operations = between32(prng, 250, 450);
    o->think_us = between(prng, 20 * MS, 60 * MS);
    o->put_ppm = between32(prng, 400000, 500000);
    o->delete_ppm = 950000 - o->put_ppm;
    o->context_ppm = between32(prng, 900000, 1000000);
    o->weak_ppm = between32(prng, 0, 500000);
    o->scan_ppm = 0;
    o->batch_ppm = 0;
    o->deadline_ms = between32(prng, 100, 200);
    o->horizon_us = between(prng, 100 * MS, 400 * MS);
    o->gossip_us = between(prng, 200 * MS, 400 * MS);
    o->held_type = MESSAGE_WRITE;
    o->held_ppm = between32(prng, 300000, 900000);
    o->held_us_max = between(prng, 50 * MS, 400 * MS);
    o->trips[0] = (struct trip){.type = MESSAGE_HORIZON,
                                .deeds = TRIP_LOSE,
                                .ppm = between32(prng, 200000, 500000),
                                .us_max = between(prng, 500 * MS, 4 * SECOND)};
}

/* Hardly anything is deleted, and what the raiser says of its first horizon is lost until it gives
 * up. Then there is nothing to collect where another horizon could begin. */
void draw_missed(struct prng *prng, struct sim_options *o)
{
    at_rest(prng, o);
    o->keys = between32(prng, 2, 8);
    o->clients = between32(prng, 2, 4);
    o->operations = between32(prng, 60, 100);
    o->think_us = between(prng, 50 * MS, 150 * MS) * o->clients;
    o->put_ppm = 400000;
    o->delete_ppm = between32(prng, 10000, 40000);
    o->deadline_ms = between32(prng, 100, 300);
    o->horizon_us = between(prng, 100 * MS, 600 * MS);
    o->gossip_us = between(prng, 200 * MS, 400 * MS);
    o->trips[0] = (struct trip){.type = MESSAGE_HORIZON,
                                .deeds = TRIP_LOSE,
                                .ppm = between32(prng, 300000, 700000),
                                .us_max = 60 * SECOND};
}

/* A node joins whose clock may lie seconds behind, and as long as answers to its pings are slow it
 * cannot tell. It is given a slot of a range in which much has been collected. */
void draw_newcomers(struct prng *prng, struct sim_options *o)
{
    at_rest(prng, o);
    o->nodes = 2;
    o->spares = 1;
    o->skew_ms_max = (int64_t)between(prng, 3000, 6000);
    o->skewed = 2;
    o->keys = between32(prng, 4, 12);
    o->clients = between32(prng, 3, 6);
    o->operations = between32(prng, 150, 250);
    o->think_us = between(prng, 20 * MS, 60 * MS) * o->clients;
    o->put_ppm = between32(prng, 400000, 500000);
    o->delete_ppm = between32(prng, 300000, 400000);
    o->deadline_ms = between32(prng, 100, 300);
    o->horizon_us = between(prng, 100 * MS, 400 * MS);
    o->gossip_us = between(prng, 200 * MS, 400 * MS);
    o->admin_interval_us = between(prng, 100 * MS, 400 * MS);
    o->held_type = MESSAGE_PONG;
    o->held_ppm = between32(prng, 700000, 1000000);
    o->held_us_max = between(prng, 1 * SECOND, 5 * SECOND);
}

/* A former member hands its copy over key by key, and hears for seconds of nothing that it handed
 * over. A key of that rots, and what heals the hole are keys, too, that were first put when it was
 * no member any more. */
void draw_handing(struct prng *prng, struct sim_options *o)
{
    at_rest(prng, o);
    o->nodes = 4;
    o->keys = between32(prng, 32, KEYS_MAX);
    o->clients = between32(prng, 3, 5);
    o->operations = between32(prng, 150, 250);
    o->think_us = between(prng, 100 * MS, 200 * MS) * o->clients;
    o->put_ppm = 900000;
    o->delete_ppm = 0;
    o->scan_ppm = 0;
    o->horizon_us = 0;
    o->chunk_objects = 1;
    o->back_ppm = 0;
    o->cleanup_us = between(prng, 10 * MS, 500 * MS);
    o->abort_us = 60 * SECOND;
    o->admin_interval_us = between(prng, 2 * SECOND, 8 * SECOND);
    o->rots = 60;
    o->rot_us = between(prng, 50 * MS, 300 * MS);
    o->rot_key_ppm = 1000000;
    o->memory_max = between(prng, 1, 4) << 10;
    o->scrub = true;
    o->trips[0] = (struct trip){.after = MESSAGE_PROPOSE,
                                .within_us = 30 * SECOND,
                                .type = MESSAGE_CHUNK_ACK,
                                .deeds = TRIP_LOSE,
                                .ppm = between32(prng, 50000, 300000),
                                .us_max = between(prng, 10 * SECOND, 40 * SECOND)};
}

/* Of many keys. The last reads, of all of them at once, would have to fetch again and again what a
 * memory of a handful of records has let go of. */
static void all_in_memory(struct sim_options *o)
{
    o->cold_cache = 0;
    o->cold_max = 0;
}

/* Keys rot while records that belong beside them are in memory only, and are written before anybody
 * has looked at what is there. Many keys, with short names, each of them new when it is put, and a
 * database that has few of them: so there is room between two of them, and many leaves, so that
 * what is lost does not lie in one that is summed up anew. */
void draw_beside(struct prng *prng, struct sim_options *o)
{
    at_rest(prng, o);
    all_in_memory(o);
    o->range_bits = 1;
    o->tree_bits = 10;
    o->policies[POLICY_SIBLINGS] = true;
    o->policies[POLICY_NEWEST] = true;
    o->policies[POLICY_LWW] = true;
    o->keys = KEYS_MAX;
    o->clients = between32(prng, 2, 5);
    o->operations = between32(prng, 80, 200);
    o->think_us = between(prng, 40 * MS, 120 * MS) * o->clients;
    o->put_ppm = 1000000;
    o->delete_ppm = 0;
    o->scan_ppm = 0;
    o->weak_ppm = 0;
    o->horizon_us = 0;
    o->rots = 100;
    o->rot_us = between(prng, 50 * MS, 500 * MS);
    o->rot_key_ppm = 1000000;
    o->rot_key_bytes = 1;
    o->memory_max = between(prng, 4, 16) << 10;
    o->scrub = false;
}

/* Puts are held up or lost on their way to other nodes, often until their clients have asked again.
 * Meanwhile the record of a node that took one may rot, and is healed from the others, which rests
 * until nobody writes to the database any more: few clients, who mostly wait. */
void draw_retried(struct prng *prng, struct sim_options *o)
{
    at_rest(prng, o);
    o->keys = between32(prng, 1, 4);
    o->clients = between32(prng, 2, 4);
    o->retries = 3;
    o->operations = between32(prng, 40, 80);
    o->think_us = between(prng, 100 * MS, 800 * MS);
    o->put_ppm = between32(prng, 400000, 700000);
    o->delete_ppm = 0;
    o->weak_ppm = 0;
    o->scan_ppm = 0;
    o->batch_ppm = 0;
    o->value_size_max = between32(prng, 200, 800);
    o->horizon_us = 0;
    o->repair_us = 60 * SECOND;
    o->deadline_ms = between32(prng, 2000, 4000);
    o->rots = 60;
    o->rot_us = between(prng, 50 * MS, 500 * MS);
    o->rot_key_ppm = 0;
    o->memory_max = between(prng, 1, 4) << 10;
    o->scrub = true;
    o->held_type = MESSAGE_WRITE;
    o->held_ppm = between32(prng, 300000, 700000);
    o->held_us_max = between(prng, 500 * MS, 4 * SECOND);
    o->trips[0] = (struct trip){.type = MESSAGE_WRITE,
                                .deeds = TRIP_LOSE,
                                .ppm = between32(prng, 50000, 500000),
                                .us_max = between(prng, 5 * SECOND, 12 * SECOND)};
}
