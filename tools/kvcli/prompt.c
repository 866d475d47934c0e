/* The prompt: the same commands, line by line, with history and completion (libedit). Without a
 * terminal it reads commands from standard input. */
#include "kvcli/kvcli.h"

#include <histedit.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_SIZE = 1000, WORDS_MAX = 1100 };

struct prompt {
    struct cli *cli;
    EditLine *edit;
    History *history;
    char history_path[4096]; /* Empty: none is kept. */
};

/* ------------------------------------------------------------------------- Completion. */

/* What is common to all candidates so far. */
struct candidates {
    const char *word;
    size_t size;
    int count;
    char common[128];
};

static void candidate(struct candidates *candidates, const char *text)
{
    if (strncmp(text, candidates->word, candidates->size) != 0) {
        return;
    }
    if (candidates->count++ == 0) {
        snprintf(candidates->common, sizeof(candidates->common), "%s", text);
        return;
    }
    size_t same = 0;
    while (candidates->common[same] != '\0' && candidates->common[same] == text[same]) {
        same++;
    }
    candidates->common[same] = '\0';
}

static const struct cli_command *find_command(const struct cli *cli, const char *line, size_t size)
{
    for (const struct cli_command *command = cli->program->commands; command->name != NULL;
         command++) {
        if (strlen(command->name) == size && memcmp(command->name, line, size) == 0) {
            return command;
        }
    }
    return NULL;
}

static void candidate_options(struct candidates *candidates, const struct cli_command *command)
{
    static const char *const common[] = {"--nodes", "--deadline", "--json", "--help"};
    for (const struct cli_option *option = command->options; option != NULL && option->name != NULL;
         option++) {
        char text[64];
        snprintf(text, sizeof(text), "--%s", option->name);
        candidate(candidates, text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
        candidate(candidates, common[i]);
    }
}

/* Complete the first word to a command, a later one that begins with - to an option of it. */
static unsigned char complete(EditLine *edit, int letter)
{
    struct prompt *prompt = NULL;
    const LineInfo *line = el_line(edit);
    const char *word = line->cursor;
    (void)letter;
    el_get(edit, EL_CLIENTDATA, &prompt);
    while (word > line->buffer && word[-1] != ' ') {
        word--;
    }
    struct candidates candidates = {.word = word, .size = (size_t)(line->cursor - word)};
    if (word == line->buffer) {
        for (const struct cli_command *command = prompt->cli->program->commands;
             command->name != NULL; command++) {
            candidate(&candidates, command->name);
        }
        candidate(&candidates, "help");
        candidate(&candidates, "quit");
    } else if (*word == '-') {
        size_t size = strcspn(line->buffer, " ");
        const struct cli_command *command = find_command(prompt->cli, line->buffer, size);
        if (command != NULL) {
            candidate_options(&candidates, command);
        }
    }
    if (candidates.count == 0 || strlen(candidates.common) < candidates.size) {
        return CC_REFRESH_BEEP;
    }
    char insert[160];
    snprintf(insert, sizeof(insert), "%s%s", candidates.common + candidates.size,
             candidates.count == 1 ? " " : "");
    if (insert[0] == '\0') {
        return CC_REFRESH_BEEP;
    }
    return el_insertstr(edit, insert) == 0 ? CC_REFRESH : CC_ERROR;
}

static char *prompt_text(EditLine *edit)
{
    static char text[] = "kvcli> ";
    (void)edit;
    return text;
}

/* ------------------------------------------------------------------------------- Lines. */

static void show_help(const struct cli *cli, int count, const char *const *words)
{
    const struct cli_command *command = NULL;
    if (count > 1) {
        command = find_command(cli, words[1], strlen(words[1]));
    }
    cli_help(cli->program, command, stdout);
    if (command == NULL) {
        puts("`help COMMAND` says more about a command, `quit` or ctrl-D ends the prompt.");
    }
}

/* Carry out one line; its exit code, or -1 to end the prompt. */
static int run_line(struct prompt *prompt, const char *line)
{
    int count = 0;
    const char **words = NULL;
    Tokenizer *tokenizer = tok_init(NULL);
    int unfinished = tok_str(tokenizer, line, &count, &words);
    int exit_code = 0;
    if (unfinished != 0) {
        exit_code = cli_usage(prompt->cli, "a quote is not closed");
    } else if (count > WORDS_MAX) {
        exit_code = cli_usage(prompt->cli, "more than %d words", (int)WORDS_MAX);
    } else if (count > 0 && (strcmp(words[0], "quit") == 0 || strcmp(words[0], "exit") == 0)) {
        exit_code = -1;
    } else if (count > 0 && strcmp(words[0], "help") == 0) {
        show_help(prompt->cli, count, words);
    } else if (count > 0) {
        /* getopt moves words about, which must not upset the tokenizer. */
        char *moved[WORDS_MAX + 1];
        memcpy(moved, words, (size_t)count * sizeof(*moved));
        moved[count] = NULL;
        prompt->cli->command = NULL;
        exit_code = cli_line(prompt->cli, count, moved);
        prompt->cli->command = NULL;
    }
    fflush(stdout);
    tok_end(tokenizer);
    return exit_code;
}

static int run_lines(struct prompt *prompt)
{
    char *line = NULL;
    size_t capacity = 0;
    int exit_code = 0;
    int worst = 0;
    while (exit_code >= 0 && getline(&line, &capacity, stdin) > 0) {
        exit_code = run_line(prompt, line);
        worst = MAX(worst, exit_code);
    }
    free(line);
    return worst;
}

/* ------------------------------------------------------------------------------ Terminal. */

static void history_open(struct prompt *prompt)
{
    HistEvent event;
    const char *home = getenv("HOME");
    prompt->history = history_init();
    history(prompt->history, &event, H_SETSIZE, (int)HISTORY_SIZE);
    history(prompt->history, &event, H_SETUNIQUE, 1);
    if (home != NULL && home[0] != '\0') {
        snprintf(prompt->history_path, sizeof(prompt->history_path), "%s/.kvcli_history", home);
        history(prompt->history, &event, H_LOAD, prompt->history_path);
    }
}

static void history_close(struct prompt *prompt)
{
    HistEvent event;
    if (prompt->history_path[0] != '\0') {
        /* Values may be secrets. */
        mode_t mask = umask(0077);
        history(prompt->history, &event, H_SAVE, prompt->history_path);
        umask(mask);
    }
    history_end(prompt->history);
}

static void edit_open(struct prompt *prompt)
{
    prompt->edit = el_init("kvcli", stdin, stdout, stderr);
    el_set(prompt->edit, EL_CLIENTDATA, prompt);
    el_set(prompt->edit, EL_PROMPT, prompt_text);
    el_set(prompt->edit, EL_EDITOR, "emacs");
    el_set(prompt->edit, EL_SIGNAL, 1);
    el_set(prompt->edit, EL_HIST, history, prompt->history);
    el_set(prompt->edit, EL_ADDFN, "complete", "Complete a command or an option", complete);
    el_set(prompt->edit, EL_BIND, "^I", "complete", NULL);
    el_set(prompt->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(prompt->edit, NULL);
}

int run_prompt(struct cli *cli)
{
    struct prompt prompt = {.cli = cli};
    if (isatty(STDIN_FILENO) != 1) {
        return run_lines(&prompt);
    }
    history_open(&prompt);
    edit_open(&prompt);
    printf("Nodes: %s. `help` lists the commands.\n", cli->nodes);
    int count = 0;
    int exit_code = 0;
    const char *line;
    while (exit_code >= 0 && (line = el_gets(prompt.edit, &count)) != NULL && count > 0) {
        HistEvent event;
        if (line[strspn(line, " \t\r\n")] != '\0') {
            history(prompt.history, &event, H_ENTER, line);
        }
        exit_code = run_line(&prompt, line);
    }
    if (exit_code >= 0) {
        putchar('\n');
    }
    el_end(prompt.edit);
    history_close(&prompt);
    return 0;
}
