/* kvfloor: one node of a floor (floor.h). A coordinator has --client and two --to; a peer has
 * --peer. A node may be both. */
#include "floor.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

static const char usage[] =
    "usage: kvfloor [--client ADDR:PORT] [--peer ADDR:PORT] [--to ADDR:PORT]...\n"
    "               [--log FILE [--sync always|interval] [--interval MS]]\n"
    "One node of the least that a replicated store can be: see bench/floor/floor.h.\n"
    "  --client ADDR:PORT  take puts and gets of clients here (RESP: SET, GET)\n"
    "  --peer ADDR:PORT    take those of other nodes here\n"
    "  --to ADDR:PORT      a peer; puts go to two, gets to the first\n"
    "  --log FILE          write each put to FILE before it counts\n"
    "  --sync HOW          always: written and synced (default); interval: written\n"
    "  --interval MS       with interval: sync so often (1000)\n";

static const struct option options[] = {
    {"client", required_argument, NULL, 'c'}, {"peer", required_argument, NULL, 'p'},
    {"to", required_argument, NULL, 't'},     {"log", required_argument, NULL, 'l'},
    {"sync", required_argument, NULL, 's'},   {"interval", required_argument, NULL, 'i'},
    {"help", no_argument, NULL, 'h'},         {0},
};

struct wishes {
    const char *client;
    const char *peer;
    const char *to[PEERS];
    uint32_t to_count;
    const char *log;
    enum sync sync;
    uint32_t interval_ms;
};

static _Noreturn void refuse(void)
{
    fputs(usage, stderr);
    exit(2);
}

static void parse(int argc, char **argv, struct wishes *wishes)
{
    int letter = 0;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'c')
            wishes->client = optarg;
        else if (letter == 'p')
            wishes->peer = optarg;
        else if (letter == 't' && wishes->to_count < PEERS)
            wishes->to[wishes->to_count++] = optarg;
        else if (letter == 'l')
            wishes->log = optarg;
        else if (letter == 's' && strcmp(optarg, "always") == 0)
            wishes->sync = SYNC_ALWAYS;
        else if (letter == 's' && strcmp(optarg, "interval") == 0)
            wishes->sync = SYNC_INTERVAL;
        else if (letter == 'i' && atoi(optarg) > 0)
            wishes->interval_ms = (uint32_t)atoi(optarg);
        else if (letter == 'h')
            exit(fputs(usage, stdout) == EOF);
        else
            refuse();
    }
    bool whole = wishes->client == NULL || wishes->to_count == PEERS;
    if (optind < argc || (wishes->client == NULL && wishes->peer == NULL) || !whole)
        refuse();
}

int main(int argc, char **argv)
{
    struct wishes wishes = {.sync = SYNC_ALWAYS, .interval_ms = 1000};
    struct floor *floor = mem_zero(sizeof(*floor));
    parse(argc, argv, &wishes);
    (void)signal(SIGPIPE, SIG_IGN);
    floor->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (floor->epoll < 0)
        fail("epoll_create1");
    if (wishes.log != NULL)
        log_open(floor, wishes.log, wishes.sync, wishes.interval_ms);
    if (wishes.peer != NULL)
        loop_listen(floor, wishes.peer, work_inlet);
    for (uint32_t i = 0; i < wishes.to_count; i++) {
        floor->peers[i] = loop_dial(floor, wishes.to[i], work_replies);
        floor->peers[i]->peer = i + 1;
    }
    floor->peers_count = wishes.to_count;
    if (wishes.client != NULL)
        loop_listen(floor, wishes.client, work_client);
    loop_run(floor);
}
