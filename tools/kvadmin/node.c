/* `drain`: let one node finish its requests and stop. */
#include "kvadmin/admin.h"

int drain_command(struct cli *cli)
{
    struct fleet fleet;
    int exit = fleet_load(cli, &fleet);
    if (exit != 0)
        return exit;
    const json_t *member = fleet_find_named(cli, &fleet, cli->arguments[0]);
    bool dry = cli_given(cli, "dry-run");
    char question[160];
    (void)snprintf(question, sizeof(question), "Stop %s after its requests are finished?",
                   cli->arguments[0]);
    if (member == NULL)
        exit = error_exit_code(ERR_NOT_MEMBER);
    else if (!dry)
        exit = ask(cli, question);
    if (exit == 0) {
        struct voice voice = {0};
        json_t *result = NULL;
        if (voice_call(cli, &voice, member, "drain", json_pack("{s:b}", "dry_run", (int)dry),
                       &result) != 0)
            exit = cli_fail_error(cli, &cli->error);
        else if (cli->json)
            cli_print_json(json_incref(result));
        else
            printf("%s %s\n", field_text(member, "name"),
                   dry ? "would be drained (--dry-run)" : "is draining and will stop");
        json_decref(result);
        voice_done(&voice);
    }
    fleet_done(&fleet);
    return exit;
}
