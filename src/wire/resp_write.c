/* Replies of RESP2 and RESP3. */
#include "wire/resp.h"

static void head(char type, int64_t number, struct buf *out)
{
    char text[24];
    size_t at = sizeof text;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    text[--at] = '\n';
    text[--at] = '\r';
    do
        text[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (number < 0)
        text[--at] = '-';
    text[--at] = type;
    buf_append(out, slice_of(text + at, sizeof text - at));
}

static void append_text(const char *text, struct buf *out)
{
    buf_append(out, slice_string(text));
}

void resp_status(const char *text, struct buf *out)
{
    buf_append_byte(out, '+');
    append_text(text, out);
    append_text("\r\n", out);
}

void resp_error(const char *word, struct slice text, struct buf *out)
{
    buf_append_byte(out, '-');
    append_text(word, out);
    buf_append_byte(out, ' ');
    for (size_t i = 0; i < text.size; i++)
        buf_append_byte(out, text.data[i] < ' ' ? ' ' : text.data[i]);
    append_text("\r\n", out);
}

void resp_integer(int64_t number, struct buf *out)
{
    head(':', number, out);
}

void resp_bulk(struct slice bytes, struct buf *out)
{
    head('$', (int64_t)bytes.size, out);
    buf_append(out, bytes);
    append_text("\r\n", out);
}

void resp_text(const char *text, struct buf *out)
{
    resp_bulk(slice_string(text), out);
}

void resp_null(enum resp_protocol protocol, struct buf *out)
{
    append_text(protocol == RESP3 ? "_\r\n" : "$-1\r\n", out);
}

void resp_null_array(enum resp_protocol protocol, struct buf *out)
{
    append_text(protocol == RESP3 ? "_\r\n" : "*-1\r\n", out);
}

void resp_array(uint32_t count, struct buf *out)
{
    head('*', count, out);
}

void resp_map(uint32_t count, enum resp_protocol protocol, struct buf *out)
{
    head(protocol == RESP3 ? '%' : '*', protocol == RESP3 ? count : (int64_t)count * 2, out);
}

void resp_verbatim(struct slice text, enum resp_protocol protocol, struct buf *out)
{
    if (protocol == RESP2) {
        resp_bulk(text, out);
        return;
    }
    head('=', (int64_t)text.size + 4, out);
    append_text("txt:", out);
    buf_append(out, text);
    append_text("\r\n", out);
}
