/* A store on real files whose process is killed with SIGKILL, again and again, while it writes.
 *
 * The child writes and notes, in memory that it shares with its parent, what it has submitted and
 * what was acknowledged: synced, or for every other write only written, which a kill must not lose
 * either. Each next child first checks that every acknowledged write is there, of the others only
 * what was submitted, and that tree and figures equal the data.
 *
 * Of several stores each has a thread and a ledger of its own.
 *
 * Usage: store_kill DIRECTORY [STORES [KILLS [SEED]]]. DIRECTORY is made, and removed at the end.
 */
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "store_child.h"

enum { KEYS = 3000, PENDING_MAX = 64, KILLS = 500 };

/* Shared by the lives of a store and the parent. */
struct ledger {
    uint64_t submitted[KEYS];
    uint64_t acknowledged[KEYS];
    uint64_t counter;
    uint64_t synced; /* Highest position ever told. */
    uint64_t meta_submitted, meta_acknowledged;
    uint64_t puts, lives, checkpoints, replayed_bytes;
};

struct pending {
    uint32_t key; /* KEYS: the meta. */
    uint64_t counter;
    uint64_t position;
    bool sync;
};

static struct ledger *ledgers; /* One for each store. */
static uint32_t stores;

static const struct disk_posix_options *disk_options(const char *directory)
{
    static struct disk_posix_options options;
    options = (struct disk_posix_options){.directory = directory,
                                          .segment_size = 128 * 1024,
                                          .stores = stores,
                                          .map_size = 1ull << 30};
    return &options;
}

static void check(struct child *child, const struct ledger *ledger)
{
    struct arena arena = {0};
    uint64_t keys = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[16];
        char expected[32];
        struct slice value;
        snprintf(key, sizeof(key), "key%u", i);
        if (!child_has(child, key))
            continue;
        arena_reset(&arena);
        uint64_t counter = child_get(child, key, &arena, &value);
        DEMAND(counter >= ledger->acknowledged[i], "%s: has %llu, acknowledged %llu", key,
               (unsigned long long)counter, (unsigned long long)ledger->acknowledged[i]);
        DEMAND(counter <= ledger->submitted[i], "%s: has %llu, submitted %llu", key,
               (unsigned long long)counter, (unsigned long long)ledger->submitted[i]);
        if (counter == 0)
            continue;
        keys++;
        int size = snprintf(expected, sizeof(expected), "%u:%llu;", i, (unsigned long long)counter);
        DEMAND(value.size >= (size_t)size && memcmp(value.data, expected, (size_t)size) == 0,
               "%s: another value", key);
    }
    uint64_t verified = child_verify(child);
    DEMAND(verified == keys, "%llu keys, not %llu", (unsigned long long)verified,
           (unsigned long long)keys);
    DEMAND(child->recovered.position > ledger->synced, "the log went back");
    uint64_t meta = 0;
    if (child->recovered.metas_count > 0)
        memcpy(&meta, child->recovered.metas[0].value.data, sizeof(meta));
    DEMAND(meta >= ledger->meta_acknowledged && meta <= ledger->meta_submitted, "meta %llu",
           (unsigned long long)meta);
    arena_done(&arena);
}

static void put(struct child *child, struct ledger *ledger, struct prng *prng,
                struct pending *pending)
{
    char key[16];
    char value[1200];
    do {
        pending->key = (uint32_t)prng_below(prng, KEYS);
        snprintf(key, sizeof(key), "key%u", pending->key);
    } while (!child_has(child, key));
    pending->counter = ++ledger->counter;
    pending->sync = prng_below(prng, 2) == 0;
    int size = snprintf(value, sizeof(value), "%u:%llu;", pending->key,
                        (unsigned long long)pending->counter);
    uint64_t length = prng_below(prng, 16) == 0 ? prng_below(prng, 1100) : prng_below(prng, 120);
    memset(value + size, 'v', length);
    ledger->submitted[pending->key] = pending->counter;
    int error = child_put(child, key, pending->counter, slice_of(value, (size_t)size + length),
                          pending->sync, false);
    DEMAND(error == 0 || error == ERR_BUSY, "put: %s", error_word(error));
    pending->position = error ? 0 : child->done.position;
}

static void put_meta(struct child *child, struct ledger *ledger, struct pending *pending)
{
    *pending = (struct pending){.key = KEYS, .counter = ++ledger->meta_submitted, .sync = true};
    struct meta meta = {slice_string("m"), slice_of(&pending->counter, sizeof(uint64_t))};
    struct store_op op = {.type = STORE_META};
    op.batch.metas = &meta;
    op.batch.metas_count = 1;
    store_submit(child->store, &op);
    DEMAND(child->done.error == 0, "meta: %s", error_word(child->done.error));
    pending->position = child->done.position;
}

/* Note which of PENDING are acknowledged; returns how many are left. */
static uint32_t settle(const struct child *child, struct ledger *ledger, struct pending *pending,
                       uint32_t count)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct pending *one = &pending[i];
        if (one->position > (one->sync ? child->synced : child->written)) {
            pending[left++] = *one;
            continue;
        }
        uint64_t *acknowledged =
            one->key == KEYS ? &ledger->meta_acknowledged : &ledger->acknowledged[one->key];
        if (one->position != 0 && *acknowledged < one->counter)
            *acknowledged = one->counter;
    }
    ledger->synced = MAX(ledger->synced, child->synced);
    return left;
}

/* What one store does until it is killed. */
struct actor {
    struct child *child;
    struct ledger *ledger;
    struct prng prng;
};

static void *act(void *arg)
{
    struct actor *actor = arg;
    struct child *child = actor->child;
    struct ledger *ledger = actor->ledger;
    struct prng *prng = &actor->prng;
    struct pending pending[PENDING_MAX];
    uint32_t count = 0;
    for (;;) {
        uint64_t more = 1 + prng_below(prng, PENDING_MAX / 2);
        for (; more > 0 && count < PENDING_MAX; more--, ledger->puts++)
            put(child, ledger, prng, &pending[count++]);
        if (count < PENDING_MAX && prng_below(prng, 8) == 0)
            put_meta(child, ledger, &pending[count++]);
        child_turn(child, count == PENDING_MAX ? 100 : (int)prng_below(prng, 2));
        DEMAND(!child->failed, "%s", child->failed);
        count = settle(child, ledger, pending, count);
        struct store_stats stats;
        store_stats(child->store, &stats);
        ledger->checkpoints = stats.checkpoints;
    }
}

_Noreturn static void live(const char *directory, uint64_t seed, int ready)
{
    struct actor actors[STORES_MAX] = {0};
    struct child children[STORES_MAX] = {0};
    struct store_options options = {.memory_max = 32 << 10, .log_interval_ms = 5};
    int error = children_open(children, disk_options(directory), &options);
    DEMAND(error == 0, "%.*s", (int)children->error_text.size,
           (const char *)children->error_text.data);
    for (uint32_t i = 0; i < stores; i++) {
        check(&children[i], &ledgers[i]);
        ledgers[i].lives++;
        ledgers[i].replayed_bytes += children[i].recovered.replayed_bytes;
    }
    DEMAND(write(ready, "", 1) == 1, "telling the parent");
    for (uint32_t i = 0; i < stores; i++) {
        actors[i] = (struct actor){.child = &children[i], .ledger = &ledgers[i]};
        prng_init(&actors[i].prng, seed + i * 1000000007);
        pthread_t thread;
        if (i + 1 < stores)
            DEMAND(pthread_create(&thread, NULL, act, &actors[i]) == 0, "a thread");
    }
    act(&actors[stores - 1]);
    abort();
}

/* One life and its end; the checkpoints that it completed. */
static uint64_t kill_one(const char *directory, uint64_t seed, uint64_t after_us)
{
    int ready[2];
    char byte;
    DEMAND(pipe(ready) == 0, "pipe");
    pid_t pid = fork();
    DEMAND(pid >= 0, "fork");
    if (pid == 0) {
        close(ready[0]);
        live(directory, seed, ready[1]);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) == 1)
        usleep((useconds_t)after_us); /* A random moment is the point. */
    close(ready[0]);
    kill(pid, SIGKILL);
    int status;
    DEMAND(waitpid(pid, &status, 0) == pid, "waitpid");
    DEMAND(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
           "the child ended by itself, seed %llu", (unsigned long long)seed);
    uint64_t checkpoints = 0;
    for (uint32_t i = 0; i < stores; i++)
        checkpoints += ledgers[i].checkpoints;
    return checkpoints;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat, (void)type, (void)walk;
    return remove(path);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_kill DIRECTORY [STORES [KILLS [SEED]]]\n");
        return 2;
    }
    stores = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    uint64_t kills = argc > 3 ? strtoul(argv[3], NULL, 10) : (uint64_t)KILLS;
    uint64_t seed = (uint64_t)getpid();
    if (argc > 4)
        seed = strtoul(argv[4], NULL, 10);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    ledgers = mmap(NULL, stores * sizeof(*ledgers), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    DEMAND(ledgers != MAP_FAILED, "mmap");
    struct prng prng;
    uint64_t checkpoints = 0;
    prng_init(&prng, seed);
    nftw(argv[1], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (uint64_t i = 0; i < kills; i++)
        checkpoints += kill_one(argv[1], seed * 100000 + i, prng_below(&prng, 40000));
    for (uint32_t i = 0; i < stores; i++) {
        const struct ledger *ledger = &ledgers[i];
        printf("%llu kills, %llu puts, %llu checkpoints of all stores, %llu bytes replayed\n",
               (unsigned long long)kills, (unsigned long long)ledger->puts,
               (unsigned long long)checkpoints, (unsigned long long)ledger->replayed_bytes);
        DEMAND(ledger->lives == kills && ledger->puts > kills && ledger->replayed_bytes > 0,
               "nothing was tested");
    }
    nftw(argv[1], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
