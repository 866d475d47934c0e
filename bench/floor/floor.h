/* A floor: the least that a replicated store can cost on this machine.
 *
 * One program does nothing but the messages of the work, with bare epoll: no hashing, no look-up,
 * no causality, no checks that a store needs. What kvring costs more than this is what it may be
 * asked for; what this costs, no store of this shape can save.
 *
 *   put, memory:   the coordinator sends each put to two peers and answers when one has replied:
 *                  with itself that is 2 of 3.
 *   put, durable:  the same, but each of the three counts only once its log has it on disk. All
 *                  that came meanwhile goes out as the next write: one O_DSYNC write at a time into
 *                  a file whose blocks are there already.
 *   put, interval: as memory, and each writes its log without waiting; a thread syncs it now and
 *                  then.
 *   get:           the coordinator asks one peer and answers with what it says: 2 of 3.
 *
 * As kvring does, a node gathers all output of a turn of its loop into one system call a
 * connection. Clients speak the least of RESP: SET key value and GET key, whatever it says beyond
 * is not understood and closes the connection; all values that are read are 64 bytes. On one
 * connection there may be puts or gets under way, not both: nothing here puts answers in order. */
#ifndef FLOOR_H
#define FLOOR_H

#include "base/buf.h"

#include <netinet/in.h>
#include <pthread.h>

struct floor;

/* One socket, or one of the two other things that the loop waits for. */
struct conn {
    int fd;
    void (*take)(struct floor *floor, struct conn *conn); /* Bytes came: use up what is whole. */
    struct buf in;
    struct buf out;
    size_t out_sent;
    uint32_t peer; /* 1 or 2 of those that this node dialled. */
    bool dirty;    /* On the list of those with output. */
    bool writable; /* Waits until it can be written to. */
    bool closed;   /* A client that went away: kept, for its requests under way. */
    uint32_t puts; /* Under way. */
    uint32_t gets;
};

enum { PEERS = 2, WINDOW = 1 << 20, CONNS_MAX = 4096 };

/* Requests in the order in which they came. Those who answer keep that order, so of each it is
 * enough to know how far it is. */
struct queue {
    struct conn *clients[WINDOW]; /* Whose request number i is: at i % WINDOW. */
    uint64_t begun;
    uint64_t answered;
    uint64_t replied[1 + PEERS]; /* By this node's log, and by the peers. */
};

enum sync { SYNC_NONE, SYNC_ALWAYS, SYNC_INTERVAL };

/* The log of a node: see log.c. */
struct log {
    enum sync sync;
    int fd;
    int event; /* Readable when a write has ended. */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct buf filling; /* Of the loop: records that no write has taken yet. */
    struct buf writing; /* Of the thread, while busy. */
    bool busy;
    bool done;        /* The thread has ended a write that the loop has not taken note of. */
    uint64_t filled;  /* Records that came, */
    uint64_t handed;  /* were handed to the thread, */
    uint64_t durable; /* are on disk. */
    uint64_t at;      /* Where the next write goes. */
};

/* What waits for the log: a reply to the peer at CONN, or this node's own part (CONN NULL). */
struct held {
    struct conn *conn;
    uint64_t id;
    uint64_t record;
};

struct floor {
    int epoll;
    struct conn *peers[PEERS];
    uint32_t peers_count;
    struct conn *dirty[CONNS_MAX];
    uint32_t dirty_count;
    struct queue puts;
    struct queue gets;
    struct log log;
    struct held held[WINDOW];
    uint64_t held_first;
    uint64_t held_count;
};

/* loop.c: sockets. Whatever fails ends the program with a sentence. */
_Noreturn void fail(const char *what);
void loop_listen(struct floor *floor, const char *address,
                 void (*take)(struct floor *floor, struct conn *conn));
/* Connect to a peer, waiting until it is there. */
struct conn *loop_dial(struct floor *floor, const char *address,
                       void (*take)(struct floor *floor, struct conn *conn));
void loop_watch(struct floor *floor, struct conn *conn);
/* CONN has output: it is sent at the end of this turn. */
void loop_dirty(struct floor *floor, struct conn *conn);
void loop_close(struct conn *conn);
_Noreturn void loop_run(struct floor *floor);

/* work.c: what the messages mean. */
void work_client(struct floor *floor, struct conn *conn);
void work_inlet(struct floor *floor, struct conn *conn);
void work_replies(struct floor *floor, struct conn *conn);
/* The log is further: answer and reply what waited for it. */
void work_durable(struct floor *floor);

/* log.c */
void log_open(struct floor *floor, const char *path, enum sync sync, uint32_t interval_ms);
/* Take in one record; returns its number. */
uint64_t log_append(struct log *log, struct slice bytes);
/* End of a turn: write what came. */
void log_flush(struct floor *floor);

#endif
