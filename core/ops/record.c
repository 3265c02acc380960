#include "core/ops/check.h"
#include "core/ops/loss.h"

static eg_status check(const egi_plan *p, const void *args)
{
    const egi_record *a = args;
    EG_TRY(egi_check_rank(p, "ring", a->ring, 2));
    if (a->first < 0 || a->first + EGI_RECORD_MOST > egi_dim(p, a->ring, 1))
        return egi_fail(EG_ERR_SHAPE, "ring: wanted %d columns from %lld on, found %lld", EGI_RECORD_MOST,
                        (long long)a->first, (long long)egi_dim(p, a->ring, 1));
    for (int i = 0; i < EGI_RECORD_MOST; i++)
        EG_TRY(egi_check_may(p, "x", a->x[i], egi_dtype_of(p, a->ring), EGI_SCALAR));
    return EG_OK;
}

static void reference(const void *args, const egi_tensor *t, const egi_control *control)
{
    const egi_record *a = args;
    const egi_tensor *ring = &t[a->ring];
    const int64_t row = control->step % ring->shape.dim[0];
    for (int i = 0; i < EGI_RECORD_MOST; i++)
        if (a->x[i] != EGI_NONE)
            egi_set(ring, row * ring->shape.dim[1] + a->first + i, egi_get(&t[a->x[i]], 0));
}

static double bytes(const void *args, const egi_tensor *t, double all)
{
    const egi_record *a = args;
    (void)all;
    return 2.0 * EGI_RECORD_MOST * (double)egi_dtype_size(t[a->ring].dtype);
}

/* All eight, one alone, none but the last, in a ring of more columns. */
static const egi_op_case cases[] = {
    {.args = &(const egi_record){.first = 0},
     .in = {{.rank = 0},
            {.rank = 0},
            {.rank = 0},
            {.rank = 0},
            {.rank = 0},
            {.rank = 0},
            {.rank = 0},
            {.rank = 0},
            EGI_STATIC_SHAPE(5, 8)},
     .out = {EGI_STATIC_SHAPE(5, 8)}},
    {.args = &(const egi_record){.first = 0},
     .in = {[0] = {.rank = 0}, [8] = EGI_STATIC_SHAPE(1, 8)},
     .in_absent = 0xfe,
     .out = {EGI_STATIC_SHAPE(1, 8)}},
    {.args = &(const egi_record){.first = 3},
     .in = {[7] = {.rank = 0}, [8] = EGI_STATIC_SHAPE(3, 13)},
     .in_absent = 0x7f,
     .out = {EGI_STATIC_SHAPE(3, 13)}},
};

const egi_op egi_op_record = {
    .name = "record",
    .size = sizeof(egi_record),
    .in = {EGI_FIELD(egi_record, x[0]), EGI_FIELD(egi_record, x[1]), EGI_FIELD(egi_record, x[2]),
           EGI_FIELD(egi_record, x[3]), EGI_FIELD(egi_record, x[4]), EGI_FIELD(egi_record, x[5]),
           EGI_FIELD(egi_record, x[6]), EGI_FIELD(egi_record, x[7]), EGI_FIELD(egi_record, ring)},
    .out = {EGI_FIELD(egi_record, ring)},
    .check = check,
    .reference = reference,
    .bytes = bytes,
    EGI_CASES(cases),
};
