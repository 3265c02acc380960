#include "core/op.h"

const egi_op *const egi_ops[] = {
#define EG_OP(op_name, tier) &egi_op_##op_name,
#include "core/ops/ops.def"
#undef EG_OP
    NULL};
