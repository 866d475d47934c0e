/* Tenures: a node writes to a range under an actor that provably remembers all it wrote there
 * (docs/protocol.md, "Actors and tenures"). They are drawn from the node's durable counter, the
 * generation, so none is ever used twice, and kept beside the installed record of the range.
 *
 * A tenure may be used before it is synced: a crash that forgets it makes the start unclean, and
 * that replaces all tenures anyway. */
#ifndef TENURE_H
#define TENURE_H

#include "core/core.h"

/* Value of the token that a renewal's completion brings to OWNER_NODE: nobody waits for it. */
enum { TOKEN_TENURE = 0 };

/* The next one of this life; *NEXT counts them. */
uint64_t tenure_draw(const struct core *core, uint64_t *next);
/* The durable cell of RANGE: its tenure and its installed record. In the effects' arena. */
struct meta tenure_cell(struct core *core, uint32_t range);
/* A record of RANGE turned out damaged: what this node wrote there may be forgotten. */
void tenure_renew(struct core *core, uint32_t range, uint64_t *next);

#endif
