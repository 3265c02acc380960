// What type a value of an operation's case is, where the computed ones are of `dtype`.
#ifndef OPS_DTYPES_H
#define OPS_DTYPES_H

extern "C" {
#include "core/ops/ops.h"
}

namespace ops
{

inline egi_dtype dtype_of(const egi_op *op, uint16_t field, egi_fill fill, egi_dtype dtype)
{
    if (fill == EGI_FILL_LABELS || fill == EGI_FILL_ROWS || op == &egi_op_gather_labels)
        return EGI_I32;
    if ((op == &egi_op_dot && field == EGI_FIELD(egi_dot, sums)) ||
        (op == &egi_op_agem_project && field == EGI_FIELD(egi_agem_project, sums)))
        return EGI_F64;
    const bool winners = (op == &egi_op_maxpool && field == EGI_FIELD(egi_maxpool, index)) ||
                         (op == &egi_op_conv2d_maxpool && field == EGI_FIELD(egi_conv2d_maxpool, index));
    return fill == EGI_FILL_POSITIONS || fill == EGI_FILL_BYTES || winners ? EGI_U8 : dtype;
}

} // namespace ops

#endif
