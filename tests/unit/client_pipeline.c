/* Pipelined requests: every one ends once, whatever becomes of the connection. */
#include "client_node.h"

Test(pipeline, answers_come_with_their_tags)
{
    struct node node;
    enum action script[21] = {0};
    for (int i = 0; i < 20; i++) {
        script[i] = i == 7 ? UNAVAILABLE : ANSWER;
    }
    node_start(&node, script);
    struct kvr_client *client = client_of(node.address, NULL);
    for (uint64_t tag = 0; tag < 20; tag++) {
        cr_assert_eq(kvr_submit_get(client, text("k"), NULL, 100 + tag), 0);
    }
    cr_assert_eq(kvr_get(client, text("k"), NULL, &(struct kvr_answer){0}), KVR_BAD_REQUEST);
    uint32_t seen = 0;
    struct kvr_completion completion;
    while (kvr_next(client, -1, &completion)) {
        cr_assert_lt(completion.tag - 100, 20);
        seen |= 1u << (completion.tag - 100);
        cr_assert_eq(completion.code, completion.tag == 107 ? KVR_UNAVAILABLE : 0);
        cr_assert_eq(completion.answer.siblings_count, completion.code == 0);
    }
    cr_assert_eq(seen, (1u << 20) - 1);
    cr_assert_eq(kvr_pending(client), 0);
    kvr_client_free(client);
    node_stop(&node);
}

Test(pipeline, a_broken_connection_ends_every_request)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, SILENCE, SILENCE, CLOSE, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_completion completion;
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), NULL, 0), 0);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, 0);
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), NULL, 1), 0);
    cr_assert_eq(kvr_submit_get(client, text("k"), NULL, 2), 0);
    cr_assert_eq(kvr_submit_delete(client, text("k"), NULL, 3), 0);
    int codes[4] = {0};
    while (kvr_next(client, -1, &completion)) {
        codes[completion.tag] = completion.code;
        cr_assert_str_eq(completion.error->node, node.address);
    }
    cr_assert_eq(codes[1], KVR_TIMEOUT);
    cr_assert_eq(codes[2], KVR_UNAVAILABLE);
    cr_assert_eq(codes[3], KVR_TIMEOUT);
    /* And the client goes on. */
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), NULL, 4), 0);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, 0);
    kvr_client_free(client);
    node_stop(&node);
}

Test(pipeline, next_does_not_wait_longer_than_told)
{
    struct node node;
    node_start(&node, (enum action[]){SILENCE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_completion completion;
    struct kvr_options options = {.deadline_ms = 100};
    cr_assert_not(kvr_next(client, -1, &completion));
    cr_assert_eq(kvr_submit_put(client, text("k"), text("v"), &options, 9), 0);
    cr_assert_not(kvr_next(client, 0, &completion));
    cr_assert_not(kvr_next(client, 20, &completion));
    cr_assert_eq(kvr_pending(client), 1);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, KVR_TIMEOUT);
    cr_assert_eq(completion.tag, 9);
    kvr_client_free(client);
    node_stop(&node);
}

Test(pipeline, a_batch_is_taken_apart_after_its_completion)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_item items[3] = {{.key = text("a")}, {.key = text("b")}, {.key = text("c")}};
    struct kvr_answer answers[3];
    struct kvr_completion completion;
    cr_assert_eq(kvr_submit_mput(client, items, 3, NULL, 1), 0);
    cr_assert_eq(kvr_completion_parts(client, answers, 3), KVR_BAD_REQUEST);
    cr_assert(kvr_next(client, -1, &completion));
    cr_assert_eq(completion.code, 0);
    cr_assert_eq(kvr_completion_parts(client, answers, 2), KVR_BAD_REQUEST);
    cr_assert_eq(kvr_completion_parts(client, answers, 3), 0);
    cr_assert_eq(answers[1].code, KVR_DISK_FULL);
    cr_assert_eq(answers[2].got, 3);
    kvr_client_free(client);
    node_stop(&node);
}
