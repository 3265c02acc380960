// Learning-rate schedules against Keras' and PyTorch's.
#include "support.h"

namespace
{

egi_schedule make(const char *name)
{
    egi_schedule s{};
    s.type = egi_schedule_find(name);
    s.lr = 0.4;
    s.total = 60;
    s.every = 20;
    s.factor = 0.3;
    return s;
}

// tolerance: Keras computes rates in f32
void expect_rates(const egi_schedule &s, const char *key, double tolerance)
{
    Json golden{Json::golden("schedules.json")};
    const std::vector<double> rates = numbers(json_object_get(golden.j, key));
    ASSERT_EQ(60u, rates.size());
    for (size_t i = 0; i < rates.size(); i++)
        EXPECT_NEAR(rates[i], egi_schedule_lr(&s, (int64_t)i), tolerance) << key << " step " << i;
}

} // namespace

TEST(Schedule, CosineIsThatOfKerasAndPyTorch)
{
    egi_schedule s = make("cosine");
    s.floor = 0.1;
    expect_rates(s, "cosine_keras", 2e-7);
    expect_rates(s, "cosine_torch", 1e-12);
}

TEST(Schedule, WarmUpThenCosineIsThatOfKeras)
{
    egi_schedule s = make("cosine");
    s.warmup = 12;
    expect_rates(s, "cosine_warmup_keras", 2e-7);
}

TEST(Schedule, ExponentialIsThatOfKerasAndPyTorch)
{
    egi_schedule s = make("exponential");
    expect_rates(s, "exponential_keras", 2e-7);
    s.every = 1;
    s.factor = 0.93;
    expect_rates(s, "exponential_torch", 1e-12);
}

TEST(Schedule, StepIsThatOfKerasAndPyTorch)
{
    expect_rates(make("step"), "step_keras", 2e-7);
    expect_rates(make("step"), "step_torch", 1e-12);
}

TEST(Schedule, PlateauIsThatOfKeras)
{
    Json golden{Json::golden("schedules.json")};
    const std::vector<double> values = numbers(json_object_get(golden.j, "plateau_values"));
    const std::vector<double> rates = numbers(json_object_get(golden.j, "plateau_keras"));
    egi_schedule s = make("plateau");
    s.factor = 0.5;
    s.patience = 2;
    s.min_delta = 1e-3;
    s.floor = 0.2;
    ASSERT_EQ(values.size(), rates.size());
    EXPECT_EQ(0.4, egi_schedule_lr(&s, 0));
    for (size_t i = 0; i < values.size(); i++) {
        egi_schedule_epoch(&s, values[i]);
        EXPECT_NEAR(rates[i], egi_schedule_lr(&s, (int64_t)i), 2e-8) << "epoch " << i;
    }
    EXPECT_LT(rates.back(), 0.4) << "the golden must fall";
}

TEST(Schedule, EveryTypeIsFoundByItsName)
{
    for (int i = 0; egi_schedule_types[i]; i++)
        EXPECT_EQ(egi_schedule_types[i], egi_schedule_find(egi_schedule_types[i]->name));
    EXPECT_EQ(nullptr, egi_schedule_find("linear"));
    EXPECT_EQ(nullptr, egi_optimizer_find("lion"));
}
