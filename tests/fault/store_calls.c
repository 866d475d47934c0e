/* A store on real files whose Nth write, sync or rename fails, for every N that a run comes to.
 *
 * This program stands in for the calls of the C library, of LMDB's too. A child runs the same small
 * workload each time, with one call failing; it may refuse to open, say that it failed, or go on:
 * but it may not crash, hang, or acknowledge what a second child, with nothing failing, then does
 * not find.
 *
 * Usage: store_calls DIRECTORY [STORES]. It is made, and removed at the end. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_child.h"

enum { KEYS = 160, PUTS_A_TURN = 8, TURNS_MAX = 400, SECONDS_MAX = 20 };

/* ------------------------------------------------------------------------------- The calls. */

enum call { CALL_WRITE = 0, CALL_SYNC, CALL_RENAME, CALLS };

static const char *const call_names[CALLS] = {"write", "sync", "rename"};

static enum call fail_call;
static int fail_errno;
static uint64_t fail_at; /* Counts down to the one that fails; 0: none. */
static uint64_t *fired;  /* Shared with the parent. */

static bool fails(enum call call)
{
    if (call != fail_call || __atomic_load_n(&fail_at, __ATOMIC_SEQ_CST) == 0)
        return false;
    if (__atomic_sub_fetch(&fail_at, 1, __ATOMIC_SEQ_CST) > 0)
        return false;
    *fired = 1;
    errno = fail_errno;
    return true;
}

/* Define NAME, which fails when its turn comes and else is the one of the library. */
#define STAND_IN(call, type, name, parameters, arguments, ...)                                     \
    type name parameters;                                                                          \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*next) parameters;                                                             \
        if (!next)                                                                                 \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        if ((__VA_ARGS__) && fails(call))                                                          \
            return -1;                                                                             \
        return next arguments;                                                                     \
    }

/* Eight bytes are the bell between threads. */
STAND_IN(CALL_WRITE, ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size),
         size != 8 && fd > 2)
STAND_IN(CALL_WRITE, ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at),
         (fd, data, size, at), true)
STAND_IN(CALL_WRITE, ssize_t, pwrite64, (int fd, const void *data, size_t size, off_t at),
         (fd, data, size, at), true)
STAND_IN(CALL_WRITE, ssize_t, writev, (int fd, const struct iovec *vector, int count),
         (fd, vector, count), true)
STAND_IN(CALL_WRITE, ssize_t, pwritev2,
         (int fd, const struct iovec *vector, int count, off_t at, int flags),
         (fd, vector, count, at, flags), true)
STAND_IN(CALL_SYNC, int, fdatasync, (int fd), (fd), true)
STAND_IN(CALL_SYNC, int, fsync, (int fd), (fd), true)
STAND_IN(CALL_RENAME, int, renameat, (int from, const char *old, int to, const char *new),
         (from, old, to, new), true)

/* ---------------------------------------------------------------------------- The children. */

static uint8_t *acknowledged; /* Of each key; shared. */

static uint32_t stores;

static int open_them(struct child *children, const char *directory)
{
    struct disk_posix_options disk = {.directory = directory,
                                      .segment_size = 64 * 1024,
                                      .stores = stores,
                                      .map_size = 1ull << 30};
    struct store_options options = {.memory_max = 16 << 10, .log_interval_ms = 1};
    return children_open(children, &disk, &options);
}

static struct child *child_of(struct child *children, const char *key)
{
    return &children[store_of_hash(child_op(STORE_READ, key).hash, stores)];
}

static void put(struct child *children, uint32_t key, uint64_t *ret_position)
{
    char name[16];
    char value[200];
    snprintf(name, sizeof(name), "key%u", key);
    memset(value, 'v', sizeof(value));
    struct child *child = child_of(children, name);
    int error = child_put(child, name, 1, slice_of(value, sizeof(value)), true, false);
    DEMAND(error == 0 || error == ERR_BUSY || error == ERR_DISK_FULL || error == ERR_IO, "%s",
           error_word(error));
    *ret_position = error ? UINT64_MAX : child->done.position;
}

/* A turn of each; true when all have stopped, or one has failed. */
static bool turn(struct child *children)
{
    bool stopped = true;
    bool failed = false;
    for (uint32_t i = 0; i < stores; i++) {
        child_turn(&children[i], 2);
        stopped = stopped && store_stopped(children[i].store);
        failed = failed || children[i].failed;
    }
    return stopped || failed;
}

static void note(struct child *children, const uint64_t *positions, uint32_t submitted)
{
    for (uint32_t i = 0; i < submitted; i++) {
        char name[16];
        snprintf(name, sizeof(name), "key%u", i);
        if (positions[i] <= child_of(children, name)->synced)
            acknowledged[i] = 1;
    }
}

_Noreturn static void work(const char *directory)
{
    struct child children[STORES_MAX] = {0};
    uint64_t positions[KEYS];
    alarm(SECONDS_MAX);
    if (open_them(children, directory) != 0) {
        DEMAND(children->error_text.size > 10, "no words");
        exit(0);
    }
    uint32_t submitted = 0;
    bool over = false;
    for (int turns = 0; turns < TURNS_MAX && !over; turns++) {
        for (int i = 0; i < PUTS_A_TURN && submitted < KEYS; i++, submitted++)
            put(children, submitted, &positions[submitted]);
        bool synced = submitted == KEYS;
        for (uint32_t i = 0; i < stores; i++)
            synced = synced && children[i].synced >= children[i].done.position;
        for (uint32_t i = 0; i < stores && synced; i++)
            store_stop(children[i].store);
        over = turn(children);
        note(children, positions, submitted);
    }
    DEMAND(over, "neither done nor failed");
    children_close(children, stores);
    exit(0);
}

_Noreturn static void check(const char *directory)
{
    struct child children[STORES_MAX] = {0};
    struct arena arena = {0};
    alarm(SECONDS_MAX);
    int error = open_them(children, directory);
    DEMAND(error == 0, "%.*s", (int)children->error_text.size,
           (const char *)children->error_text.data);
    for (uint32_t i = 0; i < KEYS; i++) {
        char name[16];
        struct slice value;
        snprintf(name, sizeof(name), "key%u", i);
        uint64_t counter = child_get(child_of(children, name), name, &arena, &value);
        DEMAND(counter == 1 || !acknowledged[i], "%s was acknowledged", name);
    }
    for (uint32_t i = 0; i < stores; i++)
        child_verify(&children[i]);
    children_close(children, stores);
    exit(0);
}

/* What was printed must not be printed by the child again. */
static void in_child(void (*run)(const char *directory), const char *directory)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    DEMAND(pid >= 0, "fork");
    if (pid == 0)
        run(directory);
    DEMAND(waitpid(pid, &status, 0) == pid, "waitpid");
    DEMAND(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with %x", status);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat, (void)type, (void)walk;
    return remove(path);
}

/* Fail each call of its kind in turn, until a run makes fewer; returns how many there were. */
static uint64_t fail_each(const char *directory, enum call call, int code, uint64_t step)
{
    for (uint64_t at = 1;; at += step) {
        nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        memset(acknowledged, 0, KEYS);
        *fired = 0;
        fail_call = call;
        fail_errno = code;
        fail_at = at;
        in_child(work, directory);
        fail_at = 0;
        in_child(check, directory);
        if (!*fired)
            return at - 1;
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_calls DIRECTORY [STORES]\n");
        return 2;
    }
    stores = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    uint8_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    DEMAND(shared != MAP_FAILED, "mmap");
    fired = (uint64_t *)(void *)shared;
    acknowledged = shared + sizeof(*fired);
    for (enum call call = 0; call < CALLS; call++) {
        uint64_t count = fail_each(argv[1], call, EIO, 1);
        printf("%s: each of %llu failed once with EIO\n", call_names[call],
               (unsigned long long)count);
        DEMAND(count > 0, "the calls do not come through here");
    }
    printf("write: every third of %llu failed once with ENOSPC\n",
           (unsigned long long)fail_each(argv[1], CALL_WRITE, ENOSPC, 3));
    nftw(argv[1], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
