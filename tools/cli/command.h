/* The frame that kvcli and kvadmin share: a table of commands and options, help, output, errors.
 *
 * A program is a constant table of commands; cli_main finds the one that was asked for, parses its
 * options and calls it. A command returns an exit code (0..8, base/error.h). What it was asked for
 * goes to stdout, everything else to stderr. Under --json stdout carries JSON only.
 *
 * Every command has these options without naming them: --help, --json, -n/--nodes and --deadline.
 * Strings from the command line live as long as the process. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/error.h"
#include "kvring/kvring.h"

#include <jansson.h>
#include <stdio.h>

struct cli;

struct cli_option {
    const char *name;     /* Long name; NULL ends a table. */
    char letter;          /* Short name or 0. */
    const char *argument; /* What help calls its argument ("N"); NULL: a flag. */
    const char *help;     /* One line without a full stop. */
};

struct cli_command {
    const char *name;      /* One or two words: "put", "bucket create"; NULL ends a table. */
    const char *arguments; /* For help: "KEY [VALUE|-]"; "" for none. */
    const char *summary;   /* One line without a full stop. */
    const char *help;      /* Further paragraphs with line ends, or NULL. */
    const struct cli_option *options; /* NULL: none of its own. */
    int arguments_min;
    int arguments_max; /* -1: any number. */
    int (*run)(struct cli *cli);
};

struct cli_program {
    const char *name;
    const char *summary;
    const struct cli_command *commands;
    const char *help;            /* Closing paragraphs (environment, examples), or NULL. */
    int (*prompt)(struct cli *); /* Without a command; NULL: print help and exit 2. */
};

enum { CLI_OPTIONS_MAX = 32 };

/* One command being carried out. */
struct cli {
    const struct cli_program *program;
    const struct cli_command *command;
    char *const *arguments; /* Borrowed: what is left after the options. */
    int arguments_count;
    bool json;
    uint32_t deadline_ms; /* 0: the default. */
    const char *nodes;
    struct kvr_client *client; /* Owned; made by cli_client. */
    struct kvr_error error;    /* Of the last cli_call. */
    /* Parsed options, read by cli_text and its like. */
    struct {
        const char *name;
        const char *value;
    } given[CLI_OPTIONS_MAX];
    int given_count;
};

/* All of main(): parse, run, return the exit code. Handles --help and --version. */
int cli_main(const struct cli_program *program, int argc, char **argv);
/* One command line within a running program (the prompt): CLI keeps its client and nodes. WORDS[0]
 * is the command. */
int cli_line(struct cli *cli, int count, char **words);
void cli_help(const struct cli_program *program, const struct cli_command *command, FILE *to);

/* The argument of option NAME (its long name), the last one given; NULL when it was not given. */
const char *cli_text(const struct cli *cli, const char *name);
/* Was flag or option NAME given? */
bool cli_given(const struct cli *cli, const char *name);
/* The I-th of several arguments of an option that may be repeated, NULL past the last. */
const char *cli_text_at(const struct cli *cli, const char *name, int i);
/* A whole number in MIN..MAX; *RET_VALUE keeps its value when the option was not given. 0, or exit
 * code 2 after saying what was wrong: `if ((exit = cli_number(...)) != 0) return exit;` */
int cli_number(const struct cli *cli, const char *name, uint64_t min, uint64_t max,
               uint64_t *ret_value) CHECK_RESULT;
/* As cli_number, for a duration such as "250ms", "30s", "5m", "12h", "7d"; a bare number is
 * seconds. */
int cli_duration_ms(const struct cli *cli, const char *name, uint64_t *ret_ms) CHECK_RESULT;
/* As cli_number, for "one", "quorum", "all" or 1..7, as kvr_options wants it. */
int cli_consistency(const struct cli *cli, const char *name, uint8_t *ret_value) CHECK_RESULT;
/* As cli_number, for a size in bytes such as "64K", "10MB", "1GiB" (powers of 1024). */
int cli_size(const struct cli *cli, const char *name, uint64_t *ret_bytes) CHECK_RESULT;

/* The client for --nodes, KV_NODES or 127.0.0.1:7379; made at first use. NULL after it said that
 * the list is malformed: return 2. */
struct kvr_client *cli_client(struct cli *cli);
/* Call METHOD with PARAMS (a JSON object, taken over; NULL: none) and give its result as JSON, see
 * cli/json.h for how MessagePack maps to it. REPEATABLE as in kvr_call. 0, or a negative code after
 * which cli_fail_client says why; the caller owns *RET_RESULT. */
int cli_call(struct cli *cli, const char *method, json_t *params, bool repeatable,
             json_t **ret_result) CHECK_RESULT;
/* The same with a client of one's own, for one particular node. */
int cli_call_at(struct cli *cli, struct kvr_client *client, const char *method, json_t *params,
                bool repeatable, json_t **ret_result) CHECK_RESULT;

/* Say what went wrong and what to do, on stderr or, under --json, as {"error": {...}} on stdout;
 * returns the exit code of CODE. ADVICE NULL: that of the code. */
int cli_fail(const struct cli *cli, int code, const char *advice, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* The same for the error of the last cli_call, or else the last error of the client. */
int cli_fail_client(const struct cli *cli);
int cli_fail_error(const struct cli *cli, const struct kvr_error *error);
/* {"code", "message", "advice", ...} of an error; the caller owns it. */
json_t *cli_error_json(const struct kvr_error *error);
/* Exit code 2: the command line is wrong. */
int cli_usage(const struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
/* A sentence on stderr, beside the result. */
void cli_note(const struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
/* Print VALUE (taken over) as one line of JSON on stdout. */
void cli_print_json(json_t *value);
/* Ask on the terminal; false unless the answer is yes. Without a terminal: false. */
bool cli_confirm(const char *question);

#endif
