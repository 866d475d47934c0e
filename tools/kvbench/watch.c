#include "kvbench/watch.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int watch_parse(const char *text, struct watch *watch)
{
    const char *at = text;
    while (*at != '\0') {
        char *end = NULL;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || pid > INT32_MAX || watch->pids_count == WATCH_PIDS_MAX)
            return ERR_BAD_REQUEST;
        watch->pids[watch->pids_count++] = (int)pid;
        if (*end != ',' && *end != '\0')
            return ERR_BAD_REQUEST;
        at = *end == ',' ? end + 1 : end;
    }
    return watch->pids_count > 0 ? 0 : ERR_BAD_REQUEST;
}

/* Fields 14 and 15 of /proc/PID/stat, counted behind the name, which may hold anything. */
static bool cpu_of(int pid, uint64_t *cpu_us)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    char line[1024] = {0};
    size_t size = fread(line, 1, sizeof(line) - 1, file);
    (void)fclose(file);
    line[size] = '\0';
    const char *rest = strrchr(line, ')');
    uint64_t user = 0;
    uint64_t system = 0;
    if (rest == NULL ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
               &system) != 2)
        return false;
    *cpu_us += (user + system) * (1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

static void memory_of(int pid, struct watch_sample *sample)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    char line[256];
    uint64_t kib = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kib) == 1)
            sample->rss_bytes += kib * 1024;
        else if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
            sample->anon_bytes += kib * 1024;
    }
    (void)fclose(file);
}

/* A partition's bytes are its device's too: count whole devices, which sysfs lists. */
static bool device_counts(const struct watch *watch, const char *name)
{
    if (watch->device[0] != '\0')
        return strcmp(watch->device, name) == 0;
    if (strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0 ||
        strncmp(name, "zram", 4) == 0)
        return false;
    char path[96];
    (void)snprintf(path, sizeof(path), "/sys/block/%.31s", name);
    return access(path, F_OK) == 0;
}

static uint64_t device_bytes(const struct watch *watch)
{
    FILE *file = fopen("/proc/diskstats", "r");
    if (file == NULL)
        return 0;
    char line[512];
    uint64_t sum = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        char name[32];
        uint64_t sectors = 0;
        if (sscanf(line, "%*u %*u %31s %*u %*u %*u %*u %*u %*u %" SCNu64, name, &sectors) == 2 &&
            device_counts(watch, name))
            sum += sectors * 512;
    }
    (void)fclose(file);
    return sum;
}

void watch_take(const struct watch *watch, struct watch_sample *ret_sample)
{
    *ret_sample = (struct watch_sample){.device_bytes = device_bytes(watch)};
    for (uint32_t i = 0; i < watch->pids_count; i++) {
        if (!cpu_of(watch->pids[i], &ret_sample->cpu_us))
            ret_sample->missing++;
        memory_of(watch->pids[i], ret_sample);
    }
}
