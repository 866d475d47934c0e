/* put, get, del: one key. */
#include "kvcli/kvcli.h"

#include <errno.h>
#include <unistd.h>

enum { VALUE_READ_MAX = 16 * 1024 * 1024 + 1 };

/* All of standard input; one byte more than any value may have at most, so that the node refuses.
 */
static int read_stdin(const struct cli *cli, struct buf *out)
{
    if (isatty(STDIN_FILENO) == 1) {
        cli_note(cli, "reading the value from the terminal; end it with ctrl-D");
    }
    while (out->size < VALUE_READ_MAX) {
        size_t room = MIN((size_t)65536, VALUE_READ_MAX - out->size);
        size_t got = fread(buf_reserve(out, room), 1, room, stdin);
        out->size += got;
        if (got == 0) {
            break;
        }
    }
    if (ferror(stdin)) {
        return cli_fail(cli, ERR_IO, "see why standard input cannot be read",
                        "cannot read standard input");
    }
    clearerr(stdin);
    return 0;
}

static int fail_siblings(const struct cli *cli, const struct kvr_answer *answer, const char *advice)
{
    int exit_code = cli_fail(cli, ERR_CONFLICT, advice, "%s has %zu siblings", cli->arguments[0],
                             answer->siblings_count);
    if (!cli->json) {
        show_siblings(answer);
    }
    return exit_code;
}

/* Read the context that a put or del follows, unless told otherwise. -1 to go on, else an exit
 * code. A key that is not there leaves *RET_FOUND false and no context. */
static int read_first(struct cli *cli, struct data_options *options, bool *ret_found)
{
    struct kvr_answer answer;
    struct kvr_options read = {.bucket = options->options.bucket,
                               .deadline_ms = options->options.deadline_ms,
                               .r = 1,
                               .strict = options->options.strict};
    int error = kvr_get(cli->client, bytes_of_text(cli->arguments[0]), &read, &answer);
    if (error == KVR_NOT_FOUND || error == KVR_DELETED) {
        *ret_found = false;
        return -1;
    }
    if (error != 0) {
        return cli_fail_client(cli);
    }
    if (answer.siblings_count > 1 && !cli_given(cli, "resolve")) {
        return fail_siblings(cli, &answer,
                             "--resolve replaces them all; --context says which ones");
    }
    buf_clear(&options->context_bytes);
    buf_append(&options->context_bytes, slice_of(answer.context.data, answer.context.size));
    options->options.context =
        (struct kvr_bytes){options->context_bytes.data, options->context_bytes.size};
    return -1;
}

/* On what the write depends; -1 when that was not said well. */
static int condition_of(const struct cli *cli, enum kvr_if *ret_condition)
{
    bool absent = cli_given(cli, "if-absent");
    bool present = cli_given(cli, "if-present");
    bool unchanged = cli_given(cli, "if-unchanged");
    bool context = cli_given(cli, "context");
    bool other = cli_given(cli, "resolve") || cli_given(cli, "blind");
    if (absent + present + unchanged > 1 || ((absent || present) && (context || other)) ||
        (unchanged && (!context || other))) {
        return -1;
    }
    *ret_condition = absent      ? KVR_IF_ABSENT
                     : present   ? KVR_IF_PRESENT
                     : unchanged ? KVR_IF_UNCHANGED
                                 : KVR_IF_ANY;
    return 0;
}

static int fail_condition(const struct cli *cli, const struct kvr_answer *answer,
                          enum kvr_if condition)
{
    const char *key = cli->arguments[0];
    const char *advice = "nothing was changed; `get` shows what is there";
    if (condition == KVR_IF_ABSENT) {
        return cli_fail(cli, ERR_CONFLICT, advice, "%s has a value already", key);
    }
    if (condition == KVR_IF_PRESENT || answer->siblings_count == 0) {
        return cli_fail(cli, ERR_CONFLICT, advice, "%s has no value", key);
    }
    return cli_fail(cli, ERR_CONFLICT, advice, "%s has changed since that context was read", key);
}

/* Say how a put or del went. */
static int finish_write(const struct cli *cli, const struct data_options *options, int error,
                        const struct kvr_answer *answer, uint64_t start_us)
{
    if (error != 0) {
        return cli_fail_client(cli);
    }
    if (options->options.only_if != KVR_IF_ANY && !answer->held) {
        return fail_condition(cli, answer, options->options.only_if);
    }
    if (cli->json) {
        json_t *object = json_of_key(options->bucket, bytes_of_text(cli->arguments[0]));
        json_object_set_new(object, "hlc", json_integer((json_int_t)answer->hlc));
        json_object_set_new(object, "siblings_count", json_integer(answer->versions));
        json_set_answer(object, answer);
        cli_print_json(object);
    }
    if (options->explain) {
        explain_answer(cli, answer, clock_us() - start_us);
    }
    note_copies(cli, answer);
    return 0;
}

static bool reads_first(const struct cli *cli)
{
    return !cli_given(cli, "blind") && !cli_given(cli, "context") && !cli_given(cli, "if-absent") &&
           !cli_given(cli, "if-present");
}

static int check_way(const struct cli *cli)
{
    int given = cli_given(cli, "blind") + cli_given(cli, "context") + cli_given(cli, "resolve");
    enum kvr_if condition;
    if (given > 1) {
        return cli_usage(cli, "give one of --blind, --context and --resolve");
    }
    if (condition_of(cli, &condition) < 0) {
        return cli_usage(cli, "give one of --if-absent, --if-present, and --if-unchanged together "
                              "with --context");
    }
    return 0;
}

/* Set CLI and OPTIONS up for a write. -1 to go on, else an exit code. */
static int write_begin(struct cli *cli, struct data_options *options)
{
    int exit_code = check_way(cli);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = data_options_read(cli, options);
    if (exit_code != 0) {
        return exit_code;
    }
    (void)condition_of(cli, &options->options.only_if);
    return cli_client(cli) != NULL ? -1 : 2;
}

static int put_value(struct cli *cli, struct data_options *options, struct kvr_bytes value)
{
    bool found = true;
    int exit_code = reads_first(cli) ? read_first(cli, options, &found) : -1;
    if (exit_code >= 0) {
        return exit_code;
    }
    struct kvr_answer answer;
    uint64_t start_us = clock_us();
    int error =
        kvr_put(cli->client, bytes_of_text(cli->arguments[0]), value, &options->options, &answer);
    return finish_write(cli, options, error, &answer, start_us);
}

int run_put(struct cli *cli)
{
    struct data_options options = {0};
    int exit_code = write_begin(cli, &options);
    bool from_stdin = cli->arguments_count == 1 || strcmp(cli->arguments[1], "-") == 0;
    if (exit_code < 0 && from_stdin) {
        struct buf value = {0};
        exit_code = read_stdin(cli, &value);
        if (exit_code == 0) {
            exit_code = put_value(cli, &options, (struct kvr_bytes){value.data, value.size});
        }
        buf_done(&value);
    } else if (exit_code < 0) {
        exit_code = put_value(cli, &options, bytes_of_text(cli->arguments[1]));
    }
    data_options_done(&options);
    return exit_code;
}

int run_del(struct cli *cli)
{
    struct data_options options = {0};
    bool found = true;
    int exit_code = write_begin(cli, &options);
    if (exit_code < 0 && reads_first(cli)) {
        exit_code = read_first(cli, &options, &found);
    }
    if (exit_code < 0 && !found) {
        exit_code = cli_fail_client(cli);
    }
    if (exit_code < 0) {
        struct kvr_answer answer;
        uint64_t start_us = clock_us();
        int error =
            kvr_delete(cli->client, bytes_of_text(cli->arguments[0]), &options.options, &answer);
        exit_code = finish_write(cli, &options, error, &answer, start_us);
    }
    data_options_done(&options);
    return exit_code;
}

static void print_get_json(const struct cli *cli, const struct data_options *options,
                           const struct kvr_answer *answer)
{
    json_t *object = json_of_key(options->bucket, bytes_of_text(cli->arguments[0]));
    json_t *siblings = json_array();
    for (size_t i = 0; i < answer->siblings_count; i++) {
        json_t *sibling = json_object();
        json_set_sibling(sibling, &answer->siblings[i]);
        json_array_append_new(siblings, sibling);
    }
    json_object_set_new(object, "siblings", siblings);
    json_set_answer(object, answer);
    cli_print_json(object);
}

static void print_value(struct kvr_bytes value)
{
    fwrite(value.data, 1, value.size, stdout);
    if (isatty(STDOUT_FILENO) == 1) {
        putchar('\n');
    }
}

static int show_get(const struct cli *cli, const struct data_options *options,
                    const struct kvr_answer *answer)
{
    uint64_t chosen = 0;
    int exit_code = cli_number(cli, "sibling", 1, 1000, &chosen);
    if (exit_code != 0) {
        return exit_code;
    }
    if (cli->json) {
        print_get_json(cli, options, answer);
        return answer->siblings_count > 1 ? error_exit_code(ERR_CONFLICT) : 0;
    }
    if (chosen > answer->siblings_count) {
        return cli_fail(cli, ERR_NOT_FOUND, "give a lower number", "%s has %zu siblings",
                        cli->arguments[0], answer->siblings_count);
    }
    if (answer->siblings_count > 1 && chosen == 0) {
        return fail_siblings(cli, answer,
                             "--sibling N prints one; `put --resolve` replaces them all");
    }
    print_value(answer->siblings[chosen > 0 ? chosen - 1 : 0].value);
    return 0;
}

int run_get(struct cli *cli)
{
    struct data_options options = {0};
    struct kvr_answer answer;
    int exit_code = data_options_read(cli, &options);
    if (exit_code != 0) {
        return exit_code;
    }
    if (cli_client(cli) == NULL) {
        return 2;
    }
    uint64_t start_us = clock_us();
    if (kvr_get(cli->client, bytes_of_text(cli->arguments[0]), &options.options, &answer) != 0) {
        return cli_fail_client(cli);
    }
    if (answer.siblings_count == 0) {
        return cli_fail(cli, ERR_NOT_FOUND, NULL, "%s has no value", cli->arguments[0]);
    }
    exit_code = show_get(cli, &options, &answer);
    if (options.explain) {
        explain_answer(cli, &answer, clock_us() - start_us);
    }
    return exit_code;
}
