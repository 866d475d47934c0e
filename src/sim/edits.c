#include "sim/edits.h"

#include "base/error.h"
#include "sim/host.h"
#include "sim/ledger.h"
#include "sim/workload.h"

#include <stdio.h>

enum {
    SUBJECTS_MAX = 6,
    EDIT_CLIENTS_MAX = 4,
    KEY_TEXT = 24,
    NOBODY = -1,
    MS = 1000,
    SECOND = 1000000,
};

/* A key. */
struct subject {
    struct host_call call; /* Of the last read. */
    struct world_event again;
    bool lock;
    enum policy policy;
    char key[KEY_TEXT];
    bool read; /* The last read was answered. */
    /* A counter: */
    uint64_t attempted; /* Ones that were asked for and may have been added. */
    uint64_t highest;   /* Sum that was acknowledged. */
    uint64_t added;     /* Acknowledged ones. */
    bool *taken;        /* Owned. Sums that were acknowledged. */
    /* A lock: */
    int holder; /* Client that was told it has it, and has not begun to give it back. */
    /* An edit of it has an unknown outcome: it may take effect later. From a lock nothing follows
     * any more; a counter of policy siblings may show it beside what was made without it. */
    bool unknown;
    uint32_t gives;      /* Counts when a delete is asked for, and when it is answered. */
    uint32_t gives_open; /* Of them: asked for, and not answered. */
    bool seen;           /* Since the last of them somebody was told that it is taken. */
    bool given_up;       /* The outcome of one is unknown. */
    uint64_t given;      /* When the last one that was answered began, by count of events, */
    uint64_t given_over; /* and ended. */
    uint64_t held_over;  /* When somebody was last told that he has it. */
};

/* DEED_READ: by a get, or with an odd number by an edit that changes nothing. */
enum deed { DEED_ADD = 0, DEED_READ, DEED_TAKE, DEED_GIVE };

struct edit_client {
    struct host_call call;
    struct world_event think;
    int index;
    bool open;
    enum deed deed;
    uint32_t number;
    uint64_t floor; /* Of a counter: what was acknowledged before this began. */
    uint32_t gives; /* Of a lock, as of then; */
    bool seen;      /* likewise. */
    bool plain;     /* DEED_GIVE: by a plain delete. */
    uint64_t begun; /* By count of events. */
    struct subject *subject;
};

struct edits {
    struct edit_client clients[EDIT_CLIENTS_MAX];
    struct subject subjects[SUBJECTS_MAX];
    uint32_t subjects_count;
    uint32_t issued;
    bool stopped;
};

static struct slice key_of(const struct subject *subject)
{
    return slice_string(subject->key);
}

/* A name whose hash lies in RANGE: found by trying. */
static void add_subject(struct world *world, struct edits *edits, bool lock, enum policy policy,
                        uint32_t range)
{
    struct subject *subject = &edits->subjects[edits->subjects_count];
    *subject = (struct subject){.lock = lock, .policy = policy, .holder = NOBODY};
    subject->taken = lock ? NULL : mem_zero(world->options.edits + 1);
    for (uint32_t attempt = 0;; attempt++) {
        snprintf(subject->key, KEY_TEXT, "%s%u.%u", lock ? "lock" : "sum", edits->subjects_count,
                 attempt);
        uint64_t hash = key_hash(world->cluster.hash_seed, ledger_bucket(policy), key_of(subject));
        if (range_of(hash, world->options.range_bits) == range)
            break;
    }
    edits->subjects_count++;
}

/* --------------------------------------------------------------------------------- Judging. */

/* The value that a reader sees, as a number; 0 for none. */
static uint64_t number_in(struct world *world, const struct subject *subject,
                          const struct answer *answer)
{
    struct arena arena = {0};
    struct object object = {0};
    int64_t number = 0;
    int error = object_read(answer->object, answer->hlc, answer->drops, &arena, &object);
    bool found = error == 0 && object.count > 0;
    if (found && !edit_integer(object.siblings[0].value, &number))
        world_violate(world, "EditsDecide", "%s holds what nobody made of it", subject->key);
    arena_done(&arena);
    return (uint64_t)number;
}

static void judge_sum(struct world *world, const struct edit_client *client, uint64_t sum)
{
    struct subject *subject = client->subject;
    const char *name = subject->key;
    if (sum <= client->floor)
        world_violate(world, "AddsOnce", "%s: edit %u made it %llu, acknowledged before was %llu",
                      name, client->number, (unsigned long long)sum,
                      (unsigned long long)client->floor);
    else if (sum > subject->attempted)
        world_violate(world, "AddsOnce", "%s: edit %u made it %llu, of %llu that were asked for",
                      name, client->number, (unsigned long long)sum,
                      (unsigned long long)subject->attempted);
    else if (subject->taken[sum])
        world_violate(world, "AddsOnce", "%s: edit %u made it %llu as another did", name,
                      client->number, (unsigned long long)sum);
    else
        subject->taken[sum] = true;
    subject->highest = MAX(subject->highest, sum);
    subject->added++;
}

static void judge_read(struct world *world, const struct subject *subject, uint64_t floor,
                       uint64_t sum, const char *what)
{
    if (sum < floor || sum > subject->attempted)
        world_violate(world, "AddsOnce", "%s: %s shows %llu, acknowledged %llu, asked for %llu",
                      subject->key, what, (unsigned long long)sum, (unsigned long long)floor,
                      (unsigned long long)subject->attempted);
}

/* A delete begins or ends: what was told before it says nothing of what comes after. */
static void note_give(struct subject *subject, bool begins)
{
    subject->gives++;
    subject->gives_open = begins ? subject->gives_open + 1 : subject->gives_open - 1;
    subject->seen = false;
}

static bool others_take(const struct world *world, const struct edit_client *client)
{
    for (int i = 0; i < EDIT_CLIENTS_MAX; i++) {
        const struct edit_client *other = &world->edits->clients[i];
        if (other != client && other->open && other->deed == DEED_TAKE &&
            other->subject == client->subject)
            return true;
    }
    return false;
}

/* A delete was acknowledged, plain or not, before this edit began, and nobody can have taken the
 * lock since the delete began. */
static void judge_not_held(struct world *world, const struct edit_client *client)
{
    const struct subject *subject = client->subject;
    if (!subject->unknown && subject->given_over > 0 && client->begun > subject->given_over &&
        subject->held_over < subject->given && !others_take(world, client))
        world_violate(world, "EditSeesWrites",
                      "%s: edit %u found it taken, and it was given back before", subject->key,
                      client->number);
}

static void judge_take(struct world *world, const struct edit_client *client, bool held)
{
    struct subject *subject = client->subject;
    bool none_open = subject->gives_open == 0 && !subject->given_up;
    if (client->gives == subject->gives && none_open) {
        if (held && client->seen)
            world_violate(world, "SeenStays", "%s: edit %u put it, after another was told of it",
                          subject->key, client->number);
        subject->seen = true;
    }
    if (!held)
        judge_not_held(world, client);
    if (!held || subject->unknown)
        return;
    subject->held_over = world->coverage.events;
    if (subject->holder != NOBODY)
        world_violate(world, "OneWinner", "%s: edit %u of client %d put it while client %d has it",
                      subject->key, client->number, client->index, subject->holder);
    subject->holder = client->index;
}

/* It may take effect at any time: what was deleted may be seen, and gone, much later. */
static void judge_unknown(struct edit_client *client)
{
    client->subject->unknown |= client->deed != DEED_READ;
    client->subject->given_up |= client->deed == DEED_GIVE;
}

/* Refused: nothing was changed. */
static void judge_refused(struct world *world, struct edit_client *client)
{
    struct subject *subject = client->subject;
    if (client->deed == DEED_ADD) {
        subject->attempted--;
        return;
    }
    if (client->deed == DEED_GIVE)
        note_give(subject, false);
    if (client->deed == DEED_GIVE && !subject->unknown) {
        if (subject->holder != NOBODY)
            world_violate(world, "OneWinner", "%s: client %d has it, which client %d did not give",
                          subject->key, subject->holder, client->index);
        subject->holder = client->index;
    }
}

static void judge_done(struct world *world, struct edit_client *client, const struct answer *answer)
{
    uint8_t outcome = answer->outcome;
    bool unknown = client->subject->unknown;
    bool siblings = client->deed == DEED_ADD && outcome == EDIT_SIBLINGS && unknown &&
                    client->subject->policy == POLICY_SIBLINGS;
    bool decided = outcome == EDIT_HELD || siblings || client->plain ||
                   (client->deed == DEED_GIVE && unknown) ||
                   (client->deed == DEED_TAKE && outcome == EDIT_NOT_HELD);
    if (siblings) {
        judge_refused(world, client);
        return;
    }
    if (client->deed != DEED_READ && !decided)
        world_violate(world, "EditsDecide", "%s: edit %u has outcome %u", client->subject->key,
                      client->number, outcome);
    switch (client->deed) {
    case DEED_ADD:
        judge_sum(world, client, number_in(world, client->subject, answer));
        break;
    case DEED_READ:
        judge_read(world, client->subject, client->floor, number_in(world, client->subject, answer),
                   client->number % 2 == 1 ? "an edit that changes nothing"
                                           : "a strict quorum read");
        break;
    case DEED_TAKE:
        judge_take(world, client, outcome == EDIT_HELD);
        break;
    case DEED_GIVE:
        note_give(client->subject, false);
        client->subject->given = client->begun;
        client->subject->given_over = world->coverage.events;
        break;
    }
}

/* -------------------------------------------------------------------------------- Requests. */

static void think(struct world *world, struct edit_client *client)
{
    world_at(world, &client->think, world->now_us + world_pause(world, world->options.think_us));
}

static void on_answer(struct world *world, struct host_call *call, const struct answer *answer)
{
    struct edit_client *client = (struct edit_client *)call;
    bool missing = answer != NULL && client->deed == DEED_READ &&
                   (answer->error == ERR_NOT_FOUND || answer->error == ERR_DELETED);
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "edit %u of %s answered %s", client->number,
                   client->subject->key, answer == NULL ? "by silence" : error_word(answer->error));
    client->open = false;
    world->coverage.edits++;
    world->coverage.edits_held += answer != NULL && answer->outcome == EDIT_HELD;
    world->coverage.edits_unknown += answer == NULL || answer->error == ERR_TIMEOUT;
    if (answer != NULL && (answer->error == 0 || missing))
        judge_done(world, client, answer);
    else if (answer != NULL && answer->error != ERR_TIMEOUT)
        judge_refused(world, client);
    else
        judge_unknown(client);
    think(world, client);
}

static enum deed draw_deed(struct world *world, const struct edit_client *client)
{
    const struct subject *subject = client->subject;
    if (subject->lock)
        return subject->holder == client->index ? DEED_GIVE : DEED_TAKE;
    return world_chance(world, 200000) ? DEED_READ : DEED_ADD;
}

static struct request request_of(const struct world *world, const struct edit_client *client,
                                 char value[16])
{
    const struct subject *subject = client->subject;
    bool edits = client->deed != DEED_READ || client->number % 2 == 1;
    struct request request = {
        .method = client->plain ? METHOD_DELETE
                  : edits       ? METHOD_EDIT
                                : METHOD_GET,
        .bucket = ledger_bucket(subject->policy),
        .key = key_of(subject),
        .r = CONSISTENCY_QUORUM,
        .w = CONSISTENCY_QUORUM,
        .strict = true,
        .deadline_ms = world->options.edit_deadline_ms,
    };
    if (client->deed == DEED_ADD) {
        request.edit = (struct edit){.kind = EDIT_ADD, .number = 1};
    } else if (client->deed == DEED_TAKE) {
        snprintf(value, 16, "%u", client->number);
        request.value = slice_string(value);
        request.edit = (struct edit){.kind = EDIT_PUT, .conditions = EDIT_IF_ABSENT};
    } else if (client->deed == DEED_GIVE && !client->plain) {
        request.edit = (struct edit){.kind = EDIT_DELETE};
    } else if (edits && !client->plain) {
        /* Reads as well, for no counter expires: of one that was never added to, nothing. */
        request.edit = (struct edit){
            .kind = EDIT_EXPIRE, .conditions = EDIT_IF_EXPIRES, .expiry = EDIT_EXPIRY_NEVER};
    }
    return request;
}

static void ask(struct world *world, struct edit_client *client)
{
    static const char *const deeds[] = {"add to", "read", "take", "give back"};
    struct edits *edits = world->edits;
    uint32_t host = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    char value[16];
    if (host_state(world->hosts[host]) != HOST_UP) {
        think(world, client);
        return;
    }
    client->subject = &edits->subjects[world_draw(world, 0, edits->subjects_count - 1)];
    client->deed = draw_deed(world, client);
    client->plain = client->deed == DEED_GIVE && client->subject->policy != POLICY_SIBLINGS &&
                    world_chance(world, world->options.plain_ppm);
    client->begun = world->coverage.events;
    client->number = ++edits->issued;
    client->floor = client->subject->highest;
    client->subject->attempted += client->deed == DEED_ADD;
    if (client->deed == DEED_GIVE) {
        client->subject->holder = NOBODY;
        note_give(client->subject, true);
    }
    client->gives = client->subject->gives;
    client->seen = client->subject->seen;
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "edit %u of client %d -> %s: %s %s/%s%s",
                   client->number, client->index, world_host_name(host), deeds[client->deed],
                   (const char *)ledger_bucket(client->subject->policy).data, client->subject->key,
                   client->plain ? " by a plain delete" : "");
    const struct request request = request_of(world, client, value);
    client->open = true;
    client->call.done = on_answer;
    bool asked = host_request(world->hosts[host], &client->call, &request);
    ASSERT(asked);
}

static void on_think(struct world *world, struct world_event *event)
{
    struct edit_client *client =
        (struct edit_client *)((char *)event - offsetof(struct edit_client, think));
    if (!world->edits->stopped && world->edits->issued < world->options.edits)
        ask(world, client);
}

/* ------------------------------------------------------------------------------ Last reads. */

static void on_last_read(struct world *world, struct host_call *call, const struct answer *answer)
{
    struct subject *subject = (struct subject *)call;
    bool missing =
        answer != NULL && (answer->error == ERR_NOT_FOUND || answer->error == ERR_DELETED);
    subject->read = answer != NULL && (answer->error == 0 || missing);
    if (!subject->read)
        world_at(world, &subject->again, world->now_us + 200 * MS);
    else if (!subject->lock)
        judge_read(world, subject, MAX(subject->highest, subject->added),
                   number_in(world, subject, answer), "the last read");
    else if (subject->holder != NOBODY && !subject->unknown &&
             number_in(world, subject, answer) == 0)
        world_violate(world, "OneWinner", "%s is gone, but client %d has it", subject->key,
                      subject->holder);
}

static void read_subject(struct world *world, struct world_event *event)
{
    struct subject *subject = (struct subject *)((char *)event - offsetof(struct subject, again));
    uint32_t host = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    const struct request request = {
        .method = METHOD_GET,
        .bucket = ledger_bucket(subject->policy),
        .key = key_of(subject),
        .r = CONSISTENCY_ALL,
        .strict = true,
        .deadline_ms = 2000,
    };
    subject->call.done = on_last_read;
    if (host_state(world->hosts[host]) != HOST_UP ||
        !host_request(world->hosts[host], &subject->call, &request))
        world_at(world, event, world->now_us + 10 * MS);
}

void edits_read_all(struct world *world)
{
    struct edits *edits = world->edits;
    for (uint32_t i = 0; i < edits->subjects_count; i++) {
        edits->subjects[i].again.fire = read_subject;
        world_at(world, &edits->subjects[i].again, world->now_us + i * MS);
    }
}

bool edits_read_all_done(const struct world *world)
{
    const struct edits *edits = world->edits;
    for (uint32_t i = 0; i < edits->subjects_count; i++)
        if (!edits->subjects[i].read)
            return false;
    return true;
}

/* ------------------------------------------------------------------------------ Life cycle. */

struct edits *edits_new(struct world *world)
{
    struct edits *edits = mem_zero(sizeof(*edits));
    world->edits = edits;
    for (uint32_t policy = 0; policy < 3 && world->options.edits > 0; policy++) {
        uint32_t range = workload_range(world, policy % world->options.hot_ranges);
        if (!world->options.policies[policy])
            continue;
        add_subject(world, edits, false, (enum policy)policy, range);
        add_subject(world, edits, true, (enum policy)policy, range);
    }
    for (int i = 0; i < EDIT_CLIENTS_MAX; i++) {
        edits->clients[i].index = i;
        edits->clients[i].think.fire = on_think;
    }
    return edits;
}

void edits_free(struct edits *edits)
{
    for (uint32_t i = 0; i < edits->subjects_count; i++)
        mem_free(edits->subjects[i].taken);
    mem_free(edits);
}

void edits_start(struct world *world)
{
    for (uint32_t i = 0; i < EDIT_CLIENTS_MAX && world->options.edits > 0; i++)
        think(world, &world->edits->clients[i]);
}

void edits_stop(struct world *world)
{
    world->edits->stopped = true;
}

bool edits_owns(const struct world *world, enum policy policy, struct slice key)
{
    const struct edits *edits = world->edits;
    for (uint32_t i = 0; i < edits->subjects_count; i++)
        if (edits->subjects[i].policy == policy && slice_equal(key_of(&edits->subjects[i]), key))
            return true;
    return false;
}

bool edits_issued(const struct world *world)
{
    return world->edits->stopped || world->edits->issued >= world->options.edits;
}

bool edits_idle(const struct world *world)
{
    for (uint32_t i = 0; i < EDIT_CLIENTS_MAX; i++)
        if (world->edits->clients[i].open)
            return false;
    return edits_issued(world);
}
