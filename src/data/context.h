/* The inside of a client's context. Only object*.c use this; everybody else uses object.h.
 *
 *   context = format byte, highest hlc u64, version vector, checksum u64 */
#ifndef CONTEXT_H
#define CONTEXT_H

#include "data/object.h"

/* The highest hlc and the vector (borrowed) of a context. ERR_BAD_CONTEXT if it is malformed; the
 * checksum is context_check's business. */
int context_parse(struct slice context, uint64_t *ret_hlc, struct slice *ret_vector) CHECK_RESULT;

#endif
