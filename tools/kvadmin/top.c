/* `top`: the status again and again, on a terminal. */
#include "kvadmin/admin.h"

#include <time.h>
#include <unistd.h>

int top_command(struct cli *cli)
{
    uint64_t interval_ms = 1000;
    int exit = cli_duration_ms(cli, "interval", &interval_ms);
    if (exit != 0)
        return exit;
    if (isatty(STDOUT_FILENO) != 1 || cli->json)
        return cli_usage(cli, "top needs a terminal; use `kvadmin status`");
    while (true) { /* Until it is interrupted. */
        json_t *status = NULL;
        int error = cli_call(cli, "status", NULL, true, &status);
        printf("\033[H\033[J");
        if (error == 0)
            status_print(status, stdout);
        else
            printf("%s\n", cli->error.message);
        printf("asked: %s\n", cli->client != NULL ? kvr_node(cli->client) : "-");
        (void)fflush(stdout);
        json_decref(status);
        struct timespec pause = {.tv_sec = (time_t)(interval_ms / 1000),
                                 .tv_nsec = (long)(interval_ms % 1000) * 1000000};
        (void)nanosleep(&pause, NULL);
    }
}
