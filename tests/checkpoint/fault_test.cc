// Memory that runs out at any moment: the status is NOMEM, the outputs are untouched, nothing is leaked.
#include "support.h"

namespace
{

struct Failing {
    int64_t left = INT64_MAX; // allocations that still work
    int64_t live = 0;
};

class Fault : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        const eg_allocator allocator = {[](void *user, size_t bytes) -> void * {
                                            Failing *f = static_cast<Failing *>(user);
                                            if (f->left-- <= 0)
                                                return nullptr;
                                            f->live++;
                                            return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
                                        },
                                        [](void *user, void *block) {
                                            static_cast<Failing *>(user)->live--;
                                            std::free(block);
                                        },
                                        &failing};
        eg_context_options o = EG_CONTEXT_OPTIONS_INIT;
        o.threads = 1;
        o.allocator = &allocator;
        ASSERT_EQ(EG_OK, eg_context_create(&context, &o)) << eg_last_message();
        path = (fs::temp_directory_path() / ("engram_fault_" + std::to_string(getpid()) + ".h5")).string();
    }
    void TearDown() override
    {
        eg_context_free(context);
        EXPECT_EQ(0, failing.live);
        fs::remove(path);
    }

    // Runs `work` with ever more allocations until it succeeds.
    void FailEach(const std::function<eg_status()> &work, const std::function<void()> &check)
    {
        const int64_t live = failing.live;
        for (int64_t n = 0;; n++) {
            failing.left = n;
            const eg_status status = work();
            failing.left = INT64_MAX;
            if (status == EG_OK) {
                EXPECT_GT(n, 20) << "hardly anything was tried";
                return;
            }
            ASSERT_EQ(EG_ERR_NOMEM, status) << n << ": " << eg_last_message();
            ASSERT_NE('\0', *eg_last_message());
            ASSERT_EQ(live, failing.live) << n << ": leaked";
            check();
            ASSERT_LT(n, 100000);
        }
    }

    Failing failing;
    eg_context *context = nullptr;
    std::string path;
};

TEST_F(Fault, Loading)
{
    for (const char *name : {"k3_functional.h5", "stored.h5", "split.h5", "unnamed.h5", "weights_only.h5"}) {
        const std::string file = Golden(name), arch = Golden("weights_only.json");
        eg_load_options o = EG_LOAD_OPTIONS_INIT;
        o.arch = std::string(name) == "weights_only.h5" ? arch.c_str() : nullptr;
        eg_model *m = nullptr;
        FailEach([&] { return eg_model_load(&m, context, file.c_str(), &o); }, [&] { ASSERT_EQ(nullptr, m); });
        eg_model_free(m);
    }
}

TEST_F(Fault, Saving)
{
    eg_model *m = nullptr;
    ASSERT_EQ(EG_OK, eg_model_load(&m, context, Golden("stored.h5").c_str(), nullptr));
    float x[] = {1, 2, 3};
    const egi_tensor t = {x, EGI_F32, {1, {3}}};
    ASSERT_EQ(EG_OK, egi_model_set_extra(m, "memory/x", &t));
    json_object_set_new(m->meta, "note", json_string("text"));
    FailEach([&] { return eg_model_save(m, path.c_str()); }, [&] { ASSERT_FALSE(fs::exists(path)); });
    EXPECT_TRUE(fs::exists(path));
    eg_model_free(m);
}

TEST_F(Fault, ListingUnsupportedLayers)
{
    char *lines = nullptr;
    FailEach([&] { return eg_model_unsupported(&lines, context, Golden("k3_functional.h5").c_str(), nullptr); },
             [&] { ASSERT_EQ(nullptr, lines); });
    eg_text_free(context, lines);
}

TEST_F(Fault, ASecondHeadAndRebuilding)
{
    eg_model *m = nullptr;
    ASSERT_EQ(EG_OK, eg_model_load(&m, context, Golden("k3_sequential.h5").c_str(), nullptr));
    const int64_t params = m->n_params;
    char *new_path = nullptr;
    FailEach(
        [&] {
            json_t *config = json_deep_copy(m->config);
            eg_status status = egi_keras_config_add_head(&new_path, config, m, "dense_1", "new", 3);
            if (status == EG_OK) {
                status = egi_keras_rebuild(m, config);
                egi_free(context, new_path);
                new_path = nullptr;
            }
            json_decref(config);
            return status;
        },
        [&] { ASSERT_EQ(params, m->n_params); });
    EXPECT_EQ(params + 2, m->n_params);
    FailEach([&] { return eg_model_save(m, path.c_str()); }, [&] { ASSERT_FALSE(fs::exists(path)); });
    eg_model_free(m);
}

} // namespace
