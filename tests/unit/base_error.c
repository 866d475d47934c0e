#include "base/error.h"

#include <criterion/criterion.h>

Test(error, words_and_codes_match_both_ways)
{
#define CHECK(name, value, exit_code, advice)                                                      \
    cr_assert_str_eq(error_word(ERR_##name), #name);                                               \
    cr_assert_eq(error_of_word(slice_string(#name)), ERR_##name);                                  \
    cr_assert_eq(error_exit_code(ERR_##name), exit_code);                                          \
    cr_assert_str_eq(error_advice(ERR_##name), advice);                                            \
    cr_assert(exit_code >= 1 && exit_code <= 8);
    ERRORS(CHECK)
#undef CHECK
}

Test(error, success_and_strangers)
{
    cr_assert_str_eq(error_word(OK), "OK");
    cr_assert_str_eq(error_advice(OK), "");
    cr_assert_eq(error_exit_code(OK), 0);
    cr_assert_eq(error_of_word(slice_string("OK")), OK);
    cr_assert_str_eq(error_word(-4711), "INTERNAL");
    cr_assert_eq(error_of_word(slice_string("FROM_THE_FUTURE")), ERR_INTERNAL);
}
