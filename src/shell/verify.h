/* `verify` of the client port: reads every range that this node answers for and compares it with
 * the hash tree, a few ranges at a time, so that other requests hardly notice. */
#ifndef VERIFY_H
#define VERIFY_H

#include "shell/clients.h"

enum { VERIFIES_MAX = 4, VERIFY_TURN_US = 2000, VERIFY_FLIGHT_MAX = 4 };

/* Begin for the ranges FIRST..LAST that this node reads; the session is answered at the end. */
void verify_begin(struct session *session, uint32_t id, uint32_t first, uint32_t last);
/* The `done` hook of the engine. */
void verify_done(struct clients *clients, const struct store_done *done);
/* Go on, for about VERIFY_TURN_US. */
void verify_turn(struct clients *clients);
bool verify_pending(const struct clients *clients);
/* The session is going away. */
void verify_forget(struct session *session);
void verify_free_all(struct clients *clients);

#endif
