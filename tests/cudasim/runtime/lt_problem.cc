// Which products the stand-in computes. Where the real library's tables leave a combination out, so does this one;
// where it is not known what the real one does, this one refuses, so that users have another way.
#include <algorithm>

#include "lt.h"

namespace lt
{
namespace
{

/** How an epilogue uses the bias vector and the auxiliary matrix. */
struct Parts {
    uint32_t epilogue;
    bool reads_bias, writes_bias, reads_aux, writes_aux, mask;
};

const Parts kEpilogues[] = {
    {CUBLASLT_EPILOGUE_DEFAULT, false, false, false, false, false},
    {CUBLASLT_EPILOGUE_BIAS, true, false, false, false, false},
    {CUBLASLT_EPILOGUE_RELU, false, false, false, false, false},
    {CUBLASLT_EPILOGUE_RELU_BIAS, true, false, false, false, false},
    {CUBLASLT_EPILOGUE_RELU_AUX, false, false, false, true, true},
    {CUBLASLT_EPILOGUE_RELU_AUX_BIAS, true, false, false, true, true},
    {CUBLASLT_EPILOGUE_GELU, false, false, false, false, false},
    {CUBLASLT_EPILOGUE_GELU_BIAS, true, false, false, false, false},
    {CUBLASLT_EPILOGUE_GELU_AUX, false, false, false, true, false},
    {CUBLASLT_EPILOGUE_GELU_AUX_BIAS, true, false, false, true, false},
    {CUBLASLT_EPILOGUE_DRELU, false, false, true, false, true},
    {CUBLASLT_EPILOGUE_DRELU_BGRAD, false, true, true, false, true},
    {CUBLASLT_EPILOGUE_DGELU, false, false, true, false, false},
    {CUBLASLT_EPILOGUE_DGELU_BGRAD, false, true, true, false, false},
    {CUBLASLT_EPILOGUE_BGRADA, false, true, false, false, false},
    {CUBLASLT_EPILOGUE_BGRADB, false, true, false, false, false},
};

bool layout_possible(const Layout &x)
{
    const int64_t least = (int64_t)(x.order == CUBLASLT_ORDER_COL ? x.rows : x.cols);
    return x.rows && x.cols && x.ld >= least && x.batches >= 1 && (x.batches == 1 || x.batch_stride >= 0);
}

bool order_known(const Layout &x)
{
    return (x.order == CUBLASLT_ORDER_COL || x.order == CUBLASLT_ORDER_ROW) &&
           x.batch_mode == CUBLASLT_BATCH_MODE_STRIDED;
}

bool transpose_known(int operation)
{
    return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T;
}

bool types_supported(const Problem &p)
{
    const auto all = [&](cudaDataType_t type) {
        return (int)p.a.type == type && (int)p.b.type == type && (int)p.c.type == type && (int)p.d.type == type;
    };
    switch (p.desc.compute) {
    case CUBLAS_COMPUTE_64F:
        return p.desc.scale == CUDA_R_64F && all(CUDA_R_64F);
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
        return p.desc.scale == CUDA_R_32F && all(CUDA_R_32F);
    case CUBLAS_COMPUTE_32F: {
        const bool bf16 = p.a.type == CUDA_R_16BF && p.b.type == CUDA_R_16BF && p.c.type == p.d.type &&
                          (p.d.type == CUDA_R_16BF || p.d.type == CUDA_R_32F);
        return p.desc.scale == CUDA_R_32F && (bf16 || all(CUDA_R_32F));
    }
    default:
        return false;
    }
}

/** Vectors and auxiliary matrices follow D by columns: with rows in memory nothing but elementwise work is taken. */
bool epilogue_supported(Problem *p)
{
    const auto found = std::find_if(std::begin(kEpilogues), std::end(kEpilogues),
                                    [&](const Parts &parts) { return parts.epilogue == p->desc.epilogue; });
    if (found == std::end(kEpilogues))
        return false;
    p->reads_bias = found->reads_bias;
    p->writes_bias = found->writes_bias;
    p->reads_aux = found->reads_aux;
    p->writes_aux = found->writes_aux;
    p->aux_is_mask = found->mask;
    p->bias_length = p->desc.epilogue == CUBLASLT_EPILOGUE_BGRADB ? p->n : p->m;
    p->bias_type = (cudaDataType_t)(p->desc.bias_type < 0 ? (int)p->d.type : p->desc.bias_type);
    p->aux_type = (cudaDataType_t)(p->desc.aux_type < 0 ? (int)p->d.type : p->desc.aux_type);
    const bool elementwise = !p->reads_bias && !p->writes_bias && !p->reads_aux && !p->writes_aux;
    return (elementwise || p->d.order == CUBLASLT_ORDER_COL) && p->bias_type == (int)p->d.type &&
           (p->aux_is_mask || p->aux_type == (int)p->d.type);
}

/** Leading dimensions in elements: of bits for a mask, which come in 128s. */
bool aux_possible(const Problem &p)
{
    const int64_t unit = p.aux_is_mask ? 128 : 8;
    return (!p.reads_aux && !p.writes_aux) ||
           (p.desc.aux_ld >= p.m && p.desc.aux_ld % unit == 0 && p.desc.aux_stride % unit == 0);
}

} // namespace

cublasStatus_t make_problem(const Desc &desc, const Layout &a, const Layout &b, const Layout &c, const Layout &d,
                            Problem *p)
{
    *p = Problem();
    p->desc = desc;
    p->a = a;
    p->b = b;
    p->c = c;
    p->d = d;
    if (!transpose_known(desc.trans_a) || !transpose_known(desc.trans_b) || desc.trans_c != CUBLAS_OP_N ||
        desc.fill != CUBLAS_FILL_MODE_FULL || desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    for (const Layout *layout : {&a, &b, &c, &d}) {
        if (!order_known(*layout))
            return CUBLAS_STATUS_NOT_SUPPORTED;
        if (!layout_possible(*layout) || layout->batches != d.batches)
            return CUBLAS_STATUS_INVALID_VALUE;
    }
    p->m = (int64_t)d.rows;
    p->n = (int64_t)d.cols;
    p->k = (int64_t)(desc.trans_a == CUBLAS_OP_N ? a.cols : a.rows);
    p->batches = d.batches;
    const int64_t a_rows = (int64_t)(desc.trans_a == CUBLAS_OP_N ? a.rows : a.cols);
    const int64_t b_rows = (int64_t)(desc.trans_b == CUBLAS_OP_N ? b.rows : b.cols);
    const int64_t b_cols = (int64_t)(desc.trans_b == CUBLAS_OP_N ? b.cols : b.rows);
    if (a_rows != p->m || b_cols != p->n || b_rows != p->k || c.rows != d.rows || c.cols != d.cols)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!types_supported(*p) || c.order != d.order || !epilogue_supported(p))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return aux_possible(*p) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

} // namespace lt
