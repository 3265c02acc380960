// Products by cublasLt: which it serves, what they are rounded to, and what happens where it refuses.
#include "harness.h"

#ifdef EG_WITH_CUDA
#include <cublasLt.h> // with operators of C++
extern "C" {
#include "cuda/lt.h"
}

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace ops;

namespace
{

class CudaLt : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        const char *device = getenv("EG_TEST_DEVICE");
        if (!device || strncmp(device, "cuda", 4) != 0)
            GTEST_SKIP() << "EG_TEST_DEVICE is not cuda";
        lt = cuda()->lt;
        if (!lt)
            GTEST_SKIP() << "no cublasLt: " << gpu.c->device->description;
        gpu.own_kernels(false);
    }
    egi_cuda *cuda()
    {
        return (egi_cuda *)gpu.c->device;
    }
    // Does cublasLt take this plan's only operation?
    eg_status offer(const Instance &x)
    {
        egi_kernel k = x.plan->kernels[0];
        k.run = nullptr;
        k.state = nullptr;
        k.destroy = nullptr;
        const eg_status status = (k.op == &egi_op_gemm ? egi_cuda_lt_gemm : egi_cuda_lt_dense)(gpu.c->device, &k);
        if (k.destroy)
            k.destroy(gpu.c->device, &k);
        return status;
    }

    Context gpu, host{true};
    egi_cuda_lt *lt = nullptr;
};

// One gemm or dense, with the shapes and args that its case points to.
struct Product {
    egi_gemm gemm = {};
    egi_dense dense = {};
    egi_op_case data = {};
    Case k = {};

    static egi_shape shape(std::initializer_list<int64_t> dims)
    {
        egi_shape s = {};
        for (const int64_t d : dims)
            s.dim[s.rank++] = d;
        return s;
    }
    // c = a' b: (m, n), over k.
    static void gemm_of(Product &p, int64_t m, int64_t n, int64_t k, bool accumulate = false)
    {
        p.gemm.ta = true;
        p.gemm.accumulate = accumulate;
        p.data.args = &p.gemm;
        p.data.in[0] = shape({k, m});
        p.data.in[1] = shape({k, n});
        p.data.in[2] = p.data.out[0] = shape({m, n});
        p.k = {&egi_op_gemm, 0, &p.data};
    }
    static void dense_of(Product &p, egi_act act, int64_t m, int64_t n, int64_t k)
    {
        p.dense.act = act;
        p.data.args = &p.dense;
        p.data.in[0] = shape({m, k});
        p.data.in[1] = shape({k, n});
        p.data.in[2] = shape({n});
        p.data.out[0] = shape({m, n});
        p.k = {&egi_op_dense, 0, &p.data};
    }
};

template <class F> void change(Value &v, F f)
{
    std::vector<double> x = v.get();
    std::transform(x.begin(), x.end(), x.begin(), f);
    v.set(x);
}

// To `bits` bits of fraction, ties to even.
double rounded(double x, int bits)
{
    int exponent;
    const double fraction = std::frexp(x, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, bits + 1)), exponent - bits - 1);
}

TEST_F(CudaLt, ServesAllThatHaveElements)
{
    int served = 0;
    for (const Case &k : all_cases()) {
        if (k.op != &egi_op_gemm && k.op != &egi_op_dense)
            continue;
        Instance x(k, EGI_F32);
        ASSERT_OK(x.bind(gpu.c));
        ASSERT_OK(x.emit());
        ASSERT_OK(egi_plan_compile(x.plan));
        const bool pass = k.op == &egi_op_dense && ((const egi_dense *)k.data->args)->act != EGI_ACT_LINEAR;
        const bool wanted = !pass && egi_shape_count(&k.data->out[0]) > 0;
        EXPECT_EQ(wanted ? EG_OK : EGI_CUDA_DECLINE, offer(x)) << k.id() << ": " << eg_last_message();
        served += wanted;
    }
    EXPECT_GE(served, 14);
}

// The activation of a large product is a pass of its own over what the linear one gives, and keeps NaNs.
TEST_F(CudaLt, ActivationsFollowLargeProducts)
{
    std::vector<double> linear;
    for (const egi_act act : {EGI_ACT_LINEAR, EGI_ACT_RELU, EGI_ACT_TANH}) {
        Product p;
        Product::dense_of(p, act, 64, 512, 2048);
        Instance got(p.k, EGI_F32);
        std::vector<double> w = got.values[1].get();
        w[3] = NAN; // of column 3
        got.values[1].set(w);
        ASSERT_OK(got.run(gpu.c, control()));
        EXPECT_EQ(EG_OK, offer(got)) << eg_last_message();
        const std::vector<double> y = got.values[3].get();
        if (act == EGI_ACT_LINEAR)
            linear = y;
        for (size_t j = 0; j < y.size(); j++) {
            const double x = linear[j], wanted = act == EGI_ACT_RELU ? (x < 0 ? 0 : x) : std::tanh(x);
            ASSERT_EQ(j % 512 == 3, std::isnan(y[j])) << "activation " << act << ", element " << j;
            if (act != EGI_ACT_LINEAR && j % 512 != 3) {
                ASSERT_NEAR(wanted, y[j], 1e-6) << "activation " << act << ", element " << j; // of tanhf itself
            }
        }
    }
}

// Against factors that are rounded first. Products of rounded factors are exact in f32, so that only sums round: each
// of k - 1 by at most 2^-24 of the sum of magnitudes. How a GPU rounds is its own affair: there, only the size counts.
TEST_F(CudaLt, FactorsAreRoundedAsAskedFor)
{
    const bool simulated = strncmp(gpu.c->device->description, "cudasim", 7) == 0;
    const struct {
        egi_precision precision;
        int bits;
    } kinds[] = {{EGI_PRECISION_F32, 23}, {EGI_PRECISION_TF32, 10}, {EGI_PRECISION_BF16, 7}};
    for (const auto &kind : kinds) {
        Product p;
        Product::gemm_of(p, 33, 65, 129);
        Instance exact(p.k, EGI_F64), cut(p.k, EGI_F64), sizes(p.k, EGI_F64), got(p.k, EGI_F32);
        for (size_t i = 0; i < 2; i++) {
            change(cut.values[i], [&](double x) { return rounded(x, kind.bits); });
            change(sizes.values[i], [](double x) { return std::fabs(x); });
        }
        for (Instance *x : {&exact, &cut, &sizes})
            ASSERT_OK(x->run(host.c, control()));
        ASSERT_OK(egi_context_set_precision(gpu.c, kind.precision));
        ASSERT_OK(got.run(gpu.c, control()));
        const std::vector<double> e = exact.values[2].get(), r = cut.values[2].get(), s = sizes.values[2].get(),
                                  x = got.values[2].get();
        const bool narrow = kind.precision != EGI_PRECISION_F32;
        double worst = 0; // distance from the product that is not rounded, in bounds of what sums may lose
        for (size_t j = 0; j < x.size(); j++) {
            const double sums = 129 * 0x1p-24 * s[j], factors = 2.01 * std::ldexp(1, -kind.bits) * s[j];
            if (simulated) {
                ASSERT_LE(std::fabs(x[j] - r[j]), sums) << "precision " << kind.precision << ", element " << j;
            }
            ASSERT_LE(std::fabs(x[j] - e[j]), sums + (narrow ? factors : 0)) << "element " << j;
            worst = std::max(worst, std::fabs(x[j] - e[j]) / sums);
        }
        EXPECT_EQ(simulated && narrow, simulated && worst > 1) << "precision " << kind.precision << ": " << worst;
    }
}

// Plainly, captured, launched: what is added up three times.
TEST_F(CudaLt, CallsInAGraphGiveTheSameBits)
{
    Context one_by_one;
    one_by_one.c->device->eager = true;
    Product p;
    Product::gemm_of(p, 37, 20, 64, true);
    Instance graph(p.k, EGI_F32), eager(p.k, EGI_F32);
    const egi_control step = control();
    const auto run = [&](Instance &x, const Context &c) {
        ASSERT_OK(x.bind(c.c));
        ASSERT_OK(x.emit());
        ASSERT_OK(egi_plan_compile(x.plan));
        for (int i = 0; i < 3; i++)
            ASSERT_OK(egi_plan_run(x.plan, &step));
    };
    ASSERT_NO_FATAL_FAILURE(run(graph, gpu));
    ASSERT_NO_FATAL_FAILURE(run(eager, one_by_one));
    EXPECT_EQ(EG_OK, offer(graph)) << eg_last_message();
    EXPECT_NE(nullptr, cuda()->graphs[0].exec);
    EXPECT_EQ(graph.values[2].memory, eager.values[2].memory);
}

cublasStatus_t refuse(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                      cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                      cublasLtMatmulHeuristicResult_t *, int *)
{
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t find_none(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                         cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                         cublasLtMatmulHeuristicResult_t *, int *found)
{
    *found = 0;
    return CUBLAS_STATUS_SUCCESS;
}

TEST_F(CudaLt, OwnKernelsServeWhatItRefuses)
{
    Product p;
    Product::gemm_of(p, 5, 3, 7);
    for (const auto answer : {refuse, find_none}) {
        Context other;
        ((egi_cuda *)other.c->device)->lt->cublasLtMatmulAlgoGetHeuristic = answer;
        Context own;
        own.own_kernels(true);
        Instance got(p.k, EGI_F32), want(p.k, EGI_F32);
        ASSERT_OK(got.run(other.c, control()));
        ASSERT_OK(want.run(own.c, control()));
        EXPECT_FALSE(got.plan->kernels[0].slow);
        EXPECT_EQ(got.values[2].memory, want.values[2].memory);
    }
}

TEST_F(CudaLt, ItsErrorsSayWhichCallGaveWhat)
{
    Product p;
    Product::gemm_of(p, 5, 3, 7);
    const int64_t live = gpu.c->live_blocks;
    const cublasLtHandle_t handle = lt->handle;
    lt->handle = nullptr;
    Instance x(p.k, EGI_F32);
    EXPECT_EQ(EG_ERR_DEVICE, x.run(gpu.c, control()));
    EXPECT_STREQ("cuda: cublasLt: cublasLtMatmulAlgoGetHeuristic: CUBLAS_STATUS_NOT_INITIALIZED", eg_last_message());
    lt->handle = handle;
    egi_plan_free(x.plan);
    x.plan = nullptr;
    EXPECT_EQ(live, gpu.c->live_blocks) << "a kernel that was not finished was not freed";
}

} // namespace

#endif
