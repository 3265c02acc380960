// Every allocation fails once: nothing leaks, nothing is handed out, the next try works.
#include "support.h"

#include <functional>

struct Stingy {
    int64_t left = -1; // allocations until one fails; -1: none does
    int64_t live = 0;
};

static void *Give(void *user, size_t bytes)
{
    auto *s = static_cast<Stingy *>(user);
    if (s->left >= 0 && s->left-- == 0)
        return nullptr;
    s->live++;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void Take(void *user, void *block)
{
    static_cast<Stingy *>(user)->live--;
    free(block);
}

class FaultParts : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        allocator = {Give, Take, &stingy};
        eg_context_options o = EG_CONTEXT_OPTIONS_INIT;
        o.allocator = &allocator;
        o.threads = 1;
        ASSERT_FINE(eg_context_create(&ctx, &o));
    }
    void TearDown() override
    {
        eg_context_free(ctx);
        EXPECT_EQ(0, stingy.live);
    }
    // `work` is run until it succeeds, failing one allocation later each time.
    void EachFails(const std::function<eg_status()> &work)
    {
        const int64_t before = stingy.live;
        for (int64_t n = 0; n < 100000; n++) {
            stingy.left = n;
            const eg_status status = work();
            const bool hit = stingy.left < 0;
            stingy.left = -1;
            ASSERT_EQ(before, stingy.live) << "allocation " << n << " failed and something was kept";
            if (status == EG_OK && !hit)
                return;
            if (status != EG_OK) {
                EXPECT_EQ(EG_ERR_NOMEM, status) << n << ": " << eg_last_message();
                EXPECT_STRNE("", eg_last_message());
            }
        }
        FAIL() << "never succeeded";
    }
    eg_model *Build(const std::string &architecture)
    {
        json_t *config = nullptr;
        eg_model *m = nullptr;
        EXPECT_FINE(egi_keras_parse(&config, architecture.c_str(), "test"));
        EXPECT_FINE(egi_keras_build(&m, ctx, config, EGI_F32, 3));
        json_decref(config);
        return m;
    }
    eg_dataset *Data(int n)
    {
        std::vector<uint8_t> x((size_t)n * 4, 7);
        std::vector<int32_t> labels;
        for (int i = 0; i < n; i++) {
            x[(size_t)i] = (uint8_t)(17 * i);
            labels.push_back(i % 3);
        }
        const int64_t shape[] = {4};
        eg_dataset *d = nullptr;
        EXPECT_FINE(eg_dataset_from_arrays(&d, ctx, x.data(), EG_DTYPE_U8, n, shape, 1, labels.data()));
        return d;
    }
    Stingy stingy;
    eg_allocator allocator = {};
    eg_context *ctx = nullptr;
};

TEST_F(FaultParts, ConfigFile)
{
    const std::string path = testing::TempDir() + "engram_fault_" + std::to_string(getpid()) + ".yaml";
    std::ofstream(path) << "data: {keep: [a, b]}\nfinetune: {lr: 1e-3}\n";
    EachFails([&] {
        eg_config *c = nullptr;
        eg_status status = eg_config_create(&c, ctx);
        if (status == EG_OK)
            status = eg_config_load(c, path.c_str());
        eg_config_free(c);
        return status;
    });
    std::filesystem::remove(path);
}

TEST_F(FaultParts, Evaluation)
{
    const Model m(Build(Mlp(4, 3, "softmax")));
    const Set d(Data(9));
    EachFails([&] {
        eg_eval_result *r = nullptr;
        const eg_status status = eg_eval(&r, m.get(), d.get(), nullptr);
        EXPECT_EQ(status == EG_OK, r != nullptr);
        eg_eval_result_free(r);
        return status;
    });
    std::vector<float> y(27);
    EachFails([&] { return eg_predict_dataset(m.get(), d.get(), 0, 9, nullptr, y.data()); });
}

TEST_F(FaultParts, PredictionOfAStream)
{
    const Model m(Build(Mlp(4, 3, "softmax")));
    const std::string path = testing::TempDir() + "engram_fault_" + std::to_string(getpid()) + ".idx";
    std::ofstream(path, std::ios::binary) << std::string("\0\0\x08\2\0\0\0\2\0\0\0\4", 12) + "12345678";
    EachFails([&] {
        eg_stream *s = nullptr;
        int64_t rows = 0;
        const auto count = [](void *user, const eg_rows *r) {
            *static_cast<int64_t *>(user) += r->count;
            return true;
        };
        eg_status status = eg_stream_open(&s, ctx, path.c_str(), EG_PART_ALL);
        EXPECT_EQ(status == EG_OK, s != nullptr);
        if (status == EG_OK)
            status = eg_predict_stream(m.get(), s, nullptr, count, &rows);
        EXPECT_EQ(status == EG_OK ? 2 : 0, rows);
        eg_stream_free(s);
        return status;
    });
    std::filesystem::remove(path);
}

TEST_F(FaultParts, Heads)
{
    const Model m(Build(Mlp(4, 3, "softmax")));
    const Set d(Data(9)), keep(Data(5));
    for (const egi_classes mode : {EGI_CLASSES_EXTEND, EGI_CLASSES_REPLACE, EGI_CLASSES_MULTI, EGI_CLASSES_KEEP})
        EachFails([&] {
            eg_model *out = nullptr;
            egi_head_map *map = nullptr;
            const eg_dataset *kept[] = {keep.get()};
            const eg_status status = egi_heads_apply(&out, &map, m.get(), mode, d.get(), kept, 1);
            EXPECT_EQ(status == EG_OK, out != nullptr);
            egi_head_map_free(map);
            eg_model_free(out);
            return status;
        });
}

TEST_F(FaultParts, MemoryRoundTrip)
{
    const Set d(Data(9));
    const Model base(Build(Mlp(4, 3, "softmax")));
    EachFails([&] {
        eg_model *m = nullptr;
        egi_memory *memory = nullptr, *back = nullptr;
        const int64_t index[] = {0, 2, 4, 5};
        eg_status status = eg_model_clone(&m, base.get());
        if (status == EG_OK)
            status = egi_memory_create(&memory, ctx);
        if (status == EG_OK)
            status = egi_memory_add(memory, m, "task", d.get(), index, 4, nullptr, 0, "unit");
        if (status == EG_OK)
            status = egi_model_arena(&memory->anchor, m);
        if (status == EG_OK)
            status = egi_model_arena(&memory->importance, m);
        if (status == EG_OK) {
            for (int64_t i = 0; i < m->arena_count; i++)
                ((float *)memory->importance)[i] = 1;
            status = egi_memory_store(m, memory);
        }
        if (status == EG_OK)
            status = egi_memory_load(&back, m);
        if (status == EG_OK)
            status = egi_memory_shrink(back, &back->parts[0], 2);
        egi_memory_free(memory);
        egi_memory_free(back);
        eg_model_free(m);
        return status;
    });
}

TEST_F(FaultParts, Report)
{
    const std::string folder = testing::TempDir() + "engram_fault_" + std::to_string(getpid());
    eg_config *c = nullptr;
    ASSERT_FINE(eg_config_create(&c, ctx));
    const Config config(c);
    EachFails([&] {
        egi_report *r = nullptr;
        eg_finetune_result result = {};
        eg_epoch_result epoch = {};
        eg_status status = egi_report_create(&r, ctx, folder.c_str(), c);
        for (int i = 0; i < 20 && status == EG_OK; i++)
            status = egi_report_epoch(r, &epoch);
        if (status == EG_OK)
            status = egi_report_line(r, "line");
        if (status == EG_OK)
            status = egi_report_finish(r, &result);
        egi_report_free(r);
        return status;
    });
    std::filesystem::remove_all(folder);
}
