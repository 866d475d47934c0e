/* UTF-8, base64 and hex: how bytes are written down for people and in JSON. */
#include "cli/json.h"

#include "base/error.h"

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The length of the UTF-8 sequence at BYTES, 0 if there is none (RFC 3629, section 4). */
static size_t utf8_step(const uint8_t *bytes, size_t left)
{
    static const struct {
        uint8_t first, last;  /* Of the first byte. */
        uint8_t second_first; /* Of the second one. */
        uint8_t second_last;
        uint8_t size;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    size_t i = 0;
    while (i < ARRAY_SIZE(forms) && (bytes[0] < forms[i].first || bytes[0] > forms[i].last)) {
        i++;
    }
    if (i == ARRAY_SIZE(forms) || left < forms[i].size) {
        return 0;
    }
    if (forms[i].size > 1 &&
        (bytes[1] < forms[i].second_first || bytes[1] > forms[i].second_last)) {
        return 0;
    }
    for (size_t j = 2; j < forms[i].size; j++) {
        if ((bytes[j] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return forms[i].size;
}

bool is_utf8(struct slice bytes)
{
    size_t at = 0;
    while (at < bytes.size) {
        size_t step = utf8_step(bytes.data + at, bytes.size - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

json_t *json_of_text(struct slice bytes)
{
    if (!is_utf8(bytes)) {
        return NULL;
    }
    return json_stringn(bytes.size > 0 ? (const char *)bytes.data : "", bytes.size);
}

void base64_encode(struct slice bytes, struct buf *out)
{
    for (size_t at = 0; at < bytes.size; at += 3) {
        size_t left = MIN(bytes.size - at, 3);
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++) {
            bits = bits << 8 | (i < left ? bytes.data[at + i] : 0);
        }
        for (size_t i = 0; i < 4; i++) {
            char letter = base64_alphabet[bits >> (18 - 6 * i) & 63];
            buf_append_byte(out, (uint8_t)(i <= left ? letter : '='));
        }
    }
}

static int base64_value(uint8_t letter)
{
    if (letter == '-' || letter == '_') {
        letter = letter == '-' ? '+' : '/';
    }
    const char *at = letter == '\0' ? NULL : strchr(base64_alphabet, letter);
    return at == NULL ? -1 : (int)(at - base64_alphabet);
}

int base64_decode(struct slice text, struct buf *out)
{
    while (text.size > 0 && text.data[text.size - 1] == '=') {
        text.size--;
    }
    uint32_t bits = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0) {
            return ERR_BAD_REQUEST;
        }
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            buf_append_byte(out, (uint8_t)(bits >> count));
        }
    }
    /* A single letter is no byte; what is left over must be empty bits. */
    bool whole = count < 6 && (bits & ((1u << count) - 1)) == 0;
    return whole ? 0 : ERR_BAD_REQUEST;
}

static int hex_value(uint8_t letter)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t lower = letter >= 'A' && letter <= 'F' ? (uint8_t)(letter | 0x20) : letter;
    const char *at = lower == '\0' ? NULL : strchr(digits, lower);
    return at == NULL ? -1 : (int)(at - digits);
}

int hex_decode(struct slice text, struct buf *out)
{
    if (text.size % 2 != 0) {
        return ERR_BAD_REQUEST;
    }
    for (size_t i = 0; i < text.size; i += 2) {
        int high = hex_value(text.data[i]);
        int low = hex_value(text.data[i + 1]);
        if (high < 0 || low < 0) {
            return ERR_BAD_REQUEST;
        }
        buf_append_byte(out, (uint8_t)(high << 4 | low));
    }
    return 0;
}

void hex_encode(struct slice bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.size; i++) {
        buf_printf(out, "%02x", bytes.data[i]);
    }
}
