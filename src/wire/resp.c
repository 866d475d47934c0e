/* Scanning and cutting commands: lines first, then words of declared lengths. */
#include "wire/resp.h"

#include "base/error.h"

#include <stdio.h>

enum { NUMBER_DIGITS_MAX = 19 };

/* ------------------------------------------------------------------------------- Words. */

bool resp_number(struct slice word, int64_t *ret_number)
{
    bool negative = word.size > 0 && word.data[0] == '-';
    size_t at = negative;
    uint64_t number = 0;
    if (word.size == at || word.size - at > NUMBER_DIGITS_MAX)
        return false;
    if (word.data[at] == '0' && word.size > 1)
        return false; /* Neither -0 nor 007. */
    for (; at < word.size; at++) {
        if (word.data[at] < '0' || word.data[at] > '9')
            return false;
        number = number * 10 + (uint64_t)(word.data[at] - '0');
    }
    if (number > (uint64_t)INT64_MAX + negative)
        return false;
    *ret_number = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 'a' - 'A') : byte;
}

bool resp_is(struct slice word, const char *text)
{
    if (word.size != strlen(text))
        return false;
    for (size_t i = 0; i < word.size; i++)
        if (lower(word.data[i]) != lower((uint8_t)text[i]))
            return false;
    return true;
}

/* One element of a pattern against one byte; RET_NEXT is where the next element begins. */
static bool match_one(struct slice pattern, size_t at, uint8_t byte, bool ignore_case,
                      size_t *ret_next)
{
    uint8_t wanted = pattern.data[at++];
    byte = ignore_case ? lower(byte) : byte;
    if (wanted == '[') {
        bool negated = at < pattern.size && pattern.data[at] == '^';
        bool found = false;
        at += negated;
        while (at < pattern.size && pattern.data[at] != ']') {
            if (pattern.data[at] == '\\' && at + 1 < pattern.size)
                at++;
            uint8_t low = pattern.data[at++], high = low;
            if (at + 1 < pattern.size && pattern.data[at] == '-') {
                high = pattern.data[at + 1];
                at += 2;
            }
            if (ignore_case) {
                low = lower(low);
                high = lower(high);
            }
            found = found || (byte >= MIN(low, high) && byte <= MAX(low, high));
        }
        *ret_next = MIN(at + 1, pattern.size);
        return found != negated;
    }
    if (wanted == '\\' && at < pattern.size)
        wanted = pattern.data[at++];
    else if (wanted == '?')
        wanted = byte;
    *ret_next = at;
    return byte == (ignore_case ? lower(wanted) : wanted);
}

/* On a mismatch the last star takes one byte more; earlier stars need never be looked at again. */
bool resp_match(struct slice pattern, struct slice text, bool ignore_case)
{
    size_t at = 0, in_text = 0, after_star = 0, star_text = 0, next = 0;
    bool star = false;
    while (in_text < text.size) {
        if (at < pattern.size && pattern.data[at] == '*') {
            star = true;
            after_star = ++at;
            star_text = in_text;
        } else if (at < pattern.size &&
                   match_one(pattern, at, text.data[in_text], ignore_case, &next)) {
            at = next;
            in_text++;
        } else if (star) {
            at = after_star;
            in_text = ++star_text;
        } else {
            return false;
        }
    }
    while (at < pattern.size && pattern.data[at] == '*')
        at++;
    return at == pattern.size;
}

/* -------------------------------------------------------------------------------- Scan. */

static int corrupt(struct resp_scan *scan, const char *sentence)
{
    snprintf(scan->error, sizeof scan->error, "Protocol error: %s", sentence);
    return ERR_CORRUPT;
}

/* The line at scan->at without its end. False while it is not whole. */
static bool take_line(struct resp_scan *scan, struct slice bytes, struct slice *ret_line)
{
    size_t from = MAX(scan->at, scan->looked);
    const uint8_t *end =
        from < bytes.size ? memchr(bytes.data + from, '\n', bytes.size - from) : NULL;
    if (end == NULL) {
        scan->looked = bytes.size;
        return false;
    }
    const uint8_t *start = bytes.data + scan->at;
    size_t size = (size_t)(end - start);
    scan->at += size + 1;
    *ret_line = slice_of(start, size > 0 && start[size - 1] == '\r' ? size - 1 : size);
    return true;
}

static bool line_too_long(const struct resp_scan *scan, struct slice bytes)
{
    return bytes.size - scan->at > RESP_INLINE_MAX;
}

static int begin_multibulk(struct resp_scan *scan, struct slice line)
{
    int64_t count;
    if (!resp_number(slice_of(line.data + 1, line.size - 1), &count) || count > RESP_WORDS_MAX)
        return corrupt(scan, "invalid multibulk length");
    scan->multibulk = true;
    scan->left = count > 0 ? (uint32_t)count : 0;
    return OK;
}

static int begin_bulk(struct resp_scan *scan, struct slice line)
{
    int64_t size;
    if (line.size == 0 || line.data[0] != '$') {
        char text[40];
        uint8_t byte = line.size == 0 ? ' ' : line.data[0];
        snprintf(text, sizeof text, "expected '$', got '%c'",
                 byte > ' ' && byte < 0x7f ? byte : ' ');
        return corrupt(scan, text);
    }
    if (!resp_number(slice_of(line.data + 1, line.size - 1), &size) || size < 0 ||
        size > RESP_BULK_MAX)
        return corrupt(scan, "invalid bulk length");
    if (scan->at + (size_t)size > RESP_COMMAND_MAX)
        return corrupt(scan, "too big command");
    scan->bulk = (size_t)size;
    scan->in_bulk = true;
    return OK;
}

/* One word of a multibulk command. RET_MORE above 0: it is not whole. */
static int take_bulk(struct resp_scan *scan, struct slice bytes, size_t *ret_more)
{
    struct slice line;
    *ret_more = 1;
    if (!scan->in_bulk) {
        if (scan->at < bytes.size && bytes.data[scan->at] != '$')
            return begin_bulk(scan, slice_of(bytes.data + scan->at, 1));
        if (!take_line(scan, bytes, &line))
            return line_too_long(scan, bytes) ? corrupt(scan, "too big bulk count string") : OK;
        int error = begin_bulk(scan, line);
        if (error != 0)
            return error;
    }
    size_t end = scan->at + scan->bulk + 2;
    if (bytes.size < end) {
        *ret_more = end - bytes.size;
        return OK;
    }
    if (bytes.data[end - 2] != '\r' || bytes.data[end - 1] != '\n')
        return corrupt(scan, "expected a line's end after a bulk");
    scan->at = end;
    scan->in_bulk = false;
    scan->left--;
    *ret_more = 0;
    return OK;
}

int resp_scan(struct resp_scan *scan, struct slice bytes, size_t *ret_more)
{
    *ret_more = 1;
    if (bytes.size == 0)
        return OK;
    if (!scan->multibulk) {
        struct slice line;
        bool array = bytes.data[0] == '*';
        if (!take_line(scan, bytes, &line)) {
            if (!line_too_long(scan, bytes))
                return OK;
            return corrupt(scan, array ? "too big mbulk count string" : "too big inline request");
        }
        if (line.size > RESP_INLINE_MAX)
            return corrupt(scan, array ? "too big mbulk count string" : "too big inline request");
        if (!array) {
            *ret_more = 0;
            return OK;
        }
        int error = begin_multibulk(scan, line);
        if (error != 0)
            return error;
    }
    while (scan->left > 0) {
        int error = take_bulk(scan, bytes, ret_more);
        if (error != 0 || *ret_more > 0)
            return error;
    }
    *ret_more = 0;
    return OK;
}

/* ------------------------------------------------------------------------------ Decoding. */

static size_t line_end(struct slice bytes, size_t at)
{
    const uint8_t *end = memchr(bytes.data + at, '\n', bytes.size - at);
    ASSERT(end != NULL);
    return (size_t)(end - bytes.data);
}

/* The scan has seen that all of this is there. */
static void decode_multibulk(struct slice bytes, struct arena *arena, struct resp_command *ret)
{
    size_t at = line_end(bytes, 0) + 1;
    uint32_t count = 0;
    int64_t declared = 0;
    size_t head = at - 1 > 1 && bytes.data[at - 2] == '\r' ? at - 2 : at - 1;
    ASSERT(resp_number(slice_of(bytes.data + 1, head - 1), &declared));
    ret->words = arena_alloc(arena, (size_t)MAX(declared, 1) * sizeof *ret->words);
    while (at < bytes.size) {
        size_t size = 0;
        size_t end = line_end(bytes, at);
        for (size_t i = at + 1; i < end && bytes.data[i] != '\r'; i++)
            size = size * 10 + (size_t)(bytes.data[i] - '0');
        ASSERT(count < declared && end + 1 + size + 2 <= bytes.size);
        ret->words[count++] = slice_of(bytes.data + end + 1, size);
        at = end + 1 + size + 2;
    }
    ret->count = count;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int hex_digit(uint8_t byte)
{
    byte = lower(byte);
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                                        : -1;
}

/* What stands behind a backslash in double quotes; returns how many bytes that took. */
static size_t unescape(struct slice line, size_t at, uint8_t *ret_byte)
{
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    uint8_t byte = line.data[at];
    if (byte == 'x' && at + 2 < line.size && hex_digit(line.data[at + 1]) >= 0 &&
        hex_digit(line.data[at + 2]) >= 0) {
        *ret_byte = (uint8_t)(hex_digit(line.data[at + 1]) * 16 + hex_digit(line.data[at + 2]));
        return 3;
    }
    const char *known = byte == 0 ? NULL : strchr(from, byte);
    *ret_byte = known == NULL ? byte : (uint8_t)to[known - from];
    return 1;
}

/* One word from AT on, as Redis' command line reads it. Returns where it ends, 0 for unbalanced
 * quotes: a word in quotes ends at its quote, which a space or the line's end must follow. */
static size_t take_word(struct slice line, size_t at, uint8_t *room, size_t *ret_size)
{
    uint8_t quote = 0;
    size_t size = 0;
    for (; at < line.size; at++) {
        uint8_t byte = line.data[at];
        if (quote != 0 && byte == quote) {
            *ret_size = size;
            return at + 1 == line.size || is_space(line.data[at + 1]) ? at + 1 : 0;
        }
        if (quote == '"' && byte == '\\' && at + 1 < line.size)
            at += unescape(line, at + 1, &room[size++]);
        else if (quote == '\'' && byte == '\\' && at + 1 < line.size && line.data[at + 1] == '\'')
            room[size++] = line.data[++at];
        else if (quote == 0 && (byte == '"' || byte == '\''))
            quote = byte;
        else if (quote == 0 && is_space(byte))
            break;
        else
            room[size++] = byte;
    }
    *ret_size = size;
    return quote == 0 ? at : 0;
}

static int decode_inline(struct slice line, struct arena *arena, struct resp_command *ret)
{
    ret->words = arena_alloc(arena, (line.size / 2 + 1) * sizeof *ret->words);
    uint8_t *room = arena_alloc(arena, line.size + 1);
    size_t at = 0;
    for (;;) {
        while (at < line.size && is_space(line.data[at]))
            at++;
        if (at >= line.size)
            return OK;
        size_t size = 0;
        at = take_word(line, at, room, &size);
        if (at == 0)
            return ERR_CORRUPT;
        ret->words[ret->count++] = slice_of(room, size);
        room += size;
    }
}

int resp_decode(struct slice command, struct arena *arena, struct resp_command *ret_command)
{
    *ret_command = (struct resp_command){0};
    if (command.data[0] != '*')
        return decode_inline(command, arena, ret_command);
    decode_multibulk(command, arena, ret_command);
    return OK;
}
