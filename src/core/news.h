/* News coming in: merged into the core's tables, made durable, told to the other machines, and
 * remembered as rumours to be passed on.
 *
 * A crash forgets what was not durable yet; the next comparison with any peer brings it again, so
 * nothing here waits for the log. */
#ifndef NEWS_H
#define NEWS_H

#include "core/core.h"

enum {
    RUMOURS_MAX =
        64, /* A full list drops the one told longest; comparing tables brings it later. */
    RUMOUR_SIZE_MAX =
        1024,        /* Larger news is left to the comparison of tables, which sends it once. */
    CATCHING_UP = 8, /* More news than this in one answer is old news to the cluster. */
};

/* Tokens of what is stored; changes that are made here follow. */
enum { GOSSIP_NEWS = 0, GOSSIP_DEPARTURES = 1 };

struct rumour {
    enum digest_kind kind;
    uint8_t rounds; /* To be told so many more times. */
    uint8_t name_size;
    uint32_t range;
    struct node_id id;
    uint8_t name[SETTING_NAME_SIZE_MAX];
};

struct rumours {
    struct rumour items[RUMOURS_MAX]; /* Newest first. */
    uint32_t count;
};

/* Take in a delta: STORE_META under one token of OWNER_GOSSIP and value 0, SIGNAL_MEMBERS,
 * SIGNAL_SETTINGS and SIGNAL_RECORD for what was new. Returns how many items were. Records of
 * ranges beyond the ring, and all records before the node has joined, are passed over. A record of
 * self is not taken in: it is its node's alone to write. */
uint32_t news_merge(struct rumours *rumours, struct core *core, const struct delta *delta,
                    bool pass_on);

/* Make the newest record of RANGE durable, which came by another way than gossip: when gossip
 * brings it, it is no news any more, and a restart would go back to the one before for as long as
 * nobody tells of it again. Whoever is asked to accept a loss makes the forks of the records that
 * it knows (docs/decisions/0037), and of an old one it would make a reader of who has given its
 * slot up since. A member installs it instead; what another shard hears, shard 0 keeps once it is
 * told. */
void news_keep_record(struct core *core, uint32_t range);

/* Take in one setting that the disk has already; false if it is no news. */
bool news_setting(struct rumours *rumours, struct core *core, const struct setting *setting);

/* Tell of it for a few rounds, anew if it is being told already. */
void rumour_add(struct rumours *rumours, const struct core *core, const struct digest *digest);

/* The durable form of one item, its key and value in the effects' arena. */
struct meta news_meta_member(struct core *core, const struct member *member);
struct meta news_meta_departure(struct core *core, const struct departure *departure);
struct meta news_meta_setting(struct core *core, const struct setting *setting);
struct meta news_meta_record(struct core *core, const struct range_record *record);

/* Take in what recovery found. 0, ERR_CORRUPT; a meta of another kind is passed over. */
int news_restore(struct core *core, const struct meta *meta) CHECK_RESULT;

#endif
