/* What is put names its request: values say by which one they were written. */
#include "base/checksum.h"
#include "sim/ledger_own.h"

static void number_write(uint32_t number, struct buf *out)
{
    uint8_t digits[10];
    size_t at = sizeof(digits);
    do
        digits[--at] = (uint8_t)('0' + number % 10);
    while ((number /= 10) > 0);
    buf_append(out, slice_of(digits + at, sizeof(digits) - at));
}

/* Made, and compared with what was read, so often that a formatter would be noticed. */
void ledger_value(uint32_t number, uint32_t size_max, struct buf *out)
{
    size_t start = out->size;
    buf_append_byte(out, 'v');
    number_write(number, out);
    buf_append_byte(out, '.');
    uint64_t noise = checksum_pair(number, 77);
    size_t size = noise % (size_max + 1);
    size_t filled = out->size - start;
    if (filled >= size)
        return;
    uint8_t *to = buf_reserve(out, size - filled);
    uint32_t letter = (uint32_t)((noise + out->size) % 26);
    for (size_t i = 0; i < size - filled; i++) {
        to[i] = (uint8_t)('a' + letter);
        letter = letter == 25 ? 0 : letter + 1;
    }
    out->size += size - filled;
}

uint32_t ledger_number(const struct ledger *ledger, struct slice value)
{
    uint32_t number = 0;
    if (value.size < 2 || value.data[0] != 'v')
        return 0;
    for (size_t i = 1; i < value.size && value.data[i] != '.'; i++) {
        if (value.data[i] < '0' || value.data[i] > '9' || number > 100000000)
            return 0;
        number = number * 10 + (uint32_t)(value.data[i] - '0');
    }
    return number <= ledger->count ? number : 0;
}
