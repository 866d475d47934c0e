#include "shell/amnesiac.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The word by which each such sentence begins, whether the node comes to it or is told it by a
 * peer (core/handshake.c). */
static const char word[] = "AMNESIAC";

bool amnesiac_is(struct slice why)
{
    size_t size = strlen(word);
    return why.size >= size && memcmp(why.data, word, size) == 0;
}

/* A file without its words says as much, so a write that is cut short does no harm. */
int amnesiac_note(const char *directory, struct slice why)
{
    int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : openat(dir, word, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = fd >= 0 && write(fd, why.data, why.size) == (ssize_t)why.size && fsync(fd) == 0 &&
                fsync(dir) == 0;
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return done ? 0 : ERR_IO;
}

bool amnesiac_noted(const char *directory, struct buf *out)
{
    char path[PATH_MAX];
    char text[1024];
    snprintf(path, sizeof(path), "%s/%s", directory, word);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof(text));
    close(fd);
    if (size > 0)
        buf_append(out, slice_of(text, (size_t)size));
    else
        buf_printf(out, "AMNESIAC: this directory is an old copy");
    buf_printf(out, " (it was told so at an earlier start: %s)", path);
    return true;
}
