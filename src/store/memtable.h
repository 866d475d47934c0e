/* Memtable: the newest objects by key, in one structure for look-up and ordered walk.
 *
 * Pages by the top bits of the hash, as many as its memory is worth, at most 4,096; a page is an
 * array of short sorted chains by the bits that follow and doubles on its own as it fills, so that
 * a node that owns a few ranges only has short chains too and no growth step is long. Order is
 * (hash, bucket, key).
 *
 * Costs: find and put O(1), walk O(1) a cell; 16 bytes a page when empty, 8 to 16 a cell. */
#ifndef MEMTABLE_H
#define MEMTABLE_H

#include "store/record.h"

/* An object under its key. Immutable but for the link once it is in a table. */
struct cell {
    struct cell *next; /* In its chain. */
    uint64_t hash;
    uint64_t digest;      /* object_digest of the object. */
    uint64_t base_digest; /* What the engine's tree holds for the key, under this table. */
    uint64_t position;    /* Of the log record that it came with. */
    uint32_t base_bytes;  /* Bytes of key and object under this table; 0: none. */
    uint32_t key_size;    /* Of the key as in record.h. */
    uint32_t object_size;
    uint32_t bucket_size;
    uint8_t body[]; /* As in record.h. */
};

/* A cell with a copy of BODY, which is well formed. The caller fills in digests and position. */
struct cell *cell_new(struct slice body);
static inline void cell_free(struct cell *cell)
{
    mem_free(cell);
}
/* Hash, bucket and key as one string. */
static inline struct slice cell_path(const struct cell *cell)
{
    return slice_of(cell->body + 4, cell->key_size);
}
static inline struct slice cell_bucket(const struct cell *cell)
{
    return slice_of(cell->body + 12, cell->bucket_size);
}
static inline struct slice cell_key(const struct cell *cell)
{
    return slice_of(cell->body + 13 + cell->bucket_size, cell->key_size - 9 - cell->bucket_size);
}
static inline struct slice cell_object(const struct cell *cell)
{
    return slice_of(cell->body + BODY_OVERHEAD + cell->key_size, cell->object_size);
}
/* What counts as the size of a record in statistics: key and object; 0 for a key that went, whose
 * cell has an empty object and deletes it from the engine. */
static inline uint32_t cell_bytes(const struct cell *cell)
{
    return cell->object_size == 0 ? 0 : cell->key_size + cell->object_size;
}
/* What it takes of the memory. */
static inline size_t cell_memory(const struct cell *cell)
{
    return sizeof(*cell) + 16 + BODY_OVERHEAD + cell->key_size + cell->object_size;
}

struct memtable_page {
    struct cell **chains; /* Owned; NULL when empty. */
    uint32_t count;
    uint32_t bits; /* log2 of the number of chains. */
};

struct memtable {
    uint64_t bytes; /* cell_memory of all. */
    uint64_t count;
    uint32_t bits;   /* log2 of the number of pages. */
    uint32_t reaped; /* Pages that memtable_reap has emptied. */
    struct memtable_page pages[];
};

/* A table that will hold about MEMORY bytes. */
struct memtable *memtable_new(uint64_t memory);
void memtable_free(struct memtable *table);
/* Free about BUDGET cells; true once the table is empty. It may not be used otherwise any more. */
bool memtable_reap(struct memtable *table, uint32_t budget);

/* HASH will be looked for soon: fetch into the processor's cache what that reads first; and what it
 * reads then, for which the first has to have come. */
void memtable_fetch_chain(const struct memtable *table, uint64_t hash);
void memtable_fetch_cell(const struct memtable *table, uint64_t hash);
struct cell *memtable_find(const struct memtable *table, uint64_t hash, struct slice path);
/* Put CELL (owned from now on) in; returns the cell it replaces, now the caller's, or NULL. */
struct cell *memtable_put(struct memtable *table, struct cell *cell);
/* The first cell at or after PATH, whose hash is HASH; NULL past the end. */
struct cell *memtable_seek(const struct memtable *table, uint64_t hash, struct slice path);
/* The cell after CELL, or NULL. */
struct cell *memtable_next(const struct memtable *table, const struct cell *cell);
/* Free all cells with hashes from FIRST to LAST. */
void memtable_remove(struct memtable *table, uint64_t first, uint64_t last);

#endif
