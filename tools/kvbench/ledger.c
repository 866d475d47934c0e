#include "kvbench/ledger.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>

void ledger_init(struct ledger *ledger, uint64_t run, uint64_t keys)
{
    *ledger = (struct ledger){.run = run, .keys_count = keys};
    ledger->keys = mem_zero(keys * sizeof(*ledger->keys));
}

void ledger_done(struct ledger *ledger)
{
    mem_free(ledger->keys);
    *ledger = (struct ledger){0};
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The head names the value and its size; what follows are letters drawn from the head. */
void ledger_value(const struct ledger *ledger, uint64_t key, uint32_t sequence, size_t size,
                  struct buf *out)
{
    ASSERT(size >= LEDGER_VALUE_MIN);
    char head[LEDGER_VALUE_MIN + 1];
    int length = snprintf(head, sizeof(head), "%016" PRIx64 " %010" PRIu64 " %010" PRIu32 " %08zx ",
                          ledger->run, key, sequence, size);
    ASSERT(length > 0 && (size_t)length <= LEDGER_VALUE_MIN);
    uint8_t *bytes = buf_reserve(out, size);
    memcpy(bytes, head, (size_t)length);
    uint64_t state = mix(ledger->run ^ mix(key + 1) ^ mix((uint64_t)sequence << 32));
    for (size_t i = (size_t)length; i < size; i++) {
        if ((i & 7) == 0)
            state = mix(state + 0x9e3779b97f4a7c15u);
        bytes[i] = (uint8_t)('a' + (state >> (8 * (i & 7)) & 15));
    }
    out->size += size;
}

uint32_t ledger_begin(struct ledger *ledger, uint64_t key)
{
    struct ledger_key *entry = &ledger->keys[key];
    if (entry->busy)
        return 0;
    entry->busy = true;
    return ++entry->sent;
}

void ledger_acked(struct ledger *ledger, uint64_t key, uint32_t sequence)
{
    ledger->keys[key].acked = sequence;
    ledger->keys[key].busy = false;
}

void ledger_refused(struct ledger *ledger, uint64_t key, uint32_t sequence)
{
    /* Its value may never be seen; giving the number out again would make it look legal. */
    (void)sequence;
    ledger->keys[key].busy = false;
}

void ledger_unknown(struct ledger *ledger, uint64_t key, uint32_t sequence)
{
    struct ledger_key *entry = &ledger->keys[key];
    uint32_t step = sequence - entry->unknown;
    entry->older = step < 64 ? entry->older << step : 0;
    if (entry->unknown > 0 && step <= 64)
        entry->older |= 1ull << (step - 1);
    entry->unknown = sequence;
    entry->busy = false;
}

static bool is_unknown(const struct ledger_key *entry, uint32_t sequence)
{
    uint32_t before = entry->unknown - sequence;
    return sequence == entry->unknown ||
           (sequence < entry->unknown && before <= 64 && entry->older >> (before - 1) & 1);
}

enum ledger_verdict ledger_judge(const struct ledger *ledger, uint64_t key, uint32_t floor,
                                 bool found, struct slice value)
{
    if (!found)
        return floor == 0 ? LEDGER_RIGHT : LEDGER_STALE;
    char head[LEDGER_VALUE_MIN + 1] = {0};
    if (value.size < LEDGER_VALUE_MIN)
        return LEDGER_WRONG;
    memcpy(head, value.data, LEDGER_VALUE_MIN);
    uint64_t run = 0;
    uint64_t named = 0;
    uint32_t sequence = 0;
    size_t size = 0;
    int fields = sscanf(head, "%16" SCNx64 " %10" SCNu64 " %10" SCNu32 " %8zx", &run, &named,
                        &sequence, &size);
    if (fields != 4 || named != key || size != value.size)
        return LEDGER_WRONG;
    if (run != ledger->run) /* Left over from an earlier run: right until we wrote the key. */
        return floor == 0 ? LEDGER_RIGHT : LEDGER_STALE;
    struct buf expected = {0};
    ledger_value(ledger, key, sequence, size, &expected);
    bool same = slice_equal(buf_slice(&expected), value);
    buf_done(&expected);
    if (!same || sequence == 0 || sequence > ledger->keys[key].sent)
        return LEDGER_WRONG;
    /* The outcome of a put that was lost on the way may come late, under a later one's feet. */
    if (sequence < floor && !is_unknown(&ledger->keys[key], sequence))
        return LEDGER_STALE;
    return LEDGER_RIGHT;
}

int ledger_save(const struct ledger *ledger, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return ERR_IO;
    fprintf(file, "kvbench-ledger 2 %016" PRIx64 " %" PRIu64 "\n", ledger->run, ledger->keys_count);
    for (uint64_t i = 0; i < ledger->keys_count; i++)
        fprintf(file, "%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIx64 "\n", ledger->keys[i].sent,
                ledger->keys[i].acked, ledger->keys[i].unknown, ledger->keys[i].older);
    bool failed = ferror(file) != 0;
    return fclose(file) != 0 || failed ? ERR_IO : 0;
}

int ledger_load(struct ledger *ret_ledger, const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return ERR_IO;
    uint64_t run = 0;
    uint64_t keys = 0;
    int error = ERR_CORRUPT;
    struct ledger ledger = {0};
    if (fscanf(file, "kvbench-ledger 2 %16" SCNx64 " %" SCNu64, &run, &keys) == 2 && keys > 0 &&
        keys <= UINT32_MAX) {
        ledger_init(&ledger, run, keys);
        uint64_t i = 0;
        while (i < keys &&
               fscanf(file, "%" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNx64, &ledger.keys[i].sent,
                      &ledger.keys[i].acked, &ledger.keys[i].unknown, &ledger.keys[i].older) == 4)
            i++;
        error = i == keys ? 0 : ERR_CORRUPT;
    }
    (void)fclose(file);
    if (error != 0)
        ledger_done(&ledger);
    else
        *ret_ledger = ledger;
    return error;
}
