/* libkvring: the C client of kvring.
 *
 * A client holds one connection at a time to one of a list of nodes; any node takes any request. It
 * connects when first used, goes to the next node of the list when one cannot be reached, and comes
 * back to life by itself. One client is for one thread at a time; have one for each thread.
 *
 * Two ways to use it:
 *   - one call, one answer: kvr_get, kvr_put, ... return when the answer is there or the deadline
 *     has passed;
 *   - pipelined: kvr_submit_get, kvr_submit_put, kvr_submit_call send without waiting, kvr_next
 *     brings the answers as they come, kvr_fd is for poll(2). Not both at once: while submitted
 *     requests are under way the plain calls answer KVR_BAD_REQUEST.
 *
 * Errors. Every function that can fail returns 0 or one of the negative codes below; after a
 * failure kvr_last_error says what happened and what to do. KVR_TIMEOUT means that the outcome is
 * unknown: a put that may have been sent and whose answer was lost is never silently sent again.
 * With every other code nothing was changed.
 *
 * Lifetime. Bytes in an answer belong to the client and are valid until its next call. They may be
 * handed to that very call (the context of a read to the put that follows it). Bytes handed in are
 * borrowed for the call only. */
#ifndef KVRING_H
#define KVRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVR_PUBLIC __attribute__((visibility("default")))
#define KVR_CHECKED __attribute__((visibility("default"), warn_unused_result))

enum kvr_code {
    KVR_OK = 0,
    KVR_NOT_FOUND = -1,
    KVR_DELETED = -2, /* Deleted or expired. */
    KVR_BAD_REQUEST = -3,
    KVR_UNKNOWN_METHOD = -4,
    KVR_UNAVAILABLE = -5, /* Not enough nodes can be reached. */
    KVR_BUSY = -6,
    KVR_DISK_FULL = -7,
    KVR_NOT_READY = -8, /* The node is starting. */
    KVR_CLOCK_SKEW = -9,
    KVR_UNREADABLE = -10,
    KVR_CONFLICT = -11,
    KVR_TOO_MANY_SIBLINGS = -12,
    KVR_TOO_LARGE = -13,
    KVR_BAD_CONTEXT = -14,
    KVR_NOT_MEMBER = -15,
    KVR_REFUSED = -16,
    KVR_UNKNOWN_BUCKET = -17,
    KVR_INTERNAL = -18,
    KVR_TIMEOUT = -19, /* Outcome unknown. */
    KVR_PARTLY = -20,
    KVR_WRONG_EPOCH = -21,
    KVR_CORRUPT = -22,
    KVR_IO = -23,
};

/* How many replicas must answer: 1..7, or one of these. */
enum { KVR_DEFAULT = 0, KVR_QUORUM = 254, KVR_ALL = 255 };

/* On what a put or delete depends (kvr_options). */
enum kvr_if {
    KVR_IF_ANY = 0,
    KVR_IF_ABSENT,    /* The key has no value. */
    KVR_IF_PRESENT,   /* It has one. */
    KVR_IF_UNCHANGED, /* Nothing is stored that the context does not cover. */
};

/* The most keys or items in one kvr_mget or kvr_mput. */
enum { KVR_BATCH_MAX = 1000 };

/* Borrowed bytes. */
struct kvr_bytes {
    const void *data;
    size_t size;
};

/* What went wrong. */
struct kvr_error {
    int code;
    char word[24];     /* The stable code word: "UNAVAILABLE". */
    char message[400]; /* One sentence of what happened. */
    char advice[200];  /* One sentence of what to do. */
    char node[280];    /* The node it happened at, if known. */
    /* Replicas that had to answer, that did, that the range has and that it should have; 0 where
     * they do not apply. */
    uint32_t needed, got, slots, copies;
};

struct kvr_client;

/* Make a client for NODES, "host:port,host:port" (port 7379 where left out; "[::1]:7379" for
 * IPv6), copied. Does not connect. KVR_BAD_REQUEST with a message in RET_ERROR (which may be NULL)
 * if the list is malformed. Free with kvr_client_free. */
KVR_CHECKED int kvr_client_new(const char *nodes, struct kvr_client **ret_client,
                               struct kvr_error *ret_error);
/* Close the connection and free all. NULL is allowed. */
KVR_PUBLIC void kvr_client_free(struct kvr_client *client);

/* The error of the last call that failed; valid until the next call. Never NULL. */
KVR_PUBLIC const struct kvr_error *kvr_last_error(const struct kvr_client *client);
/* "host:port" of the node that answered last or that the client is connected to; "" before that.
 * Valid until the next call. */
KVR_PUBLIC const char *kvr_node(const struct kvr_client *client);
/* The code word of CODE, and what to do about it. Static strings. */
KVR_PUBLIC const char *kvr_word(int code);
KVR_PUBLIC const char *kvr_advice(int code);

/* How a request is to be carried out. All zero, or NULL for the pointer, is the bucket's way with a
 * deadline of 5 seconds. */
struct kvr_options {
    const char *bucket;   /* NULL: "default". */
    uint32_t deadline_ms; /* 0: 5000; at most 60000. The call returns 0.5 s after it at latest. */
    uint8_t r, w, dw;     /* KVR_DEFAULT, 1..7, KVR_QUORUM, KVR_ALL. */
    bool strict;          /* Count only the nodes that own the key. */
    struct kvr_bytes context; /* put, delete: of the read that it follows; empty: none. */
    const char *type;         /* put: content type; NULL: none. */
    uint64_t ttl_ms;          /* put: 0: the bucket's; UINT64_MAX: never expires. */
    /* put, delete: send again up to so often when the outcome is unknown, to the same node under
     * the same request id, so that it takes effect once. 0: answer KVR_TIMEOUT instead. */
    uint32_t retries;
    /* put, delete: only if that holds, in one step with the write; `held` of the answer says
     * whether it did. Only the reader of the range's lowest slot carries it out, with a quorum, so
     * KVR_UNAVAILABLE is more likely. Not together with `retries`. */
    enum kvr_if only_if;
};

/* One of the values of a key; more than one means that they were written concurrently. */
struct kvr_sibling {
    struct kvr_bytes value;
    struct kvr_bytes type;
    uint64_t hlc;        /* Hybrid-logical timestamp of the version. */
    uint64_t time_ms;    /* Since 1970. */
    uint64_t expires_ms; /* Since 1970; 0: never. */
};

/* The answer to a request, or to one part of a batch or a scan. */
struct kvr_answer {
    int code;                      /* Of a part: 0 or why it failed. */
    const struct kvr_error *error; /* Of a part that failed; else NULL. */
    struct kvr_bytes key;          /* Of a part of a scan. */
    const struct kvr_sibling *siblings;
    size_t siblings_count;
    struct kvr_bytes context; /* Covers all siblings: hand it to the put that replaces them. */
    uint64_t hlc;             /* put, delete: of the new version. */
    uint32_t versions;        /* put, delete: siblings that the key has now. */
    bool held;                /* put, delete with only_if: it was carried out. If not, nothing was
                               * changed; `siblings` and `context` show what is there either way. */
    uint32_t needed, got;     /* Replicas that had to answer, and that did. */
    uint32_t slots, copies;   /* Replicas that the key's range has, and should have. */
    /* Nodes that stand in for owners were counted: other reads may not see it yet, or may see
     * more. Never with `strict`. */
    bool sloppy;
};

/* Read the siblings of a key. KVR_NOT_FOUND, KVR_DELETED, KVR_UNAVAILABLE, KVR_UNREADABLE,
 * KVR_TIMEOUT, KVR_BUSY, ... */
KVR_CHECKED int kvr_get(struct kvr_client *client, struct kvr_bytes key,
                        const struct kvr_options *options, struct kvr_answer *ret_answer);
/* Write a value. Without a context it replaces what it should in a bucket of policy newest or lww,
 * and stands beside the other siblings in one of policy siblings. KVR_TIMEOUT: it may or may not
 * have taken effect, or may still do so. RET_ANSWER may be NULL, here and below. */
KVR_CHECKED int kvr_put(struct kvr_client *client, struct kvr_bytes key, struct kvr_bytes value,
                        const struct kvr_options *options, struct kvr_answer *ret_answer);
/* Delete a key, as put. Deleting a key that does not exist is no error. */
KVR_CHECKED int kvr_delete(struct kvr_client *client, struct kvr_bytes key,
                           const struct kvr_options *options, struct kvr_answer *ret_answer);

/* Read COUNT keys (at most KVR_BATCH_MAX) at once into ANSWERS[COUNT]. 0 means that every part was
 * answered, each with its own code; else no part was. */
KVR_CHECKED int kvr_mget(struct kvr_client *client, const struct kvr_bytes *keys, size_t count,
                         const struct kvr_options *options, struct kvr_answer *answers);

struct kvr_item {
    struct kvr_bytes key;
    struct kvr_bytes value;
    const char *type; /* As in kvr_options, whose own are not used for items. */
    struct kvr_bytes context;
    uint64_t ttl_ms;
};

/* Write COUNT items (at most KVR_BATCH_MAX) at once, each on its own: 0 means that every part was
 * answered, each with its own code. After KVR_TIMEOUT any of them may have taken effect. ANSWERS
 * is not NULL. */
KVR_CHECKED int kvr_mput(struct kvr_client *client, const struct kvr_item *items, size_t count,
                         const struct kvr_options *options, struct kvr_answer *answers);

/* One page of a scan. */
struct kvr_page {
    const struct kvr_answer *items; /* key; with values, siblings and context too. */
    size_t count;
    struct kvr_bytes cursor; /* Hand it to the call for the next page; empty at the end. */
};

/* Up to LIMIT keys (1..10000; 0: 100) of the bucket after CURSOR (empty: from the start), in the
 * order of their hashes. A key that is there during the whole scan is returned once; of keys that
 * come and go meanwhile some are. */
KVR_CHECKED int kvr_scan(struct kvr_client *client, struct kvr_bytes cursor, uint32_t limit,
                         bool values, const struct kvr_options *options, struct kvr_page *ret_page);

/* Any method of docs/protocol.md. PARAMS is one MessagePack map (empty: no parameters), RET_RESULT
 * the MessagePack map of the answer. Of OPTIONS only deadline_ms is used. With REPEATABLE the call
 * may be sent to another node when a connection breaks; say false for what changes something. */
KVR_CHECKED int kvr_call(struct kvr_client *client, const char *method, struct kvr_bytes params,
                         bool repeatable, const struct kvr_options *options,
                         struct kvr_bytes *ret_result);

/* ------------------------------------------------------------------------------ Pipelined. */

/* The most submitted requests under way at one client. */
enum { KVR_DEPTH_MAX = 4096 };

/* A submitted request that has ended. */
struct kvr_completion {
    uint64_t tag; /* As given to submit. */
    int code;     /* 0, or as from the plain call; then `error` says more. */
    const struct kvr_error *error;
    struct kvr_answer answer; /* get, put, delete. */
    struct kvr_bytes result;  /* call. */
};

/* Send a request without waiting for its answer, which kvr_next brings together with TAG. May wait
 * for a connection when there is none. KVR_BUSY: KVR_DEPTH_MAX requests are under way;
 * KVR_UNAVAILABLE: no node can be reached; KVR_BAD_REQUEST, KVR_TOO_LARGE. When it fails there is
 * no completion. Nothing is sent twice: `retries` is not used. */
KVR_CHECKED int kvr_submit_get(struct kvr_client *client, struct kvr_bytes key,
                               const struct kvr_options *options, uint64_t tag);
KVR_CHECKED int kvr_submit_put(struct kvr_client *client, struct kvr_bytes key,
                               struct kvr_bytes value, const struct kvr_options *options,
                               uint64_t tag);
KVR_CHECKED int kvr_submit_delete(struct kvr_client *client, struct kvr_bytes key,
                                  const struct kvr_options *options, uint64_t tag);
KVR_CHECKED int kvr_submit_mput(struct kvr_client *client, const struct kvr_item *items,
                                size_t count, const struct kvr_options *options, uint64_t tag);
KVR_CHECKED int kvr_submit_call(struct kvr_client *client, const char *method,
                                struct kvr_bytes params, const struct kvr_options *options,
                                uint64_t tag);

/* Wait up to TIMEOUT_MS (0: do not wait, below 0: until the next deadline) for one request to end.
 * True and *RET_COMPLETION, whose bytes are valid until the next call; false when none has ended in
 * that time or none is under way. Writes what submit could not. When the connection breaks, each
 * request under way ends: reads and what was not sent as KVR_UNAVAILABLE, the rest as KVR_TIMEOUT.
 */
KVR_CHECKED bool kvr_next(struct kvr_client *client, int timeout_ms,
                          struct kvr_completion *ret_completion);
/* Of a batch submitted with kvr_submit_mput: the parts of the completion that kvr_next returned
 * last, by way of ANSWERS[COUNT] with the COUNT that was submitted. KVR_BAD_REQUEST otherwise. */
KVR_CHECKED int kvr_completion_parts(struct kvr_client *client, struct kvr_answer *answers,
                                     size_t count);
/* Requests under way. */
KVR_PUBLIC size_t kvr_pending(const struct kvr_client *client);
/* The connection's descriptor for poll(2), -1 when there is none, and the events to wait for
 * (POLLIN, POLLOUT). When it is ready, or a deadline is due, call kvr_next with 0 until it returns
 * false. */
KVR_PUBLIC int kvr_fd(const struct kvr_client *client, short *ret_events);

#ifdef __cplusplus
}
#endif

#endif
