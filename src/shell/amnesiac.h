/* The file AMNESIAC in a data directory: the cluster has told this node that it remembers more of
 * it than the directory does.
 *
 * That is found out by the length of the log, to which each start adds a little: without the file,
 * an old copy that is started often enough would pass for the original. */
#ifndef AMNESIAC_H
#define AMNESIAC_H

#include "base/buf.h"
#include "base/error.h"

/* Is this why a node was told to halt? */
bool amnesiac_is(struct slice why);
/* Write WHY into DIRECTORY, durably. 0 or ERR_IO. */
int amnesiac_note(const char *directory, struct slice why) CHECK_RESULT;
/* Was that done once? Then appends the reason, in words for the operator, to OUT. */
bool amnesiac_noted(const char *directory, struct buf *out);

#endif
