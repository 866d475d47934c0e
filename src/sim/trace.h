/* What happened in a world, line by line, and one hash over all of it.
 *
 * The hash is kept always and is the same with and without lines: two runs of one seed that differ
 * anywhere differ in it. Lines are formatted only when asked for, since they cost more than what
 * they describe; on a violation the world is run again with them. */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include "base/base.h"

enum { TRACE_LINES = 128, TRACE_LINE_SIZE = 400 };

struct trace {
    bool text;  /* Lines are wanted. */
    bool print; /* To standard output as they come. */
    uint64_t hash;
    uint64_t count;
    char (*lines)[TRACE_LINE_SIZE]; /* Owned ring of the last TRACE_LINES, with `text`. */
    /* Called with each line, may be NULL. */
    void (*line)(void *arg, const char *line);
    void *arg;
};

void trace_init(struct trace *trace, bool text, bool print);
void trace_done(struct trace *trace);
/* Take a fact into the hash. */
void trace_mix(struct trace *trace, uint64_t kind, uint64_t fact);
/* Only when trace->text; "[   12.345] " of virtual milliseconds comes first. */
void trace_line(struct trace *trace, uint64_t now_us, const char *format, ...) PRINTF_LIKE(3, 4);
/* Print the lines kept, oldest first, to standard output. */
void trace_dump(const struct trace *trace);

#endif
