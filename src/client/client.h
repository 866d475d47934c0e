/* Inside libkvring: one client, its connection, its requests. The outside is kvring/kvring.h. */
#ifndef CLIENT_H
#define CLIENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "kvring/kvring.h"
#include "wire/mp.h"

enum {
    DEADLINE_MS = 5000,
    DEADLINE_MS_MAX = 60000,
    GRACE_MS = 500,        /* For an answer on its way when the deadline has passed at the node. */
    CONNECT_MS_MAX = 3000, /* Before the next node is tried. */
    RECONNECT_MS = 50,     /* Between attempts to come back to the same node. */
    QUEUED_MAX = 32 << 20, /* Bytes submitted and not yet sent. */
    ANSWER_MAX = 1 << 30,  /* Bytes of one answer. */
    ELEMENTS_MAX = 16 << 20, /* Values in one answer. */
    NODES_MAX = 64,
};

/* One node of the list. */
struct address {
    char host[256];
    char port[8];
    char text[272]; /* As in messages: host:port. */
};

/* A stream of requests to a node and of answers from it. Zeroed but for fd -1 is closed. */
struct connection {
    int fd;
    struct buf out; /* Queued requests; bytes before out_at are sent. */
    size_t out_at;
    uint64_t out_queued; /* Bytes ever queued on this connection, */
    uint64_t out_sent;   /* and of these handed to the kernel. */
    struct buf in;       /* Received; bytes before in_at are dealt with. */
    size_t in_at;
    struct mp_scan scan; /* Of the value at in_at. */
    size_t value_size;   /* Of the value handed out last, released by the next call. */
};

/* What a request was, to understand its answer. */
enum kind { KIND_GET = 1, KIND_WRITE, KIND_BATCH, KIND_SCAN, KIND_CALL };

/* An encoded request: parts that change from one attempt to the next are at fixed places. */
struct request {
    struct buf bytes; /* Owned. */
    enum kind kind;
    bool repeatable;    /* May be sent again though it may have been received. */
    size_t deadline_at; /* Where its four bytes are; 0: it has none. */
    uint32_t deadline_ms;
    uint32_t parts; /* Of a batch. */
};

/* A submitted request that has not ended. */
struct pending {
    bool used;
    enum kind kind;
    bool repeatable;
    uint32_t generation; /* Tells a late answer to an earlier user of this entry. */
    uint32_t parts;
    uint64_t tag;
    uint64_t sent_at; /* out_queued behind its last byte: it is out once out_sent is there. */
    uint64_t deadline_us;
};

struct kvr_client {
    struct address *nodes; /* Owned. */
    size_t nodes_count;
    size_t node; /* The present one, or the next one to try. */
    struct connection connection;
    struct request request; /* Being built or carried out. */
    struct arena arena;     /* Of what the last answer was taken apart into. */
    struct kvr_error error;
    uint64_t id; /* Random: names this client in request ids. */
    uint64_t sequence;
    uint32_t sync_id; /* Of the last plain call. */
    /* Pipelined requests. */
    struct pending *pending; /* Owned; KVR_DEPTH_MAX, or NULL before the first. */
    uint16_t *unused;        /* Owned; entries of pending that are free. */
    uint32_t unused_count;
    uint32_t pending_count;
    uint64_t deadline_us; /* Not later than the earliest deadline of pending ones. */
    bool broken;          /* The connection is gone; what is pending ends. */
    struct kvr_error broken_error;
    struct slice result; /* Of the completion handed out last. */
    uint32_t result_parts;
};

uint64_t client_now_us(void);

/* ---------------------------------------------------------------------------- errors.c */

/* Note CODE and a message as the client's last error; returns CODE. */
int client_fail(struct kvr_client *client, int code, const char *format, ...) PRINTF_LIKE(3, 4);
void error_set(struct kvr_error *error, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* Note that the present node does not answer as it should, MESSAGE being why. */
int client_fail_node(struct kvr_client *client, int code, const char *message);

/* ------------------------------------------------------------------------ connection.c */

/* Parse "host:port,host:port" into an owned array. 0 or ERR_BAD_REQUEST with ERROR set. */
int addresses_parse(const char *list, struct address **ret_nodes, size_t *ret_count,
                    struct kvr_error *error) CHECK_RESULT;
/* 0, a system error number or, below 0, one of getaddrinfo. Blocks for the name look-up and at most
 * TIMEOUT_MS for the rest. */
int connection_open(struct connection *connection, const struct address *address,
                    uint64_t timeout_ms) CHECK_RESULT;
/* What went wrong there; TEXT may be used for it. */
const char *connection_open_text(int error, char *text, size_t size);
void connection_close(struct connection *connection);
void connection_done(struct connection *connection);
void connection_queue(struct connection *connection, struct slice bytes);
/* Has the node closed a connection on which nothing is under way? */
bool connection_stale(struct connection *connection);
/* Wait until it can be read or, if something is queued, written, and do that. 0 (also when
 * TIMEOUT_MS passed) or a system error number; the end of the stream is ECONNRESET. */
int connection_move(struct connection *connection, int timeout_ms) CHECK_RESULT;
/* Send what the kernel takes without waiting. 0 or a system error number. */
int connection_flush(struct connection *connection) CHECK_RESULT;
/* 1 and the next whole value received, valid until the next call; 0: none is there yet; a negative
 * error code: what comes is no MessagePack, or too much. */
int connection_value(struct connection *connection, struct slice *ret_value) CHECK_RESULT;

/* --------------------------------------------------------------------------- encode.c */

/* Each builds client->request. 0, or a negative code with the client's error set. */
int encode_get(struct kvr_client *client, struct kvr_bytes key,
               const struct kvr_options *options) CHECK_RESULT;
int encode_write(struct kvr_client *client, bool delete, struct kvr_bytes key,
                 struct kvr_bytes value, const struct kvr_options *options) CHECK_RESULT;
int encode_mget(struct kvr_client *client, const struct kvr_bytes *keys, size_t count,
                const struct kvr_options *options) CHECK_RESULT;
int encode_mput(struct kvr_client *client, const struct kvr_item *items, size_t count,
                const struct kvr_options *options) CHECK_RESULT;
int encode_scan(struct kvr_client *client, struct kvr_bytes cursor, uint32_t limit, bool values,
                const struct kvr_options *options) CHECK_RESULT;
int encode_call(struct kvr_client *client, const char *method, struct kvr_bytes params,
                bool repeatable, const struct kvr_options *options) CHECK_RESULT;
/* Set what differs between attempts. */
void request_stamp(struct request *request, uint32_t id, uint32_t deadline_ms);

/* --------------------------------------------------------------------------- decode.c */

/* One answer [1, id, error, result] taken apart; slices borrow from it. */
struct response {
    uint32_t id;
    bool failed;
    struct slice error;
    struct slice result;
};

/* 0, or ERR_CORRUPT. */
int response_decode(struct slice bytes, struct response *ret_response) CHECK_RESULT;
/* Fill RET_ERROR from an error map; its code. */
int error_decode(struct slice bytes, struct kvr_error *ret_error);
/* The result of a get, put or delete. 0, or ERR_CORRUPT. What ARENA holds is part of the answer. */
int answer_decode(struct slice bytes, struct arena *arena,
                  struct kvr_answer *ret_answer) CHECK_RESULT;
/* The result of a batch of COUNT parts. 0, or ERR_CORRUPT. */
int parts_decode(struct slice bytes, struct arena *arena, struct kvr_answer *answers,
                 size_t count) CHECK_RESULT;
int page_decode(struct slice bytes, struct arena *arena, struct kvr_page *ret_page) CHECK_RESULT;

/* --------------------------------------------------------------------------- client.c */

/* Make sure that there is a connection, going through the nodes from the present one on; at most
 * *LEFT of them, which is counted down. 0, or ERR_UNAVAILABLE with the client's error set. */
int client_connect(struct kvr_client *client, size_t *left, uint64_t deadline_us) CHECK_RESULT;
/* Close the connection and let the next one go to the next node. */
void client_leave_node(struct kvr_client *client);

#endif
