/* Invariants of the protocol, watched from outside: from the messages that nodes send and from what
 * they ask of their stores and hear back. The client's side of the promises is in ledger.h.
 *
 * Each holds under every fault that a world can have (options.h) unless said otherwise:
 *
 *   OneSuccessor        a (range, fork, nonce, epoch) is one record, whoever speaks of it as chosen
 *   BallotOneValue      a ballot proposes one record
 *   VotesKept           a voter goes below no ballot that it promised, and gives back the record
 *                       that it accepted
 *   EpochMonotonic      what a node installs of a range never falls, restarts included
 *   FollowsRules        a record follows its predecessor as the stage table says
 *   DistinctSlots       readers and writers of different slots are different nodes
 *   FenceBeforeStable   who gives up a slot, or K others, installed its last record durably first
 *   KFenceBeforeRebuild K others installed FENCE durably before the slot is rebuilt or gone
 *   RebuiltFromEnough   s/2 + 1 others sent all they have before a rebuilt slot is read
 *   SnapshotAfterJoint, SnapshotAfterRebuild
 *                       a source reads its copy only once the transfer's record is on its disk
 *   KeyInOrder          operations on a key complete in the order in which a store was given them
 *   NoOldEpochInstall   no data of an older epoch enters a log after the install of a newer one
 *   ReadImpliesComplete who becomes reader of a slot, or starts again as one, holds all that the
 *                       slot ever acknowledged; of a slot that was rebuilt, and of a key that was
 *                       healed, what a quorum had acknowledged before
 *   OnlyReadersVote     who votes reads a slot, which nobody does in LEARN, FENCE and REBUILD
 *   AmnesiacSilent      a node whose disk is older than what it had said neither votes nor serves,
 *                       nor keeps hints, nor counts as filled by who knows; until it is told, it
 *                       may take writes beside the reader of a slot that moves
 *   OneEpochCount       the answer to a put, or a get, rests on answers of one epoch
 *   QuorumCounts        a write that asked for a quorum was acknowledged by one of the epoch that
 *                       its answer names, unless the answer is what an earlier try had come to
 *   TransferIdMatch     who says that it has so much of a transfer was sent so much of it
 *   NoOwnershipByDetector
 *                       a slot sets out only for where an operator's plan has it go
 *   ForkByCommand       a range is forked only where operators gave up so many nodes that no
 *                       majority of a record is left, and from whom that record had
 *   NoDotTwice          (range, dot) names one version
 *   ActorHoldsItsPast   who makes a version of an actor holds, or saw overwritten, its earlier ones
 *   StampsRise          a version is stamped later than all that it follows
 *   CleanupSafe         who drops a range is no member of what it installed, and no reader or
 *                       owner in the newest chosen record; it has handed all of it over under one
 *                       record, to a reader that has it, synced before that said so; and who says
 *                       that its copy is gone has none
 *   HorizonSafe         what is collected is dead at or below a horizon that was taken on, and no
 *                       reader has a version left that it covers; nobody makes a version at or
 *                       below a horizon that anybody took, nor makes one, or takes in a new one,
 *                       at or below a floor that it promised
 *   GenerationFresh     a generation is spoken of in one life of a process only
 *   DropStays           what was deleted for good is not there again after a restart
 *   ScuttlebuttPrefix   a version of a member's record is one record, and no process goes back to
 *                       an older one
 *   MemoryBound         no more requests are in flight at a node than it allows
 *   TreeEqualsData      the hash tree equals one made from the data, after each restart and at the
 *                       end
 *   PolicyFromVersionOnly
 *                       what the replicas have at the end merges to the same bytes in any order
 *   DeparturesForever   who knows of a departure never has that member again; and no slot is given
 *                       to a node that has said that it leaves
 *   HopBound            a request is handed on at most HOPS_MAX times
 *   PacketBound         gossip fits its bound
 *   ReservationBound    at most INBOUND_MAX transfers come in to a node at a time */
#ifndef SIM_CHECKS_H
#define SIM_CHECKS_H

#include "sim/world.h"

struct checks *checks_new(struct world *world);
void checks_free(struct checks *checks);

/* FROM sends MESSAGE of SIZE encoded bytes to TO. */
void checks_message(struct world *world, uint32_t from, uint32_t to, const struct message *message,
                    size_t size);
void checks_store_op(struct world *world, uint32_t host, const struct store_op *op);
void checks_store_done(struct world *world, uint32_t host, const struct store_done *done);
/* By the log of one of its shards. */
void checks_durable(struct world *world, uint32_t host, uint32_t shard, uint64_t synced);
/* After each step of the node and its effects. */
void checks_step(struct world *world, uint32_t host);
/* HOST has recovered: its node is made, its store open. */
void checks_start(struct world *world, uint32_t host);
void checks_crash(struct world *world, uint32_t host);
void checks_halt(struct world *world, uint32_t host, int error);
/* A client was told what a get found, or that its write, this version, is stored. */
void checks_answered(struct world *world, const struct answer *answer, enum method method,
                     bool strict, struct slice bucket, struct slice key, struct dot dot);

/* The answer to a write that asked for a quorum, and was asked for once. */
void checks_quorum(struct world *world, const struct answer *answer);

/* Was the version collected, or covered by one that was? Then nobody needs to have it. No dot: was
 * any of the key? */
bool checks_gone(const struct world *world, uint32_t range, uint64_t key_hash, struct dot dot);
/* Is the version DOT in OBJECT, which is all that was found of the key, or what overwrote it? Or
 * was it overwritten, because its first self had been seen, by a version of which the same is true,
 * or which was collected: that one may have been overwritten in turn by one that knows nothing of
 * DOT (docs/decisions/0032-who-overwrites-need-not-stay.md). */
bool checks_covered(const struct world *world, uint32_t range, uint64_t key_hash,
                    const struct object *object, struct dot dot);
/* Is the version DOT in OBJECT left over though it was overwritten so, by one that is not there any
 * more? */
bool checks_left_over(const struct world *world, uint32_t range, uint64_t key_hash,
                      const struct object *object, struct dot dot);
/* Was one with the value of put NUMBER? */
bool checks_gone_value(const struct world *world, uint32_t range, uint64_t key_hash,
                       uint32_t number);
/* Was it covered by one that was collected before the event BEGUN? Then nobody may have it. */
bool checks_returns(const struct world *world, uint32_t range, uint64_t key_hash, struct dot dot,
                    uint64_t begun);

/* Is there a version of RANGE that a quorum of slots acknowledged, and that was HOST alone? */
bool checks_only_copy(const struct world *world, uint32_t host, uint32_t range);
/* HOST has found out that it lost what it had of the key of HASH in RANGE. */
void checks_key_lost(struct world *world, uint32_t host, uint32_t range, uint64_t hash);
/* And reads it again: has it everything? */
void checks_key_healed(struct world *world, uint32_t host, uint32_t range);

/* HOST is about to handle MESSAGE; what it does until checks_handled is its answer to it. */
void checks_handling(struct world *world, uint32_t host, uint32_t from,
                     const struct message *message);
void checks_handled(struct world *world, uint32_t host);

/* The newest record known to be chosen, NULL if none is. */
const struct range_record *checks_newest(const struct world *world, uint32_t range);
/* The records that were proposed to follow it; RET_RECORDS lives until the next one is. Each of
 * them may be chosen yet, whoever dies: a voter may have accepted it. */
uint32_t checks_proposed(const struct world *world, uint32_t range,
                         const struct range_record **ret_records);

#endif
