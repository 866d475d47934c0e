/* What decodes is well formed, and encodes to the very bytes it came from. */
#include "data/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct range_record record;
    struct reader reader = reader_of(slice_of(data, size));
    record_decode(&reader, &record);
    if (reader.bad)
        return 0;
    ASSERT(record_check(&record, RANGES_MAX));
    struct buf again = {0};
    record_encode(&record, &again);
    ASSERT(slice_equal(buf_slice(&again), slice_of(data, (size_t)(reader.at - data))));
    buf_done(&again);
    return 0;
}
