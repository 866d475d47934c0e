/* A bounded queue, a mutex and two ways to wake up. */
#include "shell/mailbox.h"

#include <pthread.h>
#include <time.h>

#include "base/error.h"

enum state { WAITING = 0, ANSWERING, ANSWERED, ABANDONED };

struct letter {
    struct question question; /* First: what callers see. */
    enum state state;
};

struct mailbox {
    uv_async_t async;
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    struct letter *waiting[MAILBOX_MAX]; /* Oldest first. */
    uint32_t count;
    struct letter *later[MAILBOX_MAX + 1]; /* Not answered yet. */
    uint32_t later_count;
    mailbox_answer answer;
    void *arg;
};

struct question *question_new(int kind)
{
    struct letter *letter = mem_zero(sizeof *letter);
    letter->question.kind = kind;
    return &letter->question;
}

void question_free(struct question *question)
{
    if (question == NULL)
        return;
    buf_done(&question->text);
    buf_done(&question->params);
    buf_done(&question->answer);
    mem_free(question->object);
    mem_free(question);
}

static struct letter *take(struct mailbox *mailbox)
{
    if (mailbox->count == 0)
        return NULL;
    struct letter *letter = mailbox->waiting[0];
    mailbox->count--;
    memmove(mailbox->waiting, mailbox->waiting + 1, mailbox->count * sizeof(struct letter *));
    letter->state = letter->state == ABANDONED ? ABANDONED : ANSWERING;
    return letter;
}

/* With the mutex held, which is let go meanwhile. */
static void serve_letter(struct mailbox *mailbox, struct letter *letter)
{
    bool done = true;
    if (letter->state == ANSWERING) {
        pthread_mutex_unlock(&mailbox->mutex);
        done = mailbox->answer(mailbox->arg, &letter->question);
        pthread_mutex_lock(&mailbox->mutex);
    }
    if (letter->state == ABANDONED) {
        question_free(&letter->question);
    } else if (!done) {
        mailbox->later[mailbox->later_count++] = letter;
    } else {
        letter->state = ANSWERED;
        pthread_cond_broadcast(&mailbox->answered);
    }
}

static void on_async(uv_async_t *async)
{
    struct mailbox *mailbox = async->data;
    struct letter *letter;
    pthread_mutex_lock(&mailbox->mutex);
    while ((letter = take(mailbox)) != NULL)
        serve_letter(mailbox, letter);
    pthread_mutex_unlock(&mailbox->mutex);
}

void mailbox_again(struct mailbox *mailbox)
{
    struct letter *later[MAILBOX_MAX + 1];
    pthread_mutex_lock(&mailbox->mutex);
    uint32_t count = mailbox->later_count;
    memcpy(later, mailbox->later, count * sizeof(struct letter *));
    mailbox->later_count = 0;
    for (uint32_t i = 0; i < count; i++)
        serve_letter(mailbox, later[i]);
    pthread_mutex_unlock(&mailbox->mutex);
}

struct mailbox *mailbox_new(uv_loop_t *loop, mailbox_answer answer, void *arg)
{
    struct mailbox *mailbox = mem_zero(sizeof *mailbox);
    pthread_condattr_t monotonic;
    mailbox->answer = answer;
    mailbox->arg = arg;
    ASSERT(pthread_mutex_init(&mailbox->mutex, NULL) == 0);
    ASSERT(pthread_condattr_init(&monotonic) == 0);
    ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    ASSERT(pthread_cond_init(&mailbox->answered, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    ASSERT(uv_async_init(loop, &mailbox->async, on_async) == 0);
    mailbox->async.data = mailbox;
    return mailbox;
}

static struct timespec deadline_in(uint32_t timeout_ms)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

int mailbox_ask(struct mailbox *mailbox, struct question **question, uint32_t timeout_ms)
{
    struct letter *letter = (struct letter *)(void *)*question;
    struct timespec deadline = deadline_in(timeout_ms);
    int result = 0;
    pthread_mutex_lock(&mailbox->mutex);
    if (mailbox->count + mailbox->later_count >= MAILBOX_MAX) {
        pthread_mutex_unlock(&mailbox->mutex);
        return ERR_BUSY;
    }
    mailbox->waiting[mailbox->count++] = letter;
    uv_async_send(&mailbox->async);
    while (letter->state != ANSWERED && result == 0)
        result = pthread_cond_timedwait(&mailbox->answered, &mailbox->mutex, &deadline);
    bool answered = letter->state == ANSWERED;
    if (!answered) {
        letter->state = ABANDONED;
        *question = NULL;
    }
    pthread_mutex_unlock(&mailbox->mutex);
    return answered ? 0 : ERR_TIMEOUT;
}

static void on_closed(uv_handle_t *handle)
{
    struct mailbox *mailbox = handle->data;
    struct letter *letter;
    while ((letter = take(mailbox)) != NULL)
        question_free(&letter->question);
    for (uint32_t i = 0; i < mailbox->later_count; i++)
        question_free(&mailbox->later[i]->question);
    pthread_cond_destroy(&mailbox->answered);
    pthread_mutex_destroy(&mailbox->mutex);
    mem_free(mailbox);
}

void mailbox_close(struct mailbox *mailbox)
{
    uv_close((uv_handle_t *)&mailbox->async, on_closed);
}
