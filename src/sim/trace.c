#include "sim/trace.h"

#include "base/checksum.h"

#include <stdarg.h>
#include <stdio.h>

void trace_init(struct trace *trace, bool text, bool print)
{
    *trace = (struct trace){.text = text, .print = print};
    if (text)
        trace->lines = mem_zero(TRACE_LINES * sizeof(*trace->lines));
}

void trace_done(struct trace *trace)
{
    mem_free(trace->lines);
    *trace = (struct trace){0};
}

void trace_mix(struct trace *trace, uint64_t kind, uint64_t fact)
{
    trace->hash = checksum_pair(trace->hash + kind, fact);
}

void trace_line(struct trace *trace, uint64_t now_us, const char *format, ...)
{
    ASSERT(trace->text);
    char *line = trace->lines[trace->count++ % TRACE_LINES];
    int head = snprintf(line, TRACE_LINE_SIZE, "[%5llu.%03llu] ", (unsigned long long)now_us / 1000,
                        (unsigned long long)now_us % 1000);
    va_list list;
    va_start(list, format);
    vsnprintf(line + head, (size_t)(TRACE_LINE_SIZE - head), format, list);
    va_end(list);
    if (trace->print)
        puts(line);
    if (trace->line != NULL)
        trace->line(trace->arg, line);
}

void trace_dump(const struct trace *trace)
{
    uint64_t first = trace->count > TRACE_LINES ? trace->count - TRACE_LINES : 0;
    for (uint64_t i = first; i < trace->count; i++)
        puts(trace->lines[i % TRACE_LINES]);
}
