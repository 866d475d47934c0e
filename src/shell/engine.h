/* The engine: node and store of the core, and the queue between them.
 *
 * What happens outside becomes an event and a step; the step's effects are carried out at once,
 * and what they cause inside (store completions, messages to self, news of durability) is queued
 * and stepped in turn until nothing is left, without recursion. So whatever an outside event
 * points to need only live until engine_step returns.
 *
 * One thread. Hooks are called from within a step and must not step; they may post. */
#ifndef ENGINE_H
#define ENGINE_H

#include "core/node.h"
#include "shell/storage.h"

struct engine_hooks {
    /* TO may be none (then ADDRESS is not empty). MESSAGE is valid during the call. */
    void (*send)(void *arg, struct node_id to, struct slice address, const struct message *message);
    void (*reply)(void *arg, uint64_t client, const struct answer *answer);
    /* The end of an operation that engine_submit started. */
    void (*done)(void *arg, const struct store_done *done);
    void (*halt)(void *arg, int error, struct slice detail);
    /* A message from node FROM (this one, too), encoded in PAYLOAD, is another shard's. False:
     * there is no room for one that is not OWED. NULL in a node of one shard. */
    bool (*hand)(void *arg, uint32_t shard, struct node_id from, bool owed, struct slice payload);
    void *arg;
};

struct engine_batch;
struct engine_task;

struct engine {
    struct node *node;       /* Owned. */
    struct store *store;     /* Borrowed. */
    struct storage *storage; /* Borrowed: the host's to set at first, where the shard has several
                              * stores; NULL: `store` is all. */
    struct node_id self;
    uint32_t shard;  /* Which one this is, */
    uint32_t shards; /* of so many of the node. */
    struct engine_hooks hooks;
    struct moment now;         /* As of the last engine_tick. */
    uint64_t turn_began_us;    /* First tick of the turn; the host sets it back to 0. */
    struct engine_task *tasks; /* Owned ring of tasks_capacity, a power of two. */
    uint32_t tasks_first;
    uint32_t tasks_count;
    uint32_t tasks_capacity;
    struct engine_batch *spares; /* Owned. */
    uint32_t spares_count;
    bool durable_queued; /* A task for `written` and `synced` is in the queue. */
    uint64_t written;
    uint64_t synced;
    struct buf scratch;        /* Owned. */
    uint64_t messages_dropped; /* To self, too large for a frame, or for a full mailbox. */
    bool ranges_set;           /* The store knows the ring's size. */
    bool stopped;              /* After engine_stop. */
    bool busy;
};

/* Both clocks, now. */
struct moment engine_clock(void);

/* Found the node and carry out its first effects. STORE must call engine_done and engine_durable
 * with ENGINE as its argument. OPTIONS as for node_new, whose errors are returned. */
int engine_init(struct engine *engine, const struct node_options *options, struct store *store,
                const struct engine_hooks *hooks) CHECK_RESULT;
void engine_free(struct engine *engine);
/* The callbacks of struct store_options; ARG is the engine. */
void engine_done(void *arg, const struct store_done *done);
void engine_durable(void *arg, uint64_t written, uint64_t synced);
void engine_damaged(void *arg, const struct store_damage *damage);

/* Read the clocks: once for all that one system call brought. */
void engine_tick(struct engine *engine);
/* Step and carry out everything that follows. Not from within a hook. */
void engine_step(struct engine *engine, const struct event *event);
/* Step MESSAGE, which came from FROM in PAYLOAD, or hand it to the shard that it is for. */
void engine_receive(struct engine *engine, struct node_id from, const struct message *message,
                    struct slice payload);
/* KEY of BUCKET will be read or written soon: bring it nearer, in two steps (store_expect). Returns
 * its hash, for the second one. */
uint64_t engine_expect(const struct engine *engine, struct slice bucket, struct slice key);
void engine_expect_next(const struct engine *engine, uint64_t hash);
/* Step what another shard has handed over; PAYLOAD is as it gave it to its hook. */
void engine_take(struct engine *engine, struct node_id from, struct slice payload);
/* Queue the news that what was sent to PEER may be lost. From anywhere. */
void engine_peer_lost(struct engine *engine, struct node_id peer);
/* For message_decode. */
uint32_t engine_ranges_max(const struct engine *engine);
/* An operation of the host's own: token below 2^56. Its end comes by the `done` hook, perhaps
 * before this returns. */
void engine_submit(struct engine *engine, const struct store_op *op);

/* Take in what the disk has finished, and let the store pace its checkpoint. */
void engine_poll(struct engine *engine);
/* End of a turn: queued tasks are stepped and all records go to the log in one write. */
void engine_flush(struct engine *engine);
/* Are tasks queued? */
static inline bool engine_pending(const struct engine *engine)
{
    return engine->tasks_count > 0;
}
/* When engine_timer wants to be called next; UINT64_MAX for never. */
uint64_t engine_wake_us(const struct engine *engine);
void engine_timer(struct engine *engine);

/* Mark the node as cleanly stopped; from here on only the store's news is stepped. */
void engine_stop(struct engine *engine);

/* engine_hand.c, for engine.c: true if what this node sends to itself is another shard's, which has
 * got it. */
bool engine_hand_own(struct engine *engine, const struct effect *effect);

#endif
