#include "sim/network.h"

#include "sim/host.h"

#include <stdlib.h>

struct link {
    uint64_t delay_us;
    uint64_t extra_us;
    uint64_t last_us; /* Nothing in order may arrive before this. */
    bool cut;
    enum message_type drop_type; /* For scenarios. */
    uint32_t drop_count;
    enum message_type late_type; /* The same. */
    uint32_t late_count;
    uint64_t late_us;
};

struct packet {
    struct world_event event;
    uint32_t from;
    uint32_t shard; /* Of the sender: the connection. */
    uint32_t to;
    uint32_t life; /* Of the receiver when it was sent; the next one, if it was down. */
    size_t size;
    struct packet *next, **link; /* All that is under way, to free it at the end. */
    uint8_t bytes[];
};

/* Of one size, so that any can be used again for the next frame that fits. */
enum { PACKET_POOLED = 512 };

struct network {
    struct link *links; /* Owned, by sender, then receiver. */
    uint32_t hosts;
    struct packet *under_way;
    struct packet *unused; /* Owned, with room for PACKET_POOLED bytes. */
    bool healed;
};

static struct link *link_of(const struct world *world, uint32_t from, uint32_t to)
{
    return &world->network->links[from * world->network->hosts + to];
}

static struct packet *packet_new(struct network *network, size_t size)
{
    struct packet *packet = network->unused;
    if (size > PACKET_POOLED || packet == NULL)
        return mem_alloc(sizeof(*packet) + MAX(size, (size_t)PACKET_POOLED));
    network->unused = packet->next;
    return packet;
}

static void packet_free(struct network *network, struct packet *packet)
{
    if (packet->size > PACKET_POOLED) {
        mem_free(packet);
        return;
    }
    packet->next = network->unused;
    network->unused = packet;
}

static void packets_free(struct packet *packet)
{
    while (packet != NULL) {
        struct packet *next = packet->next;
        mem_free(packet);
        packet = next;
    }
}

struct network *network_new(struct world *world)
{
    struct network *network = mem_zero(sizeof(*network));
    const struct sim_options *options = &world->options;
    network->hosts = world->hosts_count;
    network->links = mem_zero((size_t)network->hosts * network->hosts * sizeof(*network->links));
    for (uint32_t from = 0; from < network->hosts; from++)
        for (uint32_t to = 0; to < network->hosts; to++)
            network->links[from * network->hosts + to].delay_us =
                from == to ? 0 : world_draw(world, options->delay_us_min, options->delay_us_max);
    return network;
}

void network_free(struct network *network)
{
    packets_free(network->under_way);
    packets_free(network->unused);
    mem_free(network->links);
    mem_free(network);
}

static void arrive(struct world *world, struct world_event *event)
{
    struct packet *packet = (struct packet *)event;
    *packet->link = packet->next;
    if (packet->next != NULL)
        packet->next->link = packet->link;
    bool cut = link_of(world, packet->from, packet->to)->cut && packet->from != packet->to;
    bool broken = packet->life != host_lives(world->hosts[packet->to]);
    if (cut || broken) {
        if (world->trace.text)
            trace_line(&world->trace, world->now_us, "%s -> %s cut off %zu bytes",
                       world_host_name(packet->from), world_host_name(packet->to), packet->size);
    } else {
        host_receive(world->hosts[packet->to], packet->from, packet->shard,
                     slice_of(packet->bytes, packet->size));
    }
    packet_free(world->network, packet);
}

static void launch(struct world *world, uint32_t from, uint32_t shard, uint32_t to,
                   struct slice frame, uint64_t at)
{
    struct network *network = world->network;
    struct packet *packet = packet_new(network, frame.size);
    *packet = (struct packet){
        .event.fire = arrive,
        .from = from,
        .shard = shard,
        .to = to,
        .life = host_lives(world->hosts[to]) + (host_state(world->hosts[to]) == HOST_DOWN),
        .size = frame.size,
        .next = network->under_way,
        .link = &network->under_way,
    };
    memcpy(packet->bytes, frame.data, frame.size);
    if (packet->next != NULL)
        packet->next->link = &packet->next;
    network->under_way = packet;
    world_at(world, &packet->event, at);
}

void network_send(struct world *world, uint32_t from, uint32_t shard, uint32_t to,
                  enum message_type type, struct slice frame)
{
    const struct sim_options *options = &world->options;
    struct network *network = world->network;
    struct link *link = link_of(world, from, to);
    if (from == to) {
        launch(world, from, shard, to, frame, world->now_us);
        return;
    }
    bool faulty = !network->healed;
    if (faulty && world_chance(world, options->loss_ppm)) {
        if (world->trace.text)
            trace_line(&world->trace, world->now_us, "%s -> %s lost %zu bytes",
                       world_host_name(from), world_host_name(to), frame.size);
        return;
    }
    uint64_t at = world->now_us + link->delay_us + link->extra_us;
    if (options->jitter_us > 0)
        at += world_draw(world, 0, options->jitter_us);
    if (link->late_count > 0 && link->late_type == type) {
        link->late_count--;
        launch(world, from, shard, to, frame, at + link->late_us);
        return;
    }
    bool held = faulty && (uint32_t)type == options->held_type;
    if (held && world_chance(world, options->held_ppm)) {
        launch(world, from, shard, to, frame, at + world_draw(world, 0, options->held_us_max));
    } else if (faulty && world_chance(world, options->reorder_ppm)) {
        launch(world, from, shard, to, frame, at + world_draw(world, 0, 20 * link->delay_us));
    } else {
        link->last_us = at = MAX(at, link->last_us);
        launch(world, from, shard, to, frame, at);
    }
    if (faulty && world_chance(world, options->duplicate_ppm))
        launch(world, from, shard, to, frame, at + world_draw(world, 0, 100 * link->delay_us));
}

int network_resolve(const struct world *world, struct slice address)
{
    char text[16];
    if (address.size < 2 || address.size >= sizeof(text) || address.data[0] != 'n')
        return -1;
    memcpy(text, address.data, address.size);
    text[address.size] = '\0';
    char *end;
    unsigned long host = strtoul(text + 1, &end, 10);
    if ((*end != '\0' && *end != ':') || end == text + 1 || host >= world->hosts_count)
        return -1;
    return (int)host;
}

void network_cut(struct world *world, uint32_t from, uint32_t to, bool cut)
{
    link_of(world, from, to)->cut = cut;
}

bool network_is_cut(const struct world *world, uint32_t from, uint32_t to)
{
    return link_of(world, from, to)->cut;
}

void network_slow(struct world *world, uint32_t from, uint32_t to, uint64_t delay_us)
{
    link_of(world, from, to)->extra_us = delay_us;
}

void network_heal(struct world *world)
{
    struct network *network = world->network;
    network->healed = true;
    for (uint32_t from = 0; from < world->hosts_count; from++) {
        for (uint32_t to = 0; to < world->hosts_count; to++) {
            struct link *link = link_of(world, from, to);
            link->cut = false;
            link->extra_us = 0;
            link->drop_count = 0;
        }
    }
}

void network_drop(struct world *world, uint32_t from, uint32_t to, enum message_type type,
                  uint32_t count)
{
    struct link *link = link_of(world, from, to);
    link->drop_type = type;
    link->drop_count = count;
}

void network_late(struct world *world, uint32_t from, uint32_t to, enum message_type type,
                  uint32_t count, uint64_t delay_us)
{
    struct link *link = link_of(world, from, to);
    link->late_type = type;
    link->late_count = count;
    link->late_us = delay_us;
}

bool network_drops(struct world *world, uint32_t from, uint32_t to, enum message_type type)
{
    struct link *link = link_of(world, from, to);
    if (link->drop_count == 0 || (link->drop_type != 0 && link->drop_type != type))
        return false;
    link->drop_count--;
    return true;
}
