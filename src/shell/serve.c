/* Starting in an order in which every refusal comes before anything is changed: arguments,
 * directory, addresses, store, identity, node; the store of an old directory comes first, for it
 * remembers the addresses. */
#include "shell/serve.h"

#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "core/node.h"
#include "shell/amnesiac.h"
#include "shell/listener.h"
#include "shell/remembered.h"
#include "shell/serve_own.h"
#include "store/disk_posix.h"

enum { EXIT_USAGE = 2, FILES_OWN = 256 };

static const char cluster_name_default[] = "kvring";

static void random_fill(void *bytes, size_t size)
{
    /* Up to 256 bytes come whole once the kernel has any randomness. */
    ASSERT(getrandom(bytes, size, 0) == (ssize_t)size);
}

static struct node_id random_id(void)
{
    struct node_id id = NODE_NONE;
    while (id_none(id))
        random_fill(&id, sizeof id);
    return id;
}

/* Say why not, and with which exit code. */
static int refuse(struct server *server, int exit_code)
{
    log_error("not started", LOG(log_slice("why", buf_slice(&server->error))));
    return exit_code;
}

/* -------------------------------------------------------------------------- The process. */

static void set_up_process(const struct config *config)
{
    struct rlimit limit;
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < config->clients_max + FILES_OWN)
        log_warning("the limit of open files is below what --max-clients needs",
                    LOG(log_number("limit", limit.rlim_cur),
                        log_number("needed", config->clients_max + FILES_OWN)));
}

/* ------------------------------------------------------------------------ The directory. */

static int check_directory(struct server *server)
{
    const struct config *config = &server->config;
    struct stat status;
    if (!disk_posix_exists(config->data) && !config->create && config->seeds_count == 0) {
        buf_printf(&server->error,
                   "%s holds no node: is its volume mounted? For a new one, found a cluster with "
                   "--create or join one with --seed HOST:PORT",
                   config->data);
        return EXIT_USAGE;
    }
    if (amnesiac_noted(config->data, &server->error))
        return error_exit_code(ERR_REFUSED);
    if (stat(config->data, &status) == 0 && (status.st_mode & 077) != 0)
        chmod(config->data, 0700);
    return 0;
}

/* ------------------------------------------------------------------------- The addresses. */

static int bind_one(struct server *server, const char *text, uint16_t port_default,
                    char *ret_advertised)
{
    struct address address;
    struct buf advertised = {0};
    uint16_t port = 0;
    int fd = listener_bind(text, port_default, &port, &server->error);
    if (fd < 0)
        return fd;
    ASSERT(address_parse(slice_string(text), port_default, &address) == 0);
    const char *host = server->config.advertise != NULL ? server->config.advertise : address.host;
    address_append(host, port, &advertised);
    ASSERT(advertised.size <= ADDRESS_SIZE_MAX);
    memcpy(ret_advertised, advertised.data, advertised.size);
    ret_advertised[advertised.size] = '\0';
    buf_done(&advertised);
    return fd;
}

/* Binding twice succeeds until somebody listens. */
static int check_distinct(struct server *server)
{
    const struct host_listeners *listeners = &server->hosts[0].listeners;
    const char *twice = NULL;
    if (strcmp(listeners->client, listeners->peer) == 0)
        twice = listeners->client;
    if (listeners->http_fd >= 0 && (strcmp(listeners->http, listeners->peer) == 0 ||
                                    strcmp(listeners->http, listeners->client) == 0))
        twice = listeners->http;
    if (twice == NULL)
        return 0;
    buf_printf(&server->error, "peers, clients and HTTP need an address each: two of them have %s",
               twice);
    return ERR_REFUSED;
}

static int bind_all(struct server *server)
{
    struct host_listeners *listeners = &server->hosts[0].listeners;
    const struct config *config = &server->config;
    listeners->peer_fd = bind_one(server, config->peer, PORT_PEER, listeners->peer);
    if (listeners->peer_fd < 0)
        return listeners->peer_fd;
    listeners->client_fd = bind_one(server, config->client, PORT_CLIENT, listeners->client);
    if (listeners->client_fd < 0)
        return listeners->client_fd;
    if (strcmp(config->http, "off") == 0)
        return check_distinct(server);
    listeners->http_fd = bind_one(server, config->http, PORT_HTTP, listeners->http);
    return listeners->http_fd < 0 ? listeners->http_fd : check_distinct(server);
}

static void close_unused(struct host_listeners *listeners)
{
    int *const fds[] = {&listeners->peer_fd, &listeners->client_fd, &listeners->http_fd};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
}

/* ---------------------------------------------------------------------------- The identity. */

static void copy_name(char *ret_name, struct slice name)
{
    size_t size = MIN(name.size, (size_t)NAME_SIZE_MAX);
    if (size > 0)
        memcpy(ret_name, name.data, size);
    ret_name[size] = '\0';
}

/* What is neither given nor remembered: the name of the host. */
static void choose_names(struct server *server)
{
    const struct config *config = &server->config;
    gethostname(server->name, sizeof server->name - 1);
    if (config->name != NULL)
        copy_name(server->name, slice_string(config->name));
    if (config->zone != NULL)
        copy_name(server->zone, slice_string(config->zone));
}

/* Not waited for: a crash right now forgets what the next start may be told again. */
static void remember(struct server *server)
{
    static const uint8_t key = META_HOST;
    const struct config *config = &server->config;
    struct buf value = {0};
    const struct remembered remembered = {
        .name = slice_string(server->name),
        .zone = slice_string(server->zone),
        .peer = slice_string(config->peer),
        .client = slice_string(config->client),
        .http = slice_string(config->http),
        .advertise = config->advertise == NULL ? SLICE_NONE : slice_string(config->advertise),
    };
    remembered_write(&remembered, &value);
    const struct meta meta = {slice_of(&key, 1), buf_slice(&value)};
    const struct store_op op = {
        .type = STORE_META, .token = HOST_TOKEN_NAMES, .batch = {.metas = &meta, .metas_count = 1}};
    engine_submit(&server->hosts[0].engine, &op);
    buf_done(&value);
}

/* What the directory is against what it shall be. 0 or an exit code. */
static int check_identity(struct server *server, bool known, const struct cluster *cluster)
{
    const struct config *config = &server->config;
    bool joined = known && !id_none(cluster->id);
    if (joined) {
        if (config->cluster != NULL && !slice_equal(slice_string(config->cluster), cluster->name)) {
            buf_printf(&server->error, "%s belongs to cluster `%.*s`, not `%s`", config->data,
                       (int)cluster->name.size, (const char *)cluster->name.data, config->cluster);
            return error_exit_code(ERR_REFUSED);
        }
        return 0;
    }
    if (!config->create && config->seeds_count == 0) {
        buf_printf(&server->error,
                   "%s belongs to no cluster yet: found one with --create or join one with --seed "
                   "HOST:PORT",
                   config->data);
        return EXIT_USAGE;
    }
    if (known && config->create) {
        buf_printf(&server->error,
                   "%s was made to join a cluster and waits for a seed: start it with --seed, or "
                   "found a cluster on an empty directory",
                   config->data);
        return error_exit_code(ERR_REFUSED);
    }
    return 0;
}

static struct cluster new_cluster(const struct config *config)
{
    const char *name = config->cluster != NULL ? config->cluster : cluster_name_default;
    struct cluster cluster = {
        .id = random_id(),
        .name = slice_string(name),
        .copies = (uint8_t)config->copies,
        .range_bits = (uint8_t)__builtin_ctzll(config->ranges),
    };
    random_fill(&cluster.hash_seed, sizeof cluster.hash_seed);
    return cluster;
}

/* ---------------------------------------------------------------------------------- Running. */

/* Unless it is given: what is for others takes no more than a tenth of the disk. */
static uint64_t hints_max(const struct server *server)
{
    struct disk_space space;
    disk_space(server->disk, &space);
    uint64_t bytes = server->config.hints_bytes;
    return config_given(&server->config, "hints") ? bytes : MIN(bytes, space.total / 10);
}

static void set_up_host(struct server *server, uint32_t shard, struct node_options *options)
{
    struct host *host = &server->hosts[shard];
    uint32_t each = server->disk->stores / server->shards;
    host->config = &server->config;
    host->disk = disk_of_store(server->disk, shard * each);
    host->store = server->stores[shard * each];
    options->position = 0;
    for (uint32_t i = shard * each; i < (shard + 1) * each; i++) {
        storage_add(&host->storage, server->stores[i], server->positions[i]);
        options->position += server->positions[i];
    }
    options->shard = (uint8_t)shard;
    options->shards = (uint8_t)server->shards;
    random_fill(&options->seed, sizeof options->seed);
}

static void done_hosts(struct server *server)
{
    for (uint32_t i = 0; i < server->initialised; i++)
        host_done(&server->hosts[i]);
    server->initialised = 0;
}

static int init_hosts(struct server *server, struct node_options *options)
{
    int result = 0;
    for (uint32_t i = 0; i < server->shards && result == 0; i++) {
        set_up_host(server, i, options);
        result = host_init(&server->hosts[i], options);
        server->initialised++;
    }
    if (result < 0)
        done_hosts(server);
    return result;
}

static int found_node(struct server *server)
{
    const struct config *config = &server->config;
    const struct host_listeners *listeners = &server->hosts[0].listeners;
    struct slice seeds[SEEDS_MAX];
    struct cluster cluster = {0};
    struct timing timing = timing_default;
    timing.deadline_ms = (uint32_t)config->deadline_ms_max;
    timing.horizon_us = config->collect_interval_ms * 1000;
    struct node_options options = {
        .self = random_id(),
        .peer = slice_string(listeners->peer),
        .client = slice_string(listeners->client),
        .http = slice_string(listeners->http),
        .capacity = (uint32_t)config->capacity,
        .seeds = seeds,
        .seeds_count = config->seeds_count,
        .create = config->create,
        .timing = timing,
        .requests_max = config->requests_max,
        .hints_max = hints_max(server),
        .metas = server->recovered.metas,
        .metas_count = server->recovered.metas_count,
        .found = server->recovered.found,
        .position = server->recovered.position,
        .clean = server->recovered.clean,
    };
    int found = node_identity(options.metas, options.metas_count, &options.self, &cluster);
    if (found == ERR_CORRUPT) {
        buf_printf(&server->error, "the identity in %s is damaged", config->data);
        return error_exit_code(ERR_CORRUPT);
    }
    int code = check_identity(server, found == 0, &cluster);
    if (code != 0)
        return code;
    choose_names(server);
    options.name = slice_string(server->name);
    options.zone = slice_string(server->zone);
    for (uint32_t i = 0; i < config->seeds_count; i++)
        seeds[i] = slice_string(config->seeds[i]);
    if (config->create)
        options.cluster = new_cluster(config);
    int result = init_hosts(server, &options);
    if (result < 0) {
        buf_printf(&server->error, "the state in %s is damaged", config->data);
        return error_exit_code(result);
    }
    remember(server);
    return 0;
}

/* A new directory is made only once the addresses are there; an old one knows them. */
static int open_all(struct server *server)
{
    if (!disk_posix_exists(server->config.data)) {
        int result = bind_all(server);
        return result < 0 ? result : serve_open_stores(server);
    }
    int result = serve_open_stores(server);
    if (result < 0)
        return result;
    struct remembered remembered;
    remembered_find(server->recovered.metas, server->recovered.metas_count, &remembered);
    remembered_apply(&remembered, &server->config);
    return bind_all(server);
}

static int run(struct server *server)
{
    int code = check_directory(server);
    if (code != 0)
        return refuse(server, code);
    int result = open_all(server);
    if (result < 0)
        return refuse(server, error_exit_code(result));
    code = found_node(server);
    if (code != 0)
        return refuse(server, code);
    code = host_run(&server->hosts[0]);
    done_hosts(server);
    return code;
}

int serve(int count, char *const *arguments)
{
    struct server *server = mem_zero(sizeof *server);
    server->hosts[0].listeners =
        (struct host_listeners){.peer_fd = -1, .client_fd = -1, .http_fd = -1};
    server->hosts[0].arguments_count = count;
    server->hosts[0].arguments = arguments;
    int code = EXIT_USAGE;
    if (config_read(count, arguments, &server->config, &server->error) < 0) {
        fprintf(stderr, "kvnode serve: %.*s\nsee `kvnode serve --help`\n", (int)server->error.size,
                (const char *)server->error.data);
    } else if (server->config.help) {
        struct buf help = {0};
        buf_append(&help, slice_string("Usage: kvnode serve --data DIR [--create | --seed "
                                       "HOST:PORT...] [OPTION...]\n\nRun a node.\n\n"));
        config_help(&help);
        fwrite(help.data, 1, help.size, stdout);
        buf_done(&help);
        code = 0;
    } else {
        logger_set(server->config.log_level, server->config.log_format);
        set_up_process(&server->config);
        code = run(server);
    }
    close_unused(&server->hosts[0].listeners);
    for (uint32_t i = 0; i < STORES_MAX; i++)
        if (server->stores[i] != NULL)
            store_close(server->stores[i]);
    if (server->disk != NULL)
        disk_close(server->disk);
    if (server->all != NULL)
        hosts_free(server->all);
    arena_done(&server->cells);
    config_done(&server->config);
    buf_done(&server->error);
    mem_free(server);
    return code;
}
