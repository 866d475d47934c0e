/* Several stores of one directory on real files, each on a thread of its own: all write, one of
 * them only now and then, until each has had so many writes acknowledged. Then all stop, and what
 * was acknowledged is there. For ThreadSanitizer, which sees what two threads do to one another.
 *
 * Usage: store_threads DIRECTORY. DIRECTORY is made, and removed at the end. */
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_child.h"

enum { STORES = 4, KEYS = 200, WRITES = 3000, WRITES_OF_LAST = 20, TICK = 16 };

struct actor {
    struct child *child;
    pthread_t thread;
    uint32_t writes;
    uint64_t counters[KEYS]; /* As acknowledged. */
};

static struct child children[STORES];
static struct actor actors[STORES];
static atomic_uint writing; /* Stores that have more to write, */
static atomic_uint running; /* and that have not stopped. */

static void key_of(const struct child *child, uint32_t number, char key[32])
{
    uint32_t suffix = 0;
    do
        snprintf(key, 32, "key%u.%u", number, suffix++);
    while (!child_has(child, key));
}

/* A tick: some writes, and their end. */
static void write_some(struct actor *actor, uint64_t *counter)
{
    struct child *child = actor->child;
    uint64_t position = 0;
    bool sync = *counter % 3 != 0;
    for (uint32_t i = 0; i < TICK; i++) {
        char key[32];
        char value[300];
        uint32_t number = (uint32_t)(++*counter * 7) % KEYS;
        key_of(child, number, key);
        memset(value, 'v', sizeof(value));
        int error;
        while ((error = child_put(child, key, *counter, slice_of(value, sizeof(value)), sync,
                                  false)) == ERR_BUSY)
            child_turn(child, 10); /* Another store holds the log. */
        DEMAND(error == 0, "put: %s", error_word(error));
        position = child->done.position;
        actor->counters[number] = *counter;
    }
    while ((sync ? child->synced : child->written) < position) {
        child_turn(child, 100);
        DEMAND(!child->failed, "%s", child->failed);
    }
}

static void *act(void *arg)
{
    struct actor *actor = arg;
    uint64_t counter = 0;
    while (counter < actor->writes)
        write_some(actor, &counter);
    writing--;
    while (writing > 0)
        child_turn(actor->child, 10);
    store_stop(actor->child->store);
    bool stopped = false;
    while (running > 0) {
        child_turn(actor->child, 10);
        DEMAND(!actor->child->failed, "%s", actor->child->failed);
        if (!stopped && store_stopped(actor->child->store)) {
            stopped = true;
            running--;
        }
    }
    return NULL;
}

static void open_all(const char *directory)
{
    struct disk_posix_options disk = {.directory = directory,
                                      .segment_size = 128 * 1024,
                                      .stores = STORES,
                                      .map_size = 1ull << 30};
    struct store_options options = {.memory_max = 128 << 10, .log_interval_ms = 5};
    int error = children_open(children, &disk, &options);
    DEMAND(error == 0, "%.*s", (int)children->error_text.size,
           (const char *)children->error_text.data);
}

static void check(struct actor *actor)
{
    struct arena arena = {0};
    uint64_t keys = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[32];
        struct slice value;
        key_of(actor->child, i, key);
        arena_reset(&arena);
        uint64_t counter = child_get(actor->child, key, &arena, &value);
        DEMAND(counter == actor->counters[i], "%s: %llu, not %llu", key,
               (unsigned long long)counter, (unsigned long long)actor->counters[i]);
        keys += counter != 0;
    }
    DEMAND(child_verify(actor->child) == keys, "keys");
    DEMAND(actor->child->recovered.clean, "no clean stop");
    arena_done(&arena);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat, (void)type, (void)walk;
    return remove(path);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: store_threads DIRECTORY\n");
        return 2;
    }
    nftw(argv[1], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    open_all(argv[1]);
    writing = running = STORES;
    for (uint32_t i = 0; i < STORES; i++) {
        actors[i].child = &children[i];
        actors[i].writes = i + 1 < STORES ? WRITES : WRITES_OF_LAST;
        DEMAND(pthread_create(&actors[i].thread, NULL, act, &actors[i]) == 0, "a thread");
    }
    for (uint32_t i = 0; i < STORES; i++)
        pthread_join(actors[i].thread, NULL);
    children_close(children, STORES);
    memset(children, 0, sizeof(children));
    open_all(argv[1]);
    for (uint32_t i = 0; i < STORES; i++)
        check(&actors[i]);
    children_close(children, STORES);
    nftw(argv[1], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
