#include "support.h"

#include <algorithm>
#include <set>

class HeadsTest : public Parts
{
  protected:
    // Weights that tell their place: no two alike.
    void Number(eg_model *m)
    {
        double v = 0.001;
        for (int64_t p = 0; p < m->n_params; p++) {
            egi_tensor t = egi_param_view(m, p);
            for (int64_t i = 0; i < egi_count(&t); i++, v += 0.001)
                egi_set(&t, i, v);
        }
    }
    Set Labelled(const std::vector<int32_t> &labels, const char *name, float shift = 0)
    {
        std::vector<float> x;
        for (size_t i = 0; i < labels.size() * 4; i++)
            x.push_back((float)i / 10 + shift);
        return Floats(x, {4}, labels, name);
    }
    eg_status Apply(Model *out, Map *map, const eg_model *m, egi_classes mode, const eg_dataset *data,
                    std::vector<const eg_dataset *> keep = {})
    {
        eg_model *changed = nullptr;
        egi_head_map *how = nullptr;
        const eg_status status = egi_heads_apply(&changed, &how, m, mode, data, keep.data(), (int64_t)keep.size());
        EXPECT_EQ(status != EG_OK, changed == nullptr);
        out->reset(changed);
        map->reset(how);
        return status;
    }
    // Columns [0, n) of both tensors are the same bytes.
    static void ExpectSameColumns(const egi_tensor &a, const egi_tensor &b, int64_t n)
    {
        const int64_t ca = a.shape.dim[a.shape.rank - 1], cb = b.shape.dim[b.shape.rank - 1];
        ASSERT_EQ(egi_count(&a) / ca, egi_count(&b) / cb);
        for (int64_t i = 0; i < egi_count(&a) / ca; i++)
            EXPECT_EQ(0,
                      memcmp((const float *)a.data + i * ca, (const float *)b.data + i * cb, (size_t)n * sizeof(float)))
                << "line " << i;
    }
    static std::vector<int32_t> Rows(const egi_head_map *m, int64_t n)
    {
        return std::vector<int32_t>(m->new_rows, m->new_rows + n);
    }
    std::vector<float> Predict(eg_model *m, int outputs_wanted = 1)
    {
        std::vector<float> x = {0.3f, -1, 2, 0.5f, 1, 1, -1, 0};
        std::vector<std::vector<float>> y((size_t)m->n_outputs);
        std::vector<float *> out;
        for (int i = 0; i < m->n_outputs; i++) {
            y[(size_t)i].resize((size_t)(2 * egi_output_rows(m, i)));
            out.push_back(y[(size_t)i].data());
        }
        const float *in[] = {x.data()};
        EXPECT_FINE(eg_model_predict(m, in, 2, out.data()));
        return y[(size_t)outputs_wanted - 1];
    }
};

TEST_F(HeadsTest, ExtendKeepsOldRowsByteForByteAndAddsGlorotRows)
{
    for (const std::string &architecture :
         {Mlp(4, 3, "softmax"), MlpSplit(4, 3), Mlp(4, 3, "sigmoid"), Mlp(4, 3, "linear")}) {
        const Model m = Build(architecture);
        Number(m.get());
        const Set data = Labelled({5, 7, 5, 7, 9}, "new");
        Model big;
        Map map;
        ASSERT_FINE(Apply(&big, &map, m.get(), EGI_CLASSES_EXTEND, data.get()));
        EXPECT_EQ(6, map->classes);
        EXPECT_EQ(3, map->before);
        EXPECT_EQ(3, map->added);
        EXPECT_STREQ("head head(3) -> extend to 6", map->line);
        EXPECT_EQ((std::vector<int32_t>{-1, -1, -1, -1, -1, 3, -1, 4, -1, 5}), Rows(map.get(), 10));
        EXPECT_EQ(6, egi_output_rows(big.get(), 0));
        const egi_tensor kernel = Param(big.get(), "head", "kernel"), bias = Param(big.get(), "head", "bias");
        ExpectSameColumns(kernel, Param(m.get(), "head", "kernel"), 3);
        ExpectSameColumns(bias, Param(m.get(), "head", "bias"), 3);
        const int64_t in = kernel.shape.dim[0];
        const double limit = std::sqrt(6.0 / (double)(in + 6));
        std::set<float> values;
        for (int64_t i = 0; i < in; i++)
            for (int64_t j = 3; j < 6; j++) {
                EXPECT_LE(std::fabs(At(kernel, i * 6 + j)), limit);
                values.insert(At(kernel, i * 6 + j));
            }
        EXPECT_EQ((size_t)in * 3, values.size()) << "fresh values repeat";
        for (int64_t j = 3; j < 6; j++)
            EXPECT_EQ(0, At(bias, j));
        if (architecture.find("hidden") != std::string::npos)
            ExpectSameColumns(Param(big.get(), "hidden", "kernel"), Param(m.get(), "hidden", "kernel"), 5);
        EXPECT_EQ(3, egi_output_rows(m.get(), 0)) << "the model that was given changed";
        EXPECT_EQ(0, egi_tasks_count(m.get()));
    }
}

TEST_F(HeadsTest, OldLogitsDoNotChange)
{
    const Model m = Build(Mlp(4, 3, "linear"));
    Number(m.get());
    const Set data = Labelled({3, 4}, "new");
    Model big;
    Map map;
    ASSERT_FINE(Apply(&big, &map, m.get(), EGI_CLASSES_EXTEND, data.get()));
    const std::vector<float> a = Predict(m.get()), b = Predict(big.get());
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            EXPECT_NEAR(a[(size_t)(i * 3 + j)], b[(size_t)(i * 5 + j)], 1e-6);
}

TEST_F(HeadsTest, TheSameSeedGivesTheSameRowsAndAnotherSeedOthers)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    const Set data = Labelled({3, 4}, "new");
    Model a, b, c;
    Map map;
    ASSERT_FINE(Apply(&a, &map, m.get(), EGI_CLASSES_EXTEND, data.get()));
    ASSERT_FINE(Apply(&b, &map, m.get(), EGI_CLASSES_EXTEND, data.get()));
    ctx->seed = 99;
    ASSERT_FINE(Apply(&c, &map, m.get(), EGI_CLASSES_EXTEND, data.get()));
    ExpectSameColumns(Param(a.get(), "head", "kernel"), Param(b.get(), "head", "kernel"), 5);
    EXPECT_NE(At(Param(a.get(), "head", "kernel"), 4), At(Param(c.get(), "head", "kernel"), 4));
}

TEST_F(HeadsTest, ClassesAreMatchedByRealNamesOnly)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    const Set animals = Labelled({0, 1, 2}, "animals");
    NameClasses(animals.get(), {"cat", "dog", "horse"});
    const Set more = Labelled({0, 1, 2, 1}, "more", 0.5f);
    NameClasses(more.get(), {"bird", "dog", "fish", "never seen"});
    Model a, b, c;
    Map map;
    ASSERT_FINE(Apply(&a, &map, m.get(), EGI_CLASSES_EXTEND, more.get(), {animals.get()}));
    EXPECT_EQ((std::vector<int32_t>{3, 1, 4, -1}), Rows(map.get(), 4)) << "dog is row 1 of the old data";
    EXPECT_EQ((std::vector<int32_t>{0, 1, 2}), std::vector<int32_t>(map->keep_rows[0], map->keep_rows[0] + 3));
    EXPECT_EQ(5, map->classes);
    EXPECT_STREQ("more", map->task);
    const char *names[] = {"cat", "dog", "horse", "bird", "fish"};
    for (int i = 0; i < 5; i++)
        EXPECT_STREQ(names[i], eg_model_class_name(a.get(), i));
    EXPECT_EQ(nullptr, eg_model_class_name(a.get(), 5));
    EXPECT_EQ(nullptr, eg_model_class_name(m.get(), 0));

    // A third set meets the names that the model carries now.
    const Set third = Labelled({0, 1}, "third", 0.7f);
    NameClasses(third.get(), {"fish", "horse"});
    ASSERT_FINE(Apply(&b, &map, a.get(), EGI_CLASSES_EXTEND, third.get()));
    EXPECT_EQ((std::vector<int32_t>{4, 2}), Rows(map.get(), 2));
    EXPECT_EQ(0, map->added);
    EXPECT_STREQ("head head(5) knows all classes", map->line);

    // Numbers of sets without names are no names.
    const Set digits = Labelled({0, 1}, "digits"), others = Labelled({0, 1}, "others", 0.9f);
    ASSERT_FINE(Apply(&b, &map, m.get(), EGI_CLASSES_EXTEND, others.get(), {digits.get()}));
    EXPECT_EQ((std::vector<int32_t>{3, 4}), Rows(map.get(), 2));
    EXPECT_STREQ("digits/0", eg_model_class_name(b.get(), 0));
    EXPECT_STREQ("others/1", eg_model_class_name(b.get(), 4));
}

TEST_F(HeadsTest, TasksAreRememberedAndMapLabelsLater)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    const Set one = Labelled({0, 1, 2}, "one"), two = Labelled({0, 1}, "two", 0.5f),
              three = Labelled({0, 1}, "three", 0.7f);
    Model a, b, c;
    Map map;
    ASSERT_FINE(Apply(&a, &map, m.get(), EGI_CLASSES_EXTEND, two.get(), {one.get()}));
    ASSERT_FINE(Apply(&b, &map, a.get(), EGI_CLASSES_EXTEND, three.get(), {two.get()}));
    EXPECT_EQ((std::vector<int32_t>{3, 4}), std::vector<int32_t>(map->keep_rows[0], map->keep_rows[0] + 2))
        << "by the file's task";
    EXPECT_EQ((std::vector<int32_t>{5, 6}), Rows(map.get(), 2));
    EXPECT_EQ(3, egi_tasks_count(b.get()));
    ASSERT_FINE(egi_tasks_check(b.get()));

    int32_t *rows = nullptr;
    int output = -1;
    char how[64];
    const Set test = Labelled({1, 0, 1}, "two", 0.1f); // other examples of the same name
    ASSERT_FINE(egi_tasks_map(&rows, &output, how, sizeof how, b.get(), test.get(), nullptr));
    EXPECT_STREQ("task two", how);
    EXPECT_EQ(3, rows[0]);
    EXPECT_EQ(4, rows[1]);
    egi_free(ctx, rows);
    ASSERT_FINE(egi_tasks_map(&rows, &output, how, sizeof how, b.get(), test.get(), "three"));
    EXPECT_EQ(5, rows[0]);
    egi_free(ctx, rows);

    // The very same data again goes on with its rows; another set that happens to have its name does not.
    ASSERT_FINE(Apply(&c, &map, b.get(), EGI_CLASSES_EXTEND, two.get()));
    EXPECT_EQ(0, map->added);
    EXPECT_EQ((std::vector<int32_t>{3, 4}), Rows(map.get(), 2));
    const Set impostor = Labelled({0, 1}, "two", 3.5f);
    ASSERT_FINE(Apply(&c, &map, b.get(), EGI_CLASSES_EXTEND, impostor.get()));
    EXPECT_EQ(2, map->added);
    EXPECT_STREQ("two 2", map->task);
}

TEST_F(HeadsTest, TheSameExamplesWithOtherLabelsAreAnotherTask)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    const Set one = Labelled({3, 4}, "one"), same = Labelled({3, 4}, "again"), other = Labelled({4, 3}, "other");
    EXPECT_STREQ(egi_tasks_fingerprint(one.get()).s, egi_tasks_fingerprint(same.get()).s);
    Model a, b;
    Map map;
    ASSERT_FINE(Apply(&a, &map, m.get(), EGI_CLASSES_EXTEND, one.get()));
    ASSERT_FINE(Apply(&b, &map, a.get(), EGI_CLASSES_EXTEND, same.get()));
    EXPECT_EQ(0, map->added);
    ASSERT_FINE(Apply(&b, &map, a.get(), EGI_CLASSES_EXTEND, other.get()));
    EXPECT_EQ(2, map->added);
}

TEST_F(HeadsTest, ReplaceStartsAfreshAndForgets)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    Number(m.get());
    const Set one = Labelled({0, 1, 2}, "one"), two = Labelled({4, 6, 8}, "two", 0.5f);
    Model big, a;
    Map map;
    ASSERT_FINE(Apply(&big, &map, m.get(), EGI_CLASSES_KEEP, one.get()));
    ASSERT_FINE(Apply(&a, &map, big.get(), EGI_CLASSES_REPLACE, two.get(), {one.get()}));
    EXPECT_EQ(3, map->classes);
    EXPECT_EQ((std::vector<int32_t>{-1, -1, -1, -1, 0, -1, 1, -1, 2}), Rows(map.get(), 9));
    EXPECT_EQ(-1, map->keep_rows[0][0]);
    EXPECT_EQ(1, egi_tasks_count(a.get()));
    EXPECT_STREQ("4", eg_model_class_name(a.get(), 0));
    const egi_tensor kernel = Param(a.get(), "head", "kernel"), old = Param(m.get(), "head", "kernel");
    int same = 0;
    for (int64_t i = 0; i < egi_count(&kernel); i++)
        same += At(kernel, i) == At(old, i);
    EXPECT_EQ(0, same) << "a replaced head kept old weights";
    ExpectSameColumns(Param(a.get(), "hidden", "kernel"), Param(m.get(), "hidden", "kernel"), 5);
}

TEST_F(HeadsTest, OldClassesThatAReplacedHeadHasTooKeepARow)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    const Set old = Labelled({0, 1, 2}, "old"), fresh = Labelled({0, 1}, "fresh", 0.5f);
    NameClasses(old.get(), {"cat", "dog", "horse"});
    NameClasses(fresh.get(), {"bird", "dog"});
    Model a;
    Map map;
    ASSERT_FINE(Apply(&a, &map, m.get(), EGI_CLASSES_REPLACE, fresh.get(), {old.get()}));
    EXPECT_EQ((std::vector<int32_t>{-1, 1, -1}), std::vector<int32_t>(map->keep_rows[0], map->keep_rows[0] + 3));
}

TEST_F(HeadsTest, MultiAddsAHeadBesideTheOld)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    Number(m.get());
    const Set one = Labelled({0, 1, 2}, "one"), two = Labelled({0, 1}, "two set!", 0.5f),
              three = Labelled({0, 1, 2, 3}, "three", 0.9f);
    Model a, b;
    Map map;
    ASSERT_FINE(Apply(&a, &map, m.get(), EGI_CLASSES_MULTI, two.get(), {one.get()}));
    EXPECT_EQ(1, map->output);
    EXPECT_EQ(0, map->keep_output[0]);
    EXPECT_EQ(2, a->n_outputs);
    EXPECT_EQ(2, egi_output_rows(a.get(), 1));
    EXPECT_EQ(EGI_ACT_SOFTMAX, map->head);
    EXPECT_EQ((std::vector<int32_t>{0, 1}), Rows(map.get(), 2));
    const std::vector<float> before = Predict(m.get()), after = Predict(a.get());
    for (size_t i = 0; i < before.size(); i++)
        EXPECT_NEAR(before[i], after[i], 1e-7);
    const std::vector<float> p = Predict(a.get(), 2);
    EXPECT_NEAR(1, p[0] + p[1], 1e-6);
    ASSERT_FINE(Apply(&b, &map, a.get(), EGI_CLASSES_MULTI, three.get(), {one.get(), two.get()}));
    EXPECT_EQ(2, map->output);
    EXPECT_EQ(1, map->keep_output[1]);
    EXPECT_EQ(4, egi_output_rows(b.get(), 2));
    ExpectSameColumns(Param(b.get(), "head", "kernel"), Param(m.get(), "head", "kernel"), 3);
    EXPECT_EQ(1, egi_head_layer(b.get(), 0) >= 0);
    EXPECT_NE(egi_head_layer(b.get(), 0), egi_head_layer(b.get(), 2));
}

TEST_F(HeadsTest, KeepNeedsARowForEachLabel)
{
    const Model m = Build(Mlp(4, 3, "softmax"));
    const Set good = Labelled({2, 0}, "good"), wide = Labelled({0, 3}, "wide");
    Model a;
    Map map;
    ASSERT_FINE(Apply(&a, &map, m.get(), EGI_CLASSES_KEEP, good.get()));
    EXPECT_EQ((std::vector<int32_t>{0, -1, 2}), Rows(map.get(), 3));
    EXPECT_STREQ("head head(3) as it is", map->line);
    EXPECT_EQ(EG_ERR_DATA, Apply(&a, &map, m.get(), EGI_CLASSES_KEEP, wide.get()));
    EXPECT_TRUE(strstr(eg_last_message(), "data.classes=extend")) << eg_last_message();
    EXPECT_EQ(EG_ERR_DATA, Apply(&a, &map, m.get(), EGI_CLASSES_EXTEND, good.get(), {wide.get()}))
        << "old data without rows";
}

TEST_F(HeadsTest, OneUnitAndOtherHeads)
{
    const Model yes = Build(Mlp(4, 1, "sigmoid"));
    const Set two = Labelled({0, 1}, "two"), four = Labelled({0, 1, 2, 3}, "four");
    Model a;
    Map map;
    EXPECT_EQ(EG_ERR_UNSUPPORTED, Apply(&a, &map, yes.get(), EGI_CLASSES_EXTEND, two.get()));
    EXPECT_TRUE(strstr(eg_last_message(), "data.classes=keep")) << eg_last_message();
    ASSERT_FINE(Apply(&a, &map, yes.get(), EGI_CLASSES_KEEP, two.get()));
    EXPECT_EQ((std::vector<int32_t>{0, 1}), Rows(map.get(), 2));
    ASSERT_FINE(Apply(&a, &map, yes.get(), EGI_CLASSES_REPLACE, two.get()));
    EXPECT_EQ(1, egi_output_rows(a.get(), 0));
    ASSERT_FINE(Apply(&a, &map, yes.get(), EGI_CLASSES_REPLACE, four.get()));
    EXPECT_EQ(4, egi_output_rows(a.get(), 0));
    ASSERT_FINE(Apply(&a, &map, yes.get(), EGI_CLASSES_MULTI, two.get()));
    EXPECT_EQ(1, egi_output_rows(a.get(), 1));

    // Regression and data without labels: there is nothing to extend.
    const Model line = Build(Mlp(4, 1, "linear"));
    ASSERT_FINE(Apply(&a, &map, line.get(), EGI_CLASSES_EXTEND, two.get()));
    EXPECT_EQ(1, egi_output_rows(a.get(), 0));
    EXPECT_EQ(EGI_ACT_LINEAR, map->head);
    const Model many = Build(Mlp(4, 3, "softmax"));
    const Set bare = Floats({1, 2, 3, 4}, {4}, {}, "bare");
    ASSERT_FINE(Apply(&a, &map, many.get(), EGI_CLASSES_EXTEND, bare.get()));
    EXPECT_EQ(3, egi_output_rows(a.get(), 0));
    const Model conv = Build(R"({"class_name":"Sequential","config":{"name":"c","layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,2,2,1],"dtype":"float32","name":"x"}},
      {"class_name":"Conv2D","config":{"name":"conv","filters":3,"kernel_size":[1,1]}},
      {"class_name":"GlobalAveragePooling2D","config":{"name":"pool"}},
      {"class_name":"Activation","config":{"name":"last","activation":"softmax"}}]}})");
    const Set images = Floats(std::vector<float>(8, 0.5f), {2, 2, 1}, {3, 4}, "images");
    EXPECT_EQ(-1, egi_head_layer(conv.get(), 0));
    EXPECT_EQ(EG_ERR_UNSUPPORTED, Apply(&a, &map, conv.get(), EGI_CLASSES_EXTEND, images.get()));
    EXPECT_TRUE(strstr(eg_last_message(), "no Dense layer")) << eg_last_message();
}

TEST_F(HeadsTest, WarnsWhereOldClassesWillBeLost)
{
    egi_head_map map = {};
    char text[512];
    map.before = 10;
    map.added = 10;
    egi_heads_warning(&map, EGI_CLASSES_EXTEND, true, "rehearsal+ewc", text, sizeof text);
    EXPECT_STREQ("", text);
    egi_heads_warning(&map, EGI_CLASSES_EXTEND, false, "ewc", text, sizeof text);
    EXPECT_TRUE(strstr(text, "ewc alone scores near chance")) << text;
    egi_heads_warning(&map, EGI_CLASSES_REPLACE, true, "ewc", text, sizeof text);
    EXPECT_TRUE(strstr(text, "10 old classes lose their head")) << text;
    map.added = 0;
    egi_heads_warning(&map, EGI_CLASSES_EXTEND, false, "ewc", text, sizeof text);
    EXPECT_STREQ("", text);
    egi_heads_warning(&map, EGI_CLASSES_MULTI, false, "ewc", text, sizeof text);
    EXPECT_STREQ("", text);
}

TEST_F(HeadsTest, HostileMetaIsRefused)
{
    for (const char *meta :
         {R"({"tasks": 3})", R"({"tasks": [3]})", R"({"tasks": [{"name": "a"}]})", R"({"classes": "x"})",
          R"({"preprocess": 3})", R"({"tasks": [{"name": "a", "classes": ["x"], "rows": [3]}]})",
          R"({"tasks": [{"name": "a", "classes": ["x"], "rows": [-2]}]})",
          R"({"tasks": [{"name": "a", "classes": ["x", "y"], "rows": [0]}]})",
          R"({"tasks": [{"name": "a", "classes": [1], "rows": [0]}]})",
          R"({"tasks": [{"name": "", "classes": [], "rows": []}]})",
          R"({"tasks": [{"name": "a", "classes": ["x"], "rows": ["0"]}]})",
          R"({"tasks": [{"name": "a", "classes": ["x"], "rows": [0], "output": 1}]})",
          R"({"tasks": [{"name": "a", "classes": ["x"], "rows": [9223372036854775807], "output": -1}]})",
          R"({"tasks": [{"name": "a", "classes": [], "rows": []}, {"name": "a", "classes": [], "rows": []}]})"}) {
        const Model m = Build(Mlp(4, 3, "softmax"));
        json_decref(m->meta);
        m->meta = json_loads(meta, 0, nullptr);
        ASSERT_NE(nullptr, m->meta) << meta;
        EXPECT_EQ(EG_ERR_FORMAT, egi_tasks_check(m.get())) << meta;
        const Set data = Labelled({0, 1}, "new");
        Model a;
        Map map;
        EXPECT_EQ(EG_ERR_FORMAT, Apply(&a, &map, m.get(), EGI_CLASSES_EXTEND, data.get())) << meta;
        eg_eval_result *r = nullptr;
        EXPECT_EQ(EG_ERR_FORMAT, eg_eval(&r, m.get(), data.get(), nullptr)) << meta;
        eg_model_info info; // getters stand anything
        eg_model_get_info(m.get(), &info);
        eg_model_class_name(m.get(), 0);
        EXPECT_EQ(-1, egi_task_row(m.get(), 0, 5));
        EXPECT_STREQ("", egi_task_class(m.get(), 7, 0));
    }
}
