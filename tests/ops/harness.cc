#include "harness.h"

#include "tests/ops/dtypes.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace ops
{

static constexpr size_t kGuard = 64;
static constexpr unsigned char kCanary = 0xC7;

Context::Context(bool reference_only, int threads)
{
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    const char *device = getenv("EG_TEST_DEVICE");
    options.threads = threads;
    options.device = device && !reference_only ? device : "cpu"; // the oracle is the host's
    EXPECT_OK(eg_context_create(&c, &options));
    c->device->reference_only = reference_only;
    own_kernels(getenv("EG_TEST_OWN") != nullptr);
}

void Context::own_kernels(bool only)
{
    c->own_kernels = only;
}

Context::~Context()
{
    eg_context_free(c);
}

std::string Case::id() const
{
    return std::string(op->name) + "_" + std::to_string(index);
}

void PrintTo(const Case &k, std::ostream *os)
{
    *os << k.id();
}

std::vector<Case> all_cases()
{
    std::vector<Case> all;
    for (const egi_op *const *op = egi_ops; *op; op++)
        for (int i = 0; i < (*op)->n_cases; i++)
            all.push_back({*op, i, &(*op)->cases[i]});
    return all;
}

// --- values ----------------------------------------------------------------------------------------------------------

int64_t Value::count() const
{
    return egi_shape_count(&shape);
}

void *Value::data()
{
    return memory.data() + kGuard;
}

egi_tensor Value::tensor()
{
    return {data(), dtype, shape};
}

std::vector<double> Value::get()
{
    const egi_tensor t = tensor();
    std::vector<double> x((size_t)count());
    for (int64_t i = 0; i < count(); i++)
        x[(size_t)i] = egi_get(&t, i);
    return x;
}

void Value::set(const std::vector<double> &x)
{
    const egi_tensor t = tensor();
    for (int64_t i = 0; i < count(); i++)
        egi_set(&t, i, x[(size_t)i]);
}

bool Value::canaries_whole() const
{
    for (size_t i = 0; i < kGuard; i++)
        if (memory[i] != kCanary || memory[memory.size() - 1 - i] != kCanary)
            return false;
    return true;
}

// --- filling ---------------------------------------------------------------------------------------------------------

static std::vector<double> one_hot(egi_rng *r, int64_t n, int64_t columns)
{
    std::vector<double> x((size_t)n, 0.0);
    for (int64_t row = 0; columns > 0 && row < n / columns; row++)
        x[(size_t)(row * columns + (int64_t)egi_rng_below(r, (uint64_t)columns))] = 1;
    return x;
}

static std::vector<double> distinct(egi_rng *r, int64_t n)
{
    std::vector<int64_t> order((size_t)n);
    for (int64_t i = 0; i < n; i++)
        order[(size_t)i] = i;
    egi_rng_shuffle(r, order.data(), n);
    std::vector<double> x;
    for (int64_t i : order)
        x.push_back(0.1 * (double)(i - n / 2) + 0.03);
    return x;
}

static double draw(egi_rng *r, egi_fill fill, int labels)
{
    switch (fill) {
    case EGI_FILL_POSITIVE:
        return 0.5 + egi_rng_uniform64(r);
    case EGI_FILL_UNIT:
        return 0.01 + 0.98 * egi_rng_uniform64(r);
    case EGI_FILL_LABELS:
    case EGI_FILL_POSITIONS:
        return (double)egi_rng_below(r, (uint64_t)labels);
    case EGI_FILL_NEGATIVE:
        return -0.5 - egi_rng_uniform64(r);
    case EGI_FILL_BYTES:
        return (double)egi_rng_below(r, 256);
    case EGI_FILL_ROWS:
        return (double)egi_rng_below(r, (uint64_t)labels + 1) - 1;
    case EGI_FILL_AWAY: {
        const double x = egi_rng_normal(r);
        return std::fabs(x) < 0.05 ? std::copysign(0.05 + std::fabs(x), x) : x;
    }
    default:
        return egi_rng_normal(r);
    }
}

static std::vector<double> fill(const Value &v, int labels, uint32_t seed)
{
    egi_rng r = egi_rng_make(seed, EGI_RNG_TEST, v.field);
    const int64_t n = v.count();
    if (v.fill == EGI_FILL_ONEHOT)
        return one_hot(&r, n, v.shape.dim[v.shape.rank - 1]);
    std::vector<double> x;
    if (v.fill == EGI_FILL_DISTINCT)
        x = distinct(&r, n);
    for (int64_t i = (int64_t)x.size(); i < n; i++)
        x.push_back(draw(&r, v.fill, labels));
    for (double &y : x)
        y = (double)(float)y;
    return x;
}

// --- an operation's case ---------------------------------------------------------------------------------------------

egi_control control()
{
    egi_control c = {};
    c.seed = 0x50000000b;
    c.step = 0x10003;
    c.lr = 0.01;
    c.strength = 0.7;
    c.fisher_class = 0;
    return c;
}

static void add_value(Instance *x, uint16_t field, const egi_shape &shape, egi_fill fill, bool in)
{
    for (Value &v : x->values)
        if (v.field == field) {
            v.out = true;
            return;
        }
    Value v;
    v.field = field;
    v.shape = shape;
    v.fill = fill;
    v.dtype = dtype_of(x->k.op, field, fill, x->dtype);
    v.in = in;
    v.out = !in;
    x->values.push_back(v);
}

Instance::Instance(const Case &which, egi_dtype type, uint32_t seed, unsigned char poison) : k(which), dtype(type)
{
    args.assign((const char *)k.data->args, (const char *)k.data->args + k.op->size);
    for (int i = 0; k.op->in[i]; i++)
        if (!(k.data->in_absent >> i & 1))
            add_value(this, k.op->in[i], k.data->in[i], k.data->fill[i], true);
    for (int i = 0; k.op->out[i]; i++)
        if (!(k.data->out_absent >> i & 1))
            add_value(this, k.op->out[i], k.data->out[i], EGI_FILL_NORMAL, false);
    for (Value &v : values) {
        const size_t bytes = (size_t)v.count() * egi_dtype_size(v.dtype);
        v.memory.assign(2 * kGuard + bytes, kCanary);
        std::memset(v.data(), poison, bytes);
        if (v.in)
            v.set(fill(v, k.data->labels, seed));
    }
}

Instance::~Instance()
{
    egi_plan_free(plan);
}

bool Instance::has(uint16_t field) const
{
    for (const Value &v : values)
        if (v.field == field)
            return true;
    return false;
}

Value &Instance::of(uint16_t field)
{
    for (Value &v : values)
        if (v.field == field)
            return v;
    ADD_FAILURE() << k.id() << " has no such value";
    return values[0];
}

eg_status Instance::bind(eg_context *c)
{
    egi_plan_free(plan);
    plan = nullptr;
    EG_TRY(egi_plan_create(&plan, c, 1, dtype, true));
    for (Value &v : values) {
        v.v = egi_plan_bind(plan, v.dtype, v.shape, v.data());
        *egi_arg_ref(args.data(), v.field) = v.v;
    }
    return plan->status;
}

eg_status Instance::emit()
{
    return egi_plan_emit(plan, k.op, args.data());
}

eg_status Instance::run(eg_context *c, const egi_control &step)
{
    EG_TRY(bind(c));
    EG_TRY(emit());
    EG_TRY(egi_plan_compile(plan));
    return egi_plan_run(plan, &step);
}

double largest(const std::vector<double> &x)
{
    double top = 0;
    for (double v : x)
        top = std::fmax(top, std::fabs(v));
    return top;
}

} // namespace ops
