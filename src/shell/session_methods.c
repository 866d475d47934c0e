/* What a session answers that is no data request: ping, and the cluster methods. */
#include <stdio.h>

#include "base/error.h"
#include "shell/admin_methods.h"
#include "shell/clients.h"
#include "shell/session.h"
#include "shell/verify.h"

static void write_state(struct buf *out, const struct clients *clients)
{
    const struct core *core = node_core(clients->engine->node);
    const struct member *self = member_find(&core->members, core->self);
    mp_write_map(out, 6);
    mp_write_text(out, "node");
    write_id(out, core->self);
    put_slice(out, "name", self == NULL ? SLICE_NONE : self->name);
    put_id(out, "cluster", core->cluster.id);
    put_slice(out, "cluster_name", core->cluster.name);
    put_text(out, "version", KVRING_VERSION);
    put_text(out, "state", admin_state_name(node_state(clients->engine->node)));
}

void session_answer_ping(struct session *session, const struct rpc_request *request)
{
    struct buf result = {0};
    struct mp_reader params = mp_reader_of(request->params);
    struct buf *out = conn_out(&session->conn);
    if (request->params.size > 0 && mp_read_map(&params) > 0) {
        rpc_error(request->id, ERR_BAD_REQUEST, slice_string("ping takes no parameters"), out);
    } else {
        write_state(&result, session->clients);
        rpc_result(request->id, buf_slice(&result), out);
    }
    buf_done(&result);
    session_sent(session);
}

/* The method's name, fit for a sentence. */
static void refuse_method(const struct rpc_request *request, struct buf *out)
{
    char name[33];
    char text[64];
    size_t size = MIN(request->name.size, sizeof name - 1);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = request->name.data[i];
        name[i] = byte > ' ' && byte < 0x7f ? (char)byte : '?';
    }
    name[size] = '\0';
    snprintf(text, sizeof text, "there is no method `%s`", name);
    rpc_error(request->id, ERR_UNKNOWN_METHOD, slice_string(text), out);
}

void session_answer_admin(struct session *session, const struct rpc_request *request)
{
    struct clients *clients = session->clients;
    struct admin admin = {0};
    struct admin_reply reply = {0};
    clients->hooks.describe(clients->hooks.arg, &admin);
    admin_call(&admin, request->name, request->params, &reply);
    if (reply.outcome == ADMIN_COMMAND) {
        calls_command(session, request->id, &reply.command, &reply.result);
    } else if (reply.outcome == ADMIN_VERIFY) {
        verify_begin(session, request->id, reply.verify_first, reply.verify_last);
    } else {
        struct buf *out = conn_out(&session->conn);
        if (reply.outcome == ADMIN_UNKNOWN)
            refuse_method(request, out);
        else if (reply.error != 0)
            rpc_error(request->id, reply.error, buf_slice(&reply.text), out);
        else
            rpc_result(request->id, buf_slice(&reply.result), out);
        session_sent(session);
        if (reply.outcome == ADMIN_STOP && reply.error == 0)
            clients->hooks.stop(clients->hooks.arg);
    }
    admin_reply_done(&reply);
}
