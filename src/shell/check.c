/* Opening a store recovers it, as a start would; every range is then compared with its hash tree.
 */
#include "shell/check.h"

#include <poll.h>
#include <stdio.h>

#include "base/error.h"
#include "core/node.h"
#include "shell/engine.h"
#include "store/disk_posix.h"

enum { EXIT_USAGE = 2, EXIT_DAMAGED = 6, WAIT_MS = 100 };

struct checker {
    struct disk *disk;
    struct storage storage;
    struct store *stores[STORES_MAX];
    struct store_recovered recovered;
    uint32_t range;
    bool waiting;
    bool failed;
    uint64_t keys, bytes, bad;
    uint32_t damaged; /* Ranges. */
    struct buf error;
};

static void on_done(void *arg, const struct store_done *done)
{
    struct checker *checker = arg;
    const struct store_verified *verified = &done->verified;
    bool differs = verified->digest_tree != verified->digest_data;
    checker->waiting = false;
    checker->keys += verified->keys;
    checker->bytes += verified->bytes;
    checker->bad += verified->bad;
    if (done->error == 0 && !differs && verified->bad == 0)
        return;
    checker->damaged++;
    printf("range %u: %llu keys, %llu damaged records%s%s%s\n", checker->range,
           (unsigned long long)verified->keys, (unsigned long long)verified->bad,
           differs ? ", the hash tree differs" : "", done->error != 0 ? ", " : "",
           done->error != 0 ? error_word(done->error) : "");
}

static void on_durable(void *arg, uint64_t written, uint64_t synced)
{
    (void)arg, (void)written, (void)synced;
}

static void on_failed(void *arg, const char *text)
{
    struct checker *checker = arg;
    buf_printf(&checker->error, "%s", text);
    checker->failed = true;
}

/* Let the disk finish something. */
static void wait_disk(struct checker *checker)
{
    struct pollfd fds[STORES_MAX];
    struct disk *disk = checker->disk;
    for (uint32_t i = 0; i < checker->storage.count; i++, disk = disk->next)
        fds[i] = (struct pollfd){.fd = disk_fd(disk), .events = POLLIN};
    storage_flush(&checker->storage);
    poll(fds, checker->storage.count, WAIT_MS);
    storage_poll(&checker->storage, engine_clock());
}

static void check_ranges(struct checker *checker, uint32_t ranges)
{
    for (checker->range = 0; checker->range < ranges && !checker->failed; checker->range++) {
        const struct store_op op = {.type = STORE_VERIFY, .range = checker->range};
        checker->waiting = true;
        storage_submit(&checker->storage, &op);
        while (checker->waiting && !checker->failed)
            wait_disk(checker);
    }
    storage_stop(&checker->storage);
    while (!checker->failed && !storage_stopped(&checker->storage))
        wait_disk(checker);
}

static int open_store(struct checker *checker, const char *directory)
{
    const struct disk_posix_options disk_options = {.directory = directory, .existing = true};
    const struct store_options options = {
        .done = on_done, .durable = on_durable, .failed = on_failed, .arg = checker};
    int result = disk_posix_open(&disk_options, &checker->disk, &checker->error);
    if (result < 0)
        return result;
    struct store_options each[STORES_MAX];
    struct store_recovered recovered[STORES_MAX];
    uint32_t stores = checker->disk->stores;
    for (uint32_t i = 0; i < stores; i++)
        storage_options(&checker->storage, &options, i, stores, stores > 1, &each[i]);
    result = stores_open(each, checker->disk, checker->stores, recovered, &checker->error);
    if (result < 0)
        return result;
    checker->recovered = recovered[0]; /* Who the node is lies in the first. */
    checker->recovered.position = 0;
    for (uint32_t i = 0; i < stores; i++) {
        storage_add(&checker->storage, checker->stores[i], recovered[i].position);
        checker->recovered.position += recovered[i].position;
        checker->recovered.clean = checker->recovered.clean && recovered[i].clean;
    }
    return 0;
}

static int report(const struct checker *checker, const char *directory)
{
    if (checker->failed) {
        fprintf(stderr, "kvnode check: %.*s\n", (int)checker->error.size,
                (const char *)checker->error.data);
        return EXIT_DAMAGED;
    }
    printf("%s: %s: %llu keys, %llu bytes, %llu damaged records, log position %llu, last stop "
           "%s\n",
           directory, checker->damaged == 0 ? "ok" : "DAMAGED", (unsigned long long)checker->keys,
           (unsigned long long)checker->bytes, (unsigned long long)checker->bad,
           (unsigned long long)checker->recovered.position,
           checker->recovered.clean ? "clean" : "unclean");
    if (checker->damaged == 0)
        return 0;
    printf("%u ranges are damaged: start the node, other copies heal what can be healed; or move "
           "its slots away with `kvadmin leave`\n",
           checker->damaged);
    return EXIT_DAMAGED;
}

static int check_directory(struct checker *checker, const char *directory)
{
    struct node_id self;
    struct cluster cluster = {0};
    int result = open_store(checker, directory);
    if (result == 0) {
        result = node_identity(checker->recovered.metas, checker->recovered.metas_count, &self,
                               &cluster);
        if (result == ERR_CORRUPT)
            buf_printf(&checker->error, "the identity in %s is damaged", directory);
    }
    if (result < 0 && result != ERR_NOT_FOUND) {
        fprintf(stderr, "kvnode check: %.*s\n", (int)checker->error.size,
                (const char *)checker->error.data);
        return error_exit_code(result);
    }
    bool joined = result == 0 && !id_none(cluster.id);
    if (joined)
        storage_set_ranges(&checker->storage, cluster.range_bits, cluster.hash_seed);
    check_ranges(checker, joined ? 1u << cluster.range_bits : 0);
    return report(checker, directory);
}

int check(int count, char *const *arguments)
{
    if (count == 1 && strcmp(arguments[0], "--help") == 0) {
        printf("Usage: kvnode check --data DIR\n\nRead all of a stopped node's store, and say "
               "whether every record and the hash tree are whole.\nExit code 0: whole; 6: "
               "damaged.\n");
        return 0;
    }
    if (count != 2 || strcmp(arguments[0], "--data") != 0) {
        fprintf(stderr, "kvnode check: --data DIR is what it takes\n");
        return EXIT_USAGE;
    }
    struct checker checker = {0};
    int code = check_directory(&checker, arguments[1]);
    for (uint32_t i = 0; i < STORES_MAX; i++)
        if (checker.stores[i] != NULL)
            store_close(checker.stores[i]);
    storage_done(&checker.storage);
    if (checker.disk != NULL)
        disk_close(checker.disk);
    buf_done(&checker.error);
    return code;
}
