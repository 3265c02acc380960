/* What this machine can do at best: multiply-adds in registers, and a stream through memory. Both are the best of
 * several short runs, since others may be using the machine. */
#include "core/cpu/parallel.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define CHAINS       12    /* enough independent multiply-adds to fill two units of latency 4 to 6 */
#define ROUNDS       20000 /* a run: some 100 us */
#define FLOPS_BUDGET 0.1   /* seconds */
#define BYTES_BUDGET 0.2
#define THREADS_MAX  1024 /* of a context */

/* What thread `part` does in a run; returns how much that was. */
typedef double (*run_part)(const void *task, int64_t part);

typedef struct race {
    run_part run;
    const void *task;
    double from, until; /* runs in this time count: all threads are at work */
    double best[THREADS_MAX];
} race;

static void race_alone(void *arg, int64_t part, int thread)
{
    (void)thread;
    race *r = arg;
    double best = 0, end;
    do {
        const double start = egi_clock(), work = r->run(r->task, part);
        end = egi_clock();
        if ((start >= r->from && end < r->until) || best == 0)
            best = fmax(best, work / (end - start + 1e-9));
    } while (end < r->until);
    r->best[part] = best;
}

/* The best rates of all threads, summed. */
static double best_rate(run_part run, const void *task, const eg_context *context, double budget)
{
    const double began = egi_clock();
    race r = {.run = run, .task = task, .from = began + budget / 10, .until = began + budget};
    egi_team_run(context->team, context->threads, context->threads, race_alone, &r);
    double sum = 0;
    for (int i = 0; i < context->threads; i++)
        sum += r.best[i];
    return sum;
}

/* --- multiply-adds ------------------------------------------------------------------------------------------------ */

/* n rounds of CHAINS multiply-adds of `width` floats; the result keeps the compiler from leaving them out. */
#define PEAK_KERNEL(name, target_, width)                                  \
    typedef float name##_vector __attribute__((vector_size(4 * (width)))); \
    target_ static float name(int64_t n)                                   \
    {                                                                      \
        name##_vector a[CHAINS], b, c;                                     \
        for (int i = 0; i < (width); i++) {                                \
            b[i] = 0.999F;                                                 \
            c[i] = 0.001F;                                                 \
            for (int k = 0; k < CHAINS; k++)                               \
                a[k][i] = (float)k;                                        \
        }                                                                  \
        for (int64_t r = 0; r < n; r++)                                    \
            for (int k = 0; k < CHAINS; k++)                               \
                a[k] = a[k] * b + c;                                       \
        float sum = 0;                                                     \
        for (int k = 0; k < CHAINS; k++)                                   \
            sum += a[k][0];                                                \
        return sum;                                                        \
    }
PEAK_KERNEL(multiply_base, , 4)
#if defined(__x86_64__)
PEAK_KERNEL(multiply_avx512, __attribute__((target("avx512f"))), 16)
PEAK_KERNEL(multiply_avx2, __attribute__((target("avx2,fma"))), 8)
#endif

typedef struct multiplier {
    float (*run)(int64_t rounds);
    int width;
} multiplier;

static multiplier choose_multiplier(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return (multiplier){multiply_avx512, 16};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (multiplier){multiply_avx2, 8};
#endif
    return (multiplier){multiply_base, 4};
}

static double run_multiplier(const void *task, int64_t part)
{
    (void)part;
    const multiplier *m = task;
    volatile float sink = m->run(ROUNDS);
    (void)sink;
    return 2.0 * CHAINS * m->width * ROUNDS;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* A limit of this process's group (cgroup v2), where it has one. */
static double memory_limit(void)
{
    unsigned long long limit = 0;
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "r");
    if (file) {
        if (fscanf(file, "%llu", &limit) != 1)
            limit = 0;
        fclose(file);
    }
    return limit > 0 ? (double)limit : INFINITY;
}

/* Bytes of both arrays together: four times the last cache, but no more than an eighth of the free memory. */
static int64_t stream_bytes(void)
{
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE), pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const double wanted = 4.0 * (double)(cache > 0 ? cache : 32L << 20);
    double most = fmin(memory_limit(), pages > 0 && page > 0 ? (double)pages * (double)page : 512e6) / 8;
    most = fmin(most, 1 << 30); /* more takes too long to touch */
    return (int64_t)fmax(fmin(fmax(wanted, 64 << 20), most), 1 << 20) / 4096 * 4096;
}

typedef struct stream {
    float *a, *b;
    int64_t n;
    int threads;
} stream;

/* a += s b: two reads and one write an element, and no line is read only to be overwritten. */
static double run_stream(const void *task, int64_t part)
{
    const stream *s = task;
    float *restrict a = s->a;
    const float *restrict b = s->b;
    int64_t begin, end;
    egi_team_share(s->n, 16, part, s->threads, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        a[i] += 0.5F * b[i];
    return 3.0 * sizeof *a * (double)(end - begin);
}

eg_status egi_cpu_peak(egi_device *device, egi_peak *out)
{
    const int64_t bytes = stream_bytes();
    const multiplier m = choose_multiplier();
    stream s = {.n = bytes / 2 / (int64_t)sizeof(float), .threads = device->context->threads};
    EG_TRY(egi_alloc(&s.a, device->context, bytes, 1));
    s.b = s.a + s.n;
    *out = (egi_peak){.flops = best_rate(run_multiplier, &m, device->context, FLOPS_BUDGET),
                      .bytes = best_rate(run_stream, &s, device->context, BYTES_BUDGET)};
    egi_free(device->context, s.a);
    return EG_OK;
}
