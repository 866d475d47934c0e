/* The commands of a story. */
#include "sim/admin.h"
#include "sim/checks.h"
#include "sim/describe.h"
#include "sim/faults.h"
#include "sim/ledger.h"
#include "sim/network.h"
#include "sim/rots.h"
#include "sim/run.h"
#include "sim/scenario_own.h"
#include "sim/workload.h"

#include <stdlib.h>

/* ---------------------------------------------------------------------------------- The trace. */

/* What comes after the first moments waits for some timer: when exactly would change with every
 * draw of some unrelated part. */
void story_print(struct story *story, const char *text)
{
    unsigned long long elapsed_ms = (story->world.now_us - story->command_us) / MS;
    if (elapsed_ms < EXACT_MS)
        fprintf(story->out, "[%4llu] %s\n", elapsed_ms, text);
    else
        fprintf(story->out, "[ ...] %s\n", text);
}

static void on_line(void *arg, const char *line)
{
    struct story *story = arg;
    const char *text = strchr(line, ']');
    text = text == NULL ? line : text + 2;
    if (story->awaited != NULL && strstr(text, story->awaited) != NULL)
        story->awaited = NULL;
    for (uint32_t i = 0; i < story->show_count; i++) {
        if (strstr(text, story->show[i]) == NULL)
            continue;
        story_print(story, text);
        return;
    }
}

bool story_wait(struct story *story, bool (*done)(struct story *story))
{
    struct world *world = &story->world;
    uint64_t until = world->now_us + WAIT_US;
    while (!world_broken(world) && !done(story))
        if (!world_step(world, until))
            return false;
    return !world_broken(world);
}

static bool seen(struct story *story)
{
    return story->awaited == NULL;
}

static bool settled(struct story *story)
{
    /* Rarely true: look only now and then. */
    return story->world.coverage.events % 16 == 0 && admin_settled(&story->world);
}

/* ------------------------------------------------------------------------------- The commands. */

static bool begin_world(struct story *story)
{
    if (!story->begun) {
        story->begun = true;
        world_init(&story->world, &story->options, true, false);
        story->world.trace.line = on_line;
        story->world.trace.arg = story;
    }
    return true;
}

static int node_of(struct story *story, const char *word)
{
    for (uint32_t i = 0; word != NULL && i < story->world.hosts_count; i++)
        if (strcmp(word, world_host_name(i)) == 0)
            return (int)i;
    story->error = "no such node";
    return -1;
}

struct host *story_host(struct story *story, const char *word)
{
    int index = node_of(story, word);
    return index < 0 ? NULL : story->world.hosts[index];
}

uint32_t story_number(struct story *story, const char *word, uint32_t most)
{
    char *end = NULL;
    unsigned long number = word == NULL ? 0 : strtoul(word, &end, 10);
    if (word == NULL || *end != '\0' || number > most) {
        story->error = "not a number, or too high";
        return 0;
    }
    return (uint32_t)number;
}

static bool found(struct story *story)
{
    return run_found(&story->world);
}

static bool learn(struct story *story, const char *word)
{
    int to = node_of(story, word);
    if (to < 0)
        return false;
    const struct range_record *record =
        checks_newest(&story->world, workload_range(&story->world, 0));
    admin_move(&story->world, 0, record->range, record->slots_count, -1, to);
    return true;
}

static bool grow(struct story *story, char **words)
{
    for (uint8_t i = 0; words[i] != NULL; i++)
        if (!learn(story, words[i]) || !story_wait(story, settled))
            return false;
    return true;
}

static bool move(struct story *story, char **words)
{
    struct world *world = &story->world;
    uint32_t slot = story_number(story, words[0], SLOTS_MAX - 1);
    int from = node_of(story, words[0] == NULL ? NULL : words[1]);
    bool given_up = from >= 0 && words[2] != NULL && strcmp(words[2], "nobody") == 0;
    int to = given_up ? -1 : node_of(story, from < 0 ? NULL : words[2]);
    if (story->error != NULL)
        return false;
    admin_move(world, 0, workload_range(world, 0), (uint8_t)slot, from, to);
    return true;
}

static bool cancel(struct story *story)
{
    struct plan plan = {.id = 1, .state = PLAN_CANCELLED};
    struct buf bytes = {0};
    plan_encode(&plan, &bytes);
    admin_set(&story->world, 0, slice_string("plan"), buf_slice(&bytes));
    buf_done(&bytes);
    return true;
}

static bool leave(struct story *story, char **words)
{
    int node = node_of(story, words[0]);
    if (node < 0)
        return false;
    admin_let_leave(&story->world, 0, (uint32_t)node);
    return true;
}

static bool remove_node(struct story *story, char **words)
{
    int node = node_of(story, words[0]);
    if (node < 0)
        return false;
    admin_remove(&story->world, 0, (uint32_t)node);
    return true;
}

/* `accept c a`: an administrator at a removes c, and accepts what is lost with it. */
static bool accept_loss(struct story *story, char **words)
{
    int node = node_of(story, words[0]);
    int through = node_of(story, node < 0 ? NULL : words[1]);
    if (node < 0 || through < 0)
        return false;
    admin_accept_loss(&story->world, (uint32_t)through, (uint32_t)node);
    return true;
}

static bool repair(struct story *story, char **words)
{
    int node = node_of(story, words[0]);
    if (node < 0)
        return false;
    admin_repair(&story->world, (uint32_t)node,
                 words[1] == NULL ? SLICE_NONE : slice_string(words[1]));
    return true;
}

/* Messages that are lost, or with LATE ones that come later. */
static bool drop(struct story *story, char **words, bool late)
{
    int from = node_of(story, words[0]);
    int to = node_of(story, from < 0 ? NULL : words[1]);
    if (to < 0 || words[2] == NULL)
        return false;
    enum message_type type = (enum message_type)0;
    if (strcmp(words[2], "*") != 0)
        type = message_named(slice_string(words[2]));
    if ((uint32_t)type >= MESSAGE_TYPES)
        story->error = "no such message";
    uint32_t count = story_number(story, words[3], 1000000);
    if (late)
        network_late(&story->world, (uint32_t)from, (uint32_t)to, type, count,
                     (uint64_t)story_number(story, count == 0 ? NULL : words[4], 100000) * MS);
    else
        network_drop(&story->world, (uint32_t)from, (uint32_t)to, type, count);
    return true;
}

static bool cut(struct story *story, char **words)
{
    int from = node_of(story, words[0]);
    int to = node_of(story, from < 0 ? NULL : words[1]);
    if (to >= 0)
        network_cut(&story->world, (uint32_t)from, (uint32_t)to, true);
    return to >= 0;
}

static bool own(struct story *story)
{
    struct world *world = &story->world;
    uint32_t range = workload_range(world, 0);
    struct buf text = {0};
    buf_printf(&text, "keys:");
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (host_store_of(world->hosts[i], range) != NULL)
            buf_printf(
                &text, " %s %llu", world_host_name(i),
                (unsigned long long)store_range_stat(host_store_of(world->hosts[i], range), range)
                    .keys);
    buf_printf(&text, "; record");
    describe_record(world, checks_newest(world, range), &text);
    buf_append_byte(&text, 0);
    story_print(story, (const char *)text.data);
    buf_done(&text);
    return true;
}

static bool until(struct story *story, const char *text)
{
    story->awaited = text;
    return story_wait(story, seen);
}

static bool run_for(struct story *story, char **words)
{
    uint64_t end = story->world.now_us + story_number(story, words[0], 1000000) * (uint64_t)MS;
    while (!world_broken(&story->world) && world_step(&story->world, end))
        ;
    return !world_broken(&story->world);
}

static bool die(struct story *story, char **words)
{
    int node = node_of(story, words[0]);
    uint32_t step = node < 0 ? 0 : story_number(story, words[1], 1000);
    if (step > 0)
        faults_die_at(&story->world, (uint32_t)node, step);
    return step > 0;
}

/* `clock a -3000`: its wall clock is 3 s behind the world's. */
static bool set_clock(struct story *story, char **words)
{
    struct host *host = story_host(story, words[0]);
    bool behind = host != NULL && words[1] != NULL && words[1][0] == '-';
    int64_t ms = host == NULL ? 0 : story_number(story, behind ? words[1] + 1 : words[1], 3600000);
    if (story->error == NULL)
        host_set_skew(host, behind ? -ms : ms);
    return story->error == NULL;
}

/* `rot a k1`: a bit flips in the value of the record of k1 in its database. */
static bool rot(struct story *story, char **words)
{
    struct host *host = story_host(story, words[0]);
    struct story_key key;
    if (host == NULL || !story_key(story, words[1], &key))
        return false;
    uint64_t hash = key_hash(story->world.cluster.hash_seed, key.bucket, key.key);
    if (!rots_strike(&story->world, host_index(host), hash))
        story->error = "its database has no such record that is whole, or others' are bad already";
    return story->error == NULL;
}

/* Kill HOST and start it with the old copy of its disk. */
static void story_restore(struct story *story, struct host *host)
{
    if (!host_backed_up(host)) {
        story->error = "there is no backup";
        return;
    }
    host_crash(host, false);
    host_restore(host);
    host_start(host);
}

/* Commands to one host by name. */
static bool host_command_named(struct story *story, char **words)
{
    struct host *host = story_host(story, words[1]);
    if (host == NULL)
        return false;
    if (strcmp(words[0], "crash") == 0)
        host_crash(host, false);
    else if (strcmp(words[0], "power") == 0)
        host_crash(host, true);
    else if (strcmp(words[0], "start") == 0)
        host_start(host);
    else if (strcmp(words[0], "pause") == 0)
        host_pause(host);
    else if (strcmp(words[0], "resume") == 0)
        host_resume(host);
    else if (strcmp(words[0], "backup") == 0)
        host_back_up(host);
    else if (strcmp(words[0], "restore") == 0)
        story_restore(story, host);
    else
        story->error = "no such command";
    return story->error == NULL;
}

static bool set_option(struct story *story, char **words, bool *ret_known)
{
    struct sim_options *options = &story->options;
    *ret_known = true;
    if (strcmp(words[0], "nodes") == 0)
        options->nodes = story_number(story, words[1], 8);
    else if (strcmp(words[0], "spares") == 0)
        options->spares = story_number(story, words[1], 4);
    else if (strcmp(words[0], "copies") == 0)
        options->copies = story_number(story, words[1], SLOTS_MAX);
    else if (strcmp(words[0], "range") == 0)
        options->range = (int32_t)story_number(story, words[1], 63);
    else if (strcmp(words[0], "horizon") == 0)
        options->horizon_us = (uint64_t)story_number(story, words[1], 60000) * MS;
    else if (strcmp(words[0], "memory") == 0)
        options->memory_max = (uint64_t)story_number(story, words[1], 1024) << 10;
    else if (strcmp(words[0], "deadline") == 0)
        options->deadline_ms = story_number(story, words[1], 60000);
    else
        *ret_known = false;
    return story->error == NULL;
}

static bool show(struct story *story, char **words)
{
    story->show_count = 0;
    for (uint32_t i = 0; i < WORDS_MAX && words[i] != NULL; i++) {
        char *word = story->show[story->show_count++];
        snprintf(word, LINE_SIZE, "%s", words[i]);
        for (char *at = word; *at != '\0'; at++)
            if (*at == '_')
                *at = ' ';
    }
    return true;
}

static const struct {
    const char *name;
    bool (*carry_out)(struct story *story, char **words);
} commands[] = {{"grow", grow},
                {"move", move},
                {"leave", leave},
                {"remove", remove_node},
                {"accept", accept_loss},
                {"repair", repair},
                {"run", run_for},
                {"cut", cut},
                {"die", die},
                {"clock", set_clock},
                {"fill", story_fill},
                {"rot", rot}};

bool story_carry_out(struct story *story, char **words, const char *rest)
{
    bool known;
    if (!story->begun && (!set_option(story, words, &known) || known))
        return story->error == NULL;
    if (strcmp(words[0], "show") == 0)
        return show(story, words + 1);
    begin_world(story);
    for (uint32_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(words[0], commands[i].name) == 0)
            return commands[i].carry_out(story, words + 1);
    if (strcmp(words[0], "found") == 0)
        return found(story);
    if (strcmp(words[0], "own") == 0)
        return own(story);
    if (strcmp(words[0], "cancel") == 0)
        return cancel(story);
    if (strcmp(words[0], "learn") == 0)
        return learn(story, words[1]);
    if (story_is_request(words))
        return story_request(story, words);
    if (strcmp(words[0], "bucket") == 0) {
        admin_create_bucket(&story->world, POLICY_SIBLINGS);
        return true;
    }
    if (strcmp(words[0], "settle") == 0)
        return story_wait(story, story_answered) && story_wait(story, settled);
    if (strcmp(words[0], "until") == 0)
        return until(story, rest);
    if (strcmp(words[0], "drop") == 0 || strcmp(words[0], "late") == 0)
        return drop(story, words + 1, words[0][0] == 'l');
    if (strcmp(words[0], "heal") == 0) {
        network_heal(&story->world);
        return true;
    }
    return host_command_named(story, words);
}
