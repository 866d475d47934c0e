/* What a client makes of a node's answers: no crash, and what it points to lies in the answer. */
#include "client/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice all, struct kvr_bytes part)
{
    const uint8_t *at = part.data;
    ASSERT(part.size == 0 || (at >= all.data && at + part.size <= all.data + all.size));
}

static void check_answer(struct slice all, const struct kvr_answer *answer)
{
    check_inside(all, answer->key);
    check_inside(all, answer->context);
    ASSERT((answer->code != 0) == (answer->error != NULL));
    ASSERT(answer->siblings_count <= all.size);
    for (size_t i = 0; i < answer->siblings_count; i++) {
        check_inside(all, answer->siblings[i].value);
        check_inside(all, answer->siblings[i].type);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PARTS = 3 };
    struct slice all = slice_of(data, size);
    struct arena arena = {0};
    struct response response;
    if (response_decode(all, &response) != 0) {
        response.result = all;
        response.error = all;
    }
    struct kvr_error error;
    ASSERT(error_decode(response.error, &error) != 0);
    ASSERT(memchr(error.message, '\0', sizeof(error.message)) != NULL);
    struct kvr_answer answers[PARTS];
    if (answer_decode(response.result, &arena, &answers[0]) == 0) {
        check_answer(all, &answers[0]);
    }
    if (parts_decode(response.result, &arena, answers, PARTS) == 0) {
        for (size_t i = 0; i < PARTS; i++) {
            check_answer(all, &answers[i]);
        }
    }
    struct kvr_page page;
    if (page_decode(response.result, &arena, &page) == 0) {
        check_inside(all, page.cursor);
        for (size_t i = 0; i < page.count; i++) {
            check_answer(all, &page.items[i]);
        }
    }
    arena_done(&arena);
    return 0;
}
