/* The host of one node: one loop that turns what libuv reports into steps of the engine.
 *
 * A turn of the loop: input is read and stepped; then, before the loop sleeps again, sessions that
 * may go on do, all records go to the log in one write, and what was gathered for each connection
 * leaves in one write. Phases only go forward:
 *
 *   STARTING   the generation is on its way to the disk; nobody is listened to
 *   SERVING
 *   DRAINING   told to stop: requests under way end, the peers know
 *   STOPPING   the store writes its checkpoint
 *   CLOSING    handles are being closed, the loop ends */
#ifndef HOST_H
#define HOST_H

#include "shell/clients.h"
#include "shell/config.h"
#include "shell/http.h"
#include "shell/lanes.h"
#include "shell/peers.h"
#include "shell/view.h"

enum host_phase { HOST_STARTING = 0, HOST_SERVING, HOST_DRAINING, HOST_STOPPING, HOST_CLOSING };

/* Tokens of the host's own store operations; verify.c numbers its own below. */
#define HOST_TOKEN_NAMES (UINT64_C(1) << 55)
/* The drain command's number; calls are numbered far below. */
#define HOST_CLIENT_DRAIN ((UINT64_C(1) << CLIENT_BITS) - 1)

/* Bound sockets, -1 for none, and the addresses they have. */
struct host_listeners {
    int peer_fd, client_fd, http_fd;
    char peer[ADDRESS_SIZE_MAX + 1]; /* As advertised. */
    char client[ADDRESS_SIZE_MAX + 1];
    char http[ADDRESS_SIZE_MAX + 1]; /* Empty for none. */
};

struct host {
    uv_loop_t loop;
    struct config *config; /* Borrowed; log level and format follow a reload. */
    int arguments_count;   /* Of the command line, to read the file again. */
    char *const *arguments;
    struct host_listeners listeners;
    struct disk *disk;      /* Borrowed. Of the first of its stores; the others' follow. */
    struct store *store;    /* Borrowed. The same. */
    struct storage storage; /* All of its stores. */
    struct conns conns;
    struct engine engine;
    struct peers peers;
    struct clients clients;
    struct metrics metrics;
    struct mailbox *mailbox;
    struct http *http; /* Owned; NULL when off. */
    uv_prepare_t prepare;
    uv_idle_t idle; /* Active while there is more to do without waiting. */
    uv_timer_t timer;
    uv_timer_t second;
    uv_timer_t drain;
    uv_poll_t disk_events[STORES_MAX];
    uv_signal_t signals[3];
    uint64_t armed_us; /* When `timer` fires; 0: it does not. */
    enum host_phase phase;
    enum node_state state; /* As last logged. */
    bool stop_asked;
    bool drained;
    bool halted; /* By an effect or a failed store. */
    int exit_code;
    uint64_t started_us;
    uint64_t started_wall_ms;
    uint64_t waiting_since_us; /* For a seed; moves on with each line in the log. */
    /* One of several shards (hosts.h). The first has all that a node has once. */
    uint32_t shard;
    struct host *first;
    struct hosts *hosts; /* The first one's; NULL: there is one. */
    bool told_stopped;   /* The first has heard that this one's stores have stopped. */
};

/* Set the engine up for the callbacks of struct store_options: host_store_options fills these in.
 */
void host_store_options(struct host *host, struct store_options *options);
/* Where several shards are, hosts_new comes first. Found the node and all handles over an opened
 * store. 0, or the error of node_new. */
int host_init(struct host *host, const struct node_options *options) CHECK_RESULT;
/* Run until stopped; returns the exit code. */
int host_run(struct host *host);
/* After host_run, or a failed host_init. Does not close store and disk. */
void host_done(struct host *host);

/* What the mailbox's questions are answered with (host_answers.c). */
bool host_answer(void *arg, struct question *question);
void host_describe(void *arg, struct admin *ret_admin);
/* This node's figures, once a second. */
void host_set_load(struct host *host);
/* Signals (host_stop.c): drain, then stop; reload. */
void host_ask_stop(struct host *host);
void host_on_signal(uv_signal_t *handle, int number);
/* End of a turn: go on with what stopping needs. */
void host_advance(struct host *host);
void host_halt(struct host *host, int error, struct slice what);
void host_on_drained(struct host *host, const struct answer *answer);
/* Write the checkpoint, and end: this shard. */
void host_begin_stop(struct host *host);
/* This shard's figures, as metrics show them, but for what is the node's. */
void host_figures(const struct host *host, struct exposition *figures);

#endif
