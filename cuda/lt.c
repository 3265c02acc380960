/* Products by cublasLt. The library is looked up when the device is made, since the device's description names it; a
 * machine without it goes on with the kernels of gemm.cu. What a product needs is made once, when it is prepared;
 * running it is one call, which allocates nothing and can be captured.
 *
 * The same bits every time: the algorithm is chosen once, by shape, alignment and device, and its workspace is of a
 * fixed size on the one stream. Of the ways to add up a k that is split, two are allowed: none, and parts in f32 in the
 * workspace that a second pass adds up, in an order that does not depend on timing. INPLACE is left out: blocks add to
 * the output one after another, and nothing says that the turn is by number rather than by arrival. OUTPUT_TYPE is the
 * same as COMPUTE_TYPE where both are f32. */
#include "cuda/lt.h"

#include "core/ops/dense.h"

#include <stdio.h>

#define LIBRARY   "libcublasLt.so.13"
#define WORKSPACE ((uint64_t)32 << 20) /* at most: what NVIDIA advises for its largest GPUs */
#define ALIGNMENT 256                  /* as much as any algorithm asks for */

static eg_status check(const egi_cuda_lt *lt, cublasStatus_t status, const char *call)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return EG_OK;
    return egi_fail(status == CUBLAS_STATUS_ALLOC_FAILED ? EG_ERR_NOMEM : EG_ERR_DEVICE, "cuda: cublasLt: %s: %s", call,
                    lt->cublasLtGetStatusName(status));
}

#define CALL(lt, name, ...) check((lt), (lt)->name(__VA_ARGS__), #name)

/* --- the library -------------------------------------------------------------------------------------------------- */

eg_status egi_cuda_lt_find(egi_cuda_lt *lt)
{
#define EG_CUBLASLT(name)                                \
    if (!egi_cuda_symbol(lt->library, #name, &lt->name)) \
        return egi_fail(EG_ERR_DEVICE, "cuda: " LIBRARY " has no %s: another version?", #name);
#include "cuda/lt.def"
#undef EG_CUBLASLT
    return EG_OK;
}

static eg_status begin(egi_cuda_lt *lt)
{
    lt->library = egi_cuda_open(LIBRARY);
    if (!lt->library)
        return egi_fail(EG_ERR_DEVICE, "cuda: " LIBRARY " was not found");
    EG_TRY(egi_cuda_lt_find(lt));
    return CALL(lt, cublasLtCreate, &lt->handle);
}

eg_status egi_cuda_lt_create(egi_cuda *c)
{
    EG_TRY(egi_alloc(&c->lt, c->base.context, 1, sizeof *c->lt));
    if (begin(c->lt) != EG_OK)
        egi_cuda_lt_destroy(c);
    return EG_OK;
}

void egi_cuda_lt_destroy(egi_cuda *c)
{
    if (c->lt && c->lt->handle)
        c->lt->cublasLtDestroy(c->lt->handle);
    /* The library stays loaded: it has memory of its own, which nothing gives back. */
    egi_free(c->base.context, c->lt);
    c->lt = NULL;
}

void egi_cuda_lt_text(const egi_cuda *c, char *out, size_t room)
{
    const size_t version = c->lt ? c->lt->cublasLtGetVersion() : 0; /* 130100 is 13.1.0 */
    if (version)
        snprintf(out, room, "cuBLASLt %zu.%zu", version / 10000, version / 100 % 100);
    else
        snprintf(out, room, "no cuBLASLt: own kernels");
}

/* --- a product ---------------------------------------------------------------------------------------------------- */

/* A row-major matrix is, by columns, its transpose. */
static eg_status lay_out(const egi_cuda_lt *lt, cublasLtMatrixLayout_t out, int64_t rows, int64_t columns)
{
    return CALL(lt, cublasLtMatrixLayoutInit_internal, out, sizeof *out, CUDA_R_32F, (uint64_t)columns, (uint64_t)rows,
                columns);
}

static eg_status set(const egi_cuda_lt *lt, egi_cuda_lt_product *p, cublasLtMatmulDescAttributes_t attribute,
                     const void *value, size_t size)
{
    return CALL(lt, cublasLtMatmulDescSetAttribute, &p->desc, attribute, value, size);
}

/* Never left to a default: a product is rounded only where that was asked for. */
static const cublasComputeType_t computes[] = {
    [EGI_PRECISION_F32] = CUBLAS_COMPUTE_32F,
    [EGI_PRECISION_TF32] = CUBLAS_COMPUTE_32F_FAST_TF32,
    [EGI_PRECISION_BF16] = CUBLAS_COMPUTE_32F_FAST_16BF,
};

static eg_status describe_work(const egi_cuda_lt *lt, egi_cuda_lt_product *p)
{
    const int32_t ta = p->of.ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb = p->of.tb ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint32_t epilogue = p->of.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    EG_TRY(CALL(lt, cublasLtMatmulDescInit_internal, &p->desc, sizeof p->desc, computes[p->of.precision], CUDA_R_32F));
    EG_TRY(set(lt, p, CUBLASLT_MATMUL_DESC_TRANSA, &tb, sizeof tb));
    EG_TRY(set(lt, p, CUBLASLT_MATMUL_DESC_TRANSB, &ta, sizeof ta));
    EG_TRY(set(lt, p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    return set(lt, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->of.bias, sizeof p->of.bias);
}

/* The power of two that an address is a multiple of. */
static uint32_t alignment(const void *data)
{
    uint32_t bytes = ALIGNMENT;
    while ((uintptr_t)data % bytes)
        bytes /= 2;
    return bytes;
}

/* Vectors of a bias are read as wide as those of its matrix are written. */
static eg_status describe_wishes(const egi_cuda_lt *lt, egi_cuda_lt_product *p)
{
    const uint64_t workspace = WORKSPACE;
    const uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, a = alignment(p->of.a), b = alignment(p->of.b),
                   c = alignment(p->of.c), bias = alignment(p->of.bias), d = bias < c ? bias : c;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        const void *value;
        size_t size;
    } wishes[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
                  {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &scheme, sizeof scheme},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b, sizeof b},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a, sizeof a},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof c},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &d, sizeof d}};
    EG_TRY(CALL(lt, cublasLtMatmulPreferenceInit_internal, &p->preference, sizeof p->preference));
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        EG_TRY(CALL(lt, cublasLtMatmulPreferenceSetAttribute, &p->preference, wishes[i].attribute, wishes[i].value,
                    wishes[i].size));
    return EG_OK;
}

eg_status egi_cuda_lt_describe(const egi_cuda_lt *lt, egi_cuda_lt_product *p, const egi_cuda_product *of)
{
    p->of = *of;
    EG_TRY(lay_out(lt, &p->a, of->ta ? of->k : of->m, of->ta ? of->m : of->k));
    EG_TRY(lay_out(lt, &p->b, of->tb ? of->n : of->k, of->tb ? of->k : of->n));
    EG_TRY(lay_out(lt, &p->c, of->m, of->n));
    EG_TRY(describe_work(lt, p));
    return describe_wishes(lt, p);
}

/* The library's first choice. */
static eg_status choose(const egi_cuda_lt *lt, egi_cuda_lt_product *p)
{
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    const cublasStatus_t status = lt->cublasLtMatmulAlgoGetHeuristic(lt->handle, &p->desc, &p->b, &p->a, &p->c, &p->c,
                                                                     &p->preference, 1, &result, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0))
        return EGI_CUDA_DECLINE;
    EG_TRY(check(lt, status, "cublasLtMatmulAlgoGetHeuristic"));
    p->algo = result.algo;
    p->workspace = result.workspaceSize;
    return result.state == CUBLAS_STATUS_SUCCESS ? EG_OK : EGI_CUDA_DECLINE;
}

static eg_status run_product(const egi_kernel *k, void *state)
{
    const egi_cuda *c = egi_cuda_of(k);
    egi_cuda_lt_product *p = state;
    const float alpha = 1, beta = p->of.accumulate ? 1 : 0;
    return CALL(c->lt, cublasLtMatmul, c->lt->handle, &p->desc, &alpha, p->of.b, &p->b, p->of.a, &p->a, &beta, p->of.c,
                &p->c, p->of.c, &p->c, &p->algo, k->scratch, p->workspace, c->stream);
}

static eg_status prepare(egi_kernel *out, const egi_cuda_product *of)
{
    const egi_cuda *c = egi_cuda_of(out);
    egi_cuda_lt_product *p;
    if (!c->lt || out->device->context->own_kernels || !egi_cuda_is_f32(out) || of->m == 0 || of->n == 0 || of->k == 0)
        return EGI_CUDA_DECLINE;
    EG_TRY(egi_cuda_call_add(out, run_product, NULL, &p, sizeof *p));
    EG_TRY(egi_cuda_lt_describe(c->lt, p, of));
    EG_TRY(choose(c->lt, p));
    out->scratch_bytes = p->workspace;
    return EG_OK;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

eg_status egi_cuda_lt_gemm(egi_device *device, egi_kernel *out)
{
    const egi_gemm *a = out->args;
    const egi_tensor *c = &out->t[a->c];
    return prepare(out, &(egi_cuda_product){.a = egi_cuda_data(out, a->a),
                                            .b = egi_cuda_data(out, a->b),
                                            .c = c->data,
                                            .m = c->shape.dim[0],
                                            .n = c->shape.dim[1],
                                            .k = out->t[a->a].shape.dim[!a->ta],
                                            .ta = a->ta,
                                            .tb = a->tb,
                                            .accumulate = a->accumulate,
                                            .precision = device->context->precision});
}

/* An activation is a pass of its own over y: cublasLt's ReLU makes 0 of a NaN, and it knows none of the others. The
 * pass reads and writes 8 bytes an element, as long as 70 multiply-adds take on an H100 and 320 on an RTX 4090, and is
 * a launch. Below these sizes (1 to 2 us) the own kernel, which has bias and activation in its registers, is as good.
 */
static bool worth_a_pass(const egi_cuda_product *p)
{
    return p->k >= 256 && (double)p->m * (double)p->n * (double)p->k >= 0x1p26;
}

eg_status egi_cuda_lt_dense(egi_device *device, egi_kernel *out)
{
    const egi_dense *a = out->args;
    const egi_shape *w = &out->t[a->w].shape;
    const egi_cuda_product p = {.a = egi_cuda_data(out, a->x),
                                .b = egi_cuda_data(out, a->w),
                                .bias = egi_cuda_data(out, a->b),
                                .c = egi_cuda_data(out, a->y),
                                .m = out->t[a->x].shape.dim[0],
                                .n = w->dim[1],
                                .k = w->dim[0],
                                .precision = device->context->precision};
    if (a->act == EGI_ACT_LINEAR)
        return prepare(out, &p);
    if (!worth_a_pass(&p))
        return EGI_CUDA_DECLINE;
    EG_TRY(prepare(out, &p));
    return egi_cuda_activate(out, p.c, p.m * p.n, a->act, a->alpha);
}
