#include "bench/inside.h"

#include "core/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return x[n / 2];
}

int bench_run(eg_status (*job)(eg_context *context, int argc, char **argv), int argc, char **argv)
{
    static const egi_device_type *const types[] = {&egi_device_cpu, NULL};
    const char *threads = getenv("BENCH_THREADS");
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.threads = threads ? atoi(threads) : 2;
    eg_context *c = NULL;
    eg_status s = egi_context_create(&c, &options, types);
    s = s ? s : job(c, argc, argv);
    if (s)
        fprintf(stderr, "error: %s\n", eg_last_message());
    eg_context_free(c);
    return s != EG_OK;
}
