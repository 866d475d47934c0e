/* What one shard has for another: messages that came to the wrong one, and the node's own. */
#include "base/error.h"
#include "core/route.h"
#include "shell/engine.h"
#include "wire/frame.h"
#include "wire/peer.h"

enum { LARGE_READ = 4096 /* Bytes. */ };

static struct answer busy(const struct engine *engine, const char *detail)
{
    return (struct answer){.error = ERR_BUSY,
                           .detail = slice_string(detail),
                           .copies = node_core(engine->node)->cluster.copies,
                           .coordinator = engine->self};
}

/* A request that finds no room in the mailbox of the shard that is to run it. */
static void refuse_handed(struct engine *engine, uint64_t client)
{
    const struct answer answer =
        busy(engine, "too many requests wait for another thread of this node");
    engine->hooks.reply(engine->hooks.arg, client_number(client), &answer);
}

/* An answer is owed to whoever asked, but for what is read where too much of that waits already. */
static bool is_owed(const struct message *message)
{
    bool large = message->type == MESSAGE_ANSWERED && (message->answer.id & CLIENT_READS) != 0 &&
                 message->answer.answer.object.size > LARGE_READ;
    return (message->type == MESSAGE_ANSWERED && !large) || message->type == MESSAGE_NEWS;
}

/* False: it does not fit into a frame, or there is no room. */
static bool hand(struct engine *engine, uint32_t shard, const struct message *message)
{
    struct buf *frame = &engine->scratch;
    buf_clear(frame);
    if (message_encode(message, frame) < 0)
        return false;
    return engine->hooks.hand(
        engine->hooks.arg, shard, engine->self, is_owed(message),
        slice_of(frame->data + FRAME_HEADER_SIZE, frame->size - FRAME_HEADER_SIZE));
}

static void refuse_answered(struct engine *engine, uint32_t shard, uint64_t client)
{
    struct message message = {.type = MESSAGE_ANSWERED};
    message.answer.id = client;
    message.answer.answer = busy(engine, "too many bytes of earlier answers wait to be read");
    ASSERT(hand(engine, shard, &message));
}

bool engine_hand_own(struct engine *engine, const struct effect *effect)
{
    const struct message *message = effect->send.message;
    uint32_t bits = node_core(engine->node)->ring.bits;
    uint32_t shard = message_is_inside(message->type)
                         ? effect->send.shard
                         : (uint32_t)__builtin_ctz(route_message(message, bits, engine->shards));
    if (shard == engine->shard)
        return false;
    if (!hand(engine, shard, message)) {
        engine->messages_dropped++;
        if (message->type == MESSAGE_HANDED)
            refuse_handed(engine, message->forward.id);
        else if (message->type == MESSAGE_ANSWERED)
            refuse_answered(engine, shard, message->answer.id);
    }
    return true;
}

void engine_receive(struct engine *engine, struct node_id from, const struct message *message,
                    struct slice payload)
{
    uint32_t mask = 1u << engine->shard;
    if (engine->shards > 1)
        mask = route_message(message, node_core(engine->node)->ring.bits, engine->shards);
    for (uint32_t shard = 0; shard < engine->shards && mask != 1u << engine->shard; shard++)
        if (mask >> shard & 1 && shard != engine->shard &&
            !engine->hooks.hand(engine->hooks.arg, shard, from, false, payload))
            engine->messages_dropped++;
    const struct event event = {
        .type = EVENT_MESSAGE,
        .message = {.from = from, .message = message},
    };
    if (mask >> engine->shard & 1)
        engine_step(engine, &event);
}
