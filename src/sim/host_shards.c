/* Shards of one host: what is one's and what is the machine's, and the mailboxes between them, in
 * which messages wait a while, in order. */
#include "core/route.h"
#include "sim/host_own.h"
#include "wire/frame.h"
#include "wire/peer.h"

struct mail {
    struct world_event event;
    struct host *to;
    struct host *by;
    uint32_t from;
    struct slice frame; /* Behind the struct. */
    struct mail *next, **link;
};

uint32_t host_shards(const struct host *host)
{
    return host->shards;
}

const struct node *host_shard(const struct host *host, uint32_t shard)
{
    return host->each[shard]->node;
}

const struct node *host_node_of(const struct host *host, uint32_t range)
{
    return host_shard_of(host, range)->node;
}

const struct store *host_store_of(const struct host *host, uint32_t range)
{
    return host_shard_of(host, range)->store;
}

/* All zero while it is down. */
static struct store_stats stats_of(const struct host *host, uint32_t shard)
{
    const struct store *store = host->each[shard]->store;
    struct store_stats stats = {0};
    if (store != NULL)
        store_stats(store, &stats);
    return stats;
}

uint64_t host_position(const struct host *host)
{
    uint64_t position = 0;
    for (uint32_t shard = 0; shard < host->shards; shard++)
        position += stats_of(host, shard).position;
    return position;
}

bool host_synced(const struct host *host)
{
    for (uint32_t shard = 0; shard < host->shards; shard++) {
        struct store_stats stats = stats_of(host, shard);
        if (stats.synced < stats.position)
            return false;
    }
    return true;
}

void host_make_shards(struct host *host)
{
    const struct sim_options *options = &host->world->options;
    host->machine = host;
    host->each[0] = host;
    bool single = options->single_hosts >> host->index & 1;
    host->shards = single ? 1 : options->shards;
    for (uint32_t shard = 1; shard < host->shards; shard++) {
        struct host *other = mem_zero(sizeof(*other));
        other->world = host->world;
        other->machine = host;
        other->index = host->index;
        other->shard = shard;
        other->shards = host->shards;
        other->id = host->id;
        memcpy(other->address, host->address, sizeof(other->address));
        host->each[shard] = other;
    }
}

/* ------------------------------------------------------------------------------------ Mailboxes.
 */

static void mail_free(struct mail *mail)
{
    mail->by->mail_count[mail->to->shard]--;
    *mail->link = mail->next;
    if (mail->next != NULL)
        mail->next->link = mail->link;
    mem_free(mail);
}

void host_mails_clear(struct host *machine)
{
    while (machine->mails != NULL) {
        world_cancel(machine->world, &machine->mails->event);
        mail_free(machine->mails);
    }
}

static void arrive(struct world *world, struct world_event *event)
{
    (void)world;
    struct mail *mail = (struct mail *)event;
    struct host *to = mail->to;
    struct item *item = host_enqueue(to, ITEM_INSIDE);
    item->from = mail->from;
    item->frame = arena_copy(&to->memory, mail->frame);
    mail_free(mail);
    host_pump(to);
}

/* What is owed has room; what may be refused or lost has not, at times. */
static bool has_room(const struct host *host, uint32_t shard, enum message_type type)
{
    bool owed = type == MESSAGE_NEWS || type == MESSAGE_ANSWERED;
    return owed || host->mail_count[shard] < host->world->options.mailbox_max;
}

bool host_mail(struct host *host, uint32_t shard, uint32_t from, enum message_type type,
               struct slice frame)
{
    struct world *world = host->world;
    struct host *machine = host->machine;
    if (!has_room(host, shard, type)) {
        world->coverage.mailboxes_full++;
        return false;
    }
    world->coverage.mails++;
    struct mail *mail = mem_alloc(sizeof(*mail) + frame.size);
    memcpy(mail + 1, frame.data, frame.size);
    uint64_t at = world->now_us + world_draw(world, 0, world->options.shard_us_max);
    at = MAX(at, host->mail_us[shard]);
    *mail = (struct mail){.event = {.fire = arrive},
                          .to = machine->each[shard],
                          .by = host,
                          .from = from,
                          .frame = slice_of(mail + 1, frame.size),
                          .next = machine->mails,
                          .link = &machine->mails};
    if (mail->next != NULL)
        mail->next->link = &mail->next;
    machine->mails = mail;
    host->mail_us[shard] = at;
    host->mail_count[shard]++;
    world_at(world, &mail->event, at);
    return true;
}

/* A request that finds no room in the mailbox is refused. */
static void refuse(struct host *host, uint64_t client)
{
    struct host_call *call = host_call_close(host, client_number(client));
    struct answer answer = {.error = ERR_BUSY, .coordinator = host->id};
    if (call != NULL)
        call->done(host->world, call, &answer);
}

bool host_mail_own(struct host *host, const struct effect *effect)
{
    const struct message *message = effect->send.message;
    uint32_t shards = host->machine->shards;
    uint32_t bits = node_core(host->node)->ring.bits;
    uint32_t mask = message_is_inside(message->type) ? 1u << effect->send.shard
                                                     : route_message(message, bits, shards);
    if (shards == 1 || mask == 1u << host->shard)
        return false;
    ASSERT(__builtin_popcount(mask) == 1); /* A ROOTS goes to other nodes. */
    uint32_t to = (uint32_t)__builtin_ctz(mask);
    if (!host_mail(host, to, host->index, message->type, buf_slice(&host->frame)) &&
        message->type == MESSAGE_HANDED)
        refuse(host, message->forward.id);
    return true;
}

bool host_mail_on(struct host *host, const struct item *item, const struct message *message)
{
    uint32_t shards = host->machine->shards;
    uint32_t bits = node_core(host->node)->ring.bits;
    uint32_t mask = route_message(message, bits, shards);
    for (uint32_t shard = 0; shard < shards; shard++)
        if (shard != host->shard && mask >> shard & 1)
            (void)host_mail(host, shard, item->from, message->type, item->frame);
    return mask >> host->shard & 1;
}
