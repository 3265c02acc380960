// Predictions of a stream are those of the whole set, and take no more for its being long.
#include "support.h"

#include <png.h>

#include <cstdio>
#include <functional>

class PredictStream : public Parts
{
  protected:
    // An IDX file of n images of 2 x 2 pixels that do not repeat soon.
    std::string Images(int n)
    {
        std::string text("\0\0\x08\3\0\0\0\0\0\0\0\2\0\0\0\2", 16);
        text[6] = (char)(n >> 8);
        text[7] = (char)n;
        for (uint32_t i = 0, x = 1; i < 4 * (uint32_t)n; i++, x = x * 1664525 + 1013904223)
            text += (char)(x >> 24);
        return Write("images-" + std::to_string(n) + ".idx", text);
    }
    // Gray images of one pixel, dark ones in folder a, bright ones in b.
    std::string Pixels(int n)
    {
        for (int i = 0; i < n; i++) {
            const uint8_t v = (uint8_t)(i * 256 / n);
            const std::filesystem::path path = folder / "pixels" / (v > 127 ? "b" : "a");
            std::filesystem::create_directories(path);
            png_image image = {};
            image.version = PNG_IMAGE_VERSION;
            image.width = image.height = 1;
            image.format = PNG_FORMAT_GRAY;
            const std::string file = path / (std::to_string(10000 + i) + ".png");
            EXPECT_TRUE(png_image_write_to_file(&image, file.c_str(), 0, &v, 0, nullptr));
        }
        return folder / "pixels";
    }
    void Randomise(eg_model *m)
    {
        for (int64_t i = 0; i < m->n_params; i++) {
            const egi_tensor t = egi_param_view(m, i);
            for (int64_t k = 0; k < egi_count(&t); k++)
                egi_set(&t, k, std::sin((double)(7 * i + 3 * k + 1)) * 2);
        }
    }
    struct Rows {
        std::vector<float> y;
        std::vector<int64_t> first, blocks;
        std::vector<std::string> sources;
        eg_context *context;
        int stop_after = -1;
    };
    static bool Take(void *user, const eg_rows *rows)
    {
        auto *r = static_cast<Rows *>(user);
        EXPECT_EQ(rows->count, rows->data->n);
        EXPECT_EQ(r->sources.size(), (size_t)rows->first);
        r->blocks.push_back(r->context->total_blocks);
        r->first.push_back(rows->first);
        r->y.insert(r->y.end(), rows->y, rows->y + rows->count * rows->columns);
        for (int64_t i = 0; i < rows->count; i++)
            r->sources.push_back(eg_dataset_source(rows->data, i));
        return (int)r->first.size() != r->stop_after;
    }
    eg_status Predict(Rows *r, eg_model *m, const std::string &path, const eg_eval_options *o = nullptr)
    {
        eg_stream *s = nullptr;
        r->context = ctx;
        EXPECT_FINE(eg_stream_open(&s, ctx, path.c_str(), EG_PART_ALL));
        const eg_status status = eg_predict_stream(m, s, o, Take, r);
        eg_stream_free(s);
        return status;
    }
    // Bit for bit what eg_predict_dataset() gives at once, with the same sources.
    void ExpectWhole(const Rows &r, eg_model *m, const std::string &path, const eg_eval_options *o = nullptr)
    {
        eg_dataset *d = nullptr;
        ASSERT_FINE(eg_dataset_load(&d, ctx, path.c_str(), EG_PART_ALL));
        const Set whole(d);
        std::vector<float> want(r.y.size());
        ASSERT_EQ((size_t)d->n, r.sources.size());
        ASSERT_FINE(eg_predict_dataset(m, d, 0, d->n, o, want.data()));
        EXPECT_EQ(0, memcmp(want.data(), r.y.data(), want.size() * sizeof(float)));
        for (int64_t i = 0; i < d->n; i++)
            ASSERT_EQ(eg_dataset_source(d, i), r.sources[(size_t)i]);
    }
};

TEST_F(PredictStream, EqualsTheWholeSetWhateverTheBatch)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    Randomise(m.get());
    eg_eval_options o = EG_EVAL_OPTIONS_INIT;
    o.preprocess = "unit";
    for (const int n : {1, 63, 1024, 2500})
        for (const int64_t batch : {0, 1, 37, 3000}) {
            Rows r;
            o.batch = batch;
            const std::string path = Images(n);
            ASSERT_FINE(Predict(&r, m.get(), path, &o));
            ExpectWhole(r, m.get(), path, &o);
        }
}

TEST_F(PredictStream, CompilesOnceAndThenAllocatesNothing)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    Rows r;
    ASSERT_FINE(Predict(&r, m.get(), Images(5000)));
    ASSERT_EQ((std::vector<int64_t>{0, 1024, 2048, 3072, 4096}), r.first);
    for (const int64_t blocks : r.blocks)
        EXPECT_EQ(r.blocks[0], blocks);
}

TEST_F(PredictStream, StopsWhenToldTo)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    for (const int chunks : {1, 2, 3}) {
        Rows r;
        r.stop_after = chunks;
        EXPECT_EQ(EG_ERR_CANCELLED, Predict(&r, m.get(), Images(2500)));
        EXPECT_EQ((size_t)chunks, r.first.size());
    }
}

TEST_F(PredictStream, WhatDoesNotFitIsRefusedBeforeAnythingIsRead)
{
    const Model five = Build(Mlp(5, 3, "softmax")), four = Build(Mlp(4, 3, "softmax"));
    const std::string path = Images(100);
    Rows r;
    eg_stream *s = nullptr;
    const eg_dataset *chunk = nullptr;
    ASSERT_FINE(eg_stream_open(&s, ctx, path.c_str(), EG_PART_ALL));
    EXPECT_EQ(EG_ERR_SHAPE, eg_predict_stream(five.get(), s, nullptr, Take, &r));
    EXPECT_EQ(EG_ERR_ARG, eg_predict_stream(four.get(), s, nullptr, nullptr, &r));
    EXPECT_EQ(EG_ERR_ARG, eg_predict_stream(four.get(), nullptr, nullptr, Take, &r));
    ASSERT_FINE(eg_stream_next(s, 1, &chunk));
    EXPECT_EQ(0, chunk->first) << "the stream was touched";
    EXPECT_EQ(EG_ERR_STATE, eg_predict_stream(four.get(), s, nullptr, Take, &r));
    eg_eval_options o = EG_EVAL_OPTIONS_INIT;
    o.preprocess = "unit";
    EXPECT_EQ(EG_ERR_STATE, eg_predict_stream(four.get(), s, &o, Take, &r));
    EXPECT_TRUE(r.first.empty());
    eg_stream_free(s);
}

// The first 1,200 of 2,400 are of one class: judged by them alone "unit" would be as right as "none".
TEST_F(PredictStream, SortedFoldersAreJudgedAsAWhole)
{
    const Model m = Build(R"({"class_name":"Sequential","config":{"name":"t","layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,1,1,1],"dtype":"float32","name":"x"}},
      {"class_name":"Flatten","config":{"name":"flat"}},
      {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}]}})");
    const egi_tensor kernel = Param(m.get(), "head", "kernel"), bias = Param(m.get(), "head", "bias");
    egi_set(&kernel, 0, -1);
    egi_set(&kernel, 1, 1);
    egi_set(&bias, 0, 127.5);
    egi_set(&bias, 1, -127.5);
    const std::string path = Pixels(2400);
    Rows r;
    ASSERT_FINE(Predict(&r, m.get(), path));
    ExpectWhole(r, m.get(), path);
    EXPECT_GT(r.y[4799], 0.99f) << "the brightest is of class b only where bytes are taken as they are";
}
