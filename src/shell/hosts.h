/* The shards of a node beside the first: their threads, and what they and the first have with each
 * other that is no message of the core.
 *
 * Each shard is a struct host with a loop of its own. The first one's is the process: it listens,
 * gets signals, serves HTTP and the cluster methods, and ends last. A client's connection goes to
 * the shards in turn, and to the first for good when it asks something about the cluster; one of a
 * peer goes to the shard that its prelude names. Once a second, and when the first asks for it, a
 * shard sends it a view of itself. */
#ifndef HOSTS_H
#define HOSTS_H

#include "shell/host.h"

struct hosts;

/* HOSTS are all shards, the first one first; borrowed. Call before host_init of any. */
struct hosts *hosts_new(struct host *hosts, uint32_t count);
/* Begin to run all but the first, which are initialised. False: a thread could not be had. */
bool hosts_run(struct hosts *all);
/* End those, and wait until they have. */
void hosts_join(struct hosts *all);
/* After host_done of all. */
void hosts_free(struct hosts *all);
uint32_t hosts_count(const struct hosts *all);
/* Its share of what the node may have; all of it where it is alone. */
uint32_t hosts_share(const struct host *host, uint32_t of_node);

/* For a host, on its thread. Open its end of the lanes, and set the hooks that lead to others. */
void hosts_open(struct host *host);
void hosts_close(struct host *host);
bool hosts_hand(struct host *host, uint32_t shard, struct node_id from, bool owed,
                struct slice payload);
/* End of a turn. */
void hosts_flush(struct host *host);
/* Once a second. */
void hosts_second(struct host *host);

/* Of the first: have the others stop, */
void hosts_stop(struct host *first);
/* and have they? */
bool hosts_stopped(const struct host *first);
/* Their views, NULL where none has come yet; all are fresh once hosts_look has called DONE, which
 * may be before it returns. */
struct view *const *hosts_views(const struct host *first, uint32_t *ret_count);
const struct lanes_counters *hosts_counters(const struct host *host);
/* Do all of them answer? */
bool hosts_answer(const struct host *first, uint64_t now_us);
/* Another one, not the first: it has stopped, or cannot go on. */
void hosts_tell_stopped(struct host *host);
void hosts_halt(struct host *host, int error, struct slice what);
/* The end of a STORE_VERIFY for the first one. */
void hosts_verified(struct host *host, const struct store_done *done);
/* What a reload changed. */
void hosts_reload(struct host *first, const struct clients_options *options);

#endif
