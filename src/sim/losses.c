#include "sim/losses.h"

#include "sim/admin.h"
#include "sim/checks.h"
#include "sim/checks_own.h"
#include "sim/host.h"
#include "sim/rots.h"
#include "sim/workload.h"

enum { MS = 1000, TRANSFERS_MAX = 64 };

struct losses {
    struct world_event next;
    enum {
        LOSS_NONE,
        LOSS_RESTORED, /* The old copy runs: it must stop by itself. */
        LOSS_STRUCK,   /* The administrator is to notice. */
        LOSS_REMOVED,  /* Its slots are to be rebuilt. */
    } state;
    uint32_t left;
    uint32_t victim;
    uint32_t copied;      /* The host that was backed up last, */
    uint64_t copied_mark; /* and a position that the copy is not past. */
    uint64_t copied_generation;
    uint32_t know; /* Hosts that knew more of the log than the copy has as it came back, as bits. */
    bool ran;      /* Removed, it ran at the last look. */
    uint64_t last;
    bool acknowledges; /* The last victim may still run, and tell clients that it stored a write. */
};

/* ------------------------------------------------------------------------------- The budget. */

static bool gone(const struct world *world, struct node_id id)
{
    int host = world_host_of(world, id);
    return host < 0 || host_retired(world->hosts[host]) || admin_removed(world, (uint32_t)host);
}

/* Would RECORD still have a quorum of slots that are whole, without those of ID? */
static bool range_survives(const struct world *world, const struct range_record *record,
                           struct node_id id)
{
    uint32_t counted = 0;
    uint32_t whole = 0;
    bool concerned = false;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        bool target = id_equal(slot->target, id);
        concerned = concerned || id_equal(slot->owner, id) || target;
        counted++; /* A slot in LEARN too: it may count at any moment. */
        if (slot->stage == STAGE_LEARN || slot->stage == STAGE_FENCE ||
            slot->stage == STAGE_REBUILD)
            continue;
        /* A slot that moves may be its target's at any moment. */
        bool moves = slot->stage != STAGE_STABLE;
        whole += !id_equal(slot->owner, id) && !gone(world, slot->owner) && !target &&
                 !(moves && gone(world, slot->target));
    }
    return !concerned || whole >= counted / 2 + 1;
}

static bool takes_part(const struct world *world, uint32_t host)
{
    return host_lives(world->hosts[host]) > 0 && !host_retired(world->hosts[host]) &&
           !admin_removed(world, host) && !admin_leaving(world, host);
}

/* The newest record of RANGE that others than VICTIM know, and run: NULL if none does. */
static const struct range_record *known_to_others(const struct world *world, uint32_t range,
                                                  uint32_t victim)
{
    const struct range_record *newest = NULL;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct node *node = host_node(world->hosts[i]);
        if (i == victim || node == NULL || node_core(node)->holdings == NULL)
            continue;
        const struct range_record *record = ring_get(&node_core(node)->ring, range);
        if (record->epoch > 0 && (newest == NULL || record_compare(record, newest) > 0))
            newest = record;
    }
    return newest;
}

static bool may_lose(const struct world *world, uint32_t victim)
{
    uint32_t staying = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        staying += i != victim && (takes_part(world, i) || host_lives(world->hosts[i]) == 0);
    if (!takes_part(world, victim) || staying < world->options.copies ||
        !rots_spare_others(world, victim))
        return false;
    struct node_id id = host_id(world->hosts[victim]);
    for (uint32_t range = 0; range < 1u << world->options.range_bits; range++) {
        const struct range_record *record = checks_newest(world, range);
        if (record != NULL && !range_survives(world, record, id))
            return false;
        /* If only the victim knows that a newer one was chosen, those of the one before it vote. */
        const struct range_record *known = known_to_others(world, range, victim);
        if (record != NULL && (known == NULL || !range_survives(world, known, id)))
            return false;
        const struct range_record *proposed;
        uint32_t count = checks_proposed(world, range, &proposed);
        for (uint32_t i = 0; i < count; i++)
            if (!range_survives(world, &proposed[i], id))
                return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------ Old copies. */

static bool names(const struct range_record *record, struct node_id id)
{
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (id_equal(record->slots[i].owner, id) || id_equal(record->slots[i].target, id))
            return true;
    return false;
}

/* Was OTHER ever in a record with VICTIM? */
static bool shared(const struct world *world, struct node_id victim, struct node_id other)
{
    for (uint32_t range = 0; range < world->checks->ranges; range++) {
        const struct record_list *list = &world->checks->lists[range];
        bool both[2] = {false, false};
        for (uint32_t i = 0; i < list->count; i++) {
            both[0] = both[0] || names(&list->records[i], victim);
            both[1] = both[1] || names(&list->records[i], other);
        }
        if (both[0] && both[1])
            return true;
    }
    return false;
}

/* Has HOST heard of more of the victim's log than the copy has, in what it does not take for the
 * very life that the copy would begin? */
static bool remembers(const struct world *world, const struct host *host)
{
    const struct losses *losses = world->losses;
    struct node_id victim = host_id(world->hosts[losses->copied]);
    const struct core *core = host_node(host) == NULL ? NULL : node_core(host_node(host));
    return core != NULL && core->peer_position != NULL &&
           core->peer_position(core, victim, losses->copied_generation + 1, 0) >
               losses->copied_mark;
}

/* Was VICTIM ever the only reader of a range? Whoever tells its old copy of that record makes it a
 * majority by itself, before others can say what they remember (docs/hacking.md, "Known gaps"). */
static bool was_alone(const struct world *world, struct node_id victim)
{
    for (uint32_t range = 0; range < world->checks->ranges; range++) {
        const struct record_list *list = &world->checks->lists[range];
        for (uint32_t i = 0; i < list->count; i++) {
            struct node_id voters[SLOTS_MAX];
            if (record_voters(&list->records[i], voters) == 1 && id_equal(voters[0], victim))
                return true;
        }
    }
    return false;
}

/* Would whoever the old copy asks know that it is old? */
static bool all_remember(const struct world *world)
{
    const struct losses *losses = world->losses;
    struct node_id victim = host_id(world->hosts[losses->copied]);
    uint32_t remember = 0;
    if (host_node(world->hosts[losses->copied]) == NULL ||
        (!world->options.alone_first && was_alone(world, victim)))
        return false;
    /* A copy from just before the last start would start under that very generation: whoever has
     * not heard of that start from the node itself takes it for the same. */
    if (node_core(host_node(world->hosts[losses->copied]))->generation ==
        losses->copied_generation + 1)
        return false;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct host *host = world->hosts[i];
        /* Where nodes are lost in no other way, moves may bring it together with any. */
        bool asked =
            world->options.losses_of == LOSSES_OF_COPIES || shared(world, victim, host_id(host));
        if (i == losses->copied || host_retired(host) || host_lives(host) == 0 || !asked)
            continue;
        if (host_state(host) != HOST_UP || !remembers(world, host))
            return false;
        remember++;
    }
    return losses->copied_mark > 0 && remember > 0;
}

/* Has the founder the only copy of each range, and is nothing planned? What a plan has left to do,
 * who is a majority by itself would do once more as it comes back. */
static bool is_alone(struct world *world)
{
    struct node_id founder = host_id(world->hosts[0]);
    for (uint32_t range = 0; range < 1u << world->options.range_bits; range++) {
        const struct range_record *record = checks_newest(world, range);
        if (record != NULL && (record->slots_count > 1 || !names(record, founder)))
            return false;
    }
    return admin_settled(world);
}

/* It reads each range together with others now; no request is under way that would find it before
 * it has heard of them, and no plan runs that it would hear of first. */
static bool is_joined(struct world *world)
{
    struct node_id founder = host_id(world->hosts[0]);
    for (uint32_t range = 0; range < 1u << world->options.range_bits; range++) {
        const struct range_record *record = checks_newest(world, range);
        if (record == NULL || record_slot_read_by(record, founder) == NULL)
            return false;
    }
    return workload_rests(world) && admin_paused(world) && admin_settled(world);
}

static void back_up(struct world *world)
{
    struct losses *losses = world->losses;
    uint32_t host = 0;
    if (!world->options.alone_first)
        host = (uint32_t)world_draw(world, 1, world->hosts_count - 1);
    else if (!is_alone(world))
        return;
    /* Until its start is on the disk, the copy would be of the life before. */
    if (host_state(world->hosts[host]) != HOST_UP ||
        node_state(host_node(world->hosts[host])) == NODE_STARTING ||
        node_core(host_node(world->hosts[host]))->holdings == NULL)
        return;
    host_back_up(world->hosts[host]);
    losses->copied = host;
    losses->copied_mark = host_position(world->hosts[host]);
    losses->copied_generation = node_core(host_node(world->hosts[host]))->generation;
}

/* -------------------------------------------------------------------------------- Striking. */

static void remove_victim(struct world *world)
{
    struct losses *losses = world->losses;
    admin_remove(world, (uint32_t)world_draw(world, 0, world->hosts_count - 1), losses->victim);
    losses->state = LOSS_REMOVED;
    losses->acknowledges = true;
    admin_join_one(world); /* Perhaps on the very machine. */
}

/* Has HOST offered a slot to ID, or proposed that it comes to it? The plan may say so no more. */
static bool hands_to(const struct host *host, struct node_id id)
{
    struct transfer_status statuses[TRANSFERS_MAX];
    for (uint32_t shard = 0; shard < host_shards(host); shard++) {
        uint32_t count = node_transfers(host_shard(host, shard), statuses, TRANSFERS_MAX);
        for (uint32_t i = 0; i < count; i++)
            if (statuses[i].role == TRANSFER_DRIVER && id_equal(statuses[i].to, id))
                return true;
    }
    return false;
}

/* Does no plan hand slots to a node that is removed now, and goes on running until it hears of
 * that? One that is under way may, as the command knows too; and so may a node that is down, by an
 * older plan. A range of one copy would then have two, one of which is lost as soon as the removed
 * node hears: no majority is left to replace it (docs/hacking.md, "Known gaps"). */
static bool plans_rest(struct world *world, uint32_t victim)
{
    struct node_id id = host_id(world->hosts[victim]);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (takes_part(world, i) &&
            (host_state(world->hosts[i]) != HOST_UP || hands_to(world->hosts[i], id)))
            return false;
    return admin_settled(world);
}

/* Does anybody who stays know that VICTIM was removed? Who was told may have left, or be lost. */
static bool is_known(const struct world *world, uint32_t host_removed)
{
    struct node_id victim = host_id(world->hosts[host_removed]);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct host *host = world->hosts[i];
        if (takes_part(world, i) && host_node(host) != NULL &&
            member_departed(&node_core(host_node(host))->members, victim))
            return true;
    }
    return false;
}

/* Somebody who was removed, or has left, and only those knew who have been lost since: as far as
 * the others know it is a member that is down. */
static bool forgotten(const struct world *world, uint32_t *ret_host)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        bool left = admin_leaving(world, i) && host_retired(world->hosts[i]);
        if (!(left || admin_removed(world, i)) || is_known(world, i))
            continue;
        *ret_host = i;
        return true;
    }
    return false;
}

static void strike(struct world *world, enum fault fault, uint32_t victim)
{

    struct losses *losses = world->losses;
    losses->victim = victim;
    losses->last = world->coverage.events;
    losses->left--;
    losses->state = LOSS_STRUCK;
    world->coverage.faults[fault]++;
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "fault: %s %s", fault_name(fault),
                   world_host_name(victim));
    if (fault == FAULT_LOST_DISK) {
        host_lose_disk(world->hosts[victim]);
    } else if (fault == FAULT_RESTORED) {
        losses->know = 0;
        for (uint32_t i = 0; i < world->hosts_count; i++)
            losses->know |= (uint32_t)(i != victim && remembers(world, world->hosts[i])) << i;
        host_crash(world->hosts[victim], false);
        host_restore(world->hosts[victim]);
        host_start(world->hosts[victim]);
        losses->state = LOSS_RESTORED;
        if (world->options.to_old_copies)
            admin_plan_to(world, victim);
    } else {
        remove_victim(world);
    }
}

static void maybe_strike(struct world *world)
{
    struct losses *losses = world->losses;
    uint32_t victim = (uint32_t)world_draw(world, 1, world->hosts_count - 1);
    enum losses_of of = world->options.losses_of;
    uint64_t what =
        world_draw(world, of == LOSSES_OF_THE_REST ? 50 : 0, of == LOSSES_OF_COPIES ? 49 : 99);
    if (what < 25 && host_backed_up(world->hosts[losses->copied])) {
        if (may_lose(world, losses->copied) && all_remember(world) &&
            (!world->options.alone_first || is_joined(world)))
            strike(world, FAULT_RESTORED, losses->copied);
    } else if (what < 50) {
        back_up(world);
    } else if (may_lose(world, victim)) {
        strike(world, what < 75 || !plans_rest(world, victim) ? FAULT_LOST_DISK : FAULT_REMOVED,
               victim);
    }
}

/* Has some range a slot that the victim owned and nobody has rebuilt? */
static bool owns(const struct world *world, uint32_t victim)
{
    for (uint32_t range = 0; range < 1u << world->options.range_bits; range++) {
        const struct range_record *record = checks_newest(world, range);
        if (record != NULL && names(record, host_id(world->hosts[victim])))
            return true;
    }
    return false;
}

/* A removed node that has not heard of it still takes what is written with fewer copies. */
static void note_removed(struct world *world)
{
    struct losses *losses = world->losses;
    bool runs =
        admin_removed(world, losses->victim) && host_node(world->hosts[losses->victim]) != NULL;
    if (runs || losses->ran)
        losses->last = world->coverage.events;
    losses->ran = runs;
}

static void tick(struct world *world, struct world_event *event)
{
    struct losses *losses = world->losses;
    world_at(world, event, world->now_us + 20 * MS + world_pause(world, 400 * MS));
    if (losses->acknowledges)
        losses->last = world->coverage.events;
    losses->acknowledges = losses->acknowledges && !host_retired(world->hosts[losses->victim]);
    note_removed(world);
    switch (losses->state) {
    case LOSS_NONE:
        if (forgotten(world, &losses->victim))
            losses->state = LOSS_REMOVED;
        else if (losses->left > 0 && !world->calm)
            maybe_strike(world);
        break;
    case LOSS_RESTORED:
        if (host_retired(world->hosts[losses->victim]))
            losses->state = LOSS_STRUCK;
        break;
    case LOSS_STRUCK:
        remove_victim(world);
        break;
    case LOSS_REMOVED:
        if (!is_known(world, losses->victim) && admin_idle(world))
            remove_victim(world);
        else if (is_known(world, losses->victim) && !owns(world, losses->victim))
            losses->state = LOSS_NONE;
        else if (world->calm || world_chance(world, 700000))
            admin_plan_rebuilds(world);
        break;
    }
}

void losses_start(struct world *world)
{
    world->losses->left = world->options.losses;
    if (world->options.losses > 0)
        world_at(world, &world->losses->next, world->now_us + world_pause(world, 500 * MS));
}

bool losses_over(const struct world *world)
{
    return world->losses->state == LOSS_NONE;
}

bool losses_quiet(const struct world *world)
{
    return world->losses->state == LOSS_RESTORED;
}

bool losses_deaf(const struct world *world)
{
    if (!losses_quiet(world) || !world->options.alone_first)
        return false;
    const struct node *node = host_node(world->hosts[world->losses->victim]);
    const struct core *core = node == NULL ? NULL : node_core(node);
    bool deaf = core == NULL || core->holdings == NULL;
    for (uint32_t range = 0; !deaf && range < ring_ranges(&core->ring); range++)
        deaf = core->holdings[range].record.slots_count < 2;
    return deaf;
}

bool losses_known_to(const struct world *world, uint32_t host)
{
    return losses_quiet(world) && (world->losses->know >> host & 1) != 0;
}

uint64_t losses_last(const struct world *world)
{
    return world->losses->acknowledges ? world->coverage.events : world->losses->last;
}

struct losses *losses_new(struct world *world)
{
    (void)world;
    struct losses *losses = mem_zero(sizeof(*losses));
    losses->next.fire = tick;
    return losses;
}

void losses_free(struct losses *losses)
{
    mem_free(losses);
}
