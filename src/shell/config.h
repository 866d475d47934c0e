/* The options of `kvnode serve`: command line first, then the config file, then defaults.
 *
 * One table (config.c) names every option with its place in the file, its kind, bounds and help.
 * Anything unknown is refused with its place, so that a misspelt option never runs unnoticed. */
#ifndef CONFIG_H
#define CONFIG_H

#include "shell/logger.h"

enum {
    PORT_PEER = 7400,
    PORT_CLIENT = 7379,
    PORT_HTTP = 7380,
    SEEDS_MAX = 64,
};

struct config {
    char *data; /* Owned, as all strings here. */
    char *file; /* The config file, NULL for none. */
    char *name;
    char *zone;
    char *cluster;
    char *advertise;
    char *peer; /* Addresses to listen on, as given. */
    char *client;
    char *http;
    char *seeds[SEEDS_MAX];
    uint32_t seeds_count;
    bool create;
    bool insecure;
    bool help;
    uint64_t ranges;
    uint64_t copies;
    uint64_t capacity;
    uint64_t shards; /* 0: as the machine has cores. */
    uint64_t memory_bytes;
    uint64_t map_bytes;
    uint64_t reserve_bytes;
    uint64_t hints_bytes;
    uint64_t log_interval_ms;
    uint64_t scrub_rate;
    uint64_t scrub_interval_ms;
    uint64_t clients_max;
    uint64_t requests_max;
    uint64_t deadline_ms_max;
    uint64_t collect_interval_ms;
    uint64_t value_bytes_max;
    uint64_t drain_timeout_ms;
    uint64_t sender_timeout_ms;
    enum log_format log_format;
    enum log_level log_level;
    uint64_t given; /* Bit by line of the table: set by command line or file. */
};

/* Read the arguments after the subcommand and the file they name, and check what can be checked
 * without looking at the data directory. 0, or ERR_BAD_REQUEST with a sentence in ERROR (then
 * RET_CONFIG is untouched). With --help nothing but `help` is set. */
int config_read(int count, char *const *arguments, struct config *ret_config,
                struct buf *error) CHECK_RESULT;
/* The part of config_read that looks at the whole: 0, or ERR_BAD_REQUEST with a sentence. */
int config_check(const struct config *config, struct buf *error) CHECK_RESULT;
/* Does a node with these options listen beyond its own host, without TLS? */
bool config_exposed(const struct config *config);
/* Was option NAME set by command line or file? */
bool config_given(const struct config *config, const char *name);
void config_done(struct config *config);
/* Append the description of all options. */
void config_help(struct buf *out);

/* A number of bytes: digits with an optional K, M, G or T, powers of 1024. 0 or ERR_BAD_REQUEST. */
int config_parse_size(const char *text, uint64_t *ret_bytes) CHECK_RESULT;
/* Milliseconds: digits with an optional ms, s or m. 0 or ERR_BAD_REQUEST. */
int config_parse_duration(const char *text, uint64_t *ret_ms) CHECK_RESULT;

#endif
