// Plans on a device with memory of its own: what goes over to it when, and what comes back.
#include "tests/finetune/support.h"

extern "C" {
#include "core/mirror.h"
#include "core/ops/ops.h"
#include "core/plan.h"
}

namespace
{

// y = x w for x (2, 3), w (3, 1), with dy filled between the forward and the backward part.
struct Product {
    Context context{1, nullptr, "cuda"};
    egi_plan *plan = nullptr;
    egi_val x = EGI_NONE, w = EGI_NONE, y = EGI_NONE, dy = EGI_NONE;
    std::vector<float> weights{1, 2, 4}, gradient{0, 0, 0}, own{0, 0};

    void make(bool bound = false) // dy: memory of ours, or the plan's own
    {
        ASSERT_OK(egi_plan_create(&plan, context.c, 2, EGI_F32, true));
        x = egi_plan_input(plan, EGI_F32, EGI_SHAPE(2, 3));
        w = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(3, 1), weights.data());
        egi_plan_leaf(plan, w, egi_plan_bind(plan, EGI_F32, EGI_SHAPE(3, 1), gradient.data()));
        y = egi_temp(plan, EGI_SHAPE(2, 1));
        egi_plan_keep(plan, y);
        dy = bound ? egi_plan_bind(plan, EGI_F32, EGI_SHAPE(2, 1), own.data())
                   : egi_plan_input(plan, EGI_F32, EGI_SHAPE(2, 1));
        egi_dense dense = {};
        dense.x = x;
        dense.w = w;
        dense.y = y;
        ASSERT_OK(egi_plan_emit(plan, &egi_op_dense, &dense));
        ASSERT_OK(egi_plan_backward_from(plan, y, dy, false));
        ASSERT_OK(egi_plan_compile(plan));
    }
    ~Product()
    {
        egi_plan_free(plan);
    }
    void fill(egi_val v, const std::vector<float> &values)
    {
        memcpy(egi_plan_data(plan, v), values.data(), values.size() * sizeof(float));
    }
    std::vector<float> read(egi_val v, int64_t n)
    {
        const float *data = static_cast<const float *>(egi_plan_data(plan, v));
        return {data, data + n};
    }
};

} // namespace

TEST(Plan, InputsOfTheBackwardPartAreFilledBeforeIt)
{
    for (const bool bound : {false, true}) {
        Product p;
        ASSERT_NO_FATAL_FAILURE(p.make(bound));
        const egi_control control = {};
        p.fill(p.x, {1, 2, 3, 4, 5, 6});
        ASSERT_OK(egi_plan_run_forward(p.plan, &control));
        EXPECT_EQ((std::vector<float>{17, 38}), p.read(p.y, 2));
        for (const float scale : {1.0f, 10.0f, 3.0f}) { // plain, captured, launched
            p.fill(p.dy, {scale, 2 * scale});
            ASSERT_OK(egi_plan_run_backward(p.plan, &control));
            EXPECT_EQ((std::vector<float>{9 * scale, 12 * scale, 15 * scale}), p.gradient);
        }
    }
}

// They go over as one block, and nothing else goes with them.
TEST(Plan, InputsLieSideBySide)
{
    Product p;
    ASSERT_NO_FATAL_FAILURE(p.make());
    ASSERT_EQ(2, p.plan->n_inlet);
    for (const egi_val v : {p.x, p.dy}) {
        const auto at = static_cast<const char *>(p.plan->kt[v].data) - static_cast<const char *>(p.plan->workspace);
        EXPECT_GT(2 * 64, at); // two places of a cache line each
    }
}

TEST(Plan, MemoryOfOthersIsReadAnewByEveryRun)
{
    Product p;
    ASSERT_NO_FATAL_FAILURE(p.make());
    const egi_control control = {};
    p.fill(p.dy, {1, 1});
    for (const float first : {1.0f, 3.0f, 5.0f}) { // plain, captured, launched
        p.weights[0] = first;
        p.fill(p.x, {1, 0, 0, 0, 1, first});
        ASSERT_OK(egi_plan_run(p.plan, &control));
        EXPECT_EQ((std::vector<float>{first, 2 + 4 * first}), p.read(p.y, 2));
        EXPECT_EQ((std::vector<float>{1, 1, first}), p.gradient);
    }
}

TEST(Mirror, FollowsWhoeverWroteLast)
{
    Context context(1, nullptr, "cuda");
    egi_plan *plan = nullptr;
    float *arena = nullptr;
    ASSERT_OK(egi_mirror_alloc(&arena, context.c, 8, sizeof *arena));
    ASSERT_OK(egi_plan_create(&plan, context.c, 1, EGI_F32, true));
    const egi_val a = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(4), arena),
                  b = egi_plan_bind(plan, EGI_F32, EGI_SHAPE(4), arena + 4);
    egi_add add = {};
    add.a = a;
    add.b = a;
    add.y = b;
    ASSERT_OK(egi_plan_emit(plan, &egi_op_add, &add));
    ASSERT_OK(egi_plan_compile(plan));
    const egi_control control = {};
    for (const float x : {1.0f, 2.0f, 3.0f}) {
        ASSERT_OK(egi_host_writes(context.c, arena + 2)); // any address in it
        for (int i = 0; i < 4; i++)
            arena[i] = x + (float)i;
        ASSERT_OK(egi_plan_run(plan, &control));
        ASSERT_OK(egi_host_reads(context.c, arena));
        for (int i = 0; i < 4; i++)
            EXPECT_EQ(2 * (x + (float)i), arena[4 + i]);
    }
    egi_plan_free(plan);
    egi_free(context.c, arena);
}
