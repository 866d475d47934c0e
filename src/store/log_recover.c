/* Reading the log back after a stop or a crash (log.h).
 *
 * Records are followed from the start point, from segment to segment, as long as each is whole and
 * the next in line. The end is after the last whole group. Then comes a look at what lies behind
 * it: a record of this or a later run whose header says that a position past the end was synced
 * shows that the end is no torn tail but damage. Costs one read of each segment that is needed. */
#include "base/rule.h"
#include "store/log_private.h"

enum { ZEROS = 4096 };

struct recovery {
    struct log *log;
    log_replay replay;
    void *arg;
    struct segment_header *headers; /* Owned; by slot, segment 0 where there is none. */
    bool *visited;                  /* Owned; by slot. */
    uint8_t *bytes;                 /* Owned; the segment at hand. */
    struct log_point end;           /* After the last whole group, */
    struct log_point last;          /* after the last good record. */
    uint32_t slot;                  /* Of the segment at hand. */
    struct buf group;               /* Records of a group whose end has not come yet. */
    enum record_type type;          /* Of the last record delivered. */
    uint64_t bytes_count;
};

static int headers_read(struct recovery *recovery)
{
    struct log *log = recovery->log;
    for (uint32_t i = 0; i < log->slots_count; i++) {
        uint8_t bytes[SEGMENT_HEADER];
        int error = disk_log_read(log->disk, i, 0, bytes, sizeof(bytes));
        if (error)
            return error;
        if (!segment_header_read(bytes, &recovery->headers[i]))
            recovery->headers[i] = (struct segment_header){0};
        log->segment_last = MAX(log->segment_last, recovery->headers[i].segment);
    }
    return 0;
}

static bool find_segment(struct recovery *recovery, uint64_t segment)
{
    for (uint32_t i = 0; i < recovery->log->slots_count; i++) {
        if (segment != 0 && recovery->headers[i].segment == segment) {
            recovery->slot = i;
            return true;
        }
    }
    return false;
}

/* The segment that continues the one at hand: of the latest run, should several claim to. */
static bool find_next(struct recovery *recovery)
{
    const struct segment_header *best = NULL;
    for (uint32_t i = 0; i < recovery->log->slots_count; i++) {
        const struct segment_header *header = &recovery->headers[i];
        if (header->segment <= recovery->last.segment || header->before != recovery->last.segment ||
            header->position != recovery->last.position + 1 || header->run < recovery->last.run)
            continue;
        if (best && header->run <= best->run)
            continue;
        best = header;
        recovery->slot = i;
    }
    return best != NULL;
}

static int load(struct recovery *recovery)
{
    struct disk *disk = recovery->log->disk;
    recovery->visited[recovery->slot] = true;
    return disk_log_read(disk, recovery->slot, 0, recovery->bytes, disk->segment_size);
}

void log_group_add(struct buf *group, const struct record *record)
{
    buf_append(group, slice_of(record, sizeof(*record)));
    buf_append(group, record->payload);
}

int log_group_deliver(struct buf *group, log_replay replay, void *arg, const struct record *record)
{
    size_t at = 0;
    while (at < group->size) {
        struct record part;
        memcpy(&part, group->data + at, sizeof(part));
        part.payload.data = group->data + at + sizeof(part);
        at += sizeof(part) + part.payload.size;
        int error = replay(arg, &part);
        if (error)
            return error;
    }
    buf_clear(group);
    return replay(arg, record);
}

/* Follow the records of the segment at hand from recovery->last. */
static int follow(struct recovery *recovery)
{
    struct log_point *last = &recovery->last;
    uint64_t segment_size = recovery->log->disk->segment_size;
    struct record record;
    while (record_parse(slice_of(recovery->bytes + last->offset, segment_size - last->offset),
                        last->segment, &record) &&
           record.position == last->position + 1 &&
           (record.run == last->run || (record.type == RECORD_RESTART && record.run > last->run))) {
        last->offset = MIN(last->offset + record.size, segment_size);
        last->position = record.position;
        last->run = record.run;
        recovery->bytes_count += record.size;
        if (record.more && RULE(GROUPS_WHOLE)) {
            log_group_add(&recovery->group, &record);
            continue;
        }
        recovery->type = record.type;
        int error = log_group_deliver(&recovery->group, recovery->replay, recovery->arg, &record);
        if (error)
            return error;
        recovery->end = *last;
    }
    return 0;
}

/* Does a record in the segment at hand, from OFFSET on, say that more was synced than was found? */
static bool shows_damage(const struct recovery *recovery, uint64_t segment, uint64_t offset)
{
    uint64_t size = recovery->log->disk->segment_size;
    const struct log_point *last = &recovery->last;
    static const uint8_t zeros[ZEROS];
    for (; offset + RECORD_HEADER <= size; offset += 8) {
        /* A fresh segment is zeros: no record begins there. */
        if (offset % ZEROS == 0 && offset + ZEROS <= size &&
            memcmp(recovery->bytes + offset, zeros, ZEROS) == 0) {
            offset += ZEROS - RECORD_HEADER;
            continue;
        }
        const uint8_t *at = recovery->bytes + offset;
        uint64_t position = load_u64(at + 16);
        if (position <= last->position || load_u32(at + 24) < last->run)
            continue;
        struct record record;
        if (!record_parse(slice_of(at, size - offset), segment, &record))
            continue;
        if (record.run > last->run || record.position - record.unsynced > last->position)
            return true;
    }
    return false;
}

static int say_damage(const struct recovery *recovery, struct buf *error_text)
{
    buf_printf(error_text,
               "the log is damaged after record %llu: later records show that more was on the disk",
               (unsigned long long)recovery->last.position);
    return ERR_CORRUPT;
}

/* No segment has a header: right for a log that never got past its first record. */
static int check_new(struct recovery *recovery, struct buf *error_text)
{
    recovery->slot = 0;
    int error = load(recovery);
    if (error)
        return error;
    recovery->visited[0] = false;
    recovery->last = (struct log_point){1, SEGMENT_HEADER, 1, 1, 0};
    if (shows_damage(recovery, 1, SEGMENT_HEADER))
        return say_damage(recovery, error_text);
    recovery->last = (struct log_point){0};
    return 0;
}

static int check_rest(struct recovery *recovery, struct buf *error_text)
{
    struct log *log = recovery->log;
    bool damaged = shows_damage(recovery, recovery->last.segment, recovery->last.offset);
    for (uint32_t i = 0; i < log->slots_count && !damaged; i++) {
        const struct segment_header *header = &recovery->headers[i];
        if (header->segment <= recovery->last.segment || header->run < recovery->last.run)
            continue;
        int error = disk_log_read(log->disk, i, 0, recovery->bytes, log->disk->segment_size);
        if (error)
            return error;
        damaged = shows_damage(recovery, header->segment, SEGMENT_HEADER);
    }
    return damaged ? say_damage(recovery, error_text) : 0;
}

/* Set up recovery->last; ERR_NOT_FOUND for a new log. */
static int find_start(struct recovery *recovery, const struct log_point *start,
                      struct buf *error_text)
{
    struct log *log = recovery->log;
    if (!start && log->segment_last != 0) {
        buf_printf(error_text,
                   "there is a log but its database is empty or gone; restore the directory "
                   "from a backup, or replace this node by one with an empty directory");
        return ERR_CORRUPT;
    }
    if (log->segment_last == 0 && (!start || start->segment == 0))
        return ERR_NOT_FOUND;
    recovery->last = *start;
    if (start->segment == 0) {
        recovery->last = (struct log_point){1, SEGMENT_HEADER, 0, 0, 0};
    }
    if (find_segment(recovery, recovery->last.segment))
        return 0;
    buf_printf(error_text,
               "segment %llu of the log is missing or its header is damaged; restore the directory "
               "from a backup, or replace this node by one with an empty directory",
               (unsigned long long)recovery->last.segment);
    return ERR_CORRUPT;
}

static int recover(struct recovery *recovery, const struct log_point *start, struct buf *error_text)
{
    int error = headers_read(recovery);
    if (error == 0)
        error = find_start(recovery, start, error_text);
    if (error == ERR_NOT_FOUND)
        return check_new(recovery, error_text);
    if (error)
        return error;
    recovery->end = recovery->last;
    for (;;) {
        error = load(recovery);
        if (error == 0)
            error = follow(recovery);
        if (error)
            return error;
        if (!find_next(recovery))
            break;
        const struct segment_header *header = &recovery->headers[recovery->slot];
        recovery->last.segment = header->segment;
        recovery->last.offset = SEGMENT_HEADER;
        recovery->last.run = header->run;
    }
    return check_rest(recovery, error_text);
}

/* The log goes on at the end; slots that the replay did not need are free. */
static void adopt(struct recovery *recovery)
{
    struct log *log = recovery->log;
    for (uint32_t i = 0; i < log->slots_count; i++) {
        uint64_t segment = recovery->headers[i].segment;
        log->slots[i] = recovery->visited[i] && segment <= recovery->end.segment ? segment : 0;
    }
    log->segment = recovery->end.segment;
    log->offset = recovery->end.offset;
    log->run = recovery->last.run;
    log->bytes = recovery->bytes_count;
    log->position = log->complete = recovery->end.position;
    log->written = log->synced = log->syncing = log->position;
}

int log_recover(struct log *log, const struct log_point *start, log_replay replay, void *arg,
                struct log_recovered *ret_recovered, struct buf *error_text)
{
    struct recovery recovery = {.log = log, .replay = replay, .arg = arg};
    recovery.headers = mem_zero(log->slots_count * sizeof(*recovery.headers));
    recovery.visited = mem_zero(log->slots_count * sizeof(*recovery.visited));
    recovery.bytes = mem_alloc(log->disk->segment_size);
    int error = recover(&recovery, start, error_text);
    if (error == 0) {
        adopt(&recovery);
        bool torn = recovery.last.position != recovery.end.position;
        ret_recovered->clean = recovery.end.segment == 0 || (recovery.type == RECORD_STOP && !torn);
        ret_recovered->bytes = recovery.bytes_count;
    }
    if (error == ERR_IO)
        buf_printf(error_text, "the log cannot be read");
    mem_free(recovery.headers);
    mem_free(recovery.visited);
    mem_free(recovery.bytes);
    buf_done(&recovery.group);
    return error;
}
