/* One register per range: who owns its slots is a chain of records, each chosen by a majority of
 * the voters of the one before (protocol.md, "Who owns a slot"). Single-decree Paxos per (range,
 * epoch): Lamport, "Paxos Made Simple", 2001, section 2; ballot 0 of the driver skips phase 1, as a
 * single owner's first ballot may.
 *
 * A crash forgets only what no message has told: promises, accepted values and installed records
 * are synced before the message that speaks of them leaves. A lost message is sent again at the
 * retry interval while the proposal is open; a repeated one is answered again. */
#ifndef REGISTER_H
#define REGISTER_H

#include "base/map.h"
#include "core/core.h"

struct registers {
    struct map boxes;    /* range + 1 -> struct ballot_box: votes under way. Owned. */
    struct map pendings; /* token value -> struct pending: waits for durability. Owned. */
    uint64_t pendings_next;
    uint64_t tenures_next; /* Within this generation. */
};

void registers_init(struct registers *registers);
void registers_done(struct registers *registers, struct core *core);

/* Take in what recovery found under META_RECORD or META_VOTE of a range. 0 or ERR_CORRUPT.
 * Tenures below TENURE_FLOOR are of a life that ended uncleanly: they are replaced by the floor. */
int registers_restore(struct registers *registers, struct core *core, enum meta_kind kind,
                      uint32_t range, struct slice value, uint64_t tenure_floor) CHECK_RESULT;

/* Install record 1 of every range, with self as the only slot. */
void registers_found(struct registers *registers, struct core *core);

/* The ring has a newer record of RANGE: install it if it concerns this node. */
void registers_adopt(struct registers *registers, struct core *core, uint32_t range);

/* Have RECORD chosen as the successor of what is installed here. Returns false when a proposal for
 * the range is under way already. What is chosen in the end may be another's: SIGNAL_RECORD tells.
 */
bool registers_propose(struct registers *registers, struct core *core,
                       const struct range_record *record);

/* This node may vote on RANGE, for the first time in this life. A successor that it accepted in an
 * earlier one, and that nobody else may know of, is proposed once more: who drove it may have died
 * with it, and what the proposal rested on (that a lost node had installed a record) nobody can
 * find out again. Any voter may do so: under a ballot of its own it learns first what others
 * accepted. */
void registers_resume(struct registers *registers, struct core *core, uint32_t range);

void registers_message(struct registers *registers, struct core *core, struct node_id from,
                       const struct message *message);
void registers_durable(struct registers *registers, struct core *core, uint64_t token);

/* Tell MEMBER of the installed record of RANGE again; it answers INSTALLED. */
void registers_remind(struct core *core, uint32_t range, struct node_id member);

#endif
