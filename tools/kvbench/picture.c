#include "kvbench/picture.h"

#include "base/error.h"

#include <math.h>
#include <stdio.h>

/* All in pixels. */
enum { WIDTH = 960, HEIGHT = 600, LEFT = 80, RIGHT = 130, TOP = 50, GAP = 60, BOTTOM = 50 };
enum { PANEL_WIDTH = WIDTH - LEFT - RIGHT, PANEL_HEIGHT = (HEIGHT - TOP - GAP - BOTTOM) / 2 };

/* One diagram: values of Y between `low` and `high`, which lie a step or a decade apart. */
struct panel {
    double top;
    double seconds;
    double low;
    double high;
    double step; /* 0: logarithmic. */
};

struct line {
    const char *name;
    const char *colour;
    double (*value)(const struct timeline_point *point);
};

static double per_second(const struct timeline_point *point)
{
    return (double)point->done / (point->to - point->from);
}

static double failures(const struct timeline_point *point)
{
    return (double)point->failed / (point->to - point->from);
}

static double us_at(const struct timeline_point *point, double share)
{
    return (double)histogram_at(&point->latency, share) / 1000;
}

static double p50(const struct timeline_point *point)
{
    return us_at(point, 0.5);
}

static double p99(const struct timeline_point *point)
{
    return us_at(point, 0.99);
}

static double p999(const struct timeline_point *point)
{
    return us_at(point, 0.999);
}

static double longest(const struct timeline_point *point)
{
    return us_at(point, 1);
}

/* Colours that people of all kinds of sight tell apart (Okabe and Ito 2008). */
static const struct line rates[] = {
    {"done", "#0072b2", per_second},
    {"failed", "#d55e00", failures},
};
static const struct line latencies[] = {
    {"p50", "#009e73", p50},
    {"p99", "#0072b2", p99},
    {"p99.9", "#e69f00", p999},
    {"max", "#d55e00", longest},
};

/* ----------------------------------------------------------------------------------- Scales. */

/* The next of 1, 2, 5, 10, 20, 50, ... */
static double round_step(double step)
{
    double decade = pow(10, floor(log10(step)));
    double times = step / decade;
    return decade * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

static double x_of(const struct panel *panel, double seconds)
{
    return LEFT + PANEL_WIDTH * seconds / panel->seconds;
}

static double y_of(const struct panel *panel, double value)
{
    double share = panel->step > 0 ? (value - panel->low) / (panel->high - panel->low)
                                   : log10(fmax(value, panel->low) / panel->low) /
                                         log10(panel->high / panel->low);
    return panel->top + PANEL_HEIGHT * (1 - share);
}

/* The highest and the lowest value above 0 of all LINES. */
static void extremes(const struct timeline *timeline, const struct line *lines, size_t count,
                     double *ret_low, double *ret_high)
{
    *ret_low = INFINITY;
    *ret_high = 0;
    for (size_t i = 0; i < count; i++)
        for (uint32_t at = 0; at < timeline->count; at++) {
            double value = lines[i].value(&timeline->points[at]);
            *ret_high = fmax(*ret_high, value);
            *ret_low = value > 0 ? fmin(*ret_low, value) : *ret_low;
        }
    if (*ret_high == 0)
        *ret_low = *ret_high = 1;
}

static struct panel panel_of(const struct timeline *timeline, const struct line *lines,
                             size_t count, uint32_t place)
{
    double low;
    double high;
    extremes(timeline, lines, count, &low, &high);
    struct panel panel = {.top = TOP + (double)place * (PANEL_HEIGHT + GAP),
                          .seconds = timeline->points[timeline->count - 1].to};
    if (place == 0) {
        panel.step = round_step(high / 5);
        panel.high = panel.step * ceil(high / panel.step);
    } else {
        panel.low = pow(10, floor(log10(low)));
        panel.high = fmax(pow(10, ceil(log10(high))), panel.low * 10);
    }
    return panel;
}

/* ----------------------------------------------------------------------------------- Drawing. */

static void number(FILE *to, double x, double y, const char *anchor, double value)
{
    const char *unit = value >= 1e6 ? "M" : value >= 1e3 ? "k" : "";
    double scale = value >= 1e6 ? 1e6 : value >= 1e3 ? 1e3 : 1;
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%g%s</text>\n", x, y, anchor,
            value / scale, unit);
}

static void grid(FILE *to, const struct panel *panel, const char *title)
{
    double step = round_step(panel->seconds / 10);
    double bottom = panel->top + PANEL_HEIGHT;
    fprintf(to, "<text x=\"%d\" y=\"%.1f\" class=\"title\">%s</text>\n", LEFT, panel->top - 10,
            title);
    for (double at = 0; at <= panel->seconds * 1.0001; at += step) {
        fprintf(to, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>\n", x_of(panel, at), panel->top,
                bottom);
        number(to, x_of(panel, at), bottom + 16, "middle", at);
    }
    for (double at = panel->low; at <= panel->high * 1.0001;
         at = panel->step > 0 ? at + panel->step : at * 10) {
        fprintf(to, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", LEFT, y_of(panel, at),
                LEFT + PANEL_WIDTH);
        number(to, LEFT - 6, y_of(panel, at) + 4, "end", at);
    }
}

static void draw(FILE *to, const struct panel *panel, const struct timeline *timeline,
                 const struct line *line, size_t place)
{
    fprintf(to, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" d=\"", line->colour);
    for (uint32_t i = 0; i < timeline->count; i++) {
        const struct timeline_point *point = &timeline->points[i];
        double y = y_of(panel, line->value(point));
        fprintf(to, "%c%.1f %.1fH%.1f", i == 0 ? 'M' : 'L', x_of(panel, point->from), y,
                x_of(panel, point->to));
    }
    double y = panel->top + 12 + 18 * (double)place;
    fprintf(to, "\"/>\n<path stroke=\"%s\" stroke-width=\"3\" d=\"M%d %.1fh16\"/>", line->colour,
            WIDTH - RIGHT + 14, y - 4);
    fprintf(to, "<text x=\"%d\" y=\"%.1f\">%s</text>\n", WIDTH - RIGHT + 36, y, line->name);
}

static void draw_panel(FILE *to, const struct timeline *timeline, const struct line *lines,
                       size_t count, uint32_t place, const char *title)
{
    struct panel panel = panel_of(timeline, lines, count, place);
    grid(to, &panel, title);
    for (size_t i = 0; i < count; i++)
        draw(to, &panel, timeline, &lines[i], i);
}

static void draw_all(FILE *to, const struct timeline *timeline)
{
    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n"
            "<style>text{font:12px sans-serif;fill:#333}.title{font-weight:bold}"
            ".grid{stroke:#ddd;fill:none}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    if (timeline->count > 0) {
        draw_panel(to, timeline, rates, ARRAY_SIZE(rates), 0, "operations a second");
        draw_panel(to, timeline, latencies, ARRAY_SIZE(latencies), 1, "latency, microseconds");
    }
    fprintf(
        to,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">seconds since the start</text>\n</svg>\n",
        LEFT + PANEL_WIDTH / 2, HEIGHT - 12);
}

int picture_save(const struct timeline *timeline, const char *path)
{
    FILE *to = fopen(path, "w");
    if (to == NULL)
        return ERR_IO;
    draw_all(to, timeline);
    bool good = ferror(to) == 0;
    return fclose(to) == 0 && good ? 0 : ERR_IO;
}
