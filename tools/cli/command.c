#include "cli/command.h"
#include "streams.h"

#include <getopt.h>
#include <stdlib.h>

static const struct cli_option common_options[] = {
    {"nodes", 'n', "HOST:PORT,...", "nodes to ask, in this order (KV_NODES; 127.0.0.1:7379)"},
    {"deadline", 0, "TIME", "give up after this time: 500ms, 5s (the default), 1m"},
    {"json", 0, NULL, "print JSON"},
    {"help", 'h', NULL, "print this help"},
    {NULL, 0, NULL, NULL},
};

enum { OPTION_FIRST = 1000, COLUMN = 27 };

/* ----------------------------------------------------------------------------------- Help. */

static void print_option(const struct cli_option *option, FILE *to)
{
    char left[80];
    char letter[8] = "   ";
    if (option->letter != 0) {
        snprintf(letter, sizeof(letter), "-%c,", option->letter);
    }
    bool has_argument = option->argument != NULL;
    snprintf(left, sizeof(left), "  %s --%s%s%s", letter, option->name, has_argument ? " " : "",
             has_argument ? option->argument : "");
    fprintf(to, "%-*s %s\n", COLUMN, left, option->help);
}

static void print_options(const char *title, const struct cli_option *options, FILE *to)
{
    fprintf(to, "\n%s:\n", title);
    for (const struct cli_option *option = options; option->name != NULL; option++) {
        print_option(option, to);
    }
}

static void help_command(const struct cli_program *program, const struct cli_command *command,
                         FILE *to)
{
    fprintf(to, "%s %s: %s\n\n", program->name, command->name, command->summary);
    fprintf(to, "usage: %s %s [OPTIONS]%s%s\n", program->name, command->name,
            command->arguments[0] != '\0' ? " " : "", command->arguments);
    if (command->help != NULL) {
        fprintf(to, "\n%s\n", command->help);
    }
    if (command->options != NULL) {
        print_options("Options", command->options, to);
    }
    print_options("Options of every command", common_options, to);
}

static void help_program(const struct cli_program *program, FILE *to)
{
    fprintf(to, "%s: %s\n\nusage: %s COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n", program->name,
            program->summary, program->name);
    for (const struct cli_command *command = program->commands; command->name != NULL; command++) {
        char left[80];
        snprintf(left, sizeof(left), "  %s %s", command->name, command->arguments);
        if (strlen(left) > COLUMN) {
            fprintf(to, "%s\n%*s %s\n", left, COLUMN, "", command->summary);
        } else {
            fprintf(to, "%-*s %s\n", COLUMN, left, command->summary);
        }
    }
    print_options("Options of every command", common_options, to);
    if (program->help != NULL) {
        fprintf(to, "\n%s\n", program->help);
    }
    fprintf(to,
            "\n`%s COMMAND --help` says more about a command, `%s --version` which one this is.\n"
            "Exit codes: 0 done, 1 not found, 2 usage, 3 not done: retry, 4 conflict, 5 refused,\n"
            "6 internal, 7 outcome unknown, 8 partly done.\n",
            program->name, program->name);
}

void cli_help(const struct cli_program *program, const struct cli_command *command, FILE *to)
{
    if (command != NULL) {
        help_command(program, command, to);
    } else {
        help_program(program, to);
    }
}

/* --------------------------------------------------------------------------------- Parsing. */

/* How many of WORDS name COMMAND: 0, 1 or 2. */
static int command_match(const struct cli_command *command, int count, char *const *words)
{
    const char *blank = strchr(command->name, ' ');
    if (blank == NULL) {
        return count > 0 && strcmp(words[0], command->name) == 0 ? 1 : 0;
    }
    size_t first = (size_t)(blank - command->name);
    bool match = count > 1 && strlen(words[0]) == first &&
                 memcmp(words[0], command->name, first) == 0 && strcmp(words[1], blank + 1) == 0;
    return match ? 2 : 0;
}

/* The command with the longest name that WORDS begin with. */
static const struct cli_command *command_find(const struct cli_program *program, int count,
                                              char *const *words, int *ret_words)
{
    const struct cli_command *best = NULL;
    *ret_words = 0;
    for (const struct cli_command *command = program->commands; command->name != NULL; command++) {
        int match = command_match(command, count, words);
        if (match > *ret_words) {
            best = command;
            *ret_words = match;
        }
    }
    return best;
}

/* The tables of getopt_long for the common options and those of a command. */
struct getopt_tables {
    struct option longs[CLI_OPTIONS_MAX + 1];
    const struct cli_option *options[CLI_OPTIONS_MAX];
    char letters[2 + 2 * CLI_OPTIONS_MAX + 1];
    int count;
    size_t letters_count;
};

static void tables_add(struct getopt_tables *tables, const struct cli_option *options)
{
    for (const struct cli_option *option = options; option != NULL && option->name != NULL;
         option++) {
        ASSERT(tables->count < CLI_OPTIONS_MAX);
        bool has_argument = option->argument != NULL;
        tables->options[tables->count] = option;
        tables->longs[tables->count] =
            (struct option){option->name, has_argument ? required_argument : no_argument, NULL,
                            OPTION_FIRST + tables->count};
        tables->count++;
        if (option->letter != 0) {
            tables->letters[tables->letters_count++] = option->letter;
            if (has_argument) {
                tables->letters[tables->letters_count++] = ':';
            }
        }
    }
}

static const struct cli_option *tables_find(const struct getopt_tables *tables, int found)
{
    if (found >= OPTION_FIRST) {
        return tables->options[found - OPTION_FIRST];
    }
    for (int i = 0; i < tables->count; i++) {
        if (tables->options[i]->letter == found) {
            return tables->options[i];
        }
    }
    return NULL;
}

static int take_option(struct cli *cli, const struct cli_option *option, const char *argument)
{
    if (cli->given_count == CLI_OPTIONS_MAX) {
        return cli_usage(cli, "more than %d options", (int)CLI_OPTIONS_MAX);
    }
    cli->given[cli->given_count].name = option->name;
    cli->given[cli->given_count].value = argument;
    cli->given_count++;
    if (strcmp(option->name, "json") == 0) {
        cli->json = true;
    } else if (strcmp(option->name, "nodes") == 0) {
        cli->nodes = argument;
        kvr_client_free(cli->client);
        cli->client = NULL;
    } else if (strcmp(option->name, "deadline") == 0) {
        uint64_t deadline_ms = 0;
        int exit_code = cli_duration_ms(cli, "deadline", &deadline_ms);
        if (exit_code == 0 && (deadline_ms == 0 || deadline_ms > 60000)) {
            exit_code = cli_usage(cli, "--deadline must be more than 0 and at most 1m");
        }
        cli->deadline_ms = (uint32_t)deadline_ms;
        return exit_code;
    }
    return 0;
}

/* Read the options of COMMAND (NULL: those before the command, up to the first word that is none).
 * The words that are left begin at optind. */
static int parse_options(struct cli *cli, const struct cli_command *command, int count,
                         char **words, bool *ret_help)
{
    struct getopt_tables tables = {0};
    tables.letters[tables.letters_count++] = command == NULL ? '+' : ':';
    if (command == NULL) {
        tables.letters[tables.letters_count++] = ':';
    }
    tables_add(&tables, common_options);
    tables_add(&tables, command != NULL ? command->options : NULL);
    optind = 0; /* Makes glibc start afresh. */
    opterr = 0;
    int found;
    while ((found = getopt_long(count, words, tables.letters, tables.longs, NULL)) != -1) {
        const struct cli_option *option = tables_find(&tables, found);
        if (found == ':' || option == NULL) {
            return cli_usage(cli, "%s: %s", words[optind - 1],
                             found == ':'      ? "needs an argument"
                             : command != NULL ? "there is no such option"
                                               : "no option of every command; a command's own "
                                                 "options stand behind its name");
        }
        if (option->letter == 'h') {
            *ret_help = true;
        }
        int exit_code = take_option(cli, option, optarg);
        if (exit_code != 0) {
            return exit_code;
        }
    }
    return 0;
}

static int check_arguments(const struct cli *cli)
{
    const struct cli_command *command = cli->command;
    if (cli->arguments_count < command->arguments_min) {
        return cli_usage(cli, "%s needs %s", command->name, command->arguments);
    }
    if (command->arguments_max >= 0 && cli->arguments_count > command->arguments_max) {
        return cli_usage(cli, "%s: one argument too many", cli->arguments[command->arguments_max]);
    }
    return 0;
}

static int unknown_command(const struct cli *cli, int count, char **words)
{
    const char *word = words[0];
    size_t size = strlen(word);
    for (const struct cli_command *command = cli->program->commands; command->name != NULL;
         command++) {
        if (strncmp(command->name, word, size) == 0 && command->name[size] == ' ') {
            if (count > 1 && words[1][0] != '-') {
                return cli_usage(cli, "there is no command `%s %s`", word, words[1]);
            }
            return cli_usage(cli, "%s needs a second word, as in `%s`", word, command->name);
        }
    }
    return cli_usage(cli, "there is no command `%s`", word);
}

int cli_line(struct cli *cli, int count, char **words)
{
    int named = 0;
    cli->given_count = 0;
    cli->error.code = 0;
    cli->command = command_find(cli->program, count, words, &named);
    if (cli->command == NULL) {
        return unknown_command(cli, count, words);
    }
    bool help = false;
    bool json = cli->json;
    uint32_t deadline_ms = cli->deadline_ms;
    char **rest = words + named - 1; /* getopt passes over the first word. */
    int exit_code = parse_options(cli, cli->command, count - named + 1, rest, &help);
    if (exit_code == 0 && help) {
        cli_help(cli->program, cli->command, stdout);
    } else if (exit_code == 0) {
        cli->arguments = rest + optind;
        cli->arguments_count = count - named + 1 - optind;
        exit_code = check_arguments(cli);
        if (exit_code == 0) {
            exit_code = cli->command->run(cli);
        }
    }
    cli->json = json;
    cli->deadline_ms = deadline_ms;
    return exit_code;
}

static int run_program(struct cli *cli, int argc, char **argv)
{
    bool help = false;
    int exit_code = parse_options(cli, NULL, argc, argv, &help);
    int first = optind;
    if (exit_code != 0) {
        return exit_code;
    }
    if (help) {
        cli_help(cli->program, NULL, stdout);
        return 0;
    }
    if (first + 1 == argc && strcmp(argv[first], "help") == 0) {
        cli_help(cli->program, NULL, stdout);
        return 0;
    }
    if (first < argc) {
        return cli_line(cli, argc - first, argv + first);
    }
    if (cli->program->prompt != NULL) {
        return cli->program->prompt(cli);
    }
    cli_help(cli->program, NULL, stderr);
    return 2;
}

int cli_main(const struct cli_program *program, int argc, char **argv)
{
    struct cli cli = {.program = program};
    const char *nodes = getenv("KV_NODES");
    streams_keep();
    cli.nodes = nodes != NULL && nodes[0] != '\0' ? nodes : "127.0.0.1:7379";
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", program->name, KVRING_VERSION);
        return 0;
    }
    int exit_code = run_program(&cli, argc, argv);
    kvr_client_free(cli.client);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: IO: cannot write to standard output\n", program->name);
        return error_exit_code(ERR_IO);
    }
    return exit_code;
}
