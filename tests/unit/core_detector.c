/* The failure detector under a virtual clock. Every run is determined by its seed. */
#include "core_cluster.h"

#include "core/latency.h"

/* COUNT nodes that know each other; the first SHARING of them hold range 0 together. */
static void begin(uint32_t count, uint32_t sharing, uint64_t seed)
{
    world_begin(count, seed, 6);
    world->detect = true;
    for (uint32_t i = 0; i < count; i++)
        node_start(i, 1, NULL, 0);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < count; j++)
            if (i != j)
                introduce(i, j);
    struct range_record record = {.epoch = 1, .slots_count = (uint8_t)sharing};
    for (uint32_t i = 0; i < sharing; i++)
        record.slots[i] = (struct slot){(uint8_t)i, STAGE_STABLE, node_of(i), NODE_NONE};
    for (uint32_t i = 0; i < count && sharing > 0; i++)
        ring_merge(&world->nodes[i].core.ring, &record);
}

static bool sees_up(uint32_t a, uint32_t b)
{
    return detector_is_up(&world->nodes[a].core, node_of(b));
}

static uint64_t downs(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < world->count; i++)
        sum += world->nodes[i].signals[SIGNAL_PEER_DOWN];
    return sum;
}

static bool zero_sees_one_down(void)
{
    return !sees_up(0, 1);
}

static bool zero_sees_one_up(void)
{
    return sees_up(0, 1);
}

Test(detector, idle_peers_stay_up)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        begin(3, 3, seed);
        world_run(600 * SECOND);
        cr_assert_eq(downs(), 0, "seed %lu", seed);
        world_end();
        begin(3, 3, seed);
        world->loss = 0.1;
        world_run(600 * SECOND);
        cr_assert_eq(downs(), 0, "with loss, seed %lu", seed);
        world_end();
    }
}

Test(detector, a_dead_peer_is_down_in_seconds_and_back_at_once)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(3, 3, seed);
        world_run(30 * SECOND);
        node_stop(1);
        uint64_t us = world_run_until(zero_sees_one_down, 30 * SECOND);
        cr_assert_leq(us, 6 * SECOND, "seed %lu: %lu us", seed, us);
        cr_assert_geq(us, 2 * SECOND, "a lull is no failure; seed %lu: %lu us", seed, us);
        world_run(10 * SECOND);
        cr_assert(sees_up(0, 2));
        cr_assert_eq(world->nodes[0].signals[SIGNAL_PEER_DOWN], 1);
        uint32_t ups = world->nodes[0].signals[SIGNAL_PEER_UP];
        node_start(1, 2, NULL, 0);
        us = world_run_until(zero_sees_one_up, 30 * SECOND);
        cr_assert_leq(us, 2 * SECOND, "seed %lu: %lu us", seed, us);
        cr_assert_eq(world->nodes[0].signals[SIGNAL_PEER_UP], ups + 1);
        world_end();
    }
}

static void lose_connection(uint32_t n, uint32_t peer)
{
    struct cluster_node *node = &world->nodes[n];
    begin_step(node);
    detector_lost(&node->detector, &node->core, node_of(peer));
    end_step(node);
}

Test(detector, a_broken_connection_makes_suspect_at_once)
{
    begin(3, 2, 4);
    world_run(20 * SECOND);
    /* Alive: the ping is answered, nothing happens. */
    lose_connection(0, 1);
    lose_connection(0, 2);
    world_run(5 * SECOND);
    cr_assert_eq(downs(), 0);
    /* Dead: down before the silence alone would say so, whether it shares ranges or not. */
    node_stop(1);
    node_stop(2);
    lose_connection(0, 1);
    lose_connection(0, 2);
    cr_assert(sees_up(0, 1));
    world_run(SECOND / 2);
    cr_assert_not(sees_up(0, 1));
    cr_assert_not(sees_up(0, 2));
    world_end();
}

enum { MANY = 30 };

Test(detector, peers_without_common_ranges_are_pinged_for_the_time_alone)
{
    begin(MANY, 2, 5);
    world_run(120 * SECOND);
    cr_assert_eq(downs(), 0);
    cr_assert_gt(world->nodes[0].sent[MESSAGE_PING], 50);
    for (uint32_t i = 2; i < MANY; i++) {
        uint64_t pings = world->nodes[i].sent[MESSAGE_PING];
        cr_assert(pings >= 4 && pings <= 4 * 120 / 16 + 8, "%lu", pings);
    }
    world_end();
}

static uint32_t last_seen_up(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MANY - 1; i++)
        count += sees_up(i, MANY - 1);
    return count;
}

static bool last_is_down(void)
{
    return last_seen_up() == 0;
}

static bool last_is_up(void)
{
    return last_seen_up() == MANY - 1;
}

Test(detector, without_common_ranges_an_unanswered_question_tells)
{
    begin(MANY, 0, 6);
    world_run(20 * SECOND);
    node_stop(MANY - 1);
    world_run(20 * SECOND);
    cr_assert_lt(last_seen_up(), MANY - 5);
    cr_assert_neq(world_run_until(last_is_down, 300 * SECOND), UINT64_MAX);
    for (uint32_t i = 0; i < MANY - 1; i++)
        for (uint32_t j = 0; j < MANY - 1; j++)
            cr_assert(sees_up(i, j));
    /* The new generation spreads faster than it can contact everybody. */
    node_start(MANY - 1, 2, NULL, 0);
    uint64_t us = world_run_until(last_is_up, 60 * SECOND);
    cr_assert_leq(us, 8 * SECOND, "%lu us", us);
    cr_assert_leq(us, 8 * SECOND, "%lu us", us);
    for (uint32_t i = 0; i < 40; i++) {
        world_run(SECOND / 2);
        cr_assert(last_is_up());
    }
    world_end();
}

Test(detector, an_own_stall_condemns_nobody)
{
    for (uint64_t stall = 1; stall <= 20; stall++) {
        begin(3, 3, stall);
        world_run(20 * SECOND);
        world->nodes[0].paused_until = world->now + stall * SECOND;
        world_run(stall * SECOND + 10 * SECOND);
        cr_assert_eq(world->nodes[0].signals[SIGNAL_PEER_DOWN], 0, "stall of %lu s", stall);
        cr_assert(sees_up(1, 0), "the others find it again after %lu s", stall);
        /* It still finds the dead, if more slowly. */
        node_stop(1);
        cr_assert_neq(world_run_until(zero_sees_one_down, 30 * SECOND), UINT64_MAX);
        world_end();
    }
}

Test(detector, a_node_that_is_slow_itself_judges_slowly)
{
    begin(3, 3, 7);
    world_run(20 * SECOND);
    for (uint32_t i = 0; i < 30; i++) {
        if (i == 10)
            node_stop(1);
        world->nodes[0].paused_until = world->now + 8 * SECOND / 10;
        world_run(SECOND);
        cr_assert(sees_up(0, 1) || i >= 17, "after %u s", i);
        cr_assert(sees_up(0, 2), "after %u s", i);
    }
    cr_assert_not(sees_up(0, 1));
    world_end();
}

Test(detector, a_lull_after_busy_traffic_is_no_failure)
{
    begin(2, 2, 8);
    for (uint32_t i = 0; i < 60000; i++) { /* A message a millisecond, for a minute. */
        struct cluster_node *node = &world->nodes[0];
        begin_step(node);
        detector_heard(&node->detector, &node->core, node_of(1));
        end_step(node);
        world_run(1000);
    }
    uint32_t before = world->nodes[0].signals[SIGNAL_PEER_DOWN];
    world->nodes[1].paused_until = world->now + 2 * SECOND;
    world_run(10 * SECOND);
    cr_assert_eq(world->nodes[0].signals[SIGNAL_PEER_DOWN], before);
    world_end();
}

/* Node 1 is heard at these gaps in turn, many times. */
static void hear_at_gaps(uint64_t first_us, uint64_t second_us)
{
    begin(2, 2, 9);
    node_stop(1);
    struct cluster_node *node = &world->nodes[0];
    for (uint32_t i = 0; i < 400; i++) {
        world_run(i % 2 == 0 ? first_us : second_us);
        begin_step(node);
        detector_heard(&node->detector, &node->core, node_of(1));
        end_step(node);
    }
    memset(node->signals, 0, sizeof(node->signals));
}

Test(detector, an_uneven_peer_is_given_more_time)
{
    static const struct {
        uint64_t first_us, second_us, up_s, down_s;
    } rows[] = {{SECOND, SECOND, 3, 5},
                {SECOND / 1000, SECOND / 1000, 3, 5},
                {SECOND, 3 * SECOND, 6, 12},
                {3 * SECOND, 3 * SECOND, 5, 9}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        hear_at_gaps(rows[i].first_us, rows[i].second_us);
        world_run(rows[i].up_s * SECOND);
        cr_assert(sees_up(0, 1), "row %zu", i);
        world_run((rows[i].down_s - rows[i].up_s) * SECOND);
        cr_assert_not(sees_up(0, 1), "row %zu", i);
        world_end();
    }
}

Test(detector, maintenance_and_departure_count_as_not_up)
{
    begin(3, 3, 10);
    world_run(10 * SECOND);
    struct cluster_node *node = &world->nodes[1];
    begin_step(node);
    gossip_publish(&node->gossip, &node->core, MEMBER_MAINTENANCE);
    end_step(node);
    world_run(5 * SECOND);
    cr_assert_not(sees_up(0, 1));
    cr_assert_eq(downs(), 0, "but it has not failed");
    begin_step(node);
    gossip_publish(&node->gossip, &node->core, MEMBER_UP);
    end_step(node);
    world_run(5 * SECOND);
    cr_assert(sees_up(0, 1));
    begin_step(node);
    gossip_depart(&node->gossip, &node->core, 0, node_of(2), DEPARTURE_LEFT);
    end_step(node);
    world_run(5 * SECOND);
    cr_assert_not(sees_up(0, 2));
    cr_assert(sees_up(0, 0));
    cr_assert_not(sees_up(0, 77), "no member");
    cr_assert_eq(world->nodes[0].detector.count, 1);
    world_end();
}

Test(detector, the_unknown_get_the_benefit_of_the_doubt)
{
    begin(4, 2, 11);
    node_stop(1);
    node_stop(2);
    node_stop(0);
    node_start(0, 2, NULL, 0);
    struct range_record record = {.epoch = 1, .slots_count = 2};
    record.slots[0] = (struct slot){0, STAGE_STABLE, node_of(0), NODE_NONE};
    record.slots[1] = (struct slot){1, STAGE_STABLE, node_of(1), NODE_NONE};
    introduce(0, 3);
    struct member dead[2] = {{.id = node_of(1), .generation = 1, .version = 1},
                             {.id = node_of(2), .generation = 1, .version = 1}};
    struct cluster_node *node = &world->nodes[0];
    ring_merge(&node->core.ring, &record);
    begin_step(node);
    gossip_learn(&node->gossip, &node->core, &(struct delta){.members = dead, .members_count = 2});
    end_step(node);
    cr_assert(sees_up(0, 1) && sees_up(0, 2) && sees_up(0, 3), "nothing is known yet");
    world_run(SECOND / 2);
    cr_assert(sees_up(0, 1));
    world_run(SECOND);
    cr_assert_not(sees_up(0, 1), "pinged in vain");
    cr_assert(sees_up(0, 3));
    world_run(60 * SECOND);
    cr_assert_not(sees_up(0, 2), "gossip asked it in vain");
    world_end();
}

enum { TRIP_MS = 24 }; /* No answer takes longer: clocks are known to within that. */

static int64_t skew_of(uint32_t n)
{
    return core_skew_ms(&world->nodes[n].core);
}

/* What node N takes for the wall clock, less the world's. */
static int64_t belief_of(uint32_t n)
{
    struct cluster_node *node = &world->nodes[n];
    begin_step(node);
    end_step(node);
    return (int64_t)node->core.now.wall_ms - (int64_t)(1700000000000u + world->now / 1000);
}

Test(detector, a_wrong_clock_is_noticed_and_not_gone_by)
{
    begin(3, 3, 13);
    world_run(20 * SECOND);
    for (uint32_t n = 0; n < 3; n++)
        cr_assert_eq(skew_of(n), 0);
    for (int64_t skew_ms = -20000; skew_ms <= 20000; skew_ms += 40000) {
        world->nodes[0].skew_ms = skew_ms;
        /* Its own jump shows at once: it is the others' clocks that it knows. */
        cr_assert_leq(llabs(belief_of(0)), TRIP_MS, "%ld", belief_of(0));
        world_run(20 * SECOND);
        cr_assert_leq(llabs(skew_of(0) - skew_ms), TRIP_MS);
        cr_assert_leq(llabs(belief_of(0)), TRIP_MS);
        /* Who keeps the right time is not led astray. */
        cr_assert_eq(skew_of(1), 0);
        cr_assert_leq(llabs(belief_of(1)), TRIP_MS);
    }
    /* A little ahead is clamped, and no reason to be named; a little behind does no harm. */
    world->nodes[0].skew_ms = 300;
    world_run(20 * SECOND);
    cr_assert_eq(skew_of(0), 0);
    cr_assert_leq(llabs(belief_of(0)), TRIP_MS);
    world->nodes[0].skew_ms = -300;
    cr_assert_eq(belief_of(0), -300);
    world_end();
}

/* How long a message was on its way, or waited for a node that had stopped, is no error of a clock:
 * its puts would be stamped below those that were acknowledged before them. */
Test(detector, who_keeps_the_right_time_is_never_corrected)
{
    begin(3, 3, 17);
    for (uint32_t round = 0; round < 400; round++) {
        if (round % 20 == 0)
            world->nodes[round / 20 % 3].paused_until = world->now + SECOND / 5;
        world_run(SECOND / 20);
        for (uint32_t n = 0; n < 3; n++)
            cr_assert_eq(belief_of(n), 0, "node %u, round %u", n, round);
    }
    world_end();
}

Test(detector, of_two_clocks_nobody_knows_which_is_wrong)
{
    begin(2, 2, 14);
    world->nodes[0].skew_ms = 20000;
    world_run(20 * SECOND);
    cr_assert_eq(skew_of(0), 0);
    cr_assert_eq(skew_of(1), 0);
    cr_assert_eq(belief_of(0), 20000);
    world_end();
}

Test(detector, who_shares_ranges_with_one_asks_others_for_their_clocks)
{
    begin(12, 2, 16);
    world->nodes[0].skew_ms = -20000;
    world_run(30 * SECOND);
    cr_assert_leq(llabs(skew_of(0) + 20000), TRIP_MS);
    cr_assert_leq(llabs(belief_of(0)), TRIP_MS);
    /* Its deadlines are told by the right clock, and by none where nobody can tell. */
    struct core *core = &world->nodes[0].core;
    cr_assert_eq(core_left_ms(core, hlc_at(core->now.wall_ms), false), 0);
    cr_assert_eq(core_left_ms(core, hlc_at(core->now.wall_ms + 7), false), 7);
    core->peers.known = false;
    cr_assert_eq(core_left_ms(core, hlc_at(core->now.wall_ms - 90000), false), 1000);
    cr_assert_eq(core_left_ms(core, hlc_at(core->now.wall_ms + 7000), false), 7000);
    cr_assert_eq(core_left_ms(core, hlc_at(core->now.wall_ms - 1), true), 0,
                 "a late put is dropped");
    world_end();
}

Test(detector, busy_peers_are_asked_for_their_clocks)
{
    begin(3, 3, 15);
    for (uint32_t round = 0; round < 400; round++) {
        world_run(SECOND / 20);
        for (uint32_t a = 0; a < 3; a++)
            for (uint32_t b = 0; b < 3; b++) {
                if (a == b)
                    continue;
                struct cluster_node *node = &world->nodes[a];
                begin_step(node);
                detector_heard(&node->detector, &node->core, node_of(b));
                end_step(node);
            }
    }
    world->nodes[0].skew_ms = 5000;
    begin_step(&world->nodes[0]);
    end_step(&world->nodes[0]);
    cr_assert_leq(llabs(skew_of(0) - 5000), TRIP_MS);
    world_end();
}

Test(detector, pings_tell_position_and_round_trip)
{
    begin(3, 3, 12);
    world->nodes[1].core.logged = 4711;
    detector_set_load(&world->nodes[1].detector, &(struct load){.queue = 5});
    world_run(60 * SECOND);
    struct detector_status status;
    const struct detector *detector = &world->nodes[0].detector;
    cr_assert(detector_status(detector, &world->nodes[0].core, node_of(1), &status));
    cr_assert(status.up && status.shares);
    cr_assert_eq(status.position, 4711);
    cr_assert_eq(status.generation, 1);
    cr_assert_lt(status.phi, DOWN_PHI);
    cr_assert_geq(status.p99_us, 2000, "a message takes 1 to 10 ms each way");
    cr_assert_leq(status.p99_us, 25000);
    cr_assert_eq(detector_p99_us(detector, node_of(1)), status.p99_us);
    cr_assert_eq(detector_p99_us(detector, node_of(9)), 0);
    cr_assert_not(detector_status(detector, &world->nodes[0].core, node_of(9), &status));
    struct cluster_node *node = &world->nodes[0];
    /* What an earlier life of the peer sent late says nothing. */
    struct message late = {.type = MESSAGE_PONG};
    late.ping.position = 9999;
    begin_step(node);
    detector_message(&node->detector, &node->core, node_of(1), &late);
    end_step(node);
    detector_status(detector, &node->core, node_of(1), &status);
    cr_assert_eq(status.position, 4711);
    world_end();
}

Test(latency, percentile)
{
    struct latency latency = {0};
    for (uint32_t i = 0; i < LATENCY_SAMPLES_MIN - 1; i++)
        latency_add(&latency, 100);
    cr_assert_eq(latency_p99_us(&latency), 0, "too few to say");
    for (uint32_t i = 0; i < 500; i++)
        latency_add(&latency, 100);
    cr_assert_geq(latency_p99_us(&latency), 100);
    cr_assert_leq(latency_p99_us(&latency), 125);
    for (uint32_t i = 0; i < 20; i++)
        latency_add(&latency, 50000);
    cr_assert_geq(latency_p99_us(&latency), 50000);
    cr_assert_leq(latency_p99_us(&latency), 62500);
    for (uint32_t i = 0; i < 20000; i++)
        latency_add(&latency, 100);
    cr_assert_leq(latency_p99_us(&latency), 125, "the old ones are forgotten");
    /* Every value lies in a bucket whose edge is above it, by at most a quarter. */
    for (uint64_t us = 0; us < 20000000; us += 1 + us / 7) {
        struct latency one = {0};
        for (uint32_t i = 0; i < LATENCY_SAMPLES_MIN; i++)
            latency_add(&one, us);
        cr_assert_gt(latency_p99_us(&one), us);
        cr_assert_leq(latency_p99_us(&one), us + us / 4 + 1, "%lu", us);
    }
    latency_add(&latency, UINT64_MAX);
}
