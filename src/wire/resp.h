/* RESP, the protocol of Redis clients (https://redis.io/docs/reference/protocol-spec/), bounded.
 *
 * Commands come as arrays of bulk strings or as one line (inline). As with MessagePack (mp.h) a
 * scan says of a growing stream whether its first command is whole and within limits; only then is
 * it cut into words, so that no declared count or length ever allocates anything. What is malformed
 * is refused with Redis' own sentence.
 *
 * Replies are written as RESP2, or as RESP3 for a client that asked for it with HELLO 3. */
#ifndef RESP_H
#define RESP_H

#include "base/arena.h"
#include "base/buf.h"

enum {
    RESP_INLINE_MAX = 64 * 1024, /* Bytes of an inline command, or of a line with a length. */
    RESP_WORDS_MAX = 64 * 1024,  /* Words of a command. */
    RESP_BULK_MAX = 16 * 1024 * 1024,
    RESP_COMMAND_MAX = 24 * 1024 * 1024,
};

/* Where a scan stands. Zeroed is a start. */
struct resp_scan {
    size_t at;     /* Bytes found good; the size of the command when it is whole. */
    size_t looked; /* Bytes in which the end of a line was looked for in vain. */
    bool multibulk;
    uint32_t left; /* Words still to come. */
    bool in_bulk;
    size_t bulk;    /* Size of the word that is coming, once its length is known. */
    char error[80]; /* With ERR_CORRUPT: Redis' sentence, without `ERR`. */
};

/* Go on scanning. BYTES starts with the command's first byte and holds what came so far. 0 with
 * RET_MORE 0: scan->at bytes are one whole command. 0 with RET_MORE above 0: at least so many bytes
 * are still to come. ERR_CORRUPT: see scan->error; the stream cannot be followed any further. */
int resp_scan(struct resp_scan *scan, struct slice bytes, size_t *ret_more) CHECK_RESULT;

/* Words of a command. They borrow from what was decoded, or from the arena. */
struct resp_command {
    struct slice *words; /* In the arena. */
    uint32_t count;      /* 0: an empty line or array, to be passed over without a reply. */
};

/* Cut COMMAND, of which resp_scan approved, into words. 0; ERR_CORRUPT for an inline command with
 * unbalanced quotes. */
int resp_decode(struct slice command, struct arena *arena,
                struct resp_command *ret_command) CHECK_RESULT;

/* A whole decimal number of 64 bits, nothing before or after it. */
bool resp_number(struct slice word, int64_t *ret_number);
/* The same word but for upper and lower case? */
bool resp_is(struct slice word, const char *text);
/* Does TEXT match the glob PATTERN (`*`, `?`, `[a-c^]`, `\`)? Costs at most the product of their
 * sizes, whatever the pattern. */
bool resp_match(struct slice pattern, struct slice text, bool ignore_case);

/* ------------------------------------------------------------------------------ Replies. */

enum resp_protocol { RESP2 = 2, RESP3 = 3 };

void resp_status(const char *text, struct buf *out);
/* `-WORD text`: control characters, which would end the line, become spaces. */
void resp_error(const char *word, struct slice text, struct buf *out);
void resp_integer(int64_t number, struct buf *out);
void resp_bulk(struct slice bytes, struct buf *out);
void resp_text(const char *text, struct buf *out);
void resp_null(enum resp_protocol protocol, struct buf *out);
void resp_null_array(enum resp_protocol protocol, struct buf *out);
void resp_array(uint32_t count, struct buf *out);
/* COUNT pairs follow. */
void resp_map(uint32_t count, enum resp_protocol protocol, struct buf *out);
/* Text for people. */
void resp_verbatim(struct slice text, enum resp_protocol protocol, struct buf *out);

#endif
