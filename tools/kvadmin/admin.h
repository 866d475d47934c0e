/* The commands of kvadmin, by subject. Each returns an exit code. */
#ifndef KVADMIN_ADMIN_H
#define KVADMIN_ADMIN_H

#include "base/limits.h"
#include "kvadmin/fleet.h"

/* status.c */
int status_command(struct cli *cli);
int members_command(struct cli *cli);
/* Print the result of `status`. */
void status_print(const json_t *status, FILE *to);

/* ring.c */
int ring_command(struct cli *cli);
int gossip_command(struct cli *cli);

/* rebalance.c */
int rebalance_command(struct cli *cli);
int leave_command(struct cli *cli);
int move_command(struct cli *cli);

/* remove.c */
int remove_command(struct cli *cli);
int replace_command(struct cli *cli);

/* transfers.c */
int transfers_command(struct cli *cli);
int pause_command(struct cli *cli);
int resume_command(struct cli *cli);
int cancel_command(struct cli *cli);
/* Wait until the plan has no moves left, showing how far it is. 0 or the exit code. */
int plan_wait(struct cli *cli, const char *label) CHECK_RESULT;

/* hints.c */
int hints_command(struct cli *cli);

/* verify.c */
int verify_command(struct cli *cli);

/* bucket.c */
int bucket_create_command(struct cli *cli);
int bucket_set_command(struct cli *cli);
int bucket_drop_command(struct cli *cli);
int bucket_list_command(struct cli *cli);
int bucket_describe_command(struct cli *cli);

/* node.c */
int drain_command(struct cli *cli);
int repair_command(struct cli *cli);

/* top.c */
int top_command(struct cli *cli);

#endif
