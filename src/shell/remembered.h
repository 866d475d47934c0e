/* What a data directory remembers of how its node was last started: names and addresses.
 *
 * A restart with nothing but --data comes up as it was; what the command line or the file says
 * wins, each by itself, and is remembered in turn. Stored as the durable cell META_HOST. */
#ifndef REMEMBERED_H
#define REMEMBERED_H

#include "core/step.h"
#include "shell/config.h"

/* Empty: not remembered. Addresses as they were given. */
struct remembered {
    struct slice name;
    struct slice zone;
    struct slice peer;
    struct slice client;
    struct slice http;
    struct slice advertise;
};

/* Find the cell among METAS, from which RET_REMEMBERED borrows. All empty if there is none. */
void remembered_find(const struct meta *metas, uint32_t metas_count,
                     struct remembered *ret_remembered);
/* Fill in the options of CONFIG that were not given. An address that was accepted once needs no
 * second --insecure, which is set with it. */
void remembered_apply(const struct remembered *remembered, struct config *config);
/* Append the cell's value. */
void remembered_write(const struct remembered *remembered, struct buf *out);

#endif
