#include "sim/ledger_own.h"

#include "base/error.h"
#include "data/hlc.h"
#include "data/vector.h"
#include "sim/checks.h"
#include "sim/host.h"
#include "sim/losses.h"
#include "sim/rots.h"
#include "sim/workload.h"

#include <stdio.h>

struct ledger *ledger_new(struct world *world)
{
    struct ledger *ledger = mem_zero(sizeof(*ledger));
    ledger->value_size_max = world->options.value_size_max;
    return ledger;
}

void ledger_free(struct ledger *ledger)
{
    mem_free(ledger->ops);
    arena_done(&ledger->arena);
    mem_free(ledger);
}

uint32_t ledger_count(const struct ledger *ledger)
{
    return ledger->count;
}

struct slice ledger_bucket(enum policy policy)
{
    static const char *const names[POLICIES] = {"sib", "default", "last"};
    return slice_string(names[policy]);
}

/* How often any process was started. */
static uint32_t lives(const struct world *world)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        sum += host_lives(world->hosts[i]);
    return sum;
}

struct entry_op *ledger_begin(struct ledger *ledger, struct world *world, enum method method,
                              enum policy policy, uint32_t key, bool strong, const uint32_t *seen,
                              uint32_t seen_count)
{
    struct entry_op *op = arena_zero(&ledger->arena, sizeof(*op));
    if (ledger->count == ledger->capacity) {
        ledger->capacity = MAX(64u, 2 * ledger->capacity);
        ledger->ops = mem_grow(ledger->ops, ledger->capacity * sizeof(struct entry_op *));
    }
    ledger->ops[ledger->count++] = op;
    op->number = ledger->count;
    op->method = method;
    op->policy = policy;
    op->key = key;
    op->strict = true;
    op->strong = strong;
    op->begun = world->coverage.events;
    op->begun_us = world->now_us;
    op->ended = UINT64_MAX;
    op->seen = arena_alloc(&ledger->arena, (seen_count + 1) * sizeof(*op->seen));
    if (seen_count > 0)
        memcpy(op->seen, seen, seen_count * sizeof(*seen));
    op->seen_count = seen_count;
    op->lives = lives(world);
    if (method != METHOD_SCAN) {
        op->older = ledger->newest[policy][key];
        ledger->newest[policy][key] = op;
    }
    world->coverage.operations++;
    world->coverage.methods[method]++;
    world->coverage.policies[policy]++;
    world->coverage.weak += !strong;
    return op;
}

/* ------------------------------------------------------------------------------- The verdicts. */

static bool is_write(const struct entry_op *op)
{
    return op->method == METHOD_PUT || op->method == METHOD_DELETE;
}

static bool has_value_of(const struct reading *reading, uint32_t number)
{
    for (uint32_t i = 0; i < reading->object.count; i++)
        if (!reading->object.siblings[i].tombstone &&
            ledger_number(reading->ledger, reading->object.siblings[i].value) == number)
            return true;
    return false;
}

static bool higher(uint64_t hlc_a, struct dot a, uint64_t hlc_b, struct dot b)
{
    if (hlc_a != hlc_b)
        return hlc_a > hlc_b;
    return a.actor != b.actor ? a.actor > b.actor : a.counter > b.counter;
}

static uint64_t hash_of(const struct reading *reading)
{
    return key_hash(reading->world->cluster.hash_seed, ledger_bucket(reading->op->policy),
                    workload_key(reading->world, reading->op->policy, reading->op->key));
}

/* Was the version DOT collected, or what followed it? Of none: was any of the key? */
static bool collected(const struct reading *reading, struct dot dot)
{
    uint64_t hash = hash_of(reading);
    uint32_t range = range_of(hash, reading->world->options.range_bits);
    return checks_gone(reading->world, range, hash, dot);
}

/* The same where its answer did not say which version it made: the answer to a retry. */
static bool value_collected(const struct reading *reading, const struct entry_op *write)
{
    uint64_t hash = hash_of(reading);
    uint32_t range = range_of(hash, reading->world->options.range_bits);
    return checks_gone_value(reading->world, range, hash, write->number);
}

/* Does what was read include WRITE, or what followed it? */
static bool includes(const struct reading *reading, const struct entry_op *write)
{
    for (uint32_t i = 0; i < reading->object.count; i++) {
        const struct sibling *sibling = &reading->object.siblings[i];
        if (dot_equal(sibling->dot, write->dot))
            return true;
        if (vector_covers(sibling->context, write->dot))
            return true;
        if (write->first.counter > 0 && vector_covers(sibling->context, write->first) &&
            higher(sibling->hlc, sibling->dot, write->hlc, write->dot))
            return true;
        if (sibling->policy == POLICY_LWW &&
            higher(sibling->hlc, sibling->dot, write->hlc, write->dot))
            return true;
    }
    uint64_t hash = hash_of(reading);
    uint32_t range = range_of(hash, reading->world->options.range_bits);
    return vector_covers(reading->object.history, write->dot) ||
           (write->first.counter > 0 &&
            checks_covered(reading->world, range, hash, &reading->object, write->dot));
}

/* May WRITE's value be gone, because somebody who had seen it wrote before READ ended? By what the
 * clients saw, not by dots: catches a context that covers what its writer never saw. */
static bool superseded(const struct reading *reading, const struct entry_op *write)
{
    const struct entry_op *at = reading->ledger->newest[write->policy][write->key];
    for (; at != NULL; at = at->older) {
        if (!is_write(at) || at->state == ENTRY_REFUSED || at == write)
            continue;
        for (uint32_t i = 0; i < at->seen_count; i++)
            if (at->seen[i] == write->number)
                return true;
    }
    return false;
}

static void say(const struct reading *reading, const char *invariant, const struct entry_op *other,
                const char *what)
{
    const struct entry_op *op = reading->op;
    struct buf found = {0};
    for (uint32_t i = 0; i < reading->object.count; i++) {
        const struct sibling *sibling = &reading->object.siblings[i];
        buf_printf(&found, " %s%u@%llx.%llu", sibling->tombstone ? "tombstone" : "v",
                   sibling->tombstone ? 0 : ledger_number(reading->ledger, sibling->value),
                   (unsigned long long)sibling->dot.actor & 0xffff,
                   (unsigned long long)sibling->dot.counter);
    }
    world_violate(
        reading->world, invariant,
        "request %u (%s of %.*s/k%u, begun at %llu.%03llu ms) found %s:%.*s; %s%s%u", op->number,
        op->final                   ? "last get"
        : op->method == METHOD_GET  ? "get"
        : op->method == METHOD_SCAN ? "scan"
                                    : "write",
        (int)ledger_bucket(op->policy).size, (const char *)ledger_bucket(op->policy).data, op->key,
        (unsigned long long)op->begun_us / 1000, (unsigned long long)op->begun_us % 1000,
        error_word(reading->error), (int)found.size, (const char *)found.data, what,
        other->method == METHOD_DELETE ? " delete " : " v", other->number);
    buf_done(&found);
}

static void check_invented(const struct reading *reading)
{
    struct ledger *ledger = reading->ledger;
    struct buf expected = {0};
    for (uint32_t i = 0; i < reading->object.count; i++) {
        const struct sibling *sibling = &reading->object.siblings[i];
        if (sibling->tombstone)
            continue;
        uint32_t number = ledger_number(ledger, sibling->value);
        buf_clear(&expected);
        ledger_value(number, ledger->value_size_max, &expected);
        const struct entry_op *put = number == 0 ? NULL : ledger->ops[number - 1];
        if (put == NULL || put->method != METHOD_PUT || put->policy != reading->op->policy ||
            put->key != reading->op->key || !slice_equal(buf_slice(&expected), sibling->value))
            say(reading, "NoInventedSibling", put == NULL ? reading->op : put, "never sent so:");
        else if (put->state == ENTRY_REFUSED)
            say(reading, "RefusedIsRefused", put, "refused was");
        for (uint32_t k = 0; k < i && reading->op->policy == POLICY_SIBLINGS; k++)
            if (put != NULL && !put->retried && !reading->object.siblings[k].tombstone &&
                ledger_number(ledger, reading->object.siblings[k].value) == number)
                say(reading, "PutOnce", put, "twice there is");
    }
    buf_done(&expected);
}

/* Under newest and lww a reader is shown one version: the highest (hlc, dot). */
static const struct sibling *shown(const struct reading *reading)
{
    const struct sibling *best = NULL;
    for (uint32_t i = 0; i < reading->object.count; i++) {
        const struct sibling *one = &reading->object.siblings[i];
        if (best == NULL || higher(one->hlc, one->dot, best->hlc, best->dot))
            best = one;
    }
    return best;
}

/* The name of what is broken when an acknowledged write is not there. */
static const char *missing_of(const struct entry_op *op)
{
    if (op->method == METHOD_SCAN)
        return "ScanComplete";
    return op->final ? "NoAckedWriteLost" : "AckedVisible";
}

/* Is the value of put NUMBER there? Not counted is one that was written once more and is hidden by
 * what came of a version that overwrote it (docs/decisions/0032). */
static bool returns_value(const struct reading *reading, uint32_t number)
{
    uint64_t hash = hash_of(reading);
    uint32_t range = range_of(hash, reading->world->options.range_bits);
    const struct sibling *read = shown(reading);
    for (uint32_t i = 0; i < reading->object.count; i++) {
        const struct sibling *one = &reading->object.siblings[i];
        bool hidden = one != read && one->policy != POLICY_SIBLINGS &&
                      checks_left_over(reading->world, range, hash, &reading->object, one->dot);
        if (!one->tombstone && !hidden && ledger_number(reading->ledger, one->value) == number)
            return true;
    }
    return false;
}

/* WRITE was acknowledged before what was read began. */
static void check_included(const struct reading *reading, const struct entry_op *write)
{
    const char *invariant = missing_of(reading->op);
    if (write->dot.counter > 0 && collected(reading, write->dot))
        return; /* Nobody has it any more, nor what it had seen. */
    if (write->dot.counter > 0 && !includes(reading, write))
        say(reading, invariant, write, "missing is");
    else if (write->policy == POLICY_SIBLINGS && write->method == METHOD_PUT &&
             !has_value_of(reading, write->number) && !superseded(reading, write) &&
             !value_collected(reading, write))
        say(reading, invariant, write, "nobody had seen");
    for (uint32_t i = 0; i < write->seen_count; i++) {
        const struct entry_op *gone = reading->ledger->ops[write->seen[i] - 1];
        /* The first attempt of one that was retried may take effect later, elsewhere. */
        bool settled =
            !gone->retried && (write->policy == POLICY_SIBLINGS || gone->ended < write->begun);
        if (settled && returns_value(reading, write->seen[i]))
            say(reading, "NoDeletedReturns", gone, "overwritten was");
    }
}

/* Could a write that is shown as the newest have ended before WRITE, itself over, began? */
static void check_latest(const struct reading *reading, const struct entry_op *write)
{
    const struct sibling *latest = shown(reading);
    /* Of several tombstones in an answer nobody knows which was this one's; a put may have been
     * overwritten when it was answered. */
    if (latest == NULL && collected(reading, write->dot))
        return;
    if (latest == NULL) {
        say(reading, missing_of(reading->op), write, "not found, but written was");
        return;
    }
    if (latest->tombstone) {
        const struct entry_op *at = reading->ledger->newest[write->policy][write->key];
        for (; at != NULL; at = at->older)
            if (at->method == METHOD_DELETE && at->state != ENTRY_REFUSED &&
                (at->state != ENTRY_DONE || !at->strong || at->retried ||
                 at->ended >= write->begun))
                return;
        say(reading, "LaterReadsLater", write, "deleted before was");
        return;
    }
    uint32_t number = ledger_number(reading->ledger, latest->value);
    const struct entry_op *put = number == 0 ? NULL : reading->ledger->ops[number - 1];
    if (put != NULL && put->state == ENTRY_DONE && put->strong && !put->retried &&
        put->ended < write->begun)
        say(reading, "LaterReadsLater", write, "newer is");
}

/* An expired version is dead for good once any clock says so: for all from when the slowest clock
 * has passed the instant, and for one process from when it has said so first. */
static void check_dead(const struct reading *reading)
{
    const struct entry_op *op = reading->op;
    uint64_t begun_ms = (uint64_t)WORLD_EPOCH_S * 1000 + op->begun_us / 1000;
    uint64_t passed =
        hlc_at(begun_ms - (uint64_t)reading->world->options.skew_ms_max - CLOCK_SKEW_MS);
    const struct entry_op *at = op->coordinator == 0 ? NULL : op->older;
    for (; at != NULL; at = at->older)
        if (at->coordinator == op->coordinator && at->coordinator_life == op->coordinator_life &&
            at->ended < op->begun)
            passed = MAX(passed, at->read_hlc);
    for (uint32_t i = 0; i < reading->object.count; i++) {
        const struct sibling *sibling = &reading->object.siblings[i];
        bool dead = sibling_dead(sibling, reading->hlc, reading->drops);
        if (!dead && sibling->expires != 0 && sibling->expires <= passed)
            say(reading, "DeadStaysDead", op, "expired before, and read again by");
        reading->world->coverage.expired += dead && !sibling->tombstone;
    }
}

/* What a collected version had overwritten never shows again. */
static void check_returned(const struct reading *reading)
{
    uint64_t hash = hash_of(reading);
    uint32_t range = range_of(hash, reading->world->options.range_bits);
    for (uint32_t i = 0; i < reading->object.count; i++)
        if (checks_returns(reading->world, range, hash, reading->object.siblings[i].dot,
                           reading->op->begun))
            say(reading, "NoResurrection", reading->op, "overwritten by what was collected, in");
}

void ledger_check_reading(const struct reading *reading)
{
    check_invented(reading);
    check_dead(reading);
    check_returned(reading);
    const struct entry_op *op = reading->op;
    if (op->policy == POLICY_LWW && reading->object.count > 1)
        say(reading, "LwwKeepsOne", op, "more than one version, read by");
    if (!op->strong && !op->final)
        return;
    const struct entry_op *at = op->older;
    for (; at != NULL; at = at->older) {
        if (!is_write(at) || at->state != ENTRY_DONE || at->ended >= op->begun)
            continue;
        uint64_t lost = MAX(losses_last(reading->world), rots_last(reading->world));
        if (!at->strong && (!op->final || at->begun <= lost))
            continue;
        check_included(reading, at);
        if (at->policy != POLICY_SIBLINGS && at->strong)
            check_latest(reading, at);
    }
}

/* ------------------------------------------------------------------------------------ Answers. */

/* The dot and stamp of the version that a write made, from the object it was answered with. */
static void find_version(struct ledger *ledger, struct entry_op *op, const struct object *object)
{
    uint32_t tombstones = 0;
    for (uint32_t i = 0; i < object->count; i++)
        tombstones += object->siblings[i].tombstone;
    for (uint32_t i = 0; i < object->count; i++) {
        const struct sibling *sibling = &object->siblings[i];
        bool mine = op->method == METHOD_PUT
                        ? !sibling->tombstone && ledger_number(ledger, sibling->value) == op->number
                        : sibling->tombstone && tombstones == 1;
        if (!mine)
            continue;
        op->dot = sibling->dot;
        op->first = sibling->first;
        op->hlc = sibling->hlc;
        op->expires = sibling->expires;
    }
}

/* A put that is to expire says when, for all replicas alike: its stamp and its time to live. */
static void check_expiry(const struct reading *reading, const struct entry_op *op)
{
    if (op->method != METHOD_PUT || op->dot.counter == 0)
        return;
    uint64_t life_ms = op->expires == 0 ? 0 : hlc_ms(op->expires) - hlc_ms(op->hlc);
    if (life_ms != op->ttl_ms)
        say(reading, "DeadStaysDead", op, "expires at another time:");
}

/* Which process answered, if that is sure: none was started since the request began. */
static void note_coordinator(const struct world *world, struct entry_op *op,
                             const struct answer *answer)
{
    int host = world_host_of(world, answer->coordinator);
    if (host < 0 || op->lives != lives(world))
        return;
    op->coordinator = (uint32_t)host + 1;
    op->coordinator_life = host_lives(world->hosts[host]);
    /* A put's is its version's stamp, which may be above a version from a clock far ahead. */
    op->read_hlc = is_write(op) ? 0 : answer->hlc;
}

static bool found_nothing(int error)
{
    return error == ERR_NOT_FOUND || error == ERR_DELETED;
}

void ledger_end(struct ledger *ledger, struct world *world, struct entry_op *op,
                const struct answer *answer)
{
    ASSERT(op->state == ENTRY_OPEN);
    op->ended = world->coverage.events;
    if (answer == NULL || answer->error == ERR_TIMEOUT) {
        op->state = ENTRY_UNKNOWN;
        world->coverage.unknown++;
        return;
    }
    if (answer->error < 0 && !found_nothing(answer->error)) {
        op->state = op->retried ? ENTRY_UNKNOWN : ENTRY_REFUSED; /* The first attempt may stand. */
        world->coverage.refused++;
        world->coverage.refused_full += answer->error == ERR_DISK_FULL;
        return;
    }
    op->state = ENTRY_DONE;
    world->coverage.acknowledged++;
    world->coverage.sloppy += answer->sloppy;
    /* What fallbacks were counted for is promised to be seen in the end, not at once. */
    if (!op->strict && answer->sloppy)
        op->strong = false;
    note_coordinator(world, op, answer);
    if (op->method == METHOD_SCAN) {
        ledger_end_scan(ledger, world, op, answer);
        return;
    }
    struct reading reading = {.ledger = ledger,
                              .world = world,
                              .op = op,
                              .error = answer->error,
                              .hlc = answer->hlc,
                              .drops = answer->drops};
    if (object_decode(answer->object, &ledger->arena, &reading.object) < 0) {
        world_violate(world, "NoInventedSibling", "request %u: the object does not decode",
                      op->number);
        return;
    }
    if (is_write(op)) {
        find_version(ledger, op, &reading.object);
        check_expiry(&reading, op);
        check_invented(&reading);
    } else {
        ledger_check_reading(&reading);
    }
}

void ledger_made(struct ledger *ledger, struct world *world, uint32_t host, uint32_t number)
{
    struct entry_op *op = ledger->ops[number - 1];
    uint32_t life = host_lives(world->hosts[host]);
    uint64_t remembered_us = 2 * (uint64_t)op->deadline_ms * 1000;
    if (op->made_at == host + 1 && op->made_life == life &&
        world->now_us < op->begun_us + remembered_us)
        world_violate(world, "RetryOnce", "%s makes a second version of v%u", world_host_name(host),
                      number);
    op->made_at = host + 1;
    op->made_life = life;
}

uint32_t ledger_seen(struct ledger *ledger, struct slice object, uint32_t **ret_seen)
{
    struct object decoded;
    *ret_seen = NULL;
    if (object_decode(object, &ledger->arena, &decoded) < 0 || decoded.count == 0)
        return 0;
    uint32_t *seen = arena_alloc(&ledger->arena, decoded.count * sizeof(*seen));
    uint32_t count = 0;
    for (uint32_t i = 0; i < decoded.count; i++) {
        uint32_t number =
            decoded.siblings[i].tombstone ? 0 : ledger_number(ledger, decoded.siblings[i].value);
        if (number > 0)
            seen[count++] = number;
    }
    *ret_seen = seen;
    return count;
}
