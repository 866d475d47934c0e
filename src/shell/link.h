/* The way to one peer: a connection that this node dials when it has something to say.
 *
 * Messages go out over the connection that their sender dialled and come in over those that others
 * dialled (peers.h), so no two nodes ever have to agree on which of two connections stays. A link
 * is dialled on demand, backs off after a failure, and forgets what waited in it when it breaks:
 * messages may be lost, the core repeats them. */
#ifndef LINK_H
#define LINK_H

#include "shell/address.h"
#include "shell/conn.h"
#include "shell/logger.h"
#include "wire/frame.h"

enum {
    LINK_OUTPUT_MAX = 64 * 1024 * 1024,
    LINK_CONNECT_MS = 3000,
    LINK_SILENT_MS = 10000, /* Unacknowledged data breaks a connection. */
    LINK_BACKOFF_MS_MIN = 50,
    LINK_BACKOFF_MS_MAX = 1000,
};

enum link_state {
    LINK_IDLE = 0,
    LINK_DIALLING, /* Resolving or connecting: messages gather. */
    LINK_OPEN,
    LINK_BACKOFF, /* Messages are dropped until `retry_us`. */
};

struct peers;
struct dial;

struct link {
    struct peers *peers;
    struct node_id id;                  /* None: a seed that has not said who it is. */
    char address[ADDRESS_SIZE_MAX + 1]; /* host:port it was last told to use. */
    enum link_state state;
    bool self;         /* The address turned out to be this node's own. */
    struct dial *dial; /* Owned until it is closing: the connection of DIALLING and OPEN. */
    uint64_t retry_us;
    uint32_t failures; /* In a row. */
    struct logger_limit complaints;
    struct link *next; /* In peers->links. */
};

/* Where to dial from now on; no-op for none. */
void link_set_address(struct link *link, struct slice address);
/* An output buffer to append one frame to, or NULL when it must be dropped; then link_sent. ADDRESS
 * is where to dial if that is needed; empty: as it was last told. */
struct buf *link_output(struct link *link, struct slice address);
void link_sent(struct link *link);
/* The peer is known to live: dial again without waiting. */
void link_revive(struct link *link);
/* Give up dialling that takes too long. */
void link_check(struct link *link, uint64_t now_us);
/* Close its connection, without news of it. */
void link_close(struct link *link);

#endif
