/* What the files of the posix disk share. Nobody else includes this.
 *
 *   disk_posix.c     opening, and the operations: they hand work over and take completions
 *   disk_threads.c   the threads that do the work: log, engine, readers
 */
#ifndef DISK_POSIX_PRIVATE_H
#define DISK_POSIX_PRIVATE_H

#include <pthread.h>

#include "store/disk_dir.h"
#include "store/disk_lmdb.h"
#include "store/disk_posix.h"

enum {
    SLOTS_AT_MOST = 4096,
    SLOT_NAME_SIZE = 32,
    TEXT_SIZE = 256,
    READERS = 4, /* A device answers several reads at a time faster than one after the other. */
    STORES_PER_ENGINE = 4, /* So many share a thread that applies. */
    ENGINES_MAX = STORES_MAX / STORES_PER_ENGINE,
};

enum work_type { WORK_WRITE, WORK_SYNC, WORK_PREPARE, WORK_APPLY, WORK_WARM };

struct posix_disk;

struct work {
    struct work *next;
    struct posix_disk *of; /* Who gets the completion. */
    enum work_type type;
    bool sync;
    uint32_t slot;
    uint32_t count;
    uint64_t offset;
    struct slice bytes;
    const struct disk_item *items;
    struct disk_judge judge; /* Of them. */
    uint64_t tag;            /* WARM, as the following. */
    enum disk_table table;
    struct slice *keys;   /* Owned, in one piece with what they point to. */
    uint32_t records_max; /* From each key on, */
    uint64_t bytes_max;   /* of so many bytes in all. */
};

struct completion {
    struct completion *next;
    struct posix_disk *of;
    struct disk_event event;
};

struct posix;

/* Work that waits for a thread. */
struct work_queue {
    pthread_cond_t wake;
    struct work *first;
    struct work **last;
    bool shared; /* By several threads, which take one piece at a time; else one takes all. */
    void (*work)(struct posix *posix, struct work *list);
};

struct worker {
    struct posix *posix;
    struct work_queue *queue;
    pthread_t thread;
    bool running;
};

/* What the stores of a directory share. */
struct posix {
    struct disk_dir dir;
    int log_dir;
    uint32_t slots;            /* As of the opening. */
    int fds[SLOTS_AT_MOST];    /* Of the slots; written before a slot is announced. */
    bool dirty[SLOTS_AT_MOST]; /* Of the log thread: written and not synced. */
    bool log_dirty;            /* Any of them; as well. */
    bool log_failed;           /* As well. */
    char text[TEXT_SIZE];      /* The first failure, in words. */
    bool text_set;
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    bool stop;
    struct work_queue writes;               /* Of the log, */
    struct work_queue applies[ENGINES_MAX]; /* of the engines, */
    struct work_queue reads;                /* and of the readers. */
    struct worker log;
    struct worker engines[ENGINES_MAX];
    uint32_t engines_count;
    struct worker readers[READERS];
    struct posix_disk *first;
};

/* What is each store's. */
struct posix_disk {
    struct disk disk;
    struct posix *posix;
    struct lmdb *lmdb;
    int event_fd;
    uint32_t outstanding;    /* Work handed over whose completion is not on the list yet. */
    struct completion *done; /* Filled by the threads; with `outstanding`, under the mutex. */
    struct completion **done_last;
    struct completion *taken; /* Of the polling thread. */
};

/* Start all threads: 0 or an errno. */
int threads_start(struct posix *posix) CHECK_RESULT;
/* Let them finish what they were given, and end. */
void threads_stop(struct posix *posix);
/* Put WORK of DISK, which is copied, at the end of QUEUE. */
void threads_hand_over(struct posix_disk *disk, struct work_queue *queue, struct work work);
/* Tell DISK that TYPE has happened; COUNTED if it was handed over. */
void threads_tell(struct posix_disk *disk, struct disk_event event, bool counted);
/* The queue of the thread that applies for DISK. */
static inline struct work_queue *threads_engine(const struct posix_disk *disk)
{
    return &disk->posix->applies[disk->disk.store / STORES_PER_ENGINE];
}

void slot_name(uint32_t slot, char name[SLOT_NAME_SIZE]);
/* Make one more slot: 0 or an errno. */
int slot_make(struct posix *posix, uint32_t slot) CHECK_RESULT;

#endif
