/* Whatever an envelope of a shared log holds, its checksums right: recovery takes it or says that
 * it makes no sense. The first byte says whose it is. Where it is taken, the stores work. */
#include "data/id.h"
#include "store/disk_mem.h"
#include "store/log_private.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STORES = 2, SEGMENT = 128 << 10, CONTENT_MAX = 64 << 10, RANGE_BITS = 6, TREE_BITS = 10 };

static void on_done(void *arg, const struct store_done *done)
{
    *(struct store_done *)arg = *done;
}

static int open_them(struct disk *disk, struct store **stores, struct store_done *done)
{
    struct store_options options[STORES];
    struct store_recovered recovered[STORES];
    struct buf text = {0};
    for (uint32_t i = 0; i < STORES; i++)
        options[i] = (struct store_options){
            .range_bits = RANGE_BITS, .tree_bits = TREE_BITS, .done = on_done, .arg = done};
    int error = stores_open(options, disk, stores, recovered, &text);
    ASSERT(error == 0 || text.size > 0);
    buf_done(&text);
    return error;
}

/* Two stores, each with an engine, and the beginning of their log. */
static struct disk *begin(void)
{
    struct store_done done;
    struct store *stores[STORES];
    struct disk *disk =
        disk_mem_new(&(struct disk_mem_options){.segment_size = SEGMENT, .stores = STORES});
    ASSERT(open_them(disk, stores, &done) == 0);
    for (uint32_t i = 0; i < STORES; i++) {
        store_flush(stores[i]);
        store_poll(stores[i], (struct moment){.us = 1});
    }
    for (uint32_t i = 0; i < STORES; i++)
        store_close(stores[i]);
    return disk;
}

/* Append the envelope. */
static void append(struct disk *disk, uint16_t store, struct slice content)
{
    static uint8_t segment[SEGMENT];
    struct segment_header header;
    struct record record = {0};
    uint64_t offset = SEGMENT_HEADER;
    struct disk_event event;
    ASSERT(disk_log_read(disk, 0, 0, segment, SEGMENT) == 0);
    ASSERT(segment_header_read(segment, &header));
    while (record_parse(slice_of(segment + offset, SEGMENT - offset), header.segment, &record))
        offset += record.size;
    struct record envelope = {
        .store = store, .position = record.position + 1, .run = record.run, .unsynced = 1};
    uint8_t *at = segment + offset;
    memcpy(at + ENVELOPE_HEADER, content.data, content.size);
    envelope_seal(at, ENVELOPE_HEADER + content.size, envelope_checksum(content, store), &envelope,
                  header.segment);
    disk_log_write(disk, 0, offset, slice_of(at, ENVELOPE_HEADER + content.size), true);
    while (disk_poll(disk, &event))
        continue;
}

static void look(struct store **stores, const struct store_done *done)
{
    for (uint32_t i = 0; i < STORES; i++) {
        for (uint32_t range = 0; range < 1u << RANGE_BITS; range++) {
            struct store_op op = {.type = STORE_VERIFY, .range = range};
            store_submit(stores[i], &op);
            ASSERT(done->error == 0);
        }
        store_poll(stores[i], (struct moment){.us = 2});
        store_close(stores[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct disk *first;
    struct store *stores[STORES];
    struct store_done done = {0};
    if (size == 0 || size > CONTENT_MAX)
        return 0;
    if (first == NULL)
        first = begin();
    struct disk *disk = disk_mem_copy(first);
    append(disk, data[0], slice_of(data + 1, size - 1));
    int error = open_them(disk, stores, &done);
    ASSERT(error == 0 || error == ERR_CORRUPT);
    if (error == 0)
        look(stores, &done);
    disk_close(disk);
    return 0;
}
