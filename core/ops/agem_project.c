#include "core/ops/check.h"
#include "core/ops/update.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_agem_project *a = args;
    EG_TRY(egi_check_rank(p, "g", a->g, 1));
    EG_TRY(egi_check_like(p, "ref", a->ref, a->g));
    EG_TRY(egi_check_is(p, "sums", a->sums, EGI_F64, EGI_SHAPE(2)));
    return egi_check_like(p, "y", a->y, a->g);
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    (void)control;
    const egi_agem_project *a = args;
    const int64_t n = egi_count(&t[a->g]);
    const double share = egi_agem_share(t[a->sums].data);
    for (int64_t i = 0; i < n; i++) {
        const double g = egi_get(&t[a->g], i);
        egi_set(&t[a->y], i, share == 0 ? g : g - share * egi_get(&t[a->ref], i));
    }
}

#define CASE(n, how)                                                                                                 \
    {                                                                                                                \
        .args = &(const egi_agem_project){0}, .in = {EGI_STATIC_SHAPE(n), EGI_STATIC_SHAPE(n), EGI_STATIC_SHAPE(2)}, \
        .out = {EGI_STATIC_SHAPE(n)}, .fill = {                                                                      \
            EGI_FILL_NORMAL,                                                                                         \
            EGI_FILL_NORMAL,                                                                                         \
            how                                                                                                      \
        }                                                                                                            \
    }
/* Gradients in conflict, and gradients that agree. */
static const egi_op_case cases[] = {
    CASE(7, EGI_FILL_NEGATIVE),     CASE(1, EGI_FILL_NEGATIVE),     CASE(1027, EGI_FILL_NEGATIVE),
    CASE(70001, EGI_FILL_NEGATIVE), CASE(70001, EGI_FILL_POSITIVE), CASE(0, EGI_FILL_NEGATIVE),
};

const egi_op egi_op_agem_project = {
    .name = "agem_project",
    .size = sizeof(egi_agem_project),
    .in = {EGI_FIELD(egi_agem_project, g), EGI_FIELD(egi_agem_project, ref), EGI_FIELD(egi_agem_project, sums)},
    .out = {EGI_FIELD(egi_agem_project, y)},
    .over = {EGI_OVER(egi_agem_project, y, g)},
    .check = check,
    .reference = reference,
    EGI_CASES(cases),
};
