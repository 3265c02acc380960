// The main job on real files: LeNet-5, trained on MNIST by somebody else, learns Fashion-MNIST. Skipped where the files
// are not there.
extern "C" {
#include "core/context.h"
#include "data/dataset.h"
#include "engram/engram.h"
}

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#define ASSERT_OK(call) ASSERT_EQ(EG_OK, (call)) << eg_last_message()

namespace
{

std::string shared()
{
    const char *path = getenv("EG_SHARED");
    return path ? path : EG_SOURCE_DIR "/../shared";
}

class Story : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        if (!std::filesystem::exists(shared() + "/checkpoints/deepxplore-mnist-lenets/Model3.h5") ||
            !std::filesystem::exists(shared() + "/data/fashion-mnist"))
            GTEST_SKIP() << "no checkpoints and data at " << shared() << "; set EG_SHARED";
        ASSERT_OK(eg_context_create(&context, nullptr));
        ASSERT_OK(eg_config_create(&config, context));
        const std::string folder = shared() + "/checkpoints/deepxplore-mnist-lenets/",
                          arch = folder + "Model3.arch.json";
        eg_load_options options = EG_LOAD_OPTIONS_INIT;
        options.arch = arch.c_str();
        ASSERT_OK(eg_model_load(&model, context, (folder + "Model3.h5").c_str(), &options));
    }
    void TearDown() override
    {
        eg_finetune_result_free(r);
        eg_model_free(model);
        eg_config_free(config);
        eg_context_free(context);
    }
    void set(const char *key, const std::string &value)
    {
        ASSERT_OK(eg_config_set(config, key, value.c_str()));
    }
    void learn_fashion(bool keep)
    {
        eg_finetune_job job = EG_FINETUNE_JOB_INIT;
        job.config = config;
        set("data.new", shared() + "/data/fashion-mnist");
        if (keep)
            set("data.keep", shared() + "/data/mnist");
        ASSERT_OK(eg_finetune(&r, model, &job));
        printf("%s: mnist %.2f %% -> %.2f %%, fashion %.2f %%, %lld epochs, %.0f examples/s\n", r->method,
               r->n_keep ? r->keep[0].before * 100 : NAN, r->n_keep ? r->keep[0].after * 100 : NAN, r->new_after * 100,
               (long long)r->epochs_run, r->examples_per_second);
    }
    double accuracy(const char *data, const char *task)
    {
        eg_dataset *d = nullptr;
        eg_eval_result *e = nullptr;
        eg_eval_options options = EG_EVAL_OPTIONS_INIT;
        options.task = task;
        EXPECT_EQ(EG_OK, eg_dataset_load(&d, context, (shared() + "/data/" + data).c_str(), EG_PART_TEST))
            << eg_last_message();
        EXPECT_EQ(EG_OK, eg_eval(&e, model, d, &options)) << eg_last_message();
        const double a = e ? e->accuracy : NAN;
        eg_eval_result_free(e);
        eg_dataset_free(d);
        return a;
    }

    eg_context *context = nullptr;
    eg_config *config = nullptr;
    eg_model *model = nullptr;
    eg_finetune_result *r = nullptr;
};

} // namespace

TEST_F(Story, TheMainJobKeepsMnistAndLearnsFashion)
{
    set("finetune.epochs", "5");
    learn_fashion(true);
    ASSERT_NE(nullptr, r);
    EXPECT_NEAR(0.9881, r->keep[0].before, 1e-9);
    EXPECT_GE(r->keep[0].after, 0.988);
    EXPECT_GE(r->new_after, 0.893);
    EXPECT_LE(r->epochs_run, 5);
    EXPECT_TRUE(r->budget_met);
    eg_model_info info;
    eg_model_get_info(model, &info);
    EXPECT_EQ(20, info.classes) << "one head, no task label at test time";
    EXPECT_NEAR(r->keep[0].after, accuracy("mnist", nullptr), 1e-9) << "measured again, by the model alone";
    EXPECT_NEAR(r->new_after, accuracy("fashion-mnist", nullptr), 1e-9);
    EXPECT_EQ(2000, info.memory_examples);
}

TEST_F(Story, PlainTrainingForgetsAll)
{
    set("finetune.epochs", "1");
    set("remember.method", "none");
    learn_fashion(true);
    ASSERT_NE(nullptr, r);
    EXPECT_LT(r->keep[0].after, 0.05);
    EXPECT_GT(r->new_after, 0.83);
    EXPECT_FALSE(r->budget_met);
}

TEST_F(Story, FiveHundredOldImagesAreEnoughForMost)
{
    set("finetune.epochs", "5");
    set("remember.keep_limit", "500");
    learn_fashion(true);
    ASSERT_NE(nullptr, r);
    EXPECT_GE(r->keep[0].after, 0.96);
    EXPECT_GE(r->new_after, 0.89);
}

// A third task: digits in negative. No old data is given: the model's own memory of 2,000 examples protects both old
// tasks.
TEST_F(Story, ASecondFineTuneIsProtectedByItsOwnMemory)
{
    set("finetune.epochs", "2");
    learn_fashion(true);
    ASSERT_NE(nullptr, r);
    const double mnist = accuracy("mnist", "mnist"), fashion = accuracy("fashion-mnist", "fashion-mnist");
    eg_dataset *digits = nullptr, *negative = nullptr;
    ASSERT_OK(eg_dataset_load(&digits, context, (shared() + "/data/mnist").c_str(), EG_PART_TRAIN));
    const int64_t n = 10000, shape[] = {28, 28, 1};
    std::vector<uint8_t> x((const uint8_t *)digits->x[0], (const uint8_t *)digits->x[0] + n * 784);
    for (uint8_t &v : x)
        v = (uint8_t)(255 - v);
    ASSERT_OK(eg_dataset_from_arrays(&negative, context, x.data(), EG_DTYPE_U8, n, shape, 3, digits->labels));
    egi_free(context, negative->name);
    ASSERT_OK(egi_strdup(&negative->name, context, "negative"));
    eg_config *again = nullptr;
    ASSERT_OK(eg_config_create(&again, context));
    ASSERT_OK(eg_config_set(again, "finetune.epochs", "5"));
    eg_finetune_job job = EG_FINETUNE_JOB_INIT;
    job.config = again;
    job.new_train = negative;
    eg_finetune_result *second = nullptr;
    ASSERT_OK(eg_finetune(&second, model, &job));
    const double mnist_after = accuracy("mnist", "mnist"), fashion_after = accuracy("fashion-mnist", "fashion-mnist");
    printf("third task %.2f %%; mnist %.2f %% -> %.2f %%; fashion %.2f %% -> %.2f %%\n", second->new_after * 100,
           mnist * 100, mnist_after * 100, fashion * 100, fashion_after * 100);
    EXPECT_EQ(2, second->n_keep);
    EXPECT_GT(second->new_after, 0.9);
    EXPECT_GT(mnist_after, mnist - 0.04);
    EXPECT_GT(fashion_after, fashion - 0.06);
    eg_finetune_result_free(second);
    eg_config_free(again);
    eg_dataset_free(negative);
    eg_dataset_free(digits);
}
