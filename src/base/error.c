/* The one table of error codes, read in all directions. */
#include "base/error.h"

struct error_entry {
    int value;
    int exit_code;
    const char *word;
    const char *advice;
};

static const struct error_entry entries[] = {{0, 0, "OK", ""},
#define ERROR_ENTRY(name, value, exit_code, advice) {value, exit_code, #name, advice},
                                             ERRORS(ERROR_ENTRY)
#undef ERROR_ENTRY
};

static const struct error_entry *entry_of(int error)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        if (entries[i].value == error)
            return &entries[i];
    }
    return error == ERR_INTERNAL ? &entries[0] : entry_of(ERR_INTERNAL);
}

const char *error_word(int error)
{
    return entry_of(error)->word;
}

const char *error_advice(int error)
{
    return entry_of(error)->advice;
}

int error_exit_code(int error)
{
    return entry_of(error)->exit_code;
}

int error_of_word(struct slice word)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        if (slice_equal(word, slice_string(entries[i].word)))
            return entries[i].value;
    }
    return ERR_INTERNAL;
}
