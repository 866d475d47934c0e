/* The commands of RESP (docs/protocol.md, "RESP"): one table, and what each does.
 *
 * A command is checked as Redis checks it, with its sentences. What Redis does in one atomic step
 * is an edit of the core (core/coord_atomic.c), and what the core cannot do so is not there: better
 * an unknown command than one that is nearly it. */
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

/* The entry of a name in any case; NULL for none. */
const struct resp_entry *resp_entry_of(struct slice name);

extern const char resp_syntax_error[];
extern const char resp_not_integer[];
void resp_wrong_arity(struct session *session, const char *name);

/* Keys and values are checked before any part is sent. False: an error was queued. */
bool resp_key_good(struct session *session, struct slice key);
bool resp_value_good(struct session *session, struct slice value);
/* A request for KEY in the bucket that is selected. */
struct request resp_request(const struct session *session, enum method method, struct slice key);
/* A reply of one part. */
void resp_send(struct session *session, enum resp_kind kind, const struct request *request);

/* resp_edits.c */
void resp_append(struct session *session, const struct resp_command *command);
void resp_expire(struct session *session, const struct resp_command *command);
void resp_getdel(struct session *session, const struct resp_command *command);
void resp_getex(struct session *session, const struct resp_command *command);
void resp_getset(struct session *session, const struct resp_command *command);
void resp_incr(struct session *session, const struct resp_command *command);
void resp_incrbyfloat(struct session *session, const struct resp_command *command);
void resp_msetnx(struct session *session, const struct resp_command *command);
void resp_persist(struct session *session, const struct resp_command *command);
void resp_set(struct session *session, const struct resp_command *command);
void resp_setex(struct session *session, const struct resp_command *command);
void resp_setnx(struct session *session, const struct resp_command *command);
void resp_setrange(struct session *session, const struct resp_command *command);

/* resp_scan.c */
void resp_dbsize(struct session *session, const struct resp_command *command);
void resp_keys(struct session *session, const struct resp_command *command);
void resp_run_scan(struct session *session, const struct resp_command *command);

/* resp_server.c */
void resp_client(struct session *session, const struct resp_command *command);
void resp_config(struct session *session, const struct resp_command *command);
void resp_describe(struct session *session, const struct resp_command *command);
void resp_hello(struct session *session, const struct resp_command *command);
void resp_info(struct session *session, const struct resp_command *command);
void resp_select(struct session *session, const struct resp_command *command);
void resp_time(struct session *session, const struct resp_command *command);

#endif
