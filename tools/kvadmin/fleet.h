/* The members of the cluster as kvadmin sees them, and how to ask one of them in particular.
 *
 * Any node answers for the cluster as a whole; what only one node knows (its transfers, its keys)
 * is asked of that node, at the client address that gossip knows. */
#ifndef FLEET_H
#define FLEET_H

#include "cli/command.h"

struct fleet {
    json_t *answer;  /* Owned: the result of `members`. */
    json_t *members; /* Borrowed from it: the array. */
};

/* 0, or the exit code after saying what went wrong. */
int fleet_load(struct cli *cli, struct fleet *ret_fleet) CHECK_RESULT;
void fleet_done(struct fleet *fleet);
/* The member with that id, NULL if there is none. */
const json_t *fleet_find(const struct fleet *fleet, const char *id);
/* The member by name, or by the first digits of its id. NULL after saying which exist. */
const json_t *fleet_find_named(const struct cli *cli, const struct fleet *fleet, const char *name);
/* What people call the node with that id: its name, else the id's first 8 digits; "-" for NULL. */
const char *fleet_name(const struct fleet *fleet, const char *id);

/* One member asked by itself, over a connection of its own. Zeroed: not connected. */
struct voice {
    struct kvr_client *client; /* Owned. */
};

/* Call METHOD, which changes nothing, at MEMBER; PARAMS are taken over. 0 and a result that the
 * caller owns, or a negative code with the words in cli->error. */
int voice_call(struct cli *cli, struct voice *voice, const json_t *member, const char *method,
               json_t *params, json_t **ret_result) CHECK_RESULT;
void voice_done(struct voice *voice);

/* How many ranges the ring has, and which of them --range N or N-M names; all without it. 0 or the
 * exit code. */
int ranges_load(struct cli *cli, uint64_t *ret_ranges, uint64_t *ret_first,
                uint64_t *ret_last) CHECK_RESULT;

/* Fields of results; 0, "" or the fallback where there is none. */
uint64_t field_u64(const json_t *map, const char *name);
double field_real(const json_t *map, const char *name);
const char *field_text(const json_t *map, const char *name);
const json_t *field_array(const json_t *map, const char *name);

/* 0 to go on: --yes was given or the terminal said yes to QUESTION. Else the exit code. */
int ask(const struct cli *cli, const char *question) CHECK_RESULT;
/* The same, after PLAN was shown to people; it is taken over. With --dry-run that was all: PLAN is
 * printed where JSON is wanted, and 0 returned. */
int ask_about(struct cli *cli, json_t *plan, const char *question) CHECK_RESULT;

/* Name on standard error those of ALL, answers by node, that have an `error` instead. */
void print_unasked(const json_t *all, const char *indent);

#endif
