/* Commands that walk over keys: SCAN by pages, KEYS and DBSIZE from end to end. */
#include "shell/resp_commands.h"

#include "shell/clients.h"

struct scan_options {
    uint64_t cursor;
    uint32_t count;
    struct slice pattern;
    bool match, none;
};

/* Up to 2^64-1, as our cursors are. */
static bool cursor_of(struct slice word, uint64_t *ret_cursor)
{
    uint64_t cursor = 0;
    for (size_t i = 0; i < word.size; i++) {
        uint8_t digit = (uint8_t)(word.data[i] - '0');
        if (digit > 9 || cursor > (UINT64_MAX - digit) / 10)
            return false;
        cursor = cursor * 10 + digit;
    }
    *ret_cursor = cursor;
    return word.size > 0;
}

/* Redis' sentence of what is wrong, or NULL. */
static const char *scan_parse(const struct resp_command *command, struct scan_options *ret)
{
    if (!cursor_of(command->words[1], &ret->cursor))
        return "invalid cursor";
    for (uint32_t i = 2; i < command->count; i += 2) {
        struct slice option = command->words[i];
        if (i + 1 == command->count)
            return resp_syntax_error;
        struct slice word = command->words[i + 1];
        if (resp_is(option, "COUNT")) {
            int64_t number;
            if (!resp_number(word, &number))
                return resp_not_integer;
            if (number < 1)
                return resp_syntax_error;
            ret->count = (uint32_t)MIN(number, (int64_t)RPC_SCAN_LIMIT_MAX - 1);
        } else if (resp_is(option, "MATCH")) {
            ret->pattern = word;
            ret->match = true;
        } else if (resp_is(option, "TYPE")) {
            ret->none = !resp_is(word, "string");
        } else {
            return resp_syntax_error;
        }
    }
    return NULL;
}

void resp_run_scan(struct session *session, const struct resp_command *command)
{
    struct scan_options options = {.count = 10};
    const char *wrong = scan_parse(command, &options);
    if (wrong != NULL) {
        resp_fail(session, "ERR", wrong);
        return;
    }
    struct resp_reply *reply = resp_reply_begin(session, RESP_KIND_SCAN, 1);
    if (reply == NULL)
        return;
    reply->match = options.match;
    reply->none = options.none;
    buf_append(&reply->pattern, options.pattern);
    struct request request = resp_request(session, METHOD_SCAN, SLICE_NONE);
    request.cursor = options.cursor;
    /* One more: the first key that is not in this page is the next one's cursor. */
    request.limit = options.count + 1;
    resp_reply_part(session, reply, 0, &request);
    resp_reply_sent(session, reply);
}

/* ------------------------------------------------------------------------ KEYS and DBSIZE. */

/* Page after page, until there are no more. */
static void walk(struct session *session, enum resp_kind kind, struct slice pattern, bool match)
{
    struct resp_reply *reply = resp_reply_begin(session, kind, 1);
    if (reply == NULL)
        return;
    reply->match = match;
    buf_append(&reply->pattern, pattern);
    struct request request = resp_request(session, METHOD_SCAN, SLICE_NONE);
    request.limit = RPC_SCAN_LIMIT_MAX;
    resp_reply_part(session, reply, 0, &request);
    resp_reply_sent(session, reply);
}

void resp_keys(struct session *session, const struct resp_command *command)
{
    walk(session, RESP_KIND_KEYS, command->words[1], true);
}

void resp_dbsize(struct session *session, const struct resp_command *command)
{
    (void)command;
    walk(session, RESP_KIND_COUNT, SLICE_NONE, false);
}
