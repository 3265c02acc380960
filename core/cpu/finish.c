#include "core/cpu/finish.h"

#include "core/cpu/parallel.h"
#include "core/cpu/vector.h"

/* One loop a kind, so that each is vectorised. */
#define EACH_KIND(LOOP)               \
    do {                              \
        switch (act) {                \
        case EGI_ACT_RELU:            \
            LOOP(EGI_ACT_RELU);       \
            break;                    \
        case EGI_ACT_RELU6:           \
            LOOP(EGI_ACT_RELU6);      \
            break;                    \
        case EGI_ACT_SIGMOID:         \
            LOOP(EGI_ACT_SIGMOID);    \
            break;                    \
        case EGI_ACT_TANH:            \
            LOOP(EGI_ACT_TANH);       \
            break;                    \
        case EGI_ACT_LEAKY_RELU:      \
            LOOP(EGI_ACT_LEAKY_RELU); \
            break;                    \
        default:                      \
            LOOP(EGI_ACT_LINEAR);     \
        }                             \
    } while (0)

#define WITH_BIAS(kind)                           \
    for (int64_t i = 0; i < rows; i++, y += step) \
        for (int64_t j = 0; j < n; j++)           \
    y[j] = egi_v_act(kind, alpha, -1, 0, y[j] + b[j])

static inline EGI_SIMD_BODY void bias_rows_body(float *y, int64_t step, const float *b, int64_t rows, int64_t n,
                                                egi_act act, float alpha)
{
    EACH_KIND(WITH_BIAS);
}
EGI_SIMD(bias_rows, (float *y, int64_t step, const float *b, int64_t rows, int64_t n, egi_act act, float alpha),
         (y, step, b, rows, n, act, alpha))

#define PLAIN(kind)                 \
    for (int64_t i = 0; i < n; i++) \
    y[i] = egi_v_act(kind, alpha, -1, 0, y[i])

static inline EGI_SIMD_BODY void plain_body(float *y, int64_t n, egi_act act, float alpha)
{
    EACH_KIND(PLAIN);
}
EGI_SIMD(plain, (float *y, int64_t n, egi_act act, float alpha), (y, n, act, alpha))

void egi_cpu_activate_part(float *y, int64_t n, egi_act act, float alpha)
{
    if (act != EGI_ACT_LINEAR)
        plain(y, n, act, alpha);
}

void egi_cpu_finish_block(float *y, int64_t step, const float *b, int64_t rows, int64_t n, egi_act act, float alpha)
{
    if (b) {
        bias_rows(y, step, b, rows, n, act, alpha);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        egi_cpu_activate_part(y + i * step, n, act, alpha);
}

typedef struct finishing {
    float *y;
    const float *b;
    int64_t rows, n, pieces;
    egi_act act;
    float alpha;
} finishing;

static void finish_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const finishing *f = arg;
    int64_t from, to;
    egi_team_share(f->rows, 1, piece, f->pieces, &from, &to);
    egi_cpu_finish_block(f->y + from * f->n, f->n, f->b, to - from, f->n, f->act, f->alpha);
}

void egi_cpu_finish(const egi_kernel *k, float *y, const float *b, int64_t rows, int64_t n, egi_act act, float alpha)
{
    finishing f = {.y = y, .b = b, .rows = rows, .n = n, .act = act, .alpha = alpha};
    f.pieces = egi_cpu_pieces(k, rows, n);
    if (b || act != EGI_ACT_LINEAR)
        egi_cpu_run(k, f.pieces, finish_piece, &f);
}
