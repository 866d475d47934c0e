/* Commands about the connection and the server: what they say is true of this node. */
#include <stdio.h>

#include "base/error.h"
#include "core/buckets.h"
#include "shell/address.h"
#include "shell/clients.h"
#include "shell/resp_commands.h"

void resp_reset(struct session *session)
{
    struct resp_session *resp = session->resp;
    resp->protocol = RESP2;
    resp->db = 0;
    resp->silent = false;
    resp->skip = false;
    resp->name[0] = '\0';
    snprintf(resp->bucket, sizeof resp->bucket, "default");
}

static void reply_ok(struct session *session)
{
    resp_status("OK", resp_reply_now(session));
    resp_replied(session);
}

static void refuse_subcommand(struct session *session, const struct resp_command *command,
                              const char *name)
{
    char text[200];
    struct slice word = command->words[1];
    snprintf(text, sizeof text, "unknown subcommand '%.*s'. Try %s HELP.",
             (int)MIN(word.size, (size_t)128), (const char *)word.data, name);
    resp_fail(session, "ERR", text);
}

/* -------------------------------------------------------------------- SELECT and HELLO. */

void resp_select(struct session *session, const struct resp_command *command)
{
    struct resp_session *resp = session->resp;
    const struct core *core = node_core(session->clients->engine->node);
    struct bucket bucket;
    char name[BUCKET_SIZE_MAX + 1] = "default";
    int64_t number;
    if (!resp_number(command->words[1], &number)) {
        resp_fail(session, "ERR", "value is not an integer or out of range");
        return;
    }
    if (number > 0 && number <= UINT32_MAX)
        snprintf(name, sizeof name, "db%lld", (long long)number);
    if (number < 0 || number > UINT32_MAX ||
        bucket_find(&core->settings, slice_string(name), &bucket) != 0) {
        resp_fail(session, "ERR", "DB index is out of range");
        return;
    }
    resp->db = (uint32_t)number;
    memcpy(resp->bucket, name, sizeof name);
    reply_ok(session);
}

/* False (and an error was queued) for a name that would not fit into a line of CLIENT INFO. */
static bool set_name(struct session *session, struct slice name, const char *what, char *ret_name)
{
    char text[120];
    bool good = name.size <= RESP_NAME_MAX;
    for (size_t i = 0; i < name.size && good; i++)
        good = name.data[i] > ' ' && name.data[i] < 0x7f;
    if (!good) {
        if (name.size > RESP_NAME_MAX)
            snprintf(text, sizeof text, "%s is longer than %d bytes.", what, RESP_NAME_MAX);
        else
            snprintf(text, sizeof text, "%s cannot contain spaces, newlines or special characters.",
                     what);
        resp_fail(session, "ERR", text);
        return false;
    }
    if (name.size > 0)
        memcpy(ret_name, name.data, name.size);
    ret_name[name.size] = '\0';
    return true;
}

static void write_hello(struct session *session)
{
    struct resp_session *resp = session->resp;
    struct buf *out = resp_reply_now(session);
    resp_map(7, resp->protocol, out);
    resp_text("server", out);
    resp_text("kvring", out);
    resp_text("version", out);
    resp_text(KVRING_VERSION, out);
    resp_text("proto", out);
    resp_integer(resp->protocol, out);
    resp_text("id", out);
    resp_integer((int64_t)session->id, out);
    resp_text("mode", out);
    resp_text("standalone", out);
    resp_text("role", out);
    resp_text("master", out);
    resp_text("modules", out);
    resp_array(0, out);
    resp_replied(session);
}

void resp_hello(struct session *session, const struct resp_command *command)
{
    struct resp_session *resp = session->resp;
    int64_t protocol = resp->protocol;
    char name[RESP_NAME_MAX + 1];
    memcpy(name, resp->name, sizeof name);
    if (command->count > 1 && !resp_number(command->words[1], &protocol)) {
        resp_fail(session, "ERR", "Protocol version is not an integer or out of range");
        return;
    }
    if (protocol != RESP2 && protocol != RESP3) {
        resp_fail(session, "NOPROTO", "unsupported protocol version");
        return;
    }
    for (uint32_t i = 2; i < command->count; i += 2) {
        struct slice option = command->words[i];
        if (resp_is(option, "AUTH")) {
            resp_fail(session, "ERR", "AUTH was given, but this version has no users or passwords");
            return;
        }
        if (!resp_is(option, "SETNAME") || i + 1 >= command->count) {
            char text[120];
            snprintf(text, sizeof text, "Syntax error in HELLO option '%.*s'",
                     (int)MIN(option.size, (size_t)64), (const char *)option.data);
            resp_fail(session, "ERR", text);
            return;
        }
        if (!set_name(session, command->words[i + 1], "Client names", name))
            return;
    }
    memcpy(resp->name, name, sizeof name);
    resp->protocol = (enum resp_protocol)protocol;
    write_hello(session);
}

/* ------------------------------------------------------------------------------- CLIENT. */

static void append_address(const struct session *session, bool own, struct buf *out)
{
    struct sockaddr_storage address = {0};
    int size = sizeof address;
    const uv_tcp_t *tcp = &session->conn.tcp;
    int result = own ? uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &size)
                     : uv_tcp_getpeername(tcp, (struct sockaddr *)&address, &size);
    if (result == 0)
        address_append_sockaddr((const struct sockaddr *)&address, out);
}

static void write_client_info(struct session *session)
{
    const struct resp_session *resp = session->resp;
    struct buf text = {0};
    uint64_t age_us = session->clients->engine->now.us - session->began_us;
    buf_printf(&text, "id=%llu addr=", (unsigned long long)session->id);
    append_address(session, false, &text);
    buf_printf(&text, " laddr=");
    append_address(session, true, &text);
    buf_printf(&text, " name=%s age=%llu db=%u resp=%d lib-name=%s lib-ver=%s\n", resp->name,
               (unsigned long long)(age_us / 1000000), resp->db, (int)resp->protocol, resp->library,
               resp->version);
    resp_verbatim(buf_slice(&text), resp->protocol, resp_reply_now(session));
    resp_replied(session);
    buf_done(&text);
}

static void set_info(struct session *session, const struct resp_command *command)
{
    struct resp_session *resp = session->resp;
    bool library = resp_is(command->words[2], "LIB-NAME");
    if (!library && !resp_is(command->words[2], "LIB-VER")) {
        char text[120];
        snprintf(text, sizeof text, "Unrecognized option '%.*s'",
                 (int)MIN(command->words[2].size, (size_t)64),
                 (const char *)command->words[2].data);
        resp_fail(session, "ERR", text);
        return;
    }
    if (set_name(session, command->words[3], library ? "lib-name" : "lib-ver",
                 library ? resp->library : resp->version))
        reply_ok(session);
}

static void set_reply(struct session *session, struct slice mode)
{
    struct resp_session *resp = session->resp;
    if (resp_is(mode, "ON")) {
        resp->silent = false;
        resp->muted = false;
        reply_ok(session);
    } else if (resp_is(mode, "OFF")) {
        resp->silent = true;
    } else if (resp_is(mode, "SKIP")) {
        resp->skip = !resp->silent;
    } else {
        resp_fail(session, "ERR", resp_syntax_error);
    }
}

void resp_client(struct session *session, const struct resp_command *command)
{
    static const struct {
        const char *name, *full;
        uint32_t count;
    } known[] = {
        {"ID", "client|id", 2},           {"INFO", "client|info", 2},
        {"GETNAME", "client|getname", 2}, {"SETNAME", "client|setname", 3},
        {"SETINFO", "client|setinfo", 4}, {"NO-EVICT", "client|no-evict", 3},
        {"REPLY", "client|reply", 3},     {"LIST", "client|list", 2},
    };
    struct resp_session *resp = session->resp;
    uint32_t which = 0;
    while (which < ARRAY_SIZE(known) && !resp_is(command->words[1], known[which].name))
        which++;
    if (which == ARRAY_SIZE(known)) {
        refuse_subcommand(session, command, "CLIENT");
    } else if (command->count != known[which].count) {
        resp_wrong_arity(session, known[which].full);
    } else if (which == 0) {
        resp_integer((int64_t)session->id, resp_reply_now(session));
        resp_replied(session);
    } else if (which == 1 || which == 7) {
        write_client_info(session); /* LIST: nobody is shown the connections of others. */
    } else if (which == 6) {
        set_reply(session, command->words[2]);
    } else if (which == 2) {
        struct buf *out = resp_reply_now(session);
        if (resp->name[0] == '\0')
            resp_null(resp->protocol, out);
        else
            resp_text(resp->name, out);
        resp_replied(session);
    } else if (which == 3) {
        if (set_name(session, command->words[2], "Client names", resp->name))
            reply_ok(session);
    } else if (which == 4) {
        set_info(session, command);
    } else if (resp_is(command->words[2], "ON") || resp_is(command->words[2], "OFF")) {
        reply_ok(session); /* No client is ever closed to free memory. */
    } else {
        resp_fail(session, "ERR", "syntax error");
    }
}

/* --------------------------------------------------------------- COMMAND and CONFIG. */

static void write_entry(const struct resp_entry *entry, struct buf *out)
{
    resp_array(6, out);
    resp_text(entry->name, out);
    resp_integer(entry->arity, out);
    resp_array(entry->flags[0] == '\0' ? 0 : 1, out);
    if (entry->flags[0] != '\0')
        resp_status(entry->flags, out);
    resp_integer(entry->first, out);
    resp_integer(entry->last, out);
    resp_integer(entry->step, out);
}

/* Those that are named, nil for an unknown one. */
static void write_entries(const struct resp_command *command, enum resp_protocol protocol,
                          struct buf *out)
{
    resp_array(command->count - 2, out);
    for (uint32_t i = 2; i < command->count; i++) {
        const struct resp_entry *entry = resp_entry_of(command->words[i]);
        if (entry == NULL)
            resp_null_array(protocol, out);
        else
            write_entry(entry, out);
    }
}

void resp_describe(struct session *session, const struct resp_command *command)
{
    enum resp_protocol protocol = session->resp->protocol;
    bool info = command->count > 1 && resp_is(command->words[1], "INFO");
    bool all = command->count == 1 || (info && command->count == 2);
    bool list = !all && resp_is(command->words[1], "LIST");
    if (!all && !list && !info && !resp_is(command->words[1], "COUNT") &&
        !resp_is(command->words[1], "DOCS")) {
        refuse_subcommand(session, command, "COMMAND");
        return;
    }
    struct buf *out = resp_reply_now(session);
    if (!all && resp_is(command->words[1], "COUNT")) {
        resp_integer(resp_entries_count, out);
    } else if (!all && !list && !info) {
        resp_map(0, protocol, out); /* DOCS: no documentation is stored here. */
    } else if (info && !all) {
        write_entries(command, protocol, out);
    } else {
        resp_array(resp_entries_count, out);
        for (uint32_t i = 0; i < resp_entries_count; i++) {
            if (all)
                write_entry(&resp_entries[i], out);
            else
                resp_text(resp_entries[i].name, out);
        }
    }
    resp_replied(session);
}

struct setting_text {
    const char *name;
    char value[32];
};

/* Only what is true here: the log is always on, nothing is evicted, nobody is timed out. */
static uint32_t config_values(const struct session *session, struct setting_text *ret)
{
    const struct clients_options *options = &session->clients->options;
    struct setting_text known[] = {
        {"save", ""},
        {"appendonly", "yes"},
        {"maxmemory", "0"},
        {"maxmemory-policy", "noeviction"},
        {"timeout", "0"},
        {"maxclients", ""},
        {"proto-max-bulk-len", ""},
    };
    snprintf(known[5].value, sizeof known[5].value, "%u", options->sessions_max);
    snprintf(known[6].value, sizeof known[6].value, "%d", RESP_BULK_MAX);
    memcpy(ret, known, sizeof known);
    return ARRAY_SIZE(known);
}

void resp_config(struct session *session, const struct resp_command *command)
{
    struct setting_text known[8];
    bool wanted[8] = {false};
    uint32_t count = config_values(session, known), found = 0;
    if (!resp_is(command->words[1], "GET")) {
        refuse_subcommand(session, command, "CONFIG");
        return;
    }
    if (command->count < 3) {
        resp_wrong_arity(session, "config|get");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t word = 2; word < command->count && !wanted[i]; word++)
            wanted[i] = resp_match(command->words[word], slice_string(known[i].name), true);
        found += wanted[i];
    }
    struct buf *out = resp_reply_now(session);
    resp_map(found, session->resp->protocol, out);
    for (uint32_t i = 0; i < count; i++) {
        if (wanted[i]) {
            resp_text(known[i].name, out);
            resp_text(known[i].value, out);
        }
    }
    resp_replied(session);
}

/* The wall clock is read to the millisecond. */
void resp_time(struct session *session, const struct resp_command *command)
{
    uint64_t wall_ms = session->clients->engine->now.wall_ms;
    char seconds[24], microseconds[24];
    (void)command;
    snprintf(seconds, sizeof seconds, "%llu", (unsigned long long)(wall_ms / 1000));
    snprintf(microseconds, sizeof microseconds, "%llu",
             (unsigned long long)(wall_ms % 1000 * 1000));
    struct buf *out = resp_reply_now(session);
    resp_array(2, out);
    resp_text(seconds, out);
    resp_text(microseconds, out);
    resp_replied(session);
}

/* --------------------------------------------------------------------------------- INFO. */

static void info_server(struct session *session, const struct admin *admin, struct buf *out)
{
    const struct core *core = node_core(session->clients->engine->node);
    const struct member *self = member_find(&core->members, core->self);
    char id[NODE_ID_TEXT];
    uint64_t uptime_s = (admin->now_us - admin->started_us) / 1000000;
    id_format(core->self, id);
    buf_printf(out, "kvring_version:%s\r\nredis_mode:standalone\r\nprocess_id:%d\r\n",
               KVRING_VERSION, (int)uv_os_getpid());
    buf_printf(out,
               "run_id:%s\r\nnode_name:%.*s\r\ncluster_name:%.*s\r\nuptime_in_seconds:%llu\r\n", id,
               self == NULL ? 0 : (int)self->name.size,
               self == NULL ? "" : (const char *)self->name.data, (int)core->cluster.name.size,
               (const char *)core->cluster.name.data, (unsigned long long)uptime_s);
}

static void info_clients(struct session *session, const struct admin *admin, struct buf *out)
{
    const struct clients *clients = session->clients;
    (void)admin;
    buf_printf(out, "connected_clients:%u\r\nmaxclients:%u\r\n",
               clients->sessions_all != NULL ? atomic_load(clients->sessions_all)
                                             : clients->sessions_count,
               clients->options.sessions_max + clients->others.sessions_max);
}

static void info_memory(struct session *session, const struct admin *admin, struct buf *out)
{
    (void)session;
    buf_printf(out, "used_memory_rss:%llu\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n",
               (unsigned long long)admin->rss_bytes);
}

static void info_persistence(struct session *session, const struct admin *admin, struct buf *out)
{
    (void)session;
    (void)admin;
    buf_printf(out, "loading:0\r\naof_enabled:1\r\n");
}

static void info_stats(struct session *session, const struct admin *admin, struct buf *out)
{
    const struct clients *clients = session->clients;
    const struct clients_others *others = &clients->others;
    buf_printf(out,
               "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
               "rejected_connections:%llu\r\ninstantaneous_ops_per_sec:%u\r\n"
               "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\n",
               (unsigned long long)(clients->counters.accepted + others->accepted),
               (unsigned long long)(clients->counters.requests + others->requests),
               (unsigned long long)(clients->counters.refused + others->refused), admin->ops_per_s,
               (unsigned long long)(clients->conns->bytes_in + others->bytes_in),
               (unsigned long long)(clients->conns->bytes_out + others->bytes_out));
}

/* Every node takes reads and writes, as a master does. */
static void info_replication(struct session *session, const struct admin *admin, struct buf *out)
{
    const struct core *core = node_core(session->clients->engine->node);
    (void)admin;
    buf_printf(out,
               "role:master\r\nconnected_slaves:0\r\nkvring_members:%u\r\nkvring_copies:%u\r\n",
               core->members.count, core->cluster.copies);
}

void resp_info(struct session *session, const struct resp_command *command)
{
    static const struct {
        const char *name;
        void (*write)(struct session *session, const struct admin *admin, struct buf *out);
    } sections[] = {
        {"Server", info_server}, {"Clients", info_clients},
        {"Memory", info_memory}, {"Persistence", info_persistence},
        {"Stats", info_stats},   {"Replication", info_replication},
    };
    struct clients *clients = session->clients;
    struct admin admin = {0};
    struct buf text = {0};
    clients->hooks.describe(clients->hooks.arg, &admin);
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        bool wanted = command->count == 1;
        for (uint32_t word = 1; word < command->count; word++)
            wanted = wanted || resp_is(command->words[word], sections[i].name) ||
                     resp_is(command->words[word], "all") ||
                     resp_is(command->words[word], "default") ||
                     resp_is(command->words[word], "everything");
        if (!wanted)
            continue;
        buf_printf(&text, "%s# %s\r\n", text.size > 0 ? "\r\n" : "", sections[i].name);
        sections[i].write(session, &admin, &text);
    }
    resp_verbatim(buf_slice(&text), session->resp->protocol, resp_reply_now(session));
    resp_replied(session);
    buf_done(&text);
}
