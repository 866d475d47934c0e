/* A range whose majority is lost for good: what its record is to be once an administrator accepts
 * that (docs/protocol.md, "Accepting a loss").
 *
 * Pure data. A fork follows no record by a vote: nobody is left who could cast it. It has a higher
 * fork number than the record it is made from, so it beats that one and whatever followed it; of
 * two forks with one number the lower nonce wins, and the nodes of the other one hand over what
 * they have (core/transfer_cleanup.c). */
#ifndef FORK_H
#define FORK_H

#include "data/member.h"
#include "data/ring.h"

/* Who never comes back. */
struct lost_nodes {
    const struct member_table *members; /* Borrowed: those of it that have departed, */
    struct node_id also;                /* and one that is about to; NODE_NONE: nobody. */
};

/* A fork's epochs are a block of their own, which its nonce picks: an epoch alone, in an answer or
 * a log, names the record, though the order of records does not rest on it. */
enum { FORK_EPOCH_BITS = 20 };

bool lost_nodes_have(const struct lost_nodes *lost, struct node_id node);

/* Can no majority of RECORD's voters ever be had again, because too many of them are lost? Whoever
 * is merely down may come back, and counts. */
bool fork_needed(const struct range_record *record, const struct lost_nodes *lost);
/* Full copies of RECORD's range that survive. */
uint32_t fork_survivors(const struct range_record *record, const struct lost_nodes *lost);
/* The fork of RECORD under NONCE (not 0). Slots whose copy survives stay, with their numbers, all
 * STABLE; the others go, to be added anew. Whoever else has some of the data becomes a former
 * member, and hands it over. Where no full copy survives, whoever has a part of one becomes the
 * owner, else HEIR, who begins with nothing. */
void fork_make(const struct range_record *record, const struct lost_nodes *lost, uint64_t nonce,
               struct node_id heir, struct range_record *ret_fork);

#endif
