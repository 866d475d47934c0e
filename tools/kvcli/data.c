/* Options, JSON and lines of text of the data commands. */
#include "kvcli/kvcli.h"

#include "cli/table.h"

#include <ctype.h>
#include <time.h>

uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_ms_wall(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct kvr_bytes bytes_of_text(const char *text)
{
    return (struct kvr_bytes){text, strlen(text)};
}

/* ---------------------------------------------------------------------------- Options. */

/* A context is binary; base64 is how it is printed, hex is how other clients may have it. */
static int read_context(const struct cli *cli, struct data_options *options)
{
    const char *text = cli_text(cli, "context");
    if (text == NULL) {
        return 0;
    }
    bool hex = text[strspn(text, "0123456789abcdefABCDEF")] == '\0' && strlen(text) % 2 == 0;
    struct slice slice = slice_string(text);
    struct buf *out = &options->context_bytes;
    int error = hex ? hex_decode(slice, out) : base64_decode(slice, out);
    if (error != 0 || out->size == 0) {
        return cli_usage(cli, "--context is neither base64 nor hex");
    }
    options->options.context = (struct kvr_bytes){out->data, out->size};
    return 0;
}

static int read_ttl(const struct cli *cli, struct data_options *options)
{
    const char *text = cli_text(cli, "ttl");
    if (text != NULL && strcmp(text, "none") == 0) {
        options->options.ttl_ms = UINT64_MAX;
        return 0;
    }
    int exit_code = cli_duration_ms(cli, "ttl", &options->options.ttl_ms);
    if (exit_code == 0 && text != NULL && options->options.ttl_ms == 0) {
        return cli_usage(cli, "--ttl must be at least 1ms, or `none`");
    }
    return exit_code;
}

int data_options_read(struct cli *cli, struct data_options *ret_options)
{
    struct data_options options = {.bucket = "default", .explain = cli_given(cli, "explain")};
    struct kvr_options *request = &options.options;
    if (cli_text(cli, "bucket") != NULL) {
        options.bucket = cli_text(cli, "bucket");
        request->bucket = options.bucket;
    }
    request->strict = cli_given(cli, "strict");
    request->deadline_ms = cli->deadline_ms;
    request->type = cli_text(cli, "type");
    int exit_code = cli_consistency(cli, "r", &request->r);
    exit_code = exit_code != 0 ? exit_code : cli_consistency(cli, "w", &request->w);
    exit_code = exit_code != 0 ? exit_code : cli_consistency(cli, "dw", &request->dw);
    exit_code = exit_code != 0 ? exit_code : read_ttl(cli, &options);
    exit_code = exit_code != 0 ? exit_code : read_context(cli, &options);
    if (exit_code != 0) {
        buf_done(&options.context_bytes);
        return exit_code;
    }
    *ret_options = options;
    return 0;
}

void data_options_done(struct data_options *options)
{
    buf_done(&options->context_bytes);
}

/* ------------------------------------------------------------------------------- JSON. */

static void json_set_base64(json_t *object, const char *name, struct slice bytes)
{
    struct buf base64 = {0};
    base64_encode(bytes, &base64);
    json_object_set_new(object, name, json_stringn((const char *)base64.data, base64.size));
    buf_done(&base64);
}

void json_set_bytes(json_t *object, const char *name, struct kvr_bytes bytes)
{
    struct slice slice = slice_of(bytes.data, bytes.size);
    json_t *text = json_of_text(slice);
    if (text != NULL) {
        json_object_set_new(object, name, text);
        return;
    }
    char longer[32];
    snprintf(longer, sizeof(longer), "%s_base64", name);
    json_set_base64(object, longer, slice);
}

json_t *json_of_key(const char *bucket, struct kvr_bytes key)
{
    json_t *object = json_object();
    json_object_set_new(object, "bucket", json_string(bucket));
    json_set_bytes(object, "key", key);
    return object;
}

static void json_set_number(json_t *object, const char *name, uint64_t number)
{
    json_object_set_new(object, name, json_integer((json_int_t)number));
}

void json_set_sibling(json_t *object, const struct kvr_sibling *sibling)
{
    json_set_bytes(object, "value", sibling->value);
    if (sibling->type.size > 0) {
        json_set_bytes(object, "type", sibling->type);
    }
    json_set_number(object, "hlc", sibling->hlc);
    json_set_number(object, "time_ms", sibling->time_ms);
    if (sibling->expires_ms > 0) {
        json_set_number(object, "expires_ms", sibling->expires_ms);
    }
}

void json_set_answer(json_t *object, const struct kvr_answer *answer)
{
    if (answer->context.size > 0) {
        json_set_base64(object, "context", slice_of(answer->context.data, answer->context.size));
    }
    json_set_number(object, "needed", answer->needed);
    json_set_number(object, "got", answer->got);
    json_set_number(object, "slots", answer->slots);
    json_set_number(object, "copies", answer->copies);
    json_object_set_new(object, "sloppy", json_boolean(answer->sloppy));
}

/* ------------------------------------------------------------------------------- Text. */

void print_escaped(FILE *to, struct kvr_bytes bytes)
{
    const uint8_t *at = bytes.data;
    bool text = is_utf8(slice_of(bytes.data, bytes.size));
    for (size_t i = 0; i < bytes.size; i++) {
        if (at[i] == '\n' || at[i] == '\t' || at[i] == '\\') {
            fprintf(to, "\\%c", at[i] == '\n' ? 'n' : at[i] == '\t' ? 't' : '\\');
        } else if (at[i] < 0x20 || at[i] == 0x7f || (at[i] >= 0x80 && !text)) {
            fprintf(to, "\\x%02x", at[i]);
        } else {
            fputc(at[i], to);
        }
    }
}

static void print_time(FILE *to, uint64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[64];
    localtime_r(&seconds, &parts);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
    fprintf(to, "%s.%03u", text, (unsigned)(time_ms % 1000));
}

/* For --context of the write that follows this read. */
static void show_context(const struct kvr_answer *answer)
{
    struct buf base64 = {0};
    if (answer->context.size == 0)
        return;
    base64_encode(slice_of(answer->context.data, answer->context.size), &base64);
    fprintf(stderr, "  context %.*s\n", (int)base64.size, (const char *)base64.data);
    buf_done(&base64);
}

void show_siblings(const struct kvr_answer *answer)
{
    enum { SHOWN = 60 };
    for (size_t i = 0; i < answer->siblings_count; i++) {
        const struct kvr_sibling *sibling = &answer->siblings[i];
        struct kvr_bytes start = sibling->value;
        start.size = MIN(start.size, (size_t)SHOWN);
        fprintf(stderr, "  %zu  ", i + 1);
        print_time(stderr, sibling->time_ms);
        fprintf(stderr, "  %zu bytes  ", sibling->value.size);
        print_escaped(stderr, start);
        fputs(start.size < sibling->value.size ? "...\n" : "\n", stderr);
    }
    show_context(answer);
}

void explain_answer(const struct cli *cli, const struct kvr_answer *answer, uint64_t took_us)
{
    fflush(stdout);
    fprintf(stderr, "%s: answered by %s in %.1f ms: %u of %u needed nodes", cli->program->name,
            kvr_node(cli->client), (double)took_us / 1000, answer->got, answer->needed);
    /* How many owners there are; which of them are up, the answer does not say. */
    fprintf(stderr, "; %u nodes own the range", answer->slots);
    if (answer->slots < answer->copies)
        fprintf(stderr, ", and there are to be %u", answer->copies);
    fputc('\n', stderr);
    if (answer->sloppy)
        fprintf(stderr, "  sloppy: nodes that stand in for owners were counted\n");
    for (size_t i = 0; i < answer->siblings_count; i++) {
        const struct kvr_sibling *sibling = &answer->siblings[i];
        fprintf(stderr, "  written ");
        print_time(stderr, sibling->time_ms);
        fprintf(stderr, ", %zu bytes", sibling->value.size);
        if (sibling->expires_ms > 0) {
            fprintf(stderr, ", expires ");
            print_time(stderr, sibling->expires_ms);
        }
        fputc('\n', stderr);
    }
    show_context(answer);
}

void note_copies(const struct cli *cli, const struct kvr_answer *answer)
{
    static bool noted;
    if (answer->slots < answer->copies && !noted && !cli->json) {
        noted = true;
        cli_note(cli, "stored on %u of %u copies: run `kvadmin rebalance`", answer->slots,
                 answer->copies);
    }
}
