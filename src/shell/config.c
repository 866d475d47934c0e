/* The table of options, and its three readers: command line, file, defaults. */
#include "shell/config.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/limits.h"
#include "shell/address.h"

enum kind { KIND_TEXT, KIND_LIST, KIND_FLAG, KIND_NUMBER, KIND_SIZE, KIND_DURATION, KIND_CHOICE };

struct option_line {
    const char *name;     /* --name */
    const char *section;  /* Of the file; NULL: command line only. */
    const char *key;      /* In the section. */
    const char *argument; /* As help shows it. */
    enum kind kind;
    size_t offset;
    const char *initial; /* Default, NULL for none. */
    uint64_t min, max;   /* Of numbers. */
    const char *help;
};

#define AT(field) offsetof(struct config, field)
#define TIB (UINT64_C(1) << 40)

static const struct option_line lines[] = {
    {"data", "node", "data", "DIR", KIND_TEXT, AT(data), NULL, 0, 0,
     "data directory; one per node, created with mode 0700"},
    {"config", NULL, NULL, "FILE", KIND_TEXT, AT(file), NULL, 0, 0,
     "read options from FILE; the command line wins"},
    {"name", "node", "name", "NAME", KIND_TEXT, AT(name), NULL, 0, 0,
     "name of this node; default: the remembered one, else the host's"},
    {"zone", "node", "zone", "ZONE", KIND_TEXT, AT(zone), NULL, 0, 0,
     "failure domain (rack, availability zone)"},
    {"capacity", "node", "capacity", "N", KIND_NUMBER, AT(capacity), "100", 1, 1000000,
     "relative share of the data that this node takes"},
    {"shards", "node", "shards", "S", KIND_NUMBER, AT(shards), NULL, 1, SHARDS_MAX,
     "threads that share the ranges, a power of two; default: 1 on up to 4 cores, else half of "
     "them; "
     "at most as many as the data directory has stores, by default those it was made with"},
    {"create", NULL, NULL, NULL, KIND_FLAG, AT(create), NULL, 0, 0,
     "found a new cluster on an empty directory"},
    {"cluster", "cluster", "name", "NAME", KIND_TEXT, AT(cluster), NULL, 0, 0,
     "with --create: name of the cluster; default: kvring"},
    {"ranges", "cluster", "ranges", "Q", KIND_NUMBER, AT(ranges), "1024", RANGES_MIN, RANGES_MAX,
     "with --create: key ranges, a power of two, fixed for ever"},
    {"copies", "cluster", "copies", "N", KIND_NUMBER, AT(copies), "3", 1, SLOTS_MAX,
     "with --create: copies of each range"},
    {"seed", "cluster", "seed", "HOST:PORT", KIND_LIST, AT(seeds), NULL, 0, 0,
     "join through this peer; may be given several times"},
    {"peer", "listen", "peer", "ADDR", KIND_TEXT, AT(peer), "127.0.0.1:7400", 0, 0,
     "where other nodes connect; addresses are remembered: a restart needs --data alone"},
    {"listen", "listen", "client", "ADDR", KIND_TEXT, AT(client), "127.0.0.1:7379", 0, 0,
     "where clients connect"},
    {"http", "listen", "http", "ADDR", KIND_TEXT, AT(http), "127.0.0.1:7380", 0, 0,
     "metrics, health and status; `off` for none"},
    {"advertise", "node", "advertise", "HOST", KIND_TEXT, AT(advertise), NULL, 0, 0,
     "host under which others reach this node; needed with a wildcard address"},
    {"insecure", "node", "insecure", NULL, KIND_FLAG, AT(insecure), NULL, 0, 0,
     "listen beyond loopback without TLS, on a trusted network"},
    {"memory", "store", "memory", "BYTES", KIND_SIZE, AT(memory_bytes), "256M", 1 << 20, TIB,
     "memory for writes that are not in the checkpoint yet"},
    {"map-size", "store", "map_size", "BYTES", KIND_SIZE, AT(map_bytes), "1T", 16 << 20, 64 * TIB,
     "largest size of the checkpoint file; address space, not memory"},
    {"reserve", "store", "reserve", "BYTES", KIND_SIZE, AT(reserve_bytes), "256M", 0, TIB,
     "refuse writes below this much free disk"},
    {"hints", "store", "hints", "BYTES", KIND_SIZE, AT(hints_bytes), "1G", 0, TIB,
     "writes kept for owners that are down, at most; by default no more than a tenth of the disk"},
    {"log-interval", "store", "log_interval", "TIME", KIND_DURATION, AT(log_interval_ms), "200ms",
     1, 60000, "sync of the commit log for buckets of log mode interval"},
    {"scrub-rate", "store", "scrub_rate", "BYTES", KIND_SIZE, AT(scrub_rate), "4M", 0, TIB,
     "stored bytes a second whose checksums are verified in the background; 0 for none"},
    {"scrub-interval", "store", "scrub_interval", "TIME", KIND_DURATION, AT(scrub_interval_ms),
     "7d", 1000, 366ull * 24 * 3600000, "at most one round of that over all data in so long"},
    {"max-clients", "limits", "max_clients", "N", KIND_NUMBER, AT(clients_max), "16000", 1, 1000000,
     "client connections; further ones are told BUSY"},
    {"max-requests", "limits", "max_requests", "N", KIND_NUMBER, AT(requests_max), "4096", 1,
     1000000, "requests in flight at this node; further ones are told BUSY"},
    {"max-deadline", "limits", "max_deadline", "TIME", KIND_DURATION, AT(deadline_ms_max), "60s",
     100, REQUEST_MS_MAX,
     "longest deadline of a request, the same on all nodes; deletes stay for three of them"},
    {"collect-interval", "store", "collect_interval", "TIME", KIND_DURATION,
     AT(collect_interval_ms), "60s", 0, 3600000,
     "how often dead versions are collected in each range, from 100ms; 0: never, on any node"},
    {"max-value", "limits", "max_value", "BYTES", KIND_SIZE, AT(value_bytes_max), "1M", 1,
     VALUE_SIZE_MAX, "largest value that clients may put"},
    {"drain-timeout", "limits", "drain_timeout", "TIME", KIND_DURATION, AT(drain_timeout_ms), "10s",
     0, 3600000, "how long a stop waits for requests under way"},
    {"sender-timeout", "limits", "sender_timeout", "TIME", KIND_DURATION, AT(sender_timeout_ms),
     "30s", 100, 3600000, "how long a client may take to send one request"},
    {"log-format", "log", "format", "text|json", KIND_CHOICE, AT(log_format), "text", 0, 0,
     "form of log lines on standard error"},
    {"log-level", "log", "level", "LEVEL", KIND_CHOICE, AT(log_level), "info", 0, 0,
     "debug, info, warning or error"},
    {"help", NULL, NULL, NULL, KIND_FLAG, AT(help), NULL, 0, 0, "show this text"},
};

_Static_assert(ARRAY_SIZE(lines) <= 64, "config.given has a bit for each");

static void *field_of(struct config *config, const struct option_line *line)
{
    return (char *)config + line->offset;
}

static char *text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

/* Digits, then a unit that is left to the caller. */
static int number_parse(const char *text, uint64_t *ret_number, const char **ret_unit)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return ERR_BAD_REQUEST;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    *ret_unit = end;
    return errno == 0 ? 0 : ERR_BAD_REQUEST;
}

int config_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    const char *unit;
    uint64_t number;
    uint32_t shift = 0;
    if (number_parse(text, &number, &unit) < 0)
        return ERR_BAD_REQUEST;
    if (*unit != '\0') {
        const char *known = strchr(units, *unit);
        if (known == NULL)
            return ERR_BAD_REQUEST;
        shift = 10 * (uint32_t)(known - units + 1);
        unit++;
        if (strcmp(unit, "") != 0 && strcmp(unit, "B") != 0 && strcmp(unit, "iB") != 0)
            return ERR_BAD_REQUEST;
    }
    if (number > UINT64_MAX >> shift)
        return ERR_BAD_REQUEST;
    *ret_bytes = number << shift;
    return 0;
}

int config_parse_duration(const char *text, uint64_t *ret_ms)
{
    const char *unit;
    uint64_t number;
    if (number_parse(text, &number, &unit) < 0 || number > UINT32_MAX)
        return ERR_BAD_REQUEST;
    if (strcmp(unit, "") == 0 || strcmp(unit, "ms") == 0)
        *ret_ms = number;
    else if (strcmp(unit, "s") == 0)
        *ret_ms = number * 1000;
    else if (strcmp(unit, "m") == 0)
        *ret_ms = number * 60000;
    else if (strcmp(unit, "h") == 0)
        *ret_ms = number * 3600000;
    else if (strcmp(unit, "d") == 0)
        *ret_ms = number * 24 * 3600000;
    else
        return ERR_BAD_REQUEST;
    return 0;
}

static int set_number(uint64_t *field, const struct option_line *line, const char *value,
                      struct buf *error)
{
    uint64_t number = 0;
    const char *unit = "";
    int result = line->kind == KIND_SIZE       ? config_parse_size(value, &number)
                 : line->kind == KIND_DURATION ? config_parse_duration(value, &number)
                                               : number_parse(value, &number, &unit);
    if (result < 0 || *unit != '\0' || number < line->min || number > line->max) {
        const char *what = line->kind == KIND_SIZE       ? " bytes (such as 512M or 4G)"
                           : line->kind == KIND_DURATION ? " milliseconds (such as 500ms or 10s)"
                                                         : "";
        buf_printf(error, "%s: `%s` is not a number from %llu to %llu%s", line->name, value,
                   (unsigned long long)line->min, (unsigned long long)line->max, what);
        return ERR_BAD_REQUEST;
    }
    *field = number;
    return 0;
}

static int set_flag(bool *field, const struct option_line *line, const char *value,
                    struct buf *error)
{
    if (value == NULL || strcmp(value, "yes") == 0 || strcmp(value, "true") == 0) {
        *field = true;
    } else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0) {
        *field = false;
    } else {
        buf_printf(error, "%s: `%s` is neither yes nor no", line->name, value);
        return ERR_BAD_REQUEST;
    }
    return 0;
}

static int set_choice(struct config *config, const struct option_line *line, const char *value,
                      struct buf *error)
{
    if (line->offset == AT(log_level)) {
        if (logger_level_parse(slice_string(value), &config->log_level) == 0)
            return 0;
    } else if (strcmp(value, "text") == 0 || strcmp(value, "json") == 0) {
        config->log_format = value[0] == 't' ? FORMAT_TEXT : FORMAT_JSON;
        return 0;
    }
    buf_printf(error, "%s: `%s` is not one of %s", line->name, value,
               line->offset == AT(log_level) ? "debug, info, warning, error" : "text, json");
    return ERR_BAD_REQUEST;
}

static int set_list(struct config *config, const char *value, struct buf *error)
{
    if (config->seeds_count == SEEDS_MAX) {
        buf_printf(error, "seed: more than %d seeds", SEEDS_MAX);
        return ERR_BAD_REQUEST;
    }
    config->seeds[config->seeds_count++] = text_copy(value);
    return 0;
}

static int set(struct config *config, const struct option_line *line, const char *value,
               struct buf *error)
{
    void *field = field_of(config, line);
    switch (line->kind) {
    case KIND_TEXT:
        if (value[0] == '\0') {
            buf_printf(error, "%s: the value is empty", line->name);
            return ERR_BAD_REQUEST;
        }
        mem_free(*(char **)field);
        *(char **)field = text_copy(value);
        return 0;
    case KIND_LIST:
        return set_list(config, value, error);
    case KIND_FLAG:
        return set_flag(field, line, value, error);
    case KIND_NUMBER:
    case KIND_SIZE:
    case KIND_DURATION:
        return set_number(field, line, value, error);
    case KIND_CHOICE:
        return set_choice(config, line, value, error);
    }
    return ERR_INTERNAL;
}

/* ------------------------------------------------------------------------- Command line. */

static int read_arguments(int count, char *const *arguments, struct config *config,
                          struct buf *error)
{
    struct option options[ARRAY_SIZE(lines) + 1] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        options[i] =
            (struct option){.name = lines[i].name,
                            .has_arg = lines[i].argument == NULL ? no_argument : required_argument};
    /* getopt takes the first one for the program's name and may reorder its own copy. */
    char **copy = mem_alloc(((size_t)count + 2) * sizeof *copy);
    char program[] = "kvnode serve";
    copy[0] = program;
    for (int i = 0; i < count; i++)
        copy[i + 1] = arguments[i];
    copy[count + 1] = NULL;
    int result = 0, found, index = 0;
    optind = 0;
    opterr = 0;
    while (result == 0 && (found = getopt_long(count + 1, copy, ":h", options, &index)) != -1) {
        if (found == 'h') {
            config->help = true;
        } else if (found == 0) {
            config->given |= UINT64_C(1) << index;
            result = set(config, &lines[index], optarg, error);
        } else {
            buf_printf(error, found == ':' ? "option `%s` needs a value" : "unknown option `%s`",
                       copy[optind - 1]);
            result = ERR_BAD_REQUEST;
        }
    }
    if (result == 0 && optind <= count) {
        buf_printf(error, "unexpected argument `%s`", copy[optind]);
        result = ERR_BAD_REQUEST;
    }
    mem_free(copy);
    return result;
}

/* --------------------------------------------------------------------------------- File. */

struct file_reader {
    FILE *file;
    struct config *config;
    uint64_t seen; /* Bits of the table. */
    uint64_t command_line;
    int line;
    int error_line; /* 0: none yet. */
    struct buf *error;
    struct buf text;
};

/* One line for inih; counting here gives the handler its line number. */
static char *read_line(char *text, int size, void *stream)
{
    struct file_reader *reader = stream;
    if (reader->error_line != 0 || fgets(text, size, reader->file) == NULL)
        return NULL;
    reader->line++;
    size_t length = strlen(text);
    if (length + 1 == (size_t)size && text[length - 1] != '\n') {
        reader->error_line = reader->line;
        buf_printf(&reader->text, "the line is longer than %d characters", size - 2);
        return NULL;
    }
    return text;
}

static const struct option_line *line_find(const char *section, const char *key,
                                           bool *ret_section_known)
{
    *ret_section_known = false;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        if (lines[i].section == NULL || strcmp(lines[i].section, section) != 0)
            continue;
        *ret_section_known = true;
        if (strcmp(lines[i].key, key) == 0)
            return &lines[i];
    }
    return NULL;
}

/* Returns 1 for success, as inih wants. */
static int take_line(void *arg, const char *section, const char *key, const char *value)
{
    struct file_reader *reader = arg;
    bool section_known;
    const struct option_line *line = line_find(section, key, &section_known);
    int result = 0;
    if (reader->error_line != 0)
        return 0;
    if (line == NULL) {
        if (section_known)
            buf_printf(&reader->text, "unknown key `%s` in section [%s]", key, section);
        else if (section[0] == '\0')
            buf_printf(&reader->text, "`%s` stands before the first section, such as [node]", key);
        else
            buf_printf(&reader->text, "unknown section [%s]", section);
        result = ERR_BAD_REQUEST;
    } else {
        uint64_t bit = UINT64_C(1) << (line - lines);
        if ((reader->seen & bit) != 0 && line->kind != KIND_LIST) {
            buf_printf(&reader->text, "`%s` is given twice", key);
            result = ERR_BAD_REQUEST;
        } else if ((reader->command_line & bit) == 0) {
            result = set(reader->config, line, value, &reader->text);
        }
        reader->seen |= bit;
    }
    if (result < 0)
        reader->error_line = reader->line;
    return result == 0;
}

static int read_file(struct config *config, struct buf *error)
{
    struct file_reader reader = {.config = config, .command_line = config->given};
    reader.file = fopen(config->file, "re");
    if (reader.file == NULL) {
        buf_printf(error, "cannot read config file %s: %s", config->file, strerror(errno));
        return ERR_BAD_REQUEST;
    }
    int result = ini_parse_stream(read_line, &reader, take_line, &reader);
    fclose(reader.file);
    /* A malformed line that came before ours is inih's to report. */
    if (result > 0 && (reader.error_line == 0 || result < reader.error_line))
        buf_printf(error, "%s:%d: neither [section] nor key = value", config->file, result);
    else if (reader.error_line != 0)
        buf_printf(error, "%s:%d: %.*s", config->file, reader.error_line, (int)reader.text.size,
                   (const char *)reader.text.data);
    buf_done(&reader.text);
    config->given |= reader.seen;
    return error->size == 0 ? 0 : ERR_BAD_REQUEST;
}

/* ------------------------------------------------------------------------------- Whole. */

static void set_defaults(struct config *config)
{
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct buf error = {0};
        if (lines[i].initial != NULL && (config->given & UINT64_C(1) << i) == 0)
            ASSERT(set(config, &lines[i], lines[i].initial, &error) == 0);
    }
}

int config_read(int count, char *const *arguments, struct config *ret_config, struct buf *error)
{
    struct config config = {0};
    int result = read_arguments(count, arguments, &config, error);
    if (result == 0 && !config.help) {
        if (config.file != NULL)
            result = read_file(&config, error);
        if (result == 0) {
            set_defaults(&config);
            result = config_check(&config, error);
        }
    }
    if (result < 0) {
        config_done(&config);
        return result;
    }
    *ret_config = config;
    return 0;
}

bool config_given(const struct config *config, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (strcmp(lines[i].name, name) == 0)
            return (config->given & UINT64_C(1) << i) != 0;
    return false;
}

void config_done(struct config *config)
{
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (lines[i].kind == KIND_TEXT)
            mem_free(*(char **)field_of(config, &lines[i]));
    for (uint32_t i = 0; i < config->seeds_count; i++)
        mem_free(config->seeds[i]);
    *config = (struct config){0};
}

void config_help(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        const struct option_line *line = &lines[i];
        char option[64];
        snprintf(option, sizeof option, "--%s%s%s", line->name, line->argument == NULL ? "" : " ",
                 line->argument == NULL ? "" : line->argument);
        buf_printf(out, "  %-22s %s", option, line->help);
        if (line->initial != NULL)
            buf_printf(out, " (default %s)", line->initial);
        buf_append_byte(out, '\n');
    }
}
