/* What a client asks for and what it is told: the same structs on the client port, in the core, and
 * between an entry node and the coordinator it hands a request to. */
#ifndef REQUEST_H
#define REQUEST_H

#include "data/object.h"
#include "data/ring.h"

/* EDIT is the one that is atomic: see coord_atomic.c. */
enum method { METHOD_GET = 1, METHOD_PUT, METHOD_DELETE, METHOD_SCAN, METHOD_EDIT };

/* r, w, dw: 0 the bucket's default, 1..SLOTS_MAX a number, or one of these. */
enum { CONSISTENCY_DEFAULT = 0, CONSISTENCY_QUORUM = 254, CONSISTENCY_ALL = 255 };

struct request {
    enum method method;
    struct slice bucket;
    struct slice key;     /* SCAN: start after this position, see cursor. */
    struct slice value;   /* PUT; EDIT: the operand. */
    struct slice type;    /* PUT, EDIT_PUT: content type */
    struct slice context; /* PUT, DELETE: of an earlier read; empty: blind. EDIT: for
                           * EDIT_IF_UNCHANGED. */
    uint8_t r;
    uint8_t w;
    uint8_t dw;
    bool strict;
    uint64_t ttl_ms;      /* PUT, EDIT: 0 the bucket's default; UINT64_MAX none. */
    uint32_t deadline_ms; /* From arrival; 0 the default of 5,000. */
    uint64_t client;      /* With sequence: names a request for retries; 0 none. */
    uint64_t sequence;
    uint32_t limit; /* SCAN: at most this many keys, 1..10,000. */
    uint64_t
        cursor; /* SCAN: first hash to look at; keys of that hash up to `key` are passed over. */
    struct edit edit; /* EDIT. `client` and `sequence` are 0: a retry is a new edit. */
};

static inline bool request_writes(const struct request *request)
{
    return request->method == METHOD_PUT || request->method == METHOD_DELETE ||
           request->method == METHOD_EDIT;
}

/* One key of a scan. */
struct entry {
    uint64_t hash;
    struct slice bucket;
    struct slice key;
    struct slice object;
};

struct answer {
    int error;           /* 0 or ERR_* */
    struct slice detail; /* One sentence of what happened; empty with 0. */
    uint8_t needed;      /* Acknowledgements or answers that the request asked for. */
    uint8_t got;
    uint8_t slots;  /* The slots that the range has: "stored on got of copies". */
    uint8_t copies; /* n of the cluster. */
    bool sloppy;    /* Without fallbacks it would have been fewer than `needed`. */
    uint32_t range;
    uint64_t epoch;
    struct node_id coordinator;
    uint32_t drops;        /* Of the bucket, to read the object with. */
    uint64_t hlc;          /* Now, to read the object with. */
    struct slice object;   /* GET: merged object. PUT, DELETE, EDIT: the object afterwards. */
    uint8_t outcome;       /* EDIT: enum edit_outcome. */
    struct slice earlier;  /* EDIT: the object before, where it asked for that. */
    struct entry *entries; /* SCAN */
    uint32_t entries_count;
    bool more; /* SCAN: go on from (cursor, last key of that hash). */
    uint64_t cursor;
    struct slice cursor_key;
};

#endif
