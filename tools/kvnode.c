/* kvnode: one node of a cluster. A thin main over the shell. */
#include <stdio.h>
#include <string.h>

#include "shell/check.h"
#include "shell/serve.h"
#include "streams.h"

static void usage(FILE *out)
{
    fputs("Usage: kvnode COMMAND [OPTION...]\n\n"
          "  serve --data DIR ...   run a node\n"
          "  check --data DIR       verify the store of a stopped node\n"
          "  --version\n\n"
          "`kvnode COMMAND --help` shows the options of a command.\n",
          out);
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    streams_keep();
    if (strcmp(command, "serve") == 0)
        return serve(argc - 2, argv + 2);
    if (strcmp(command, "check") == 0)
        return check(argc - 2, argv + 2);
    if (strcmp(command, "--version") == 0) {
        puts("kvnode " KVRING_VERSION);
        return 0;
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
        strcmp(command, "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (command[0] == '\0')
        fputs("kvnode: no command\n", stderr);
    else
        fprintf(stderr, "kvnode: there is no command `%s`\n", command);
    usage(stderr);
    return 2;
}
