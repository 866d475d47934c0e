/* A client connection that speaks RESP: its commands become requests of the core, and the answers
 * become replies in the order of the commands.
 *
 * The commands of a pipeline are under way together, but one that touches a key waits for earlier
 * ones of its connection that touch the same key where either writes: so a pipeline has the effect
 * that it would have one command at a time. Replies that are ready too early are held back, within
 * the bounds of the session's output. */
#ifndef SESSION_RESP_H
#define SESSION_RESP_H

#include "shell/session.h"
#include "wire/resp.h"

enum {
    RESP_KEYS_MAX = 1000, /* Of one command. */
    RESP_CHAINS = 64,
    RESP_NAME_MAX = 64,                      /* Of a connection, a library and its version. */
    RESP_FOUND_MAX = 100000,                 /* Keys in the reply to KEYS, */
    RESP_FOUND_BYTES_MAX = 16 * 1024 * 1024, /* and their bytes. */
};

/* How answers of the core become one reply. */
enum resp_kind {
    RESP_KIND_READY = 0, /* The reply is there. */
    RESP_KIND_VALUE,
    RESP_KIND_VALUES,
    RESP_KIND_STATUS, /* OK once all parts have ended. */
    RESP_KIND_EXISTS, /* How many keys have a value. */
    RESP_KIND_DELETE, /* How many keys had one, after they were deleted. */
    RESP_KIND_LENGTH,
    RESP_KIND_TYPE,
    RESP_KIND_TTL,
    RESP_KIND_PTTL,
    RESP_KIND_EXPIRES,    /* When it expires, in seconds since 1970, */
    RESP_KIND_EXPIRES_MS, /* or in milliseconds. */
    RESP_KIND_PART,       /* A part of the value. */
    RESP_KIND_SIBLINGS,
    RESP_KIND_SCAN,
    RESP_KIND_KEYS,
    RESP_KIND_COUNT, /* How many keys there are. */
    /* Of edits: */
    RESP_KIND_HELD,    /* 1, or 0 where a condition did not hold. */
    RESP_KIND_OK_HELD, /* OK, or nil. */
    RESP_KIND_EARLIER, /* The value that was there before, or nil. */
    RESP_KIND_INTEGER, /* The value, as an integer. */
    RESP_KIND_RESULT,  /* The value. */
    RESP_KIND_SIZE,    /* Its size. */
};

/* A reply in the queue of its session. */
struct resp_reply {
    struct resp_reply *next;
    enum resp_kind kind;
    enum resp_protocol protocol;
    bool ready;
    bool muted;         /* CLIENT REPLY: nobody wants to see it. */
    int64_t from, to;   /* PART: bytes, counted from the end where below 0. */
    uint32_t left;      /* Parts that have not ended. */
    uint32_t count;     /* Parts in all. */
    int64_t number;     /* What is counted. */
    struct buf bytes;   /* Owned. The reply, or its parts as they came. */
    size_t held;        /* Of `bytes`, in resp->held. */
    struct buf error;   /* Owned. Of the first part that failed. */
    struct buf pattern; /* Owned. SCAN, KEYS: MATCH. */
    bool match, none;   /* SCAN: there is a pattern; a TYPE that no key has. */
    struct resp_part {
        size_t at, size;
    } * parts; /* Owned. VALUES: where they are in `bytes`. */
};

/* Owned by a session in state SESSION_RESP. */
struct resp_session {
    struct resp_scan scan;
    enum resp_protocol protocol;
    uint32_t db;
    char bucket[BUCKET_SIZE_MAX + 1];
    char name[RESP_NAME_MAX + 1];
    char library[RESP_NAME_MAX + 1];
    char version[RESP_NAME_MAX + 1];
    bool silent;                       /* CLIENT REPLY OFF. */
    bool skip;                         /* CLIENT REPLY SKIP: the next command has no reply. */
    bool muted;                        /* The command that is being run has none. */
    struct resp_reply *first, *newest; /* Queue of replies that were not sent yet. */
    uint32_t replies;
    size_t held;                      /* Bytes of replies that wait for earlier ones. */
    struct call *chains[RESP_CHAINS]; /* Calls under way, by the hash of their keys. */
};

/* The session speaks RESP from here on. */
void resp_begin(struct session *session);
void resp_free(struct session *session);
/* May no more commands be taken for now? */
bool resp_overfull(const struct session *session);

/* What came of taking a command. */
enum resp_taken {
    RESP_TAKEN,
    RESP_WAITS,   /* For more bytes. */
    RESP_BLOCKED, /* For earlier commands. */
    RESP_REFUSED, /* The session reads no more. */
};

/* Take the command at the start of BYTES, of which RET_SIZE are then used. */
enum resp_taken resp_take(struct session *session, struct slice bytes, size_t *ret_size);

/* Where to write a reply that is ready; resp_replied follows. */
struct buf *resp_reply_now(struct session *session);
void resp_replied(struct session *session);
/* Queue an error reply. */
void resp_fail(struct session *session, const char *word, const char *text);

/* Queue a reply whose COUNT parts come from the core. NULL (and BUSY was queued) where there is no
 * room for so many. */
struct resp_reply *resp_reply_begin(struct session *session, enum resp_kind kind, uint32_t count);
/* Send one part into the core. */
void resp_reply_part(struct session *session, struct resp_reply *reply, uint32_t part,
                     const struct request *request);
/* All parts were sent; those that need no request count as ended. */
void resp_reply_sent(struct session *session, struct resp_reply *reply);

/* Where REPLY is written: at the head of the queue straight to the connection. */
struct buf *resp_reply_room(struct session *session, struct resp_reply *reply);
/* The bytes of REPLY that wait have changed. */
void resp_reply_held(struct session *session, struct resp_reply *reply);
/* One more part of REPLY has ended; it may be gone now. */
void resp_part_ended(struct session *session, struct resp_reply *reply);

/* resp_answers.c: ANSWER to CALL, which is part of a reply. True: the call goes on (calls_turn). */
bool resp_answer(struct clients *clients, struct call *call, const struct answer *answer);

#endif
