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

/* A key that a story names. */
struct story_key {
    struct slice bucket, key;
    uint64_t *last_write; /* Its name; 0: none yet. */
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
    struct buf context;                /* Owned: of the last get. */
    uint64_t writes;                   /* So far; each has its number as its name. */
    uint64_t last_writes[2][KEYS_MAX]; /* The name of each key's, by bucket; 0: none yet. */
    const char *error;                 /* Why the file makes no sense. */
};

/* scenario_commands.c: WORDS end with NULL; REST is the line behind the first. False: it failed, or
 * story->error says why it makes no sense. */
bool story_carry_out(struct story *story, char **words, const char *rest);
/* A line of the output, with the time since the command. */
void story_print(struct story *story, const char *text);
/* Step until DONE; false if it did not come about in time. */
bool story_wait(struct story *story, bool (*done)(struct story *story));
/* The node, and the number up to MOST, that WORD names; else NULL and 0, and story->error says why.
 */
struct host *story_host(struct story *story, const char *word);
uint32_t story_number(struct story *story, const char *word, uint32_t most);

/* scenario_requests.c: is it a request, with what may stand before one? */
bool story_is_request(char **words);
bool story_request(struct story *story, char **words);
bool story_key(struct story *story, const char *word, struct story_key *ret_key);
bool story_fill(struct story *story, char **words);
/* Is none under way? */
bool story_answered(struct story *story);

#endif
