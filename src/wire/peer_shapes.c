/* One list a group of messages. Messages that share a struct share a list, so that no field a state
 * machine sets is lost on the way; an unused one costs a byte. Parts that many messages have are
 * macros that expand to their fields. */
#include "wire/peer_shapes.h"

enum {
    LINES_MAX = 4 * RANGES_MAX, /* Of a digest: everything a table may hold, several times. */
    ENTRIES_MAX = RANGES_MAX,   /* Keys in a chunk or a page of a scan. */
    SCAN_LIMIT_MAX = 10000,
    DETAIL_SIZE_MAX = 4096,
};

#define MESSAGE struct message

#define RANGE_EPOCH(type, member)                                                                  \
    RANGE_NUMBER(type, member.range), PLAIN(type, member.fork), PLAIN(type, member.nonce),         \
        PLAIN(type, member.epoch)
#define BALLOT(type, member) PLAIN(type, member.number), PLAIN(type, member.node)
#define SLOT_NUMBER(type, member) BOUNDED(type, member, 0, SLOTS_MAX - 1)
#define BUCKET(type, member) BYTES(type, member, 0, BUCKET_SIZE_MAX)
#define KEY(type, member) BYTES(type, member, 0, KEY_SIZE_MAX)
#define BUCKET_NEEDED(type, member) BYTES(type, member, 1, BUCKET_SIZE_MAX)
#define KEY_NEEDED(type, member) BYTES(type, member, 1, KEY_SIZE_MAX)
#define DETAIL(type, member) BYTES(type, member, 0, DETAIL_SIZE_MAX)
#define DATA(kind, type, member) FIELD_OF(kind, type, member, 0, 0)
/* A record, and the flag that says whether the message is about it. */
#define RECORD_IF(type, flag, member)                                                              \
    PLAIN(type, flag),                                                                             \
    {                                                                                              \
        .kind = FIELD_RECORD_MAYBE, .offset = offsetof(type, member),                              \
        .other = offsetof(type, flag)                                                              \
    }

/* ------------------------------------------------------------------ Elements of lists. */

static const struct field departure_fields[] = {{.kind = FIELD_DEPARTURE}};
static const struct field member_fields[] = {{.kind = FIELD_MEMBER}};
static const struct field setting_fields[] = {{.kind = FIELD_SETTING}};
static const struct field record_fields[] = {{.kind = FIELD_RECORD}};
static const struct shape departure_shape = SHAPE_BARE(departure_fields, struct departure);
static const struct shape member_shape = SHAPE_BARE(member_fields, struct member);
static const struct shape setting_shape = SHAPE_BARE(setting_fields, struct setting);
static const struct shape record_shape = SHAPE_BARE(record_fields, struct range_record);

static const struct field load_fields[] = {
    PLAIN(struct load, id),           PLAIN(struct load, generation),
    PLAIN(struct load, sequence),     PLAIN(struct load, ops_per_s),
    PLAIN(struct load, cpu_permille), PLAIN(struct load, live_bytes),
    PLAIN(struct load, file_bytes),   PLAIN(struct load, free_bytes),
    PLAIN(struct load, queue),        PLAIN(struct load, inbound),
    PLAIN(struct load, p99_us),       PLAIN(struct load, hint_bytes),
    PLAIN(struct load, hint_oldest),  PLAIN(struct load, hlc_floor),
    PLAIN(struct load, ahead_ms),     PLAIN(struct load, behind_ms),
    PLAIN(struct load, forks),
};
static const struct shape load_shape = SHAPE(load_fields, struct load);

static const struct field digest_fields[] = {
    BOUNDED(struct digest, kind, DIGEST_DEPARTURE, DIGEST_RANGE),
    PLAIN(struct digest, id),
    BYTES(struct digest, name, 0, SETTING_NAME_SIZE_MAX),
    RANGE_NUMBER(struct digest, range),
    PLAIN(struct digest, major),
    PLAIN(struct digest, minor),
    PLAIN(struct digest, nonce),
};
static const struct shape digest_shape = SHAPE(digest_fields, struct digest);

static const struct field epoch_fields[] = {
    RANGE_NUMBER(struct range_epoch, range),
    PLAIN(struct range_epoch, fork),
    PLAIN(struct range_epoch, nonce),
    PLAIN(struct range_epoch, epoch),
};
static const struct shape epoch_shape = SHAPE(epoch_fields, struct range_epoch);

static const struct field entry_fields[] = {
    PLAIN(struct entry, hash),
    BUCKET_NEEDED(struct entry, bucket),
    KEY_NEEDED(struct entry, key),
    OBJECT(struct entry, object),
};
static const struct shape entry_shape = SHAPE(entry_fields, struct entry);

static const struct field node_fields[] = {
    PLAIN(struct tree_node, prefix),
    PLAIN(struct tree_node, digest),
};
static const struct shape node_shape = SHAPE(node_fields, struct tree_node);

#define LOADS(member, count) LIST(MESSAGE, member, count, MEMBERS_MAX, &load_shape)
#define DIGESTS(member, count) LIST(MESSAGE, member, count, LINES_MAX, &digest_shape)
#define RECORDS(member, count) LIST(MESSAGE, member, count, RANGES_MAX, &record_shape)
#define ENTRIES(member, count) LIST(MESSAGE, member, count, ENTRIES_MAX, &entry_shape)
#define DELTA(member)                                                                              \
    LIST(MESSAGE, member.departures, member.departures_count, LINES_MAX, &departure_shape),        \
        LIST(MESSAGE, member.members, member.members_count, MEMBERS_MAX, &member_shape),           \
        LIST(MESSAGE, member.settings, member.settings_count, LINES_MAX, &setting_shape),          \
        RECORDS(member.records, member.records_count)

/* --------------------------------------------------------------- Joining and gossip. */

static const struct field hello[] = {
    PLAIN(MESSAGE, hello.cluster),
    DATA(FIELD_MEMBER, MESSAGE, hello.self),
    PLAIN(MESSAGE, hello.position),
    PLAIN(MESSAGE, hello.nonce),
    LIST(MESSAGE, hello.epochs, hello.epochs_count, RANGES_MAX, &epoch_shape),
};
static const struct field welcome[] = {
    PLAIN(MESSAGE, welcome.cluster.id),
    BYTES(MESSAGE, welcome.cluster.name, 0, NAME_SIZE_MAX),
    PLAIN(MESSAGE, welcome.cluster.hash_seed),
    BOUNDED(MESSAGE, welcome.cluster.range_bits, RANGE_BITS_MIN, RANGE_BITS_MAX),
    BOUNDED(MESSAGE, welcome.cluster.copies, 1, SLOTS_MAX),
    DATA(FIELD_MEMBER, MESSAGE, welcome.self),
    PLAIN(MESSAGE, welcome.nonce),
    PLAIN(MESSAGE, welcome.generation_seen),
    PLAIN(MESSAGE, welcome.position_seen),
    PLAIN(MESSAGE, welcome.hlc),
    RECORDS(welcome.records, welcome.records_count),
};
static const struct field refused[] = {
    PLAIN(MESSAGE, refused.error),
    DETAIL(MESSAGE, refused.detail),
    PLAIN(MESSAGE, refused.nonce),
};
static const struct field syn[] = {
    PLAIN(MESSAGE, syn.nonce),
    WORDS(MESSAGE, syn.tables),
    WORDS(MESSAGE, syn.ranges),
    LOADS(syn.loads, syn.loads_count),
};
static const struct field ack[] = {
    PLAIN(MESSAGE, ack.nonce),
    PLAIN(MESSAGE, ack.tables),
    PLAIN(MESSAGE, ack.ranges),
    PLAIN(MESSAGE, ack.complete),
    DIGESTS(ack.digests, ack.digests_count),
    LOADS(ack.loads, ack.loads_count),
};
static const struct field ack2[] = {
    PLAIN(MESSAGE, ack2.nonce),
    DELTA(ack2.delta),
    DIGESTS(ack2.wants, ack2.wants_count),
};
static const struct field bulk[] = {
    PLAIN(MESSAGE, bulk.nonce),
    DELTA(bulk.delta),
};
static const struct field ping[] = {
    PLAIN(MESSAGE, ping.sequence),           PLAIN(MESSAGE, ping.generation),
    PLAIN(MESSAGE, ping.position),           PLAIN(MESSAGE, ping.hlc),
    INSIDE(MESSAGE, ping.load, &load_shape), PLAIN(MESSAGE, ping.wall_ms),
};

/* --------------------------------------------------------------- Votes and transfers. */

static const struct field offer[] = {
    PLAIN(MESSAGE, offer.transfer),   RANGE_EPOCH(MESSAGE, offer.range),
    SLOT_NUMBER(MESSAGE, offer.slot), PLAIN(MESSAGE, offer.bytes),
    PLAIN(MESSAGE, offer.rate),       PLAIN(MESSAGE, offer.error),
    DETAIL(MESSAGE, offer.detail),    INSIDE(MESSAGE, offer.load, &load_shape),
};
static const struct field vote[] = {
    RANGE_EPOCH(MESSAGE, vote.range),
    BALLOT(MESSAGE, vote.ballot),
    PLAIN(MESSAGE, vote.refused),
    BALLOT(MESSAGE, vote.accepted),
    RECORD_IF(MESSAGE, vote.has_record, vote.record),
    PLAIN(MESSAGE, vote.position),
};
static const struct field chunk[] = {
    PLAIN(MESSAGE, chunk.transfer),
    RANGE_EPOCH(MESSAGE, chunk.range),
    PLAIN(MESSAGE, chunk.sequence),
    PLAIN(MESSAGE, chunk.cursor),
    BUCKET(MESSAGE, chunk.cursor_bucket),
    KEY(MESSAGE, chunk.cursor_key),
    ENTRIES(chunk.entries, chunk.entries_count),
    PLAIN(MESSAGE, chunk.last),
    PLAIN(MESSAGE, chunk.count),
    PLAIN(MESSAGE, chunk.horizon),
};
static const struct field compare[] = {
    RANGE_EPOCH(MESSAGE, compare.range),
    BOUNDED(MESSAGE, compare.bits, 0, 64),
    BOUNDED(MESSAGE, compare.leaf_bits, 0, 64),
    LIST(MESSAGE, compare.nodes, compare.nodes_count, LINES_MAX, &node_shape),
    ENTRIES(compare.entries, compare.entries_count),
    PLAIN(MESSAGE, compare.reply),
    LIST(MESSAGE, compare.keys, compare.keys_count, LINES_MAX, &node_shape),
    PLAIN(MESSAGE, compare.from),
    PLAIN(MESSAGE, compare.to),
    PLAIN(MESSAGE, compare.horizon),
    PLAIN(MESSAGE, compare.generation),
    PLAIN(MESSAGE, compare.walk),
    BUCKET(MESSAGE, compare.bucket),
};
static const struct field horizon[] = {
    RANGE_EPOCH(MESSAGE, horizon.range),
    PLAIN(MESSAGE, horizon.nonce),
    PLAIN(MESSAGE, horizon.generation),
    PLAIN(MESSAGE, horizon.horizon),
    PLAIN(MESSAGE, horizon.stands),
    PLAIN(MESSAGE, horizon.drops),
    PLAIN(MESSAGE, horizon.lives),
    PLAIN(MESSAGE, horizon.refused),
    PLAIN(MESSAGE, horizon.reply),
    BOUNDED(MESSAGE, horizon.bits, 0, 63),
    BOUNDED(MESSAGE, horizon.leaf_bits, 0, 63),
    PLAIN(MESSAGE, horizon.from),
    PLAIN(MESSAGE, horizon.to),
    LIST(MESSAGE, horizon.nodes, horizon.nodes_count, LINES_MAX, &node_shape),
    ENTRIES(horizon.entries, horizon.entries_count),
};
static const struct field roots[] = {
    BOUNDED(MESSAGE, roots.kind, ROOTS_ASK, ROOTS_PART),
    PLAIN(MESSAGE, roots.id),
    LIST(MESSAGE, roots.nodes, roots.nodes_count, LINES_MAX, &node_shape),
};

/* -------------------------------------------------------------------------- Requests. */

static const struct field forward[] = {
    PLAIN(MESSAGE, forward.id),
    PLAIN(MESSAGE, forward.hops),
    PLAIN(MESSAGE, forward.deadline),
    RANGE_EPOCH(MESSAGE, forward.range),
    BOUNDED(MESSAGE, forward.request.method, METHOD_GET, METHOD_EDIT),
    BUCKET(MESSAGE, forward.request.bucket),
    KEY(MESSAGE, forward.request.key),
    BYTES(MESSAGE, forward.request.value, 0, VALUE_SIZE_MAX),
    BYTES(MESSAGE, forward.request.type, 0, TYPE_SIZE_MAX),
    BYTES(MESSAGE, forward.request.context, 0, CONTEXT_SIZE_MAX),
    PLAIN(MESSAGE, forward.request.r),
    PLAIN(MESSAGE, forward.request.w),
    PLAIN(MESSAGE, forward.request.dw),
    PLAIN(MESSAGE, forward.request.strict),
    PLAIN(MESSAGE, forward.request.ttl_ms),
    PLAIN(MESSAGE, forward.request.deadline_ms),
    PLAIN(MESSAGE, forward.request.client),
    PLAIN(MESSAGE, forward.request.sequence),
    BOUNDED(MESSAGE, forward.request.limit, 0, SCAN_LIMIT_MAX),
    PLAIN(MESSAGE, forward.request.cursor),
    PLAIN(MESSAGE, forward.fallback),
    BOUNDED(MESSAGE, forward.request.edit.kind, 0, EDIT_KINDS - 1),
    BOUNDED(MESSAGE, forward.request.edit.conditions, 0, EDIT_CONDITIONS),
    BOUNDED(MESSAGE, forward.request.edit.expiry, 0, EDIT_EXPIRIES - 1),
    PLAIN(MESSAGE, forward.request.edit.earlier),
    PLAIN(MESSAGE, forward.request.edit.number),
    PLAIN(MESSAGE, forward.request.edit.expires_ms),
    PLAIN(MESSAGE, forward.request.edit.size_max),
};
static const struct field answer[] = {
    PLAIN(MESSAGE, answer.id),
    PLAIN(MESSAGE, answer.answer.error),
    DETAIL(MESSAGE, answer.answer.detail),
    PLAIN(MESSAGE, answer.answer.needed),
    PLAIN(MESSAGE, answer.answer.got),
    PLAIN(MESSAGE, answer.answer.slots),
    PLAIN(MESSAGE, answer.answer.copies),
    RANGE_NUMBER(MESSAGE, answer.answer.range),
    PLAIN(MESSAGE, answer.answer.epoch),
    PLAIN(MESSAGE, answer.answer.coordinator),
    PLAIN(MESSAGE, answer.answer.drops),
    PLAIN(MESSAGE, answer.answer.hlc),
    OBJECT(MESSAGE, answer.answer.object),
    ENTRIES(answer.answer.entries, answer.answer.entries_count),
    PLAIN(MESSAGE, answer.answer.more),
    PLAIN(MESSAGE, answer.answer.cursor),
    KEY(MESSAGE, answer.answer.cursor_key),
    RECORD_IF(MESSAGE, answer.has_record, answer.record),
    PLAIN(MESSAGE, answer.answer.sloppy),
    BOUNDED(MESSAGE, answer.answer.outcome, 0, EDIT_OUTCOMES - 1),
    OBJECT(MESSAGE, answer.answer.earlier),
};
static const struct field write[] = {
    PLAIN(MESSAGE, write.id),
    RANGE_EPOCH(MESSAGE, write.range),
    SLOT_NUMBER(MESSAGE, write.slot),
    PLAIN(MESSAGE, write.target),
    PLAIN(MESSAGE, write.deadline),
    PLAIN(MESSAGE, write.sync),
    PLAIN(MESSAGE, write.digest),
    PLAIN(MESSAGE, write.repair),
    BUCKET_NEEDED(MESSAGE, write.bucket),
    KEY_NEEDED(MESSAGE, write.key),
    OBJECT(MESSAGE, write.object),
    RECORD_IF(MESSAGE, write.has_record, write.record),
    PLAIN(MESSAGE, write.hinted),
    PLAIN(MESSAGE, write.stamp),
};
static const struct field scan[] = {
    PLAIN(MESSAGE, scan.id),    RANGE_EPOCH(MESSAGE, scan.range),  BUCKET(MESSAGE, scan.bucket),
    PLAIN(MESSAGE, scan.from),  BUCKET(MESSAGE, scan.from_bucket), KEY(MESSAGE, scan.from_key),
    PLAIN(MESSAGE, scan.limit), PLAIN(MESSAGE, scan.to),
};
static const struct field reply[] = {
    PLAIN(MESSAGE, reply.id),         RANGE_EPOCH(MESSAGE, reply.range),
    SLOT_NUMBER(MESSAGE, reply.slot), PLAIN(MESSAGE, reply.error),
    PLAIN(MESSAGE, reply.hlc),        PLAIN(MESSAGE, reply.digest),
    OBJECT(MESSAGE, reply.object),    ENTRIES(reply.entries, reply.entries_count),
    PLAIN(MESSAGE, reply.more),       RECORD_IF(MESSAGE, reply.has_record, reply.record),
};

/* --------------------------------------------------------------------- Between shards. */

static const struct field shard_peer_fields[] = {
    PLAIN(struct shard_peer, id),
    PLAIN(struct shard_peer, up),
    PLAIN(struct shard_peer, fresh),
    PLAIN(struct shard_peer, welcomed),
    INSIDE(struct shard_peer, load, &load_shape),
};
static const struct shape shard_peer_shape = SHAPE(shard_peer_fields, struct shard_peer);

static const struct field figures_fields[] = {
    PLAIN(struct shard_figures, floor),       PLAIN(struct shard_figures, hint_bytes),
    PLAIN(struct shard_figures, hint_oldest), PLAIN(struct shard_figures, logged),
    PLAIN(struct shard_figures, in_flight),   PLAIN(struct shard_figures, ready),
    PLAIN(struct shard_figures, empty),       PLAIN(struct shard_figures, forks),
};
static const struct shape figures_shape = SHAPE(figures_fields, struct shard_figures);

static const struct field news[] = {
    BOUNDED(MESSAGE, news.shard, 0, SHARDS_MAX - 1),
    PLAIN(MESSAGE, news.number),
    PLAIN(MESSAGE, news.heard),
    PLAIN(MESSAGE, news.entered),
    PLAIN(MESSAGE, news.id),
    BYTES(MESSAGE, news.name, 0, NAME_SIZE_MAX),
    PLAIN(MESSAGE, news.hash_seed),
    BOUNDED(MESSAGE, news.range_bits, 0, RANGE_BITS_MAX),
    BOUNDED(MESSAGE, news.copies, 0, SLOTS_MAX),
    PLAIN(MESSAGE, news.drains),
    PLAIN(MESSAGE, news.clocks_known),
    PLAIN(MESSAGE, news.clocks_low),
    PLAIN(MESSAGE, news.clocks_high),
    DELTA(news.delta),
    LIST(MESSAGE, news.chosen, news.chosen_count, RANGES_MAX, &node_shape),
    LIST(MESSAGE, news.peers, news.peers_count, MEMBERS_MAX, &shard_peer_shape),
    INSIDE(MESSAGE, news.figures, &figures_shape),
    PLAIN(MESSAGE, news.repairs),
    PLAIN(MESSAGE, news.repair_first),
    PLAIN(MESSAGE, news.repair_last),
    PLAIN(MESSAGE, news.repair_node),
    BUCKET(MESSAGE, news.repair_bucket),
};

/* ----------------------------------------------------------------------------- By type. */

#define GROUP(list) &(const struct shape)SHAPE(list, MESSAGE)

const struct shape *const message_shapes[MESSAGE_TYPES] = {
    [MESSAGE_HELLO] = GROUP(hello),     [MESSAGE_WELCOME] = GROUP(welcome),
    [MESSAGE_REFUSED] = GROUP(refused), [MESSAGE_SYN] = GROUP(syn),
    [MESSAGE_ACK] = GROUP(ack),         [MESSAGE_ACK2] = GROUP(ack2),
    [MESSAGE_BULK] = GROUP(bulk),       [MESSAGE_PING] = GROUP(ping),
    [MESSAGE_PONG] = GROUP(ping),       [MESSAGE_OFFER] = GROUP(offer),
    [MESSAGE_ACCEPT] = GROUP(offer),    [MESSAGE_REJECT] = GROUP(offer),
    [MESSAGE_PREPARE] = GROUP(vote),    [MESSAGE_PROMISE] = GROUP(vote),
    [MESSAGE_PROPOSE] = GROUP(vote),    [MESSAGE_ACCEPTED] = GROUP(vote),
    [MESSAGE_CHOSEN] = GROUP(vote),     [MESSAGE_INSTALLED] = GROUP(vote),
    [MESSAGE_CHUNK] = GROUP(chunk),     [MESSAGE_CHUNK_ACK] = GROUP(chunk),
    [MESSAGE_COMPLETE] = GROUP(chunk),  [MESSAGE_FORWARD] = GROUP(forward),
    [MESSAGE_ANSWER] = GROUP(answer),   [MESSAGE_WRITE] = GROUP(write),
    [MESSAGE_READ] = GROUP(write),      [MESSAGE_SCAN] = GROUP(scan),
    [MESSAGE_REPLY] = GROUP(reply),     [MESSAGE_COMPARE] = GROUP(compare),
    [MESSAGE_OBJECTS] = GROUP(compare), [MESSAGE_HINT] = GROUP(write),
    [MESSAGE_PROVE] = GROUP(horizon),   [MESSAGE_PROVEN] = GROUP(horizon),
    [MESSAGE_HORIZON] = GROUP(horizon), [MESSAGE_ROOTS] = GROUP(roots),
    [MESSAGE_LEAVES] = GROUP(compare),  [MESSAGE_HANDED] = GROUP(forward),
    [MESSAGE_ANSWERED] = GROUP(answer), [MESSAGE_NEWS] = GROUP(news),
};
