/** bench/dnnl_best.h: what oneDNN itself needs for a convolution or a dense layer when it may choose every layout. */
#ifndef BENCH_DNNL_BEST_H
#define BENCH_DNNL_BEST_H

#include <stdint.h>

typedef enum best_direction { BEST_FORWARD, BEST_DX, BEST_DW } best_direction;

/** A layer: images (n, h, w, c), f filters of kh x kw. A dense layer is h = w = kh = kw = 1 with `dense` set. */
typedef struct best_layer {
    int64_t n, h, w, c, f, kh, kw, stride, oh, ow, pad[2], pad_after[2];
    int dense;
} best_layer;

/** Seconds, medians of `rounds`. */
typedef struct best_seconds {
    double alone;         /* the primitive, everything already in the layouts it asked for */
    double with_reorders; /* and its inputs from, its outputs to NHWC, (in, out) and (kh, kw, in, out) */
} best_seconds;

/** Returns 0, or oneDNN's status. */
int best_measure(const best_layer *layer, best_direction direction, int rounds, best_seconds *out);

#endif
