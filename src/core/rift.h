/* Nodes that have departed and do not stop, because they have removed this node in turn: two
 * clusters have come of one, and neither hears the other (docs/decisions/0037). Of two that have
 * removed each other neither gives way; an administrator is told, and has to end one of the two. */
#ifndef RIFT_H
#define RIFT_H

#include "data/id.h"

struct rift {
    struct node_id node; /* Who was heard last, */
    uint64_t heard_us;   /* and when; 0: nobody ever. */
    uint64_t since_us;   /* Since when such nodes are heard, */
    bool disowned;       /* and whether one said that this node has departed. */
};

/* FROM has departed and asks to be heard. It stops once it is told, unless it removed who tells it.
 */
void rift_heard(struct rift *rift, uint64_t now_us, struct node_id from);
/* FROM has departed, and says that this node has. */
void rift_disowned(struct rift *rift, uint64_t now_us, struct node_id from);
/* Does such a cluster run beside this one? The id of a node of it. */
bool rift_shows(const struct rift *rift, uint64_t now_us, struct node_id *ret_node);

#endif
