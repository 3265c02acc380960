#include "core/cpu/finish.h"

#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"

/* Given the fused kinds as constants, and what there is to add, each loop is vectorised. */
static inline EGI_SIMD_BODY void loop(egi_act act, float alpha, float *y, const float *b, const float *r, int64_t n)
{
    if (b && r) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = egi_v_act(act, alpha, -1, 0, y[j] + b[j] + r[j]);
    } else if (b) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = egi_v_act(act, alpha, -1, 0, y[j] + b[j]);
    } else if (r) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = egi_v_act(act, alpha, -1, 0, y[j] + r[j]);
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = egi_v_act(act, alpha, -1, 0, y[j]);
    }
}

static inline EGI_SIMD_BODY void finish_rows_body(float *y, int64_t step, int64_t rows, int64_t n,
                                                  const egi_finish *finish)
{
    const egi_finish f = *finish;
    switch (f.act) {
#define KIND(name)                                                                            \
    case EGI_ACT_##name:                                                                      \
        for (int64_t i = 0; i < rows; i++)                                                    \
            loop(EGI_ACT_##name, f.alpha, y + i * step, f.b, f.r ? f.r + i * step : NULL, n); \
        break;
        EGI_V_FUSED(KIND)
#undef KIND
    default:
        break;
    }
}
EGI_SIMD(finish_rows, (float *y, int64_t step, int64_t rows, int64_t n, const egi_finish *finish),
         (y, step, rows, n, finish))

void egi_cpu_finish_block(float *y, int64_t step, int64_t rows, int64_t n, const egi_finish *finish)
{
    const bool whole = !finish->b && step == n; /* rows are one long one */
    if (egi_cpu_finishes(finish))
        finish_rows(y, step, whole ? 1 : rows, whole ? rows * n : n, finish);
}

typedef struct finishing {
    float *y;
    const egi_finish *finish;
    int64_t rows, n, pieces;
} finishing;

static void finish_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const finishing *f = arg;
    egi_finish part = *f->finish;
    int64_t from, to;
    egi_team_share(f->rows, 1, piece, f->pieces, &from, &to);
    if (part.r)
        part.r += from * f->n;
    egi_cpu_finish_block(f->y + from * f->n, f->n, to - from, f->n, &part);
}

void egi_cpu_finish(const egi_kernel *k, float *y, int64_t rows, int64_t n, const egi_finish *finish)
{
    finishing f = {.y = y, .finish = finish, .rows = rows, .n = n};
    f.pieces = egi_cpu_pieces(k, rows, n);
    if (egi_cpu_finishes(finish))
        egi_cpu_run(k, f.pieces, finish_piece, &f);
}
