/** core/ops/ops.h: the args of every operation. */
#ifndef EGI_OPS_H
#define EGI_OPS_H

#include "core/ops/batchnorm.h"
#include "core/ops/conv2d.h"
#include "core/ops/data.h"
#include "core/ops/dense.h"
#include "core/ops/loss.h"
#include "core/ops/mlp.h"
#include "core/ops/pointwise.h"
#include "core/ops/pool.h"
#include "core/ops/update.h"

#endif
