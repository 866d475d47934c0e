/* The fields of every message between peers. */
#ifndef PEER_SHAPES_H
#define PEER_SHAPES_H

#include "core/message.h"
#include "wire/shape.h"

/* By message type; NULL where there is none. On the wire the type itself comes first. */
extern const struct shape *const message_shapes[MESSAGE_TYPES];

#endif
