/* Options in, figures out. */
#include "kvsim/gossip.h"

#include "sim/gossip_model.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EXIT_KNOWN = 0, EXIT_UNKNOWN = 1, EXIT_USAGE = 2, CHANGES_MAX = 10000 };

static const char usage[] =
    "usage: kvsim gossip --nodes N [--loss P] [--seed S] [--changes C] [--json]\n"
    "\n"
    "Runs the gossip of N nodes under virtual time through the real codec, makes changes of each\n"
    "kind, and prints the rounds (gossip intervals) until all nodes know one, and the cost.\n"
    "\n"
    "  --nodes N    10 to 10000\n"
    "  --loss P     the share of messages lost, such as 0.1 or 10% (default 0)\n"
    "  --seed S     default 1; the same seed gives the same rounds and bytes\n"
    "  --changes C  of each kind, at least (default 100; 25 of over 1000 nodes)\n"
    "  --json       one object\n"
    "\n"
    "Exit codes: 0 all nodes knew every change, 1 some did not within a minute, 2 usage.\n";

static uint64_t process_cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int fail(const char *what, const char *value)
{
    fprintf(stderr, "kvsim gossip: %s '%s'\n%s", what, value, usage);
    return EXIT_USAGE;
}

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *ret_number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    uint64_t number = strtoull(text, &end, 10);
    if (*end != '\0' || number < low || number > high)
        return false;
    *ret_number = number;
    return true;
}

static bool parse_share(const char *text, double *ret_share)
{
    char *end;
    if ((*text < '0' || *text > '9') && *text != '.')
        return false;
    double share = strtod(text, &end);
    if (*end == '%') {
        share /= 100;
        end++;
    }
    if (*end != '\0' || !(share >= 0 && share <= 0.9))
        return false;
    *ret_share = share;
    return true;
}

static void print_traffic(const char *when, const struct gossip_traffic *traffic)
{
    printf("%-10s %8.0f bytes, %6.2f messages, %8.1f us of CPU per node and second\n", when,
           traffic->bytes, traffic->messages, traffic->cpu_us);
}

static void print_rounds(const char *what, const struct gossip_rounds *rounds)
{
    printf("%-10s %8.1f %8.1f %8.1f %8u\n", what, rounds->p50, rounds->p99, rounds->max,
           rounds->count);
}

static void print_text(const struct gossip_model_options *options,
                       const struct gossip_figures *figures)
{
    printf("%u nodes, loss %g %%, seed %llu: %u worlds of %.0f virtual s in all, %llu messages, "
           "the largest of %llu bytes\n",
           options->nodes, options->loss * 100, (unsigned long long)options->seed, figures->worlds,
           figures->virtual_s, (unsigned long long)figures->messages,
           (unsigned long long)figures->message_bytes);
    printf("rounds until all nodes know a change:\n");
    printf("%-10s %8s %8s %8s %8s\n", "", "p50", "p99", "max", "changes");
    print_rounds("all", &figures->all);
    for (uint32_t kind = 0; kind < CHANGE_KINDS; kind++)
        print_rounds(change_kind_name((enum change_kind)kind), &figures->kinds[kind]);
    print_traffic("idle", &figures->idle);
    print_traffic("busy", &figures->busy);
    if (figures->unknown > 0 || figures->different > 0)
        printf("NOT CONVERGED: %u changes are not known to all, %u nodes differ\n",
               figures->unknown, figures->different);
}

static void print_json(const struct gossip_model_options *options,
                       const struct gossip_figures *figures)
{
    printf("{\"nodes\": %u, \"loss\": %g, \"seed\": %llu, \"worlds\": %u, \"virtual_s\": %.1f,\n",
           options->nodes, options->loss, (unsigned long long)options->seed, figures->worlds,
           figures->virtual_s);
    printf(" \"changes\": %u, \"changes_unknown\": %u, \"nodes_different\": %u,\n",
           figures->all.count + figures->unknown, figures->unknown, figures->different);
    printf(" \"rounds_p50\": %.2f, \"rounds_p99\": %.2f, \"rounds_max\": %.2f,\n", figures->all.p50,
           figures->all.p99, figures->all.max);
    for (uint32_t kind = 0; kind < CHANGE_KINDS; kind++) {
        const char *name = change_kind_name((enum change_kind)kind);
        const struct gossip_rounds *rounds = &figures->kinds[kind];
        printf(" \"%s_rounds_p50\": %.2f, \"%s_rounds_p99\": %.2f, \"%s_rounds_max\": %.2f,\n",
               name, rounds->p50, name, rounds->p99, name, rounds->max);
    }
    printf(" \"idle_bytes_per_node_s\": %.1f, \"busy_bytes_per_node_s\": %.1f,\n",
           figures->idle.bytes, figures->busy.bytes);
    printf(" \"idle_messages_per_node_s\": %.3f, \"busy_messages_per_node_s\": %.3f,\n",
           figures->idle.messages, figures->busy.messages);
    printf(" \"idle_cpu_us_per_node_s\": %.1f, \"busy_cpu_us_per_node_s\": %.1f,\n",
           figures->idle.cpu_us, figures->busy.cpu_us);
    printf(" \"messages\": %llu, \"message_bytes_max\": %llu}\n",
           (unsigned long long)figures->messages, (unsigned long long)figures->message_bytes);
}

int gossip_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"nodes", required_argument, NULL, 'n'},
        {"loss", required_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"changes", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct gossip_model_options model = {.seed = 1, .cpu_us = process_cpu_us};
    uint64_t number = 0;
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            if (!parse_number(optarg, MODEL_NODES_MIN, MODEL_NODES_MAX, &number))
                return fail("not a number of nodes from 10 to 10000:", optarg);
            model.nodes = (uint32_t)number;
            break;
        case 'l':
            if (!parse_share(optarg, &model.loss))
                return fail("not a share from 0 to 0.9:", optarg);
            break;
        case 's':
            if (!parse_number(optarg, 0, UINT64_MAX, &model.seed))
                return fail("not a seed:", optarg);
            break;
        case 'c':
            if (!parse_number(optarg, 1, CHANGES_MAX, &number))
                return fail("not a number of changes from 1 to 10000:", optarg);
            model.changes = (uint32_t)number;
            break;
        case 'j':
            json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_KNOWN;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        return fail("unexpected argument", argv[optind]);
    if (model.nodes == 0) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    struct gossip_figures figures;
    gossip_model_run(&model, &figures);
    if (json)
        print_json(&model, &figures);
    else
        print_text(&model, &figures);
    return figures.unknown == 0 && figures.different == 0 ? EXIT_KNOWN : EXIT_UNKNOWN;
}
