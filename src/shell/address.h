/* Addresses as people write them: HOST:PORT, [V6]:PORT, HOST alone with a default port. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>

#include "base/buf.h"
#include "base/limits.h"

struct address {
    char host[ADDRESS_SIZE_MAX + 1]; /* Without brackets. */
    uint16_t port;
};

enum address_scope { SCOPE_LOOPBACK = 1, SCOPE_WILDCARD, SCOPE_OTHER };

/* PORT_DEFAULT 0: a port must be given. 0 or ERR_BAD_REQUEST. */
int address_parse(struct slice text, uint16_t port_default,
                  struct address *ret_address) CHECK_RESULT;
/* Append host:port, with brackets where the host holds a colon. */
void address_append(const char *host, uint16_t port, struct buf *out);
/* By the text alone: a name other than localhost is SCOPE_OTHER. */
enum address_scope address_scope(const char *host);
/* The port of a socket address, IPv4 or IPv6. */
uint16_t address_port(const struct sockaddr *address);
/* Append the numeric host:port of a socket address. */
void address_append_sockaddr(const struct sockaddr *address, struct buf *out);

#endif
