/* What the commands that plan moves share (rebalance.c). */
#ifndef KVADMIN_PLAN_H
#define KVADMIN_PLAN_H

#include "kvadmin/fleet.h"

/* What `plan`, `leave` or `remove` answered, for people. */
void plan_print(const struct fleet *fleet, const json_t *plan, uint64_t rate);
/* Call METHOD; a node that comes back within seconds need not fail it. PARAMS are copied. */
int call_patiently(struct cli *cli, const char *method, const json_t *params, bool repeatable,
                   json_t **ret_result) CHECK_RESULT;
/* --rate in bytes per second, 0 for none. 0 or the exit code. */
int rate_read(const struct cli *cli, uint64_t *ret_rate) CHECK_RESULT;
/* Apply PLAN, and wait for it with --wait. 0 or the exit code. */
int plan_start(struct cli *cli, const char *label, const json_t *plan, uint64_t rate) CHECK_RESULT;
/* The parameters that all of them take; the caller owns them. */
json_t *plan_params(struct cli *cli, const struct fleet *fleet, uint64_t rate);

#endif
