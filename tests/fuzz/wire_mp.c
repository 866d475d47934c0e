/* The scan in portions says the same as the scan at once, and as the cursor. */
#include "base/error.h"
#include "wire/mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mp_limits limits = {.depth_max = 8, .elements_max = 100000, .size_max = 65536};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mp_scan at_once = {.limits = limits}, portions = {.limits = limits};
    size_t more = 0, have = 0, missing;
    int status = mp_scan(&at_once, slice_of(data, size), &more);
    int partial;
    do {
        partial = mp_scan(&portions, slice_of(data, have), &missing);
        /* Fewer bytes than were promised to be missing never complete it. */
        have += missing > 1 ? missing - missing / 2 : missing;
    } while (partial == 0 && missing > 0 && have <= size);
    bool complete = status == 0 && more == 0;
    ASSERT(complete == (partial == 0 && missing == 0));
    ASSERT(!complete || portions.at == at_once.at);

    struct mp_reader reader = mp_reader_of(slice_of(data, size));
    struct slice value = mp_skip(&reader);
    ASSERT(!complete || (!reader.bad && value.size == at_once.at));
    ASSERT(reader.bad || complete || status == ERR_TOO_LARGE);
    return 0;
}
