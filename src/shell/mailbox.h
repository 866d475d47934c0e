/* Questions of other threads to the loop thread, each answered there and waited for here.
 *
 * Bounded: at most MAILBOX_MAX questions wait. A loop that does not answer in time is what a health
 * check must find out, so asking never waits longer than told; the question then belongs to the
 * loop alone, which throws it away when it gets there. */
#ifndef MAILBOX_H
#define MAILBOX_H

#include "base/buf.h"

#include <uv.h>

enum { MAILBOX_MAX = 16 };

struct mailbox;

struct question {
    int kind;          /* The asker's and the answerer's business. */
    struct buf text;   /* Owned. Goes with the question. */
    struct buf params; /* Owned. */
    struct buf answer; /* Owned. Comes back. */
    void *object;      /* Comes back; freed with mem_free. */
    int error;         /* Comes back. */
    uint64_t since_us; /* The answerer's: since when it waits for something, 0: not yet. */
};

/* False: not yet; it is called again by mailbox_again. */
typedef bool (*mailbox_answer)(void *arg, struct question *question);

/* ANSWER is called on LOOP's thread. */
struct mailbox *mailbox_new(uv_loop_t *loop, mailbox_answer answer, void *arg);
/* A zeroed question. */
struct question *question_new(int kind);
void question_free(struct question *question);
/* From another thread: 0, and the question is answered; ERR_BUSY when too many wait, ERR_TIMEOUT
 * when no answer came within TIMEOUT_MS: then the question is no longer the caller's (set to NULL).
 */
int mailbox_ask(struct mailbox *mailbox, struct question **question,
                uint32_t timeout_ms) CHECK_RESULT;
/* On the loop's thread: what was not answered yet may be now. */
void mailbox_again(struct mailbox *mailbox);
/* On the loop's thread, once nobody asks any more: close its handle, and free it after that. */
void mailbox_close(struct mailbox *mailbox);

#endif
