// The stand-in for cublasLt against sums written out in double. Operands are small whole numbers, so that products and
// sums are exact in float and everything but GELU must agree to the bit, whatever the order of the sums.
#include <cublasLt.h>

#include <cmath>
#include <cstring>
#include <string>

#include "device_array.h"

namespace
{

constexpr cublasLtOrder_t kCol = CUBLASLT_ORDER_COL, kRow = CUBLASLT_ORDER_ROW;

struct Case {
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
    cudaDataType_t input = CUDA_R_32F, output = CUDA_R_32F;
    int64_t m = 7, n = 5, k = 9;
    int batches = 1;
    cublasLtOrder_t order_a = kCol, order_b = kCol, order_d = kCol;
    bool trans_a = false, trans_b = false;
    double alpha = 1, beta = 0;
    uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
};

size_t size_of(cudaDataType_t type)
{
    return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

/** To a number of significant bits, ties to even. */
double rounded(double x, int bits)
{
    if (x == 0)
        return x;
    int exponent;
    const double fraction = std::frexp(x, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}

double in_type(cudaDataType_t type, double x)
{
    return type == CUDA_R_64F ? x : type == CUDA_R_32F ? (double)(float)x : rounded(x, 8);
}

void put(cudaDataType_t type, char *at, double x)
{
    const float f = (float)x;
    if (type == CUDA_R_64F)
        std::memcpy(at, &x, 8);
    else if (type == CUDA_R_32F)
        std::memcpy(at, &f, 4);
    else
        std::memcpy(at, (const char *)&f + 2, 2); /* the value has no more bits */
}

double get(cudaDataType_t type, const char *at)
{
    double x;
    float f = 0;
    if (type == CUDA_R_64F) {
        std::memcpy(&x, at, 8);
        return x;
    }
    std::memcpy(type == CUDA_R_32F ? (char *)&f : (char *)&f + 2, at, size_of(type));
    return f;
}

/** Matrices of a batch with padding between lines, on the host and on the device. */
struct Matrix {
    cudaDataType_t type;
    int64_t rows, cols, ld, stride;
    bool by_columns;
    std::vector<char> bytes;
    cublasLtMatrixLayout_t layout;

    Matrix(cudaDataType_t t, int64_t r, int64_t c, cublasLtOrder_t order, int batches, int64_t padding = 3)
        : type(t), rows(r), cols(c), ld((order == kCol ? r : c) + padding), stride(ld * (order == kCol ? c : r) + 5),
          by_columns(order == kCol), bytes((size_t)(stride * batches) * size_of(t))
    {
        const int32_t o = order, count = batches;
        EXPECT_EQ(cublasLtMatrixLayoutCreate(&layout, type, (uint64_t)rows, (uint64_t)cols, ld), CUBLAS_STATUS_SUCCESS);
        set(CUBLASLT_MATRIX_LAYOUT_ORDER, o);
        set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count);
        set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
    }
    ~Matrix()
    {
        cublasLtMatrixLayoutDestroy(layout);
    }
    Matrix(const Matrix &) = delete;
    template <class T> void set(cublasLtMatrixLayoutAttribute_t attribute, const T &value)
    {
        EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
    }
    char *at(int batch, int64_t r, int64_t c)
    {
        return bytes.data() + (size_t)(batch * stride + (by_columns ? c * ld + r : r * ld + c)) * size_of(type);
    }
    double value(int batch, int64_t r, int64_t c)
    {
        return get(type, at(batch, r, c));
    }
    void fill(int seed, double scale = 1)
    {
        for (size_t i = 0; i < bytes.size() / size_of(type); i++)
            put(type, bytes.data() + i * size_of(type), scale * (double)((int)((i * 7 + (size_t)seed * 3) % 9) - 4));
    }
};

double gelu(double x)
{
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

double gelu_slope(double x)
{
    const double h = 1e-5; /* central differences: the error is of order h^2, far below float's */
    return (gelu(x + h) - gelu(x - h)) / (2 * h);
}

struct Product {
    Case c;
    Matrix a, b, d;
    int64_t aux_ld;
    std::vector<char> bias, aux;

    explicit Product(const Case &x)
        : c(x), a(x.input, x.trans_a ? x.k : x.m, x.trans_a ? x.m : x.k, x.order_a, x.batches),
          b(x.input, x.trans_b ? x.n : x.k, x.trans_b ? x.k : x.n, x.order_b, x.batches),
          d(x.output, x.m, x.n, x.order_d, x.batches)
    {
        a.fill(1);
        b.fill(2);
        d.fill(3);
        aux_ld = is_mask() ? (c.m + 127) / 128 * 128 : (c.m + 7) / 8 * 8;
        aux.resize((size_t)(aux_ld * c.n) * (is_mask() ? 1 : 8));
        for (size_t i = 0; i < aux.size(); i++)
            aux[i] = is_mask() ? (char)(i * 37) : 0;
        if (!is_mask())
            for (size_t i = 0; i < (size_t)(aux_ld * c.n); i++)
                put(c.output, aux.data() + i * size_of(c.output), (double)((int)(i % 5) - 2));
        bias.resize((size_t)std::max(c.m, c.n) * size_of(c.output));
        for (int64_t i = 0; i < std::max(c.m, c.n); i++)
            put(c.output, bias.data() + (size_t)i * size_of(c.output), (double)(i % 3 - 1));
    }
    bool has(uint32_t bits) const
    {
        return (c.epilogue & bits) == bits;
    }
    bool is_mask() const
    {
        return has(CUBLASLT_EPILOGUE_RELU_AUX) || has(CUBLASLT_EPILOGUE_DRELU);
    }
    double bias_at(int64_t i) const
    {
        return get(c.output, bias.data() + (size_t)i * size_of(c.output));
    }
    bool mask_at(int64_t r, int64_t col) const
    {
        const int64_t bit = col * aux_ld + r;
        return (unsigned char)aux[(size_t)(bit / 8)] & 1u << (bit % 8);
    }
    double aux_at(int64_t r, int64_t col) const
    {
        return get(c.output, aux.data() + (size_t)(col * aux_ld + r) * size_of(c.output));
    }
    double a_at(int batch, int64_t r, int64_t i)
    {
        return c.trans_a ? a.value(batch, i, r) : a.value(batch, r, i);
    }
    double b_at(int batch, int64_t i, int64_t col)
    {
        return c.trans_b ? b.value(batch, col, i) : b.value(batch, i, col);
    }
    int rounding() const
    {
        return c.compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? 11 : c.compute == CUBLAS_COMPUTE_32F_FAST_16BF ? 8 : 53;
    }
    /** Before the activation. */
    double linear(int batch, int64_t r, int64_t col)
    {
        double sum = 0;
        for (int64_t i = 0; i < c.k; i++)
            sum += rounded(a_at(batch, r, i), rounding()) * rounded(b_at(batch, i, col), rounding());
        const double x = c.alpha * sum + (c.beta != 0 ? c.beta * d.value(batch, r, col) : 0);
        return has(CUBLASLT_EPILOGUE_BIAS) ? x + bias_at(r) : x;
    }
    double activated(double x, int64_t r, int64_t col) const
    {
        if (has(CUBLASLT_EPILOGUE_DRELU))
            return mask_at(r, col) ? x : 0;
        if (has(CUBLASLT_EPILOGUE_DGELU))
            return x * gelu_slope(aux_at(r, col));
        return has(CUBLASLT_EPILOGUE_RELU) ? std::max(x, 0.0) : has(CUBLASLT_EPILOGUE_GELU) ? gelu(x) : x;
    }
};

class Desc
{
  public:
    explicit Desc(const Case &c)
    {
        const cudaDataType_t scale = c.compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F;
        EXPECT_EQ(cublasLtMatmulDescCreate(&desc, c.compute, scale), CUBLAS_STATUS_SUCCESS);
        set(CUBLASLT_MATMUL_DESC_TRANSA, (int32_t)(c.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N));
        set(CUBLASLT_MATMUL_DESC_TRANSB, (int32_t)(c.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N));
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, c.epilogue);
    }
    ~Desc()
    {
        cublasLtMatmulDescDestroy(desc);
    }
    Desc(const Desc &) = delete;
    template <class T> void set(cublasLtMatmulDescAttributes_t attribute, const T &value)
    {
        EXPECT_EQ(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
    }
    cublasLtMatmulDesc_t desc;
};

cublasLtHandle_t handle()
{
    static cublasLtHandle_t made = [] {
        cublasLtHandle_t h = nullptr;
        EXPECT_EQ(cublasLtCreate(&h), CUBLAS_STATUS_SUCCESS);
        return h;
    }();
    return made;
}

cublasStatus_t heuristic(Product &p, const Desc &desc, cublasLtMatmulHeuristicResult_t *result, int *count)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulPreferenceCreate(&preference);
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle(), desc.desc, p.a.layout, p.b.layout,
                                                                 p.d.layout, p.d.layout, preference, 1, result, count);
    cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

/** Computes on the stand-in; afterwards `got`, `bias` and `aux` are what the device holds. */
void multiply(Product &p, std::vector<char> *got, std::vector<char> *bias, std::vector<char> *aux)
{
    const DeviceArray<char> a(p.a.bytes), b(p.b.bytes), d(p.d.bytes), vector(p.bias), matrix(p.aux);
    Desc desc(p.c);
    desc.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, (void *)vector.at());
    desc.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, (void *)matrix.at());
    desc.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.aux_ld);
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    ASSERT_EQ(heuristic(p, desc, &result, &count), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(count, 1);
    const float alpha = (float)p.c.alpha, beta = (float)p.c.beta;
    const bool wide = p.c.compute == CUBLAS_COMPUTE_64F;
    ASSERT_EQ(cublasLtMatmul(handle(), desc.desc, wide ? (const void *)&p.c.alpha : &alpha, a.at(), p.a.layout, b.at(),
                             p.b.layout, wide ? (const void *)&p.c.beta : &beta, d.at(), p.d.layout, d.at(), p.d.layout,
                             &result.algo, nullptr, 0, nullptr),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    *got = d.get();
    *bias = vector.get();
    *aux = matrix.get();
}

/** GELU alone is not exact: both sides compute in double and round once, to float or bfloat16. */
void expect_close(const Case &c, double got, double wanted)
{
    const bool exact = !(c.epilogue & (CUBLASLT_EPILOGUE_GELU | 64));
    const double last_bit = c.output == CUDA_R_16BF ? 1.0 / 128 : c.output == CUDA_R_32F ? 1e-7 : 1e-9;
    if (exact) {
        EXPECT_EQ(got, in_type(c.output, wanted));
    } else {
        EXPECT_NEAR(got, wanted, last_bit * (1 + std::fabs(wanted)));
    }
}

void check_matrix(Product &p, const std::vector<char> &got)
{
    const std::vector<char> before = p.d.bytes;
    std::vector<char> expected_elsewhere = before;
    for (int batch = 0; batch < p.c.batches; batch++)
        for (int64_t col = 0; col < p.c.n; col++)
            for (int64_t r = 0; r < p.c.m; r++) {
                const size_t at = (size_t)(p.d.at(batch, r, col) - p.d.bytes.data());
                expect_close(p.c, get(p.c.output, got.data() + at), p.activated(p.linear(batch, r, col), r, col));
                std::memcpy(&expected_elsewhere[at], &got[at], size_of(p.c.output));
            }
    EXPECT_EQ(expected_elsewhere, got) << "the padding was written";
}

void check_aux(Product &p, const std::vector<char> &aux)
{
    const bool gelu_aux = p.has(CUBLASLT_EPILOGUE_GELU_AUX), relu_aux = p.has(CUBLASLT_EPILOGUE_RELU_AUX);
    for (int64_t col = 0; col < p.c.n; col++)
        for (int64_t r = 0; r < p.c.m; r++) {
            const double x = p.linear(0, r, col);
            const int64_t bit = col * p.aux_ld + r;
            if (relu_aux) {
                EXPECT_EQ((unsigned char)aux[(size_t)(bit / 8)] >> (bit % 8) & 1, x > 0);
            } else if (gelu_aux) {
                EXPECT_EQ(get(p.c.output, aux.data() + (size_t)bit * size_of(p.c.output)), in_type(p.c.output, x));
            }
        }
    if (!gelu_aux && !relu_aux) {
        EXPECT_EQ(aux, p.aux);
    }
}

void check_bias(Product &p, const std::vector<char> &bias)
{
    const bool of_a = p.c.epilogue == CUBLASLT_EPILOGUE_BGRADA, of_b = p.c.epilogue == CUBLASLT_EPILOGUE_BGRADB;
    if (!of_a && !of_b && !p.has(16)) {
        EXPECT_EQ(bias, p.bias);
        return;
    }
    for (int64_t i = 0; i < (of_b ? p.c.n : p.c.m); i++) {
        double sum = 0;
        for (int64_t j = 0; j < (of_a || of_b ? p.c.k : p.c.n); j++)
            sum += of_a ? p.a_at(0, i, j) : of_b ? p.b_at(0, j, i) : p.activated(p.linear(0, i, j), i, j);
        expect_close(p.c, get(p.c.output, bias.data() + (size_t)i * size_of(p.c.output)), sum);
    }
}

void check(const Case &c)
{
    Product p(c);
    std::vector<char> got, bias, aux;
    multiply(p, &got, &bias, &aux);
    if (testing::Test::HasFatalFailure())
        return;
    check_matrix(p, got);
    check_aux(p, aux);
    check_bias(p, bias);
}

struct Types {
    cublasComputeType_t compute;
    cudaDataType_t input, output;
};

const Types kTypes[] = {
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F},           {CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F},
    {CUBLAS_COMPUTE_32F_FAST_16BF, CUDA_R_32F, CUDA_R_32F}, {CUBLAS_COMPUTE_32F, CUDA_R_16BF, CUDA_R_32F},
    {CUBLAS_COMPUTE_32F, CUDA_R_16BF, CUDA_R_16BF},         {CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F}};

Case with_types(Case c, const Types &types)
{
    c.compute = types.compute;
    c.input = types.input;
    c.output = types.output;
    return c;
}

TEST(Lt, EveryOrderAndTransposeOfEveryType)
{
    for (const Types &types : kTypes)
        for (int bits = 0; bits < 32; bits++) {
            Case c = with_types(Case(), types);
            c.trans_a = bits & 1;
            c.trans_b = bits & 2;
            c.order_a = bits & 4 ? kRow : kCol;
            c.order_b = bits & 8 ? kRow : kCol;
            c.order_d = bits & 16 ? kRow : kCol;
            SCOPED_TRACE("compute " + std::to_string(c.compute) + " bits " + std::to_string(bits));
            check(c);
        }
}

TEST(Lt, SizesFromOneToBeyondATile)
{
    for (int64_t m : {1, 2, 33, 130})
        for (int64_t n : {1, 3, 65})
            for (int64_t k : {1, 17, 64}) {
                Case c;
                c.m = m;
                c.n = n;
                c.k = k;
                check(c);
            }
}

TEST(Lt, AlphaAndBeta)
{
    for (const Types &types : kTypes)
        for (double alpha : {0.0, 0.5, -2.0})
            for (double beta : {0.0, 1.0, -0.5}) {
                Case c = with_types(Case(), types);
                c.alpha = alpha;
                c.beta = beta;
                check(c);
            }
}

TEST(Lt, BatchesWithStrides)
{
    for (cublasLtOrder_t order : {kCol, kRow}) {
        Case c;
        c.batches = 4;
        c.order_a = c.order_d = order;
        c.trans_b = true;
        check(c);
    }
}

TEST(Lt, EveryEpilogueOfEveryType)
{
    const uint32_t epilogues[] = {
        CUBLASLT_EPILOGUE_BIAS,        CUBLASLT_EPILOGUE_RELU,          CUBLASLT_EPILOGUE_RELU_BIAS,
        CUBLASLT_EPILOGUE_RELU_AUX,    CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLASLT_EPILOGUE_GELU,
        CUBLASLT_EPILOGUE_GELU_BIAS,   CUBLASLT_EPILOGUE_GELU_AUX,      CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
        CUBLASLT_EPILOGUE_DRELU,       CUBLASLT_EPILOGUE_DRELU_BGRAD,   CUBLASLT_EPILOGUE_DGELU,
        CUBLASLT_EPILOGUE_DGELU_BGRAD, CUBLASLT_EPILOGUE_BGRADA,        CUBLASLT_EPILOGUE_BGRADB};
    for (const Types &types : kTypes)
        for (uint32_t epilogue : epilogues)
            for (int64_t m : {7, 131}) {
                Case c = with_types(Case(), types);
                c.epilogue = epilogue;
                c.m = m;
                c.trans_a = true;
                c.alpha = 0.5;
                SCOPED_TRACE("epilogue " + std::to_string(epilogue) + " compute " + std::to_string(c.compute));
                check(c);
            }
}

/** 1 + 2^-11 lies between two TF32 values, 1 + 3 * 2^-11 too: ties go to even. */
TEST(Lt, FastTypesRoundTheirOperands)
{
    for (cublasComputeType_t compute : {CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F_FAST_16BF}) {
        Case c;
        c.compute = compute;
        c.m = c.n = 1;
        c.k = 4;
        Product p(c);
        const float values[] = {1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 1 + 3 * 0x1p-8f, -1 - 0x1p-12f};
        for (int64_t i = 0; i < c.k; i++) {
            put(CUDA_R_32F, p.a.at(0, 0, i), values[i]);
            put(CUDA_R_32F, p.b.at(0, i, 0), 1);
        }
        std::vector<char> got, bias, aux;
        multiply(p, &got, &bias, &aux);
        check_matrix(p, got);
        Case full = c;
        full.compute = CUBLAS_COMPUTE_32F;
        Product exact(full);
        exact.a.bytes = p.a.bytes;
        exact.b.bytes = p.b.bytes;
        EXPECT_NE(exact.linear(0, 0, 0), p.linear(0, 0, 0));
    }
}

cublasStatus_t status_of(const Case &c)
{
    Product p(c);
    const Desc desc(c);
    cublasLtMatmulHeuristicResult_t result;
    int count = 7;
    const cublasStatus_t status = heuristic(p, desc, &result, &count);
    EXPECT_EQ(count, status == CUBLAS_STATUS_SUCCESS ? 1 : 0);
    return status;
}

TEST(Lt, RefusesWhatIsNotSupported)
{
    Case c;
    EXPECT_EQ(status_of(c), CUBLAS_STATUS_SUCCESS);
    c.epilogue = CUBLASLT_EPILOGUE_BIAS;
    c.order_d = kRow;
    EXPECT_EQ(status_of(c), CUBLAS_STATUS_NOT_SUPPORTED) << "a bias follows D by columns";
    c = Case();
    c.epilogue = 3;
    EXPECT_EQ(status_of(c), CUBLAS_STATUS_NOT_SUPPORTED) << "no such epilogue";
    c = Case();
    c.compute = CUBLAS_COMPUTE_32I;
    EXPECT_EQ(status_of(c), CUBLAS_STATUS_NOT_SUPPORTED);
    c = Case();
    c.output = CUDA_R_16BF;
    EXPECT_EQ(status_of(c), CUBLAS_STATUS_NOT_SUPPORTED) << "float operands, bfloat16 result";
    c = Case();
    c.epilogue = CUBLASLT_EPILOGUE_RELU_AUX;
    EXPECT_EQ(status_of(c), CUBLAS_STATUS_INVALID_VALUE) << "the leading dimension of the mask is not set";
}

TEST(Lt, RefusesShapesThatContradict)
{
    Product p((Case()));
    const Desc desc{Case()};
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    p.a.set(CUBLASLT_MATRIX_LAYOUT_COLS, (uint64_t)8);
    EXPECT_EQ(heuristic(p, desc, &result, &count), CUBLAS_STATUS_INVALID_VALUE);
    p.a.set(CUBLASLT_MATRIX_LAYOUT_COLS, (uint64_t)9);
    p.a.set(CUBLASLT_MATRIX_LAYOUT_LD, (int64_t)6);
    EXPECT_EQ(heuristic(p, desc, &result, &count), CUBLAS_STATUS_INVALID_VALUE);
}

TEST(Lt, AttributesHaveTheirSizesAndDefaults)
{
    const Desc desc{Case()};
    int64_t ld = 5;
    size_t written = 0;
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(desc.desc, CUBLASLT_MATMUL_DESC_TRANSA, &ld, sizeof ld),
              CUBLAS_STATUS_INVALID_VALUE);
    EXPECT_EQ(cublasLtMatmulDescGetAttribute(desc.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, nullptr, 0, &written),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(written, sizeof ld);
    EXPECT_EQ(cublasLtMatmulDescGetAttribute(desc.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, sizeof ld, &written),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(ld, 0);
    cublasLtMatmulDescOpaque_t own;
    EXPECT_EQ(cublasLtMatmulDescInit(&own, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    int32_t type = 0;
    EXPECT_EQ(cublasLtMatmulDescGetAttribute(&own, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type, &written),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(type, -1);
}

TEST(Lt, IsCapturedIntoGraphs)
{
    Case c;
    c.beta = 1;
    Product p(c);
    const Desc desc(c);
    const DeviceArray<char> a(p.a.bytes), b(p.b.bytes), d(p.d.bytes);
    const float one = 1;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    ASSERT_EQ(cublasLtMatmul(handle(), desc.desc, &one, a.at(), p.a.layout, b.at(), p.b.layout, &one, d.at(),
                             p.d.layout, d.at(), p.d.layout, nullptr, nullptr, 0, stream),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    check_matrix(p, d.get());
    p.d.bytes = d.get();
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    check_matrix(p, d.get());
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
}

} // namespace
