/* `repair`: have replicas compared now, all or some, and wait until they were found equal.
 *
 * Each node compares the ranges of which it reads the lowest slot; so all members are asked, and
 * each says how many comparisons are left to it. What a node that is down has cannot be compared:
 * the others go on, and it is named in the end. */
#include "base/buf.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "kvadmin/admin.h"

#include <stdlib.h>
#include <time.h>

enum { POLL_MS = 200 };

/* One member's part in it. */
struct part {
    struct voice voice;
    const json_t *member;
    bool silent;     /* It could not be asked, */
    char words[400]; /* for this reason. */
    uint64_t comparisons;
    uint64_t generation; /* Of the life that was asked. */
    uint64_t left;
    uint64_t unreachable; /* Of these, with a node that is down. */
    uint64_t rate;        /* Bytes a second. */
};

struct repair {
    struct fleet fleet;
    struct part *parts; /* Owned; one a member. */
    size_t count;
    uint64_t first, last;
    const json_t *node; /* NULL: all. */
    const char *bucket; /* NULL: all. */
    bool dry;
};

/* Call METHOD of one member; NULL if it cannot be asked, and that is noted. */
static json_t *part_ask(struct cli *cli, struct part *part, const char *method, json_t *params)
{
    json_t *result = NULL;
    if (part->silent) {
        json_decref(params);
        return NULL;
    }
    if (voice_call(cli, &part->voice, part->member, method, params, &result) == 0)
        return result;
    part->silent = true;
    (void)snprintf(part->words, sizeof(part->words), "%s", cli->error.message);
    return NULL;
}

static void begin(struct cli *cli, struct repair *repair)
{
    for (size_t i = 0; i < repair->count; i++) {
        struct part *part = &repair->parts[i];
        json_t *params = json_pack("{s:I,s:I}", "from", (json_int_t)repair->first, "to",
                                   (json_int_t)repair->last);
        if (repair->node != NULL)
            json_object_set_new(params, "node", json_string(field_text(repair->node, "id")));
        if (repair->bucket != NULL)
            json_object_set_new(params, "bucket", json_string(repair->bucket));
        if (repair->dry)
            json_object_set_new(params, "dry_run", json_true());
        json_t *result = part_ask(cli, part, "repair", params);
        part->comparisons = part->left = field_u64(result, "comparisons");
        part->generation = field_u64(result, "generation");
        json_decref(result);
    }
}

static uint64_t left_of(const struct repair *repair, bool reachable)
{
    uint64_t left = 0;
    for (size_t i = 0; i < repair->count; i++)
        left += repair->parts[i].left - (reachable ? repair->parts[i].unreachable : 0);
    return left;
}

static void poll(struct cli *cli, struct repair *repair)
{
    for (size_t i = 0; i < repair->count; i++) {
        struct part *part = &repair->parts[i];
        json_t *stats = part_ask(cli, part, "stats", json_object());
        const json_t *figures = json_object_get(stats, "repair");
        if (stats != NULL && field_u64(figures, "generation") != part->generation) {
            part->silent = true; /* What was asked of it is forgotten. */
            (void)snprintf(part->words, sizeof(part->words), "it was started anew meanwhile");
        }
        const char *bucket = stats == NULL ? "" : field_text(stats, "repair_bucket");
        if (repair->bucket != NULL && *bucket != '\0' && strcmp(bucket, repair->bucket) != 0) {
            part->silent = true;
            (void)snprintf(part->words, sizeof(part->words),
                           "a repair of bucket %s took the place of this one", bucket);
        }
        part->left = part->silent ? 0 : field_u64(figures, "asked");
        part->unreachable = part->silent ? 0 : field_u64(figures, "unreachable");
        part->rate = field_u64(figures, "rate_bytes_s");
        json_decref(stats);
    }
}

/* Until nothing is left but what a node that is down would have to take part in. */
static void wait_for_all(struct cli *cli, struct repair *repair)
{
    struct progress progress;
    uint64_t most = 0;
    progress_start(&progress, "repair", PROGRESS_COUNT, 0);
    for (;;) {
        char note[64];
        char rate[32];
        uint64_t fastest = 0;
        poll(cli, repair);
        uint64_t left = left_of(repair, true);
        for (size_t i = 0; i < repair->count; i++)
            fastest = MAX(fastest, repair->parts[i].rate);
        format_bytes(fastest, rate, sizeof(rate));
        (void)snprintf(note, sizeof(note), "at most %s/s a node", rate);
        if (left > most)
            progress_total(&progress, most = left);
        progress_set(&progress, most - left, note);
        if (left == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    progress_clear(&progress);
}

/* ------------------------------------------------------------------------------ Result. */

static void result_json(const struct repair *repair, bool waited)
{
    json_t *nodes = json_array();
    uint64_t comparisons = 0;
    for (size_t i = 0; i < repair->count; i++) {
        const struct part *part = &repair->parts[i];
        comparisons += part->comparisons;
        json_t *one =
            json_pack("{s:s,s:I,s:I,s:I}", "node", field_text(part->member, "name"), "comparisons",
                      (json_int_t)part->comparisons, "left", (json_int_t)part->left, "unreachable",
                      (json_int_t)part->unreachable);
        if (part->silent)
            json_object_set_new(one, "error", json_string(part->words));
        json_array_append_new(nodes, one);
    }
    cli_print_json(json_pack("{s:I,s:I,s:b,s:b,s:o}", "comparisons", (json_int_t)comparisons,
                             "left", (json_int_t)left_of(repair, false), "waited", (int)waited,
                             "dry_run", (int)repair->dry, "nodes", nodes));
}

static void result_print(const struct repair *repair, bool waited)
{
    uint64_t comparisons = 0;
    size_t asked = 0;
    for (size_t i = 0; i < repair->count; i++) {
        comparisons += repair->parts[i].comparisons;
        asked += !repair->parts[i].silent;
    }
    const char *copies = comparisons == 1 ? "pair of copies" : "pairs of copies";
    const char *nodes = asked == 1 ? "node" : "nodes";
    unsigned long long pairs = comparisons;
    if (repair->dry)
        printf("%zu %s would compare %llu %s (--dry-run)\n", asked, nodes, pairs, copies);
    else if (!waited)
        printf("%zu %s compare %llu %s\n", asked, nodes, pairs, copies);
    else if (left_of(repair, false) == 0)
        printf("%zu %s compared %llu %s: they are equal\n", asked, nodes, pairs, copies);
    else
        printf("%zu %s compared %llu of %llu %s\n", asked, nodes,
               pairs - (unsigned long long)left_of(repair, false), pairs, copies);
}

/* Name whoever was missing. */
static int judge(const struct cli *cli, const struct repair *repair)
{
    struct buf names = {0};
    const struct part *silent = NULL;
    size_t down = 0;
    for (size_t i = 0; i < repair->count; i++) {
        const struct part *part = &repair->parts[i];
        bool away = strcmp(field_text(part->member, "state"), "up") != 0 &&
                    strcmp(field_text(part->member, "state"), "leaving") != 0;
        if ((!part->silent && !away) || field_u64(part->member, "slots") == 0)
            continue;
        silent = part->silent && !away ? part : silent;
        buf_printf(&names, "%s%s", down++ > 0 ? ", " : "", field_text(part->member, "name"));
    }
    int exit = 0;
    if (silent != NULL)
        exit = cli_fail(cli, ERR_UNAVAILABLE, "run it again when all nodes are up",
                        "%s could not be asked: %s", field_text(silent->member, "name"),
                        silent->words);
    else if (down > 0)
        exit = cli_fail(cli, ERR_UNAVAILABLE,
                        "start what is down: it is compared as soon as it is back",
                        "%.*s %s down, and not compared", (int)names.size, (const char *)names.data,
                        down == 1 ? "is" : "are");
    else if (left_of(repair, true) < left_of(repair, false))
        exit = cli_fail(cli, ERR_UNAVAILABLE, "run it again when all nodes are up",
                        "a node went down meanwhile: %llu pairs of copies are left",
                        (unsigned long long)left_of(repair, false));
    buf_done(&names);
    return exit;
}

/* --node: who it is. It has to be up. */
static int node_read(struct cli *cli, struct repair *repair)
{
    const char *name = cli_text(cli, "node");
    if (name == NULL)
        return 0;
    repair->node = fleet_find_named(cli, &repair->fleet, name);
    if (repair->node == NULL)
        return error_exit_code(ERR_NOT_MEMBER);
    const char *state = field_text(repair->node, "state");
    if (strcmp(state, "down") != 0 && strcmp(state, "maintenance") != 0)
        return 0;
    return cli_fail(cli, ERR_UNAVAILABLE, "start it: it is compared as soon as it is back",
                    "%s is down", name);
}

/* --bucket: is there one? */
static int bucket_read(struct cli *cli, const struct repair *repair)
{
    json_t *result = NULL;
    if (repair->bucket == NULL)
        return 0;
    json_t *params = json_pack("{s:s}", "name", repair->bucket);
    if (cli_call(cli, "bucket_describe", params, true, &result) != 0)
        return cli_fail_client(cli);
    json_decref(result);
    return 0;
}

int repair_command(struct cli *cli)
{
    struct repair repair = {.bucket = cli_text(cli, "bucket"), .dry = cli_given(cli, "dry-run")};
    bool wait = cli_given(cli, "wait") && !repair.dry;
    uint64_t ranges = 0;
    int exit = fleet_load(cli, &repair.fleet);
    if (exit != 0)
        return exit;
    repair.count = json_array_size(repair.fleet.members);
    repair.parts = mem_zero((repair.count + 1) * sizeof(*repair.parts));
    for (size_t i = 0; i < repair.count; i++)
        repair.parts[i].member = json_array_get(repair.fleet.members, i);
    exit = ranges_load(cli, &ranges, &repair.first, &repair.last);
    if (exit == 0)
        exit = node_read(cli, &repair);
    if (exit == 0)
        exit = bucket_read(cli, &repair);
    if (exit == 0) {
        begin(cli, &repair);
        if (wait)
            wait_for_all(cli, &repair);
        if (cli->json)
            result_json(&repair, wait);
        else
            result_print(&repair, wait);
        exit = judge(cli, &repair);
    }
    for (size_t i = 0; i < repair.count; i++)
        voice_done(&repair.parts[i].voice);
    mem_free(repair.parts);
    fleet_done(&repair.fleet);
    return exit;
}
