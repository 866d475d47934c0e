/* What a command prints: results, errors with what to do, questions. */
#include "cli/command.h"
#include "cli/json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

json_t *cli_error_json(const struct kvr_error *error)
{
    json_t *json = json_object();
    json_object_set_new(json, "code", json_string(error->word));
    json_object_set_new(json, "message", json_string(error->message));
    json_object_set_new(json, "advice", json_string(error->advice));
    if (error->node[0] != '\0') {
        json_object_set_new(json, "node", json_string(error->node));
    }
    const struct {
        const char *name;
        uint32_t value;
    } numbers[] = {{"needed", error->needed},
                   {"got", error->got},
                   {"slots", error->slots},
                   {"copies", error->copies}};
    for (size_t i = 0; i < ARRAY_SIZE(numbers) && error->copies > 0; i++) {
        json_object_set_new(json, numbers[i].name, json_integer(numbers[i].value));
    }
    return json;
}

void cli_print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(value);
}

int cli_fail_error(const struct cli *cli, const struct kvr_error *error)
{
    if (cli->json) {
        json_t *json = json_object();
        json_object_set_new(json, "error", cli_error_json(error));
        cli_print_json(json);
    } else {
        fflush(stdout);
        bool at = error->node[0] != '\0';
        fprintf(stderr, "%s: %s: %s%s%s%s\n", cli->program->name, error->word, error->message,
                at ? " (at " : "", error->node, at ? ")" : "");
        if (error->advice[0] != '\0') {
            fprintf(stderr, "  do: %s\n", error->advice);
        }
    }
    return error_exit_code(error->code);
}

int cli_fail(const struct cli *cli, int code, const char *advice, const char *format, ...)
{
    struct kvr_error error = {.code = code};
    snprintf(error.word, sizeof(error.word), "%s", error_word(code));
    snprintf(error.advice, sizeof(error.advice), "%s",
             advice != NULL ? advice : error_advice(code));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error.message, sizeof(error.message), format, arguments);
    va_end(arguments);
    return cli_fail_error(cli, &error);
}

int cli_fail_client(const struct cli *cli)
{
    return cli_fail_error(cli, cli->error.code != 0 ? &cli->error : kvr_last_error(cli->client));
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    char message[400];
    char advice[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    const char *command = cli->command != NULL ? cli->command->name : "";
    snprintf(advice, sizeof(advice), "see `%s%s%s --help`", cli->program->name,
             command[0] != '\0' ? " " : "", command);
    return cli_fail(cli, ERR_BAD_REQUEST, advice, "%s", message);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", cli->program->name, message);
}

bool cli_confirm(const char *question)
{
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        return false;
    }
    fprintf(stderr, "%s [y/N] ", question);
    char answer[16];
    if (fgets(answer, sizeof(answer), stdin) == NULL) {
        return false;
    }
    return answer[0] == 'y' || answer[0] == 'Y';
}

struct kvr_client *cli_client(struct cli *cli)
{
    if (cli->client == NULL) {
        struct kvr_error error;
        if (kvr_client_new(cli->nodes, &cli->client, &error) != 0) {
            cli_fail_error(cli, &error);
            return NULL;
        }
    }
    return cli->client;
}

static int call_fail(struct cli *cli, int code, const char *message)
{
    cli->error = (struct kvr_error){.code = code};
    snprintf(cli->error.word, sizeof(cli->error.word), "%s", error_word(code));
    snprintf(cli->error.message, sizeof(cli->error.message), "%s", message);
    snprintf(cli->error.advice, sizeof(cli->error.advice), "%s", error_advice(code));
    return code;
}

int cli_call_at(struct cli *cli, struct kvr_client *client, const char *method, json_t *params,
                bool repeatable, json_t **ret_result)
{
    struct buf encoded = {0};
    if (params != NULL) {
        json_to_msgpack(params, &encoded);
        json_decref(params);
    }
    struct kvr_options options = {.deadline_ms = cli->deadline_ms};
    struct kvr_bytes answer;
    struct kvr_bytes bytes = {encoded.data, encoded.size};
    int error = kvr_call(client, method, bytes, repeatable, &options, &answer);
    buf_done(&encoded);
    if (error != 0) {
        cli->error = *kvr_last_error(client);
        return error;
    }
    json_t *result = json_of_msgpack(slice_of(answer.data, answer.size));
    if (result == NULL) {
        return call_fail(cli, ERR_INTERNAL, "the node's answer is not well formed");
    }
    cli->error.code = 0;
    *ret_result = result;
    return 0;
}

int cli_call(struct cli *cli, const char *method, json_t *params, bool repeatable,
             json_t **ret_result)
{
    if (cli->client == NULL) {
        int error = kvr_client_new(cli->nodes, &cli->client, &cli->error);
        if (error != 0) {
            json_decref(params);
            return error;
        }
    }
    return cli_call_at(cli, cli->client, method, params, repeatable, ret_result);
}
