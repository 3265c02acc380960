#include "core/ops/check.h"
#include "core/ops/loss.h"

#include <math.h>

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_distill *a = args;
    EG_TRY(egi_check_rank(p, "z", a->z, 2));
    EG_TRY(egi_check_rank(p, "teacher", a->teacher, 2));
    const egi_dtype dtype = egi_dtype_of(p, a->z);
    const egi_shape z = *egi_shape_of(p, a->z), teacher = *egi_shape_of(p, a->teacher);
    if (!(a->temperature > 0) || !isfinite(a->temperature))
        return egi_fail(EG_ERR_ARG, "temperature: wanted more than 0, found %g", (double)a->temperature);
    if (z.dim[0] < 1 || teacher.dim[1] < 1)
        return egi_fail(EG_ERR_SHAPE, "wanted at least one row and one class, found z %s and teacher %s",
                        egi_shape_format(&z).s, egi_shape_format(&teacher).s);
    EG_TRY(egi_check_is(p, "teacher", a->teacher, dtype, EGI_SHAPE(z.dim[0], teacher.dim[1])));
    if (a->begin < 0 || a->begin > z.dim[1] - teacher.dim[1])
        return egi_fail(EG_ERR_SHAPE, "begin: the teacher's %s do not fit into z %s from column %lld on",
                        egi_shape_format(&teacher).s, egi_shape_format(&z).s, (long long)a->begin);
    EG_TRY(egi_check_may(p, "weights", a->weights, dtype, EGI_SHAPE(z.dim[0])));
    EG_TRY(egi_check_is(p, "loss", a->loss, dtype, EGI_SCALAR));
    return egi_check_may(p, "dz", a->dz, dtype, z);
}

static eg_status grad(egi_plan *p, const void *args, egi_grads *g)
{
    (void)p;
    const egi_distill *a = args;
    if (!egi_grad_wanted(g, a->z))
        return EG_OK;
    if (a->dz == EGI_NONE)
        return egi_fail(EG_ERR_STATE, "distill: dz: wanted by the backward pass, found none");
    egi_grad_pass(g, a->z, a->dz);
    return EG_OK;
}

/* Logits over the temperature, of one row: log softmax is at(k) - top - log(sum). */
typedef struct softened {
    const egi_tensor *t;
    int64_t begin;
    double temperature, top, log_sum;
} softened;

static double log_share(const softened *s, int64_t k)
{
    return egi_get(s->t, s->begin + k) / s->temperature - s->top - s->log_sum;
}

static softened soften(const egi_tensor *t, int64_t begin, int64_t n, double temperature)
{
    softened s = {.t = t, .begin = begin, .temperature = temperature, .top = -INFINITY};
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        s.top = fmax(s.top, egi_get(t, begin + k) / temperature);
    for (int64_t k = 0; k < n; k++)
        sum += exp(log_share(&s, k));
    s.log_sum = log(sum);
    return s;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_distill *a = args;
    const int64_t n = t[a->z].shape.dim[0], columns = t[a->z].shape.dim[1], old = t[a->teacher].shape.dim[1];
    const double temperature = (double)a->temperature;
    double loss = 0;
    for (int64_t i = 0; i < n; i++) {
        const double weight = a->weights ? egi_get(&t[a->weights], i) : 1;
        const double factor = (double)a->scale / (double)n * weight;
        for (int64_t k = 0; a->dz && k < columns; k++)
            egi_set(&t[a->dz], i * columns + k, 0);
        if (weight == 0)
            continue;
        const softened q = soften(&t[a->z], i * columns + a->begin, old, temperature),
                       p = soften(&t[a->teacher], i * old, old, temperature);
        for (int64_t k = 0; k < old; k++) {
            const double share = exp(log_share(&p, k));
            if (share != 0) /* 0 log 0 is 0 */
                loss += factor * share * (log_share(&p, k) - log_share(&q, k));
            if (a->dz)
                egi_set(&t[a->dz], q.begin + k, factor / temperature * (exp(log_share(&q, k)) - share));
        }
    }
    egi_set(&t[a->loss], 0, loss);
}

/* n rows of k columns, of which the teacher knows `old` from `begin_` on. */
#define CASE(begin_, t, absent, unwanted, n, k, old)                                                 \
    {                                                                                                \
        .args = &(const egi_distill){.scale = 1.5f, .temperature = t, .begin = begin_},              \
        .in = {EGI_STATIC_SHAPE(n, k), EGI_STATIC_SHAPE(n, old), EGI_STATIC_SHAPE(n)},               \
        .out = {{0}, EGI_STATIC_SHAPE(n, k)}, .in_absent = absent, .out_absent = unwanted, .fill = { \
            EGI_FILL_NORMAL,                                                                         \
            EGI_FILL_NORMAL,                                                                         \
            EGI_FILL_POSITIVE                                                                        \
        }                                                                                            \
    }
#define NO_WEIGHTS (1 << 2)
#define NO_DZ      (1 << 1)
static const egi_op_case cases[] = {
    CASE(0, 2, NO_WEIGHTS, 0, 33, 10, 10), CASE(0, 2, 0, 0, 33, 13, 7),
    CASE(5, 1, 0, 0, 35, 13, 8),           CASE(2, 0.5f, NO_WEIGHTS, 0, 9, 5, 2),
    CASE(0, 2, 0, NO_DZ, 40, 6, 5),        CASE(0, 3, 0, 0, 1, 1100, 1001),
    CASE(3, 2, 0, 0, 9, 1500, 1400),       CASE(0, 2, NO_WEIGHTS, 0, 4001, 17, 15),
};

const egi_op egi_op_distill = {
    .name = "distill",
    .size = sizeof(egi_distill),
    .in = {EGI_FIELD(egi_distill, z), EGI_FIELD(egi_distill, teacher), EGI_FIELD(egi_distill, weights)},
    .out = {EGI_FIELD(egi_distill, loss), EGI_FIELD(egi_distill, dz)},
    .check = check,
    .grad = grad,
    .reference = reference,
    EGI_CASES(cases),
};
