/* How the worlds of each subject are drawn (rules.c). */
#include "sim/rules_own.h"

#include "core/message.h"
#include "sim/draw.h"

enum { MS = 1000, SECOND = 1000000 };

void fast_links(struct prng *prng, struct sim_options *o)
{
    o->delay_us_min = between(prng, 50, 500);
    o->delay_us_max = o->delay_us_min + between(prng, 0, 2 * MS);
    o->jitter_us = between(prng, 0, 500);
}

static void edits_of_three(struct prng *prng, struct sim_options *o)
{
    bool newest = chance(prng, 80);
    fast_links(prng, o);
    o->policies[POLICY_SIBLINGS] = false;
    o->policies[POLICY_NEWEST] = newest;
    o->policies[POLICY_LWW] = !newest;
    o->copies = 3;
    o->nodes = between32(prng, 4, 5);
    o->spares = 0;
    o->loss_ppm = 0;
    o->operations = between32(prng, 5, 15);
    o->edits = between32(prng, 80, 200);
    o->horizon_us = 0;
    o->lowest_ppm = 800000;
    o->abort_us = between(prng, 1 * SECOND, 5 * SECOND);
    o->fault_interval_us = 0;
    o->crash_step_ppm = 0;
    o->held_type = 0;
}

/* The driver has just proposed to give the lowest slot away, and stored an edit: it is cut off
 * before anybody hears of that, and others bring the move to its end. Or it loses its power, and
 * what it has told of was never on a disk. */
void draw_cut_off(struct prng *prng, struct sim_options *o)
{
    edits_of_three(prng, o);
    o->disk_us_min = between(prng, 1 * MS, 10 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 1 * MS, 20 * MS);
    o->think_us = between(prng, 1 * MS, 20 * MS);
    o->deadline_ms = o->edit_deadline_ms = between32(prng, 3000, 12000);
    struct trip *trip = &o->trips[0];
    trip->type = MESSAGE_WRITE;
    trip->of = TRIP_OF_EDIT;
    if (chance(prng, 80)) {
        trip->deeds = TRIP_CUT;
        trip->after = MESSAGE_PROPOSE;
        trip->within_us = between(prng, 1 * MS, 30 * MS);
        trip->ppm = between32(prng, 100000, 1000000);
        trip->us_max = between(prng, 1 * SECOND, 8 * SECOND);
    } else {
        trip->deeds = TRIP_CUT | TRIP_POWER_SOON;
        trip->ppm = between32(prng, 5000, 50000);
        trip->us_max = between(prng, 100 * MS, 1 * SECOND);
    }
}

/* The same without the cut: only the edit is lost on its way, until the lowest slot has moved, to a
 * node whose clock is behind; and the copy that moved away is handed over much later. */
void draw_unheard(struct prng *prng, struct sim_options *o)
{
    edits_of_three(prng, o);
    o->disk_us_min = between(prng, 100, 1 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 0, 2 * MS);
    o->think_us = between(prng, 5 * MS, 60 * MS);
    o->deadline_ms = o->edit_deadline_ms = between32(prng, 1500, 3000);
    o->cleanup_us = between(prng, 1 * SECOND, 4 * SECOND);
    o->skew_ms_max = chance(prng, 80) ? (int64_t)between(prng, 300, 490) : 0;
    o->target = o->skew_ms_max > 0 ? 1 : 0; /* Whose clock may be the furthest behind. */
    o->trips[0] = (struct trip){.after = chance(prng, 50) ? MESSAGE_PROPOSE : MESSAGE_CHUNK,
                                .within_us = between(prng, 1 * MS, 50 * MS),
                                .type = MESSAGE_WRITE,
                                .of = TRIP_OF_EDIT,
                                .deeds = TRIP_LOSE,
                                .ppm = between32(prng, 100000, 1000000),
                                .us_max = between(prng, 20 * MS, 300 * MS)};
}

/* One key, blind puts, many of them at once through one node, and clocks as far apart as they may
 * be: what a put follows is stamped below what it has not seen. */
void draw_order(struct prng *prng, struct sim_options *o)
{
    o->keys = 1;
    o->clients = between32(prng, 4, 6);
    o->operations = between32(prng, 150, 300);
    o->edits = 0;
    o->think_us = between(prng, 2 * MS, 30 * MS);
    o->put_ppm = between32(prng, 600000, 850000);
    o->delete_ppm = 0;
    o->context_ppm = between32(prng, 0, 200000);
    o->ttl_ppm = 0;
    o->scan_ppm = 0;
    o->weak_ppm = 0;
    o->batch_ppm = between32(prng, 100000, 600000);
    o->horizon_us = 0;
    o->policies[POLICY_SIBLINGS] = false;
    o->policies[POLICY_NEWEST] = true;
    o->policies[POLICY_LWW] = false;
    o->skew_ms_max = (int64_t)between(prng, 200, 490);
    o->loss_ppm = between32(prng, 0, 200000);
    o->held_type = chance(prng, 50) ? MESSAGE_WRITE : MESSAGE_REPLY;
    o->held_ppm = between32(prng, 200000, 600000);
    o->held_us_max = between(prng, 20 * MS, 300 * MS);
    o->trips[0] =
        (struct trip){.type = MESSAGE_ANSWER, .deeds = TRIP_DIE, .ppm = between32(prng, 0, 100000)};
}

/* A driver that has started again prepares; its own disk is slower than the others', and it dies as
 * it proposes. Its next life may take the same number for another proposal. Or it dies before it
 * tells what was chosen, and others, whose plan was taken back, would choose something else. */
void draw_ballots(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    o->copies = 3;
    o->nodes = between32(prng, 4, 5);
    o->disk_us_min = between(prng, 100, 1 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 0, 2 * MS);
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        o->faults[i] = 0;
    o->faults[FAULT_SLOW_DISK] = 5;
    o->faults[FAULT_CRASH] = 5;
    o->fault_interval_us = between(prng, 50 * MS, 200 * MS);
    o->fault_us_max = between(prng, 200 * MS, 3 * SECOND);
    o->admin_interval_us = between(prng, 50 * MS, 200 * MS);
    o->lowest_ppm = 0;
    o->trips[0] = (struct trip){.type = MESSAGE_PROPOSE,
                                .of = TRIP_OF_BALLOT,
                                .deeds = TRIP_DIE,
                                .ppm = between32(prng, 100000, 500000)};
    o->trips[1] =
        (struct trip){.type = MESSAGE_CHOSEN, .deeds = TRIP_DIE, .ppm = between32(prng, 0, 300000)};
    o->cancel_ppm = between32(prng, 0, 500000);
}

/* Ranges of several drivers move to one node, which starts again while they do. */
void draw_crowd(struct prng *prng, struct sim_options *o)
{
    o->range_bits = 3;
    o->tree_bits = 6;
    o->hot_ranges = between32(prng, 4, HOT_RANGES_MAX);
    o->copies = between32(prng, 1, 3);
    o->nodes = 5;
    o->spares = 0;
    o->keys = between32(prng, 8, 16);
    o->chunk_objects = 1;
    o->target = HOSTS_MAX;
    o->admin_interval_us = between(prng, 50 * MS, 300 * MS);
    o->faults[FAULT_CRASH] += 10;
    o->faults[FAULT_PAUSE] += 5;
    o->crash_step_ppm = between32(prng, 5000, 50000);
    o->abort_us = between(prng, 1 * SECOND, 5 * SECOND);
    o->horizon_us = 0;
}

/* Slow disks, so that a record is chosen long after its target accepted; nobody hears the good-bye
 * of who leaves, and gossip is slow. */
void draw_leaving(struct prng *prng, struct sim_options *o)
{
    o->nodes = 7;
    o->spares = 0;
    o->copies = between32(prng, 1, 3);
    o->leave_ppm = between32(prng, 500000, 1000000);
    o->disk_us_min = between(prng, 1 * MS, 30 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 20 * MS, 100 * MS);
    o->gossip_us = between(prng, 300 * MS, 1 * SECOND);
    o->admin_interval_us = between(prng, 100 * MS, 400 * MS);
    o->abort_us = between(prng, 1 * SECOND, 5 * SECOND);
    o->held_type = 0;
    o->fault_interval_us = chance(prng, 30) ? o->fault_interval_us : 0;
    o->horizon_us = 0;
    o->trips[0] = (struct trip){.type = MESSAGE_BULK,
                                .of = TRIP_OF_GOOD_BYE,
                                .deeds = TRIP_LOSE,
                                .ppm = 1000000,
                                .us_max = between(prng, 500 * MS, 4 * SECOND)};
}

void draw_restored(struct prng *prng, struct sim_options *o)
{
    o->nodes = between32(prng, 4, 5);
    o->copies = 3;
    o->losses = between32(prng, 1, 2);
    o->spares = 0;
    o->losses_of = LOSSES_OF_COPIES;
    o->operations = between32(prng, 100, 200);
    o->held_type = MESSAGE_WELCOME;
    o->held_ppm = between32(prng, 300000, 900000);
    o->held_us_max = between(prng, 100 * MS, 2 * SECOND);
    o->back_ppm = 500000;
    o->crash_step_ppm = 0;
}

void draw_healing(struct prng *prng, struct sim_options *o)
{
    o->copies = between32(prng, 3, 5);
    o->nodes = o->copies + between32(prng, 0, 1);
    o->spares = 0;
    o->keys = between32(prng, 1, 2);
    o->clients = between32(prng, 3, 6);
    o->operations = between32(prng, 80, 200);
    o->edits = 0;
    o->think_us = between(prng, 1 * MS, 50 * MS);
    o->weak_ppm = 0;
    o->rots = 20;
    o->rot_us = between(prng, 20 * MS, 150 * MS);
    o->memory_max = between(prng, 1, 4) << 10;
    o->admin_interval_us = chance(prng, 50) ? o->admin_interval_us : 0;
    if (chance(prng, 60)) {
        o->rot_crash_ppm = between32(prng, 200000, 800000);
        o->interval = false;
        o->disk_us_min = between(prng, 200, 2 * MS); /* Power goes while they are written. */
        o->disk_us_max = o->disk_us_min + between(prng, 0, 2 * MS);
        o->value_size_max = between32(prng, 200, 800);
    }
    o->held_type = chance(prng, 80) ? MESSAGE_WRITE : MESSAGE_REPLY;
    o->held_ppm = between32(prng, 100000, 600000);
    o->held_us_max = between(prng, 50 * MS, 1 * SECOND);
    o->losses = 0;
}

/* One copy: whoever has it decides alone, and nobody reminds it. */
void draw_alone(struct prng *prng, struct sim_options *o)
{
    o->copies = 1;
    o->nodes = 4;
    o->spares = 0;
    o->grows_late = false;
    o->losses = between32(prng, 1, 3);
    o->losses_of = LOSSES_OF_THE_REST;
    o->operations = between32(prng, 100, 200);
    o->admin_interval_us = between(prng, 50 * MS, 200 * MS);
    o->trips[0] = (struct trip){
        .type = MESSAGE_CHOSEN, .deeds = TRIP_DIE, .ppm = between32(prng, 50000, 400000)};
}

void draw_drops(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    o->nodes = 4;
    o->spares = 0;
    o->copies = between32(prng, 2, 3);
    o->back_ppm = 1000000;
    o->cleanup_us = between(prng, 1 * MS, 20 * MS);
    o->admin_interval_us = between(prng, 20 * MS, 100 * MS);
    o->cancel_ppm = between32(prng, 100000, 400000);
    o->disk_us_min = between(prng, 200, 3 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 0, 5 * MS);
    o->operations = between32(prng, 80, 150);
    o->think_us = between(prng, 1 * MS, 30 * MS);
    o->put_ppm = 800000;
    o->horizon_us = 0;
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        o->faults[i] = 0;
    o->faults[FAULT_SLOW_DISK] = 10;
    o->fault_interval_us = between(prng, 30 * MS, 150 * MS);
    o->fault_us_max = between(prng, 1 * SECOND, 8 * SECOND);
}

/* Locks are given back by plain deletes, which reach a quorum without the reader of the lowest
 * slot, and are taken again before it hears of that. */
void draw_plain(struct prng *prng, struct sim_options *o)
{
    edits_of_three(prng, o);
    o->disk_us_min = between(prng, 100, 1 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 0, 2 * MS);
    o->think_us = between(prng, 5 * MS, 60 * MS);
    o->deadline_ms = o->edit_deadline_ms = between32(prng, 1500, 3000);
    o->plain_ppm = between32(prng, 500000, 1000000);
    o->held_type = MESSAGE_WRITE;
    o->held_ppm = between32(prng, 200000, 700000);
    o->held_us_max = between(prng, 100 * MS, 1 * SECOND);
}

/* Of one slot to one node, again and again. Either a chunk that holds all is late, or the word that
 * all has come, while the next attempt is slow: many chunks, each through a slow disk. */
void draw_late(struct prng *prng, struct sim_options *o)
{
    bool chunk = chance(prng, 50);
    fast_links(prng, o);
    o->copies = 3;
    o->nodes = 4;
    o->spares = 0;
    o->losses = 0;
    o->grows_late = false;
    o->keys = chunk ? between32(prng, 1, 3) : between32(prng, 8, 16);
    o->chunk_objects = chunk ? 64 : 1;
    o->clients = 4;
    o->operations = between32(prng, 100, 200);
    o->edits = 0;
    o->think_us = between(prng, 2 * MS, 40 * MS);
    o->put_ppm = 800000;
    o->delete_ppm = 0;
    o->weak_ppm = 0;
    o->horizon_us = 0;
    o->repair_us = 60 * SECOND;
    o->lowest_ppm = 900000;
    o->cancel_ppm = between32(prng, 200000, 500000);
    o->admin_interval_us = between(prng, 50 * MS, 300 * MS);
    o->abort_us = between(prng, 1 * SECOND, 5 * SECOND);
    o->fault_interval_us = 0;
    o->crash_step_ppm = 0;
    o->held_type = chunk ? MESSAGE_CHUNK : MESSAGE_COMPLETE;
    o->held_ppm = chunk ? between32(prng, 600000, 950000) : 1000000;
    o->held_us_max = between(prng, 200 * MS, 3 * SECOND);
    if (!chunk) {
        o->disk_us_min = between(prng, 5 * MS, 20 * MS);
        o->disk_us_max = o->disk_us_min + between(prng, 0, 20 * MS);
    }
}

void of_old_copies(struct prng *prng, struct sim_options *o)
{
    o->losses = between32(prng, 1, 2);
    o->losses_of = LOSSES_OF_COPIES;
    o->nodes = 5;
    o->spares = 0;
    o->copies = 3; /* Always: who was the only reader serves without asking anybody. */
    o->grows_late = false;
    o->horizon_us = 0;
    o->operations = between32(prng, 100, 200);
    o->crash_step_ppm = 0;
    o->fault_interval_us = 0;
    o->held_type = MESSAGE_WELCOME;
    o->held_ppm = 1000000;
    o->held_us_max = between(prng, 2 * SECOND, 8 * SECOND);
}

void draw_takers(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    of_old_copies(prng, o);
    o->keys = between32(prng, 1, 2);
    o->gossip_us = between(prng, 200 * MS, 500 * MS);
    o->admin_interval_us = between(prng, 200 * MS, 600 * MS);
    o->to_old_copies = true;
}

/* Replies are slower than the patience of who waits for them, so that others stand in. */
void draw_keepers(struct prng *prng, struct sim_options *o)
{
    of_old_copies(prng, o);
    o->sloppy_ppm = 1000000;
    o->delay_us_min = between(prng, 10 * MS, 30 * MS);
    o->delay_us_max = o->delay_us_min + between(prng, 0, 20 * MS);
    o->think_us = between(prng, 5 * MS, 50 * MS);
    o->admin_interval_us = between(prng, 100 * MS, 500 * MS);
    o->deadline_ms = between32(prng, 500, 2000);
}

/* Nodes join while the only owners are down, and are to stand in for them before they have heard of
 * the range's record. */
void draw_standing(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    o->copies = 1;
    o->grows_late = false;
    o->nodes = between32(prng, 2, 3);
    o->spares = 8;
    o->losses = 0;
    o->keys = between32(prng, 1, 2);
    o->clients = 6;
    o->operations = between32(prng, 150, 250);
    o->edits = 0;
    o->think_us = between(prng, 10 * MS, 60 * MS);
    o->put_ppm = between32(prng, 600000, 800000);
    o->sloppy_ppm = between32(prng, 700000, 1000000);
    o->deadline_ms = between32(prng, 500, 2000);
    o->gossip_us = SECOND;
    o->horizon_us = 0;
    o->admin_interval_us = between(prng, 20 * MS, 100 * MS);
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        o->faults[i] = 0;
    o->faults[FAULT_CRASH] = 10;
    o->fault_interval_us = between(prng, 50 * MS, 300 * MS);
    o->fault_us_max = between(prng, 3 * SECOND, 10 * SECOND);
    o->crash_step_ppm = 0;
    o->held_type = MESSAGE_WELCOME;
    o->held_ppm = between32(prng, 0, 800000);
    o->held_us_max = between(prng, 500 * MS, 3 * SECOND);
    o->trips[0] = (struct trip){.type = MESSAGE_BULK,
                                .deeds = TRIP_LOSE,
                                .ppm = between32(prng, 300000, 900000),
                                .us_max = between(prng, 500 * MS, 3 * SECOND)};
    o->trips[1] = (struct trip){
        .type = MESSAGE_ANSWER, .deeds = TRIP_DIE, .ppm = between32(prng, 50000, 300000)};
}

/* The new slot takes long, a key at a time through slow disks, and nodes are lost at once. */
void draw_teachers(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    o->copies = 5;
    o->nodes = 6;
    o->spares = 2;
    o->lowest_ppm = 1000000;
    o->grows_late = true;
    o->losses = 2;
    o->losses_of = LOSSES_OF_THE_REST;
    o->keys = between32(prng, 8, 16);
    o->chunk_objects = 1;
    o->operations = between32(prng, 100, 200);
    o->put_ppm = 800000;
    o->edits = 0;
    o->horizon_us = 0;
    o->disk_us_min = between(prng, 5 * MS, 20 * MS);
    o->disk_us_max = o->disk_us_min + between(prng, 0, 20 * MS);
    o->admin_interval_us = between(prng, 300 * MS, 1 * SECOND);
    o->abort_us = between(prng, 1 * SECOND, 5 * SECOND);
    o->fault_interval_us = 0;
    o->crash_step_ppm = 0;
    o->held_type = 0;
}

/* A range of one copy, and later of two, moves to and fro, and moves are taken back. */
void draw_left(struct prng *prng, struct sim_options *o)
{
    fast_links(prng, o);
    o->copies = 2;
    o->nodes = 3;
    o->spares = 0;
    o->grows_late = true;
    o->losses = 0;
    o->keys = between32(prng, 2, 6);
    o->chunk_objects = 1;
    o->operations = between32(prng, 80, 150);
    o->think_us = between(prng, 5 * MS, 50 * MS);
    o->put_ppm = 800000;
    o->horizon_us = 0;
    o->rots = 20;
    o->rot_us = between(prng, 20 * MS, 200 * MS);
    o->memory_max = between(prng, 1, 4) << 10;
    o->scrub = true;
    o->back_ppm = 1000000;
    o->cancel_ppm = between32(prng, 200000, 600000);
    o->cleanup_us = between(prng, 200 * MS, 2 * SECOND);
    o->admin_interval_us = between(prng, 30 * MS, 200 * MS);
    o->crash_step_ppm = 0;
}
