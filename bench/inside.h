/** bench/inside.h: what the programs share that look at the inside of the library. */
#ifndef BENCH_INSIDE_H
#define BENCH_INSIDE_H

#include "core/context.h"

/** The median of `n` numbers, which are sorted. */
double bench_median(double *x, int n);

/** Runs `job` in a context on the cpu with BENCH_THREADS threads (default 2); says what failed. Returns main's result.
 */
int bench_run(eg_status (*job)(eg_context *context, int argc, char **argv), int argc, char **argv);

#endif
