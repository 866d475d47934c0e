/* Messages to the service manager (sd_notify(3)), without its library: a datagram to the socket
 * that $NOTIFY_SOCKET names. Does nothing where there is none. */
#ifndef NOTIFY_H
#define NOTIFY_H

/* STATE such as "READY=1". */
void notify(const char *state);

#endif
