/* Error codes: 0 is success, every failure is a negative code with a stable code word.
 *
 * The words are part of the outside interface: RPC answers, HTTP bodies, logs and exit codes all
 * come from this one table. */
#ifndef ERROR_H
#define ERROR_H

#include "base/base.h"

/* X(name, value, exit code, what to do) */
#define ERRORS(X)                                                                                  \
    X(NOT_FOUND, -1, 1, "check the key and the bucket")                                            \
    X(DELETED, -2, 1, "put it again if you need it")                                               \
    X(BAD_REQUEST, -3, 2, "see `--help` or docs/protocol.md for what is accepted")                 \
    X(UNKNOWN_METHOD, -4, 2, "see docs/protocol.md for the methods of this version")               \
    X(UNAVAILABLE, -5, 3, "nothing was changed; retry, and see `kvadmin status` for who is down")  \
    X(BUSY, -6, 3, "retry after a short wait; if it lasts, the cluster needs more nodes")          \
    X(DISK_FULL, -7, 3, "free or add disk space on the node named; reads and deletes go on")       \
    X(NOT_READY, -8, 3, "the node is starting; retry in a moment")                                 \
    X(CLOCK_SKEW, -9, 3, "set the clock of the node named right (NTP), then retry")                \
    X(UNREADABLE, -10, 3, "a stored record is damaged; run `kvadmin verify` on the node named")    \
    X(CONFLICT, -11, 4, "read the siblings, merge them, and put with the context of that read")    \
    X(TOO_MANY_SIBLINGS, -12, 4, "read the key and put one value with the context of that read")   \
    X(TOO_LARGE, -13, 5, "see the limits in docs/operations.md")                                   \
    X(BAD_CONTEXT, -14, 5, "use a context as it came from a get of this very key")                 \
    X(NOT_MEMBER, -15, 5, "see `kvadmin status` for the members")                                  \
    X(REFUSED, -16, 5, "see the message for what stands in the way")                               \
    X(UNKNOWN_BUCKET, -17, 5, "create it with `kvadmin bucket create`")                            \
    X(INTERNAL, -18, 6, "please report this with the node's log")                                  \
    X(TIMEOUT, -19, 7, "the outcome is unknown: read the key before you retry")                    \
    X(PARTLY, -20, 8, "see which parts failed and repeat those")                                   \
    X(WRONG_EPOCH, -21, 3, "retry: the range has moved")                                           \
    X(CORRUPT, -22, 6, "run `kvnode check --data DIR` on the stopped node")                        \
    X(IO, -23, 6, "see the node's log for the failed call")

enum error {
    OK = 0,
#define ERROR_ENUM(name, value, exit_code, advice) ERR_##name = value,
    ERRORS(ERROR_ENUM)
#undef ERROR_ENUM
};

/* The stable code word ("UNAVAILABLE"); "OK" for 0, "INTERNAL" for a code that is not ours. */
const char *error_word(int error);
/* One sentence of what to do, without a full stop; "" for 0. */
const char *error_advice(int error);
/* The exit code of the command line tools, 0..8. */
int error_exit_code(int error);
/* The code of a word; 0 for "OK", ERR_INTERNAL for an unknown word (a newer peer's). */
int error_of_word(struct slice word);

#endif
