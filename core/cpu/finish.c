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

#define WITH_BIAS(kind)                        \
    for (int64_t i = 0; i < rows; i++, y += n) \
        for (int64_t j = 0; j < n; j++)        \
    y[j] = egi_v_act(kind, alpha, -1, 0, y[j] + b[j])

static inline EGI_SIMD_BODY void bias_rows_body(float *y, const float *b, int64_t rows, int64_t n, egi_act act,
                                                float alpha)
{
    EACH_KIND(WITH_BIAS);
}
EGI_SIMD(bias_rows, (float *y, const float *b, int64_t rows, int64_t n, egi_act act, float alpha),
         (y, b, rows, n, act, alpha))

#define PLAIN(kind)                 \
    for (int64_t i = 0; i < n; i++) \
    y[i] = egi_v_act(kind, alpha, -1, 0, y[i])

static inline EGI_SIMD_BODY void plain_body(float *y, int64_t n, egi_act act, float alpha)
{
    EACH_KIND(PLAIN);
}
EGI_SIMD(plain, (float *y, int64_t n, egi_act act, float alpha), (y, n, act, alpha))

static int team(const egi_kernel *k, int64_t elements)
{
    return elements < EGI_CPU_SERIAL ? 1 : egi_cpu_threads(k);
}

void egi_cpu_finish(const egi_kernel *k, float *y, const float *b, int64_t rows, int64_t n, egi_act act, float alpha)
{
    const int threads = team(k, rows * n);
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (int thread = 0; thread < threads; thread++) {
        int64_t from, to;
        egi_cpu_share(rows, 1, thread, threads, &from, &to);
        bias_rows(y + from * n, b, to - from, n, act, alpha);
    }
}

void egi_cpu_activate(const egi_kernel *k, float *y, int64_t n, egi_act act, float alpha)
{
    const int threads = team(k, n);
    if (act == EGI_ACT_LINEAR)
        return;
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (int thread = 0; thread < threads; thread++) {
        int64_t from, to;
        egi_cpu_share(n, 16, thread, threads, &from, &to);
        plain(y + from, to - from, act, alpha);
    }
}

void egi_cpu_activate_part(float *y, int64_t n, egi_act act, float alpha)
{
    if (act != EGI_ACT_LINEAR)
        plain(y, n, act, alpha);
}
