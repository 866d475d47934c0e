/* import: JSON lines into the cluster, in batches, several of them under way at a time.
 *
 * A line that was refused in passing (nothing changed, retry) is sent again a few times; the first
 * line that cannot be stored ends the import. What is under way then is waited for, so that the
 * report is true. */
#include "kvcli/kvcli.h"

#include "cli/progress.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum {
    BATCHES = 8,
    ENTRIES_MAX = 200,
    BATCH_BYTES = 512 * 1024,
    LINE_MAX_BYTES = 64 * 1024 * 1024,
    ATTEMPTS_MAX = 6,
    PAUSE_MS = 100, /* Before the second attempt; doubled for each further one. */
};

/* One line. */
struct entry {
    uint64_t line;
    struct buf key; /* Owned, as the others. */
    struct buf value;
    struct buf type; /* With a closing zero; empty: none. */
    uint64_t ttl_ms;
};

struct batch {
    struct entry entries[ENTRIES_MAX];
    size_t count;
    size_t bytes;
    char bucket[80];
    uint32_t attempts;
    bool sent;
};

struct import {
    struct cli *cli;
    struct data_options options;
    FILE *from;
    bool counts_lines; /* Progress by lines, for want of a size. */
    bool resend;
    uint64_t line;
    uint64_t bytes; /* Read. */
    uint64_t stored;
    uint64_t failed_line; /* 0: none. */
    struct kvr_error error;
    struct progress progress;
    struct batch *batches; /* Owned; BATCHES. */
    struct kvr_answer *answers;
};

static void entry_done(struct entry *entry)
{
    buf_done(&entry->key);
    buf_done(&entry->value);
    buf_done(&entry->type);
}

static void batch_clear(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        entry_done(&batch->entries[i]);
    }
    *batch = (struct batch){0};
}

/* Of several failures the one of the first line is reported. */
static void note_failure(struct import *import, uint64_t line, const struct kvr_error *error)
{
    if (import->failed_line == 0 || line < import->failed_line) {
        import->failed_line = line;
        import->error = *error;
    }
}

static void fail_line(struct import *import, int code, const char *message)
{
    struct kvr_error error = {.code = code};
    snprintf(error.word, sizeof(error.word), "%s", error_word(code));
    snprintf(error.message, sizeof(error.message), "%s", message);
    snprintf(error.advice, sizeof(error.advice), "%s",
             code == ERR_BAD_REQUEST ? "see `kvcli import --help` for what a line looks like"
                                     : error_advice(code));
    note_failure(import, import->line, &error);
}

/* ------------------------------------------------------------------------------ Reading. */

/* NAME or NAME_base64 of OBJECT into OUT. NULL, or what is wrong. */
static const char *read_field(const json_t *object, const char *name, struct buf *out)
{
    char longer[32];
    snprintf(longer, sizeof(longer), "%s_base64", name);
    const json_t *plain = json_object_get(object, name);
    const json_t *encoded = json_object_get(object, longer);
    const json_t *field = plain != NULL ? plain : encoded;
    if ((plain != NULL) == (encoded != NULL) || !json_is_string(field)) {
        return "needs key and value, or key_base64 and value_base64, as strings";
    }
    struct slice text = slice_of(json_string_value(field), json_string_length(field));
    if (plain != NULL) {
        buf_append(out, text);
        return NULL;
    }
    return base64_decode(text, out) == 0 ? NULL : "has a field that is no base64";
}

/* type and expires_ms. *RET_EXPIRED: it is over already. */
static const char *read_extras(const json_t *object, struct entry *entry, bool *ret_expired)
{
    const json_t *type = json_object_get(object, "type");
    if (json_is_string(type)) {
        buf_append(&entry->type, slice_of(json_string_value(type), json_string_length(type) + 1));
    } else if (type != NULL) {
        return "has a type that is no string";
    }
    const json_t *expires = json_object_get(object, "expires_ms");
    if (expires == NULL) {
        return NULL;
    }
    if (!json_is_integer(expires) || json_integer_value(expires) <= 0) {
        return "has an expires_ms that is no time";
    }
    uint64_t now_ms = clock_ms_wall();
    uint64_t expires_ms = (uint64_t)json_integer_value(expires);
    *ret_expired = expires_ms <= now_ms;
    entry->ttl_ms = *ret_expired ? 0 : expires_ms - now_ms;
    return NULL;
}

static const char *read_bucket(const struct import *import, const json_t *object,
                               const char **ret_bucket)
{
    const json_t *bucket = json_object_get(object, "bucket");
    *ret_bucket = import->options.bucket;
    if (json_is_string(bucket) && json_string_length(bucket) <= 64) {
        *ret_bucket = json_string_value(bucket);
        return NULL;
    }
    return bucket == NULL ? NULL : "has a bucket that is no name";
}

static void batch_send(struct import *import, struct batch *batch);

/* Put ENTRY (taken over) into the batch being filled; send that first if it is full. */
static void add_entry(struct import *import, struct batch **filling, const char *bucket,
                      struct entry *entry);

/* Take one line. */
static void read_line(struct import *import, struct batch **filling, struct slice line)
{
    json_error_t where;
    json_t *object = json_loadb((const char *)line.data, line.size,
                                JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!json_is_object(object)) {
        char message[300];
        snprintf(message, sizeof(message), "is no JSON object%s%s", object == NULL ? ": " : "",
                 object == NULL ? where.text : "");
        fail_line(import, ERR_BAD_REQUEST, message);
        json_decref(object);
        return;
    }
    struct entry entry = {.line = import->line};
    const char *bucket = NULL;
    bool expired = false;
    const char *wrong = read_field(object, "key", &entry.key);
    wrong = wrong != NULL ? wrong : read_field(object, "value", &entry.value);
    wrong = wrong != NULL ? wrong : read_extras(object, &entry, &expired);
    wrong = wrong != NULL ? wrong : read_bucket(import, object, &bucket);
    if (wrong != NULL) {
        fail_line(import, ERR_BAD_REQUEST, wrong);
    }
    if (wrong != NULL || expired) {
        entry_done(&entry);
    } else {
        add_entry(import, filling, bucket, &entry);
    }
    json_decref(object);
}

/* ------------------------------------------------------------------------------ Sending. */

static void sleep_ms(uint32_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static bool worth_retry(const struct import *import, const struct batch *batch, int code)
{
    bool unchanged = error_exit_code(code) == error_exit_code(ERR_UNAVAILABLE);
    bool unknown = code == ERR_TIMEOUT && import->resend;
    return (unchanged || unknown) && batch->attempts < ATTEMPTS_MAX && import->failed_line == 0;
}

static void batch_send(struct import *import, struct batch *batch)
{
    struct kvr_item items[ENTRIES_MAX];
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = &batch->entries[i];
        items[i] = (struct kvr_item){.key = {entry->key.data, entry->key.size},
                                     .value = {entry->value.data, entry->value.size},
                                     .type = (const char *)entry->type.data,
                                     .ttl_ms = entry->ttl_ms};
    }
    struct kvr_options options = import->options.options;
    options.bucket = batch->bucket;
    uint64_t tag = (uint64_t)(batch - import->batches);
    int error = kvr_submit_mput(import->cli->client, items, batch->count, &options, tag);
    for (uint32_t pause_ms = PAUSE_MS; error != 0 && worth_retry(import, batch, error);
         pause_ms *= 2) {
        batch->attempts++;
        sleep_ms(pause_ms);
        error = kvr_submit_mput(import->cli->client, items, batch->count, &options, tag);
    }
    if (error != 0) {
        note_failure(import, batch->entries[0].line, kvr_last_error(import->cli->client));
        batch_clear(batch);
        return;
    }
    batch->attempts++;
    batch->sent = true;
}

/* Sort out which entries of an answered batch are stored; what is left in it is to be sent again.
 */
static void batch_settle(struct import *import, struct batch *batch,
                         const struct kvr_completion *completion)
{
    size_t kept = 0;
    const struct kvr_error *error = completion->error;
    int code = completion->code;
    if (code == 0) {
        code = kvr_completion_parts(import->cli->client, import->answers, batch->count);
        error = kvr_last_error(import->cli->client);
    }
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = &batch->entries[i];
        const struct kvr_answer *answer = &import->answers[i];
        int entry_code = code != 0 ? code : answer->code;
        if (entry_code == 0) {
            import->stored++;
            note_copies(import->cli, answer);
        } else if (worth_retry(import, batch, entry_code)) {
            batch->entries[kept++] = *entry;
            continue;
        } else {
            note_failure(import, entry->line, code != 0 ? error : answer->error);
        }
        entry_done(entry);
    }
    batch->count = kept;
}

static void show_progress(struct import *import)
{
    char note[64];
    snprintf(note, sizeof(note), "%llu lines stored", (unsigned long long)import->stored);
    progress_set(&import->progress, import->counts_lines ? import->stored : import->bytes,
                 import->counts_lines ? NULL : note);
}

/* Wait for one batch. False when none is under way. */
static bool batch_await(struct import *import)
{
    struct kvr_completion completion;
    if (!kvr_next(import->cli->client, -1, &completion)) {
        return false;
    }
    struct batch *batch = &import->batches[completion.tag];
    batch->sent = false;
    batch_settle(import, batch, &completion);
    if (batch->count > 0 && import->failed_line == 0) {
        sleep_ms((uint32_t)PAUSE_MS << (batch->attempts - 1));
        batch_send(import, batch);
    } else {
        batch_clear(batch);
    }
    show_progress(import);
    return true;
}

/* A batch that is empty; waits for one if need be. */
static struct batch *batch_take(struct import *import)
{
    for (;;) {
        for (size_t i = 0; i < BATCHES; i++) {
            if (import->batches[i].count == 0) {
                return &import->batches[i];
            }
        }
        if (!batch_await(import)) {
            return &import->batches[0];
        }
    }
}

static void add_entry(struct import *import, struct batch **filling, const char *bucket,
                      struct entry *entry)
{
    size_t bytes = entry->key.size + entry->value.size;
    struct batch *batch = *filling;
    bool full = batch->count == ENTRIES_MAX || batch->bytes + bytes > BATCH_BYTES;
    if (batch->count > 0 && (full || strcmp(batch->bucket, bucket) != 0)) {
        batch_send(import, batch);
        batch = batch_take(import);
        *filling = batch;
    }
    if (batch->count == 0) {
        snprintf(batch->bucket, sizeof(batch->bucket), "%s", bucket);
    }
    batch->entries[batch->count++] = *entry;
    batch->bytes += bytes;
}

/* ------------------------------------------------------------------------------ The whole. */

static void import_lines(struct import *import)
{
    struct batch *filling = &import->batches[0];
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while (import->failed_line == 0 && (size = getline(&line, &capacity, import->from)) > 0) {
        import->line++;
        import->bytes += (uint64_t)size;
        if (size > LINE_MAX_BYTES) {
            fail_line(import, ERR_TOO_LARGE, "is longer than 64 MiB");
        } else if (line[strspn(line, " \t\r\n")] != '\0') {
            read_line(import, &filling, slice_of(line, (size_t)size));
        }
    }
    if (ferror(import->from)) {
        fail_line(import, ERR_IO, "could not be read");
    }
    free(line);
    if (filling->count > 0 && import->failed_line == 0) {
        batch_send(import, filling);
    }
    while (batch_await(import)) {
    }
    for (size_t i = 0; i < BATCHES; i++) {
        batch_clear(&import->batches[i]);
    }
}

static int report_failure(const struct import *import)
{
    struct kvr_error error = import->error;
    int used = snprintf(error.message, sizeof(error.message), "line %llu: %.200s; ",
                        (unsigned long long)import->failed_line, import->error.message);
    if (import->stored == 0) {
        snprintf(error.message + used, sizeof(error.message) - (size_t)used, "nothing was stored");
    } else {
        /* Lines behind it may have been under way already. */
        snprintf(error.message + used, sizeof(error.message) - (size_t)used,
                 "all before it were stored, %llu lines in all",
                 (unsigned long long)import->stored);
    }
    int exit_code = cli_fail_error(import->cli, &error);
    return import->stored > 0 ? error_exit_code(ERR_PARTLY) : exit_code;
}

static int report(const struct import *import)
{
    double seconds = progress_seconds(&import->progress);
    if (import->failed_line > 0) {
        return report_failure(import);
    }
    if (import->cli->json) {
        json_t *object = json_object();
        json_object_set_new(object, "stored", json_integer((json_int_t)import->stored));
        json_object_set_new(object, "lines", json_integer((json_int_t)import->line));
        json_object_set_new(object, "seconds", json_real(seconds));
        cli_print_json(object);
    } else {
        cli_note(import->cli, "stored %llu lines in %.1f s (%.0f/s)",
                 (unsigned long long)import->stored, seconds,
                 seconds > 0 ? (double)import->stored / seconds : 0);
    }
    return 0;
}

static int open_input(struct import *import)
{
    struct cli *cli = import->cli;
    const char *path = cli->arguments_count > 0 ? cli->arguments[0] : "-";
    import->from = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (import->from == NULL) {
        return cli_fail(cli, ERR_BAD_REQUEST, "name a file that can be read", "cannot open %s: %s",
                        path, strerror(errno));
    }
    struct stat status;
    bool sized = fstat(fileno(import->from), &status) == 0 && S_ISREG(status.st_mode);
    import->counts_lines = !sized;
    progress_start(&import->progress, "import", sized ? PROGRESS_BYTES : PROGRESS_COUNT,
                   sized ? (uint64_t)status.st_size : 0);
    return 0;
}

int run_import(struct cli *cli)
{
    struct import import = {.cli = cli, .resend = cli_given(cli, "resend")};
    int exit_code = data_options_read(cli, &import.options);
    if (exit_code == 0 && cli_client(cli) == NULL) {
        exit_code = 2;
    }
    if (exit_code == 0) {
        exit_code = open_input(&import);
    }
    if (exit_code == 0) {
        import.batches = mem_zero(BATCHES * sizeof(*import.batches));
        import.answers = mem_zero(ENTRIES_MAX * sizeof(*import.answers));
        import_lines(&import);
        progress_clear(&import.progress);
        exit_code = report(&import);
        mem_free(import.batches);
        mem_free(import.answers);
        if (import.from != stdin) {
            fclose(import.from);
        }
    }
    data_options_done(&import.options);
    return exit_code;
}
