/* Reading a story, once or once for each value. */
#include "sim/scenario_own.h"

/* Cut LINE into words in place, NULL at the end. */
static uint32_t split(char *line, char *words[WORDS_MAX + 1])
{
    uint32_t count = 0;
    for (char *word = strtok(line, " "); word != NULL && count < WORDS_MAX;
         word = strtok(NULL, " "))
        words[count++] = word;
    words[count] = NULL;
    return count;
}

/* LINE with each $NAME replaced by VALUE. */
static void expand(const char *line, const char *name, const char *value, char ret[LINE_SIZE])
{
    size_t used = 0;
    size_t length = strlen(name);
    for (const char *at = line; *at != '\0' && used + 1 < LINE_SIZE;) {
        if (*at == '$' && length > 0 && strncmp(at + 1, name, length) == 0) {
            used += (size_t)snprintf(ret + used, LINE_SIZE - used, "%s", value);
            at += 1 + length;
        } else {
            ret[used++] = *at++;
        }
    }
    ret[MIN(used, (size_t)LINE_SIZE - 1)] = '\0';
}

static void default_options(struct sim_options *options)
{
    *options = (struct sim_options){
        .seed = 1,
        .shards = 1,
        .nodes = 3,
        .copies = 3,
        .range_bits = 6,
        .tree_bits = 8,
        .hot_ranges = 1,
        .range = 5,
        .clients = 1,
        .keys = KEYS_MAX,
        .value_size_max = 16,
        .policies = {false, true, false},
        .delay_us_min = 1000,
        .delay_us_max = 1000,
        .disk_us_min = 1000,
        .disk_us_max = 1000,
        .memory_max = 1 << 20,
        .hints_max = 1 << 20,
        .cleanup_us = 500000,
        .gossip_us = 1000000,
        .abort_us = 5000000,
        .repair_us = timing_default.repair_us,
        .chunk_objects = timing_default.chunk_objects,
        .deadline_ms = 3000,
        .edit_deadline_ms = 2000,
        .fault_us_max = 8000000,
        .check_every = 1,
    };
}

static int conclude(struct story *story, bool done, const char *line, uint32_t number)
{
    if (story->error != NULL) {
        fprintf(stderr, "line %u: %s: %s\n", number, line, story->error);
        return 2;
    }
    if (story->begun && world_broken(&story->world)) {
        fprintf(story->out, "VIOLATION %s: %.*s\n", story->world.violation.invariant,
                (int)story->world.violation.text.size,
                (const char *)story->world.violation.text.data);
        return 1;
    }
    if (!done)
        fprintf(story->out, "did not end: %s\n", line);
    return done ? 0 : 1;
}

/* Tell the story of FILE once. */
static int tell(FILE *file, const char *name, const char *value, FILE *out)
{
    struct story *story = mem_zero(sizeof(*story));
    story->out = out;
    default_options(&story->options);
    char line[LINE_SIZE];
    int status = 0;
    rewind(file);
    for (uint32_t number = 1; status == 0 && fgets(line, sizeof(line), file) != NULL; number++) {
        line[strcspn(line, "#\n")] = '\0';
        char expanded[LINE_SIZE];
        expand(line, name, value, expanded);
        char copy[LINE_SIZE];
        snprintf(copy, sizeof(copy), "%s", expanded);
        char *words[WORDS_MAX + 1];
        if (split(copy, words) == 0 || strcmp(words[0], "each") == 0)
            continue;
        const char *rest = strchr(expanded, ' ');
        story->command_us = story->begun ? story->world.now_us : 0;
        fprintf(out, "> %s\n", expanded);
        bool done = story_carry_out(story, words, rest == NULL ? "" : rest + 1);
        status = conclude(story, done, expanded, number);
    }
    if (story->begun)
        world_done(&story->world);
    buf_done(&story->context);
    mem_free(story);
    return status;
}

int scenario_run(const char *path, FILE *out)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return 2;
    }
    char line[LINE_SIZE];
    char *words[WORDS_MAX + 1] = {NULL};
    uint32_t count = 0;
    while (count == 0 && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "#\n")] = '\0';
        count = split(line, words);
    }
    int status = 0;
    if (count > 2 && strcmp(words[0], "each") == 0) {
        for (uint32_t i = 2; i < count && status == 0; i++) {
            fprintf(out, "%s==== %s %s\n", i > 2 ? "\n" : "", words[1], words[i]);
            char value[LINE_SIZE];
            snprintf(value, sizeof(value), "%s", words[i]);
            status = tell(file, words[1], value, out);
        }
    } else {
        status = tell(file, "", "", out);
    }
    fclose(file);
    return status;
}
