/* A host: one machine with a disk, a clock and at times a process, which runs one node over one
 * store just as the shell does, or several shards of one, each over a store and a disk of its own.
 * Carries out the effects of the core in an order drawn anew for each world, takes completions in
 * turn through a queue, and can be killed between any two effects. */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include "sim/world.h"
#include "store/store.h"

struct host;

enum { HOST_REQUESTS_MAX = 64 };

enum host_state {
    HOST_DOWN = 0, /* No process. */
    HOST_UP,
    HOST_PAUSED, /* Stopped like by SIGSTOP: its clock and its disk go on. */
};

struct host *host_new(struct world *world, uint32_t index);
void host_free(struct host *host);

/* Start the process: recover the store, make the node. No-op unless it is down and not retired. */
void host_start(struct host *host);
/* Kill it; with POWER what was not synced is lost too, and the last write may be torn. */
void host_crash(struct host *host, bool power);
void host_pause(struct host *host);
void host_resume(struct host *host);
/* Its disk takes FACTOR times as long. */
void host_slow_disk(struct host *host, uint64_t factor);
/* Let others fill its disk up to LEFT bytes; UINT64_MAX: it has room without end again. */
void host_fill_disk(struct host *host, uint64_t left);
/* How little room a store calls full. */
uint64_t host_reserve(const struct world *world);
int64_t host_skew_ms(const struct host *host);
void host_set_skew(struct host *host, int64_t skew_ms);
/* How far the clock of host INDEX may be off. Plainly wrong is one in eight: others leave the
 * cluster meanwhile, and what half of the clocks that are left say is beyond any median. */
int64_t host_skew_ms_max(const struct world *world, uint32_t index);
/* Tell the node that its connection to another host broke. */
void host_lose_peer(struct host *host, uint32_t other);

/* A frame has arrived from a host, on the connection of its shard SHARD. */
void host_receive(struct host *host, uint32_t from, uint32_t shard, struct slice frame);

/* A request or command of somebody outside, who embeds this. DONE is called once: with the answer,
 * or with NULL when the process died before it answered. */
struct host_call {
    void (*done)(struct world *world, struct host_call *call, const struct answer *answer);
    uint64_t id; /* The host's; 0 while none is open. */
    uint32_t host;
};
/* False, and DONE is never called: there is no process. */
bool host_request(struct host *host, struct host_call *call, const struct request *request);
bool host_command(struct host *host, struct host_call *call, const struct command *command);
/* Do not call DONE any more. */
void host_forget(struct host *host, struct host_call *call);

/* A store operation of the checkers: DONE is called when it completes, unless the process dies. */
struct host_probe {
    void (*done)(struct world *world, struct host_probe *probe, const struct store_done *result);
    uint64_t id;
};
bool host_probe(struct host *host, struct host_probe *probe, const struct store_op *op);

uint32_t host_index(const struct host *host);
struct node_id host_id(const struct host *host);
enum host_state host_state(const struct host *host);
/* How often it was started. */
uint32_t host_lives(const struct host *host);
/* Halted by the core (departed, refused): stays down. */
bool host_retired(const struct host *host);
/* Its disk was taken from it: it never comes back. */
void host_lose_disk(struct host *host);
/* Copy the disk as it is now, as a backup does; the copy before is forgotten. */
void host_back_up(struct host *host);
bool host_backed_up(const struct host *host);
/* Bit rot: a bit of one record of its database flips, both drawn: of its value, or IN_KEY. RET_WAS
 * is the key that the record had, RET_IS what it is now. False if the record drawn is not whole. */
bool host_rot(struct host *host, bool in_key, struct buf *ret_was, struct buf *ret_is);
/* The same of the value of the record whose key has HASH. False if none is whole. */
bool host_rot_record(struct host *host, uint64_t hash, struct buf *ret_was);
/* Has the record of KEY not been written anew since? */
bool host_rotten(const struct host *host, struct slice key);
/* Does its store, which runs, not know what it has under KEY of its database? */
bool host_lost(const struct host *host, struct slice key);
/* While it is down: the copy takes the place of the disk. */
void host_restore(struct host *host);
/* Has it run on a restored disk since? */
bool host_restored(const struct host *host);
/* NULL while it is down: its first shard, */
const struct node *host_node(const struct host *host);
/* and the one that runs RANGE; its store. */
const struct node *host_node_of(const struct host *host, uint32_t range);
const struct store *host_store_of(const struct host *host, uint32_t range);
/* How far its logs go, what is on its way to the disk included; 0 while it is down. */
uint64_t host_position(const struct host *host);
/* Is on its disk all that its stores took in? Of one that is down nothing is on its way there. */
bool host_synced(const struct host *host);
uint32_t host_shards(const struct host *host);
/* Shard number SHARD; NULL while it is down. */
const struct node *host_shard(const struct host *host, uint32_t shard);
struct moment host_now(const struct host *host);

#endif
