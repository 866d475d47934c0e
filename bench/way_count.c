/* Counts what a process asks of libc: preloaded by bench/way.
 *
 * The counts are an array of u64 in the file WAY_COUNT.PID, in the order of `enum counted`, so that
 * who measures reads them before and after, and nothing is printed or written meanwhile. System
 * calls are those of the functions named here: what libc calls within itself is not seen. Reads and
 * writes are also those of eventfds, by which threads wake each other. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum counted { READS, WRITES, LOG_WRITES, POLLS, ALLOCATIONS, COPIES, COPIED_BYTES, COUNTED };

static uint64_t before_start[COUNTED];
static uint64_t *counts = before_start;

static void count(enum counted what, uint64_t by)
{
    __atomic_fetch_add(&counts[what], by, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void start(void)
{
    char path[512];
    const char *prefix = getenv("WAY_COUNT");
    if (!prefix)
        return;
    snprintf(path, sizeof(path), "%s.%d", prefix, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(before_start)) != 0)
        return;
    void *map = mmap(NULL, sizeof(before_start), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        counts = map;
    close(fd);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Looked up once by each function that calls it. */
#define COUNTED_CALL(what, name, ...)                                                              \
    static __typeof__(&name) real;                                                                 \
    if (!real)                                                                                     \
        real = REAL(name);                                                                         \
    count(what, 1);                                                                                \
    return real(__VA_ARGS__)

ssize_t read(int fd, void *bytes, size_t size)
{
    COUNTED_CALL(READS, read, fd, bytes, size);
}

ssize_t readv(int fd, const struct iovec *parts, int parts_count)
{
    COUNTED_CALL(READS, readv, fd, parts, parts_count);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    COUNTED_CALL(WRITES, write, fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int parts_count)
{
    COUNTED_CALL(WRITES, writev, fd, parts, parts_count);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int parts_count, off_t at, int flags)
{
    COUNTED_CALL(LOG_WRITES, pwritev2, fd, parts, parts_count, at, flags);
}

int epoll_wait(int fd, struct epoll_event *events, int most, int ms)
{
    COUNTED_CALL(POLLS, epoll_wait, fd, events, most, ms);
}

int epoll_pwait(int fd, struct epoll_event *events, int most, int ms, const sigset_t *mask)
{
    COUNTED_CALL(POLLS, epoll_pwait, fd, events, most, ms, mask);
}

/* What finds the real ones may allocate and copy: these go to libc by its own names, or do it. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t items, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    count(ALLOCATIONS, 1);
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    count(ALLOCATIONS, 1);
    return __libc_calloc(items, size);
}

void *realloc(void *memory, size_t size)
{
    count(ALLOCATIONS, 1);
    return __libc_realloc(memory, size);
}

static void copy_up(void *to, const void *from, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    count(COPIES, 1);
    count(COPIED_BYTES, size);
    copy_up(to, from, size);
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    count(COPIES, 1);
    count(COPIED_BYTES, size);
    if ((uintptr_t)to - (uintptr_t)from >= size) {
        copy_up(to, from, size);
        return to;
    }
    for (volatile uint8_t *at = (uint8_t *)to + size; size > 0; size--)
        *--at = ((const uint8_t *)from)[size - 1];
    return to;
}

/* What is built with _FORTIFY_SOURCE calls these where it knows the room there is. */
void *__memcpy_chk(void *restrict to, const void *restrict from, size_t size, size_t room)
{
    if (size > room)
        abort();
    return memcpy(to, from, size);
}

void *__memmove_chk(void *to, const void *from, size_t size, size_t room)
{
    if (size > room)
        abort();
    return memmove(to, from, size);
}
