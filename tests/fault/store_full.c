/* A store on a disk that fills up: a small tmpfs of its own. Needs root; exit 77 without.
 *
 * Writes are refused with DISK_FULL below the reserve; reads, deletes and metas go on, even when
 * somebody else takes the last byte; when there is room again writes are taken again; and all that
 * was acknowledged is there after a restart.
 *
 * Usage: store_full DIRECTORY. It is made, mounted over, and removed at the end. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_child.h"

enum { KEYS_MAX = 100000, VALUE_SIZE = 1000, SKIPPED = 77, TURNS_MAX = 20000 };

static uint64_t counters[KEYS_MAX]; /* Acknowledged version of each key. */

static struct slice value_of(uint32_t key, uint64_t counter)
{
    static char value[VALUE_SIZE + 1];
    snprintf(value, sizeof(value), "%0*u:%llu", 900, key, (unsigned long long)counter);
    return slice_string(value);
}

static int put(struct child *child, uint32_t key, uint64_t counter, bool tombstone)
{
    char name[16];
    snprintf(name, sizeof(name), "key%u", key);
    return child_put(child, name, counter, tombstone ? SLICE_NONE : value_of(key, counter), true,
                     tombstone);
}

static void await_synced(struct child *child, uint64_t position)
{
    for (int i = 0; i < TURNS_MAX && child->synced < position && !child->failed; i++)
        child_turn(child, 10);
    DEMAND(!child->failed, "%s", child->failed);
    DEMAND(child->synced >= position, "not synced");
}

/* Write new keys until the store says that the disk is full; returns how many there are then. */
static uint32_t fill(struct child *child, uint32_t key)
{
    int error = 0;
    for (int turns = 0; turns < TURNS_MAX && error != ERR_DISK_FULL; turns++) {
        for (int i = 0; i < 16 && error == 0; i++) {
            DEMAND(key < KEYS_MAX, "the disk does not fill up");
            error = put(child, key, 1, false);
            if (error == 0)
                counters[key++] = 1;
        }
        DEMAND(error == 0 || error == ERR_BUSY || error == ERR_DISK_FULL, "%s", error_word(error));
        error = error == ERR_BUSY ? 0 : error;
        child_turn(child, 5);
        DEMAND(!child->failed, "%s", child->failed);
    }
    DEMAND(error == ERR_DISK_FULL, "no DISK_FULL");
    await_synced(child, child->done.position);
    return key;
}

static void check(struct child *child, uint32_t keys)
{
    struct arena arena = {0};
    for (uint32_t i = 0; i < keys; i++) {
        char name[16];
        struct slice value = SLICE_NONE;
        snprintf(name, sizeof(name), "key%u", i);
        arena_reset(&arena);
        uint64_t counter = child_get(child, name, &arena, &value);
        DEMAND(counter == counters[i], "%s: %llu, not %llu", name, (unsigned long long)counter,
               (unsigned long long)counters[i]);
        DEMAND(value.size == 0 || slice_equal(value, value_of(i, counter)), "%s: value", name);
    }
    DEMAND(child_verify(child) == keys, "number of keys");
    arena_done(&arena);
}

/* Take all the room that is left. */
static void hog(const char *path)
{
    char bytes[4096] = {1};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    DEMAND(fd >= 0, "hog");
    while (write(fd, bytes, sizeof(bytes)) > 0)
        continue;
    close(fd);
}

static void deletes_and_metas(struct child *child)
{
    for (uint32_t i = 0; i < 20; i++) {
        int error = put(child, i, ++counters[i], true);
        DEMAND(error == 0, "delete: %s", error_word(error));
    }
    struct meta meta = {slice_string("m"), slice_string("vote")};
    struct store_op op = {.type = STORE_META};
    op.batch.metas = &meta;
    op.batch.metas_count = 1;
    store_submit(child->store, &op);
    DEMAND(child->done.error == 0, "meta: %s", error_word(child->done.error));
    await_synced(child, child->done.position);
}

static void run(const char *directory)
{
    char data[4096];
    char hog_path[4096];
    snprintf(data, sizeof(data), "%s/data", directory);
    snprintf(hog_path, sizeof(hog_path), "%s/hog", directory);
    struct disk_posix_options disk = {
        .directory = data, .segment_size = 1 << 20, .map_size = 1ull << 30};
    struct store_options options = {.memory_max = 4 << 20, .reserve_bytes = 8 << 20};
    struct child child = {0};
    int error = child_open(&child, &disk, options);
    DEMAND(error == 0, "%.*s", (int)child.error_text.size, (const char *)child.error_text.data);
    uint32_t keys = fill(&child, 0);
    check(&child, keys);
    deletes_and_metas(&child);
    hog(hog_path);
    deletes_and_metas(&child);
    for (int i = 0; i < 200; i++)
        child_turn(&child, 10); /* Checkpoints fail for want of room and are tried again. */
    DEMAND(!child.failed, "%s", child.failed);
    check(&child, keys);
    DEMAND(put(&child, keys, 1, false) == ERR_DISK_FULL, "no DISK_FULL with no room at all");
    DEMAND(unlink(hog_path) == 0, "unlink");
    DEMAND(mount("none", directory, NULL, MS_REMOUNT, "size=96m") == 0, "remount");
    for (int i = 0; i < TURNS_MAX && put(&child, keys, 1, false) == ERR_DISK_FULL; i++)
        child_turn(&child, 10);
    DEMAND(child.done.error == 0, "writes are not taken again: %s", error_word(child.done.error));
    counters[keys++] = 1;
    await_synced(&child, child.done.position);
    check(&child, keys);
    child_close(&child);
    child = (struct child){0};
    error = child_open(&child, &disk, options);
    DEMAND(error == 0, "%.*s", (int)child.error_text.size, (const char *)child.error_text.data);
    check(&child, keys);
    child_close(&child);
    printf("full at %u keys, recovered, %u keys after the restart\n", keys - 1, keys);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: store_full DIRECTORY\n");
        return 2;
    }
    (void)mkdir(argv[1], 0700);
    if (mount("none", argv[1], "tmpfs", 0, "size=32m") != 0) {
        printf("skipped: a tmpfs cannot be mounted here (needs root)\n");
        rmdir(argv[1]);
        return SKIPPED;
    }
    pid_t pid = fork(); /* So that the mount is undone whatever happens. */
    if (pid == 0) {
        run(argv[1]);
        exit(0);
    }
    int status = 0;
    DEMAND(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
    if (umount(argv[1]) != 0 || rmdir(argv[1]) != 0)
        fprintf(stderr, "cannot unmount %s\n", argv[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
