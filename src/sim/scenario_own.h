/* What the files of scenarios share, and nobody else includes. */
#ifndef SIM_SCENARIO_OWN_H
#define SIM_SCENARIO_OWN_H

#include "sim/host.h"
#include "sim/scenario.h"

enum {
    WORDS_MAX = 16,
    LINE_SIZE = 256,
    CALLS_MAX = 16,
    WAIT_US = 100000000,
    MS = 1000,
    EXACT_MS = 50
};

/* A request of the story. */
struct story_call {
    struct host_call call;
    struct story *story;
    bool open;
    char text[LINE_SIZE]; /* "get k1". */
    enum method method;
    struct slice bucket, key;
};

struct story {
    struct world world;
    struct sim_options options;
    bool begun; /* The world is there. */
    FILE *out;
    char show[WORDS_MAX][LINE_SIZE];
    uint32_t show_count;
    const char *awaited; /* Text that `until` waits for, NULL once seen. */
    uint64_t command_us;
    struct story_call calls[CALLS_MAX];
    struct buf context; /* Owned: of the last get. */
    const char *error;  /* Why the file makes no sense. */
};

/* scenario_commands.c: WORDS end with NULL; REST is the line behind the first. False: it failed, or
 * story->error says why it makes no sense. */
bool story_carry_out(struct story *story, char **words, const char *rest);

#endif
