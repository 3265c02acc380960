// Handles, descriptors, layouts, preferences. Attributes are looked up in tables of id, place and size; like the real
// library, setters look at sizes only and leave values to the call that uses them.
#include <cstddef>
#include <cstring>
#include <new>

#include "lt.h"

namespace
{

struct Attribute {
    int id;
    size_t place, size;
};

#define FIELD(Type, id, member)                                  \
    {                                                            \
        id, offsetof(lt::Type, member), sizeof(lt::Type::member) \
    }

const Attribute kDesc[] = {
    FIELD(Desc, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, compute),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_SCALE_TYPE, scale),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_POINTER_MODE, pointer_mode),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_TRANSA, trans_a),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_TRANSB, trans_b),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_TRANSC, trans_c),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_FILL_MODE, fill),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, bias_stride),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, aux_ld),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, aux_stride),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, aux_type),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, sm_count),
    FIELD(Desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, fast_accumulation),
};

const Attribute kLayout[] = {
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_TYPE, type),
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_ORDER, order),
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_ROWS, rows),
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_COLS, cols),
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_LD, ld),
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batches),
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, batch_stride),
    FIELD(Layout, CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, batch_mode),
};

const Attribute kPreference[] = {
    FIELD(Preference, CUBLASLT_MATMUL_PREF_SEARCH_MODE, search),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align_a),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align_b),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_c),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_d),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, waves),
    FIELD(Preference, CUBLASLT_MATMUL_PREF_IMPL_MASK, implementations),
};

template <size_t N> const Attribute *find(const Attribute (&table)[N], int id)
{
    for (const Attribute &attribute : table)
        if (attribute.id == id)
            return &attribute;
    return nullptr;
}

cublasStatus_t set(const Attribute *attribute, void *object, const void *value, size_t size)
{
    if (!attribute || !object || !value || size != attribute->size)
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy((char *)object + attribute->place, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t get(const Attribute *attribute, const void *object, void *value, size_t size, size_t *written)
{
    const bool asks_size = !size && written;
    if (!attribute || !object || (!asks_size && (!value || size != attribute->size)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!asks_size)
        std::memcpy(value, (const char *)object + attribute->place, size);
    if (written)
        *written = attribute->size;
    return CUBLAS_STATUS_SUCCESS;
}

/** Makes a T in the opaque room, which must be as large as the header says. */
template <class T, class Opaque> cublasStatus_t place(Opaque *room, size_t size, const T &value)
{
    if (!room)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (size < sizeof(Opaque))
        return CUBLAS_STATUS_ALLOC_FAILED;
    new (room) T(value);
    return CUBLAS_STATUS_SUCCESS;
}

lt::Desc desc_of(cublasComputeType_t compute, cudaDataType_t scale)
{
    lt::Desc desc;
    desc.compute = compute;
    desc.scale = scale;
    return desc;
}

lt::Layout layout_of(cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld)
{
    lt::Layout layout;
    layout.type = type;
    layout.rows = rows;
    layout.cols = cols;
    layout.ld = ld;
    return layout;
}

struct Status {
    cublasStatus_t code;
    const char *name, *text;
};

const Status kStatuses[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE",
     "an unsupported value or parameter was passed to the function"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH",
     "the function requires an architectural feature absent from the device"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "an access to GPU memory space failed"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "the function failed to launch on the GPU"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "the requested functionality is not supported"},
    {CUBLAS_STATUS_LICENSE_ERROR, "CUBLAS_STATUS_LICENSE_ERROR", "the license check failed"},
};

const Status &status_of(cublasStatus_t code)
{
    static const Status unknown = {code, "unrecognized status", "unrecognized status"};
    for (const Status &status : kStatuses)
        if (status.code == code)
            return status;
    return unknown;
}

} // namespace

CUDASIM_API const char *cublasLtGetStatusName(cublasStatus_t status)
{
    return status_of(status).name;
}

CUDASIM_API const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status_of(status).text;
}

CUDASIM_API size_t cublasLtGetVersion()
{
    return CUBLAS_VERSION;
}

CUDASIM_API size_t cublasLtGetCudartVersion()
{
    return CUDART_VERSION;
}

CUDASIM_API cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    if (!handle)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (cudasim_usable())
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = (cublasLtHandle_t) new char;
    return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_API cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    delete (char *)handle;
    return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_API cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t size,
                                                           cublasComputeType_t compute, cudaDataType_t scale)
{
    return place(desc, size, desc_of(compute, scale));
}

CUDASIM_API cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                                    cudaDataType_t scale)
{
    if (!desc)
        return CUBLAS_STATUS_INVALID_VALUE;
    *desc = new cublasLtMatmulDescOpaque_t();
    return place(*desc, sizeof **desc, desc_of(compute, scale));
}

CUDASIM_API cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_API cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t id,
                                                          const void *value, size_t size)
{
    return set(find(kDesc, id), desc, value, size);
}

CUDASIM_API cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t id,
                                                          void *value, size_t size, size_t *written)
{
    return get(find(kDesc, id), desc, value, size, written);
}

CUDASIM_API cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t size,
                                                             cudaDataType type, uint64_t rows, uint64_t cols,
                                                             int64_t ld)
{
    return place(layout, size, layout_of(type, rows, cols, ld));
}

CUDASIM_API cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                                      uint64_t cols, int64_t ld)
{
    if (!layout)
        return CUBLAS_STATUS_INVALID_VALUE;
    *layout = new cublasLtMatrixLayoutOpaque_t();
    return place(*layout, sizeof **layout, layout_of(type, rows, cols, ld));
}

CUDASIM_API cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_API cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                            cublasLtMatrixLayoutAttribute_t id, const void *value,
                                                            size_t size)
{
    return set(find(kLayout, id), layout, value, size);
}

CUDASIM_API cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                            cublasLtMatrixLayoutAttribute_t id, void *value,
                                                            size_t size, size_t *written)
{
    return get(find(kLayout, id), layout, value, size, written);
}

CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t size)
{
    return place(preference, size, lt::Preference());
}

CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    if (!preference)
        return CUBLAS_STATUS_INVALID_VALUE;
    *preference = new cublasLtMatmulPreferenceOpaque_t();
    return place(*preference, sizeof **preference, lt::Preference());
}

CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                                cublasLtMatmulPreferenceAttributes_t id,
                                                                const void *value, size_t size)
{
    return set(find(kPreference, id), preference, value, size);
}

CUDASIM_API cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                                                cublasLtMatmulPreferenceAttributes_t id, void *value,
                                                                size_t size, size_t *written)
{
    return get(find(kPreference, id), preference, value, size, written);
}
