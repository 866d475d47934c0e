/* A store on real files whose Nth write, sync or rename fails, for every N that a run comes to.
 *
 * This program stands in for the calls of the C library, of LMDB's too. A child runs the same small
 * workload each time, with one call failing; it may refuse to open, say that it failed, or go on:
 * but it may not crash, hang, or acknowledge what a second child, with nothing failing, then does
 * not find.
 *
 * Usage: store_calls DIRECTORY. It is made, and removed at the end. */
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

static int open_child(struct child *child, const char *directory)
{
    struct disk_posix_options disk = {
        .directory = directory, .segment_size = 64 * 1024, .map_size = 1ull << 30};
    struct store_options options = {.memory_max = 16 << 10, .log_interval_ms = 1};
    return child_open(child, &disk, options);
}

static void put(struct child *child, uint32_t key, uint64_t *ret_position)
{
    char name[16];
    char value[200];
    snprintf(name, sizeof(name), "key%u", key);
    memset(value, 'v', sizeof(value));
    int error = child_put(child, name, 1, slice_of(value, sizeof(value)), true, false);
    DEMAND(error == 0 || error == ERR_BUSY || error == ERR_DISK_FULL || error == ERR_IO, "%s",
           error_word(error));
    *ret_position = error ? UINT64_MAX : child->done.position;
}

_Noreturn static void work(const char *directory)
{
    struct child child = {0};
    uint64_t positions[KEYS];
    alarm(SECONDS_MAX);
    if (open_child(&child, directory) != 0) {
        DEMAND(child.error_text.size > 10, "no words");
        exit(0);
    }
    uint32_t submitted = 0;
    for (int turn = 0; turn < TURNS_MAX && !child.failed && !store_stopped(child.store); turn++) {
        for (int i = 0; i < PUTS_A_TURN && submitted < KEYS; i++, submitted++)
            put(&child, submitted, &positions[submitted]);
        if (submitted == KEYS && child.synced >= child.done.position)
            store_stop(child.store);
        child_turn(&child, 2);
        for (uint32_t i = 0; i < submitted; i++)
            acknowledged[i] = acknowledged[i] || positions[i] <= child.synced;
    }
    DEMAND(child.failed || store_stopped(child.store), "neither done nor failed");
    child_close(&child);
    exit(0);
}

_Noreturn static void check(const char *directory)
{
    struct child child = {0};
    struct arena arena = {0};
    alarm(SECONDS_MAX);
    int error = open_child(&child, directory);
    DEMAND(error == 0, "%.*s", (int)child.error_text.size, (const char *)child.error_text.data);
    for (uint32_t i = 0; i < KEYS; i++) {
        char name[16];
        struct slice value;
        snprintf(name, sizeof(name), "key%u", i);
        uint64_t counter = child_get(&child, name, &arena, &value);
        DEMAND(counter == 1 || !acknowledged[i], "%s was acknowledged", name);
    }
    child_verify(&child);
    child_close(&child);
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
    if (argc != 2) {
        fprintf(stderr, "usage: store_calls DIRECTORY\n");
        return 2;
    }
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
