/* `verify`: does every owner itself hold every key of its slots?
 *
 * Each member scans what it owns and answers key counts and digests; the owners of a range must
 * agree. Ranges that differ are asked again a few times: under writes two owners are never asked
 * at the same instant. */
#include "cli/progress.h"
#include "kvadmin/admin.h"

#include <stdlib.h>
#include <time.h>

enum { RANGES_PER_CALL = 32, ATTEMPTS_MAX = 5, SHOWN_MAX = 20 };

/* What one owner says of one range. */
struct copy {
    const json_t *member;
    uint64_t slot;
    uint64_t keys;
    char digest[17];
    bool damaged;
};

struct range {
    struct copy copies[SLOTS_MAX];
    uint32_t copies_count;
    uint32_t owners; /* That the ring names. */
    const char *problem;
    bool incomplete; /* Only because an owner could not be asked; those who answered agree. */
};

struct verify {
    struct fleet fleet;
    struct voice *voices; /* Owned; one a member. */
    struct range *ranges; /* Owned. */
    uint64_t first, last;
    uint64_t bad, incomplete;
    const json_t *silent; /* A member that could not be asked. */
    char silence[400];    /* Its words. */
};

/* Forget what is known of FIRST..LAST and count their owners in the ring. */
static int owners_load(struct cli *cli, struct verify *verify, uint64_t first, uint64_t last)
{
    for (uint64_t from = first; from <= last;) {
        json_t *page = NULL;
        json_t *params = json_pack("{s:I,s:I}", "from", (json_int_t)from, "count",
                                   (json_int_t)MIN(last - from + 1, 1024));
        if (cli_call(cli, "ring", params, true, &page) != 0)
            return cli_fail_client(cli);
        size_t i;
        size_t j;
        json_t *record;
        json_t *slot;
        json_array_foreach(field_array(page, "records"), i, record)
        {
            struct range *range = &verify->ranges[from++];
            *range = (struct range){0};
            json_array_foreach(field_array(record, "slots"), j, slot)
            {
                const char *stage = field_text(slot, "stage");
                range->owners += strcmp(stage, "LEARN") != 0 && strcmp(stage, "FENCE") != 0 &&
                                 strcmp(stage, "REBUILD") != 0;
            }
        }
        bool empty = i == 0;
        json_decref(page);
        if (empty)
            return cli_fail(cli, ERR_INTERNAL, NULL, "the node's answer to `ring` has no records");
    }
    return 0;
}

static void copy_take(struct verify *verify, const json_t *member, const json_t *answer)
{
    uint64_t number = field_u64(answer, "range");
    if (number < verify->first || number > verify->last)
        return;
    struct range *range = &verify->ranges[number];
    if (!json_is_integer(json_object_get(answer, "slot")) || range->copies_count == SLOTS_MAX)
        return;
    struct copy *copy = &range->copies[range->copies_count++];
    *copy = (struct copy){
        .member = member, .slot = field_u64(answer, "slot"), .keys = field_u64(answer, "keys")};
    (void)snprintf(copy->digest, sizeof(copy->digest), "%s", field_text(answer, "digest"));
    copy->damaged = field_u64(answer, "bad") > 0 ||
                    json_is_string(json_object_get(answer, "error")) ||
                    strcmp(copy->digest, field_text(answer, "data_digest")) != 0;
}

/* Ask every member that owns slots about FIRST..LAST. */
static void ask_all(struct cli *cli, struct verify *verify, uint64_t first, uint64_t last)
{
    size_t i;
    json_t *member;
    json_array_foreach(verify->fleet.members, i, member)
    {
        json_t *result = NULL;
        json_t *params = json_pack("{s:I,s:I}", "from", (json_int_t)first, "to", (json_int_t)last);
        if (voice_call(cli, &verify->voices[i], member, "verify", params, &result) != 0) {
            if (field_u64(member, "slots") > 0) {
                verify->silent = member;
                (void)snprintf(verify->silence, sizeof(verify->silence), "%s", cli->error.message);
            }
            continue;
        }
        size_t j;
        json_t *answer;
        json_array_foreach(field_array(result, "ranges"), j, answer)
            copy_take(verify, member, answer);
        json_decref(result);
    }
}

/* Compared by address: the one problem that may be ours, not the data's. */
static const char unanswered[] = "not all owners answered";

/* What is wrong with a range, NULL if nothing is. */
static const char *range_problem(const struct range *range)
{
    for (uint32_t i = 0; i < range->copies_count; i++) {
        if (range->copies[i].damaged)
            return "damaged";
    }
    for (uint32_t i = 1; i < range->copies_count; i++) {
        if (range->copies[i].keys != range->copies[0].keys ||
            strcmp(range->copies[i].digest, range->copies[0].digest) != 0)
            return "the owners differ";
    }
    if (range->copies_count != range->owners)
        return unanswered;
    return range->owners == 0 ? "nobody owns it" : NULL;
}

/* Judge range AT, asking again while its owners differ: under writes they may, for a moment. */
static int settle(struct cli *cli, struct verify *verify, uint64_t at)
{
    struct range *range = &verify->ranges[at];
    for (int i = 1;; i++) {
        range->problem = range_problem(range);
        range->incomplete =
            range->problem != NULL && verify->silent != NULL && range->problem == unanswered;
        if (range->problem == NULL || range->incomplete || i == ATTEMPTS_MAX)
            return 0;
        struct timespec pause = {.tv_nsec = 200000000};
        if (verify->bad < SHOWN_MAX)
            (void)nanosleep(&pause, NULL);
        int exit = owners_load(cli, verify, at, at);
        if (exit != 0)
            return exit;
        ask_all(cli, verify, at, at);
    }
}

/* One pass over all ranges, by pieces, then a few more over those that differ. */
static int verify_ranges(struct cli *cli, struct verify *verify)
{
    struct progress progress;
    int exit = owners_load(cli, verify, verify->first, verify->last);
    progress_start(&progress, "verify", PROGRESS_COUNT, verify->last - verify->first + 1);
    for (uint64_t at = verify->first; exit == 0 && at <= verify->last; at += RANGES_PER_CALL) {
        ask_all(cli, verify, at, MIN(at + RANGES_PER_CALL - 1, verify->last));
        progress_set(&progress, at - verify->first, NULL);
    }
    for (uint64_t at = verify->first; exit == 0 && at <= verify->last; at++) {
        exit = settle(cli, verify, at);
        struct range *range = &verify->ranges[at];
        verify->incomplete += range->incomplete;
        verify->bad += range->problem != NULL && !range->incomplete;
    }
    progress_clear(&progress);
    return exit;
}

/* ------------------------------------------------------------------------------ Result. */

static void range_print(uint64_t number, const struct range *range)
{
    printf("range %llu: %s:", (unsigned long long)number, range->problem);
    for (uint32_t i = 0; i < range->copies_count; i++)
        printf("%s %s %llu keys (%s%s)", i > 0 ? "," : "",
               field_text(range->copies[i].member, "name"),
               (unsigned long long)range->copies[i].keys, range->copies[i].digest,
               range->copies[i].damaged ? ", damaged" : "");
    printf("\n");
}

static json_t *range_json(uint64_t number, const struct range *range)
{
    json_t *copies = json_array();
    for (uint32_t i = 0; i < range->copies_count; i++)
        json_array_append_new(copies, json_pack("{s:s,s:I,s:I,s:s,s:b}", "node",
                                                field_text(range->copies[i].member, "name"), "slot",
                                                (json_int_t)range->copies[i].slot, "keys",
                                                (json_int_t)range->copies[i].keys, "digest",
                                                range->copies[i].digest, "damaged",
                                                (int)range->copies[i].damaged));
    return json_pack("{s:I,s:s,s:o}", "range", (json_int_t)number, "problem", range->problem,
                     "copies", copies);
}

/* Exit code 0, 1 when owners differ or are damaged, 3 when one could not be asked. */
static int verify_report(const struct cli *cli, const struct verify *verify)
{
    uint64_t keys = 0;
    uint64_t copies = 0;
    uint64_t shown = 0;
    json_t *problems = json_array();
    for (uint64_t at = verify->first; at <= verify->last; at++) {
        const struct range *range = &verify->ranges[at];
        keys += range->copies_count > 0 ? range->copies[0].keys : 0;
        copies += range->copies_count;
        if (range->problem == NULL || range->incomplete)
            continue;
        json_array_append_new(problems, range_json(at, range));
        if (!cli->json && shown++ < SHOWN_MAX)
            range_print(at, range);
    }
    uint64_t ranges = verify->last - verify->first + 1;
    if (cli->json) {
        cli_print_json(json_pack(
            "{s:I,s:I,s:I,s:I,s:b,s:o}", "ranges", (json_int_t)ranges, "keys", (json_int_t)keys,
            "copies", (json_int_t)copies, "incomplete", (json_int_t)verify->incomplete, "good",
            (int)(verify->bad == 0 && verify->silent == NULL), "problems", problems));
    } else {
        if (shown > SHOWN_MAX)
            printf("... and %llu more\n", (unsigned long long)(shown - SHOWN_MAX));
        if (verify->bad == 0 && verify->silent == NULL)
            printf("every owner holds every key of its slots: %llu ranges, %llu keys, %llu "
                   "copies of ranges compared\n",
                   (unsigned long long)ranges, (unsigned long long)keys,
                   (unsigned long long)copies);
        json_decref(problems);
    }
    if (verify->bad > 0 && !cli->json)
        fprintf(stderr, "%llu of %llu ranges are not the same on all owners\n",
                (unsigned long long)verify->bad, (unsigned long long)ranges);
    if (verify->bad > 0)
        return 1;
    if (verify->silent == NULL || cli->json)
        return verify->silent == NULL ? 0 : 3;
    return cli_fail(cli, ERR_UNAVAILABLE, "start it, then verify again",
                    "%s could not be asked: %s; the other owners agree, but %llu ranges were not "
                    "compared in full",
                    field_text(verify->silent, "name"), verify->silence,
                    (unsigned long long)verify->incomplete);
}

int verify_command(struct cli *cli)
{
    struct verify verify = {0};
    int exit = fleet_load(cli, &verify.fleet);
    if (exit != 0)
        return exit;
    size_t members = json_array_size(verify.fleet.members);
    verify.voices = mem_zero((members + 1) * sizeof(*verify.voices));
    if (cli->deadline_ms == 0)
        cli->deadline_ms = 60000; /* Scans take longer than requests. */
    uint64_t ranges = 0;
    exit = ranges_load(cli, &ranges, &verify.first, &verify.last);
    if (exit == 0)
        verify.ranges = mem_zero(ranges * sizeof(*verify.ranges));
    if (exit == 0)
        exit = verify_ranges(cli, &verify);
    if (exit == 0)
        exit = verify_report(cli, &verify);
    for (size_t i = 0; i < members; i++)
        voice_done(&verify.voices[i]);
    mem_free(verify.voices);
    mem_free(verify.ranges);
    fleet_done(&verify.fleet);
    return exit;
}
