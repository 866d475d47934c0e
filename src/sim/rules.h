/* Profile rules: short worlds, each about a rule that others break once in millions of worlds. */
#ifndef SIM_RULES_H
#define SIM_RULES_H

#include "sim/options.h"

/* Make of a short world one about the rule that its seed says. */
void rules_draw(struct sim_options *options);
/* What it is about, and what sets faults off. */
void rules_format(const struct sim_options *options, struct buf *out);

#endif
