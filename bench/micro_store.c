/* What a look-up in the engine costs on warm data, and what the ways of knowing beforehand whether
 * it would have to wait cost. Prints nanoseconds a look-up, the least of several rounds.
 *
 * usage: micro_store [KEYS] [DIRECTORY]    (1,000,000 keys of 100 bytes, below /var/tmp) */
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "store/disk_posix.h"

enum { VALUE_SIZE = 100, BATCH = 2000, LOOKUPS = 200000, ROUNDS = 5, KEY_SIZE = 24 };

static struct disk *disk;
static uint32_t keys_count = 1000000;
static char directory[256];

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Spread as hashes are: the finalizer of MurmurHash3, of which no two numbers have the same. */
static struct slice key_of(uint32_t number, uint8_t key[KEY_SIZE])
{
    number = (number ^ number >> 16) * 0x85ebca6b;
    number = (number ^ number >> 13) * 0xc2b2ae35;
    number ^= number >> 16;
    memset(key, 'k', KEY_SIZE);
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)(number >> (24 - 8 * i));
    return slice_of(key, KEY_SIZE);
}

static struct disk_event await(void)
{
    struct disk_event event;
    while (!disk_poll(disk, &event))
        disk_wait(disk);
    if (event.error != 0)
        abort();
    return event;
}

static void load(void)
{
    static uint8_t keys[BATCH][KEY_SIZE];
    static uint8_t value[VALUE_SIZE];
    static struct disk_item items[BATCH];
    for (uint32_t at = 0; at < keys_count; at += BATCH) {
        uint32_t count = MIN(keys_count - at, (uint32_t)BATCH);
        for (uint32_t i = 0; i < count; i++)
            items[i] = (struct disk_item){.table = DISK_OBJECTS,
                                          .key = key_of(at + i, keys[i]),
                                          .value = slice_of(value, VALUE_SIZE)};
        disk_apply(disk, items, count);
        await();
    }
}

static struct slice draw_key(struct prng *prng, uint8_t key[KEY_SIZE])
{
    return key_of((uint32_t)prng_below(prng, keys_count), key);
}

/* The product's way, in a snapshot of its own each, as one operation in a turn of the loop. */
static void look_up(struct prng *prng)
{
    uint8_t key[KEY_SIZE];
    struct slice value;
    if (disk_get(disk, DISK_OBJECTS, draw_key(prng, key), &value) != 0)
        abort();
    disk_release(disk);
}

static MDB_env *env;
static MDB_txn *txn;
static MDB_dbi objects;
static int file;

static void *look_up_lmdb(struct prng *prng)
{
    uint8_t key[KEY_SIZE];
    struct slice wanted = draw_key(prng, key);
    MDB_val name = {wanted.size, key};
    MDB_val value;
    if (mdb_txn_renew(txn) != 0 || mdb_get(txn, objects, &name, &value) != 0)
        abort();
    mdb_txn_reset(txn);
    return value.mv_data;
}

static void lmdb(struct prng *prng)
{
    (void)look_up_lmdb(prng);
}

/* What asking the kernel for one page costs, without the way to it. */
static void lmdb_and_mincore(struct prng *prng)
{
    unsigned char there;
    uintptr_t at = (uintptr_t)look_up_lmdb(prng);
    if (mincore((void *)(at - at % 4096), 4096, &there) != 0)
        abort();
}

static void lmdb_and_nowait(struct prng *prng)
{
    uint8_t byte;
    struct iovec vector = {&byte, 1};
    (void)look_up_lmdb(prng);
    if (preadv2(file, &vector, 1, (off_t)(prng_below(prng, 1000) * 4096), RWF_NOWAIT) > 1)
        abort();
}

/* All that is not in a memtable goes to a reader. */
static void reader_always(struct prng *prng)
{
    uint8_t key[KEY_SIZE];
    struct slice wanted = draw_key(prng, key);
    disk_warm(disk, 1, DISK_OBJECTS, &wanted, 1, 1, 1 << 20);
    await();
    struct slice value;
    if (disk_get(disk, DISK_OBJECTS, wanted, &value) != 0)
        abort();
    disk_release(disk);
}

static void measure(const char *name, void (*work)(struct prng *prng), uint32_t count)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct prng prng;
        prng_init(&prng, round % 2);
        uint64_t began = now_ns();
        for (uint32_t i = 0; i < count; i++)
            work(&prng);
        least = MIN(least, (now_ns() - began) / count);
    }
    printf("%-58s %6llu ns\n", name, (unsigned long long)least);
}

static void open_disk(void)
{
    struct buf text = {0};
    const struct disk_posix_options options = {.directory = directory, .segment_size = 64 << 10};
    if (disk_posix_open(&options, &disk, &text) != 0) {
        fprintf(stderr, "micro_store: %.*s\n", (int)text.size, (const char *)text.data);
        exit(1);
    }
}

/* LMDB allows one environment a process for each file: so the product's is closed before. */
static void open_lmdb(void)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/db", directory);
    if (mdb_env_create(&env) != 0 || mdb_env_set_mapsize(env, 1ull << 40) != 0 ||
        mdb_env_set_maxdbs(env, 8) != 0 || mdb_env_open(env, path, MDB_NOTLS, 0600) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0 ||
        mdb_dbi_open(txn, "objects", 0, &objects) != 0 || mdb_txn_commit(txn) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        abort();
    mdb_txn_reset(txn);
    snprintf(path, sizeof(path), "%s/db/data.mdb", directory);
    file = open(path, O_RDONLY | O_CLOEXEC);
}

int main(int count, char **arguments)
{
    if (count > 1)
        keys_count = (uint32_t)strtoul(arguments[1], NULL, 10);
    snprintf(directory, sizeof(directory), "%s/kvring-pages-XXXXXX",
             count > 2 ? arguments[2] : "/var/tmp");
    if (keys_count == 0 || !mkdtemp(directory))
        return 2;
    open_disk();
    load();
    disk->patient = true;
    measure("in place, asking for no page", look_up, LOOKUPS);
    disk->patient = false;
    measure("in place, asking for pages not seen lately (the product)", look_up, LOOKUPS);
    measure("handed to a reader always", reader_always, LOOKUPS / 20);
    disk_close(disk);
    open_lmdb();
    measure("mdb_get", lmdb, LOOKUPS);
    measure("mdb_get, and mincore of one page", lmdb_and_mincore, LOOKUPS);
    measure("mdb_get, and preadv2(RWF_NOWAIT) of one byte", lmdb_and_nowait, LOOKUPS);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    close(file);
    char command[300];
    snprintf(command, sizeof(command), "rm -r '%s'", directory);
    return system(command) == 0 ? 0 : 1;
}
