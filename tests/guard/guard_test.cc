// Every fast kernel of the cpu, oneDNN's too, with each tensor and the scratch memory against an unmapped page: reading
// or writing one byte too far ends the program. Once with the page behind, once with it before. Results are compared
// with the reference.
#include "tests/ops/dtypes.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

extern "C" {
#include "core/cpu/cpu.h"
#include "core/ops/ops.h"
#include "core/rng.h"
}

namespace
{

enum class Side { Behind, Before };

class Guarded
{
  public:
    Guarded(size_t bytes, Side side)
    {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        const size_t room = (bytes + page - 1) / page * page;
        length_ = room + page;
        base_ = (char *)mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base_ == MAP_FAILED)
            std::abort();
        if (mprotect(side == Side::Behind ? base_ + room : base_, page, PROT_NONE) != 0)
            std::abort();
        data = side == Side::Behind ? base_ + room - bytes : base_ + page;
    }
    ~Guarded()
    {
        munmap(base_, length_);
    }
    Guarded(const Guarded &) = delete;
    void *data;

  private:
    char *base_;
    size_t length_;
};

struct Fast {
    const char *name;
    const egi_op *op;
    egi_prepare_fn prepare;
};

const Fast kFast[] = {
#define EG_FAST(op_name, prepare_function) {#prepare_function, &egi_op_##op_name, prepare_function},
#include "core/cpu/fast.def"
#undef EG_FAST
};

class Device
{
  public:
    explicit Device(int threads)
    {
        static const egi_device_type *const types[] = {&egi_device_cpu, nullptr};
        eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
        options.threads = threads;
        EXPECT_EQ(EG_OK, egi_context_create(&context, &options, types)) << eg_last_message();
    }
    ~Device()
    {
        eg_context_free(context);
    }
    eg_context *context = nullptr;
};

// One value of a case.
struct Value {
    egi_val v;
    egi_tensor shape;
    bool in, out;
    egi_fill fill;
};

// Numbers the values of a case and writes the numbers into its args.
std::vector<Value> values_of(const egi_op *op, const egi_op_case &k, std::vector<char> *args)
{
    std::vector<Value> all;
    for (int i = 0; op->in[i]; i++) {
        if (k.in_absent >> i & 1)
            continue;
        const egi_val v = (egi_val)all.size() + 1;
        *egi_arg_ref(args->data(), op->in[i]) = v;
        all.push_back(
            {v, {nullptr, ops::dtype_of(op, op->in[i], k.fill[i], EGI_F32), k.in[i]}, true, false, k.fill[i]});
    }
    for (int i = 0; op->out[i]; i++) {
        if (k.out_absent >> i & 1)
            continue;
        egi_val *v = egi_arg_ref(args->data(), op->out[i]);
        if (*v != EGI_NONE) {
            all[(size_t)*v - 1].out = true;
            continue;
        }
        *v = (egi_val)all.size() + 1;
        all.push_back({*v,
                       {nullptr, ops::dtype_of(op, op->out[i], EGI_FILL_NORMAL, EGI_F32), k.out[i]},
                       false,
                       true,
                       EGI_FILL_NORMAL});
    }
    return all;
}

void fill(egi_tensor *t, egi_fill how, int labels, uint32_t seed)
{
    egi_rng r = egi_rng_make(seed, EGI_RNG_TEST, 3);
    for (int64_t i = 0; i < egi_count(t); i++) {
        double x = egi_rng_normal(&r);
        if (how == EGI_FILL_POSITIVE)
            x = 0.5 + egi_rng_uniform(&r);
        else if (how == EGI_FILL_UNIT)
            x = 0.01 + 0.98 * egi_rng_uniform(&r);
        else if (how == EGI_FILL_LABELS || how == EGI_FILL_POSITIONS)
            x = (double)egi_rng_below(&r, (uint64_t)std::max(labels, 1));
        else if (how == EGI_FILL_BYTES)
            x = (double)egi_rng_below(&r, 256);
        else if (how == EGI_FILL_ROWS)
            x = (double)egi_rng_below(&r, (uint64_t)labels + 1) - 1;
        else if (how == EGI_FILL_NEGATIVE)
            x = -0.5 - egi_rng_uniform(&r);
        else if (how == EGI_FILL_ONEHOT)
            x = i % t->shape.dim[t->shape.rank - 1] == 0;
        egi_set(t, i, x);
    }
}

struct Memory {
    std::vector<egi_tensor> t{egi_tensor{}};
    std::vector<std::unique_ptr<Guarded>> blocks;
};

void allocate(Memory *m, const std::vector<Value> &values, int labels, Side side)
{
    for (const Value &value : values) {
        egi_tensor t = value.shape;
        const size_t bytes = (size_t)egi_count(&t) * egi_dtype_size(t.dtype);
        m->blocks.push_back(std::make_unique<Guarded>(bytes, side));
        t.data = m->blocks.back()->data;
        if (bytes)
            std::memset(t.data, 0xff, bytes); // NaN: what is not written is seen
        if (value.in)
            fill(&t, value.fill, labels, (uint32_t)value.v);
        m->t.push_back(t);
    }
}

egi_control control()
{
    egi_control c{};
    c.seed = 7;
    c.lr = 0.1;
    c.strength = 0.5;
    c.weights_version = 1;
    return c;
}

void compare(const Value &value, const Memory &fast, const Memory &wanted, double tolerance, const std::string &what)
{
    const egi_tensor *a = &fast.t[(size_t)value.v], *b = &wanted.t[(size_t)value.v];
    double largest = 0, error = 0;
    for (int64_t i = 0; i < egi_count(b); i++) {
        largest = std::max(largest, std::fabs(egi_get(b, i)));
        const double e = std::fabs(egi_get(a, i) - egi_get(b, i));
        error = e <= error ? error : e;
    }
    EXPECT_TRUE(error <= tolerance * largest)
        << what << " value " << value.v << ": error " << error << " of " << largest;
}

// Runs a case through one fast kernel. False: that kernel does not serve it.
bool guarded_run(Device *device, const Fast &fast, const egi_op_case &k, Side side, const std::string &what)
{
    std::vector<char> args((const char *)k.args, (const char *)k.args + fast.op->size);
    const std::vector<Value> values = values_of(fast.op, k, &args);
    Memory guarded, plain;
    allocate(&guarded, values, k.labels, side);
    allocate(&plain, values, k.labels, Side::Behind);

    egi_kernel kernel{};
    kernel.op = fast.op;
    kernel.args = args.data();
    kernel.t = guarded.t.data();
    kernel.threads = device->context->threads;
    kernel.device = device->context->device;
    const eg_status status = fast.prepare(kernel.device, &kernel);
    if (status == EG_ERR_UNSUPPORTED)
        return false;
    EXPECT_EQ(EG_OK, status) << what << ": " << eg_last_message();
    Guarded scratch((kernel.scratch_bytes + 63) / 64 * 64, side); // the plan gives whole cache lines
    std::memset(scratch.data, 0xff, (kernel.scratch_bytes + 63) / 64 * 64);
    kernel.scratch = scratch.data;
    const egi_control c = control();
    EXPECT_EQ(EG_OK, kernel.run(&kernel, &c)) << what << ": " << eg_last_message();
    fast.op->reference(args.data(), plain.t.data(), &c);
    for (const Value &value : values)
        if (value.out)
            compare(value, guarded, plain, k.tolerance > 0 ? k.tolerance : 1e-5, what);
    if (kernel.destroy)
        kernel.destroy(kernel.device, &kernel);
    return true;
}

TEST(Guard, EveryFastKernelStaysInsideItsTensors)
{
    for (int threads : {1, 3}) {
        Device device(threads);
        for (const Fast &fast : kFast) {
            int served = 0;
            for (int i = 0; i < fast.op->n_cases; i++)
                for (Side side : {Side::Behind, Side::Before})
                    served += guarded_run(&device, fast, fast.op->cases[i], side,
                                          std::string(fast.name) + " case " + std::to_string(i));
            EXPECT_GT(served, 0) << fast.name << " serves no case";
        }
    }
}

// --- random shapes ---------------------------------------------------------------------------------------------------

class Dice
{
  public:
    explicit Dice(uint32_t seed) : rng_(egi_rng_make(seed, EGI_RNG_TEST, 0))
    {
    }
    int64_t from(int64_t low, int64_t high)
    {
        return low + (int64_t)egi_rng_below(&rng_, (uint64_t)(high - low + 1));
    }
    int64_t of(std::initializer_list<int64_t> list)
    {
        return list.begin()[from(0, (int64_t)list.size() - 1)];
    }

  private:
    egi_rng rng_;
};

struct Convolution {
    egi_conv_geometry g;
    int64_t n, h, w, c, kh, kw, f, oh, ow;
    std::string text() const
    {
        auto s = [](int64_t x) { return std::to_string(x) + " "; };
        return "n h w c " + s(n) + s(h) + s(w) + s(c) + "kernel " + s(kh) + s(kw) + "f " + s(f) + "out " + s(oh) +
               s(ow) + "stride " + s(g.stride[0]) + s(g.stride[1]) + "pad " + s(g.pad[0]) + s(g.pad[1]) + "dilation " +
               s(g.dilation[0]) + s(g.dilation[1]) + "groups " + s(g.groups);
    }
};

Convolution random_convolution(Dice *d)
{
    Convolution v{};
    v.g.groups = d->of({1, 1, 1, 1, 2, 4});
    v.n = d->from(1, 4);
    v.c = v.g.groups * d->of({1, 1, 2, 3, 4, 5, 6, 8, 8, 16, 17, 32});
    v.f = v.g.groups * d->of({1, 2, 3, 4, 6, 7, 8, 8, 10, 16, 16, 20, 24, 33, 48});
    v.kh = d->of({1, 1, 2, 3, 3, 5});
    v.kw = d->of({v.kh, v.kh, v.kh, 1, 2});
    v.h = d->from(1, 16);
    v.w = d->of({v.h, d->from(1, 30)});
    const bool same = d->from(0, 1);
    const int64_t in[2] = {v.h, v.w}, kernel[2] = {v.kh, v.kw};
    int64_t out[2];
    for (int a = 0; a < 2; a++) {
        v.g.stride[a] = d->of({1, 1, 1, 2, 2, 3});
        v.g.dilation[a] = d->of({1, 1, 1, 2});
        out[a] = egi_conv_valid(in[a], kernel[a], v.g.stride[a], v.g.dilation[a]);
        if (same || out[a] < 1)
            egi_conv_same(in[a], kernel[a], v.g.stride[a], v.g.dilation[a], &out[a], &v.g.pad[a]);
    }
    v.oh = out[0];
    v.ow = out[1];
    return v;
}

egi_shape shape(std::initializer_list<int64_t> dims)
{
    egi_shape s{};
    for (int64_t d : dims)
        s.dim[s.rank++] = d;
    return s;
}

// The four operations of one convolution.
void with_cases(const Convolution &v, Dice *d, const std::function<void(const egi_op *, const egi_op_case &)> &use)
{
    const egi_shape x = shape({v.n, v.h, v.w, v.c}), w = shape({v.kh, v.kw, v.c / v.g.groups, v.f}), b = shape({v.f});
    const egi_shape y = shape({v.n, v.oh, v.ow, v.f});
    egi_conv2d forward{};
    forward.g = v.g;
    forward.act = (egi_act)d->of({EGI_ACT_LINEAR, EGI_ACT_RELU, EGI_ACT_TANH, EGI_ACT_LEAKY_RELU});
    forward.alpha = 0.3f;
    egi_conv2d_dx dx{};
    dx.g = v.g;
    egi_conv2d_dw dw{};
    dw.g = v.g;
    egi_conv2d_square square{};
    square.g = v.g;
    const uint32_t no_bias = (uint32_t)d->from(0, 1);
    egi_op_case k{};
    k.tolerance = 2e-5;
    k.args = &forward;
    k.in[0] = x, k.in[1] = w, k.in[2] = b, k.in[3] = k.out[0] = y;
    k.in_absent = no_bias << 2 | (uint32_t)d->from(0, 1) << 3;
    use(&egi_op_conv2d, k);
    k.args = &dx;
    k.in[0] = y, k.in[2] = w, k.out[0] = x, k.in_absent = 2;
    use(&egi_op_conv2d_dx, k);
    k.args = &dw;
    k.in[0] = x, k.in[1] = y, k.out[0] = w, k.out[1] = b, k.in_absent = 4, k.out_absent = no_bias << 1;
    use(&egi_op_conv2d_dw, k);
    k.args = &square;
    k.in[0] = x, k.in[1] = y, k.in[3] = w, k.in[4] = b, k.in_absent = no_bias << 4 | 4;
    use(&egi_op_conv2d_square, k);
}

TEST(Guard, ConvolutionsOfRandomShapes)
{
    Device device(2);
    Dice dice(11);
    int served = 0;
    for (int i = 0; i < 150; i++) {
        const Convolution v = random_convolution(&dice);
        const Side side = i % 4 ? Side::Behind : Side::Before;
        with_cases(v, &dice, [&](const egi_op *op, const egi_op_case &k) {
            for (const Fast &fast : kFast)
                if (fast.op == op)
                    served += guarded_run(&device, fast, k, side, std::string(fast.name) + ": " + v.text());
        });
        if (HasFailure())
            break;
    }
    EXPECT_GT(served, 150 * 4);
}

// --- pooling ---

egi_pool_geometry random_pooling(Dice *d, const int64_t *in, int64_t *out)
{
    egi_pool_geometry g{};
    for (int a = 0; a < 2; a++) {
        g.window[a] = d->of({1, 2, 2, 2, 3, 4});
        g.stride[a] = d->of({g.window[a], g.window[a], 1, 2, 3});
        out[a] = egi_conv_valid(in[a], g.window[a], g.stride[a], 1);
        if (out[a] < 1 || d->from(0, 1))
            egi_conv_same(in[a], g.window[a], g.stride[a], 1, &out[a], &g.pad[a]);
    }
    return g;
}

void with_pooling(Dice *d, const std::function<void(const egi_op *, const egi_op_case &)> &use)
{
    const int64_t in[2] = {d->from(1, 14), d->from(1, 14)};
    int64_t out[2];
    const egi_pool_geometry g = random_pooling(d, in, out);
    const int64_t n = d->from(1, 4), c = d->of({1, 2, 3, 6, 7, 8, 9, 16, 20});
    const egi_shape large = shape({n, in[0], in[1], c}), small = shape({n, out[0], out[1], c});
    egi_maxpool max{};
    egi_maxpool_grad max_grad{};
    egi_avgpool mean{};
    egi_avgpool_grad mean_grad{};
    max.g = max_grad.g = mean.g = mean_grad.g = g;
    egi_op_case k{};
    k.args = &max;
    k.in[0] = large, k.out[0] = k.out[1] = small, k.out_absent = (uint32_t)d->from(0, 1) << 1;
    use(&egi_op_maxpool, k);
    k.args = &mean;
    use(&egi_op_avgpool, k);
    k.out_absent = 0;
    k.args = &max_grad;
    k.in[0] = k.in[1] = small, k.out[0] = large;
    k.fill[1] = EGI_FILL_POSITIONS, k.labels = (int)(g.window[0] * g.window[1]);
    use(&egi_op_maxpool_grad, k);
    k.args = &mean_grad;
    use(&egi_op_avgpool_grad, k);
}

TEST(Guard, PoolingOfRandomShapes)
{
    Device device(2);
    Dice dice(12);
    int served = 0;
    for (int i = 0; i < 150 && !HasFailure(); i++)
        with_pooling(&dice, [&](const egi_op *op, const egi_op_case &k) {
            for (const Fast &fast : kFast)
                if (fast.op == op)
                    served += guarded_run(&device, fast, k, i % 4 ? Side::Behind : Side::Before,
                                          std::string(fast.name) + " shape " + std::to_string(i));
        });
    EXPECT_EQ(served, 150 * 4);
}

// --- both in one ---

// The operations of a convolution that is pooled.
void with_both(Dice *d, const std::function<void(const egi_op *, const egi_op_case &, const std::string &)> &use)
{
    const Convolution v = random_convolution(d);
    int64_t out[2];
    egi_conv_pool pool{{v.oh, v.ow}, {}};
    pool.g = random_pooling(d, pool.size, out);
    const egi_shape x = shape({v.n, v.h, v.w, v.c}), w = shape({v.kh, v.kw, v.c / v.g.groups, v.f}), b = shape({v.f});
    const egi_shape y = shape({v.n, out[0], out[1], v.f});
    egi_conv2d_maxpool forward{};
    forward.act = (egi_act)d->of({EGI_ACT_LINEAR, EGI_ACT_RELU, EGI_ACT_LEAKY_RELU});
    forward.alpha = 0.3f;
    egi_conv2d_dx dx{};
    egi_conv2d_dw dw{};
    egi_conv2d_square square{};
    forward.g = dx.g = dw.g = square.g = v.g;
    forward.pool = dx.pool = dw.pool = square.pool = pool;
    const uint32_t no_bias = (uint32_t)d->from(0, 1), no_index = (uint32_t)d->from(0, 1);
    egi_op_case k{};
    k.tolerance = 2e-5;
    k.labels = (int)(pool.g.window[0] * pool.g.window[1]);
    k.args = &forward;
    k.in[0] = x, k.in[1] = w, k.in[2] = b, k.out[0] = k.out[1] = y;
    k.in_absent = no_bias << 2, k.out_absent = no_index << 1;
    use(&egi_op_conv2d_maxpool, k, v.text());
    k.args = &dx;
    k.in[0] = k.in[1] = y, k.in[2] = w, k.out[0] = x, k.in_absent = k.out_absent = 0, k.fill[1] = EGI_FILL_POSITIONS;
    use(&egi_op_conv2d_dx, k, v.text());
    k.args = &dw;
    k.in[0] = x, k.in[1] = k.in[2] = y, k.out[0] = w, k.out[1] = b, k.out_absent = no_bias << 1;
    k.fill[1] = EGI_FILL_NORMAL, k.fill[2] = EGI_FILL_POSITIONS;
    use(&egi_op_conv2d_dw, k, v.text());
    k.args = &square;
    k.in[3] = w, k.in[4] = b, k.in_absent = no_bias << 4;
    use(&egi_op_conv2d_square, k, v.text());
}

TEST(Guard, PooledConvolutionsOfRandomShapes)
{
    Device device(2);
    Dice dice(14);
    int served = 0;
    for (int i = 0; i < 200 && !HasFailure(); i++)
        with_both(&dice, [&](const egi_op *op, const egi_op_case &k, const std::string &what) {
            for (const Fast &fast : kFast)
                if (fast.op == op)
                    served += guarded_run(&device, fast, k, i % 4 ? Side::Behind : Side::Before,
                                          std::string(fast.name) + ": " + what);
        });
    EXPECT_GT(served, 200 * 3);
}

// --- products ---

TEST(Guard, ProductsOfRandomSizes)
{
    Device device(2);
    Dice dice(13);
    int served = 0;
    for (int i = 0; i < 150 && !HasFailure(); i++) {
        const int64_t m = dice.of({1, 2, 3, 5, 8, 17, 64}), n = dice.of({1, 2, 7, 8, 10, 20, 33, 84}),
                      l = dice.of({1, 3, 8, 25, 84, 120});
        egi_gemm g{};
        g.ta = dice.from(0, 1);
        g.tb = dice.from(0, 1);
        g.accumulate = dice.from(0, 1);
        egi_dense dense{};
        dense.act = (egi_act)dice.from(EGI_ACT_LINEAR, EGI_ACT_LEAKY_RELU);
        egi_op_case k{};
        k.tolerance = 2e-5;
        k.args = &g;
        k.in[0] = g.ta ? shape({l, m}) : shape({m, l}), k.in[1] = g.tb ? shape({n, l}) : shape({l, n});
        k.in[2] = k.out[0] = shape({m, n});
        const std::string what = std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(l);
        const Side side = i % 4 ? Side::Behind : Side::Before;
        for (const Fast &fast : kFast)
            if (fast.op == &egi_op_gemm)
                served += guarded_run(&device, fast, k, side, std::string(fast.name) + " " + what);
        k.args = &dense;
        k.in[0] = shape({m, l}), k.in[1] = shape({l, n}), k.in[2] = shape({n}), k.out[0] = shape({m, n});
        k.in_absent = (uint32_t)dice.from(0, 1) << 2;
        for (const Fast &fast : kFast)
            if (fast.op == &egi_op_dense)
                served += guarded_run(&device, fast, k, side, std::string(fast.name) + " " + what);
    }
    EXPECT_GE(served, 300);
}

} // namespace
