#include "store/store_private.h"

enum {
    TELL_MAX = 16,              /* Keys in one go. */
    TELL_PAUSE_US = 10 * 1000,  /* Between two goes. */
    AGAIN_US_MIN = 1000 * 1000, /* Until the host hears of the same key again, */
    AGAIN_DOUBLINGS = 6,        /* ever later, up to a minute or so. */
};

static void damage_free(struct damage *damage)
{
    buf_done(&damage->path);
    mem_free(damage);
}

void damages_done(struct damages *damages)
{
    for (uint32_t i = 0; i < damages->count; i++)
        damage_free(damages->items[i]);
    mem_free(damages->items);
    *damages = (struct damages){0};
}

struct damage *damage_find(const struct store *store, uint64_t hash, struct slice path)
{
    const struct damages *damages = &store->damages;
    for (uint32_t i = 0; i < damages->count; i++) {
        struct damage *damage = damages->items[i];
        if (damage->hash == hash && slice_equal(buf_slice(&damage->path), path))
            return damage;
    }
    return NULL;
}

static struct damage *damage_add(struct store *store, uint64_t hash, struct slice path)
{
    struct damages *damages = &store->damages;
    if (damages->count == DAMAGES_MAX)
        return NULL;
    if (!damages->items)
        damages->items = mem_alloc(DAMAGES_MAX * sizeof(struct damage *));
    struct damage *damage = mem_zero(sizeof(*damage));
    damage->hash = hash;
    damage->number = ++damages->losses;
    buf_append(&damage->path, path);
    damages->items[damages->count++] = damage;
    return damage;
}

static void damage_remove(struct store *store, struct damage *damage)
{
    struct damages *damages = &store->damages;
    uint32_t at = 0;
    while (damages->items[at] != damage)
        at++;
    damages->items[at] = damages->items[--damages->count];
    damage_free(damage);
}

struct damage *damage_note(struct store *store, uint64_t hash, struct slice path)
{
    struct damage *damage = damage_find(store, hash, path);
    if (damage && damage->bad)
        return damage;
    if (damage) {
        damage->number = ++store->damages.losses;
        damage->renewed = false;
        damage->told = 0;
        damage->tell_us = 0;
    } else {
        damage = damage_add(store, hash, path);
    }
    if (damage)
        damage->bad = true;
    store->damages.found += damage != NULL;
    return damage;
}

/* ------------------------------------------------------------------------------------ Marks. */

static struct slice mark_key(struct slice path, uint8_t key[DAMAGE_MARK])
{
    key[0] = 0;
    key[1] = META_OWN_DAMAGE;
    memcpy(key + 2, path.data, 8);
    store_u64(key + 10, checksum64(path, 1));
    store_u64(key + 18, checksum64(path, 2));
    return slice_of(key, DAMAGE_MARK);
}

uint64_t damage_mark(struct store *store, struct damage *damage, bool more, bool sync)
{
    uint8_t key[DAMAGE_MARK];
    struct slice path = buf_slice(&damage->path);
    damage->written = true;
    damage->bad = false;
    return state_log_own(store, mark_key(path, key), path, more, sync);
}

uint64_t damage_heal(struct store *store, struct damage *damage, bool more, bool sync)
{
    uint8_t key[DAMAGE_MARK];
    uint64_t position =
        state_log_own(store, mark_key(buf_slice(&damage->path), key), SLICE_NONE, more, sync);
    store->damages.healed++;
    damage_remove(store, damage);
    return position;
}

void damage_dismiss(struct store *store, struct damage *damage)
{
    ASSERT(!damage->written);
    store->damages.healed++;
    damage_remove(store, damage);
}

/* The record of the drop, which is in the log already, stands for the end of the marks. */
void damage_forget(struct store *store, uint32_t range)
{
    struct damages *damages = &store->damages;
    for (uint32_t i = damages->count; i-- > 0;) {
        struct damage *damage = damages->items[i];
        uint8_t key[DAMAGE_MARK];
        if (range_of(damage->hash, store->range_bits) != range)
            continue;
        if (damage->written)
            metas_set(&store->metas, mark_key(buf_slice(&damage->path), key), SLICE_NONE, true);
        damage_remove(store, damage);
    }
}

int damage_restore(struct store *store, struct slice key, struct slice value)
{
    uint64_t hash;
    struct slice bucket;
    struct slice client_key;
    if (value.size == 0) {
        for (uint32_t i = 0; i < store->damages.count; i++) {
            struct damage *damage = store->damages.items[i];
            uint8_t own[DAMAGE_MARK];
            if (slice_equal(mark_key(buf_slice(&damage->path), own), key)) {
                damage_remove(store, damage);
                return 0;
            }
        }
        return 0;
    }
    if (key.size != DAMAGE_MARK || store->range_bits == 0 ||
        !key_parse(value, &hash, &bucket, &client_key))
        return ERR_CORRUPT;
    struct damage *damage = damage_find(store, hash, value);
    if (!damage)
        damage = damage_add(store, hash, value);
    if (!damage)
        return ERR_CORRUPT; /* More than were ever marked at a time. */
    damage->written = true;
    return 0;
}

/* ---------------------------------------------------------------------------------- Telling. */

static void tell(struct store *store, struct damage *damage)
{
    bool first = damage->told == 0;
    if (first)
        damage->rest_us = store->engine_us + store->options.rest_us;
    struct store_damage news = {
        .number = damage->number,
        .fresh = first && !damage->renewed,
        .rested = store->now_us >= damage->rest_us,
    };
    key_parse(buf_slice(&damage->path), &news.hash, &news.bucket, &news.key);
    uint32_t doublings = MIN(damage->told, (uint32_t)AGAIN_DOUBLINGS);
    damage->told++;
    damage->tell_us =
        news.rested ? store->now_us + ((uint64_t)AGAIN_US_MIN << doublings) : damage->rest_us;
    store->options.damaged(store->options.arg, &news);
}

void damage_tell(struct store *store)
{
    uint32_t told = 0;
    if (!store->options.damaged || store->range_bits == 0 || store->stopping)
        return;
    for (uint32_t i = 0; i < store->damages.count; i++) {
        struct damage *damage = store->damages.items[i];
        if (damage->tell_us > store->now_us)
            continue;
        if (told++ < TELL_MAX)
            tell(store, damage);
        else
            damage->tell_us = store->now_us + TELL_PAUSE_US;
    }
    holes_tell(store);
}

uint64_t damage_wake_us(const struct store *store)
{
    uint64_t wake = UINT64_MAX;
    if (!store->options.damaged || store->range_bits == 0 || store->stopping)
        return wake;
    wake = holes_tell_us(store);
    for (uint32_t i = 0; i < store->damages.count; i++)
        wake = MIN(wake, store->damages.items[i]->tell_us);
    return wake;
}
