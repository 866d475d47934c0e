/* The ends of requests: what is counted, what is checked. */
#include "base/error.h"
#include "kvbench/engine_private.h"

#include <stdio.h>

enum { ATTEMPTS_MAX = 10 };
#define BUSY_REST_NS 20000000u /* After BUSY, twice as long each time a key meets it. */

static void sample_add(struct engine *engine, const struct op *op, const char *what,
                       struct slice detail)
{
    if (engine->options.quiet || engine->samples_count == SAMPLES_MAX)
        return;
    char name[KEY_NAME_MAX] = "";
    if (op->kind != OP_SCAN)
        (void)workload_name(engine->workload, op->key, name);
    (void)snprintf(engine->samples[engine->samples_count++], SAMPLE_SIZE, "%s %s: %s%s%.*s",
                   op_name(op->kind), name, what, detail.size > 0 ? ": " : "",
                   (int)MIN(detail.size, (size_t)120), (const char *)detail.data);
}

/* Write down the end of a checked put. */
static void ledger_note(struct engine *engine, const struct op *op, int error)
{
    if (engine->ledger == NULL || op->sequence == 0)
        return;
    if (error == 0)
        ledger_acked(engine->ledger, op->key, op->sequence);
    else if (error == ERR_TIMEOUT && op->writing)
        ledger_unknown(engine->ledger, op->key, op->sequence);
    else
        ledger_refused(engine->ledger, op->key, op->sequence);
}

static void retry_note(struct engine *engine, const struct op *op, int error)
{
    if (!engine->options.streams[op->stream].each)
        return;
    uint64_t rest_ns = (uint64_t)BUSY_REST_NS << engine->attempts[op->key];
    if (error == ERR_BUSY)
        engine->rest_ns = MAX(engine->rest_ns, engine->now_ns + rest_ns);
    if (++engine->attempts[op->key] >= ATTEMPTS_MAX)
        engine->given_up++;
    else
        engine->again[engine->again_count++] = op->key;
}

void engine_finish(struct engine *engine, struct lane *lane, struct op *op, int error,
                   struct slice detail, bool lost)
{
    struct tally *tally = &engine->tallies[op->stream];
    uint64_t taken_ns = engine->now_ns - op->intended_ns;
    ledger_note(engine, op, error);
    if (error == 0)
        histogram_add(&tally->latency[op->kind], taken_ns);
    if (error == 0 && engine->options.streams[op->stream].rate > 0 &&
        taken_ns > (uint64_t)engine->options.manner.deadline_ms * 1000000u) {
        /* In time from when it was sent, but not from when its caller wanted it. */
        error = ERR_TIMEOUT;
        detail = slice_string("answered past the deadline");
    }
    if (error == 0) {
        tally->done++;
    } else {
        tally->failed++;
        tally->lost += lost;
        tally->errors[MIN((uint32_t)-error, ERRORS_MAX - 1U)]++;
        sample_add(engine, op, lost ? "no answer" : error_word(error), detail);
        retry_note(engine, op, error);
    }
    lane_give(lane, op);
    engine->under_way--;
}

static void judge(struct engine *engine, const struct op *op, const struct reply *reply)
{
    if (engine->ledger == NULL)
        return;
    struct tally *tally = &engine->tallies[op->stream];
    switch (ledger_judge(engine->ledger, op->key, op->floor, reply->found, reply->value)) {
    case LEDGER_RIGHT:
        break;
    case LEDGER_STALE:
        tally->stale++;
        sample_add(engine, op, reply->found ? "stale value" : "acknowledged value is missing",
                   slice_of(reply->value.data, MIN(reply->value.size, (size_t)40)));
        break;
    case LEDGER_WRONG:
        tally->wrong++;
        sample_add(engine, op, "value was never written",
                   slice_of(reply->value.data, MIN(reply->value.size, (size_t)40)));
        break;
    }
}

void engine_answered(struct engine *engine, struct lane *lane, const struct reply *reply)
{
    struct op *op = reply->op;
    int error = reply->error;
    bool reading = !op->writing && op->kind != OP_SCAN;
    if (reading && (error == ERR_NOT_FOUND || error == ERR_DELETED)) {
        engine->tallies[op->stream].missed++;
        error = 0;
    }
    if (reading && error == 0)
        judge(engine, op, reply);
    if (op->kind == OP_SCAN && error == 0) {
        buf_clear(&lane->cursor);
        buf_append(&lane->cursor, reply->cursor);
    }
    if (op->kind == OP_RMW && reading && error == 0) {
        engine_send_put(engine, lane, op, reply->context);
        engine_dirty(engine, lane);
        return;
    }
    engine_finish(engine, lane, op, error, reply->message, false);
}
