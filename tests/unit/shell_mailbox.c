/* Questions between threads: answered, refused when too many, given up in time. */
#include "shell/mailbox.h"

#include <criterion/criterion.h>
#include <pthread.h>

#include "base/error.h"

static uv_loop_t loop;
static struct mailbox *mailbox;
static uv_sem_t blocked, go;

/* Kind 1 answers; kind 2 holds the loop until it may go on; kind 3 ends it. */
static bool answer(void *arg, struct question *question)
{
    (void)arg;
    if (question->kind == 2) {
        uv_sem_post(&blocked);
        uv_sem_wait(&go);
    } else if (question->kind == 3) {
        mailbox_close(mailbox);
    }
    buf_append(&question->answer, buf_slice(&question->text));
    buf_append(&question->answer, slice_string("!"));
    question->error = ERR_NOT_READY;
    return true;
}

static void *run_loop(void *arg)
{
    (void)arg;
    uv_run(&loop, UV_RUN_DEFAULT);
    return NULL;
}

static int ask(int kind, uint32_t timeout_ms, struct question **question)
{
    *question = question_new(kind);
    buf_append(&(*question)->text, slice_string("hello"));
    return mailbox_ask(mailbox, question, timeout_ms);
}

Test(mailbox, answers_refuses_and_gives_up)
{
    struct question *question, *waiting[MAILBOX_MAX];
    pthread_t thread;
    uv_sem_init(&blocked, 0);
    uv_sem_init(&go, 0);
    uv_loop_init(&loop);
    mailbox = mailbox_new(&loop, answer, NULL);
    pthread_create(&thread, NULL, run_loop, NULL);

    for (int i = 0; i < 100; i++) {
        cr_assert_eq(ask(1, 60000, &question), 0);
        cr_assert_eq(question->error, ERR_NOT_READY);
        cr_assert(slice_equal(buf_slice(&question->answer), slice_string("hello!")));
        question_free(question);
    }

    /* A loop that hangs: the one that hung it and all behind it give up, then it is full. */
    cr_assert_eq(ask(2, 1, &question), ERR_TIMEOUT);
    cr_assert_null(question);
    uv_sem_wait(&blocked);
    for (int i = 0; i < MAILBOX_MAX; i++)
        cr_assert_eq(ask(1, 1, &waiting[i]), ERR_TIMEOUT);
    cr_assert_eq(ask(1, 60000, &question), ERR_BUSY);
    cr_assert_not_null(question);
    question_free(question);

    uv_sem_post(&go);
    int result;
    while ((result = ask(1, 60000, &question)) == ERR_BUSY)
        question_free(question);
    cr_assert_eq(result, 0);
    question_free(question);

    cr_assert_eq(ask(3, 60000, &question), 0);
    question_free(question);
    pthread_join(thread, NULL);
    cr_assert_eq(uv_loop_close(&loop), 0);
}
