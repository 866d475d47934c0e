/* The growing list of what a step wants done. */
#include "core/step.h"

void effects_done(struct effects *effects)
{
    arena_done(&effects->arena);
    mem_free(effects->items);
    *effects = (struct effects){0};
}

void effects_reset(struct effects *effects)
{
    arena_reset(&effects->arena);
    effects->count = 0;
}

struct effect *effects_add(struct effects *effects, enum effect_type type)
{
    if (effects->count == effects->capacity) {
        effects->capacity = MAX(effects->capacity * 2, 16u);
        effects->items = mem_grow(effects->items, effects->capacity * sizeof *effects->items);
    }
    struct effect *effect = &effects->items[effects->count++];
    memset(effect, 0, sizeof *effect);
    effect->type = type;
    return effect;
}
