/* Opening the several stores of a directory: their engines one after the other, then one pass over
 * the log that they share. */
#include "store/store_private.h"

/* What the opening of them shares. */
struct opening {
    uint32_t count;
    struct store *stores[STORES_MAX];
    bool found[STORES_MAX];
    uint64_t positions[STORES_MAX]; /* Found, before this run. */
    struct log_recovered recovered[STORES_MAX];
    struct log_shared *shared;
    struct buf text; /* Of an error of one store. */
};

/* The words of an error, and whose it is; INDEX the number of stores: nobody's. */
static int say(struct opening *opening, uint32_t index, int error, struct buf *error_text)
{
    if (index < opening->count)
        buf_printf(error_text, "store %u: ", index);
    buf_append(error_text, buf_slice(&opening->text));
    buf_clear(&opening->text);
    return error;
}

static int load_all(struct opening *opening, struct buf *error_text)
{
    for (uint32_t i = 0; i < opening->count; i++) {
        int error = open_load(opening->stores[i], &opening->found[i], &opening->text);
        if (error)
            return say(opening, i, error, error_text);
    }
    return 0;
}

static int recover_all(struct opening *opening, struct buf *error_text)
{
    struct log_feed feeds[STORES_MAX];
    uint32_t whose;
    for (uint32_t i = 0; i < opening->count; i++) {
        struct store *store = opening->stores[i];
        feeds[i] = (struct log_feed){
            .log = &store->log,
            .start = opening->found[i] ? &store->checkpoint.mark.start : NULL,
            .replay = open_replay,
            .arg = store,
        };
    }
    int error =
        log_shared_recover(opening->shared, feeds, opening->recovered, &whose, &opening->text);
    if (error == ERR_CORRUPT && opening->text.size == 0)
        buf_printf(&opening->text, "a record of the log makes no sense");
    if (error)
        return say(opening, whose, error, error_text);
    for (uint32_t i = 0; i < opening->count; i++) {
        opening->positions[i] = opening->stores[i]->log.position;
        error = open_settle(opening->stores[i], opening->found[i], &opening->text);
        if (error)
            return say(opening, i, error, error_text);
    }
    return 0;
}

static int start_all(struct opening *opening, struct buf *error_text)
{
    struct log *logs[STORES_MAX];
    const char *why;
    for (uint32_t i = 0; i < opening->count; i++)
        logs[i] = &opening->stores[i]->log;
    int error = log_shared_start(opening->shared, logs, &why);
    if (error)
        buf_printf(error_text, "the log cannot be written: %s",
                   error == ERR_DISK_FULL ? "no room for a segment; free some space on its disk"
                                          : why);
    for (uint32_t i = 0; i < opening->count && error == 0; i++)
        open_begin(opening->stores[i]);
    return error;
}

static int open_several(struct opening *opening, const struct store_options *options,
                        struct disk *disk, struct buf *error_text)
{
    opening->shared = log_shared_new(disk);
    for (uint32_t i = 0; i < opening->count; i++, disk = disk->next) {
        opening->stores[i] = open_new(&options[i], disk);
        log_shared_join(opening->shared, &opening->stores[i]->log);
    }
    int error = load_all(opening, error_text);
    if (error == 0)
        error = recover_all(opening, error_text);
    if (error == 0)
        error = start_all(opening, error_text);
    return error;
}

int stores_open(const struct store_options *options, struct disk *disk, struct store **ret_stores,
                struct store_recovered *ret_recovered, struct buf *error_text)
{
    if (disk->stores == 1)
        return store_open(options, disk, ret_stores, ret_recovered, error_text);
    struct opening opening = {.count = disk->stores};
    int error = open_several(&opening, options, disk, error_text);
    log_shared_release(opening.shared, NULL);
    buf_done(&opening.text);
    for (uint32_t i = 0; i < opening.count; i++) {
        if (error) {
            store_close(opening.stores[i]);
            continue;
        }
        open_tell(opening.stores[i], opening.positions[i], &opening.recovered[i],
                  &ret_recovered[i]);
        ret_stores[i] = opening.stores[i];
    }
    return error;
}
