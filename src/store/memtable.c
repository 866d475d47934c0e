#include "store/memtable.h"

enum {
    CHAIN_BITS_MIN = 2, /* Of a page that is not empty. */
    CHAIN_MEAN_MAX = 1, /* A key that is not there costs little more than its empty chain. */
    PAGES_BITS_MIN = 4,
    PAGES_BITS_MAX = 12,
    PAGE_MEMORY = 16 * 1024, /* Of a full table: small tables need not many pages. */
    CELL_LINES = 3,          /* Of the processor's cache: key, and object if that is small. */
};

struct cell *cell_new(struct slice body)
{
    struct cell *cell = mem_alloc(sizeof(*cell) + body.size);
    uint32_t key_size = load_u32(body.data);
    const uint8_t *bucket = body.data + 12;
    const uint8_t *end = memchr(bucket, 0, key_size - 8);
    ASSERT(end);
    *cell = (struct cell){
        .hash = load_u64_be(body.data + 4),
        .key_size = key_size,
        .object_size = (uint32_t)(body.size - BODY_OVERHEAD - key_size),
        .bucket_size = (uint32_t)(end - bucket),
    };
    memcpy(cell->body, body.data, body.size);
    return cell;
}

/* Below, equal to or above 0: the place of CELL relative to (HASH, PATH). */
static int cell_order(const struct cell *cell, uint64_t hash, struct slice path)
{
    if (cell->hash != hash)
        return cell->hash < hash ? -1 : 1;
    return slice_compare(cell_path(cell), path);
}

static uint32_t pages_count(const struct memtable *table)
{
    return 1u << table->bits;
}

static uint32_t page_of(const struct memtable *table, uint64_t hash)
{
    return (uint32_t)(hash >> (64 - table->bits));
}

static uint32_t chain_of(const struct memtable *table, const struct memtable_page *page,
                         uint64_t hash)
{
    return (uint32_t)((hash << table->bits) >> (64 - page->bits));
}

struct memtable *memtable_new(uint64_t memory)
{
    uint32_t bits = PAGES_BITS_MIN;
    while (bits < PAGES_BITS_MAX && memory >> bits > PAGE_MEMORY)
        bits++;
    struct memtable *table = mem_zero(sizeof(*table) + (sizeof(struct memtable_page) << bits));
    table->bits = bits;
    return table;
}

static void page_free(struct memtable_page *page)
{
    for (uint32_t i = 0; page->chains && i < 1u << page->bits; i++) {
        for (struct cell *cell = page->chains[i], *next; cell; cell = next) {
            next = cell->next;
            cell_free(cell);
        }
    }
    mem_free(page->chains);
    *page = (struct memtable_page){0};
}

bool memtable_reap(struct memtable *table, uint32_t budget)
{
    uint64_t freed = 0;
    while (table->reaped < pages_count(table) && freed < budget) {
        struct memtable_page *page = &table->pages[table->reaped++];
        freed += page->count;
        page_free(page);
    }
    return table->reaped == pages_count(table);
}

void memtable_free(struct memtable *table)
{
    if (!table)
        return;
    memtable_reap(table, UINT32_MAX);
    mem_free(table);
}

/* The chain of HASH; NULL: its page is empty. */
static struct cell **chain_at(const struct memtable *table, uint64_t hash)
{
    const struct memtable_page *page = &table->pages[page_of(table, hash)];
    return page->chains ? &page->chains[chain_of(table, page, hash)] : NULL;
}

void memtable_fetch_chain(const struct memtable *table, uint64_t hash)
{
    struct cell *const *chain = chain_at(table, hash);
    if (chain)
        fetch_lines(chain, 1);
}

void memtable_fetch_cell(const struct memtable *table, uint64_t hash)
{
    struct cell *const *chain = chain_at(table, hash);
    if (chain && *chain)
        fetch_lines(*chain, CELL_LINES);
}

struct cell *memtable_find(const struct memtable *table, uint64_t hash, struct slice path)
{
    struct cell *const *chain = chain_at(table, hash);
    for (struct cell *cell = chain ? *chain : NULL; cell; cell = cell->next) {
        int order = cell_order(cell, hash, path);
        if (order >= 0)
            return order == 0 ? cell : NULL;
    }
    return NULL;
}

/* Double the chains; each splits in two at one point, so order stays. */
static void page_grow(const struct memtable *table, struct memtable_page *page)
{
    uint32_t bits = page->chains ? page->bits + 1 : CHAIN_BITS_MIN;
    struct cell **chains = mem_zero(sizeof(struct cell *) << bits);
    struct memtable_page grown = {chains, page->count, bits};
    for (uint32_t i = 0; page->chains && i < 1u << page->bits; i++) {
        uint32_t chain = i * 2;
        struct cell **tail = &chains[chain];
        for (struct cell *cell = page->chains[i]; cell; cell = cell->next) {
            if (chain_of(table, &grown, cell->hash) != chain) {
                *tail = NULL;
                chain++;
                tail = &chains[chain];
            }
            *tail = cell;
            tail = &cell->next;
        }
    }
    mem_free(page->chains);
    *page = grown;
}

struct cell *memtable_put(struct memtable *table, struct cell *cell)
{
    struct memtable_page *page = &table->pages[page_of(table, cell->hash)];
    if (!page->chains || page->count >= (uint32_t)CHAIN_MEAN_MAX << page->bits)
        page_grow(table, page);
    struct cell **link = &page->chains[chain_of(table, page, cell->hash)];
    struct slice path = cell_path(cell);
    int order = -1;
    while (*link && (order = cell_order(*link, cell->hash, path)) < 0)
        link = &(*link)->next;
    struct cell *old = *link && order == 0 ? *link : NULL;
    cell->next = old ? old->next : *link;
    *link = cell;
    table->bytes += cell_memory(cell);
    if (old) {
        table->bytes -= cell_memory(old);
        return old;
    }
    page->count++;
    table->count++;
    return NULL;
}

/* The first cell of chain CHAIN of page PAGE or of any later one. */
static struct cell *first_from(const struct memtable *table, uint32_t page, uint32_t chain)
{
    for (; page < pages_count(table); page++, chain = 0) {
        const struct memtable_page *at = &table->pages[page];
        if (at->count == 0)
            continue;
        for (; chain < 1u << at->bits; chain++)
            if (at->chains[chain])
                return at->chains[chain];
    }
    return NULL;
}

struct cell *memtable_next(const struct memtable *table, const struct cell *cell)
{
    if (cell->next)
        return cell->next;
    uint32_t page = page_of(table, cell->hash);
    return first_from(table, page, chain_of(table, &table->pages[page], cell->hash) + 1);
}

struct cell *memtable_seek(const struct memtable *table, uint64_t hash, struct slice path)
{
    uint32_t page = page_of(table, hash);
    uint32_t chain = table->pages[page].chains ? chain_of(table, &table->pages[page], hash) : 0;
    struct cell *cell = first_from(table, page, chain);
    while (cell && cell_order(cell, hash, path) < 0)
        cell = memtable_next(table, cell);
    return cell;
}

static void chain_remove(struct memtable *table, struct memtable_page *page, uint32_t chain,
                         uint64_t first, uint64_t last)
{
    struct cell **link = &page->chains[chain];
    while (*link) {
        struct cell *cell = *link;
        if (cell->hash < first || cell->hash > last) {
            link = &cell->next;
            continue;
        }
        *link = cell->next;
        table->bytes -= cell_memory(cell);
        table->count--;
        page->count--;
        cell_free(cell);
    }
}

void memtable_remove(struct memtable *table, uint64_t first, uint64_t last)
{
    for (uint32_t i = page_of(table, first); i <= page_of(table, last); i++) {
        struct memtable_page *page = &table->pages[i];
        if (page->count == 0)
            continue;
        for (uint32_t chain = 0; chain < 1u << page->bits; chain++)
            chain_remove(table, page, chain, first, last);
    }
}
