#ifndef EGI_OP_DENSE_H
#define EGI_OP_DENSE_H

#include "core/act.h"
#include "core/op.h"

/** y = act(x w + b).  x: (n, in)  w: (in, out)  b: (out) or EGI_NONE  y: (n, out). Row-major; f32, f64.
 *  `act` is one of the kinds whose slope follows from the output. Gradient: dx = dz w', dw = x' dz, db = column sums of
 * dz, with dz = dy act'(y). */
typedef struct egi_dense {
    egi_val x, w, b, y;
    egi_act act;
    float alpha; /* of leaky_relu */
} egi_dense;

/** c = op(a) op(b) (+ c where `accumulate`).  op is the transpose where ta, tb.  op(a): (m, k)  op(b): (k, n)  c: (m,
 * n). */
typedef struct egi_gemm {
    egi_val a, b, c;
    bool ta, tb, accumulate;
} egi_gemm;

/** y_j = sum_i x_ij over all leading dimensions.  x: (..., c)  y: (c). */
typedef struct egi_column_sum {
    egi_val x, y;
} egi_column_sum;

/** f += (a^2)' (d^2): the squared per-sample gradients of a dense kernel, summed over samples.  a: (n, in)  d: (n, out)
 * f: (in, out). */
typedef struct egi_square_gemm {
    egi_val a, d, f;
} egi_square_gemm;

/** f_j += sum_n (sum_s x_nsj)^2: per-sample sums over the middle dimensions, squared, summed.  x: (n, ..., c)  f: (c).
 */
typedef struct egi_square_column_sum {
    egi_val x, f;
} egi_square_column_sum;

#endif
