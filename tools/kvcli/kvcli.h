/* Inside kvcli: the commands, and what they share. Each command returns an exit code. */
#ifndef KVCLI_H
#define KVCLI_H

#include "cli/command.h"
#include "cli/json.h"

int run_put(struct cli *cli);
int run_get(struct cli *cli);
int run_del(struct cli *cli);
int run_mget(struct cli *cli);
int run_scan(struct cli *cli);
int run_import(struct cli *cli);
int run_export(struct cli *cli);
int run_prompt(struct cli *cli);

/* ------------------------------------------------------------------------------- data.c */

/* What the data commands were told; context_bytes owns what options.context borrows. */
struct data_options {
    struct kvr_options options;
    const char *bucket; /* Never NULL. */
    struct buf context_bytes;
    bool explain;
};

/* Read bucket, r, w, dw, strict, ttl, type, context, explain and the deadline, as far as the
 * command has these options. 0, or an exit code after saying what was wrong. */
int data_options_read(struct cli *cli, struct data_options *ret_options) CHECK_RESULT;
void data_options_done(struct data_options *options);

struct kvr_bytes bytes_of_text(const char *text);

/* The JSON of a key or a value: NAME where it is UTF-8, else NAME_base64. */
void json_set_bytes(json_t *object, const char *name, struct kvr_bytes bytes);
/* {"bucket", "key"} */
json_t *json_of_key(const char *bucket, struct kvr_bytes key);
/* value, type, hlc, time_ms, expires_ms of SIBLING into OBJECT. */
void json_set_sibling(json_t *object, const struct kvr_sibling *sibling);
/* needed, got, slots, copies and, if there is one, the context. */
void json_set_answer(json_t *object, const struct kvr_answer *answer);

/* BYTES with what is no printable text as \n, \t, \\ or \xNN. */
void print_escaped(FILE *to, struct kvr_bytes bytes);
/* The siblings of a conflict on stderr, one a line. */
void show_siblings(const struct kvr_answer *answer);
/* Who answered, how many copies: on stderr, for --explain. */
void explain_answer(const struct cli *cli, const struct kvr_answer *answer, uint64_t took_us);
/* Warn, once in a process, when a range has fewer copies than it should. */
void note_copies(const struct cli *cli, const struct kvr_answer *answer);
uint64_t clock_us(void);
uint64_t clock_ms_wall(void);

#endif
