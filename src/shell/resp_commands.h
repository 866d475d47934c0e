/* The commands of RESP (docs/protocol.md, "RESP"): one table, and what each does.
 *
 * A command is checked as Redis checks it, with its sentences. What Redis does in one atomic step
 * and the core cannot do so is not there: better an unknown command than one that is nearly it. */
#ifndef RESP_COMMANDS_H
#define RESP_COMMANDS_H

#include "shell/session_resp.h"

struct resp_entry {
    const char *name;
    int arity; /* With the name; below 0: at least so many. */
    void (*run)(struct session *session, const struct resp_command *command);
    const char *flags;     /* As COMMAND shows them, one space between. */
    int first, last, step; /* Words that are keys; last -1: to the end. */
    bool write;
    bool alone; /* Waits for all earlier commands of the connection. */
};

extern const struct resp_entry resp_entries[];
extern const uint32_t resp_entries_count;

/* Run COMMAND, which has words. False: it has to wait for earlier ones; nothing was done. */
bool resp_run(struct session *session, const struct resp_command *command);
/* Connection state as of a new connection. */
void resp_reset(struct session *session);

/* resp_server.c */
void resp_client(struct session *session, const struct resp_command *command);
void resp_config(struct session *session, const struct resp_command *command);
void resp_describe(struct session *session, const struct resp_command *command);
void resp_hello(struct session *session, const struct resp_command *command);
void resp_info(struct session *session, const struct resp_command *command);
void resp_select(struct session *session, const struct resp_command *command);
void resp_wrong_arity(struct session *session, const char *name);

#endif
