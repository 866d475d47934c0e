/* The client's errors: the codes of the public header are those of base/error.h. */
#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>

#define SAME_CODE(name, value, exit_code, advice)                                                  \
    _Static_assert((int)KVR_##name == (int)ERR_##name, "kvring.h and error.h differ");
ERRORS(SAME_CODE)
#undef SAME_CODE

const char *kvr_word(int code)
{
    return error_word(code);
}

const char *kvr_advice(int code)
{
    return error_advice(code);
}

const struct kvr_error *kvr_last_error(const struct kvr_client *client)
{
    return &client->error;
}

static void error_set_list(struct kvr_error *error, int code, const char *format, va_list arguments)
    PRINTF_LIKE(3, 0);

static void error_set_list(struct kvr_error *error, int code, const char *format, va_list arguments)
{
    *error = (struct kvr_error){.code = code};
    snprintf(error->word, sizeof(error->word), "%s", error_word(code));
    snprintf(error->advice, sizeof(error->advice), "%s", error_advice(code));
    vsnprintf(error->message, sizeof(error->message), format, arguments);
}

void error_set(struct kvr_error *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_list(error, code, format, arguments);
    va_end(arguments);
}

int client_fail(struct kvr_client *client, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_list(&client->error, code, format, arguments);
    va_end(arguments);
    return code;
}

int client_fail_node(struct kvr_client *client, int code, const char *message)
{
    client_fail(client, code, "%s", message);
    snprintf(client->error.node, sizeof(client->error.node), "%s",
             client->nodes[client->node].text);
    return code;
}
