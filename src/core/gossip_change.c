/* Changes that are made at this node: settings and departures. They are stored first, and only then
 * told to anybody, this node's own machines included: a counter that had been told and was
 * forgotten by a crash would be used for two values. */
#include "base/error.h"
#include "core/accept.h"
#include "core/gossip.h"

static void answer(struct core *core, uint64_t client, int error, const char *detail)
{
    if (client == 0)
        return;
    struct answer *reply = core_reply(core, client);
    reply->error = error;
    reply->detail = core_copy(core, slice_string(detail));
}

static struct gossip_pending *free_pending(struct gossip *gossip)
{
    for (uint32_t i = 0; i < PENDINGS_MAX; i++)
        if (gossip->pendings[i].token == 0)
            return &gossip->pendings[i];
    return NULL;
}

static bool is_pending(const struct gossip *gossip, struct slice name)
{
    for (uint32_t i = 0; i < PENDINGS_MAX; i++)
        if (gossip->pendings[i].token != 0 && gossip->pendings[i].has_setting &&
            slice_equal(buf_slice(&gossip->pendings[i].name), name))
            return true;
    return false;
}

static void store_meta(struct core *core, uint64_t token, struct meta meta)
{
    struct meta *copy = core_alloc(core, sizeof(*copy));
    *copy = meta;
    struct store_op *op = core_store(core, STORE_META, token);
    op->sync = true;
    op->batch.metas = copy;
    op->batch.metas_count = 1;
}

static struct setting pending_setting(const struct gossip_pending *pending, const struct core *core)
{
    return (struct setting){.name = buf_slice(&pending->name),
                            .counter = pending->counter,
                            .writer = core->self,
                            .value = buf_slice(&pending->value)};
}

static void store_setting(struct core *core, struct gossip_pending *pending)
{
    struct setting setting = pending_setting(pending, core);
    const struct setting *known = setting_find(&core->settings, setting.name);
    pending->known = known ? known->writer : NODE_NONE;
    store_meta(core, pending->token, news_meta_setting(core, &setting));
}

static void end_pending(struct gossip_pending *pending)
{
    buf_done(&pending->name);
    buf_done(&pending->value);
    mem_free(pending->forks);
    *pending = (struct gossip_pending){0};
}

void gossip_set(struct gossip *gossip, struct core *core, uint64_t client,
                const struct command *command)
{
    const struct setting *known = setting_find(&core->settings, command->name);
    uint64_t counter = known ? known->counter : 0;
    struct gossip_pending *pending = free_pending(gossip);
    if (command->name.size == 0 || command->name.size > SETTING_NAME_SIZE_MAX)
        answer(core, client, ERR_BAD_REQUEST, "a setting's name has 1 to 128 bytes");
    else if (command->value.size > SETTING_VALUE_SIZE_MAX)
        answer(core, client, ERR_TOO_LARGE, "a setting's value has at most 4 MiB");
    else if (!setting_fits(&core->settings, command->name, command->value.size))
        answer(core, client, ERR_TOO_LARGE,
               "the cluster keeps at most 4096 settings of 64 MiB together");
    else if (!pending || is_pending(gossip, command->name))
        answer(core, client, ERR_BUSY, "another change of this setting is on its way to the disk");
    else if (counter == UINT64_MAX || (command->conditional && command->counter != counter))
        answer(core, client, ERR_CONFLICT, "the setting has changed meanwhile");
    else {
        pending->token = token_of(OWNER_GOSSIP, ++gossip->tokens);
        pending->client = client;
        pending->has_setting = true;
        pending->counter = counter + 1;
        buf_append(&pending->name, command->name);
        buf_append(&pending->value, command->value);
        store_setting(core, pending);
    }
}

void gossip_depart(struct gossip *gossip, struct core *core, uint64_t client, struct node_id id,
                   enum departure_kind kind)
{
    struct gossip_pending *pending = free_pending(gossip);
    if (member_departed(&core->members, id)) {
        answer(core, client, OK, "");
    } else if (!pending) {
        answer(core, client, ERR_BUSY, "other changes are on their way to the disk");
    } else {
        pending->token = token_of(OWNER_GOSSIP, ++gossip->tokens);
        pending->client = client;
        pending->departure = (struct departure){id, kind, core->self, prng_next(&core->prng)};
        store_meta(core, pending->token, news_meta_departure(core, &pending->departure));
    }
}

/* ---------------------------------------------------------------------------- Accepted losses. */

enum { FORKS_A_RECORD = 512 }; /* Of the log. */

/* Forks first, the departure with the last of them: whatever a crash leaves of this, the node that
 * is not removed yet can be removed once more, and then the rest is made. */
static void store_forks(struct core *core, struct gossip_pending *pending)
{
    for (uint32_t first = 0; first == 0 || first < pending->forks_count; first += FORKS_A_RECORD) {
        uint32_t count = MIN(pending->forks_count - first, (uint32_t)FORKS_A_RECORD);
        bool last = first + count == pending->forks_count;
        bool departs = last && !member_departed(&core->members, pending->departure.id);
        struct meta *metas = core_alloc(core, (count + 1) * sizeof(*metas));
        for (uint32_t i = 0; i < count; i++)
            metas[i] = news_meta_record(core, &pending->forks[first + i]);
        if (departs)
            metas[count] = news_meta_departure(core, &pending->departure);
        pending->stores++;
        struct store_op *op = core_store(core, STORE_META, pending->token);
        op->sync = true;
        op->batch.metas = metas;
        op->batch.metas_count = count + (departs ? 1 : 0);
    }
}

void gossip_accept_loss(struct gossip *gossip, struct core *core, uint64_t client,
                        struct node_id id)
{
    struct gossip_pending *pending = free_pending(gossip);
    struct range_record *forks = NULL;
    uint32_t count = accept_forks(core, id, &core->prng, &forks);
    if (!pending || (count == 0 && member_departed(&core->members, id))) {
        answer(core, client, pending ? OK : ERR_BUSY,
               pending ? "" : "other changes are on their way to the disk");
        mem_free(forks);
        return;
    }
    pending->token = token_of(OWNER_GOSSIP, ++gossip->tokens);
    pending->client = client;
    pending->forks = forks;
    pending->forks_count = count;
    pending->departure =
        (struct departure){id, DEPARTURE_REMOVED, core->self, prng_next(&core->prng)};
    store_forks(core, pending);
}

/* By direct mail to whom they concern; gossip brings them to the others. */
static void mail_forks(struct core *core, const struct gossip_pending *pending)
{
    for (uint32_t i = 0; i < pending->forks_count; i++) {
        const struct range_record *fork = &pending->forks[i];
        if (!record_equal(fork, ring_get(&core->ring, fork->range)))
            continue; /* Another one has come meanwhile, and beats it. */
        struct node_id told[2 * SLOTS_MAX + FORMER_MAX];
        uint32_t count = record_members(fork, told);
        for (uint32_t k = 0; k < fork->former_count; k++)
            told[count++] = fork->former[k];
        for (uint32_t k = 0; k < count; k++) {
            if (id_equal(told[k], core->self))
                continue;
            struct message *message = core_send(core, told[k], MESSAGE_CHOSEN);
            message->vote.range = range_epoch_of(fork);
            message->vote.has_record = true;
            message->vote.record = *fork;
        }
    }
}

static struct gossip_pending *find_pending(struct gossip *gossip, uint64_t token)
{
    for (uint32_t i = 0; i < PENDINGS_MAX; i++)
        if (gossip->pendings[i].token == token)
            return &gossip->pendings[i];
    return NULL;
}

/* The disk has the new setting: let the node and the cluster have it too. False: it was stored once
 * more first, for something came in after it, perhaps an older value of this very setting, and the
 * disk must have the newest last. */
static bool announce_setting(struct gossip *gossip, struct core *core,
                             struct gossip_pending *pending)
{
    struct setting setting = pending_setting(pending, core);
    const struct setting *known = setting_find(&core->settings, setting.name);
    if (setting_newer(&setting, known) && known && !id_equal(known->writer, pending->known)) {
        store_setting(core, pending);
        return false;
    }
    bool news = news_setting(&gossip->rumours, core, &setting);
    if (news)
        gossip_tell_now(gossip, core, setting.value.size > RUMOUR_SIZE_MAX);
    if (news && pending->client != 0)
        core_reply_level(core, pending->client);
    else if (!news)
        answer(core, pending->client, ERR_CONFLICT, "another node changed it at the same moment");
    return true;
}

void gossip_durable(struct gossip *gossip, struct core *core, uint64_t token)
{
    if (token == token_of(OWNER_GOSSIP, GOSSIP_DEPARTURES))
        core->departures_unsynced--;
    struct gossip_pending *pending = find_pending(gossip, token);
    if (!pending || (pending->stores > 0 && --pending->stores > 0))
        return;
    if (pending->has_setting) {
        if (!announce_setting(gossip, core, pending))
            return;
    } else {
        gossip_learn(gossip, core,
                     &(struct delta){.departures = &pending->departure,
                                     .records = pending->forks,
                                     .departures_count = 1,
                                     .records_count = pending->forks_count});
        mail_forks(core, pending);
        gossip_tell_now(gossip, core, false);
        if (pending->client != 0)
            core_reply_level(core, pending->client);
    }
    end_pending(pending);
}

void gossip_refused(struct gossip *gossip, struct core *core, const struct store_done *done)
{
    struct gossip_pending *pending = find_pending(gossip, done->token);
    if (!pending)
        return;
    answer(core, pending->client, done->error, "the change could not be stored");
    end_pending(pending);
}
