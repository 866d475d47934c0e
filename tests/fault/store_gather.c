/* What several stores hand over while the log thread is busy goes out in one write with its sync.
 *
 * This program stands in for the call that writes the log, and holds it until it lets go.
 *
 * Usage: store_gather DIRECTORY. It is made, and removed at the end. */
#include <dlfcn.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store_child.h"

enum { STORES = 4, CALLS_MAX = 64 };

struct call {
    off_t at;
    size_t size;
    bool sync;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hold;
static bool held; /* A call is waiting. */
static struct call calls[CALLS_MAX];
static uint32_t calls_count;

ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t at, int flags);
ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t at, int flags)
{
    static ssize_t (*next)(int, const struct iovec *, int, off_t, int);
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += vector[i].iov_len;
    pthread_mutex_lock(&mutex);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "pwritev2");
    if (calls_count < CALLS_MAX)
        calls[calls_count++] = (struct call){at, size, (flags & RWF_DSYNC) != 0};
    held = hold;
    pthread_cond_broadcast(&changed);
    while (hold)
        pthread_cond_wait(&changed, &mutex);
    held = false;
    pthread_mutex_unlock(&mutex);
    return next(fd, vector, count, at, flags);
}

static void put(struct child *child, uint32_t round)
{
    char key[32];
    uint32_t suffix = 0;
    do
        snprintf(key, sizeof(key), "key%u", suffix++);
    while (!child_has(child, key));
    DEMAND(child_put(child, key, round + 1, slice_string("value"), true, false) == 0, "put");
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat, (void)type, (void)walk;
    return remove(path);
}

/* The log thread is in a call; what all stores flush then is one further call. */
static void one_round(struct child *children, uint32_t round)
{
    pthread_mutex_lock(&mutex);
    hold = true;
    calls_count = 0;
    pthread_mutex_unlock(&mutex);
    put(&children[round % STORES], 2 * round);
    store_flush(children[round % STORES].store);
    pthread_mutex_lock(&mutex);
    while (!held)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    for (uint32_t i = 0; i < STORES; i++) {
        put(&children[i], 2 * round + 1);
        store_flush(children[i].store);
    }
    pthread_mutex_lock(&mutex);
    hold = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    for (uint32_t i = 0; i < STORES; i++) {
        while (children[i].synced < children[i].done.position)
            child_turn(&children[i], 100);
        DEMAND(!children[i].failed, "%s", children[i].failed);
    }
    DEMAND(calls_count == 2, "%u calls", calls_count);
    DEMAND(calls[1].sync && calls[1].at == calls[0].at + (off_t)calls[0].size, "side by side");
    DEMAND(calls[1].size > 3 * calls[0].size, "of all four");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: store_gather DIRECTORY\n");
        return 2;
    }
    nftw(argv[1], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    struct child children[STORES] = {0};
    struct disk_posix_options disk = {
        .directory = argv[1], .segment_size = 1 << 20, .stores = STORES, .map_size = 1ull << 30};
    int error = children_open(children, &disk, &(struct store_options){0});
    DEMAND(error == 0, "%.*s", (int)children->error_text.size,
           (const char *)children->error_text.data);
    for (uint32_t i = 0; i < STORES; i++) {
        struct store_stats stats = {.position = 1};
        while (stats.synced < stats.position) {
            child_turn(&children[i], 100);
            store_stats(children[i].store, &stats);
        }
    }
    for (uint32_t round = 0; round < 50; round++)
        one_round(children, round);
    children_close(children, STORES);
    nftw(argv[1], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
