/* The plain calls: what is sent, what is never sent twice, where the client goes on. */
#include "client_node.h"

/* An address where nobody listens. */
static void dead_address(char *ret_address, size_t size)
{
    close(listen_anywhere(ret_address, size));
}

Test(client, a_get_brings_value_and_context)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_answer answer;
    cr_assert_eq(kvr_get(client, text("k"), NULL, &answer), 0);
    cr_assert_eq(answer.siblings_count, 1);
    cr_assert_eq(answer.siblings[0].value.size, 5);
    cr_assert_eq(memcmp(answer.siblings[0].value.data, "hello", 5), 0);
    cr_assert_eq(answer.siblings[0].time_ms, 77);
    cr_assert_eq(answer.context.size, 7);
    cr_assert_eq(answer.copies, 3);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, bytes_of_an_answer_may_go_into_the_next_call)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_answer answer;
    cr_assert_eq(kvr_get(client, text("k"), NULL, &answer), 0);
    struct kvr_options options = {.context = answer.context};
    cr_assert_eq(kvr_put(client, text("k"), answer.siblings[0].value, &options, &answer), 0);
    cr_assert_str_eq(node.values[1], "hello");
    cr_assert_eq(answer.got, 2);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, a_dead_node_is_passed_over)
{
    struct node node;
    char dead[32];
    dead_address(dead, sizeof(dead));
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(dead, node.address);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    cr_assert_str_eq(kvr_node(client), node.address);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, no_node_at_all_is_unavailable_at_once)
{
    char dead[32];
    dead_address(dead, sizeof(dead));
    struct kvr_client *client = client_of(dead, NULL);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_UNAVAILABLE);
    cr_assert(strstr(kvr_last_error(client)->message, dead) != NULL);
    cr_assert_gt(strlen(kvr_last_error(client)->advice), 10);
    kvr_client_free(client);
}

Test(client, unavailable_at_one_node_is_tried_at_the_next)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){UNAVAILABLE, END_SCRIPT});
    node_start(&second, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    cr_assert_eq(first.seen, 1);
    cr_assert_eq(second.seen, 1);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, a_nodes_error_stands_when_the_others_cannot_be_reached)
{
    struct node node;
    char dead[32];
    dead_address(dead, sizeof(dead));
    node_start(&node, (enum action[]){UNAVAILABLE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, dead);
    cr_assert_eq(kvr_get(client, text("k"), NULL, &(struct kvr_answer){0}), KVR_UNAVAILABLE);
    cr_assert_str_eq(kvr_last_error(client)->message, "a scripted error");
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, a_put_that_may_have_arrived_is_not_sent_again)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){CLOSE, END_SCRIPT});
    node_start(&second, (enum action[]){ANSWER, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_TIMEOUT);
    cr_assert_eq(second.seen, 0);
    cr_assert_str_eq(kvr_last_error(client)->node, first.address);
    /* The next one finds its way. */
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    cr_assert_eq(second.seen, 1);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, a_put_with_retries_goes_to_the_same_node_under_the_same_name)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){CLOSE, CLOSE, ANSWER, ANSWER, END_SCRIPT});
    node_start(&second, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    struct kvr_options options = {.retries = 2};
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), 0);
    cr_assert_eq(first.seen, 3);
    cr_assert_eq(second.seen, 0);
    cr_assert_neq(first.sequences[0], 0);
    cr_assert_eq(first.sequences[0], first.sequences[1]);
    cr_assert_eq(first.sequences[0], first.sequences[2]);
    cr_assert_eq(kvr_put(client, text("k"), text("w"), &options, NULL), 0);
    cr_assert_neq(first.sequences[3], first.sequences[0]);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, a_get_goes_on_at_another_node_with_the_time_that_is_left)
{
    struct node first;
    struct node second;
    node_start(&first, (enum action[]){CLOSE, END_SCRIPT});
    node_start(&second, (enum action[]){LATE_FIRST, END_SCRIPT});
    struct kvr_client *client = client_of(first.address, second.address);
    struct kvr_answer answer;
    struct kvr_options options = {.deadline_ms = 9000};
    cr_assert_eq(kvr_get(client, text("k"), &options, &answer), 0);
    cr_assert_eq(answer.siblings_count, 1);
    cr_assert_leq(second.deadlines[0], 9000);
    cr_assert_gt(second.deadlines[0], 1000);
    kvr_client_free(client);
    node_stop(&first);
    node_stop(&second);
}

Test(client, silence_ends_at_the_deadline)
{
    struct node node;
    node_start(&node, (enum action[]){SILENCE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_options options = {.deadline_ms = 50};
    uint64_t start_us = client_now_us();
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), KVR_TIMEOUT);
    uint64_t took_ms = (client_now_us() - start_us) / 1000;
    cr_assert_geq(took_ms, 50);
    cr_assert_lt(took_ms, 5000);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, an_idle_connection_that_was_closed_is_made_anew)
{
    struct node node;
    node_start(&node, (enum action[]){REFUSE_ALL, ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_TOO_LARGE);
    /* Wait until the close has arrived, else this would be about a put that is lost. */
    while (client->connection.fd >= 0 && !connection_stale(&client->connection)) {
        usleep(1000);
    }
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), 0);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, nonsense_in_answer_to_a_put_leaves_its_outcome_unknown)
{
    struct node node;
    node_start(&node, (enum action[]){GARBAGE, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    cr_assert_eq(kvr_put(client, text("k"), text("v"), NULL, NULL), KVR_TIMEOUT);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, a_batch_has_an_answer_for_each_part)
{
    struct node node;
    node_start(&node, (enum action[]){ANSWER, END_SCRIPT});
    struct kvr_client *client = client_of(node.address, NULL);
    struct kvr_item items[3] = {{.key = text("a"), .value = text("1")},
                                {.key = text("b"), .value = text("2"), .ttl_ms = 5},
                                {.key = text("c"), .value = text("3"), .type = "text/plain"}};
    struct kvr_answer answers[3];
    cr_assert_eq(kvr_mput(client, items, 3, NULL, answers), 0);
    cr_assert_eq(answers[0].code, 0);
    cr_assert_eq(answers[0].got, 1);
    cr_assert_eq(answers[1].code, KVR_DISK_FULL);
    cr_assert_str_eq(answers[1].error->word, "DISK_FULL");
    cr_assert_eq(answers[2].got, 3);
    kvr_client_free(client);
    node_stop(&node);
}

Test(client, wrong_arguments_are_refused_without_a_node)
{
    char dead[32];
    struct kvr_client *client = NULL;
    struct kvr_error error;
    cr_assert_eq(kvr_client_new("host:0", &client, &error), KVR_BAD_REQUEST);
    cr_assert_eq(kvr_client_new("", &client, &error), KVR_BAD_REQUEST);
    cr_assert_eq(kvr_client_new("a,,b", &client, &error), KVR_BAD_REQUEST);
    cr_assert(strstr(error.message, "a,,b") != NULL);
    dead_address(dead, sizeof(dead));
    client = client_of(dead, NULL);
    struct kvr_options options = {.deadline_ms = 60001};
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), KVR_BAD_REQUEST);
    options = (struct kvr_options){.w = 8};
    cr_assert_eq(kvr_put(client, text("k"), text("v"), &options, NULL), KVR_BAD_REQUEST);
    size_t size = 25u << 20;
    char *large = mem_zero(size);
    struct kvr_bytes value = {large, size};
    cr_assert_eq(kvr_put(client, text("k"), value, NULL, NULL), KVR_TOO_LARGE);
    mem_free(large);
    kvr_client_free(client);
}
