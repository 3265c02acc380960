// What the layer tests share: a context, one-layer models whose inputs are parameters (so that gradients to inputs come
// out like all others), and passes over them.
#ifndef LAYER_HARNESS_H
#define LAYER_HARNESS_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

extern "C" {
#include "core/cpu/cpu.h"
#include "core/model.h"
#include "core/ops/ops.h"
#include "core/rng.h"
#include "layers/layers.h"
}

#define ASSERT_OK(call) ASSERT_EQ(EG_OK, (call)) << eg_last_message()
#define EXPECT_OK(call) EXPECT_EQ(EG_OK, (call)) << eg_last_message()

namespace layer
{

constexpr int64_t kBatch = 3;

// One entry of one layer's `cases`.
struct Case {
    const egi_layer_type *type;
    int index;
    const egi_layer_case *data;
    std::string id() const; // "Conv2D/0"
};
void PrintTo(const Case &k, std::ostream *os);
std::vector<Case> all_cases();

class Context
{
  public:
    explicit Context(const eg_allocator *allocator = nullptr);
    ~Context();
    Context(const Context &) = delete;
    eg_context *c = nullptr;

  private:
    int64_t blocks_before = 0;
};

struct Json {
    json_t *j;
    explicit Json(const char *text);
    explicit Json(json_t *own) : j(own)
    {
    }
    ~Json();
    Json(const Json &) = delete;
};

// A model; `source` parameters hold its inputs: (kBatch, shape).
struct Net {
    eg_model *m = nullptr;
    Net() = default;
    Net(const Net &) = delete;
    ~Net();
    // Adds an input whose values are a parameter "x" of a layer `name`; returns its tensor.
    int source(const egi_shape &shape, const char *name);
    int layer(const char *class_name, const char *config);
    int call(int layer, std::vector<int> in, int training = -1);
    std::vector<double> get(int64_t param) const;
    void set(int64_t param, const std::vector<double> &values);
    int64_t param(const char *layer, const char *name) const;
};

eg_status build_case(Net &net, eg_context *c, const Case &k, egi_dtype dtype, int keras_major = 3);
// The same with plain inputs.
eg_status build_plain(Net &net, eg_context *c, const Case &k, egi_dtype dtype);

// Inputs: distinct, none within 0.001 of a kink of any activation; weights: normal, variances positive. The same
// numbers on every machine: they are what tests/golden/make/layers.py is given.
std::vector<double> input_values(int64_t count, uint32_t seed);
void fill(Net &net);

// The compiled forward and backward pass of sum over outputs of y r.
class Pass
{
  public:
    Pass() = default;
    Pass(const Pass &) = delete;
    ~Pass();
    // `squares`: squared per-sample gradients instead of gradients. Models of build_case() have kBatch.
    eg_status make(const Net &net, bool training, bool squares = false, int64_t batch = kBatch);
    void set_input(int i, const std::vector<double> &values);
    void set_r(const std::vector<double> &values); // make() drew one
    eg_status forward();
    eg_status all();
    double loss() const;
    std::vector<double> output(int i = 0) const;
    std::vector<double> gradient(int64_t param) const;
    bool fuse = true;
    std::vector<double> r;
    egi_plan *plan = nullptr;

  private:
    eg_status emit(bool squares);
    const eg_model *m = nullptr;
    void *grads = nullptr;
    egi_model_io io = {};
    egi_val dy = EGI_NONE;
    egi_control control = {};
};

double largest(const std::vector<double> &v);
// Largest difference, relative to the largest |b|; NaN anywhere is infinite.
double difference(const std::vector<double> &a, const std::vector<double> &b);

} // namespace layer

#endif
