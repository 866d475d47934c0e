/* What is read from LMDB's pages in place is what was written, whatever its shape; and what is not
 * in memory is said to be so, and is there once it was warmed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "store/disk_posix.h"

enum { KEYS = 6000, LARGEST = 70000 };

static struct pair {
    struct slice key;
    struct slice value;
} pairs[KEYS];
static uint8_t noise[LARGEST + DISK_KEY_SIZE_MAX];
static char directory[64];

static int by_key(const void *a, const void *b)
{
    return slice_compare(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

/* Short and long keys, values within a page and on many of their own. */
static void make_pairs(uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)prng_next(&prng);
    for (uint32_t i = 0; i < KEYS; i++) {
        size_t key_size = 8 + prng_below(&prng, i % 50 == 0 ? DISK_KEY_SIZE_MAX - 8u : 40u);
        size_t value_size = prng_below(&prng, i % 97 == 0 ? LARGEST : i % 7 == 0 ? 3000u : 200u);
        /* Some are shorter than what a look-up guesses by, many are the same as far as that goes.
         */
        bool alike = i % 3 == 0;
        bool brief = i % 31 == 1;
        key_size = brief ? 5 : alike ? MAX(key_size, (size_t)12) : key_size;
        uint8_t *key = mem_alloc(key_size);
        memcpy(key, noise + prng_below(&prng, LARGEST), key_size);
        if (alike && !brief)
            memset(key, 0x80, 8);
        store_u32(key + (brief ? 1 : alike ? 8 : 4), i); /* No two are equal. */
        pairs[i].key = slice_of(key, key_size);
        pairs[i].value = slice_of(noise + prng_below(&prng, LARGEST - value_size + 1), value_size);
    }
    qsort(pairs, KEYS, sizeof(*pairs), by_key);
}

static void free_pairs(void)
{
    for (uint32_t i = 0; i < KEYS; i++)
        mem_free((void *)(uintptr_t)pairs[i].key.data);
}

static struct disk *open_disk(void)
{
    struct disk *disk;
    struct buf text = {0};
    const struct disk_posix_options options = {
        .directory = directory, .segment_size = 64 * 1024, .map_size = 1 << 30};
    cr_assert_eq(disk_posix_open(&options, &disk, &text), 0, "%.*s", (int)text.size,
                 (const char *)text.data);
    buf_done(&text);
    return disk;
}

static struct disk_event await(struct disk *disk)
{
    struct disk_event event;
    while (!disk_poll(disk, &event))
        disk_wait(disk);
    cr_assert_eq(event.error, 0);
    return event;
}

/* In several transactions, some of which write over what others wrote. */
static void write_pairs(struct disk *disk)
{
    static struct disk_item items[KEYS];
    for (uint32_t stride = 3; stride > 0; stride--) {
        uint32_t count = 0;
        for (uint32_t i = stride - 1; i < KEYS; i += stride)
            items[count++] = (struct disk_item){
                .table = DISK_OBJECTS, .key = pairs[i].key, .value = pairs[i].value};
        disk_apply(disk, items, count);
        cr_assert_eq(await(disk).type, DISK_APPLIED);
    }
}

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", directory);
    cr_assert_eq(system(command), 0);
}

static void begin(uint64_t seed)
{
    snprintf(directory, sizeof(directory), "/tmp/kvring-pages-XXXXXX");
    cr_assert(mkdtemp(directory));
    make_pairs(seed);
}

Test(store_pages, finds_what_was_written_and_nothing_else)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        begin(seed);
        struct disk *disk = open_disk();
        struct slice key;
        struct slice value;
        cr_assert_eq(disk_get(disk, DISK_OBJECTS, pairs[0].key, &value), ERR_NOT_FOUND);
        cr_assert_eq(disk_seek(disk, DISK_HINTS, pairs[0].key, &key, &value), ERR_NOT_FOUND);
        disk_release(disk);
        write_pairs(disk);
        for (uint32_t i = 0; i < KEYS; i++) {
            uint8_t other[DISK_KEY_SIZE_MAX + 1] = {0};
            memcpy(other, pairs[i].key.data, pairs[i].key.size);
            cr_assert_eq(disk_get(disk, DISK_OBJECTS, pairs[i].key, &value), 0);
            cr_assert(slice_equal(value, pairs[i].value));
            cr_assert_eq(disk_get(disk, DISK_HINTS, pairs[i].key, &value), ERR_NOT_FOUND);
            if (pairs[i].key.size < DISK_KEY_SIZE_MAX) { /* Right behind it. */
                other[pairs[i].key.size] = 0;
                struct slice next = slice_of(other, pairs[i].key.size + 1);
                cr_assert_eq(disk_get(disk, DISK_OBJECTS, next, &value), ERR_NOT_FOUND);
                int error = disk_seek(disk, DISK_OBJECTS, next, &key, &value);
                cr_assert_eq(error, i + 1 < KEYS ? 0 : ERR_NOT_FOUND);
                cr_assert(error != 0 || slice_equal(key, pairs[i + 1].key));
            }
            other[0] ^= 0x80;
            cr_assert_eq(disk_get(disk, DISK_OBJECTS, slice_of(other, 7), &value), ERR_NOT_FOUND);
        }
        int error = disk_seek(disk, DISK_OBJECTS, slice_of("", 0), &key, &value);
        for (uint32_t i = 0; i < KEYS; i++) {
            cr_assert_eq(error, 0);
            cr_assert(slice_equal(key, pairs[i].key) && slice_equal(value, pairs[i].value));
            error = disk_next(disk, &key, &value);
        }
        cr_assert_eq(error, ERR_NOT_FOUND);
        disk_close(disk);
        remove_all();
        free_pairs();
    }
}

/* The kernel drops what it can of the file. (Of a file in memory it drops nothing: then all of it
 * is found at once.) */
static void drop_pages(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/db/data.mdb", directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(fsync(fd), 0);
    cr_assert_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
}

Test(store_pages, says_what_is_not_in_memory_until_it_is_warmed)
{
    begin(7);
    struct disk *disk = open_disk();
    write_pairs(disk);
    disk_close(disk);
    drop_pages();
    disk = open_disk();
    disk->patient = false;
    for (uint32_t i = 0; i < KEYS; i += 13) {
        struct slice value;
        int error;
        uint64_t tag = 100 + i;
        while ((error = disk_get(disk, DISK_OBJECTS, pairs[i].key, &value)) == DISK_COLD) {
            disk_release(disk);
            disk_warm(disk, ++tag, DISK_OBJECTS, &pairs[i].key, 1, 1, LARGEST);
            struct disk_event event = await(disk);
            cr_assert_eq(event.type, DISK_WARMED);
            cr_assert_eq(event.tag, tag);
        }
        cr_assert_eq(error, 0);
        cr_assert(slice_equal(value, pairs[i].value));
        disk_release(disk);
    }
    disk_close(disk);
    remove_all();
    free_pairs();
}

/* With what is not in memory: all of it is read, then written over, then removed. */
Test(store_pages, whoever_is_patient_reads_and_writes_what_is_not_in_memory)
{
    begin(11);
    struct disk *disk = open_disk();
    write_pairs(disk);
    disk_close(disk);
    drop_pages();
    disk = open_disk();
    struct slice key;
    struct slice value;
    for (uint32_t i = 0; i < KEYS; i += 7) {
        cr_assert_eq(disk_get(disk, DISK_OBJECTS, pairs[i].key, &value), 0);
        cr_assert(slice_equal(value, pairs[i].value));
    }
    disk_release(disk);
    drop_pages();
    for (uint32_t i = 0; i < KEYS; i++)
        pairs[i].value = slice_of(noise + i, pairs[i].value.size / 2);
    write_pairs(disk);
    drop_pages();
    int error = disk_seek(disk, DISK_OBJECTS, slice_of("", 0), &key, &value);
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_eq(error, 0);
        cr_assert(slice_equal(key, pairs[i].key) && slice_equal(value, pairs[i].value));
        error = disk_next(disk, &key, &value);
    }
    cr_assert_eq(error, ERR_NOT_FOUND);
    disk_close(disk);
    remove_all();
    free_pairs();
}

/* Flip a bit of the first byte of KEY in all leaves of the file. */
static void rot(struct slice key)
{
    enum { PAGE = 4096, FLAGS = 10, LEAF = 2 };
    char path[128];
    snprintf(path, sizeof(path), "%s/db/data.mdb", directory);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(fd >= 0);
    uint8_t page[PAGE];
    for (off_t at = 0; pread(fd, page, PAGE, at) == PAGE; at += PAGE) {
        uint8_t *found = page[FLAGS] & LEAF ? memmem(page, PAGE, key.data, key.size) : NULL;
        if (!found)
            continue;
        *found ^= 0x10;
        cr_assert_eq(pwrite(fd, page, PAGE, at), PAGE);
    }
    close(fd);
}

/* This is how a look-up notices that what it did not find may have been there. */
Test(store_pages, a_key_that_rotted_lies_beside_where_those_are_that_it_hides)
{
    enum { NEAR = 100 };
    begin(5);
    struct disk *disk = open_disk();
    write_pairs(disk);
    disk_close(disk);
    uint32_t hidden = 0;
    for (uint32_t i = NEAR; i + NEAR < KEYS; i += 151) {
        uint8_t rotten[DISK_KEY_SIZE_MAX];
        struct slice key = pairs[i].key;
        if (key.size < 8)
            continue;
        memcpy(rotten, key.data, key.size);
        rotten[0] ^= 0x10;
        rot(key);
        disk = open_disk();
        for (uint32_t near = i - NEAR; near < i + NEAR; near++) {
            struct slice value;
            struct disk_around around;
            int error = disk_get(disk, DISK_OBJECTS, pairs[near].key, &value);
            cr_assert(error == 0 || error == ERR_NOT_FOUND);
            if (error == 0)
                continue;
            hidden++;
            cr_assert_eq(disk_around(disk, &around), 0);
            cr_assert(slice_equal(around.before_key, slice_of(rotten, key.size)) ||
                      slice_equal(around.after_key, slice_of(rotten, key.size)));
        }
        disk_close(disk);
        rot(slice_of(rotten, key.size));
    }
    cr_assert_gt(hidden, KEYS / 151);
    remove_all();
    free_pairs();
}

static struct slice unsound;

static bool is_sound(uint64_t seed, struct slice key, struct slice value)
{
    cr_assert_eq(seed, 7u);
    (void)value;
    return !slice_equal(key, unsound);
}

static struct disk_event write_one(struct disk *disk, uint32_t pair)
{
    struct disk_item item = {
        .table = DISK_OBJECTS, .key = pairs[pair].key, .value = pairs[pair].value};
    struct disk_event event;
    disk_apply(disk, &item, 1);
    while (!disk_poll(disk, &event))
        disk_wait(disk);
    cr_assert_eq(event.type, DISK_APPLIED);
    return event;
}

/* A key that rotted may lie in order all the same. */
Test(store_pages, nothing_is_written_beside_a_key_that_is_not_sound)
{
    begin(1);
    struct disk *disk = open_disk();
    write_pairs(disk);
    disk->judge = (struct disk_judge){is_sound, 7};
    for (uint32_t i = 0; i < KEYS; i += KEYS / 16) {
        unsound = pairs[i].key;
        cr_assert_eq(write_one(disk, i).error, ERR_CORRUPT);
        cr_assert_eq(write_one(disk, (i + KEYS / 2) % KEYS).error, 0);
    }
    unsound = SLICE_NONE;
    cr_assert_eq(write_one(disk, 0).error, 0);
    disk_close(disk);
    remove_all();
}
