/** core/cpu/direct.h: convolution without oneDNN, for few channels: the products are those of a GEMM whose left matrix
 * is read straight from the (padded) image, so nothing is unfolded. Forward and input gradient are the same kernel, see
 * egi_direct_pass. */
#ifndef EGI_CPU_DIRECT_H
#define EGI_CPU_DIRECT_H

#include "core/cpu/lanes.h"
#include "core/cpu/parallel.h"
#include "core/ops/conv2d.h"

#define EGI_DIRECT_DOTS   3  /* columns of a group in that layout */
#define EGI_DIRECT_PASSES 16 /* of one convolution: one a phase of the stride */

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

/** The next multiple of `unit`: parts of the scratch begin at 16 floats, channels fill whole vectors. */
static inline int64_t egi_round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/** Floats of one thread's copy, a multiple of 16. */
static inline int64_t egi_direct_frame_size(const egi_direct_frame *f)
{
    return egi_round_up(f->ph * f->pw * f->c, 16);
}

/** The frame that a convolution reads. */
egi_direct_frame egi_direct_frame_of(const egi_conv_dims *s, const egi_conv_geometry *g);

/** Copies the inside; the border stays as egi_direct_frame_clear() left it. */
void egi_direct_frame_fill(const egi_direct_frame *f, const float *x, float *copy);
void egi_direct_frame_clear(const egi_direct_frame *f, float *copy);

/** How the kernels read the weights, which are (rows, out): a row an input of the sums. */
typedef enum egi_direct_layout {
    EGI_DIRECT_PLAIN,  /* as they are: at most two whole vectors in a row */
    EGI_DIRECT_BLOCKS, /* blocks of two vectors of columns, each (rows, 16); the last may be (rows, 8); zeros at the end
                        */
    EGI_DIRECT_BY_ROWS /* groups of three columns, each (rows / 8, 3, 8): vectors along the rows, summed up at the end
                        */
} egi_direct_layout;

/** A prepared convolution: forward, or towards the input. */
typedef struct egi_direct {
    egi_direct_frame frame;
    egi_direct_pass passes[EGI_DIRECT_PASSES];
    int n_passes;
    egi_direct_run *runs;
    int32_t *taps;           /* rows [i in, (i + 1) in) belong to kernel position taps[i] */
    int64_t n_taps, in, out; /* in, out: channels that are read and written */
    egi_direct_layout layout;
    bool transposed;                /* the kernel is (positions, out, in) */
    int64_t samples, y_size, chunk; /* chunk: pixels that are done for all channels before the next ones */
    int parts;
    const egi_tensor *x; /* its address may change from run to run */
    const float *w, *b, *r;
    float *y;
    egi_act act;
    float alpha;
    /* Max pooling behind the forward convolution, or NULL. Then y and index are its output, and towards the input x is
     * that output's gradient. */
    const egi_conv_pool *pool;
    uint8_t *index;
    int64_t pooled[2], band; /* its rows and columns, and how many rows are made at a time */
    bool padded;             /* pixels of the output have room for whole vectors */
    bool spreads;            /* towards the input, with pooling */
    float *kept;             /* packed weights that outlive a run, or NULL: they begin the scratch */
    int64_t version;
    int64_t packed_size, bias_at, frames_at; /* floats; the places are in the scratch */
    int64_t bands_at, band_size;             /* with pooling, a thread's output rows */
} egi_direct;

/** Runs a kernel whose state is an egi_direct; the second: with pooling. */
eg_status egi_direct_run_kernel(const egi_kernel *kernel, const egi_control *control);
eg_status egi_direct_run_pooled(const egi_kernel *kernel, const egi_control *control);

/** What the pieces of one run share. */
typedef struct egi_direct_job {
    const egi_direct *d;
    const float *w, *bias;
    float *scratch;
    int64_t units, pieces; /* samples, or parts of them, cut into pieces */
} egi_direct_job;
egi_direct_job egi_direct_job_of(const egi_kernel *kernel, const egi_control *control);

/** A thread's frame, with its border, before its first sample; and a sample as the kernels read it. */
float *egi_direct_frame_open(const egi_direct_job *job, int thread);
const float *egi_direct_image(const egi_direct_job *job, int64_t sample, float *frame);

/** `rows` output rows of a pass. image, y: where the first of them reads and writes. */
void egi_direct_rows(const egi_direct_job *job, const egi_direct_pass *pass, const float *image, float *y,
                     int64_t rows);

/** Can the direct kernels serve this convolution at all? */
bool egi_direct_suits(const egi_conv_dims *d, const egi_conv_geometry *g);

/** The cheap activations, in registers; NaN comes through. */
static inline bool egi_direct_activates(egi_act act)
{
    return act == EGI_ACT_LINEAR || act == EGI_ACT_RELU || act == EGI_ACT_LEAKY_RELU;
}

static inline EGI_SIMD_BODY void egi_direct_activate(egi_vec *v, egi_act act, float alpha)
{
    const egi_ivec below = (egi_ivec)(*v < (egi_vec){0});
    if (act == EGI_ACT_RELU)
        *v = (egi_vec)((egi_ivec)*v & ~below);
    else if (act == EGI_ACT_LEAKY_RELU)
        *v = (egi_vec)(((egi_ivec)*v & ~below) | ((egi_ivec)(*v * alpha) & below));
}

/** How many parts a sample is cut into, so that `threads` have work. */
static inline int egi_direct_parts(int64_t samples, int threads)
{
    return samples >= 4 * threads || samples % threads == 0 || samples == 0 ? 1 : threads;
}

#endif
