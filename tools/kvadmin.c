/* kvadmin: how the cluster is, and what to change about it. */
#include "kvadmin/admin.h"

#define YES                                                                                        \
    {                                                                                              \
        "yes", 'y', NULL, "do it without asking"                                                   \
    }
#define DRY_RUN                                                                                    \
    {                                                                                              \
        "dry-run", 0, NULL, "show what would be done and change nothing"                           \
    }
#define WAIT                                                                                       \
    {                                                                                              \
        "wait", 0, NULL, "wait until it is done"                                                   \
    }
#define RATE                                                                                       \
    {                                                                                              \
        "rate", 0, "MB/S", "so much from each node (as fast as clients bear)"                      \
    }

static const struct cli_option status_options[] = {
    {"check", 0, NULL, "exit 3 unless all is well"},
    {0},
};

static const struct cli_option ring_options[] = {
    {"from", 0, "RANGE", "start here (0)"},
    {"count", 0, "N", "show so many ranges (all)"},
    {0},
};

static const struct cli_option rebalance_options[] = {
    {"by", 0, "WHAT", "even out the count of slots, or their bytes (count)"},
    RATE,
    WAIT,
    DRY_RUN,
    YES,
    {0},
};

static const struct cli_option move_options[] = {RATE, WAIT, DRY_RUN, YES, {0}};

static const struct cli_option leave_options[] = {
    {"fewer-copies", 0, NULL, "leave even where no other node can take a copy"},
    {"cancel", 0, NULL, "let a node that was leaving stay"},
    RATE,
    WAIT,
    DRY_RUN,
    YES,
    {0},
};

#define EVEN_IF_ALIVE                                                                              \
    {                                                                                              \
        "even-if-alive", 0, NULL, "also a node that answers: what it alone has is lost"            \
    }

static const struct cli_option remove_options[] = {
    {"fewer-copies", 0, NULL, "give copies up where no other node can take one"},
    {"accept-loss", 0, NULL, "go on where no majority is left: what only lost nodes had is lost"},
    EVEN_IF_ALIVE,
    RATE,
    WAIT,
    DRY_RUN,
    YES,
    {0},
};

static const struct cli_option replace_options[] = {EVEN_IF_ALIVE, RATE, WAIT, DRY_RUN, YES, {0}};

static const struct cli_option change_options[] = {DRY_RUN, YES, {0}};

static const struct cli_option verify_options[] = {
    {"range", 0, "N", "only this range, or N-M"},
    {0},
};

static const struct cli_option bucket_options[] = {
    {"policy", 0, "P", "what becomes of concurrent writes: newest, siblings, lww"},
    {"r", 'r', "R", "replicas that must answer a get: one, quorum, all, 1..7"},
    {"w", 'w', "W", "replicas that must acknowledge a put"},
    {"dw", 0, "DW", "replicas that must have synced a put; 0: as the log mode says"},
    {"ttl", 0, "TIME", "values expire after this: 30s, 12h, 7d; 0: never"},
    {"log-mode", 0, "MODE", "always: synced before it is acknowledged; or interval"},
    DRY_RUN,
    {0},
};

static const struct cli_option repair_options[] = {
    {"range", 0, "N", "only this range, or N-M"},
    {"node", 0, "NODE", "only the copies of this node, with all others"},
    {"bucket", 0, "NAME", "only the keys of this bucket; all else follows in the background"},
    {"wait", 0, NULL, "until they were found equal"},
    DRY_RUN,
    {0},
};

static const struct cli_option hints_options[] = {
    {"slots", 0, NULL, "a line for each slot"},
    {0},
};

static const struct cli_option top_options[] = {
    {"interval", 0, "TIME", "between two looks (1s)"},
    {0},
};

static const struct cli_command commands[] = {
    {"status", "", "how the cluster is and what to do",
     "The first line is the verdict: OK, DEGRADED (all is served, copies are missing) or\n"
     "UNAVAILABLE (some keys cannot be read or written).",
     status_options, 0, 0, status_command},
    {"members", "", "the members with their addresses", NULL, NULL, 0, 0, members_command},
    {"ring", "", "who owns each range",
     "A slot is shown as NUMBER:OWNER, or NUMBER:OWNER>TARGET STAGE while it moves.", ring_options,
     0, 0, ring_command},
    {"gossip", "", "what the node asked has heard of the others", NULL, NULL, 0, 0, gossip_command},
    {"rebalance", "", "spread the ranges evenly over the members",
     "Shows the plan and asks before it starts. The cluster carries it out by itself; this\n"
     "program may be stopped meanwhile.",
     rebalance_options, 0, 0, rebalance_command},
    {"move", "RANGE.SLOT NODE", "move one slot to a node", NULL, move_options, 2, 2, move_command},
    {"transfers", "", "the plan under way and what is moving", NULL, NULL, 0, 0, transfers_command},
    {"transfers pause", "", "start no further moves", NULL, change_options, 0, 0, pause_command},
    {"transfers resume", "", "go on with the moves", NULL, change_options, 0, 0, resume_command},
    {"transfers cancel", "", "drop the moves that are left", NULL, change_options, 0, 0,
     cancel_command},
    {"hints", "", "what nodes keep for owners that were down, and what holds it",
     "Writes that other nodes took in an owner's place. They are delivered by themselves.",
     hints_options, 0, 0, hints_command},
    {"leave", "NODE", "move everything off a node and let it leave for ever", NULL, leave_options,
     1, 1, leave_command},
    {"remove", "NODE", "give a lost node up for ever and rebuild its copies at the others",
     "Refused while the node answers (use leave), and where too few other copies are up.\n"
     "The node can never come back: its host may join again with an empty directory.\n"
     "When too many nodes are lost for good: --accept-loss, for each of them. It says what is "
     "lost.",
     remove_options, 1, 1, remove_command},
    {"replace", "OLD NEW", "give a lost node up and rebuild its copies at one new node",
     "Start NEW with --seed and an empty directory first. Otherwise as remove.", replace_options, 2,
     2, replace_command},
    {"drain", "NODE", "let a node finish its requests and stop", NULL, change_options, 1, 1,
     drain_command},
    {"verify", "", "check that every owner holds every key of its slots",
     "Exit code: 0, 1 when owners differ or data is damaged, 3 when an owner cannot be asked.",
     verify_options, 0, 0, verify_command},
    {"repair", "", "compare all replicas now and exchange what differs",
     "The nodes do so by themselves, soon after one was away and else in a slow round, and no\n"
     "faster than clients bear. Exit code: 3 when a node is down, and so was not compared.",
     repair_options, 0, 0, repair_command},
    {"bucket create", "NAME", "create a bucket", NULL, bucket_options, 1, 1, bucket_create_command},
    {"bucket set", "NAME", "change a bucket", NULL, bucket_options, 1, 1, bucket_set_command},
    {"bucket drop", "NAME", "delete a bucket with everything in it",
     "Its keys are gone at once. A bucket made again under the same name is empty. The space\n"
     "comes free in the background where nodes collect (kvnode serve --collect-interval).",
     change_options, 1, 1, bucket_drop_command},
    {"bucket list", "", "all buckets", NULL, NULL, 0, 0, bucket_list_command},
    {"bucket describe", "NAME", "one bucket", NULL, NULL, 1, 1, bucket_describe_command},
    {"top", "", "the status, live", NULL, top_options, 0, 0, top_command},
    {0},
};

static const struct cli_program program = {
    .name = "kvadmin",
    .summary = "how a kvring cluster is, and what to change about it",
    .commands = commands,
    .help = "NODE is a member's name or the first digits of its id.\n"
            "Environment: KV_NODES, as --nodes.",
};

int main(int argc, char **argv)
{
    return cli_main(&program, argc, argv);
}
