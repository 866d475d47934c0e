/* Single options of a world by name, and making a failing world smaller.
 *
 * Shrinking is greedy, one option at a time (as in Zeller and Hildebrandt, "Simplifying and
 * Isolating Failure-Inducing Input", 2002): a smaller value stays if some variation of the world
 * then still breaks the same invariant. The result is a seed and the options that differ from what
 * it draws. */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "sim/run.h"

/* Change options by a text like `nodes=3,loss=0`. False, with OPTIONS in part changed, for a text
 * that names no option or gives no number. */
bool options_set(struct sim_options *options, const char *text);

/* Append to OUT what `--with` needs to make OPTIONS out of what their seed and profile draw;
 * nothing when that is the same. */
void options_differences(const struct sim_options *options, struct buf *out);

/* OPTIONS break the invariant of RET_RESULT: make them smaller, RET_RESULT with them. Returns how
 * many worlds were tried. */
uint32_t shrink_world(struct sim_options *options, struct run_result *ret_result);

#endif
