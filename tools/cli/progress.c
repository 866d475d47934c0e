#include "cli/progress.h"

#include "cli/table.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    TERMINAL_US = 100 * 1000,
    LINES_US = 5 * 1000 * 1000,
    SILENT_US = 1000 * 1000,
    BAR_WIDTH = 24,
};

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void progress_start(struct progress *progress, const char *label, enum progress_unit unit,
                    uint64_t total)
{
    *progress = (struct progress){.label = label,
                                  .unit = unit,
                                  .total = total,
                                  .terminal = isatty(STDERR_FILENO) == 1,
                                  .start_us = clock_us()};
}

static void format_amount(enum progress_unit unit, double amount, char *text, size_t size)
{
    if (unit == PROGRESS_BYTES) {
        format_bytes((uint64_t)amount, text, size);
    } else {
        format_count(amount, text, size);
    }
}

/* "  50%  512/1024", or "  512" when the total is not known. */
static int format_done(const struct progress *progress, char *text, size_t size)
{
    char total[32];
    char done[32];
    if (progress->unit == PROGRESS_BYTES) {
        format_bytes(progress->done, done, sizeof(done));
        format_bytes(progress->total, total, sizeof(total));
    } else {
        snprintf(done, sizeof(done), "%llu", (unsigned long long)progress->done);
        snprintf(total, sizeof(total), "%llu", (unsigned long long)progress->total);
    }
    if (progress->total == 0) {
        return snprintf(text, size, "  %s", done);
    }
    double part = 100.0 * (double)progress->done / (double)progress->total;
    return snprintf(text, size, "  %3.0f%%  %s/%s", part, done, total);
}

static void format_line(const struct progress *progress, const char *note, char *text, size_t size)
{
    char rate[32];
    double seconds = progress_seconds(progress);
    double per_second = seconds > 0 ? (double)progress->done / seconds : 0;
    format_amount(progress->unit, per_second, rate, sizeof(rate));
    int used = format_done(progress, text, size);
    used += snprintf(text + used, size - (size_t)used, "  %s/s", rate);
    if (progress->total > progress->done && progress->done > 0) {
        char left[32];
        double left_s = (double)(progress->total - progress->done) / per_second;
        format_duration_ms((uint64_t)left_s * 1000 + 1000, left, sizeof(left));
        used += snprintf(text + used, size - (size_t)used, "  %s left", left);
    }
    if (note != NULL && note[0] != '\0') {
        snprintf(text + used, size - (size_t)used, "  %s", note);
    }
}

static int terminal_width(void)
{
    struct winsize window;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    return known ? window.ws_col : 80;
}

static void draw_bar(struct progress *progress, const char *line)
{
    char bar[BAR_WIDTH + 3] = "";
    if (progress->total > 0) {
        uint64_t done = MIN(progress->done, progress->total);
        size_t filled = (size_t)(done * BAR_WIDTH / progress->total);
        memset(bar + 1, '-', BAR_WIDTH);
        memset(bar + 1, '#', filled);
        bar[0] = '[';
        bar[BAR_WIDTH + 1] = ']';
    }
    char whole[512];
    snprintf(whole, sizeof(whole), "%s %s%s", progress->label, bar, line);
    /* A line that wraps could not be taken back. */
    fprintf(stderr, "\r\033[K%.*s", terminal_width() - 1, whole);
    fflush(stderr);
    progress->drawn = true;
}

void progress_set(struct progress *progress, uint64_t done, const char *note)
{
    uint64_t now_us = clock_us();
    progress->done = done;
    uint64_t pause_us = progress->terminal ? TERMINAL_US : LINES_US;
    if (now_us - progress->start_us < SILENT_US || now_us - progress->shown_us < pause_us) {
        return;
    }
    progress->shown_us = now_us;
    char line[384];
    format_line(progress, note, line, sizeof(line));
    if (progress->terminal) {
        draw_bar(progress, line);
    } else {
        fprintf(stderr, "%s%s\n", progress->label, line);
    }
}

void progress_total(struct progress *progress, uint64_t total)
{
    progress->total = total;
}

void progress_clear(struct progress *progress)
{
    if (progress->drawn) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        progress->drawn = false;
        progress->shown_us = 0;
    }
}

double progress_seconds(const struct progress *progress)
{
    return (double)(clock_us() - progress->start_us) / 1e6;
}
