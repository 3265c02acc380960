/** tests/cudasim/runtime/lt.h: what the files of the stand-in for libcublasLt share. Descriptors are plain values
 * inside the opaque structures of cublasLt.h, so that those which the user provides room for work too. */
#ifndef CUDASIM_LT_H
#define CUDASIM_LT_H

#include <cublasLt.h>

#include <cstdint>
#include <functional>

#define CUDASIM_API extern "C" __attribute__((visibility("default")))

/* of the stand-in for libcudart */
extern "C" cudaError_t cudasim_enqueue(cudaStream_t stream, const std::function<void()> *work);
extern "C" bool cudasim_check(const void *address, size_t bytes, bool writes, const char *what);
extern "C" void cudasim_fault();
extern "C" cudaError_t cudasim_usable();

namespace lt
{

struct Desc {
    int32_t compute = 0, scale = 0, pointer_mode = CUBLASLT_POINTER_MODE_HOST;
    int32_t trans_a = CUBLAS_OP_N, trans_b = CUBLAS_OP_N, trans_c = CUBLAS_OP_N, fill = CUBLAS_FILL_MODE_FULL;
    uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    void *bias = nullptr, *aux = nullptr;
    int64_t bias_stride = 0, aux_ld = 0, aux_stride = 0;
    int32_t bias_type = -1, aux_type = -1, sm_count = 0;
    int8_t fast_accumulation = 0;
};

struct Layout {
    uint32_t type = 0;
    int32_t order = CUBLASLT_ORDER_COL;
    uint64_t rows = 0, cols = 0;
    int64_t ld = 0, batch_stride = 0;
    int32_t batches = 1, batch_mode = CUBLASLT_BATCH_MODE_STRIDED;
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t search = CUBLASLT_SEARCH_BEST_FIT, reduction = CUBLASLT_REDUCTION_SCHEME_MASK;
    uint32_t align_a = 256, align_b = 256, align_c = 256, align_d = 256;
    uint64_t implementations = ~0ull;
    float waves = 0;
};

static_assert(sizeof(Desc) <= sizeof(cublasLtMatmulDescOpaque_t), "a descriptor fits its room");
static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "a layout fits its room");
static_assert(sizeof(Preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "a preference fits its room");

/** A product that is possible: D = alpha op(A) op(B) + beta C, m x n, over k, with what the epilogue does in parts. */
struct Problem {
    Desc desc;
    Layout a, b, c, d;
    int64_t m = 0, n = 0, k = 0;
    int batches = 1;
    bool reads_bias = false, writes_bias = false, reads_aux = false, writes_aux = false, aux_is_mask = false;
    int64_t bias_length = 0;
    cudaDataType_t bias_type = CUDA_R_32F, aux_type = CUDA_R_32F;
};

/** Fills `problem`. INVALID_VALUE: shapes contradict each other. NOT_SUPPORTED: nothing computes this combination. */
cublasStatus_t make_problem(const Desc &desc, const Layout &a, const Layout &b, const Layout &c, const Layout &d,
                            Problem *problem);

struct Operands {
    const char *a, *b, *c;
    char *d;
    double alpha, beta;
};

/** Checks every range and computes. */
void run(const Problem &problem, const Operands &operands);

/* --- lt_matrix.cc --- */

size_t size_of(int type); /* 0: not a type of ours */
double load(int type, const void *at);
void store(int type, void *at, double value);
/** Offset in bytes of an element. */
inline int64_t offset(const Layout &layout, int64_t row, int64_t col)
{
    const int64_t element = layout.order == CUBLASLT_ORDER_COL ? col * layout.ld + row : row * layout.ld + col;
    return element * (int64_t)size_of((int)layout.type);
}
inline int64_t batch_offset(const Layout &layout, int batch)
{
    return batch * layout.batch_stride * (int64_t)size_of((int)layout.type);
}
/** Each column or row that lies together is checked; false: a report was made. */
bool check_matrix(const Layout &layout, const char *at, bool writes, const char *what);
float round_tf32(float value);
float round_bf16(float value);

} // namespace lt

#endif
