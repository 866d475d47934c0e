/* MessagePack, as the client port speaks it, to JSON and back.
 *
 * To JSON: binary and strings become strings where they are UTF-8, else {"base64": "..."}; unsigned
 * numbers above 2^63-1 become decimal strings. To MessagePack: strings become strings, {"base64":
 * "..."} binary, the rest is one to one; reals are sent as they are. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "base/buf.h"

#include <jansson.h>

/* The value of BYTES, owned by the caller; NULL when it is malformed. */
json_t *json_of_msgpack(struct slice bytes) CHECK_RESULT;
void json_to_msgpack(const json_t *value, struct buf *out);

/* A string where BYTES are UTF-8, else NULL. */
json_t *json_of_text(struct slice bytes);
bool is_utf8(struct slice bytes);
void base64_encode(struct slice bytes, struct buf *out);
/* 0 or ERR_BAD_REQUEST; accepts the standard and the URL alphabet, padded or not. */
int base64_decode(struct slice text, struct buf *out) CHECK_RESULT;
/* 0 or ERR_BAD_REQUEST. */
int hex_decode(struct slice text, struct buf *out) CHECK_RESULT;
void hex_encode(struct slice bytes, struct buf *out);

#endif
