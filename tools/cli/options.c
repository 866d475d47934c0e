/* The values of options: numbers, durations, sizes, consistencies. */
#include "cli/command.h"

#include <errno.h>
#include <stdlib.h>

const char *cli_text(const struct cli *cli, const char *name)
{
    const char *value = NULL;
    for (int i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].name, name) == 0) {
            value = cli->given[i].value;
        }
    }
    return value;
}

bool cli_given(const struct cli *cli, const char *name)
{
    for (int i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

const char *cli_text_at(const struct cli *cli, const char *name, int at)
{
    for (int i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].name, name) == 0 && at-- == 0) {
            return cli->given[i].value;
        }
    }
    return NULL;
}

/* The number at the start of TEXT; *RET_REST is what follows it. */
static bool parse_number(const char *text, double *ret_number, const char **ret_rest)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    *ret_number = strtod(text, &end);
    *ret_rest = end;
    return *ret_number >= 0 && *ret_number < 9e15;
}

int cli_number(const struct cli *cli, const char *name, uint64_t min, uint64_t max,
               uint64_t *ret_value)
{
    const char *text = cli_text(cli, name);
    if (text == NULL) {
        return 0;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
    if (!number || value < min || value > max) {
        return cli_usage(cli, "--%s %s: must be a number from %llu to %llu", name, text,
                         (unsigned long long)min, (unsigned long long)max);
    }
    *ret_value = value;
    return 0;
}

struct unit {
    const char *name;
    double factor;
};

static bool parse_unit(const char *text, const struct unit *units, size_t count, uint64_t *ret)
{
    double number = 0;
    const char *rest = NULL;
    if (!parse_number(text, &number, &rest)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(rest, units[i].name) == 0) {
            double value = number * units[i].factor;
            *ret = value < 9e18 ? (uint64_t)value : UINT64_MAX;
            return true;
        }
    }
    return false;
}

int cli_duration_ms(const struct cli *cli, const char *name, uint64_t *ret_ms)
{
    static const struct unit units[] = {
        {"", 1000},     {"ms", 1},      {"s", 1000},     {"m", 60000},
        {"min", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    const char *text = cli_text(cli, name);
    if (text == NULL || parse_unit(text, units, ARRAY_SIZE(units), ret_ms)) {
        return 0;
    }
    return cli_usage(cli, "--%s %s: must be a time such as 250ms, 30s, 5m, 12h or 7d", name, text);
}

int cli_size(const struct cli *cli, const char *name, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"", 1},         {"b", 1},       {"k", 0x1p10},   {"kb", 0x1p10},  {"kib", 0x1p10},
        {"m", 0x1p20},   {"mb", 0x1p20}, {"mib", 0x1p20}, {"g", 0x1p30},   {"gb", 0x1p30},
        {"gib", 0x1p30}, {"t", 0x1p40},  {"tb", 0x1p40},  {"tib", 0x1p40},
    };
    const char *text = cli_text(cli, name);
    if (text == NULL || parse_unit(text, units, ARRAY_SIZE(units), ret_bytes)) {
        return 0;
    }
    return cli_usage(cli, "--%s %s: must be a size such as 64K, 10MB or 1GiB", name, text);
}

int cli_consistency(const struct cli *cli, const char *name, uint8_t *ret_value)
{
    static const struct {
        const char *name;
        uint8_t value;
    } words[] = {{"one", 1}, {"quorum", KVR_QUORUM}, {"all", KVR_ALL}};
    const char *text = cli_text(cli, name);
    if (text == NULL) {
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(text, words[i].name) == 0) {
            *ret_value = words[i].value;
            return 0;
        }
    }
    if (text[0] >= '1' && text[0] <= '7' && text[1] == '\0') {
        *ret_value = (uint8_t)(text[0] - '0');
        return 0;
    }
    return cli_usage(cli, "--%s %s: must be one, quorum, all or a number from 1 to 7", name, text);
}
