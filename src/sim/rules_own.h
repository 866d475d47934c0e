/* The subjects of worlds of profile rules: shared by its files, and by nobody else. Each draw
 * changes what a world of profile transfer would be. */
#ifndef RULES_OWN_H
#define RULES_OWN_H

#include "base/prng.h"
#include "sim/options.h"

void draw_cut_off(struct prng *prng, struct sim_options *o);
void draw_unheard(struct prng *prng, struct sim_options *o);
void draw_order(struct prng *prng, struct sim_options *o);
void draw_ballots(struct prng *prng, struct sim_options *o);
void draw_crowd(struct prng *prng, struct sim_options *o);
void draw_leaving(struct prng *prng, struct sim_options *o);
void draw_restored(struct prng *prng, struct sim_options *o);
void draw_healing(struct prng *prng, struct sim_options *o);
void draw_alone(struct prng *prng, struct sim_options *o);
void draw_drops(struct prng *prng, struct sim_options *o);
void draw_plain(struct prng *prng, struct sim_options *o);
void draw_late(struct prng *prng, struct sim_options *o);
void draw_takers(struct prng *prng, struct sim_options *o);
void draw_keepers(struct prng *prng, struct sim_options *o);
void draw_standing(struct prng *prng, struct sim_options *o);
void draw_teachers(struct prng *prng, struct sim_options *o);
void draw_left(struct prng *prng, struct sim_options *o);
void draw_alone_first(struct prng *prng, struct sim_options *o);
void draw_goers(struct prng *prng, struct sim_options *o);

/* What several of them share. */
void fast_links(struct prng *prng, struct sim_options *o);
void of_old_copies(struct prng *prng, struct sim_options *o);

/* rules_draws_data.c */
void draw_hidden(struct prng *prng, struct sim_options *o);
void draw_missed(struct prng *prng, struct sim_options *o);
void draw_newcomers(struct prng *prng, struct sim_options *o);
void draw_handing(struct prng *prng, struct sim_options *o);
void draw_beside(struct prng *prng, struct sim_options *o);
void draw_retried(struct prng *prng, struct sim_options *o);

#endif
