// Blobs of points: two old classes and new ones, which a small network can tell apart in a second.
#pragma once

#include "tests/finetune/support.h"

inline const char kNet[] = R"([
    {"class_name":"Dense","config":{"name":"hidden","units":24,"activation":"relu"}},
    {"class_name":"Dense","config":{"name":"head","units":2,"activation":"softmax"}}])";

// Points around two centres: label k at centre k.
struct Blobs {
    Dataset train, test;
    void make(eg_context *c, const char *name, double x0, double y0, double x1, double y1, int64_t n, uint32_t step)
    {
        fill(train, c, name, {x0, y0, x1, y1}, n, step);
        fill(test, c, name, {x0, y0, x1, y1}, 200, step + 1);
    }
    static void fill(Dataset &out, eg_context *c, const char *name, const std::vector<double> &at, int64_t n,
                     uint32_t step)
    {
        std::vector<float> x = normal(2 * n, step, 0.35);
        std::vector<int32_t> y = labels(n, 2, step + 100);
        for (int64_t i = 0; i < n; i++) {
            x[(size_t)(2 * i)] += (float)at[(size_t)(2 * y[(size_t)i])];
            x[(size_t)(2 * i + 1)] += (float)at[(size_t)(2 * y[(size_t)i] + 1)];
        }
        out.make(c, x, {2}, y, name);
    }
};

struct World {
    const char *device; // NULL: EG_TEST_DEVICE
    Context context{1, nullptr, device};
    Model model;
    Blobs old, fresh, third;
    Config config{context.c};
    explicit World(const char *on = nullptr) : device(on)
    {
        Model::chain(model, context.c, EGI_F32, EGI_SHAPE(2), kNet);
        old.make(context.c, "old", -2, -1, 2, -1, 600, 1);
        fresh.make(context.c, "fresh", -2, 2, 2, 2, 600, 3);
        third.make(context.c, "third", -5, 0, 5, 0, 600, 5);
        config.set("finetune.optimizer", "adam").set("finetune.lr", "0.01").set("finetune.schedule", "cosine");
        config.set("finetune.batch", "32").set("finetune.epochs", "8").set("finetune.early_stopping.patience", "0");
    }
    eg_finetune_job job(const Blobs &data)
    {
        eg_finetune_job j = EG_FINETUNE_JOB_INIT;
        j.config = config.c;
        j.new_train = data.train.d;
        j.new_test = data.test.d;
        return j;
    }
    // The old task, learned as a foreign network would have: without a memory.
    void pretrain()
    {
        Config plain(context.c);
        plain.set("finetune.optimizer", "adam").set("finetune.lr", "0.01").set("finetune.epochs", "4");
        plain.set("data.classes", "keep").set("remember.method", "none");
        eg_finetune_job j = job(old);
        j.config = plain.c;
        eg_finetune_result *r = nullptr;
        ASSERT_OK(eg_finetune(&r, model.m, &j));
        ASSERT_GT(r->new_after, 0.98);
        eg_finetune_result_free(r);
        json_object_clear(model.m->meta); // what was trained elsewhere has no record here
    }
};

struct Result {
    eg_finetune_result *r = nullptr;
    ~Result()
    {
        eg_finetune_result_free(r);
    }
};

inline void finetune(Result &out, World &w, const Blobs &data, std::vector<const Blobs *> keep = {})
{
    std::vector<const eg_dataset *> train, test;
    for (const Blobs *b : keep) {
        train.push_back(b->train.d);
        test.push_back(b->test.d);
    }
    eg_finetune_job j = w.job(data);
    j.keep_train = keep.empty() ? nullptr : train.data();
    j.keep_test = keep.empty() ? nullptr : test.data();
    j.n_keep = (int64_t)keep.size();
    ASSERT_OK(eg_finetune(&out.r, w.model.m, &j));
}
