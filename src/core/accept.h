/* Accepting a loss: the forks that a removal makes (data/fork.h). */
#ifndef ACCEPT_H
#define ACCEPT_H

#include "core/core.h"

/* Forks of all ranges whose majority is lost with ID and with all that have departed; nonces are
 * drawn from PRNG. The caller frees *RET_FORKS, in order of their ranges, with mem_free; returns
 * how many. Of a range of which nothing survives, and that nobody who is up can begin anew, there
 * is none. */
uint32_t accept_forks(const struct core *core, struct node_id id, struct prng *prng,
                      struct range_record **ret_forks);

#endif
