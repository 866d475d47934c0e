#include "core/recent.h"

#include "base/checksum.h"

void recent_done(struct recent *recent)
{
    struct recent_put *next;
    for (struct recent_put *put = recent->oldest; put != NULL; put = next) {
        next = put->next;
        mem_free(put);
    }
    map_done(&recent->puts);
}

struct recent_put *recent_find(const struct recent *recent, uint64_t client, uint64_t sequence)
{
    struct recent_put *put = map_get(&recent->puts, checksum_pair(client, sequence));
    return put != NULL && put->client == client && put->sequence == sequence ? put : NULL;
}

static void drop_oldest(struct recent *recent)
{
    struct recent_put *put = recent->oldest;
    recent->oldest = put->next;
    if (recent->oldest == NULL)
        recent->newest = NULL;
    if (map_get(&recent->puts, put->key) == put)
        map_remove(&recent->puts, put->key);
    mem_free(put);
}

void recent_add(struct recent *recent, uint64_t client, uint64_t sequence, uint64_t op,
                uint64_t now_us, uint64_t expires_us)
{
    while (recent->oldest != NULL &&
           (recent->oldest->expires_us <= now_us || recent->puts.count >= RECENT_MAX))
        drop_oldest(recent);
    struct recent_put *put = mem_zero(sizeof(*put));
    put->client = client;
    put->sequence = sequence;
    put->op = op;
    put->expires_us = expires_us;
    put->key = checksum_pair(client, sequence);
    if (recent->newest != NULL)
        recent->newest->next = put;
    else
        recent->oldest = put;
    recent->newest = put;
    map_put(&recent->puts, put->key, put);
}

void recent_remove(struct recent *recent, uint64_t client, uint64_t sequence)
{
    struct recent_put *put = recent_find(recent, client, sequence);
    if (put != NULL)
        map_remove(&recent->puts, put->key); /* The list drops it when its time comes. */
}
