/* Reading the log of several stores back (log_shared.h): one pass that feeds them all.
 *
 * The pass begins at the oldest mark of a store. What lies before another one's mark is passed over
 * for that one, by the sequence: positions of a group that was cut off are given anew. */
#include "base/rule.h"
#include "store/log_shared_private.h"

/* How far a store has come. */
struct fed {
    const struct log_feed *feed;
    struct log_point start;
    uint64_t last;     /* Position of the last record, */
    uint64_t complete; /* and of the last that ended a group. */
    struct buf group;
    enum record_type type; /* Of the last record replayed. */
    uint64_t bytes;        /* Replayed, */
    uint64_t bytes_group;  /* and kept in `group`. */
};

struct feeding {
    struct fed stores[STORES_MAX];
    uint32_t count;
    uint32_t at; /* Whose record it was last; `count`: nobody's. */
};

static int feed_record(struct fed *fed, const struct record *record)
{
    bool next = record->position == fed->last + 1;
    if (record->type == RECORD_RESTART) {
        next = record->position == fed->complete + 1;
        buf_clear(&fed->group);
        fed->bytes_group = 0;
    }
    if (!next)
        return ERR_CORRUPT;
    fed->last = record->position;
    fed->bytes_group += record->size;
    if (record->more && RULE(GROUPS_WHOLE)) {
        log_group_add(&fed->group, record);
        return 0;
    }
    fed->complete = record->position;
    fed->bytes += fed->bytes_group;
    fed->bytes_group = 0;
    fed->type = record->type;
    return log_group_deliver(&fed->group, fed->feed->replay, fed->feed->arg, record);
}

static int feed(void *arg, const struct record *envelope)
{
    struct feeding *feeding = arg;
    feeding->at = feeding->count;
    if (envelope->type == RECORD_RESTART)
        return 0;
    if (envelope->type != RECORD_ENVELOPE || envelope->store >= feeding->count)
        return ERR_CORRUPT;
    struct fed *fed = &feeding->stores[envelope->store];
    if (envelope->position <= fed->start.sequence)
        return 0;
    feeding->at = envelope->store;
    struct slice rest = envelope->payload;
    while (rest.size > 0) {
        struct record record;
        if (!enclosed_parse(rest, &record))
            return ERR_CORRUPT;
        record.run = envelope->run;
        rest = slice_of(rest.data + record.size, rest.size - record.size);
        int error = feed_record(fed, &record);
        if (error)
            return error;
    }
    feeding->at = feeding->count;
    return 0;
}

static bool is_before(const struct log_point *a, const struct log_point *b)
{
    return a->segment < b->segment || (a->segment == b->segment && a->offset < b->offset);
}

/* Where the pass begins, in RET_POINT; false: a store has no engine, so there must be no log. */
static bool find_start(struct feeding *feeding, const struct log_feed *feeds,
                       struct log_point *ret_point)
{
    const struct log_point *first = NULL;
    for (uint32_t i = 0; i < feeding->count; i++) {
        struct fed *fed = &feeding->stores[i];
        fed->feed = &feeds[i];
        if (feeds[i].start == NULL) {
            feeding->at = i;
            continue;
        }
        fed->start = *feeds[i].start;
        fed->last = fed->complete = fed->start.position;
        if (first == NULL || is_before(&fed->start, first))
            first = &fed->start;
    }
    if (feeding->at < feeding->count)
        return false;
    *ret_point = *first;
    ret_point->position = first->sequence;
    return true;
}

static void adopt(struct log_shared *shared, const struct fed *fed, uint32_t index)
{
    struct log *log = fed->feed->log;
    log->run = shared->log.run;
    log->position = log->complete = fed->complete;
    log->written = log->synced = log->syncing = log->position;
    log->sequence_synced = log->sequence_syncing = shared->log.position;
    shared->segments[index] = fed->start.segment;
}

int log_shared_recover(struct log_shared *shared, const struct log_feed *feeds,
                       struct log_recovered *ret_recovered, uint32_t *ret_store,
                       struct buf *error_text)
{
    struct feeding feeding = {.count = shared->stores, .at = shared->stores};
    struct log_point start;
    struct log_recovered whole;
    bool found = find_start(&feeding, feeds, &start);
    int error =
        log_recover(&shared->log, found ? &start : NULL, feed, &feeding, &whole, error_text);
    *ret_store = feeding.at;
    for (uint32_t i = 0; i < feeding.count; i++) {
        struct fed *fed = &feeding.stores[i];
        buf_done(&fed->group);
        if (error)
            continue;
        adopt(shared, fed, i);
        bool torn = fed->last != fed->complete;
        ret_recovered[i].clean = shared->log.segment == 0 || (fed->type == RECORD_STOP && !torn);
        ret_recovered[i].bytes = fed->bytes;
    }
    return error;
}
