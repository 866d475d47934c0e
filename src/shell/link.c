/* Dialling: name lookup, connect, prelude, and what happens when one of them fails. */
#include "shell/link.h"

#include "shell/config.h"
#include "shell/peers.h"

/* One attempt and the connection it leads to. */
struct dial {
    struct conn conn;
    struct link *link; /* NULL once the link has let go of it. */
    struct frames frames;
    struct prelude prelude;
    bool greeted; /* Its prelude has come. */
    bool resolving;
    bool closed;
    uint64_t since_us;
    uint16_t port;
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
};

static const char *link_name(const struct link *link, char text[NODE_ID_TEXT])
{
    if (id_none(link->id))
        return "?";
    id_format(link->id, text);
    return text;
}

static void complain(struct link *link, const char *what, const char *why)
{
    uint64_t suppressed;
    char text[NODE_ID_TEXT];
    if (!logger_limit_pass(&link->complaints, link->peers->engine->now.us, &suppressed))
        return;
    log_warning(what,
                LOG(log_text("node", link_name(link, text)), log_text("address", link->address),
                    log_text("why", why), log_number("suppressed", suppressed)));
}

/* The attempt is over or the connection broke. */
static void fail(struct dial *dial, const char *what, const char *why)
{
    struct link *link = dial->link;
    if (link == NULL)
        return;
    struct peers *peers = link->peers;
    uint64_t backoff_ms = (uint64_t)LINK_BACKOFF_MS_MIN << MIN(link->failures, 10u);
    complain(link, what, why);
    if (link->state == LINK_DIALLING)
        peers->counters.dials_failed++;
    link->failures++;
    link->state = LINK_BACKOFF;
    link->retry_us = engine_clock().us + 1000 * MIN(backoff_ms, (uint64_t)LINK_BACKOFF_MS_MAX);
    link->dial = NULL;
    dial->link = NULL;
    conn_close(&dial->conn);
    if (!id_none(link->id))
        engine_peer_lost(peers->engine, link->id);
}

static void dial_free(struct dial *dial)
{
    if (dial->closed && !dial->resolving) {
        frames_done(&dial->frames);
        mem_free(dial);
    }
}

/* -------------------------------------------------------------------- The other's prelude. */

static uint8_t *on_room(struct conn *conn, size_t *ret_size)
{
    struct dial *dial = (struct dial *)(void *)conn;
    return frames_room(&dial->frames, ret_size);
}

static void greet(struct dial *dial)
{
    struct link *link = dial->link;
    const char *objection = peers_objection(link->peers, &dial->prelude);
    dial->greeted = true;
    if (id_equal(dial->prelude.node, link->peers->engine->self)) {
        /* A list of seeds may be the same on all nodes and name this one, too. */
        link->self = true;
        link->state = LINK_IDLE;
        link_close(link);
    } else if (objection != NULL) {
        fail(dial, "peer refused", objection);
    } else if (id_none(link->id)) {
        peers_learn(link->peers, link, dial->prelude.node);
        link->failures = 0;
    } else if (!id_equal(link->id, dial->prelude.node)) {
        fail(dial, "peer refused", "another node answers at its address");
    } else {
        link->failures = 0;
    }
}

static void on_read(struct conn *conn, const uint8_t *bytes, size_t size)
{
    struct dial *dial = (struct dial *)(void *)conn;
    (void)bytes;
    frames_received(&dial->frames, size);
    if (dial->link == NULL)
        return;
    if (dial->greeted) {
        fail(dial, "peer refused", "it talks on a connection that is not its own");
        return;
    }
    int result = frames_prelude(&dial->frames, &dial->prelude);
    if (result < 0) {
        dial->link->peers->counters.corrupt++;
        fail(dial, "peer refused", "what answers is no peer");
    } else if (result == 1) {
        frames_done(&dial->frames);
        greet(dial);
    }
}

static void on_end(struct conn *conn, int error)
{
    struct dial *dial = (struct dial *)(void *)conn;
    fail(dial, "peer lost", error == 0 ? "it closed the connection" : uv_strerror(error));
}

static void on_closed(struct conn *conn)
{
    struct dial *dial = (struct dial *)(void *)conn;
    dial->closed = true;
    dial_free(dial);
}

static const struct conn_events events = {
    .on_read = on_read, .on_room = on_room, .on_end = on_end, .on_closed = on_closed};

/* ---------------------------------------------------------------------------- Dialling. */

static void on_connected(uv_connect_t *connect, int status)
{
    struct dial *dial = connect->data;
    if (dial->link == NULL)
        return;
    if (status < 0) {
        fail(dial, "peer cannot be reached", uv_strerror(status));
        return;
    }
    dial->link->state = LINK_OPEN;
    dial->conn.held = false;
    conn_tune(&dial->conn, LINK_SILENT_MS);
    conn_dirty(&dial->conn);
    conn_read_start(&dial->conn);
}

static void connect_to(struct dial *dial, const struct sockaddr *address)
{
    dial->connect.data = dial;
    int result = uv_tcp_connect(&dial->connect, &dial->conn.tcp, address, on_connected);
    if (result < 0)
        fail(dial, "peer cannot be reached", uv_strerror(result));
}

/* Of several addresses of a name, each attempt takes another one. */
static struct sockaddr *choose(const struct addrinfo *found, uint32_t attempt, uint16_t port)
{
    uint32_t count = 0;
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next)
        count++;
    for (attempt %= count; attempt > 0; attempt--)
        found = found->ai_next;
    if (found->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)(void *)found->ai_addr)->sin_port = htons(port);
    return found->ai_addr;
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct dial *dial = lookup->data;
    dial->resolving = false;
    if (dial->link == NULL) {
        dial_free(dial);
    } else if (status < 0) {
        fail(dial, "peer cannot be reached", uv_strerror(status));
    } else {
        connect_to(dial, choose(found, dial->link->failures, dial->port));
    }
    uv_freeaddrinfo(found);
}

static void resolve(struct dial *dial, const struct address *address)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    dial->port = address->port;
    if (uv_ip4_addr(address->host, address->port, &v4) == 0) {
        connect_to(dial, (const struct sockaddr *)&v4);
    } else if (uv_ip6_addr(address->host, address->port, &v6) == 0) {
        connect_to(dial, (const struct sockaddr *)&v6);
    } else {
        dial->lookup.data = dial;
        dial->resolving = true;
        int result = uv_getaddrinfo(dial->conn.conns->loop, &dial->lookup, on_resolved,
                                    address->host, NULL, &hints);
        if (result < 0) {
            dial->resolving = false;
            fail(dial, "peer cannot be reached", uv_strerror(result));
        }
    }
}

static void dial(struct link *link)
{
    struct address address;
    struct dial *dial = mem_zero(sizeof *dial);
    conn_init(&dial->conn, link->peers->conns, &events);
    dial->conn.held = true;
    dial->link = link;
    dial->since_us = engine_clock().us;
    link->dial = dial;
    link->state = LINK_DIALLING;
    link->peers->counters.dials++;
    peers_prelude(link->peers, conn_out(&dial->conn));
    /* A seed may come without a port. */
    if (address_parse(slice_string(link->address), PORT_PEER, &address) < 0)
        fail(dial, "peer cannot be reached", "its address is malformed");
    else
        resolve(dial, &address);
}

void link_set_address(struct link *link, struct slice address)
{
    if (address.size == 0 || address.size > ADDRESS_SIZE_MAX)
        return;
    memcpy(link->address, address.data, address.size);
    link->address[address.size] = '\0';
}

struct buf *link_output(struct link *link, struct slice address)
{
    if (link->self || link->peers->closed)
        return NULL;
    if (link->state == LINK_BACKOFF && link->peers->engine->now.us >= link->retry_us)
        link->state = LINK_IDLE;
    if (link->state == LINK_IDLE) {
        link_set_address(link, address);
        if (link->address[0] == '\0')
            return NULL;
        dial(link);
    }
    if (link->dial == NULL || conn_output(&link->dial->conn) > LINK_OUTPUT_MAX)
        return NULL;
    return conn_out(&link->dial->conn);
}

void link_sent(struct link *link)
{
    conn_dirty(&link->dial->conn);
}

void link_revive(struct link *link)
{
    link->failures = 0;
    if (link->state == LINK_BACKOFF)
        link->state = LINK_IDLE;
}

void link_check(struct link *link, uint64_t now_us)
{
    struct dial *dial = link->dial;
    if (dial != NULL && !dial->greeted && now_us - dial->since_us > LINK_CONNECT_MS * 1000)
        fail(dial, "peer cannot be reached",
             link->state == LINK_OPEN ? "it does not greet" : "no answer");
}

void link_close(struct link *link)
{
    struct dial *dial = link->dial;
    if (dial == NULL)
        return;
    link->dial = NULL;
    dial->link = NULL;
    if (dial->resolving)
        uv_cancel((uv_req_t *)&dial->lookup);
    conn_close(&dial->conn);
}
