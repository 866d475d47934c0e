/* HELLO and WELCOME: how a node joins, and how it learns after a start what it missed.
 *
 * A restarted node serves and votes on a range only after a majority of the range's voters, itself
 * included, has welcomed this life of it and it has adopted the newest record they know: one that
 * was away must not answer from an old record. Lost messages are repeated until the WELCOME comes;
 * a repeated WELCOME is taken in again without harm, one of an earlier life is told apart by its
 * nonce. */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include "core/core.h"

struct handshake {
    uint64_t nonce;           /* Of this life. */
    struct node_id *welcomed; /* Owned; who has welcomed this life. */
    uint32_t welcomed_count;
    uint32_t welcomed_capacity;
    const struct member *self; /* Borrowed: what HELLO and WELCOME say of this node. */
    const struct slice *seeds; /* Borrowed. */
    uint32_t seeds_count;
    struct timer timer;
};

void handshake_init(struct handshake *handshake, const struct member *self,
                    const struct slice *seeds, uint32_t seeds_count);
void handshake_done(struct handshake *handshake);
/* Greet all known members, or, while the node has not joined, its seeds. */
void handshake_start(struct handshake *handshake, struct core *core);

/* What a message of the handshake means to the rest of the node. */
enum handshake_news {
    HANDSHAKE_NOTHING,
    HANDSHAKE_MEMBER,   /* The sender's member record (in the message) may be news. */
    HANDSHAKE_JOIN,     /* The message says which cluster this node now belongs to. */
    HANDSHAKE_DISOWNED, /* Who has departed refuses this node: rift.h. */
    HANDSHAKE_WELCOME,  /* As MEMBER, and the message's records are to be taken in, then readiness
                           judged anew. */
};
enum handshake_news handshake_message(struct handshake *handshake, struct core *core,
                                      struct node_id from, const struct message *message);

/* Greet nobody, but answer for core->peer_welcomed: another shard of the node greets, and says whom
 * to note as having welcomed this life. */
void handshake_follow(struct handshake *handshake, struct core *core);
void handshake_note(struct handshake *handshake, struct node_id node);
bool handshake_welcomed(const struct handshake *handshake, struct node_id node);
/* Which ranges may be served and voted on from now on: marks them and signals each. */
void handshake_judge(struct core *core);
/* The same of one, after its record changed. */
void handshake_judge_range(struct core *core, uint32_t range);

#endif
