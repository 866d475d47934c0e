/* Which message answers which, and what of it has to fit. */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "core/message.h"

static inline enum message_type answer_to(enum message_type type, uint32_t way)
{
    switch (type) {
    case MESSAGE_HELLO:
        return MESSAGE_WELCOME;
    case MESSAGE_SYN:
        return MESSAGE_ACK;
    case MESSAGE_ACK:
        return MESSAGE_ACK2;
    case MESSAGE_OFFER:
        return way == 0 ? MESSAGE_REJECT : MESSAGE_ACCEPT;
    case MESSAGE_PREPARE:
        return MESSAGE_PROMISE;
    case MESSAGE_PROPOSE:
        return MESSAGE_ACCEPTED;
    case MESSAGE_CHOSEN:
        return MESSAGE_INSTALLED;
    case MESSAGE_CHUNK_ACK:
        return MESSAGE_CHUNK;
    case MESSAGE_CHUNK:
        return way == 0 ? MESSAGE_COMPLETE : MESSAGE_CHUNK_ACK;
    case MESSAGE_FORWARD:
        return MESSAGE_ANSWER;
    case MESSAGE_WRITE:
    case MESSAGE_READ:
    case MESSAGE_SCAN:
    case MESSAGE_HINT:
        return MESSAGE_REPLY;
    case MESSAGE_COMPARE:
        return way == 0 ? MESSAGE_COMPARE : MESSAGE_LEAVES;
    case MESSAGE_LEAVES:
        return MESSAGE_OBJECTS;
    default:
        return type;
    }
}

/* What belongs together with the question, so that the answer counts. */
static inline void match(struct message *answer, const struct message *asked, uint32_t way)
{
    switch (answer->type) {
    case MESSAGE_REPLY:
        if (asked->type == MESSAGE_SCAN) {
            answer->reply.id = asked->scan.id;
            answer->reply.range = asked->scan.range;
        } else {
            answer->reply.id = asked->write.id;
            answer->reply.range = asked->write.range;
            answer->reply.slot = asked->write.slot;
        }
        answer->reply.record.range = answer->reply.range.range;
        answer->reply.error = way < 3 ? 0 : answer->reply.error;
        break;
    case MESSAGE_ANSWER:
        answer->answer.id = asked->forward.id;
        break;
    case MESSAGE_WELCOME:
        answer->welcome.nonce = asked->hello.nonce;
        if (way > 0) { /* Nothing that it should know and does not. */
            answer->welcome.generation_seen = 0;
            answer->welcome.position_seen = 0;
        }
        break;
    case MESSAGE_ACCEPT:
    case MESSAGE_REJECT:
        answer->offer.transfer = asked->offer.transfer;
        answer->offer.range = asked->offer.range;
        answer->offer.slot = asked->offer.slot;
        break;
    case MESSAGE_PROMISE:
    case MESSAGE_ACCEPTED:
    case MESSAGE_INSTALLED:
        answer->vote.range = asked->vote.range;
        answer->vote.ballot = asked->vote.ballot;
        answer->vote.record.range = asked->vote.range.range;
        answer->vote.refused = way == 3;
        break;
    case MESSAGE_CHUNK:
        answer->chunk.transfer = asked->chunk.transfer;
        answer->chunk.range = asked->chunk.range;
        answer->chunk.sequence = asked->chunk.sequence + (way > 0);
        break;
    case MESSAGE_CHUNK_ACK:
    case MESSAGE_COMPLETE:
        answer->chunk.transfer = asked->chunk.transfer;
        answer->chunk.range = asked->chunk.range;
        break;
    case MESSAGE_ROOTS:
        answer->roots.id = asked->roots.id;
        break;
    case MESSAGE_COMPARE:
    case MESSAGE_LEAVES:
    case MESSAGE_OBJECTS:
        answer->compare.range = asked->compare.range;
        if (way > 1)
            *answer = *asked; /* It differs by what it says, which is drawn below the same nodes. */
        break;
    default:
        break;
    }
}

#endif
