/* The HTTP port, on a thread of its own: /metrics, /healthz, /readyz, /v1/cluster/... (read only).
 *
 * It knows nothing by itself: whatever it shows it asks the loop for, through the mailbox; a loop
 * that does not answer within a second makes it answer 503. */
#ifndef HTTP_H
#define HTTP_H

#include "shell/mailbox.h"

/* What it asks. */
enum http_question {
    HTTP_HEALTH = 1,
    HTTP_READY,   /* `answer`: the state's name; `error` 0 when ready. */
    HTTP_METRICS, /* `object`: a struct exposition. */
    HTTP_CALL,    /* `text`: method of the client port, `params`: its parameters; `answer`: a
                   * MessagePack map, or with `error` a sentence. */
};

struct http;

/* Serve on FD, a bound socket, which it then owns. NULL when that fails. */
struct http *http_start(int fd, struct mailbox *mailbox);
/* Ends its thread. */
void http_stop(struct http *http);

#endif
