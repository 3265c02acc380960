// The heuristic and the product. Operands are copied to dense columns, OpenBLAS multiplies them in one thread, so that
// results do not depend on the machine's threads, and the epilogue goes over the result element by element.
#include <cblas.h>

#include <cmath>
#include <string>
#include <vector>

#include "lt.h"

namespace lt
{
namespace
{

using Dense = std::vector<double>;

/** op(X) as dense columns, rounded as the compute type says. */
Dense packed(const Problem &p, const Layout &x, const char *at, bool transposed)
{
    const int64_t rows = (int64_t)(transposed ? x.cols : x.rows), cols = (int64_t)(transposed ? x.rows : x.cols);
    Dense dense((size_t)(rows * cols));
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++) {
            double value = load((int)x.type, at + (transposed ? offset(x, c, r) : offset(x, r, c)));
            if (p.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32)
                value = (double)round_tf32((float)value);
            else if (p.desc.compute == CUBLAS_COMPUTE_32F_FAST_16BF)
                value = (double)round_bf16((float)value);
            dense[(size_t)(c * rows + r)] = value;
        }
    return dense;
}

/** The product in the precision of the accumulator. */
Dense multiply(const Problem &p, const Dense &a, const Dense &b)
{
    openblas_set_num_threads(1);
    const blasint m = (blasint)p.m, n = (blasint)p.n, k = (blasint)p.k;
    if (p.desc.compute == CUBLAS_COMPUTE_64F) {
        Dense c((size_t)(p.m * p.n));
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a.data(), m, b.data(), k, 0, c.data(), m);
        return c;
    }
    const std::vector<float> x(a.begin(), a.end()), y(b.begin(), b.end());
    std::vector<float> z((size_t)(p.m * p.n));
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, x.data(), m, y.data(), k, 0, z.data(), m);
    return Dense(z.begin(), z.end());
}

/** cublasLt computes GELU by its tanh approximation. */
double gelu(double x)
{
    return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

double gelu_slope(double x)
{
    const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

/** Bits of columns, the first row in the lowest. */
struct Mask {
    char *at;
    int64_t ld;
    bool get(int64_t row, int64_t col) const
    {
        const int64_t bit = col * ld + row;
        return at[bit / 8] >> (bit % 8) & 1;
    }
    void set(int64_t row, int64_t col, bool value) const
    {
        const int64_t bit = col * ld + row;
        const char flag = (char)(1 << (bit % 8));
        at[bit / 8] = (char)(value ? at[bit / 8] | flag : at[bit / 8] & ~flag);
    }
};

/** The auxiliary matrix as a layout; a mask as one of bytes. */
Layout aux_layout(const Problem &p)
{
    Layout layout;
    layout.type = (uint32_t)p.aux_type;
    layout.rows = (uint64_t)p.m;
    layout.cols = (uint64_t)p.n;
    layout.ld = p.desc.aux_ld;
    return layout;
}

char *aux_of(const Problem &p, int batch)
{
    const int64_t stride = p.aux_is_mask ? p.desc.aux_stride / 8 : p.desc.aux_stride * (int64_t)size_of(p.aux_type);
    return (char *)p.desc.aux + batch * stride;
}

char *bias_of(const Problem &p, int batch)
{
    return (char *)p.desc.bias + batch * p.desc.bias_stride * (int64_t)size_of(p.bias_type);
}

bool check_aux(const Problem &p, int batch)
{
    char *at = aux_of(p, batch);
    if (!p.aux_is_mask)
        return check_matrix(aux_layout(p), at, p.writes_aux, "cublasLtMatmul: auxiliary matrix");
    for (int64_t col = 0; col < p.n; col++)
        if (!cudasim_check(at + col * p.desc.aux_ld / 8, (size_t)(p.m + 7) / 8, p.writes_aux,
                           "cublasLtMatmul: ReLU mask"))
            return false;
    return true;
}

bool check_batch(const Problem &p, const Operands &o, int batch)
{
    if (!check_matrix(p.a, o.a + batch_offset(p.a, batch), false, "cublasLtMatmul: A") ||
        !check_matrix(p.b, o.b + batch_offset(p.b, batch), false, "cublasLtMatmul: B"))
        return false;
    if (o.beta != 0 && !check_matrix(p.c, o.c + batch_offset(p.c, batch), false, "cublasLtMatmul: C"))
        return false;
    const size_t bias = (size_t)p.bias_length * size_of(p.bias_type);
    if (p.reads_bias && !cudasim_check(bias_of(p, batch), bias, false, "cublasLtMatmul: bias"))
        return false;
    if (p.writes_bias && !cudasim_check(bias_of(p, batch), bias, true, "cublasLtMatmul: bias gradient"))
        return false;
    if ((p.reads_aux || p.writes_aux) && !check_aux(p, batch))
        return false;
    return check_matrix(p.d, o.d + batch_offset(p.d, batch), true, "cublasLtMatmul: D");
}

/** Activation or its gradient of one element, with the auxiliary matrix. */
double activate(const Problem &p, double x, char *aux, int64_t row, int64_t col)
{
    const Mask mask = {aux, p.desc.aux_ld};
    const Layout layout = aux_layout(p);
    switch (p.desc.epilogue & ~(uint32_t)(CUBLASLT_EPILOGUE_BIAS | 16)) {
    case CUBLASLT_EPILOGUE_RELU_AUX:
        mask.set(row, col, x > 0);
        return std::fmax(x, 0);
    case CUBLASLT_EPILOGUE_RELU:
        return std::fmax(x, 0);
    case CUBLASLT_EPILOGUE_GELU_AUX:
        store(p.aux_type, aux + offset(layout, row, col), x);
        return gelu(x);
    case CUBLASLT_EPILOGUE_GELU:
        return gelu(x);
    case CUBLASLT_EPILOGUE_DRELU:
        return mask.get(row, col) ? x : 0;
    case CUBLASLT_EPILOGUE_DGELU:
        return x * gelu_slope(load(p.aux_type, aux + offset(layout, row, col)));
    default:
        return x;
    }
}

/** Sums of rows of dense columns, or of the columns, in a fixed order. */
Dense sums(const Dense &x, int64_t rows, int64_t cols, bool of_rows)
{
    Dense sum((size_t)(of_rows ? rows : cols));
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++)
            sum[(size_t)(of_rows ? r : c)] += x[(size_t)(c * rows + r)];
    return sum;
}

void store_bias_gradient(const Problem &p, char *bias, const Dense &a, const Dense &b, const Dense &result)
{
    const Dense sum = p.desc.epilogue == CUBLASLT_EPILOGUE_BGRADA   ? sums(a, p.m, p.k, true)
                      : p.desc.epilogue == CUBLASLT_EPILOGUE_BGRADB ? sums(b, p.k, p.n, false)
                                                                    : sums(result, p.m, p.n, true);
    for (size_t i = 0; i < sum.size(); i++)
        store(p.bias_type, bias + i * size_of(p.bias_type), sum[i]);
}

void run_batch(const Problem &p, const Operands &o, int batch)
{
    const Dense a = packed(p, p.a, o.a + batch_offset(p.a, batch), p.desc.trans_a == CUBLAS_OP_T);
    const Dense b = packed(p, p.b, o.b + batch_offset(p.b, batch), p.desc.trans_b == CUBLAS_OP_T);
    Dense result = multiply(p, a, b);
    const char *c = o.c + batch_offset(p.c, batch);
    char *d = o.d + batch_offset(p.d, batch);
    for (int64_t col = 0; col < p.n; col++)
        for (int64_t row = 0; row < p.m; row++) {
            double &x = result[(size_t)(col * p.m + row)];
            x *= o.alpha;
            if (o.beta != 0)
                x += o.beta * load((int)p.c.type, c + offset(p.c, row, col));
            if (p.reads_bias)
                x += load(p.bias_type, bias_of(p, batch) + row * (int64_t)size_of(p.bias_type));
            x = activate(p, x, aux_of(p, batch), row, col);
            store((int)p.d.type, d + offset(p.d, row, col), x);
        }
    if (p.writes_bias)
        store_bias_gradient(p, bias_of(p, batch), a, b, result);
}

const Desc &of(cublasLtMatmulDesc_t desc)
{
    return *(const Desc *)desc;
}

const Layout &of(cublasLtMatrixLayout_t layout)
{
    return *(const Layout *)layout;
}

double scalar(const Desc &desc, const void *value)
{
    return load(desc.scale, value);
}

/** D may lie on C only with the same layout, and vectors that are used must be there. */
bool pointers_possible(const Problem &p, const Operands &o)
{
    const bool same_layout = p.c.ld == p.d.ld && p.c.batch_stride == p.d.batch_stride;
    return o.a && o.b && o.d && (o.beta == 0 || o.c) && (o.c != o.d || same_layout) &&
           ((!p.reads_bias && !p.writes_bias) || p.desc.bias) && ((!p.reads_aux && !p.writes_aux) || p.desc.aux);
}

} // namespace

void run(const Problem &problem, const Operands &operands)
{
    for (int batch = 0; batch < problem.batches; batch++) {
        if (!check_batch(problem, operands, batch)) {
            cudasim_fault();
            return;
        }
        run_batch(problem, operands, batch);
    }
}

} // namespace lt

CUDASIM_API cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                                          cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                          cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                          cublasLtMatmulPreference_t preference, int requested,
                                                          cublasLtMatmulHeuristicResult_t results[], int *returned)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !a || !b || !c || !d || !preference || requested < 1 || !results || !returned)
        return CUBLAS_STATUS_INVALID_VALUE;
    *returned = 0;
    lt::Problem problem;
    const cublasStatus_t status = lt::make_problem(lt::of(desc), lt::of(a), lt::of(b), lt::of(c), lt::of(d), &problem);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    results[0] = cublasLtMatmulHeuristicResult_t();
    results[0].state = CUBLAS_STATUS_SUCCESS;
    results[0].wavesCount = 1;
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_API cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                                          const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                                          cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                                          cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                                          const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t stream)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !a_layout || !b_layout || !c_layout || !d_layout || !alpha || !beta)
        return CUBLAS_STATUS_INVALID_VALUE;
    lt::Problem problem;
    const cublasStatus_t status = lt::make_problem(lt::of(desc), lt::of(a_layout), lt::of(b_layout), lt::of(c_layout),
                                                   lt::of(d_layout), &problem);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    const lt::Operands operands = {(const char *)a,
                                   (const char *)b,
                                   (const char *)c,
                                   (char *)d,
                                   lt::scalar(problem.desc, alpha),
                                   lt::scalar(problem.desc, beta)};
    if (!lt::pointers_possible(problem, operands))
        return CUBLAS_STATUS_INVALID_VALUE;
    const std::function<void()> work = [problem, operands] { lt::run(problem, operands); };
    return cudasim_enqueue(stream, &work) ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}
