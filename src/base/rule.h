/* Rules that a test build can take away one at a time, to prove that the simulator would notice
 * (docs/testing.md, "Mutations").
 *
 * A rule is named after what it guards and stands where the code under test obeys it:
 * `if (RULE(FENCE_BEFORE_STABLE) && !fenced(...))`. In the product every RULE is the constant true
 * and costs nothing; in kvsim-mutate it is true unless that rule was switched off. */
#ifndef RULE_H
#define RULE_H

#include "base/base.h"

/* What each keeps from happening is said in docs/testing.md. */
#define RULES(X)                                                                                   \
    X(FENCE_BEFORE_STABLE)                                                                         \
    X(BACK_FENCED)                                                                                 \
    X(K_FENCES)                                                                                    \
    X(FENCE_BEFORE_REBUILD)                                                                        \
    X(SNAPSHOT_AFTER_REBUILD)                                                                      \
    X(REBUILD_SOURCES)                                                                             \
    X(REBUILD_UNREADABLE)                                                                          \
    X(COMPLETE_BEFORE_CUT)                                                                         \
    X(FILLED_BEFORE_COUNTED)                                                                       \
    X(LEARN_SOURCES)                                                                               \
    X(LEARN_GIVES_WAY)                                                                             \
    X(SNAPSHOT_AFTER_JOINT)                                                                        \
    X(TARGET_WELCOMED)                                                                             \
    X(CHUNK_HAS_ID)                                                                                \
    X(COMPLETE_HAS_ID)                                                                             \
    X(CHUNKS_SYNCED)                                                                               \
    X(INBOUND_BOUNDED)                                                                             \
    X(LEAVING_TAKES_NOTHING)                                                                       \
    X(CLEANUP_HANDS_OVER)                                                                          \
    X(HANDED_SYNCED)                                                                               \
    X(DEPARTED_NOT_HEARD)                                                                          \
    X(CLEANUP_ONE_EPOCH)                                                                           \
    X(CLEANUP_UNCHANGED)                                                                           \
    X(DROP_ENDS_ITS_OWN)                                                                           \
    X(FORKS_HANDED_OVER)                                                                           \
    X(FORKS_OF_NEWEST)                                                                             \
    X(FORKS_BY_NONCE)                                                                              \
    X(QUORUM_GROWS)                                                                                \
    X(PROMISES_RISE)                                                                               \
    X(PROMISE_KEPT)                                                                                \
    X(ACCEPTED_VALUE_WINS)                                                                         \
    X(VOTES_SYNCED)                                                                                \
    X(BALLOT_ABOVE_LIVES)                                                                          \
    X(BALLOT_ZERO_FRESH)                                                                           \
    X(BALLOT_ZERO_IS_DRIVERS)                                                                      \
    X(INSTALLED_SYNCED)                                                                            \
    X(VOTES_RESUMED)                                                                               \
    X(RECORDS_RISE)                                                                                \
    X(READY_BY_MAJORITY)                                                                           \
    X(READERS_WERE_FILLED)                                                                         \
    X(SOLE_VOTER_ASKS)                                                                             \
    X(POSITION_REMEMBERED)                                                                         \
    X(BOTH_WRITERS_ACK)                                                                            \
    X(ACKS_OF_ONE_EPOCH)                                                                           \
    X(NEEDED_NOW)                                                                                  \
    X(READS_OF_ONE_EPOCH)                                                                          \
    X(OLD_EPOCHS_REFUSED)                                                                          \
    X(REPLICA_ACKS_SYNCED)                                                                         \
    X(COORD_COUNTS_SYNCED)                                                                         \
    X(MERGED_OBJECT_SENT)                                                                          \
    X(FORWARD_ONCE)                                                                                \
    X(RETRY_ONCE)                                                                                  \
    X(REVIVED_STORED)                                                                              \
    X(HOPS_BOUNDED)                                                                                \
    X(REWRITE_WHEN_LATER)                                                                          \
    X(REWRITE_RENAMES)                                                                             \
    X(REWRITE_NOT_OVERTAKEN)                                                                       \
    X(REWRITE_KEEPS_NAME)                                                                          \
    X(OVERTAKER_AWAITED)                                                                           \
    X(EDIT_AT_LOWEST)                                                                              \
    X(EDIT_READS_QUORUM)                                                                           \
    X(EDIT_IN_ONE_STEP)                                                                            \
    X(EDIT_OF_ONE_EPOCH)                                                                           \
    X(EDIT_WRITES_WHAT_IT_SAW)                                                                     \
    X(EDIT_STAMP_KNOWN)                                                                            \
    X(TENURE_AS_READER)                                                                            \
    X(TENURE_AFTER_UNCLEAN)                                                                        \
    X(TENURE_AFTER_DAMAGE)                                                                         \
    X(HEALED_BY_K)                                                                                 \
    X(HEALED_COLLECTS)                                                                             \
    X(BAD_NOT_SERVED)                                                                              \
    X(HOLE_NOTICED)                                                                                \
    X(HOLE_HIDES)                                                                                  \
    X(HOLE_ENDS_SCANS)                                                                             \
    X(HOLE_BY_K)                                                                                   \
    X(HOLE_MARKED)                                                                                 \
    X(HOLE_SUMS)                                                                                   \
    X(WHOLE_WHEN_FILLED)                                                                           \
    X(HOLE_STAYS_WIDE)                                                                             \
    X(HOLE_KEEPS_FROZEN)                                                                           \
    X(DAMAGE_RESTS)                                                                                \
    X(DAMAGE_MARKED)                                                                               \
    X(GENERATION_SYNCED)                                                                           \
    X(DEPARTED_STAY_AWAY)                                                                          \
    X(DOTS_RISE)                                                                                   \
    X(HLC_ABOVE_LOCAL)                                                                             \
    X(HLC_ABOVE_CONTEXT)                                                                           \
    X(BLIND_SIBLINGS_STAND)                                                                        \
    X(COVERED_GO)                                                                                  \
    X(LWW_KEEPS_ONE)                                                                               \
    X(LWW_KEEPS_LATEST)                                                                            \
    X(STRICT_COUNTS_NO_FALLBACK)                                                                   \
    X(ONE_NODE_COUNTS_ONCE)                                                                        \
    X(ONLY_HOLDERS_COUNT)                                                                          \
    X(HINT_ACKS_SYNCED)                                                                            \
    X(HINTS_AFTER_WELCOME)                                                                         \
    X(FALLBACK_KNOWS_RECORD)                                                                       \
    X(HINT_TO_ALL_WRITERS)                                                                         \
    X(HINT_SAME_OBJECT)                                                                            \
    X(HINT_TENURE_RENEWED)                                                                         \
    X(HINTS_LEAVE_FIRST)                                                                           \
    X(HINTS_BOUNDED)                                                                               \
    X(LOG_WRITES_SYNCED)                                                                           \
    X(LOG_BEFORE_ENGINE)                                                                           \
    X(LEAVES_AS_OF_FREEZE)                                                                         \
    X(REPLAY_ONCE)                                                                                 \
    X(DROP_LOGGED)                                                                                 \
    X(DROP_HIDES_ENGINE)                                                                           \
    X(GROUPS_WHOLE)                                                                                \
    X(RECORD_CHECKSUM)                                                                             \
    X(STORE_REFUSES_OLD)                                                                           \
    X(HORIZON_FLOORS)                                                                              \
    X(FLOOR_KEPT)                                                                                  \
    X(FLOOR_TAKES_NOTHING)                                                                         \
    X(HORIZON_STABLE)                                                                              \
    X(HORIZON_PROVED)                                                                              \
    X(HORIZON_PROVED_TWICE)                                                                        \
    X(HORIZON_HELD_BY_ALL)                                                                         \
    X(HORIZON_SYNCED)                                                                              \
    X(HORIZON_ONE_LIFE)                                                                            \
    X(FORGOTTEN_REFUSED)                                                                           \
    X(HORIZON_FIRST_ASKED)                                                                         \
    X(HORIZON_OVER_CLOCK)                                                                          \
    X(HORIZON_TRAVELS)                                                                             \
    X(HORIZON_KEEPS_AWAY)                                                                          \
    X(COLLECTS_DEAD_ONLY)                                                                          \
    X(COLLECTS_HIDDEN)                                                                             \
    X(COLLECTED_THERE_GO)                                                                          \
    X(COLD_KEEPS_ORDER)                                                                            \
    X(COLD_MAKES_NOTHING_LATE)

enum rule {
    RULE_NONE = 0,
#define RULE_MEMBER(name) RULE_##name,
    RULES(RULE_MEMBER)
#undef RULE_MEMBER
        RULE_COUNT
};

#ifdef KVRING_MUTATIONS
extern enum rule rule_off; /* RULE_NONE: all hold. */
#define RULE(name) (rule_off != RULE_##name)
#else
#define RULE(name) (RULE_##name != RULE_NONE)
#endif

const char *rule_name(enum rule rule);
/* False for an unknown name. */
bool rule_find(const char *name, enum rule *ret_rule);
/* The rule that is switched off; RULE_NONE in the product. */
enum rule rule_switched_off(void);

#endif
