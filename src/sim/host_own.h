/* What the files of a host share, and nobody else includes.
 *
 *   host.c           its life: start, crash, pause, and its clock
 *   host_queue.c     what waits to be taken by the node, and taking it
 *   host_effects.c   carrying out what the node wants done
 *   host_shards.c    several shards, and the mailboxes between them */
#ifndef SIM_HOST_OWN_H
#define SIM_HOST_OWN_H

#include "sim/host.h"
#include "store/disk_mem.h"

/* Completion tokens of the checkers' own store operations; no machine of the core has this byte. */
enum { OWNER_PROBE = 0xfe };

enum item_type {
    ITEM_MESSAGE,
    ITEM_INSIDE, /* A message out of a mailbox. */
    ITEM_REQUEST,
    ITEM_COMMAND,
    ITEM_STORE,
    ITEM_DURABLE,
    ITEM_LOST,
    ITEM_DAMAGED
};

/* What waits to be taken by the node; all its memory lies in the queue's arena. */
struct item {
    enum item_type type;
    struct item *next;
    uint32_t from;   /* MESSAGE, INSIDE, LOST */
    uint64_t client; /* REQUEST, COMMAND */
    union {
        struct slice frame; /* MESSAGE, INSIDE */
        struct request request;
        struct command command;
        struct store_done done; /* STORE */
        struct {
            uint64_t written, synced;
        } durable;
        struct store_damage damage; /* DAMAGED */
    };
};

/* Work of the disk that completes a while later, one queue of the disk each. */
struct disk_event_timer {
    struct world_event event;
    struct host *host;
    enum disk_mem_queue queue;
};

struct host_timer {
    struct world_event event;
    struct host *host;
};

/* A message on its way from one shard of a host to another. */
struct mail;

/* A shard of a machine. What the machine has once, its first shard has: whether it runs, its clock,
 * its calls, whether its disks are slow or full. */
struct host {
    struct world *world;           /* Borrowed. */
    struct host *machine;          /* The first shard. */
    struct host *each[SHARDS_MAX]; /* The first one's: all of them; owned but for itself. */
    uint32_t shard;
    uint32_t shards;                 /* How many, of the first. */
    struct mail *mails;              /* The first one's: all that are under way. Owned. */
    uint64_t mail_us[SHARDS_MAX];    /* When the last to each other shard comes, */
    uint32_t mail_count[SHARDS_MAX]; /* and how many are under way. */
    uint32_t index;
    struct node_id id;
    char address[8];
    enum host_state state;
    uint32_t lives;
    bool retired;
    bool restored;
    bool founder;
    uint64_t clock_us; /* The monotonic clock began so far from the world's. */
    int64_t skew_ms;
    uint64_t slowness; /* Factor of the disk. */
    bool full;         /* The disk has hardly any room. */

    struct disk *disk;          /* Owned. */
    struct disk *backup;        /* Owned; NULL before the first. */
    struct store *store;        /* Owned while up. */
    struct node *node;          /* Owned while up. */
    enum node_state node_state; /* As last traced. */
    bool ranges_set;
    bool died; /* The process is to die as soon as the present effect is carried out. */
    bool died_power;
    uint64_t steps;

    struct item *first, **last; /* Queue, in `memory`. */
    struct arena memory;
    struct arena decoded; /* The message being taken. */
    struct effects effects;
    struct buf frame;

    struct host_call *calls[64]; /* Open, in no order. */
    uint32_t calls_count;
    struct host_probe *probes[512];
    uint32_t probes_count;
    uint64_t next_id;

    struct host_timer wake, flush, pump;
    bool flush_due;
    struct disk_event_timer disk_timers[DISK_MEM_QUEUES];
};

/* host_queue.c */
/* The caller fills in what an item of TYPE has. */
struct item *host_enqueue(struct host *host, enum item_type type);
void host_queue_clear(struct host *host);
/* Take all that waits, until the process dies of it. */
void host_pump(struct host *host);
void host_pump_later(struct host *host);
void host_flush_later(struct host *host);
struct host_call *host_call_close(struct host *host, uint64_t id);
void host_on_done(void *arg, const struct store_done *done);
void host_on_durable(void *arg, uint64_t written, uint64_t synced);
void host_on_failed(void *arg, const char *text);
void host_on_damaged(void *arg, const struct store_damage *damage);
void host_on_disk(struct world *world, struct world_event *event);
void host_on_flush(struct world *world, struct world_event *event);
void host_on_pump(struct world *world, struct world_event *event);
void host_on_wake(struct world *world, struct world_event *event);

/* host_shards.c */
void host_make_shards(struct host *host);
static inline struct host *host_shard_of(const struct host *host, uint32_t range)
{
    uint32_t bits = host->world->options.range_bits;
    return host->machine->each[shard_of_range(range, bits, host->machine->shards)];
}
/* Have another shard take a message that came from host FROM. False if the mailbox is full and it
 * may be lost or refused. */
bool host_mail(struct host *host, uint32_t shard, uint32_t from, enum message_type type,
               struct slice frame);
/* A message of this node to itself: true if another shard is to take it. */
bool host_mail_own(struct host *host, const struct effect *effect);
/* What came from another node, decoded: hand it to the shards it is for; true if this is one. */
bool host_mail_on(struct host *host, const struct item *item, const struct message *message);
void host_mails_clear(struct host *machine);
/* As the checkers see it: tokens of all shards of a host are different ones, as coordinators'
 * and those of hints are by themselves. */
static inline uint64_t host_token(const struct host *host, uint64_t token)
{
    bool own = token_owner(token) == OWNER_COORD || token_owner(token) == OWNER_HINTS;
    return own ? token : token ^ (uint64_t)host->shard << 52;
}

/* host_effects.c */
void host_step(struct host *host, const struct event *event);
void host_carry_out(struct host *host);
void host_set_ranges(struct host *host);

#endif
