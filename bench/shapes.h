/** bench/shapes.h: operations with shapes that occur: of LeNet, a dense network for MNIST, ResNet-50, MobileNet. */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H

#include "core/op.h"

typedef struct bench_job {
    const egi_op *op;
    egi_op_case k;
    const char *note; /* what its arguments say, or NULL */
} bench_job;

/** Ends with a job without `op`. */
extern const bench_job bench_jobs[];

#endif
