/* Sockets that are bound before anything else happens, so that an address in use is found out
 * before the data directory is touched. */
#ifndef LISTENER_H
#define LISTENER_H

#include "shell/address.h"

/* Bind a stream socket to TEXT (host:port; port 0 takes any free one; waits for name lookup).
 * Returns the descriptor and sets RET_PORT to the port bound, or ERR_REFUSED with a sentence in
 * ERROR. Not listening yet. */
int listener_bind(const char *text, uint16_t port_default, uint16_t *ret_port,
                  struct buf *error) CHECK_RESULT;

#endif
