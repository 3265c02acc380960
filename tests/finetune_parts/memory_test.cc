#include "support.h"

class MemoryTest : public Parts
{
  protected:
    Memory Empty()
    {
        egi_memory *m = nullptr;
        EXPECT_FINE(egi_memory_create(&m, ctx));
        return Memory(m);
    }
    Memory Load(const eg_model *model)
    {
        egi_memory *m = nullptr;
        EXPECT_FINE(egi_memory_load(&m, model));
        return Memory(m);
    }
    // 12 images of 2 x 2 bytes, labels 0, 1, 2, 0, ...
    Set Images(const char *name)
    {
        std::vector<uint8_t> x(48);
        std::vector<int32_t> labels(12);
        for (size_t i = 0; i < x.size(); i++)
            x[i] = (uint8_t)(i * 5);
        for (size_t i = 0; i < labels.size(); i++)
            labels[i] = (int32_t)(i % 3);
        return Bytes(x, {2, 2}, labels, name);
    }
    Model Net(int units)
    {
        return Build(Mlp(4, units, "softmax"));
    }
    // Importance and anchor that tell their place.
    void Fill(egi_memory *m, const eg_model *model)
    {
        ASSERT_FINE(egi_model_arena(&m->anchor, model));
        ASSERT_FINE(egi_model_arena(&m->importance, model));
        for (int64_t p = 0; p < model->n_params; p++)
            for (int64_t i = 0; i < model->params[p].count; i++) {
                ((float *)m->anchor)[model->params[p].offset + i] = (float)(100 * p + i);
                ((float *)m->importance)[model->params[p].offset + i] = (float)(0.5 + 10 * (double)p + (double)i);
            }
        m->scale = 0.125;
        m->tasks = 2;
    }
};

TEST_F(MemoryTest, NothingCarriedIsNothingLoaded)
{
    const Model m = Net(3);
    const Memory memory = Load(m.get());
    EXPECT_EQ(0, memory->n_parts);
    EXPECT_EQ(nullptr, memory->anchor);
    EXPECT_EQ(1, memory->scale);
    char text[200] = "x";
    egi_memory_describe(m.get(), text, sizeof text);
    EXPECT_STREQ("", text);
    EXPECT_EQ(0, egi_memory_examples(m.get()));
}

TEST_F(MemoryTest, RoundTripThroughExtras)
{
    const Model m = Net(6);
    const Set images = Images("digits");
    const int64_t index[] = {1, 3, 4, 11};
    const int32_t rows[] = {5, 0, 2};
    {
        const Memory memory = Empty();
        ASSERT_FINE(egi_memory_add(memory.get(), m.get(), "digits", images.get(), index, 4, rows, 0, "unit"));
        Fill(memory.get(), m.get());
        ASSERT_FINE(egi_memory_store(m.get(), memory.get()));
    }
    char text[200];
    egi_memory_describe(m.get(), text, sizeof text);
    EXPECT_STREQ("4 examples of digits; importance of 2 tasks", text);
    eg_model *copy = nullptr;
    ASSERT_FINE(eg_model_clone(&copy, m.get()));
    const Model clone(copy);
    const Memory back = Load(copy);
    ASSERT_EQ(1, back->n_parts);
    const egi_exemplars *p = egi_memory_find(back.get(), "digits");
    ASSERT_NE(nullptr, p);
    EXPECT_STREQ("unit", p->preprocess);
    EXPECT_EQ(4, p->data->n);
    EXPECT_EQ(6, p->data->classes);
    EXPECT_EQ(EGI_U8, p->data->dtype[0]);
    const int32_t labels[] = {0, 5, 0, 2};
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(labels[i], p->data->labels[i]);
        EXPECT_EQ(index[i], p->source[i]);
        EXPECT_EQ(0, memcmp((uint8_t *)p->data->x[0] + 4 * i, (uint8_t *)images->x[0] + 4 * index[i], 4));
    }
    EXPECT_EQ(0.125, back->scale);
    EXPECT_EQ(2, back->tasks);
    for (int64_t q = 0; q < copy->n_params; q++)
        for (int64_t i = 0; i < copy->params[q].count; i++) {
            EXPECT_EQ((float)(100 * q + i), ((float *)back->anchor)[copy->params[q].offset + i]);
            EXPECT_EQ((float)(0.5 + 10 * (double)q + (double)i),
                      ((float *)back->importance)[copy->params[q].offset + i]);
        }
    eg_model_info info;
    eg_model_get_info(copy, &info);
    EXPECT_EQ(4, info.memory_examples);
    EXPECT_STREQ(text, info.memory);

    // Storing again replaces; an empty memory leaves nothing behind.
    ASSERT_FINE(egi_memory_store(copy, back.get()));
    EXPECT_EQ(m->n_extras, copy->n_extras);
    const Memory none = Empty();
    ASSERT_FINE(egi_memory_store(copy, none.get()));
    EXPECT_EQ(0, copy->n_extras);
}

TEST_F(MemoryTest, RoundTripThroughAFile)
{
    const Model m = Net(6);
    const Set images = Images("digits");
    const int64_t index[] = {0, 5, 7};
    const Memory memory = Empty();
    ASSERT_FINE(egi_memory_add(memory.get(), m.get(), "digits", images.get(), index, 3, nullptr, 0, "unit"));
    Fill(memory.get(), m.get());
    ASSERT_FINE(egi_memory_store(m.get(), memory.get()));
    const std::string path = (folder / "m.h5").string();
    ASSERT_FINE(eg_model_save(m.get(), path.c_str()));
    eg_model *again = nullptr;
    ASSERT_FINE(eg_model_load(&again, ctx, path.c_str(), nullptr));
    const Model owned(again);
    const Memory back = Load(again);
    ASSERT_EQ(1, back->n_parts);
    EXPECT_EQ(3, back->parts[0].data->n);
    EXPECT_EQ(0, memcmp(back->parts[0].data->x[0], memory->parts[0].data->x[0], 12));
    EXPECT_EQ(0.125, back->scale);
    EXPECT_EQ(((float *)memory->importance)[3], ((float *)back->importance)[3]);
    EXPECT_EQ(((float *)memory->anchor)[m->params[2].offset + 7], ((float *)back->anchor)[again->params[2].offset + 7]);
}

TEST_F(MemoryTest, AnAnchorEqualToTheWeightsIsNotStoredTwice)
{
    const Model m = Net(3);
    const Memory memory = Empty();
    Fill(memory.get(), m.get());
    memcpy(memory->anchor, m->weights, (size_t)m->arena_count * sizeof(float));
    ASSERT_FINE(egi_memory_store(m.get(), memory.get()));
    for (int64_t i = 0; i < m->n_extras; i++)
        EXPECT_EQ(nullptr, strstr(m->extras[i].name, "anchor"));
    const Memory back = Load(m.get());
    EXPECT_EQ(0, memcmp(back->anchor, m->weights, (size_t)m->arena_count * sizeof(float)));
}

TEST_F(MemoryTest, FollowsAHeadThatWasExtendedAndForgetsAReplacedOne)
{
    const Model m = Net(3);
    const Memory memory = Empty();
    const Set old = Images("old");
    const int64_t index[] = {0, 1};
    ASSERT_FINE(egi_memory_add(memory.get(), m.get(), "old", old.get(), index, 2, nullptr, 0, "unit"));
    Fill(memory.get(), m.get());
    ASSERT_FINE(egi_memory_store(m.get(), memory.get()));
    const Set fresh = Images("fresh");
    fresh->labels[0] = 2; // other data than "old"
    eg_model *big = nullptr;
    egi_head_map *how = nullptr;
    ASSERT_FINE(egi_heads_apply(&big, &how, m.get(), EGI_CLASSES_EXTEND, fresh.get(), nullptr, 0));
    const Model bigger(big);
    egi_head_map_free(how);
    const Memory back = Load(big);
    ASSERT_EQ(1, back->n_parts);
    EXPECT_EQ(6, back->parts[0].data->classes);
    const int64_t head = egi_model_find_param(m.get(), egi_model_find_layer(m.get(), "head"), "kernel");
    const int64_t wide = egi_model_find_param(big, egi_model_find_layer(big, "head"), "kernel");
    for (int64_t i = 0; i < 5; i++)
        for (int64_t j = 0; j < 6; j++) {
            const int64_t at = big->params[wide].offset + i * 6 + j;
            const float anchor = ((float *)back->anchor)[at], importance = ((float *)back->importance)[at];
            EXPECT_EQ(j < 3 ? (float)(100 * head + i * 3 + j) : ((float *)big->weights)[at], anchor);
            EXPECT_EQ(j < 3 ? (float)(0.5 + 10 * (double)head + (double)(i * 3 + j)) : 0.0f, importance);
        }

    eg_model *other = nullptr;
    ASSERT_FINE(egi_heads_apply(&other, &how, m.get(), EGI_CLASSES_REPLACE, fresh.get(), nullptr, 0));
    const Model replaced(other);
    egi_head_map_free(how);
    const Memory rest = Load(other);
    EXPECT_EQ(0, rest->n_parts) << "examples of rows that no longer exist";
    const int64_t k = egi_model_find_param(other, egi_model_find_layer(other, "head"), "kernel");
    EXPECT_EQ(0, ((float *)rest->importance)[other->params[k].offset]);
    EXPECT_NE(0, ((float *)rest->importance)[other->params[0].offset]);
}

TEST_F(MemoryTest, ShrinkKeepsTheClassesEven)
{
    const Model m = Net(3);
    const Memory memory = Empty();
    const Set images = Images("digits");
    int64_t index[12];
    for (int i = 0; i < 12; i++)
        index[i] = i;
    ASSERT_FINE(egi_memory_add(memory.get(), m.get(), "digits", images.get(), index, 12, nullptr, 0, "unit"));
    ASSERT_FINE(egi_memory_shrink(memory.get(), &memory->parts[0], 7));
    const egi_exemplars *p = &memory->parts[0];
    ASSERT_EQ(7, p->data->n);
    int count[3] = {};
    for (int i = 0; i < 7; i++) {
        count[p->data->labels[i]]++;
        EXPECT_EQ(p->source[i] % 3, p->data->labels[i]);
        EXPECT_EQ(0, memcmp((uint8_t *)p->data->x[0] + 4 * i, (uint8_t *)images->x[0] + 4 * p->source[i], 4));
    }
    EXPECT_EQ(3, count[0]);
    EXPECT_EQ(2, count[1]);
    EXPECT_EQ(2, count[2]);
    ASSERT_FINE(egi_memory_shrink(memory.get(), &memory->parts[0], 100));
    EXPECT_EQ(7, memory->parts[0].data->n);
    // A second set of the same task takes the first one's place.
    ASSERT_FINE(egi_memory_add(memory.get(), m.get(), "digits", images.get(), index, 2, nullptr, 0, "none"));
    EXPECT_EQ(1, memory->n_parts);
    EXPECT_EQ(2, memory->parts[0].data->n);
    const int32_t no_rows[] = {0, -1, 2};
    EXPECT_EQ(EG_ERR_DATA, egi_memory_add(memory.get(), m.get(), "x", images.get(), index, 2, no_rows, 0, "none"));
}

TEST_F(MemoryTest, WhateverAFileSaysIsChecked)
{
    const auto broken = [&](const char *what, auto &&damage) {
        const Model m = Net(3);
        const Memory memory = Empty();
        const Set images = Images("digits");
        const int64_t index[] = {0, 1, 2};
        ASSERT_FINE(egi_memory_add(memory.get(), m.get(), "digits", images.get(), index, 3, nullptr, 0, "unit"));
        Fill(memory.get(), m.get());
        ASSERT_FINE(egi_memory_store(m.get(), memory.get()));
        damage(m.get());
        egi_memory *back = nullptr;
        EXPECT_EQ(EG_ERR_FORMAT, egi_memory_load(&back, m.get())) << what;
        EXPECT_EQ(nullptr, back);
        char text[64];
        egi_memory_describe(m.get(), text, sizeof text); // stands anything
        egi_memory_examples(m.get());
    };
    const auto extra = [](eg_model *m, const char *name) -> egi_tensor & {
        for (int64_t i = 0; i < m->n_extras; i++)
            if (strcmp(m->extras[i].name, name) == 0)
                return m->extras[i].t;
        ADD_FAILURE() << name;
        return m->extras[0].t;
    };
    const auto meta = [](eg_model *m) { return json_object_get(m->meta, "memory"); };
    const auto part = [&](eg_model *m) { return json_array_get(json_object_get(meta(m), "parts"), 0); };
    broken("a row outside", [&](eg_model *m) { ((int32_t *)extra(m, "memory/part/0/rows").data)[1] = 3; });
    broken("a negative row", [&](eg_model *m) { ((int32_t *)extra(m, "memory/part/0/rows").data)[1] = -1; });
    broken("too few rows", [&](eg_model *m) { extra(m, "memory/part/0/rows").shape.dim[0] = 2; });
    broken("rows of another type", [&](eg_model *m) { extra(m, "memory/part/0/rows").dtype = EGI_F32; });
    broken("no rows", [&](eg_model *m) { egi_model_drop_extras(m, "memory/part/0/rows"); });
    broken("no examples", [&](eg_model *m) { egi_model_drop_extras(m, "memory/part/0/x0"); });
    broken("examples of another shape", [&](eg_model *m) { extra(m, "memory/part/0/x0").shape = EGI_SHAPE(3, 3); });
    broken("examples of another type", [&](eg_model *m) { extra(m, "memory/part/0/x0").dtype = EGI_I32; });
    broken("no example", [&](eg_model *m) { extra(m, "memory/part/0/x0").shape.dim[0] = 0; });
    broken("too few sources", [&](eg_model *m) { extra(m, "memory/part/0/source").shape.dim[0] = 2; });
    broken("importance below 0", [&](eg_model *m) { ((float *)extra(m, "memory/importance/0/w").data)[2] = -1; });
    broken("importance that is no number",
           [&](eg_model *m) { ((float *)extra(m, "memory/importance/0/w").data)[2] = NAN; });
    broken("an endless anchor", [&](eg_model *m) { ((float *)extra(m, "memory/anchor/1/w").data)[0] = INFINITY; });
    broken("importance that is too wide",
           [&](eg_model *m) { extra(m, "memory/importance/0/w").shape = EGI_SHAPE(2, 10); });
    broken("importance of integers", [&](eg_model *m) { extra(m, "memory/importance/0/w").dtype = EGI_I32; });
    broken("no importance", [&](eg_model *m) { egi_model_drop_extras(m, "memory/importance/0/"); });
    broken("scale 0", [&](eg_model *m) { json_object_set_new(meta(m), "scale", json_integer(0)); });
    broken("tasks below 0", [&](eg_model *m) { json_object_set_new(meta(m), "tasks", json_integer(-1)); });
    broken("a layer that is not there", [&](eg_model *m) {
        json_object_set_new(json_array_get(json_object_get(meta(m), "parameters"), 0), "layer", json_string("ghost"));
    });
    broken("an output that is not there",
           [&](eg_model *m) { json_object_set_new(part(m), "output", json_integer(1)); });
    broken("unknown preprocessing",
           [&](eg_model *m) { json_object_set_new(part(m), "preprocess", json_string("magic")); });
    broken("no task", [&](eg_model *m) { json_object_del(part(m), "task"); });
    broken("a task twice", [&](eg_model *m) { json_array_append(json_object_get(meta(m), "parts"), part(m)); });
    broken("no object", [&](eg_model *m) { json_object_set_new(m->meta, "memory", json_integer(3)); });
    broken("more parts than arrays", [&](eg_model *m) {
        json_array_append_new(json_object_get(meta(m), "parts"),
                              json_pack("{s:s,s:i,s:s}", "task", "b", "output", 0, "preprocess", "unit"));
    });
}
