/* What options must be, each and together, before anything is opened. */
#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "shell/address.h"
#include "shell/config.h"

enum { COLLECT_MS_MIN = 100 };

static int check_address(const struct config *config, const char *option, const char *text,
                         uint16_t port, struct buf *error)
{
    struct address address;
    if (address_parse(slice_string(text), port, &address) < 0) {
        buf_printf(error, "%s: `%s` is not HOST:PORT", option, text);
        return ERR_BAD_REQUEST;
    }
    enum address_scope scope = address_scope(address.host);
    if (scope != SCOPE_LOOPBACK && !config->insecure) {
        buf_printf(error,
                   "%s: %s is not a loopback address: TLS is not available in this version; pass "
                   "--insecure on a trusted network",
                   option, text);
        return ERR_BAD_REQUEST;
    }
    if (scope == SCOPE_WILDCARD && config->advertise == NULL) {
        buf_printf(error,
                   "%s: %s is a wildcard address: say with --advertise HOST under which "
                   "host others reach this node",
                   option, text);
        return ERR_BAD_REQUEST;
    }
    return 0;
}

static int check_text(const char *option, const char *text, struct buf *error)
{
    size_t size = text == NULL ? 0 : strlen(text);
    if (size > NAME_SIZE_MAX) {
        buf_printf(error, "%s: longer than %d bytes", option, NAME_SIZE_MAX);
        return ERR_BAD_REQUEST;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f) {
            buf_printf(error, "%s: `%s` holds a space or a control character", option, text);
            return ERR_BAD_REQUEST;
        }
    }
    return 0;
}

static int check_cluster(const struct config *config, struct buf *error)
{
    struct address address;
    if (config->create && config->seeds_count > 0) {
        buf_printf(error, "--create founds a cluster and --seed joins one: give one of them");
        return ERR_BAD_REQUEST;
    }
    if ((config->ranges & (config->ranges - 1)) != 0) {
        buf_printf(error, "ranges: %llu is not a power of two", (unsigned long long)config->ranges);
        return ERR_BAD_REQUEST;
    }
    for (uint32_t i = 0; i < config->seeds_count; i++) {
        if (address_parse(slice_string(config->seeds[i]), PORT_PEER, &address) < 0) {
            buf_printf(error, "seed: `%s` is not HOST:PORT", config->seeds[i]);
            return ERR_BAD_REQUEST;
        }
    }
    return 0;
}

static bool is_beyond(const char *text, uint16_t port)
{
    struct address address;
    return strcmp(text, "off") != 0 && address_parse(slice_string(text), port, &address) == 0 &&
           address_scope(address.host) != SCOPE_LOOPBACK;
}

bool config_exposed(const struct config *config)
{
    return config->insecure &&
           (is_beyond(config->peer, PORT_PEER) || is_beyond(config->client, PORT_CLIENT) ||
            is_beyond(config->http, PORT_HTTP));
}

int config_check(const struct config *config, struct buf *error)
{
    struct address address;
    if (config->data == NULL) {
        buf_printf(error, "--data DIR is missing");
        return ERR_BAD_REQUEST;
    }
    if (check_text("name", config->name, error) < 0 ||
        check_text("zone", config->zone, error) < 0 ||
        check_text("cluster", config->cluster, error) < 0 || check_cluster(config, error) < 0)
        return ERR_BAD_REQUEST;
    if (config->advertise != NULL &&
        (address_parse(slice_string(config->advertise), 1, &address) < 0 ||
         address_scope(address.host) == SCOPE_WILDCARD || address.port != 1)) {
        buf_printf(error, "advertise: `%s` is not a host without port", config->advertise);
        return ERR_BAD_REQUEST;
    }
    if ((config->shards & (config->shards - 1)) != 0) {
        buf_printf(error, "shards: %llu is not a power of two", (unsigned long long)config->shards);
        return ERR_BAD_REQUEST;
    }
    if (config->collect_interval_ms > 0 && config->collect_interval_ms < COLLECT_MS_MIN) {
        buf_printf(error, "collect-interval: it is 0 (never) or at least %u milliseconds",
                   (unsigned)COLLECT_MS_MIN);
        return ERR_BAD_REQUEST;
    }
    if (check_address(config, "peer", config->peer, PORT_PEER, error) < 0 ||
        check_address(config, "listen", config->client, PORT_CLIENT, error) < 0)
        return ERR_BAD_REQUEST;
    if (strcmp(config->http, "off") == 0)
        return 0;
    return check_address(config, "http", config->http, PORT_HTTP, error);
}
