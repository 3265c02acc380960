/** core/cpu/direct.h: convolution without oneDNN, for few channels: the products are those of a GEMM whose left matrix
 * is read straight from the (padded) image, so nothing is unfolded. Forward and input gradient are the same kernel, see
 * egi_direct_pass. */
#ifndef EGI_CPU_DIRECT_H
#define EGI_CPU_DIRECT_H

#include "core/cpu/cpu.h"
#include "core/ops/conv2d.h"

#define EGI_LANES         8
#define EGI_DIRECT_PASSES 16 /* of one convolution: one a phase of the stride */

/** Eight floats; `egi_vec_at` is the same anywhere in memory. The compiler splits them where the processor has narrower
 * registers. */
typedef float egi_vec __attribute__((vector_size(32)));
typedef float egi_vec_at __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t egi_ivec __attribute__((vector_size(32)));

/** A stretch of the padded image whose `count` floats meet as many consecutive rows of the weights. */
typedef struct egi_direct_run {
    int32_t at, count;
} egi_direct_run;

/** y[i, j] = sum over runs of image[in + i in_row + j in_col + run] * weights, for rows x cols output pixels, in
 * floats. The forward convolution is one pass; the input gradient is one for each phase of the stride. */
typedef struct egi_direct_pass {
    int64_t rows, cols, in, in_row, in_col, out, out_row, out_col;
    const egi_direct_run *runs;
    int n_runs;
    int64_t weights; /* first row of the packed weights */
} egi_direct_pass;

/** The image of one sample, with zeros around: (h, w, c) is copied to (top, left) of (ph, pw, c). */
typedef struct egi_direct_frame {
    int64_t h, w, c, top, left, ph, pw;
} egi_direct_frame;

/** Must `frame` be copied, or can the sample be read where it is? */
static inline bool egi_direct_copies(const egi_direct_frame *f)
{
    return f->top || f->left || f->ph > f->h || f->pw > f->w;
}

/** Floats of one thread's copy, a multiple of 16. */
static inline int64_t egi_direct_frame_size(const egi_direct_frame *f)
{
    return (f->ph * f->pw * f->c + 15) / 16 * 16;
}

/** Copies the inside; the border stays as egi_direct_frame_clear() left it. */
void egi_direct_frame_fill(const egi_direct_frame *f, const float *x, float *copy);
void egi_direct_frame_clear(const egi_direct_frame *f, float *copy);

/** Can the direct kernels serve this convolution at all? */
bool egi_direct_suits(const egi_conv_dims *d, const egi_conv_geometry *g);

/** How many parts a sample is cut into, so that `threads` have work. */
static inline int egi_direct_parts(int64_t samples, int threads)
{
    return samples >= 4 * threads || samples % threads == 0 || samples == 0 ? 1 : threads;
}

#endif
