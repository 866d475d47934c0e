/* kvcli: read and write the data of a kvring cluster. */
#include "kvcli/kvcli.h"

#define BUCKET                                                                                     \
    {                                                                                              \
        "bucket", 'b', "NAME", "bucket (default: default)"                                         \
    }
#define EXPLAIN                                                                                    \
    {                                                                                              \
        "explain", 0, NULL, "say on stderr who answered and how many copies there are"             \
    }
#define STRICT                                                                                     \
    {                                                                                              \
        "strict", 0, NULL, "count only the nodes that own the key"                                 \
    }
#define READS                                                                                      \
    {                                                                                              \
        "r", 'r', "N", "nodes that must answer: one, quorum, all, 1..7"                            \
    }
#define WRITES                                                                                     \
    {                                                                                              \
        "w", 'w', "N", "nodes that must have stored it: one, quorum, all, 1..7"                    \
    }
#define DURABLE                                                                                    \
    {                                                                                              \
        "dw", 0, "N", "of these, nodes that must have it on disk"                                  \
    }
#define CONTEXT                                                                                    \
    {                                                                                              \
        "context", 0, "TEXT", "context of the read it follows, in base64 or hex"                   \
    }
#define RESOLVE                                                                                    \
    {                                                                                              \
        "resolve", 0, NULL, "replace all siblings that the key has now"                            \
    }
#define BLIND                                                                                      \
    {                                                                                              \
        "blind", 0, NULL, "do not read the key's context first"                                    \
    }
#define IF_UNCHANGED                                                                               \
    {                                                                                              \
        "if-unchanged", 0, NULL, "only if nothing is stored that --context has not seen"           \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, 0, NULL, NULL                                                                        \
    }

static const struct cli_option put_options[] = {
    BUCKET,
    WRITES,
    DURABLE,
    STRICT,
    CONTEXT,
    RESOLVE,
    BLIND,
    {"if-absent", 0, NULL, "only if the key has no value, in one atomic step"},
    {"if-present", 0, NULL, "only if the key has a value, in one atomic step"},
    IF_UNCHANGED,
    {"ttl", 0, "TIME", "expires after: 30s, 5m, 12h, 7d; `none` for never"},
    {"type", 0, "TYPE", "content type to store beside the value"},
    EXPLAIN,
    END,
};
static const struct cli_option get_options[] = {
    BUCKET, READS, STRICT, {"sibling", 0, "N", "of several siblings, print the Nth"}, EXPLAIN, END,
};
static const struct cli_option del_options[] = {BUCKET,  WRITES, DURABLE,      STRICT,  CONTEXT,
                                                RESOLVE, BLIND,  IF_UNCHANGED, EXPLAIN, END};
static const struct cli_option mget_options[] = {BUCKET, READS, STRICT, END};
static const struct cli_option scan_options[] = {
    BUCKET,
    READS,
    {"values", 0, NULL, "print the values too"},
    {"limit", 0, "N", "stop after N keys"},
    {"cursor", 0, "TEXT", "go on where a scan with --limit stopped"},
    END,
};
static const struct cli_option export_options[] = {BUCKET, READS, END};
static const struct cli_option import_options[] = {
    BUCKET,
    WRITES,
    DURABLE,
    STRICT,
    {"resend", 0, NULL, "send lines again whose outcome is unknown"},
    END,
};

static const struct cli_command commands[] = {
    {"put", "KEY [VALUE|-]", "store a value",
     "Without VALUE, or with -, the value is read from standard input, byte for byte.\n"
     "The key's context is read first, so that the value replaces what is there now. In a\n"
     "bucket of policy `siblings`, a key with several siblings is left alone (exit 4), unless\n"
     "--resolve or --context says what the value replaces. With --if-absent, --if-present or\n"
     "--if-unchanged reading, deciding and writing are one step; where the condition does not\n"
     "hold nothing is changed (exit 4).",
     put_options, 1, 2, run_put},
    {"get", "KEY", "print a value",
     "Prints the value as it is, with a line end only on a terminal. A key with several\n"
     "siblings is a conflict (exit 4): they are listed, --sibling prints one, --json all.",
     get_options, 1, 1, run_get},
    {"del", "KEY", "delete a key", NULL, del_options, 1, 1, run_del},
    {"mget", "KEY...", "print several values, one `KEY<tab>VALUE` a line",
     "What is no printable text is written as \\n, \\t, \\\\ or \\xNN. Missing keys are named on\n"
     "stderr (exit 1); a key with several siblings has a line for each (exit 4).",
     mget_options, 1, -1, run_mget},
    {"scan", "", "list the keys of a bucket, in no order that means anything",
     "One key a line; what is no printable text is written as \\n, \\t, \\\\ or \\xNN.\n"
     "With --json one JSON object a line, as of export.",
     scan_options, 0, 0, run_scan},
    {"import", "[FILE]", "store what export printed",
     "Reads JSON lines from FILE or standard input: {\"bucket\", \"key\", \"value\"}, with\n"
     "key_base64 and value_base64 for what is no UTF-8, and type and expires_ms where they\n"
     "apply. Lines without a bucket go to --bucket. Values are put blind. Stops at the first\n"
     "line that cannot be stored and names it (exit 8 if others were stored). Of two lines\n"
     "with one key it is not certain which one stays.",
     import_options, 0, 1, run_import},
    {"export", "[FILE]", "write a bucket as JSON lines to FILE or standard output",
     "A key with several siblings has one line for each.", export_options, 0, 1, run_export},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const struct cli_program program = {
    .name = "kvcli",
    .summary = "read and write the data of a kvring cluster",
    .commands = commands,
    .help = "Without a command: a prompt that takes these commands.\n"
            "Environment: KV_NODES, the nodes to ask when --nodes is not given.",
    .prompt = run_prompt,
};

int main(int argc, char **argv)
{
    return cli_main(&program, argc, argv);
}
