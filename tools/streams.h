/* The standard streams of a program that may have been started without them. */
#ifndef STREAMS_H
#define STREAMS_H

#include <fcntl.h>
#include <unistd.h>

/* Call first: where a standard stream is closed, the first file or connection would get its number,
 * and with it what is printed. Reading from it then finds the end, writing to it fails. */
static inline void streams_keep(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
}

#endif
