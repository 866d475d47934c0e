/* Votes: what each proposer and voter has said of a successor it must stand by, restarts included
 * (Lamport, "Paxos Made Simple", 2001, section 2.2). Broken long before two records are chosen. */
#include "base/checksum.h"
#include "sim/checks_own.h"

/* The highest ballots under which a voter said something of one successor. */
struct voter {
    struct ballot promised; /* Or accepted. */
    struct ballot accepted;
    bool has_accepted;
};

static uint64_t mix(uint64_t seed, uint64_t a, uint64_t b)
{
    return checksum_pair(checksum_pair(seed, a), b);
}

static uint64_t base_name(const struct range_epoch *base)
{
    return mix(mix(6, base->range, base->fork), base->nonce, base->epoch);
}

static int ballot_order(const struct ballot *a, const struct ballot *b)
{
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return id_compare(a->node, b->node);
}

static void check_proposed(struct world *world, uint32_t from, const struct message *message)
{
    struct checks *checks = world->checks;
    const struct ballot *ballot = &message->vote.ballot;
    buf_clear(&checks->bytes);
    record_encode(&message->vote.record, &checks->bytes);
    uint64_t name = mix(base_name(&message->vote.range), ballot->number,
                        checksum_pair(ballot->node.hi, ballot->node.lo));
    uint64_t value = checksum64(buf_slice(&checks->bytes), 0) | 1;
    void *known = map_get(&checks->ballots, name);
    if (known == NULL)
        map_put(&checks->ballots, name, (void *)(uintptr_t)value);
    else if ((uint64_t)(uintptr_t)known != value)
        world_violate(world, "BallotOneValue",
                      "%s proposes a second record after epoch %llu of range %u under ballot %llu",
                      world_host_name(from), (unsigned long long)message->vote.range.epoch,
                      message->vote.range.range, (unsigned long long)ballot->number);
}

static void forgot(struct world *world, uint32_t from, const struct message *message,
                   const char *what)
{
    world_violate(world, "VotesKept", "%s votes on what follows epoch %llu of range %u: %s",
                  world_host_name(from), (unsigned long long)message->vote.range.epoch,
                  message->vote.range.range, what);
}

static void check_voted(struct world *world, uint32_t from, const struct message *message)
{
    struct checks *checks = world->checks;
    uint64_t name = mix(base_name(&message->vote.range), 7, from);
    struct voter *voter = map_get(&checks->voters, name);
    const struct ballot *ballot = &message->vote.ballot;
    if (voter == NULL) {
        voter = arena_zero(&checks->arena, sizeof(*voter));
        map_put(&checks->voters, name, voter);
    } else if (ballot_order(ballot, &voter->promised) < 0) {
        forgot(world, from, message, "below a ballot that it promised");
    }
    voter->promised = *ballot;
    if (message->type == MESSAGE_ACCEPTED) {
        voter->accepted = *ballot;
        voter->has_accepted = true;
    } else if (voter->has_accepted &&
               (!message->vote.has_record ||
                ballot_order(&message->vote.accepted, &voter->accepted) < 0)) {
        forgot(world, from, message, "it promises, but not with the record that it accepted");
    }
}

void checks_vote(struct world *world, uint32_t from, const struct message *message)
{
    if (message->vote.range.range >= world->checks->ranges || message->vote.refused)
        return;
    if (message->type == MESSAGE_PROPOSE && message->vote.has_record)
        check_proposed(world, from, message);
    if (message->type == MESSAGE_PROMISE || message->type == MESSAGE_ACCEPTED) {
        checks_voter(world, from, &message->vote.range);
        check_voted(world, from, message);
    }
}
