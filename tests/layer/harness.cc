#include "tests/layer/harness.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace layer
{

// --- the source: an input that is a parameter ------------------------------------------------------------------------

static eg_status source_build(egi_builder *b, const void *)
{
    const egi_shape batched = egi_shape_batched(kBatch, egi_in_shape(b, 0));
    EG_TRY(egi_param_add(b, "x", batched, EGI_ZEROS));
    return egi_out_shape(b, *egi_in_shape(b, 0));
}

static eg_status source_emit(egi_emit *e, const void *)
{
    egi_out_is(e, egi_weight(e, "x"));
    return egi_emit_plan(e)->status;
}

static egi_layer_type source_type()
{
    egi_layer_type type = {};
    type.keras = "Source";
    type.build = source_build;
    type.emit = source_emit;
    return type;
}

static const egi_layer_type source_layer = source_type();

// --- cases -----------------------------------------------------------------------------------------------------------

std::string Case::id() const
{
    return std::string(type->keras) + "/" + std::to_string(index);
}

void PrintTo(const Case &k, std::ostream *os)
{
    *os << k.id() << " " << k.data->config;
}

std::vector<Case> all_cases()
{
    std::vector<Case> all;
    for (const egi_layer_type *const *t = egi_layer_types; *t; t++)
        for (int i = 0; i < (*t)->n_cases; i++)
            all.push_back({*t, i, &(*t)->cases[i]});
    return all;
}

Context::Context(const eg_allocator *allocator)
{
    static const egi_device_type *const devices[] = {&egi_device_cpu, nullptr};
    eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
    options.allocator = allocator;
    options.threads = 2;
    EXPECT_OK(egi_context_create(&c, &options, devices));
    blocks_before = c->live_blocks;
}

Context::~Context()
{
    EXPECT_EQ(blocks_before, c->live_blocks) << "something was not freed";
    eg_context_free(c);
}

Json::Json(const char *text) : j(json_loads(text, JSON_DECODE_ANY, nullptr))
{
    EXPECT_NE(nullptr, j) << text;
}

Json::~Json()
{
    json_decref(j);
}

Net::~Net()
{
    eg_model_free(m);
}

int Net::source(const egi_shape &shape, const char *name)
{
    const Json config((std::string("{\"name\": \"") + name + "\"}").c_str());
    int input = -1, layer = -1, out = -1;
    EXPECT_OK(egi_model_add_input(m, &shape, &input));
    EXPECT_OK(egi_model_add_layer(m, &source_layer, config.j, nullptr, &layer));
    EXPECT_OK(egi_model_call(m, layer, &input, 1, -1, &out));
    return out;
}

int Net::layer(const char *class_name, const char *config)
{
    const Json json(config);
    int layer = -1;
    EXPECT_OK(egi_model_add_layer(m, egi_layer_type_find(class_name), json.j, nullptr, &layer));
    return layer;
}

int Net::call(int layer, std::vector<int> in, int training)
{
    int out = -1;
    EXPECT_OK(egi_model_call(m, layer, in.data(), (int)in.size(), training, &out));
    return out;
}

int64_t Net::param(const char *layer, const char *name) const
{
    const int64_t i = egi_model_find_param(m, egi_model_find_layer(m, layer), name);
    EXPECT_GE(i, 0) << layer << " " << name;
    return i;
}

std::vector<double> Net::get(int64_t param) const
{
    const egi_tensor t = egi_param_view(m, param);
    std::vector<double> v((size_t)egi_count(&t));
    for (size_t i = 0; i < v.size(); i++)
        v[i] = egi_get(&t, (int64_t)i);
    return v;
}

void Net::set(int64_t param, const std::vector<double> &values)
{
    const egi_tensor t = egi_param_view(m, param);
    ASSERT_EQ((size_t)egi_count(&t), values.size());
    egi_model_drop_cache(m);
    for (size_t i = 0; i < values.size(); i++)
        egi_set(&t, (int64_t)i, values[i]);
}

static eg_status add_source(Net &net, int i, int input, int *out)
{
    const Json config((std::string("{\"name\": \"source") + std::to_string(i) + "\"}").c_str());
    int source;
    EG_TRY(egi_model_add_layer(net.m, &source_layer, config.j, nullptr, &source));
    return egi_model_call(net.m, source, &input, 1, -1, out);
}

static eg_status build(Net &net, eg_context *c, const Case &k, egi_dtype dtype, int keras_major, bool sources)
{
    EG_TRY(egi_model_create(&net.m, c, dtype, keras_major));
    int in[4], layer, out;
    for (int i = 0; i < k.data->n_in; i++) {
        EG_TRY(egi_model_add_input(net.m, &k.data->in[i], &in[i]));
        if (sources)
            EG_TRY(add_source(net, i, in[i], &in[i]));
    }
    const Json config(k.data->config);
    EG_TRY(egi_model_add_layer(net.m, k.type, config.j, nullptr, &layer));
    EG_TRY(egi_model_call(net.m, layer, in, k.data->n_in, -1, &out));
    EG_TRY(egi_model_add_output(net.m, out));
    return egi_model_finish(net.m);
}

eg_status build_case(Net &net, eg_context *c, const Case &k, egi_dtype dtype, int keras_major)
{
    return build(net, c, k, dtype, keras_major, true);
}

eg_status build_plain(Net &net, eg_context *c, const Case &k, egi_dtype dtype)
{
    return build(net, c, k, dtype, 3, false);
}

// --- numbers ---------------------------------------------------------------------------------------------------------

std::vector<double> input_values(int64_t count, uint32_t seed)
{
    static const double kinks[] = {-3, -2.5, 0, 0.5, 1, 1.25, 2.5, 3, 6};
    const double step = 8.0 / (double)(count ? count : 1);
    std::vector<int64_t> order((size_t)count);
    for (int64_t i = 0; i < count; i++)
        order[(size_t)i] = i;
    egi_rng rng = egi_rng_make(1, EGI_RNG_TEST, seed);
    egi_rng_shuffle(&rng, order.data(), count);
    std::vector<double> v;
    for (const int64_t k : order) {
        double x = -4 + ((double)k + 0.37) * step;
        for (const double kink : kinks)
            if (std::fabs(x - kink) < 0.001)
                x = kink + 0.0025;
        v.push_back((float)x); // what Keras gets too
    }
    return v;
}

void fill(Net &net)
{
    for (int64_t i = 0; i < net.m->n_params; i++) {
        const egi_param *param = &net.m->params[i];
        const std::string name = param->name;
        std::vector<double> v;
        if (name == "x") {
            v = input_values(param->count, (uint32_t)i);
        } else {
            egi_rng rng = egi_rng_make(2, EGI_RNG_TEST, (uint32_t)i);
            for (int64_t k = 0; k < param->count; k++)
                v.push_back((float)(name == "moving_variance" ? 0.5 + egi_rng_uniform64(&rng)
                                                              : 0.5 * egi_rng_normal(&rng) + (name == "gamma")));
        }
        net.set(i, v);
    }
}

double largest(const std::vector<double> &v)
{
    double most = 0;
    for (const double x : v)
        most = std::isfinite(x) ? std::fmax(most, std::fabs(x)) : std::numeric_limits<double>::infinity();
    return most;
}

double difference(const std::vector<double> &a, const std::vector<double> &b)
{
    if (a.size() != b.size())
        return std::numeric_limits<double>::infinity();
    double most = 0;
    for (size_t i = 0; i < a.size(); i++) {
        const double d = std::fabs(a[i] - b[i]);
        most = d <= most ? most : d;
        if (!std::isfinite(d))
            return std::numeric_limits<double>::infinity();
    }
    const double scale = largest(b);
    return scale > 0 ? most / scale : most;
}

// --- passes ----------------------------------------------------------------------------------------------------------

Pass::~Pass()
{
    if (!plan)
        return;
    eg_context *c = plan->context;
    egi_plan_free(plan);
    egi_free(c, io.params);
    egi_free(c, grads);
}

eg_status Pass::emit(bool squares)
{
    EG_TRY(egi_model_arena(&grads, m));
    EG_TRY(egi_model_emit(m, plan, squares ? nullptr : grads, squares ? grads : nullptr, &io));
    if (fuse)
        EG_TRY(egi_plan_fuse(plan));
    const egi_val y = io.out[0];
    dy = egi_plan_input(plan, plan->dtype, *egi_shape_of(plan, y));
    EG_TRY(egi_plan_backward_from(plan, y, dy, squares));
    return egi_plan_compile(plan);
}

static void write(const egi_plan *p, egi_val v, const std::vector<double> &values)
{
    const egi_tensor t = {egi_plan_data(p, v), p->dtype, *egi_shape_of(p, v)};
    ASSERT_EQ((size_t)egi_count(&t), values.size());
    for (size_t i = 0; i < values.size(); i++)
        egi_set(&t, (int64_t)i, values[i]);
}

eg_status Pass::make(const Net &net, bool training, bool squares, int64_t batch)
{
    m = net.m;
    EG_TRY(egi_plan_create(&plan, m->context, batch, m->dtype, training));
    EG_TRY(emit(squares));
    egi_rng rng = egi_rng_make(3, EGI_RNG_TEST, 0);
    std::vector<double> values((size_t)egi_shape_count(egi_shape_of(plan, dy)));
    for (double &v : values)
        v = egi_rng_normal(&rng);
    set_r(values);
    control.seed = 5;
    control.step = 2;
    return EG_OK;
}

void Pass::set_input(int i, const std::vector<double> &values)
{
    write(plan, io.in[i], values);
}

void Pass::set_r(const std::vector<double> &values)
{
    r = values;
    write(plan, dy, r);
}

eg_status Pass::forward()
{
    control.weights_version++;
    return egi_plan_run_forward(plan, &control);
}

eg_status Pass::all()
{
    control.weights_version++;
    return egi_plan_run(plan, &control);
}

std::vector<double> Pass::output(int i) const
{
    const egi_tensor t = {egi_plan_data(plan, io.out[i]), plan->dtype, *egi_shape_of(plan, io.out[i])};
    std::vector<double> v((size_t)egi_count(&t));
    for (size_t k = 0; k < v.size(); k++)
        v[k] = egi_get(&t, (int64_t)k);
    return v;
}

double Pass::loss() const
{
    const std::vector<double> y = output();
    double sum = 0;
    for (size_t i = 0; i < y.size(); i++)
        sum += y[i] * r[i];
    return sum;
}

std::vector<double> Pass::gradient(int64_t param) const
{
    const egi_param *p = &m->params[param];
    const size_t bytes = egi_dtype_size(m->dtype);
    const egi_tensor t = {(char *)grads + (size_t)p->offset * bytes, m->dtype, p->shape};
    std::vector<double> v((size_t)p->count);
    for (size_t i = 0; i < v.size(); i++)
        v[i] = egi_get(&t, (int64_t)i);
    return v;
}

} // namespace layer
