/* The cell: six strings; those that an earlier version did not write are empty. */
#include "shell/remembered.h"

#include "core/core.h"
#include "shell/address.h"

static bool decode(struct slice value, struct remembered *ret)
{
    struct reader reader = reader_of(value);
    struct remembered found = {0};
    struct slice *const fields[] = {&found.name,   &found.zone, &found.peer,
                                    &found.client, &found.http, &found.advertise};
    for (size_t i = 0; i < ARRAY_SIZE(fields) && (i < 2 || reader_left(&reader) > 0); i++)
        *fields[i] = read_string(&reader);
    if (!reader_finished(&reader))
        return false;
    *ret = found;
    return true;
}

void remembered_find(const struct meta *metas, uint32_t metas_count,
                     struct remembered *ret_remembered)
{
    *ret_remembered = (struct remembered){0};
    for (uint32_t i = 0; i < metas_count; i++)
        if (metas[i].key.size == 1 && metas[i].key.data[0] == META_HOST &&
            decode(metas[i].value, ret_remembered))
            return;
}

/* True if the option now has what was remembered. */
static bool fill(struct config *config, const char *option, struct slice text, char **field)
{
    if (text.size == 0 || config_given(config, option))
        return false;
    mem_free(*field);
    *field = mem_alloc(text.size + 1);
    memcpy(*field, text.data, text.size);
    (*field)[text.size] = '\0';
    return true;
}

static void fill_address(struct config *config, const char *option, struct slice text, char **field)
{
    struct address address;
    if (fill(config, option, text, field) && address_parse(text, 1, &address) == 0 &&
        strcmp(*field, "off") != 0 && address_scope(address.host) != SCOPE_LOOPBACK)
        config->insecure = true;
}

void remembered_apply(const struct remembered *remembered, struct config *config)
{
    fill(config, "name", remembered->name, &config->name);
    fill(config, "zone", remembered->zone, &config->zone);
    fill(config, "advertise", remembered->advertise, &config->advertise);
    fill_address(config, "peer", remembered->peer, &config->peer);
    fill_address(config, "listen", remembered->client, &config->client);
    fill_address(config, "http", remembered->http, &config->http);
}

void remembered_write(const struct remembered *remembered, struct buf *out)
{
    write_string(out, remembered->name);
    write_string(out, remembered->zone);
    write_string(out, remembered->peer);
    write_string(out, remembered->client);
    write_string(out, remembered->http);
    write_string(out, remembered->advertise);
}
