/* `bucket create|set|drop|list|describe`. */
#include "cli/table.h"
#include "kvadmin/admin.h"

static json_t *consistency(uint8_t value)
{
    if (value == KVR_QUORUM)
        return json_string("quorum");
    if (value == KVR_ALL)
        return json_string("all");
    return json_integer(value);
}

/* Add what was given of -r, -w, --dw. 0 or the exit code. */
static int consistencies_read(const struct cli *cli, json_t *params)
{
    static const char *const options[] = {"r", "w", "dw"};
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        uint8_t value = 0;
        if (!cli_given(cli, options[i]))
            continue;
        bool zero = i == 2 && strcmp(cli_text(cli, options[i]), "0") == 0;
        int exit = zero ? 0 : cli_consistency(cli, options[i], &value);
        if (exit != 0)
            return exit;
        json_object_set_new(params, options[i], consistency(value));
    }
    return 0;
}

static int params_read(const struct cli *cli, json_t *params)
{
    json_object_set_new(params, "name", json_string(cli->arguments[0]));
    if (cli_given(cli, "policy"))
        json_object_set_new(params, "policy", json_string(cli_text(cli, "policy")));
    if (cli_given(cli, "log-mode"))
        json_object_set_new(params, "log_mode", json_string(cli_text(cli, "log-mode")));
    if (cli_given(cli, "dry-run"))
        json_object_set_new(params, "dry_run", json_true());
    uint64_t ttl_ms = 0;
    int exit = cli_duration_ms(cli, "ttl", &ttl_ms);
    if (exit == 0 && cli_given(cli, "ttl"))
        json_object_set_new(params, "ttl_ms", json_integer((json_int_t)ttl_ms));
    return exit != 0 ? exit : consistencies_read(cli, params);
}

static void consistency_cell(struct table *table, const json_t *bucket, const char *name)
{
    const json_t *value = json_object_get(bucket, name);
    if (json_is_string(value))
        table_cell(table, "%s", json_string_value(value));
    else
        table_cell(table, "%lld", (long long)json_integer_value(value));
}

static void buckets_print(const json_t *buckets)
{
    struct table table;
    table_init(&table, "lllllrl");
    static const char *const heads[] = {"BUCKET", "POLICY", "R", "W", "DW", "TTL", "LOG"};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        table_cell(&table, "%s", heads[i]);
    size_t i;
    json_t *bucket;
    json_array_foreach(buckets, i, bucket)
    {
        table_cell(&table, "%s", field_text(bucket, "name"));
        table_cell(&table, "%s", field_text(bucket, "policy"));
        consistency_cell(&table, bucket, "r");
        consistency_cell(&table, bucket, "w");
        consistency_cell(&table, bucket, "dw");
        if (field_u64(bucket, "ttl_ms") == 0)
            table_cell(&table, "-");
        else
            table_duration_ms(&table, field_u64(bucket, "ttl_ms"));
        table_cell(&table, "%s", field_text(bucket, "log_mode"));
    }
    table_print(&table, stdout);
    table_done(&table);
}

/* Print the bucket of RESULT, which is taken over. */
static int bucket_show(const struct cli *cli, json_t *result)
{
    json_t *bucket = json_object_get(result, "bucket");
    if (cli->json) {
        cli_print_json(json_incref(bucket));
    } else {
        json_t *list = json_pack("[O]", bucket);
        buckets_print(list);
        json_decref(list);
    }
    json_decref(result);
    return 0;
}

static int bucket_change(struct cli *cli, const char *method)
{
    json_t *result = NULL;
    json_t *params = json_object();
    int exit = params_read(cli, params);
    if (exit != 0) {
        json_decref(params);
        return exit;
    }
    if (cli_call(cli, method, params, false, &result) != 0)
        return cli_fail_client(cli);
    if (cli_given(cli, "dry-run"))
        cli_note(cli, "nothing was changed (--dry-run); the bucket would be:");
    return bucket_show(cli, result);
}

int bucket_create_command(struct cli *cli)
{
    return bucket_change(cli, "bucket_create");
}

int bucket_set_command(struct cli *cli)
{
    return bucket_change(cli, "bucket_set");
}

int bucket_drop_command(struct cli *cli)
{
    bool dry_run = cli_given(cli, "dry-run");
    char question[128];
    snprintf(question, sizeof(question),
             "Drop bucket %.64s with everything in it? Nothing brings it back.", cli->arguments[0]);
    int exit = dry_run ? 0 : ask(cli, question);
    if (exit != 0)
        return exit;
    json_t *result = NULL;
    json_t *params = json_pack("{s:s, s:b}", "name", cli->arguments[0], "dry_run", dry_run);
    if (cli_call(cli, "bucket_drop", params, false, &result) != 0)
        return cli_fail_client(cli);
    if (cli->json) {
        cli_print_json(json_incref(json_object_get(result, "bucket")));
    } else if (dry_run) {
        cli_note(cli, "nothing was changed (--dry-run): bucket %s would be dropped",
                 cli->arguments[0]);
    } else {
        bool collecting = json_is_true(json_object_get(result, "collecting"));
        printf("dropped %s; its space %s\n", cli->arguments[0],
               collecting ? "comes free in the background, as fast as horizons rise"
                          : "stays taken: nothing is collected here (--collect-interval is 0)");
    }
    json_decref(result);
    return 0;
}

int bucket_describe_command(struct cli *cli)
{
    json_t *result = NULL;
    json_t *params = json_pack("{s:s}", "name", cli->arguments[0]);
    if (cli_call(cli, "bucket_describe", params, true, &result) != 0)
        return cli_fail_client(cli);
    return bucket_show(cli, result);
}

int bucket_list_command(struct cli *cli)
{
    json_t *result = NULL;
    if (cli_call(cli, "bucket_list", NULL, true, &result) != 0)
        return cli_fail_client(cli);
    json_t *buckets = json_object_get(result, "buckets");
    if (cli->json)
        cli_print_json(json_incref(buckets));
    else
        buckets_print(buckets);
    json_decref(result);
    return 0;
}
