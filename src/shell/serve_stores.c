/* The stores of the directory, and the shards that run over them. */
#include "shell/serve_own.h"

#include <unistd.h>

#include "base/error.h"
#include "store/disk_posix.h"

/* What the machine is good for: one thread on up to 4 cores, else as many as half of them. */
static uint32_t shards_default(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t shards = 1;
    while (cores > 4 && shards < SHARDS_MAX && (long)shards * 4 <= cores)
        shards *= 2;
    return shards;
}

/* How many shards run over the directory's stores. */
static int choose_shards(struct server *server)
{
    const struct config *config = &server->config;
    uint32_t stores = server->disk->stores;
    if (config->shards > stores) {
        buf_printf(&server->error,
                   "%s was made with %u store%s, which is for ever: at most --shards %u runs over "
                   "it; a new node may have more, and take this one's place (kvadmin replace)",
                   config->data, stores, stores == 1 ? "" : "s", stores);
        return ERR_REFUSED;
    }
    server->shards = config->shards != 0 ? (uint32_t)config->shards : MIN(shards_default(), stores);
    if (server->shards > 1)
        server->all = hosts_new(server->hosts, server->shards);
    return 0;
}

/* All shards read the cells of all stores. */
static void join_recovered(struct server *server, const struct store_recovered *recovered)
{
    struct store_recovered *all = &server->recovered;
    uint32_t stores = server->disk->stores;
    *all = recovered[0];
    for (uint32_t i = 0; i < stores; i++)
        server->positions[i] = recovered[i].position;
    if (stores == 1)
        return;
    *all = (struct store_recovered){.clean = true};
    for (uint32_t i = 0; i < stores; i++)
        all->metas_count += recovered[i].metas_count;
    struct meta *metas = arena_alloc(&server->cells, (all->metas_count + 1) * sizeof *metas);
    uint32_t count = 0;
    for (uint32_t i = 0; i < stores; i++) {
        for (uint32_t k = 0; k < recovered[i].metas_count; k++)
            metas[count++] = (struct meta){arena_copy(&server->cells, recovered[i].metas[k].key),
                                           arena_copy(&server->cells, recovered[i].metas[k].value)};
        all->found += recovered[i].found;
        all->position += recovered[i].position;
        all->replayed_bytes = MAX(all->replayed_bytes, recovered[i].replayed_bytes);
        all->clean = all->clean && recovered[i].clean;
    }
    all->metas = metas;
}

/* Which shard has store NUMBER: neighbours belong together. */
static struct host *host_of_store(struct server *server, uint32_t number)
{
    return &server->hosts[number / (server->disk->stores / server->shards)];
}

int serve_open_stores(struct server *server)
{
    const struct config *config = &server->config;
    const struct disk_posix_options disk_options = {
        .directory = config->data,
        .map_size = config->map_bytes,
        .stores = config->shards != 0 ? (uint32_t)config->shards : shards_default(),
    };
    int result = disk_posix_open(&disk_options, &server->disk, &server->error);
    if (result == 0)
        result = choose_shards(server);
    if (result < 0)
        return result;
    uint32_t stores = server->disk->stores;
    const struct store_options of_each = {
        .memory_max = config->memory_bytes / stores,
        .log_interval_ms = (uint32_t)config->log_interval_ms,
        .reserve_bytes = config->reserve_bytes,
        .scrub_rate = (config->scrub_rate + stores - 1) / stores,
        .rest_us = config->deadline_ms_max * 1000,
        .scrub_interval_s = (uint32_t)(config->scrub_interval_ms / 1000),
    };
    struct store_options options[STORES_MAX];
    struct store_recovered recovered[STORES_MAX];
    for (uint32_t i = 0; i < stores; i++) {
        struct host *host = host_of_store(server, i);
        struct store_options own = of_each;
        host_store_options(host, &own);
        storage_options(&host->storage, &own, i, stores, stores > server->shards, &options[i]);
    }
    result = stores_open(options, server->disk, server->stores, recovered, &server->error);
    if (result == 0)
        join_recovered(server, recovered);
    if (result == 0)
        log_info("store opened",
                 LOG(log_text("directory", config->data),
                     log_number("position", server->recovered.position),
                     log_number("stores", stores), log_number("shards", server->shards),
                     log_number("replayed_bytes", server->recovered.replayed_bytes),
                     log_text("last_stop", server->recovered.clean ? "clean" : "unclean")));
    return result;
}
