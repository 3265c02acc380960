// What the operation tests share: contexts, and one operation's case as memory, a plan and its values.
#ifndef OPS_HARNESS_H
#define OPS_HARNESS_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

extern "C" {
#include "core/cpu/cpu.h"
#include "core/ops/ops.h"
#include "core/plan.h"
#include "core/rng.h"
}

#define ASSERT_OK(call) ASSERT_EQ(EG_OK, (call)) << eg_last_message()
#define EXPECT_OK(call) EXPECT_EQ(EG_OK, (call)) << eg_last_message()

namespace ops
{

// Ends with every block given back.
class Context
{
  public:
    explicit Context(bool reference_only = false, int threads = 2);
    ~Context();
    Context(const Context &) = delete;
    // On device cuda: leaves its libraries out, as EG_TEST_OWN does for a whole program.
    void own_kernels(bool only);
    eg_context *c = nullptr;
};

// One entry of one operation's `cases`.
struct Case {
    const egi_op *op;
    int index;
    const egi_op_case *data;
    std::string id() const; // "dense_0"
};
void PrintTo(const Case &k, std::ostream *os);
std::vector<Case> all_cases();

// Memory of a value between two canaries. A value that stands in `in` and `out` is one value.
struct Value {
    uint16_t field;
    egi_val v = EGI_NONE; // set by bind()
    egi_dtype dtype;
    egi_shape shape;
    bool in = false, out = false;
    egi_fill fill = EGI_FILL_NORMAL;
    std::vector<unsigned char> memory;

    int64_t count() const;
    void *data();
    egi_tensor tensor();
    std::vector<double> get();
    void set(const std::vector<double> &x);
    bool canaries_whole() const;
};

// The step that all runs use.
egi_control control();

struct Instance {
    Case k;
    egi_dtype dtype;
    std::vector<Value> values;
    egi_plan *plan = nullptr;
    std::vector<char> args;

    // The inputs are drawn from `seed`, the same numbers (floats) for every dtype; outputs hold the byte `poison`.
    Instance(const Case &k, egi_dtype dtype, uint32_t seed = 1, unsigned char poison = 0xA5);
    ~Instance();
    Instance(const Instance &) = delete;

    bool has(uint16_t field) const;
    Value &of(uint16_t field);
    // Binds every value to a new plan.
    eg_status bind(eg_context *c);
    eg_status emit();
    // bind(), emit(), compile, run.
    eg_status run(eg_context *c, const egi_control &step);
};

double largest(const std::vector<double> &x);

} // namespace ops

#endif
