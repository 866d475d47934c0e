/* mget, scan, export: many keys. */
#include "kvcli/kvcli.h"

#include "cli/progress.h"
#include "cli/table.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------- Lines. */

/* One sibling as a line of text or of JSON. */
static void print_sibling(const struct cli *cli, const char *bucket, struct kvr_bytes key,
                          const struct kvr_sibling *sibling)
{
    if (cli->json) {
        json_t *object = json_of_key(bucket, key);
        json_set_sibling(object, sibling);
        cli_print_json(object);
        return;
    }
    print_escaped(stdout, key);
    putchar('\t');
    print_escaped(stdout, sibling->value);
    putchar('\n');
}

/* A line for each sibling. */
static void print_siblings(const struct cli *cli, const char *bucket, struct kvr_bytes key,
                           const struct kvr_answer *answer)
{
    for (size_t i = 0; i < answer->siblings_count; i++) {
        print_sibling(cli, bucket, key, &answer->siblings[i]);
    }
}

/* -------------------------------------------------------------------------------- mget. */

/* Show one part; its exit code. */
static int show_part(const struct cli *cli, const char *bucket, const char *key,
                     const struct kvr_answer *answer)
{
    if (answer->code == 0) {
        print_siblings(cli, bucket, bytes_of_text(key), answer);
        return answer->siblings_count > 1 ? error_exit_code(ERR_CONFLICT) : 0;
    }
    if (cli->json) {
        json_t *object = json_of_key(bucket, bytes_of_text(key));
        json_object_set_new(object, "error", cli_error_json(answer->error));
        cli_print_json(object);
    } else {
        cli_note(cli, "%s: %s: %s", key, answer->error->word, answer->error->message);
    }
    return error_exit_code(answer->code);
}

int run_mget(struct cli *cli)
{
    enum { NOT_FOUND_EXIT = 1, CONFLICT_EXIT = 4 };
    struct data_options options = {0};
    int exit_code = data_options_read(cli, &options);
    if (exit_code != 0) {
        return exit_code;
    }
    if (cli_client(cli) == NULL) {
        return 2;
    }
    struct kvr_bytes keys[KVR_BATCH_MAX];
    struct kvr_answer *answers = mem_alloc(KVR_BATCH_MAX * sizeof(*answers));
    int worst = 0;
    for (int at = 0; at < cli->arguments_count && exit_code == 0; at += KVR_BATCH_MAX) {
        int count = MIN(cli->arguments_count - at, (int)KVR_BATCH_MAX);
        for (int i = 0; i < count; i++) {
            keys[i] = bytes_of_text(cli->arguments[at + i]);
        }
        if (kvr_mget(cli->client, keys, (size_t)count, &options.options, answers) != 0) {
            exit_code = cli_fail_client(cli);
            break;
        }
        for (int i = 0; i < count; i++) {
            int code = show_part(cli, options.bucket, cli->arguments[at + i], &answers[i]);
            bool mild = code <= NOT_FOUND_EXIT || code == CONFLICT_EXIT;
            worst = MAX(worst, mild ? code : error_exit_code(ERR_PARTLY));
        }
    }
    mem_free(answers);
    return exit_code != 0 ? exit_code : worst;
}

/* -------------------------------------------------------------------------------- scan. */

/* One pass over a bucket, page by page. */
struct scan {
    struct cli *cli;
    struct data_options options;
    bool values;
    uint64_t left;  /* Keys that may still come. */
    uint64_t count; /* Keys that came. */
    struct buf cursor;
};

enum { PAGE_KEYS = 1000, PAGE_VALUES = 100 };

/* The next page. 0 and the page, empty at the end; else an exit code. */
static int scan_page(struct scan *scan, struct kvr_page *ret_page)
{
    uint32_t limit = scan->values ? PAGE_VALUES : PAGE_KEYS;
    limit = (uint32_t)MIN(scan->left, (uint64_t)limit);
    struct kvr_bytes cursor = {scan->cursor.data, scan->cursor.size};
    if (kvr_scan(scan->cli->client, cursor, limit, scan->values, &scan->options.options,
                 ret_page) != 0) {
        return cli_fail_client(scan->cli);
    }
    buf_clear(&scan->cursor);
    buf_append(&scan->cursor, slice_of(ret_page->cursor.data, ret_page->cursor.size));
    scan->left -= MIN(scan->left, ret_page->count);
    scan->count += ret_page->count;
    return 0;
}

static int scan_begin(struct cli *cli, struct scan *scan)
{
    int exit_code = data_options_read(cli, &scan->options);
    if (exit_code == 0) {
        exit_code = cli_number(cli, "limit", 1, UINT64_MAX, &scan->left);
    }
    const char *cursor = cli_text(cli, "cursor");
    if (exit_code == 0 && cursor != NULL &&
        base64_decode(slice_string(cursor), &scan->cursor) != 0) {
        exit_code = cli_usage(cli, "--cursor is no base64");
    }
    if (exit_code == 0 && cli_client(cli) == NULL) {
        exit_code = 2;
    }
    return exit_code;
}

static void scan_done(struct scan *scan)
{
    data_options_done(&scan->options);
    buf_done(&scan->cursor);
}

static void print_item(const struct scan *scan, const struct kvr_answer *item)
{
    if (scan->values) {
        print_siblings(scan->cli, scan->options.bucket, item->key, item);
    } else if (scan->cli->json) {
        cli_print_json(json_of_key(scan->options.bucket, item->key));
    } else {
        print_escaped(stdout, item->key);
        putchar('\n');
    }
}

static void note_cursor(const struct scan *scan)
{
    struct buf base64 = {0};
    base64_encode(buf_slice(&scan->cursor), &base64);
    cli_note(scan->cli, "there may be more: go on with --cursor %.*s", (int)base64.size,
             (const char *)base64.data);
    buf_done(&base64);
}

int run_scan(struct cli *cli)
{
    struct scan scan = {.cli = cli, .values = cli_given(cli, "values"), .left = UINT64_MAX};
    int exit_code = scan_begin(cli, &scan);
    bool more = exit_code == 0;
    while (more) {
        struct kvr_page page = {0};
        exit_code = scan_page(&scan, &page);
        for (size_t i = 0; i < page.count; i++) {
            print_item(&scan, &page.items[i]);
        }
        more = exit_code == 0 && scan.cursor.size > 0 && scan.left > 0;
    }
    if (exit_code == 0 && scan.cursor.size > 0) {
        note_cursor(&scan);
    }
    scan_done(&scan);
    return exit_code;
}

/* ------------------------------------------------------------------------------ export. */

static int export_item(FILE *to, const char *bucket, const struct kvr_answer *item)
{
    int failed = 0;
    for (size_t i = 0; i < item->siblings_count && failed == 0; i++) {
        json_t *object = json_of_key(bucket, item->key);
        json_set_sibling(object, &item->siblings[i]);
        json_object_del(object, "hlc");
        json_object_del(object, "time_ms");
        failed = json_dumpf(object, to, JSON_COMPACT) != 0 || fputc('\n', to) == EOF;
        json_decref(object);
    }
    return failed;
}

static int export_all(struct scan *scan, FILE *to, struct progress *progress)
{
    bool more = true;
    while (more) {
        struct kvr_page page = {0};
        int exit_code = scan_page(scan, &page);
        for (size_t i = 0; i < page.count && exit_code == 0; i++) {
            if (export_item(to, scan->options.bucket, &page.items[i]) != 0) {
                exit_code = cli_fail(scan->cli, ERR_IO, "see whether there is room for the file",
                                     "cannot write the export");
            }
        }
        if (exit_code != 0) {
            progress_clear(progress);
            return exit_code;
        }
        progress_set(progress, scan->count, NULL);
        more = scan->cursor.size > 0;
    }
    progress_clear(progress);
    return 0;
}

int run_export(struct cli *cli)
{
    struct scan scan = {.cli = cli, .values = true, .left = UINT64_MAX};
    int exit_code = scan_begin(cli, &scan);
    const char *path = cli->arguments_count > 0 ? cli->arguments[0] : "-";
    FILE *to = stdout;
    if (exit_code == 0 && strcmp(path, "-") != 0) {
        to = fopen(path, "we");
        if (to == NULL) {
            exit_code = cli_fail(cli, ERR_IO, "choose a file that can be written",
                                 "cannot open %s: %s", path, strerror(errno));
        }
    }
    if (exit_code == 0) {
        struct progress progress;
        progress_start(&progress, "export", PROGRESS_COUNT, 0);
        exit_code = export_all(&scan, to, &progress);
        double seconds = progress_seconds(&progress);
        if (to != stdout && fclose(to) != 0 && exit_code == 0) {
            exit_code = cli_fail(cli, ERR_IO, "see whether there is room for the file",
                                 "cannot write %s: %s", path, strerror(errno));
        }
        if (exit_code == 0) {
            cli_note(cli, "exported %llu keys in %.1f s", (unsigned long long)scan.count, seconds);
        }
    }
    scan_done(&scan);
    return exit_code;
}
