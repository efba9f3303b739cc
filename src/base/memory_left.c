/* What the kernel lets this process have: of the host, and of the memory cgroups it is in (a batch job's, a container's). */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cnnbn/memory.h"

/* The value behind a word in a file of "word value" lines (/proc/meminfo, memory.stat), times `unit`; 0 without it. The last one
 * counts: cgroup v1 gives the hierarchy's behind the group's own. */
static size_t value_of(const char *path, const char *word, size_t unit)
{
    FILE *file = fopen(path, "re");
    char line[256];
    size_t found = 0, n = strlen(word);
    while (file && fgets(line, sizeof line, file)) {
        const char *at = strncmp(line, "total_", 6) == 0 ? line + 6 : line;
        unsigned long long value = 0;
        if (strncmp(at, word, n) == 0 && sscanf(at + n, "%llu", &value) == 1) found = (size_t)value * unit;
    }
    if (file) (void)fclose(file);
    return found;
}

/* A file of one number; 0 where there is none, or "max". */
static size_t number_in(const char *folder, const char *name)
{
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return value_of(path, "", 1);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One group. The cache of files that it is charged with goes when memory is wanted. */
static void look_at_group(const char *folder, int is_v2, cnnbn_memory_left *left)
{
    char stat[1200];
    size_t limit = number_in(folder, is_v2 ? "memory.max" : "memory.limit_in_bytes");
    size_t used = number_in(folder, is_v2 ? "memory.current" : "memory.usage_in_bytes");
    if (limit == 0) return;
    (void)snprintf(stat, sizeof stat, "%s/memory.stat", folder);
    size_t cache = value_of(stat, "inactive_file ", 1) + value_of(stat, "active_file ", 1);
    used -= smaller(cache, used);
    left->limit_bytes = smaller(left->limit_bytes, limit);
    left->available_bytes = smaller(left->available_bytes, limit - smaller(used, limit));
}

/* "0::/path" is version 2, "4:memory:/path" version 1. A limit of any group above counts. */
static void look_at_groups(cnnbn_memory_left *left)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[1024], folder[1100];
    while (file && fgets(line, sizeof line, file)) {
        int is_v2 = strncmp(line, "0::/", 4) == 0;
        const char *path = is_v2 ? line + 3 : strstr(line, ":memory:/");
        if (!path) continue;
        line[strcspn(line, "\n")] = '\0';
        const char *mount = is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
        int n = snprintf(folder, sizeof folder, "%s%s", mount, is_v2 ? path : path + strlen(":memory:"));
        if (n < 0 || (size_t)n >= sizeof folder) continue;
        for (char *slash; strlen(folder) >= strlen(mount) && (slash = strrchr(folder, '/')); *slash = '\0')
            look_at_group(folder, is_v2, left);
    }
    if (file) (void)fclose(file);
}

cnnbn_memory_left cnnbn_get_memory_left(void)
{
    const size_t kilo = 1024;
    size_t swap = value_of("/proc/meminfo", "SwapFree:", kilo), total = value_of("/proc/meminfo", "MemTotal:", kilo);
    size_t available = value_of("/proc/meminfo", "MemAvailable:", kilo);
    cnnbn_memory_left left = {available ? available + swap : SIZE_MAX, total ? total + swap : SIZE_MAX};
    look_at_groups(&left);
    return left;
}
