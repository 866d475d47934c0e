/* Name lookup, socket, bind. */
#include "shell/listener.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

static int bind_first(const struct addrinfo *found, const char *text, struct buf *error)
{
    const int yes = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        buf_printf(error, "cannot make a socket for %s: %s", text, strerror(errno));
        return ERR_REFUSED;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0) {
        if (errno == EADDRINUSE)
            buf_printf(error, "%s is in use: stop what listens there, or choose another address",
                       text);
        else
            buf_printf(error, "cannot listen on %s: %s", text, strerror(errno));
        close(fd);
        return ERR_REFUSED;
    }
    return fd;
}

int listener_bind(const char *text, uint16_t port_default, uint16_t *ret_port, struct buf *error)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    struct address address;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char port[8];
    if (address_parse(slice_string(text), port_default, &address) < 0) {
        buf_printf(error, "`%s` is not HOST:PORT", text);
        return ERR_REFUSED;
    }
    snprintf(port, sizeof port, "%u", address.port);
    int result = getaddrinfo(address.host, port, &hints, &found);
    if (result != 0) {
        buf_printf(error, "cannot listen on %s: %s", text, gai_strerror(result));
        return ERR_REFUSED;
    }
    int fd = bind_first(found, text, error);
    freeaddrinfo(found);
    if (fd >= 0) {
        ASSERT(getsockname(fd, (struct sockaddr *)&bound, &size) == 0);
        *ret_port = address_port((const struct sockaddr *)&bound);
    }
    return fd;
}
