#include "core/context.h"

#include "core/device.h"
#include "core/mirror.h"
#include "core/team.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *default_alloc(void *user, size_t bytes)
{
    (void)user;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void default_release(void *user, void *block)
{
    (void)user;
    free(block);
}

/* cgroup v2 (cpu.max: "quota period") and v1; 0 when there is no limit. */
static int cgroup_cpus(void)
{
    long long quota = -1, period = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (file) {
        if (fscanf(file, "%lld %lld", &quota, &period) != 2)
            quota = -1;
        fclose(file);
    }
    if (quota <= 0 || period <= 0)
        return 0;
    return (int)((quota + period - 1) / period);
}

/* One number of a file of the kernel's; -1: there is none ("max"). */
static int64_t read_number(const char *path)
{
    long long n = -1;
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    if (fscanf(file, "%lld", &n) != 1)
        n = -1;
    fclose(file);
    return n;
}

/* What the container may still take: cgroup v2, else v1, whose "no limit" is a number near 2^63. */
static int64_t cgroup_memory(void)
{
    int64_t limit = read_number("/sys/fs/cgroup/memory.max"), used = read_number("/sys/fs/cgroup/memory.current");
    if (limit < 0) {
        limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
        used = read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes");
    }
    if (limit < 0 || used < 0)
        return INT64_MAX;
    return limit > used ? limit - used : 0;
}

double egi_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t egi_available_memory(void)
{
    const int64_t quota = cgroup_memory();
    char line[128];
    long long kilobytes = -1;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && kilobytes < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lld kB", &kilobytes) != 1)
            kilobytes = -1;
    if (file)
        fclose(file);
    const int64_t free_bytes = kilobytes < 0 ? INT64_MAX : kilobytes * 1024;
    return free_bytes < quota ? free_bytes : quota;
}

static int available_threads(void)
{
    cpu_set_t set;
    int n = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    const int quota = cgroup_cpus();
    return quota > 0 && quota < n ? quota : n;
}

/* "cuda", "cuda:1". */
static bool names_device(const char *name, const egi_device_type *type, int *index)
{
    const size_t n = strlen(type->name);
    char *end;
    *index = 0;
    if (strncmp(name, type->name, n) != 0 || (name[n] != 0 && name[n] != ':'))
        return false;
    if (name[n] == 0)
        return true;
    const long k = strtol(name + n + 1, &end, 10);
    *index = (int)k;
    return name[n + 1] >= '0' && name[n + 1] <= '9' && *end == 0 && k <= 1023;
}

/* Makes a device the context's, unless it is already; what was there before stays whole where that fails. */
static eg_status take(eg_context *c, const egi_device_type *type, int index)
{
    egi_device *before = c->device, *device;
    if (before && before->type == type && index == 0)
        return EG_OK;
    EG_TRY(type->create(&device, c, index));
    c->device = device;
    if (before)
        before->type->destroy(before);
    return EG_OK;
}

/* The devices in order: why one cannot be had goes into the description, and the next one is tried; the last must work.
 */
static eg_status create_any(eg_context *c, const egi_device_type *const *types)
{
    for (; types[1]; types++) {
        if (take(c, *types, 0) == EG_OK)
            return EG_OK;
        snprintf(c->passed_over, sizeof c->passed_over, "; %s", eg_last_message());
    }
    return take(c, *types, 0);
}

static eg_status create_device(eg_context *c, const egi_device_type *const *types, const char *name)
{
    char names[64] = "auto";
    int index;
    if (!name || strcmp(name, "auto") == 0)
        return create_any(c, types);
    if (strcmp(name, "configured") == 0)
        name = "cpu";
    for (; *types; types++) {
        if (names_device(name, *types, &index))
            return take(c, *types, index);
        snprintf(names + strlen(names), sizeof names - strlen(names), types[1] ? ", %s" : " or %s", (*types)->name);
    }
    return egi_fail(EG_ERR_DEVICE, "run.device: wanted %s, found '%.80s'", names, name);
}

eg_status egi_context_create(eg_context **out, const eg_context_options *options, const egi_device_type *const *types)
{
    const eg_context_options defaults = EG_CONTEXT_OPTIONS_INIT;
    const eg_context_options *o = options ? options : &defaults;
    if (!out || o->struct_size != sizeof *o)
        return egi_fail(EG_ERR_ARG, "context: out is NULL or the options were made for another version");
    if (o->threads < 0 || o->threads > 1024)
        return egi_fail(EG_ERR_ARG, "run.threads: wanted 0 (automatic) to 1024, found %d", o->threads);
    const eg_allocator allocator =
        o->allocator ? *o->allocator : (eg_allocator){.alloc = default_alloc, .release = default_release};
    eg_context *c = allocator.alloc(allocator.user, sizeof *c);
    if (!c)
        return egi_fail(EG_ERR_NOMEM, "context: no memory");
    *c = (eg_context){.allocator = allocator, .seed = o->seed, .log = o->log, .log_user = o->log_user};
    c->threads = o->threads ? o->threads : available_threads();
    c->types = types;
    c->undecided = o->device && strcmp(o->device, "configured") == 0;
    eg_status status = create_device(c, types, o->device);
    if (status == EG_OK)
        status = egi_context_set_threads(c, c->threads);
    if (status != EG_OK) {
        if (c->device)
            c->device->type->destroy(c->device);
        allocator.release(allocator.user, c);
        return status;
    }
    *out = c;
    return EG_OK;
}

eg_status egi_context_set_device(eg_context *c, const char *name)
{
    int index;
    if (!c->undecided) {
        if (strcmp(name, "auto") == 0 || names_device(name, c->device->type, &index))
            return EG_OK;
        return egi_fail(EG_ERR_DEVICE, "run.device: wanted %s, found '%.80s'", c->device->type->name, name);
    }
    if (c->mirrors)
        return egi_fail(EG_ERR_STATE, "run.device: something was made on %s already", c->device->type->name);
    EG_TRY(create_device(c, c->types, name));
    c->undecided = false;
    return egi_context_set_threads(c, c->threads);
}

const char *egi_precision_name(egi_precision precision)
{
    static const char *const names[] = {"f32", "tf32", "bf16"};
    return names[precision];
}

eg_status egi_context_set_precision(eg_context *c, egi_precision precision)
{
    if (precision > c->device->precision_most)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: finetune.precision=%s on this device (%s); cuda has it on GPUs of compute "
                        "capability 8.0 and later",
                        egi_precision_name(precision), c->device->type->name);
    c->precision = precision;
    return EG_OK;
}

eg_status egi_context_set_threads(eg_context *c, int threads)
{
    if (!c->team || threads != c->threads) {
        egi_team *team;
        EG_TRY(egi_team_create(&team, c, threads));
        egi_team_free(c->team);
        c->team = team;
    }
    c->threads = threads;
    snprintf(c->description, sizeof c->description, "%s, %d thread%s, %s%s", c->device->type->name, threads,
             threads == 1 ? "" : "s", c->device->description, c->passed_over);
    return EG_OK;
}

void eg_context_free(eg_context *c)
{
    if (!c)
        return;
    c->device->type->destroy(c->device);
    egi_team_free(c->team);
    c->allocator.release(c->allocator.user, c);
}

const char *eg_context_device(const eg_context *c)
{
    return c->device->type->name;
}

int eg_context_threads(const eg_context *c)
{
    return c->threads;
}

const char *eg_context_describe(const eg_context *c)
{
    return c->description;
}

eg_status egi_alloc(void *out, eg_context *c, int64_t count, size_t size)
{
    size_t bytes;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) || bytes > SIZE_MAX / 2)
        return egi_fail(EG_ERR_NOMEM, "no memory: %lld elements of %zu bytes", (long long)count, size);
    void *block = c->allocator.alloc(c->allocator.user, bytes ? bytes : 1);
    if (!block)
        return egi_fail(EG_ERR_NOMEM, "no memory: %zu bytes wanted", bytes);
    memset(block, 0, bytes);
    c->live_blocks++;
    c->total_blocks++;
    memcpy(out, &block, sizeof block);
    return EG_OK;
}

eg_status egi_grow(void *block, eg_context *c, int64_t old_count, int64_t count, size_t size)
{
    void *old, *bigger = NULL;
    memcpy(&old, block, sizeof old);
    EG_TRY(egi_alloc(&bigger, c, count, size));
    if (old)
        memcpy(bigger, old, (size_t)(old_count < count ? old_count : count) * size);
    egi_free(c, old);
    memcpy(block, &bigger, sizeof bigger);
    return EG_OK;
}

eg_status egi_reserve(eg_context *c, void *array, int64_t count, int64_t *capacity, size_t size)
{
    if (count < *capacity)
        return EG_OK;
    const int64_t bigger = *capacity ? *capacity * 2 : 8;
    EG_TRY(egi_grow(array, c, *capacity, bigger, size));
    *capacity = bigger;
    return EG_OK;
}

void egi_free(eg_context *c, void *block)
{
    if (!block)
        return;
    if (c->mirrors)
        egi_mirror_drop(c, block);
    c->live_blocks--;
    c->allocator.release(c->allocator.user, block);
}

eg_status egi_strdup(char **out, eg_context *c, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = NULL;
    EG_TRY(egi_alloc(&copy, c, (int64_t)bytes, 1));
    memcpy(copy, text, bytes);
    *out = copy;
    return EG_OK;
}

eg_status egi_format(char **out, eg_context *c, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = NULL;
    eg_status status = n < 0 ? egi_fail(EG_ERR_INTERNAL, "bad format '%s'", format) : egi_alloc(&text, c, n + 1, 1);
    if (status == EG_OK) {
        vsnprintf(text, (size_t)n + 1, format, again);
        *out = text;
    }
    va_end(again);
    return status;
}

void egi_log(const eg_context *c, eg_log_level level, const char *format, ...)
{
    if (!c->log)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->log(c->log_user, level, line);
}
