/* How LMDB's pages look. For the files of disk_pages alone. */
#ifndef DISK_PAGES_OWN_H
#define DISK_PAGES_OWN_H

#include "store/disk_pages.h"

/* LMDB 0.9 in the file. A page: its number u64, padding u16, flags u16, end of the offsets u16,
 * start of the nodes u16 (of an overflow page these two are the number of its pages), then the
 * offsets of its nodes, u16 each, by key. A node: two halves of a u32 in the order of the machine,
 * flags u16, size of the key u16, key, data. In a branch the u32 and the flags are the number of
 * the page below, in a leaf the u32 is the size of the data. The record of a table in the table of
 * names ends with the number of its root. */
enum {
    PAGE_HEADER = 16,
    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    NODE_HEADER = 8,
    NODE_BIG = 1, /* The data is the number of the first of its own pages. */
    TABLE_SIZE = 48,
    TABLE_ROOT = 40,
    META_MAGIC = 16,
    META_VERSION = 20,
    META_PAGES = 2,
};
static inline uint16_t native_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint32_t native_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t native_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

struct node {
    struct slice key;
    uint32_t word;
    uint16_t flags;
    const uint8_t *data;
    size_t room; /* Of the page, from `data` on. */
};

static inline bool page_is(const uint8_t *page, uint16_t flag)
{
    return (native_u16(page + PAGE_FLAGS) & (PAGE_BRANCH | PAGE_LEAF)) == flag;
}

static inline uint32_t nodes_count(const struct disk_pages *pages, const uint8_t *page)
{
    uint16_t lower = native_u16(page + PAGE_LOWER);
    return lower < PAGE_HEADER || lower > pages->page_size ? 0 : (lower - PAGE_HEADER) / 2u;
}

static inline bool node_at(const struct disk_pages *pages, const uint8_t *page, uint32_t index,
                           struct node *ret_node)
{
    size_t offset = native_u16(page + PAGE_HEADER + (size_t)index * 2);
    if (offset < PAGE_HEADER || offset + NODE_HEADER > pages->page_size)
        return false;
    const uint8_t *node = page + offset;
    size_t key_size = native_u16(node + 6);
    size_t room = pages->page_size - offset - NODE_HEADER;
    *ret_node = (struct node){.key = slice_of(node + NODE_HEADER, key_size),
                              .word = native_u32(node),
                              .flags = native_u16(node + 4),
                              .data = node + NODE_HEADER + key_size,
                              .room = room - key_size};
    return key_size <= room;
}

/* Go to where KEY lies or would lie. 0, DISK_COLD, ERR_IO; ERR_NOT_FOUND: the table is empty. */
int disk_pages_go_to(struct disk_pages *pages, enum disk_table table, struct slice key,
                     bool patient, struct disk_pages_cursor *ret_cursor,
                     bool *ret_equal) CHECK_RESULT;

#endif
