/* A list of verifications; each hands the store one range after the other. */
#include "shell/verify.h"

#include "base/error.h"
#include "shell/session.h"

struct verify {
    uint64_t number;         /* From 1; with the place of a range, the token of its operation. */
    struct session *session; /* NULL once its connection is gone. */
    uint32_t id;
    struct admin_range *ranges; /* Owned. */
    uint32_t count;
    uint32_t submitted;
    uint32_t finished;
    struct verify *next;
};

enum { PLACE_BITS = 20 };

/* The ranges from FIRST to LAST that this node reads a slot of. */
static void choose(struct verify *verify, const struct core *core, uint32_t first, uint32_t last)
{
    uint32_t ranges = ring_ranges(&core->ring);
    verify->ranges = mem_alloc(ranges * sizeof *verify->ranges);
    for (uint32_t range = first; range <= last && range < ranges; range++)
        if (record_slot_read_by(ring_get(&core->ring, range), core->self) != NULL)
            verify->ranges[verify->count++] = (struct admin_range){.range = range};
}

static uint32_t verifies_count(const struct clients *clients)
{
    uint32_t count = 0;
    for (struct verify *verify = clients->verifies; verify != NULL; verify = verify->next)
        count++;
    return count;
}

void verify_begin(struct session *session, uint32_t id, uint32_t first, uint32_t last)
{
    struct clients *clients = session->clients;
    if (verifies_count(clients) == VERIFIES_MAX) {
        rpc_error(id, ERR_BUSY, slice_string("other verifications are under way at this node"),
                  conn_out(&session->conn));
        session_sent(session);
        return;
    }
    struct verify *verify = mem_zero(sizeof *verify);
    verify->number = clients->verifies == NULL ? 1 : clients->verifies->number + 1;
    verify->session = session;
    session->verifies++;
    verify->id = id;
    choose(verify, node_core(clients->engine->node), first, last);
    verify->next = clients->verifies;
    clients->verifies = verify;
}

void verify_done(struct clients *clients, const struct store_done *done)
{
    uint64_t number = done->token >> PLACE_BITS;
    uint32_t place = (uint32_t)done->token & ((1u << PLACE_BITS) - 1);
    for (struct verify *verify = clients->verifies; verify != NULL; verify = verify->next) {
        if (verify->number != number)
            continue;
        ASSERT(place < verify->submitted);
        verify->ranges[place].error = done->error;
        verify->ranges[place].verified = done->verified;
        verify->finished++;
    }
}

static void submit_next(struct clients *clients, struct verify *verify)
{
    uint32_t place = verify->submitted++;
    const struct store_op op = {
        .type = STORE_VERIFY,
        .token = verify->number << PLACE_BITS | place,
        .range = verify->ranges[place].range,
    };
    if (clients->hooks.verify == NULL || !clients->hooks.verify(clients->hooks.arg, &op))
        engine_submit(clients->engine, &op);
}

static void finish(struct clients *clients, struct verify *verify)
{
    if (verify->session != NULL) {
        struct admin admin = {0};
        struct buf result = {0};
        clients->hooks.describe(clients->hooks.arg, &admin);
        admin_verified(&admin, verify->ranges, verify->count, &result);
        rpc_result(verify->id, buf_slice(&result), conn_out(&verify->session->conn));
        verify->session->verifies--;
        session_sent(verify->session);
        buf_done(&result);
    }
    mem_free(verify->ranges);
    mem_free(verify);
}

void verify_turn(struct clients *clients)
{
    struct verify **at = &clients->verifies;
    uint64_t until_us = clients->verifies == NULL ? 0 : engine_clock().us + VERIFY_TURN_US;
    while (*at != NULL) {
        struct verify *verify = *at;
        while (verify->session != NULL && verify->submitted < verify->count &&
               verify->submitted - verify->finished < VERIFY_FLIGHT_MAX &&
               engine_clock().us < until_us)
            submit_next(clients, verify);
        bool abandoned = verify->session == NULL;
        if (verify->finished == verify->submitted &&
            (abandoned || verify->finished == verify->count)) {
            *at = verify->next;
            finish(clients, verify);
        } else {
            at = &verify->next;
        }
    }
}

bool verify_pending(const struct clients *clients)
{
    for (struct verify *verify = clients->verifies; verify != NULL; verify = verify->next) {
        bool more = verify->session != NULL && verify->submitted < verify->count;
        if (more && verify->submitted - verify->finished < VERIFY_FLIGHT_MAX)
            return true;
        if (!more && verify->finished == verify->submitted)
            return true;
    }
    return false;
}

void verify_forget(struct session *session)
{
    for (struct verify *verify = session->clients->verifies; verify != NULL; verify = verify->next)
        if (verify->session == session)
            verify->session = NULL;
    session->verifies = 0;
}

void verify_free_all(struct clients *clients)
{
    while (clients->verifies != NULL) {
        struct verify *verify = clients->verifies;
        clients->verifies = verify->next;
        mem_free(verify->ranges);
        mem_free(verify);
    }
}
