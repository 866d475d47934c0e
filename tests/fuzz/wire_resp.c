/* The scan in portions says the same as the scan at once; what it approves of can be cut up, and
 * the words of an array are what a writer of arrays would write. */
#include "base/error.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_words(struct slice command, const struct resp_command *words)
{
    struct buf again = {0};
    struct resp_scan scan = {0};
    size_t more;
    resp_array(words->count, &again);
    for (uint32_t i = 0; i < words->count; i++) {
        resp_bulk(words->words[i], &again);
        resp_match(words->words[i], words->words[0], (i & 1) != 0);
    }
    /* Lines may have come without a carriage return. */
    ASSERT(command.data[0] != '*' || words->count == 0 || again.size >= command.size);
    ASSERT(words->count == 0 || resp_scan(&scan, buf_slice(&again), &more) == 0);
    ASSERT(words->count == 0 || (more == 0 && scan.at == again.size));
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    struct resp_scan at_once = {0}, portions = {0};
    struct resp_command command;
    size_t more = 0, have = 0, missing = 0;
    int status = resp_scan(&at_once, slice_of(data, size), &more);
    int partial;
    do {
        partial = resp_scan(&portions, slice_of(data, have), &missing);
        have += missing > 1 ? missing - missing / 2 : missing;
    } while (partial == 0 && missing > 0 && have <= size);
    bool complete = status == 0 && more == 0;
    ASSERT(complete == (partial == 0 && missing == 0));
    ASSERT(status != ERR_CORRUPT || strncmp(at_once.error, "Protocol error: ", 16) == 0);
    if (!complete)
        return 0;
    ASSERT(portions.at == at_once.at && at_once.at <= size);
    arena_reset(&arena);
    struct slice whole = slice_of(data, at_once.at);
    if (resp_decode(whole, &arena, &command) == 0)
        check_words(whole, &command);
    return 0;
}
