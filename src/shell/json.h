/* MessagePack as JSON text, for the HTTP port. Binary becomes a string of hex digits; keys of maps
 * are strings. */
#ifndef JSON_H
#define JSON_H

#include "base/buf.h"

/* Append one whole MessagePack value as JSON. 0, or ERR_CORRUPT (OUT is then as before). */
int json_from_mp(struct slice value, struct buf *out) CHECK_RESULT;

#endif
