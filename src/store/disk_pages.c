#include "store/disk_pages.h"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "store/disk_lmdb.h"
#include "store/disk_pages_own.h"

enum {
    SEEN_STEP_MS = 512,  /* Of `now`. A page that was seen in this or the last step is there, */
    MISSED_STEPS = 4,    /* unless some page was missed in as many. */
    MINCORE_PAGES = 256, /* Asked for in one call. */
    FETCH_SIZE = 16384,  /* Read in one call. */
    GUESSES_MAX = 4,     /* In a page, before it is bisected. */
};

static const uint32_t magic = 0xBEEFC0DE;
static const uint32_t version = 1;
static const uint64_t no_page = UINT64_MAX;

/* ------------------------------------------------------------------------------- Snapshots. */

/* The record of any table lies in a page of its own number: so the map begins so far before it. */
int disk_pages_init(struct disk_pages *pages, MDB_env *env, MDB_txn *txn)
{
    MDB_stat stat;
    MDB_val name = {strlen(lmdb_table_name(DISK_OBJECTS)),
                    (void *)(uintptr_t)lmdb_table_name(DISK_OBJECTS)};
    MDB_val table;
    *pages = (struct disk_pages){.env = env};
    int code = mdb_env_stat(env, &stat);
    if (code == 0)
        code = mdb_env_get_fd(env, &pages->fd);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &pages->names);
    if (code == 0)
        code = mdb_get(txn, pages->names, &name, &table);
    if (code)
        return code;
    pages->page_size = stat.ms_psize;
    const uint8_t *record = table.mv_data;
    const uint8_t *page = record - (uintptr_t)record % pages->page_size;
    pages->map = page - native_u64(page) * pages->page_size;
    bool known = table.mv_size == TABLE_SIZE && native_u32(pages->map + META_MAGIC) == magic &&
                 native_u32(pages->map + META_VERSION) == version;
    return known ? 0 : MDB_VERSION_MISMATCH;
}

void disk_pages_done(struct disk_pages *pages)
{
    mem_free(pages->seen);
    *pages = (struct disk_pages){0};
}

struct disk_pages disk_pages_twin(const struct disk_pages *pages)
{
    return (struct disk_pages){.env = pages->env,
                               .names = pages->names,
                               .map = pages->map,
                               .page_size = pages->page_size,
                               .fd = pages->fd,
                               .twin = true};
}

static void seen_grow(struct disk_pages *pages)
{
    uint64_t count = MAX(pages->end + pages->end / 4, (uint64_t)1024);
    pages->seen = mem_grow(pages->seen, count * sizeof(*pages->seen));
    memset(pages->seen + pages->seen_count, 0, (count - pages->seen_count) * sizeof(*pages->seen));
    pages->seen_count = count;
}

void disk_pages_begin(struct disk_pages *pages, MDB_txn *txn)
{
    MDB_envinfo info;
    struct timespec time;
    pages->snapshot = txn;
    memset(pages->known, 0, sizeof(pages->known));
    pages->end = mdb_env_info(pages->env, &info) == 0 ? info.me_last_pgno + 1 : 0;
    if (pages->end > pages->seen_count && !pages->twin)
        seen_grow(pages);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    uint64_t ms = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
    pages->now = MAX((uint16_t)(ms / SEEN_STEP_MS), (uint16_t)1);
}

static int find_root(struct disk_pages *pages, enum disk_table table, uint64_t *ret_root)
{
    if (!pages->known[table]) {
        const char *text = lmdb_table_name(table);
        MDB_val name = {strlen(text), (void *)(uintptr_t)text};
        MDB_val record;
        if (mdb_get(pages->snapshot, pages->names, &name, &record) != 0 ||
            record.mv_size != TABLE_SIZE)
            return ERR_IO;
        pages->roots[table] = native_u64((const uint8_t *)record.mv_data + TABLE_ROOT);
        pages->known[table] = true;
    }
    *ret_root = pages->roots[table];
    return 0;
}

/* ------------------------------------------------------------------------- What is in memory. */

/* An answer that cannot be had counts as yes: then it is waited for, as by LMDB. */
static bool ask_kernel(const struct disk_pages *pages, uint64_t first, uint64_t count)
{
    unsigned char there[MINCORE_PAGES];
    while (count > 0) {
        uint64_t some = MIN(count, (uint64_t)MINCORE_PAGES);
        const uint8_t *at = pages->map + first * pages->page_size;
        if (mincore((void *)(uintptr_t)at, some * pages->page_size, there) != 0)
            return true;
        for (uint64_t i = 0; i < some; i++)
            if (!(there[i] & 1))
                return false;
        first += some;
        count -= some;
    }
    return true;
}

/* Are COUNT pages from FIRST on in memory? What is known of the first stands for all. */
static bool is_there(struct disk_pages *pages, uint64_t first, uint64_t count)
{
    bool leaving = pages->missed != 0 && (uint16_t)(pages->now - pages->missed) <= MISSED_STEPS;
    if (!pages->twin && !leaving) {
        uint16_t seen = pages->seen[first];
        if (seen != 0 && (uint16_t)(pages->now - seen) <= 1)
            return true;
    }
    if (ask_kernel(pages, first, count))
        return true;
    pages->missed = pages->now;
    return false;
}

/* What cannot be read is found by whoever touches it. */
static void fetch(const struct disk_pages *pages, uint64_t first, uint64_t count)
{
    uint8_t bytes[FETCH_SIZE];
    uint64_t at = first * pages->page_size;
    uint64_t end = (first + count) * pages->page_size;
    while (at < end) {
        ssize_t got = pread(pages->fd, bytes, MIN(sizeof(bytes), end - at), (off_t)at);
        if (got <= 0)
            return;
        at += (uint64_t)got;
    }
}

/* The COUNT pages from number FIRST on. 0, DISK_COLD, ERR_IO. */
static int page_at(struct disk_pages *pages, uint64_t first, uint64_t count, bool patient,
                   const uint8_t **ret_page)
{
    if (first < META_PAGES || first >= pages->end || count > pages->end - first)
        return ERR_IO;
    fetch_lines(pages->map + first * pages->page_size, 1);
    if (!pages->blind && !is_there(pages, first, count)) {
        if (!patient)
            return DISK_COLD;
        fetch(pages, first, count);
    }
    if (!pages->twin)
        pages->seen[first] = pages->now;
    *ret_page = pages->map + first * pages->page_size;
    return 0;
}

/* ------------------------------------------------------------------------------------ Nodes. */

/* Between what the keys of a page lie, by their leading eight bytes. Only guesses depend on it. */
struct span {
    uint64_t low;
    uint64_t high;
};

/* Orders as keys do, where it differs. */
static uint64_t leading(struct slice key)
{
    uint8_t bytes[8] = {0};
    if (key.size >= sizeof(bytes))
        return load_u64_be(key.data);
    for (size_t i = 0; i < key.size; i++)
        bytes[i] = key.data[i];
    return load_u64_be(bytes);
}

/* Where a key would be among nodes LOW to HIGH - 1 if their keys were spread evenly over SPAN. */
static uint32_t guess(const struct span *span, uint64_t key, uint32_t low, uint32_t high)
{
    enum { SHIFT = 16 }; /* So that the product fits: a page has fewer than 2^16 nodes. */
    uint64_t width = (span->high - span->low) >> SHIFT;
    uint64_t at = key <= span->low ? 0 : (key - span->low) >> SHIFT;
    return at < width ? low + (uint32_t)(at * (high - low) / width) : high - 1;
}

/* The index of the first node of PAGE from LOW on whose key is at or after KEY. Keys begin with
 * hashes, which are spread evenly, so that a guess from the keys on both sides is near: each node
 * that is looked at waits for memory. Where they are not, bisection takes over. SPAN becomes that
 * of what is below the node before it, or below the one that is equal. */
static int search(const struct disk_pages *pages, const uint8_t *page, uint32_t low,
                  struct slice key, struct span *span, uint32_t *ret_index, bool *ret_equal)
{
    uint32_t high = nodes_count(pages, page);
    uint64_t begin = leading(key);
    struct node node;
    *ret_equal = false;
    for (uint32_t looks = 0; low < high && !*ret_equal; looks++) {
        uint32_t middle =
            looks < GUESSES_MAX ? guess(span, begin, low, high) : low + (high - low) / 2;
        if (!node_at(pages, page, middle, &node))
            return ERR_IO;
        uint64_t at = leading(node.key);
        int order = at == begin ? slice_compare(node.key, key) : at < begin ? -1 : 1;
        *ret_equal = order == 0; /* No key is there twice. */
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
        if (order <= 0)
            span->low = at;
        else
            span->high = at;
    }
    *ret_index = *ret_equal ? high : low;
    return 0;
}

/* Where to go in a page, if not to a key. */
enum end { END_FIRST, END_LAST };

/* Go down to a leaf from page NUMBER on, which is below the cursor's last level: to where KEY is or
 * would be; without a key to that END. */
static int descend(struct disk_pages *pages, struct disk_pages_cursor *cursor, uint64_t number,
                   const struct slice *key, enum end end, bool patient, bool *ret_equal)
{
    struct span span = {0, UINT64_MAX};
    for (;;) {
        const uint8_t *page;
        int error = page_at(pages, number, 1, patient, &page);
        if (error)
            return error;
        bool branch = page_is(page, PAGE_BRANCH);
        uint32_t index = 0;
        if ((!branch && !page_is(page, PAGE_LEAF)) || cursor->depth == PAGES_LEVELS_MAX)
            return ERR_IO;
        if (key && search(pages, page, branch, *key, &span, &index, ret_equal) != 0)
            return ERR_IO;
        if (!key && end == END_LAST && nodes_count(pages, page) > 0)
            index = nodes_count(pages, page) - 1;
        /* The first key of a branch stands for all below the second. */
        if (branch && key && !*ret_equal)
            index--;
        cursor->levels[cursor->depth].page = page;
        cursor->levels[cursor->depth++].index = index;
        if (!branch)
            return 0;
        struct node node;
        if (index >= nodes_count(pages, page) || !node_at(pages, page, index, &node))
            return ERR_IO;
        number = node.word | (uint64_t)node.flags << 32;
    }
}

static int value_of(struct disk_pages *pages, const struct node *node, bool patient,
                    struct slice *ret_value)
{
    if (!(node->flags & NODE_BIG)) {
        if (node->word > node->room)
            return ERR_IO;
        *ret_value = slice_of(node->data, node->word);
        return 0;
    }
    const uint8_t *page;
    if (node->room < 8)
        return ERR_IO;
    uint64_t count = ((uint64_t)PAGE_HEADER + node->word + pages->page_size - 1) / pages->page_size;
    int error = page_at(pages, native_u64(node->data), count, patient, &page);
    if (error == 0)
        *ret_value = slice_of(page + PAGE_HEADER, node->word);
    return error;
}

/* ---------------------------------------------------------------------------------- Reading. */

int disk_pages_go_to(struct disk_pages *pages, enum disk_table table, struct slice key,
                     bool patient, struct disk_pages_cursor *ret_cursor, bool *ret_equal)
{
    uint64_t root;
    *ret_equal = false;
    ret_cursor->table = table;
    ret_cursor->depth = 0;
    ret_cursor->place = NULL;
    int error = find_root(pages, table, &root);
    if (error || root == no_page)
        return error ? error : ERR_NOT_FOUND;
    error = descend(pages, ret_cursor, root, &key, END_FIRST, patient, ret_equal);
    if (error)
        return error;
    ret_cursor->place = ret_cursor->levels[ret_cursor->depth - 1].page;
    ret_cursor->place_index = ret_cursor->levels[ret_cursor->depth - 1].index;
    return 0;
}

int disk_pages_get(struct disk_pages *pages, enum disk_table table, struct slice key, bool patient,
                   struct disk_pages_cursor *ret_cursor, struct slice *ret_value)
{
    struct node node;
    bool equal;
    int error = disk_pages_go_to(pages, table, key, patient, ret_cursor, &equal);
    if (error || !equal)
        return error ? error : ERR_NOT_FOUND;
    if (!node_at(pages, ret_cursor->place, ret_cursor->place_index, &node))
        return ERR_IO;
    return value_of(pages, &node, patient, ret_value);
}

static int record_at(struct disk_pages *pages, const uint8_t *page, uint32_t index, bool patient,
                     struct slice *ret_key, struct slice *ret_value)
{
    struct node node;
    if (!node_at(pages, page, index, &node))
        return ERR_IO;
    *ret_key = node.key;
    return value_of(pages, &node, patient, ret_value);
}

int disk_pages_around(struct disk_pages *pages, const struct disk_pages_cursor *cursor,
                      bool patient, struct disk_around *ret_around)
{
    *ret_around = (struct disk_around){0};
    if (cursor->place == NULL)
        return 0;
    int error = 0;
    if (cursor->place_index > 0)
        error = record_at(pages, cursor->place, cursor->place_index - 1, patient,
                          &ret_around->before_key, &ret_around->before_value);
    if (error == 0 && cursor->place_index < nodes_count(pages, cursor->place))
        error = record_at(pages, cursor->place, cursor->place_index, patient,
                          &ret_around->after_key, &ret_around->after_value);
    return error;
}

void disk_pages_prepare(struct disk_pages *pages, enum disk_table table, struct slice key)
{
    struct disk_pages_cursor cursor;
    struct node node;
    const uint8_t *page;
    bool equal;
    if (disk_pages_go_to(pages, table, key, true, &cursor, &equal) != 0 || !equal)
        return;
    uint32_t leaf = cursor.depth - 1;
    if (node_at(pages, cursor.levels[leaf].page, cursor.levels[leaf].index, &node) &&
        (node.flags & NODE_BIG) && node.room >= 8)
        (void)page_at(pages, native_u64(node.data), 1, true, &page);
}

/* From the cursor's level number TOP - 1, whose index was moved, down to that END of its page. */
static int go_down(struct disk_pages *pages, struct disk_pages_cursor *cursor, uint32_t top,
                   enum end end, bool patient)
{
    struct node node;
    bool equal;
    if (!node_at(pages, cursor->levels[top - 1].page, cursor->levels[top - 1].index, &node))
        return ERR_IO;
    cursor->depth = top;
    return descend(pages, cursor, node.word | (uint64_t)node.flags << 32, NULL, end, patient,
                   &equal);
}

/* If the cursor is past the last node of its leaf, go on to the first of the next one; then say
 * what is there. At the end of the table it stays. */
static int settle(struct disk_pages *pages, struct disk_pages_cursor *cursor, bool patient,
                  struct slice *ret_key, struct slice *ret_value)
{
    uint32_t top = cursor->depth;
    if (cursor->levels[top - 1].index >= nodes_count(pages, cursor->levels[top - 1].page)) {
        while (--top > 0 && cursor->levels[top - 1].index + 1 >=
                                nodes_count(pages, cursor->levels[top - 1].page))
            continue;
        if (top == 0)
            return ERR_NOT_FOUND;
        cursor->levels[top - 1].index++;
        int error = go_down(pages, cursor, top, END_FIRST, patient);
        if (error)
            return error;
    }
    const uint8_t *page = cursor->levels[cursor->depth - 1].page;
    uint32_t index = cursor->levels[cursor->depth - 1].index;
    if (index >= nodes_count(pages, page))
        return ERR_IO;
    return record_at(pages, page, index, patient, ret_key, ret_value);
}

int disk_pages_seek(struct disk_pages *pages, enum disk_table table, struct slice key, bool patient,
                    struct disk_pages_cursor *ret_cursor, struct slice *ret_key,
                    struct slice *ret_value)
{
    bool equal;
    int error = disk_pages_go_to(pages, table, key, patient, ret_cursor, &equal);
    return error ? error : settle(pages, ret_cursor, patient, ret_key, ret_value);
}

int disk_pages_next(struct disk_pages *pages, struct disk_pages_cursor *cursor, bool patient,
                    struct slice *ret_key, struct slice *ret_value)
{
    ASSERT(cursor->depth > 0);
    struct disk_pages_cursor *at = cursor;
    if (at->levels[at->depth - 1].index < nodes_count(pages, at->levels[at->depth - 1].page))
        at->levels[at->depth - 1].index++;
    return settle(pages, cursor, patient, ret_key, ret_value);
}

int disk_pages_prev(struct disk_pages *pages, struct disk_pages_cursor *cursor, bool patient,
                    struct slice *ret_key, struct slice *ret_value)
{
    uint32_t top = cursor->depth;
    while (top > 0 && cursor->levels[top - 1].index == 0)
        top--;
    if (top == 0)
        return ERR_NOT_FOUND;
    cursor->levels[top - 1].index--;
    if (top < cursor->depth) {
        int error = go_down(pages, cursor, top, END_LAST, patient);
        if (error)
            return error;
    }
    return record_at(pages, cursor->levels[cursor->depth - 1].page,
                     cursor->levels[cursor->depth - 1].index, patient, ret_key, ret_value);
}
