/* The table of links, and what comes in from others. */
#include "shell/peers.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/limits.h"
#include "wire/peer.h"

struct inlet {
    struct conn conn;
    struct peers *peers;
    struct frames frames;
    struct prelude prelude;
    bool greeted;
    bool moves; /* To another shard, once this node's prelude is on its way. */
    uint64_t since_us;
    struct inlet *next;
    struct inlet **at; /* Who points here. */
};

/* ----------------------------------------------------------------------------- Preludes. */

void peers_prelude(const struct peers *peers, struct buf *out)
{
    const struct core *core = node_core(peers->engine->node);
    const struct prelude prelude = {
        .protocol = PEER_PROTOCOL,
        .node = core->self,
        .generation = core->generation,
        .cluster = core->cluster.id,
        .shard = core->shard,
    };
    prelude_encode(&prelude, out);
}

const char *peers_objection(const struct peers *peers, const struct prelude *prelude)
{
    const struct core *core = node_core(peers->engine->node);
    if (id_equal(prelude->node, core->self))
        return "it has this node's id: another member is known under this node's own address, or a "
               "data directory was copied";
    if (!id_none(core->cluster.id) && !id_none(prelude->cluster) &&
        !id_equal(prelude->cluster, core->cluster.id))
        return "it belongs to another cluster";
    return NULL;
}

/* -------------------------------------------------------------------------------- Links. */

static uint64_t address_hash(struct slice address)
{
    return checksum64(address, 0);
}

static struct link *link_new(struct peers *peers)
{
    struct link *link = mem_zero(sizeof *link);
    link->peers = peers;
    link->next = peers->links;
    peers->links = link;
    return link;
}

static struct link *link_to_node(struct peers *peers, struct node_id id, struct slice address)
{
    struct link *link = map_get(&peers->by_id, id.lo);
    /* Ids are random: two that share half their bits are a forger's, who gets nothing sent. */
    if (link != NULL)
        return id_equal(link->id, id) ? link : NULL;
    if (address.size == 0 || peers->by_id.count >= MEMBERS_MAX)
        return NULL;
    link = link_new(peers);
    link->id = id;
    map_put(&peers->by_id, id.lo, link);
    return link;
}

static struct link *link_to_address(struct peers *peers, struct slice address)
{
    struct link *link = map_get(&peers->by_address, address_hash(address));
    if (link != NULL)
        return link;
    if (address.size == 0 || peers->by_address.count >= MEMBERS_MAX)
        return NULL;
    link = link_new(peers);
    map_put(&peers->by_address, address_hash(address), link);
    return link;
}

void peers_learn(struct peers *peers, struct link *link, struct node_id id)
{
    link->id = id;
    if (map_get(&peers->by_id, id.lo) == NULL)
        map_put(&peers->by_id, id.lo, link);
}

/* Where a node listens: as the sender says, else as the member table says. */
static struct slice address_of(const struct peers *peers, struct node_id to, struct slice address)
{
    if (address.size > 0 || id_none(to))
        return address;
    const struct member *member = member_find(&node_core(peers->engine->node)->members, to);
    return member == NULL ? SLICE_NONE : member->peer;
}

/* Is it of a comparison of replicas? */
static bool compares(enum message_type type)
{
    return type == MESSAGE_ROOTS || type == MESSAGE_COMPARE || type == MESSAGE_LEAVES ||
           type == MESSAGE_OBJECTS;
}

void peers_send(struct peers *peers, struct node_id to, struct slice address,
                const struct message *message)
{
    struct slice where = address_of(peers, to, address);
    struct link *link =
        id_none(to) ? link_to_address(peers, where) : link_to_node(peers, to, where);
    struct buf *out = link == NULL ? NULL : link_output(link, where);
    size_t before = out == NULL ? 0 : out->size;
    if (out == NULL || message_encode(message, out) < 0) {
        peers->counters.dropped++;
        return;
    }
    peers->counters.messages_out++;
    if (compares(message->type))
        peers->counters.repair_bytes += out->size - before;
    link_sent(link);
}

/* ------------------------------------------------------------------------------- Inlets. */

static void inlet_close(struct inlet *inlet, const char *why)
{
    uint64_t suppressed;
    struct peers *peers = inlet->peers;
    if (why != NULL && logger_limit_pass(&peers->complaints, engine_clock().us, &suppressed)) {
        char text[NODE_ID_TEXT] = "?";
        struct buf from = {0};
        struct sockaddr_storage address;
        int size = sizeof address;
        if (inlet->greeted)
            id_format(inlet->prelude.node, text);
        if (uv_tcp_getpeername(&inlet->conn.tcp, (struct sockaddr *)&address, &size) == 0)
            address_append_sockaddr((const struct sockaddr *)&address, &from);
        log_warning("peer connection closed",
                    LOG(log_text("node", text), log_slice("from", buf_slice(&from)),
                        log_text("why", why), log_number("suppressed", suppressed)));
        buf_done(&from);
    }
    conn_close(&inlet->conn);
}

static void inlet_corrupt(struct inlet *inlet, const char *why)
{
    inlet->peers->counters.corrupt++;
    inlet_close(inlet, why);
}

/* True if it has gone to the shard that it is for. */
static bool inlet_place(struct inlet *inlet)
{
    struct peers *peers = inlet->peers;
    struct peers_arrival arrival = {.prelude = inlet->prelude};
    const struct frames *frames = &inlet->frames;
    if (peers->place == NULL)
        return false;
    buf_append(&arrival.bytes,
               slice_of(frames->in.data + frames->at, frames->in.size - frames->at));
    bool placed = peers->place(peers->place_arg, &inlet->conn, &arrival);
    buf_done(&arrival.bytes);
    if (placed)
        inlet_close(inlet, NULL);
    return placed;
}

static void inlet_greet(struct inlet *inlet)
{
    struct peers *peers = inlet->peers;
    const char *objection = peers_objection(peers, &inlet->prelude);
    inlet->greeted = true;
    if (objection != NULL) {
        inlet_close(inlet, objection);
        return;
    }
    struct link *link = map_get(&peers->by_id, inlet->prelude.node.lo);
    if (link != NULL)
        link_revive(link);
    inlet->moves = peers->place != NULL && conn_output(&inlet->conn) > 0;
    if (inlet->moves)
        conn_read_stop(&inlet->conn);
    else
        (void)inlet_place(inlet);
}

/* Whoever greets says where he listens: the answer goes there before he is a member. */
static void note_address(struct inlet *inlet, const struct message *hello)
{
    struct slice address = hello->hello.self.peer;
    struct link *link = link_to_node(inlet->peers, inlet->prelude.node, address);
    if (link != NULL)
        link_set_address(link, address);
}

/* Decode the next message into NEXT: 1; 0 there is none yet; or an error, and what it is. */
static int decode_next(struct inlet *inlet, struct peers_arrived *next, const char **ret_fault)
{
    struct engine *engine = inlet->peers->engine;
    struct message *message = &next->message;
    int result = ERR_UNKNOWN_METHOD;
    while (result == ERR_UNKNOWN_METHOD) {
        *ret_fault = "a frame is damaged";
        result = frames_next(&inlet->frames, &next->payload);
        if (result != 1)
            return result;
        *ret_fault = "a message is malformed";
        arena_reset(&next->arena);
        result = message_decode(next->payload, &next->arena, engine_ranges_max(engine), message);
    }
    if (result < 0)
        return result;
    *ret_fault = "a message is none between nodes";
    if (message_is_inside(message->type))
        return ERR_CORRUPT;
    bool has_key = message->type == MESSAGE_WRITE || message->type == MESSAGE_READ;
    next->hash = has_key ? engine_expect(engine, message->write.bucket, message->write.key) : 0;
    return 1;
}

static void inlet_message(struct inlet *inlet, struct peers_arrived *arrived)
{
    struct peers *peers = inlet->peers;
    peers->counters.messages_in++;
    if (arrived->message.type == MESSAGE_HELLO)
        note_address(inlet, &arrived->message);
    engine_receive(peers->engine, inlet->prelude.node, &arrived->message, arrived->payload);
    arena_reset(&arrived->arena); /* It may be long until this place is used again. */
}

/* Messages are decoded two ahead of the one that is stepped: meanwhile what they will look for in
 * the store comes nearer. Not before the ring is known, by whose size they are checked. */
static void take_frames(struct inlet *inlet)
{
    struct peers *peers = inlet->peers;
    bool known = node_core(peers->engine->node)->ring.bits != 0;
    const uint32_t most = known ? PEERS_AHEAD + 1 : 1;
    const char *fault = NULL;
    uint32_t first = 0;
    uint32_t count = 0;
    int result = 1;
    while (inlet->greeted && !inlet->moves && !inlet->conn.closing) {
        while (result == 1 && count < most) {
            result = decode_next(inlet, &peers->arrived[(first + count) % most], &fault);
            count += result == 1;
        }
        if (count == 0)
            break;
        uint64_t hash = count > 1 ? peers->arrived[(first + 1) % most].hash : 0;
        if (hash != 0)
            engine_expect_next(peers->engine, hash);
        inlet_message(inlet, &peers->arrived[first]);
        first = (first + 1) % most;
        count--;
    }
    if (result < 0 && !inlet->conn.closing)
        inlet_corrupt(inlet, fault);
}

static void on_drained(struct conn *conn)
{
    struct inlet *inlet = (struct inlet *)(void *)conn;
    if (!inlet->moves)
        return;
    inlet->moves = false;
    if (inlet_place(inlet))
        return;
    take_frames(inlet);
    if (!conn->closing)
        conn_read_start(conn);
}

static void on_read(struct conn *conn, const uint8_t *bytes, size_t size)
{
    struct inlet *inlet = (struct inlet *)(void *)conn;
    (void)bytes;
    engine_tick(inlet->peers->engine);
    frames_received(&inlet->frames, size);
    if (!inlet->greeted) {
        int result = frames_prelude(&inlet->frames, &inlet->prelude);
        if (result < 0)
            inlet_corrupt(inlet, "no peer: clients use the client port");
        else if (result == 1)
            inlet_greet(inlet);
    }
    take_frames(inlet);
}

static uint8_t *on_room(struct conn *conn, size_t *ret_size)
{
    struct inlet *inlet = (struct inlet *)(void *)conn;
    return frames_room(&inlet->frames, ret_size);
}

static void on_end(struct conn *conn, int error)
{
    struct inlet *inlet = (struct inlet *)(void *)conn;
    inlet_close(inlet, error == 0 || error == UV_ECONNRESET ? NULL : uv_strerror(error));
}

static void on_closed(struct conn *conn)
{
    struct inlet *inlet = (struct inlet *)(void *)conn;
    *inlet->at = inlet->next;
    if (inlet->next != NULL)
        inlet->next->at = inlet->at;
    inlet->peers->inlets_count--;
    frames_done(&inlet->frames);
    mem_free(inlet);
}

static const struct conn_events events = {.on_read = on_read,
                                          .on_room = on_room,
                                          .on_end = on_end,
                                          .on_drained = on_drained,
                                          .on_closed = on_closed};

static struct inlet *inlet_new(struct peers *peers)
{
    struct inlet *inlet = mem_zero(sizeof *inlet);
    conn_init(&inlet->conn, peers->conns, &events);
    inlet->peers = peers;
    inlet->since_us = engine_clock().us;
    inlet->next = peers->inlets;
    inlet->at = &peers->inlets;
    if (inlet->next != NULL)
        inlet->next->at = &inlet->next;
    peers->inlets = inlet;
    peers->inlets_count++;
    return inlet;
}

void peers_adopt(struct peers *peers, struct peers_arrival *arrival)
{
    struct inlet *inlet = inlet_new(peers);
    int result = conn_adopt(&inlet->conn, arrival->fd);
    inlet->greeted = true;
    inlet->prelude = arrival->prelude;
    if (result < 0 || peers->inlets_count > INLETS_MAX) {
        inlet_close(inlet, result < 0 ? uv_strerror(result) : "too many peer connections");
        return;
    }
    conn_tune(&inlet->conn, LINK_SILENT_MS);
    uv_tcp_keepalive(&inlet->conn.tcp, 1, 30);
    for (size_t at = 0; at < arrival->bytes.size;) {
        size_t room;
        uint8_t *to = frames_room(&inlet->frames, &room);
        size_t size = MIN(room, arrival->bytes.size - at);
        memcpy(to, arrival->bytes.data + at, size);
        frames_received(&inlet->frames, size);
        at += size;
        take_frames(inlet);
    }
    struct link *link = map_get(&peers->by_id, inlet->prelude.node.lo);
    if (link != NULL)
        link_revive(link);
    if (!inlet->conn.closing)
        conn_read_start(&inlet->conn);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct peers *peers = listener->data;
    if (status < 0)
        return;
    struct inlet *inlet = inlet_new(peers);
    int result = uv_accept(listener, (uv_stream_t *)&inlet->conn.tcp);
    if (result < 0 || peers->inlets_count > INLETS_MAX) {
        inlet_close(inlet, result < 0 ? uv_strerror(result) : "too many peer connections");
        return;
    }
    conn_tune(&inlet->conn, LINK_SILENT_MS);
    uv_tcp_keepalive(&inlet->conn.tcp, 1, 30);
    peers_prelude(peers, conn_out(&inlet->conn));
    conn_dirty(&inlet->conn);
    conn_read_start(&inlet->conn);
}

/* ----------------------------------------------------------------------------- Lifetime. */

void peers_init(struct peers *peers, struct conns *conns, struct engine *engine)
{
    *peers = (struct peers){.conns = conns, .engine = engine};
}

int peers_listen(struct peers *peers, int fd)
{
    ASSERT(uv_tcp_init(peers->conns->loop, &peers->listener) == 0);
    peers->listener.data = peers;
    peers->listening = true;
    int result = uv_tcp_open(&peers->listener, fd);
    if (result == 0)
        result = uv_listen((uv_stream_t *)&peers->listener, 1024, on_connection);
    return result;
}

void peers_second(struct peers *peers, uint64_t now_us)
{
    for (struct link *link = peers->links; link != NULL; link = link->next)
        link_check(link, now_us);
    for (struct inlet *inlet = peers->inlets; inlet != NULL; inlet = inlet->next) {
        if (!inlet->greeted && now_us - inlet->since_us > INLET_PRELUDE_MS * 1000)
            inlet_close(inlet, "no prelude came");
        else if (inlet->frames.at == inlet->frames.in.size)
            frames_done(&inlet->frames);
    }
}

void peers_close(struct peers *peers)
{
    peers->closed = true;
    if (peers->listening)
        uv_close((uv_handle_t *)&peers->listener, NULL);
    peers->listening = false;
    for (struct link *link = peers->links; link != NULL; link = link->next)
        link_close(link);
    for (struct inlet *inlet = peers->inlets; inlet != NULL; inlet = inlet->next)
        inlet_close(inlet, NULL);
}

void peers_done(struct peers *peers)
{
    ASSERT(peers->inlets == NULL);
    while (peers->links != NULL) {
        struct link *link = peers->links;
        peers->links = link->next;
        mem_free(link);
    }
    map_done(&peers->by_id);
    map_done(&peers->by_address);
    for (uint32_t i = 0; i < ARRAY_SIZE(peers->arrived); i++)
        arena_done(&peers->arrived[i].arena);
}
