#include "core/rift.h"

/* A node that hears that it was removed stops. Who is told for longer than this will not; and who
 * has not been heard for so long has. */
enum { TOLD_US = 10 * 1000000, KEPT_US = 60 * 1000000 };

static bool is_over(const struct rift *rift, uint64_t now_us)
{
    return rift->heard_us == 0 || now_us - rift->heard_us > KEPT_US;
}

void rift_heard(struct rift *rift, uint64_t now_us, struct node_id from)
{
    if (is_over(rift, now_us))
        *rift = (struct rift){.since_us = now_us};
    rift->node = from;
    rift->heard_us = now_us;
}

void rift_disowned(struct rift *rift, uint64_t now_us, struct node_id from)
{
    rift_heard(rift, now_us, from);
    rift->disowned = true;
}

bool rift_shows(const struct rift *rift, uint64_t now_us, struct node_id *ret_node)
{
    if (is_over(rift, now_us) || (!rift->disowned && rift->heard_us - rift->since_us < TOLD_US))
        return false;
    *ret_node = rift->node;
    return true;
}
