/* Names of nodes, and where a key lies on the ring. */
#define XXH_STATIC_LINKING_ONLY /* For a state on the stack. */
#include "data/id.h"

#include "base/checksum.h"
#include "base/error.h"

#include <xxhash.h>

void id_format(struct node_id id, char ret_text[NODE_ID_TEXT])
{
    for (uint32_t i = 16; i-- > 0; id.hi >>= 4, id.lo >>= 4) {
        ret_text[i] = "0123456789abcdef"[id.hi & 15];
        ret_text[16 + i] = "0123456789abcdef"[id.lo & 15];
    }
    ret_text[32] = '\0';
}

static int digit_of(uint8_t character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

int id_parse(struct slice text, struct node_id *ret_id)
{
    if (text.size != 32)
        return ERR_BAD_REQUEST;
    uint64_t halves[2] = {0, 0};
    for (size_t i = 0; i < 32; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0)
            return ERR_BAD_REQUEST;
        halves[i / 16] = halves[i / 16] << 4 | (uint64_t)digit;
    }
    *ret_id = (struct node_id){halves[0], halves[1]};
    return OK;
}

uint64_t key_hash(uint64_t seed, struct slice bucket, struct slice key)
{
    /* Hashing a copy of a short key is faster than setting up a streaming state. */
    uint8_t joined[512];
    if (bucket.size < sizeof joined && key.size < sizeof joined - bucket.size) {
        if (bucket.size > 0)
            memcpy(joined, bucket.data, bucket.size);
        joined[bucket.size] = 0;
        if (key.size > 0)
            memcpy(joined + bucket.size + 1, key.data, key.size);
        return checksum64(slice_of(joined, bucket.size + 1 + key.size), seed);
    }
    XXH3_state_t state;
    XXH3_INITSTATE(&state); /* Else a seed left on the stack can pass for one already set up. */
    XXH3_64bits_reset_withSeed(&state, seed);
    if (bucket.size > 0)
        XXH3_64bits_update(&state, bucket.data, bucket.size);
    XXH3_64bits_update(&state, "", 1);
    if (key.size > 0)
        XXH3_64bits_update(&state, key.data, key.size);
    return XXH3_64bits_digest(&state);
}

uint64_t actor_of(struct node_id node, uint64_t tenure)
{
    uint64_t parts[3] = {node.hi, node.lo, tenure};
    uint8_t bytes[sizeof parts];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(parts[i / 8] >> (8 * (i % 8)));
    return checksum64(slice_of(bytes, sizeof bytes), 0);
}
