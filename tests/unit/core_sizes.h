/* Estimated bytes of gossip messages on the wire, for tests below the codec. */
#ifndef CORE_SIZES_H
#define CORE_SIZES_H

#include "core/pages.h"

static inline uint64_t delta_size(const struct delta *delta)
{
    struct buf buf = {0};
    for (uint32_t i = 0; i < delta->departures_count; i++)
        departure_encode(&delta->departures[i], &buf);
    for (uint32_t i = 0; i < delta->members_count; i++)
        member_encode(&delta->members[i], &buf);
    for (uint32_t i = 0; i < delta->settings_count; i++)
        setting_encode(&delta->settings[i], &buf);
    for (uint32_t i = 0; i < delta->records_count; i++)
        record_encode(&delta->records[i], &buf);
    uint64_t size = buf.size + 4 * (delta->departures_count + delta->members_count +
                                    delta->settings_count + delta->records_count);
    buf_done(&buf);
    return size;
}

static inline uint64_t message_size(const struct message *m)
{
    uint64_t size = 24;
    switch (m->type) {
    case MESSAGE_SYN:
        for (uint32_t i = 0; i < m->syn.loads_count; i++)
            size += load_size(&m->syn.loads[i]);
        return size + 80 * 9;
    case MESSAGE_ACK:
        for (uint32_t i = 0; i < m->ack.loads_count; i++)
            size += load_size(&m->ack.loads[i]);
        for (uint32_t i = 0; i < m->ack.digests_count; i++)
            size += digest_size(&m->ack.digests[i]);
        return size + 12;
    case MESSAGE_ACK2:
        for (uint32_t i = 0; i < m->ack2.wants_count; i++)
            size += digest_size(&m->ack2.wants[i]);
        return size + delta_size(&m->ack2.delta);
    case MESSAGE_BULK:
        return size + delta_size(&m->bulk.delta);
    default:
        return size + 100;
    }
}

/* No more than a packet, unless it brings a single item that is larger. */
static inline bool size_allowed(const struct message *m, uint64_t size)
{
    const struct delta *delta = m->type == MESSAGE_BULK ? &m->bulk.delta : NULL;
    return size <= GOSSIP_SIZE_MAX ||
           (delta && delta->settings_count == 1 &&
            delta->members_count + delta->records_count + delta->departures_count == 0);
}

#endif
