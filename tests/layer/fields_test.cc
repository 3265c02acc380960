// core/fields.c: parsing, bounds, messages, printing that reads back, near names.
#include "tests/decimal_comma.h"
#include "tests/layer/harness.h"

#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using layer::Json;

namespace
{

struct Config {
    int64_t count, many;
    double rate, limit;
    bool flag;
    egi_act act;
    int64_t pair[2], steps[2], pad[4];
    int choice;
    char text[EGI_TEXT_MAX];
    egi_dims dims, target;
};

const char *const choices = "valid|same";

egi_field make(const char *name, egi_field_kind kind, size_t offset, const char *fallback, double min, double max)
{
    egi_field f = {};
    f.name = name;
    f.kind = kind;
    f.offset = offset;
    f.fallback = fallback;
    f.min = min;
    f.max = max;
    f.choices = kind == EGI_FIELD_CHOICE ? choices : nullptr;
    return f;
}

egi_field with_word(egi_field f, const char *word, double value)
{
    f.automatic = word;
    f.automatic_value = value;
    return f;
}

const std::vector<egi_field> fields = {
    make("run.count", EGI_FIELD_INT, offsetof(Config, count), "3", 1, 100),
    with_word(make("run.many", EGI_FIELD_INT, offsetof(Config, many), "auto", 1, 9e15), "auto", -1),
    make("finetune.lr", EGI_FIELD_REAL, offsetof(Config, rate), "1e-3", 0, 10),
    with_word(make("limit", EGI_FIELD_REAL, offsetof(Config, limit), "null", 0, 1e30), "null", -1),
    make("flag", EGI_FIELD_BOOL, offsetof(Config, flag), "true", 0, 0),
    make("activation", EGI_FIELD_ACT, offsetof(Config, act), "linear", 0, 0),
    make("pair", EGI_FIELD_PAIR, offsetof(Config, pair), "1", 1, 64),
    with_word(make("steps", EGI_FIELD_PAIR, offsetof(Config, steps), "null", 1, 64), "null", -1),
    make("pad", EGI_FIELD_PAD, offsetof(Config, pad), "0", 0, 9),
    make("padding", EGI_FIELD_CHOICE, offsetof(Config, choice), "valid", 0, 0),
    make("text", EGI_FIELD_TEXT, offsetof(Config, text), "", 0, 0),
    make("dims", EGI_FIELD_DIMS, offsetof(Config, dims), "[]", 0, 1000),
    make("target", EGI_FIELD_DIMS, offsetof(Config, target), "[-1]", -1, 1000),
};

const egi_field &field(const char *name)
{
    return *egi_field_find(fields.data(), (int)fields.size(), name);
}

Config defaults()
{
    Config c;
    memset(&c, 0, sizeof c);
    EXPECT_OK(egi_fields_defaults(fields.data(), (int)fields.size(), &c));
    return c;
}

eg_status text(Config &c, const char *name, const char *value)
{
    return egi_field_from_text(&field(name), &c, value);
}

eg_status json(Config &c, const char *name, const char *value, int keras_major = 3)
{
    const Json j(value);
    return egi_field_from_json(&field(name), &c, j.j, keras_major);
}

std::string printed(const Config &c, const char *name)
{
    char out[2048];
    egi_field_print(&field(name), &c, out, sizeof out);
    return out;
}

// Refused, with name and found in the message, and nothing written.
void refused(eg_status wanted, eg_status status, const Config &c, const char *name, const char *found)
{
    EXPECT_EQ(wanted, status) << name << " " << found;
    EXPECT_NE(nullptr, strstr(eg_last_message(), name)) << eg_last_message();
    EXPECT_NE(nullptr, strstr(eg_last_message(), found)) << eg_last_message();
    const Config untouched = defaults();
    EXPECT_EQ(0, memcmp(&c, &untouched, sizeof c)) << name << " " << found;
}

} // namespace

TEST(Fields, DefaultsAreParsed)
{
    const Config c = defaults();
    EXPECT_EQ(3, c.count);
    EXPECT_EQ(-1, c.many);
    EXPECT_EQ(1e-3, c.rate);
    EXPECT_EQ(-1, c.limit);
    EXPECT_TRUE(c.flag);
    EXPECT_EQ(-1, c.steps[1]);
    EXPECT_EQ(0, c.dims.n);
    EXPECT_EQ(1, c.target.n);
    EXPECT_EQ(-1, c.target.v[0]);
}

TEST(Fields, TextThatIsRefused)
{
    const struct {
        const char *name, *value;
    } bad[] = {{"run.count", "0"},       {"run.count", "101"},
               {"run.count", "3x"},      {"run.count", ""},
               {"run.count", "1e2"},     {"run.count", "99999999999999999999"},
               {"run.count", "0x10"},    {"run.count", "auto"},
               {"finetune.lr", "nan"},   {"finetune.lr", "inf"},
               {"finetune.lr", "1e400"}, {"finetune.lr", "1e-400"},
               {"finetune.lr", "0x1p3"}, {"finetune.lr", "1,5"},
               {"finetune.lr", "1.5 2"}, {"finetune.lr", "11"},
               {"finetune.lr", "-0.1"},  {"finetune.lr", "."},
               {"flag", "maybe"},        {"flag", "2"},
               {"activation", "rely"},   {"pair", "0"},
               {"pair", "1,2,3"},        {"pair", "1;2"},
               {"pair", "null"},         {"pair", "1,"},
               {"pad", "1,2,3"},         {"padding", "full"},
               {"padding", "Same"},      {"dims", "1,2,x"},
               {"dims", "-1"},           {"dims", "1,2,3,4,5,6,7,8,9"},
               {"target", "-2"}};
    for (const auto &b : bad) {
        Config c = defaults();
        refused(EG_ERR_CONFIG, text(c, b.name, b.value), c, b.name, (std::string("'") + b.value + "'").c_str());
    }
}

TEST(Fields, TextThatIsTaken)
{
    Config c = defaults();
    EXPECT_OK(text(c, "run.count", " 42 "));
    EXPECT_EQ(42, c.count);
    EXPECT_OK(text(c, "run.many", "auto"));
    EXPECT_EQ(-1, c.many);
    EXPECT_OK(text(c, "finetune.lr", "+2.5E-1"));
    EXPECT_EQ(0.25, c.rate);
    EXPECT_OK(text(c, "pair", "(3, 5)"));
    EXPECT_EQ(5, c.pair[1]);
    EXPECT_OK(text(c, "pad", "1,2"));
    EXPECT_EQ(1, c.pad[1]);
    EXPECT_EQ(2, c.pad[2]);
    EXPECT_OK(text(c, "dims", "4,null"));
    EXPECT_EQ(-1, c.dims.v[1]);
    for (const char *word : {"true", "Yes", "ON", "1"}) {
        c.flag = false;
        EXPECT_OK(text(c, "flag", word));
        EXPECT_TRUE(c.flag) << word;
    }
    for (const char *word : {"False", "no", "off", "0"}) {
        c.flag = true;
        EXPECT_OK(text(c, "flag", word));
        EXPECT_FALSE(c.flag) << word;
    }
}

TEST(Fields, WhatIsPrintedReadsBack)
{
    const struct {
        const char *name, *value, *print;
    } good[] = {{"run.count", "7", "7"},
                {"run.many", "auto", "auto"},
                {"run.many", "9000000000000000", "9000000000000000"},
                {"finetune.lr", "0.1", "0.1"},
                {"finetune.lr", "1e-3", "0.001"},
                {"finetune.lr", "3.1415926535897931", "3.141592653589793"},
                {"finetune.lr", "2.2250738585072014e-308", "2.2250738585072014e-308"},
                {"limit", "null", "null"},
                {"limit", "6", "6"},
                {"flag", "off", "false"},
                {"activation", "hard_sigmoid2", "hard_sigmoid2"},
                {"activation", "hard_sigmoid", "hard_sigmoid"},
                {"activation", "swish", "silu"},
                {"pair", "2", "[2, 2]"},
                {"steps", "null", "null"},
                {"steps", "[2, 1]", "[2, 1]"},
                {"pad", "[[1, 2], [3, 4]]", "[[1, 2], [3, 4]]"},
                {"padding", "same", "same"},
                {"text", " two words ", " two words "},
                {"dims", "[]", "[]"},
                {"dims", "1,null,3", "[1, null, 3]"},
                {"target", "-1, 4", "[-1, 4]"}};
    for (const auto &g : good) {
        Config c = defaults(), back = defaults();
        EXPECT_OK(text(c, g.name, g.value));
        EXPECT_EQ(g.print, printed(c, g.name));
        EXPECT_OK(text(back, g.name, printed(c, g.name).c_str()));
        EXPECT_EQ(0, memcmp(&c, &back, sizeof c)) << g.name << " " << g.value;
    }
}

TEST(Fields, RandomRealsReadBack)
{
    egi_rng rng = egi_rng_make(1, EGI_RNG_TEST, 0);
    for (int i = 0; i < 2000; i++) {
        Config c = defaults(), back = defaults();
        c.rate = std::exp(-40 + 42 * egi_rng_uniform64(&rng));
        ASSERT_OK(text(back, "finetune.lr", printed(c, "finetune.lr").c_str()));
        ASSERT_EQ(c.rate, back.rate);
    }
}

TEST(Fields, NumbersIgnoreTheLocale)
{
    const DecimalComma german;
    ASSERT_TRUE(german.spoken) << "localedef and Debian's locales are wanted; tools/setup installs them";
    Config c = defaults();
    EXPECT_OK(text(c, "finetune.lr", "1.5"));
    EXPECT_EQ(1.5, c.rate);
    EXPECT_EQ("1.5", printed(c, "finetune.lr"));
    Config untouched = defaults();
    refused(EG_ERR_CONFIG, text(untouched, "finetune.lr", "1,5"), untouched, "finetune.lr", "1,5");
}

TEST(Fields, JsonThatIsRefused)
{
    const struct {
        const char *name, *value;
    } bad[] = {{"run.count", "1.5"},     {"run.count", "\"3\""},  {"run.count", "true"},  {"run.count", "101"},
               {"finetune.lr", "\"1\""}, {"finetune.lr", "[1]"},  {"flag", "2"},          {"flag", "\"true\""},
               {"pair", "[1]"},          {"pair", "[1,2,3]"},     {"pair", "[1,null]"},   {"pair", "65"},
               {"pad", "[1]"},           {"pad", "[1,2,3,4]"},    {"pad", "[[1,2],[3]]"}, {"pad", "10"},
               {"padding", "1"},         {"padding", "\"full\""}, {"text", "3"},          {"dims", "[1,\"2\"]"},
               {"dims", "[1001]"},       {"dims", "[-1]"},        {"activation", "3"},    {"activation", "[\"relu\"]"}};
    for (const auto &b : bad) {
        Config c = defaults();
        const std::string found =
            b.value[0] == '"' ? "'" + std::string(b.value + 1, strlen(b.value) - 2) + "'" : b.value;
        refused(EG_ERR_FORMAT, json(c, b.name, b.value), c, b.name, found.c_str());
    }
}

TEST(Fields, LongHostileValuesGiveAShortMessage)
{
    Config c = defaults();
    const std::string text = "[\"" + std::string(100000, 'x') + "\"]",
                      deep = std::string(500, '[') + std::string(500, ']');
    EXPECT_EQ(EG_ERR_FORMAT, json(c, "run.count", text.c_str()));
    EXPECT_EQ(EG_ERR_FORMAT, json(c, "pad", deep.c_str()));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "...")) << eg_last_message();
    EXPECT_EQ(EG_ERR_CONFIG, egi_field_from_text(&field("text"), &c, std::string(EGI_TEXT_MAX, 'y').c_str()));
    EXPECT_EQ(EG_ERR_CONFIG, egi_field_from_text(&field("run.count"), &c, std::string(5000, '1').c_str()));
    EXPECT_LT(strlen(eg_last_message()), 400u);
}

TEST(Fields, JsonThatIsTaken)
{
    Config c = defaults();
    EXPECT_OK(json(c, "run.count", "64.0"));
    EXPECT_EQ(64, c.count);
    EXPECT_OK(json(c, "limit", "{\"type\": \"ndarray\", \"value\": 6.0}"));
    EXPECT_EQ(6, c.limit);
    EXPECT_OK(json(c, "limit", "null"));
    EXPECT_EQ(-1, c.limit);
    EXPECT_OK(json(c, "run.count", "null"));
    EXPECT_EQ(3, c.count) << "null is the default";
    EXPECT_OK(json(c, "dims", "[null, 28, 28, 1]"));
    EXPECT_EQ(4, c.dims.n);
    EXPECT_EQ(-1, c.dims.v[0]);
    EXPECT_OK(json(c, "target", "7"));
    EXPECT_EQ(1, c.target.n);
    EXPECT_OK(json(c, "pad", "[[0, 1], [2, 3]]"));
    EXPECT_EQ(3, c.pad[3]);
    EXPECT_OK(json(c, "pad", "[4, 5]"));
    EXPECT_EQ(4, c.pad[1]);
    EXPECT_EQ(5, c.pad[3]);
}

TEST(Fields, ActivationsOfThreeGenerations)
{
    const struct {
        const char *value;
        int keras_major;
        egi_act act;
    } good[] = {
        {"null", 3, EGI_ACT_LINEAR},
        {"\"relu\"", 1, EGI_ACT_RELU},
        {"{\"class_name\": \"function\", \"config\": \"relu\", \"registered_name\": \"relu\"}", 3, EGI_ACT_RELU},
        {"{\"module\": \"builtins\", \"class_name\": \"function\", \"config\": \"softmax\", \"registered_name\": "
         "\"function\"}",
         3, EGI_ACT_SOFTMAX},
        {"{\"module\": \"keras.activations\", \"class_name\": \"gelu\", \"config\": null, \"registered_name\": null}",
         3, EGI_ACT_GELU},
        {"\"hard_sigmoid\"", 1, EGI_ACT_HARD_SIGMOID2},
        {"\"hard_sigmoid\"", 2, EGI_ACT_HARD_SIGMOID2},
        {"\"hard_sigmoid\"", 3, EGI_ACT_HARD_SIGMOID},
        {"\"swish\"", 2, EGI_ACT_SILU},
        {"\"hard_swish\"", 3, EGI_ACT_HARD_SILU},
    };
    for (const auto &g : good) {
        Config c = defaults();
        c.act = EGI_ACT_TANH;
        EXPECT_OK(json(c, "activation", g.value, g.keras_major));
        EXPECT_EQ(g.act, c.act) << g.value;
    }
    Config c = defaults();
    refused(EG_ERR_UNSUPPORTED, json(c, "activation", "\"mish\""), c, "activation", "'mish'");
    refused(EG_ERR_UNSUPPORTED, json(c, "activation", "{\"class_name\": \"LeakyReLU\", \"config\": {\"alpha\": 0.2}}"),
            c, "activation", "'LeakyReLU'");
}

TEST(Fields, NearNames)
{
    char near[256];
    const auto nearest = [&](const char *name) {
        egi_field_nearest(fields.data(), (int)fields.size(), name, near, sizeof near);
        return std::string(near);
    };
    EXPECT_EQ("finetune.lr", nearest("finetune.lrr"));
    EXPECT_EQ("finetune.lr", nearest("fientune.lr")) << "a swap is one edit";
    EXPECT_EQ("finetune.lr", nearest("lr").substr(0, 11)) << "the last part counts";
    EXPECT_EQ("finetune.lr", nearest("training.schedule.lr")) << "the right word in the wrong group";
    EXPECT_EQ("padding", nearest("pading"));
    EXPECT_EQ("", nearest("entirely_different"));
    EXPECT_EQ("", nearest(std::string(300, 'x').c_str()));
    EXPECT_EQ("text", nearest("txet"));
}

TEST(Fields, AliasFindsTheField)
{
    const egi_layer_type *dense = egi_layer_type_find("Dense");
    EXPECT_EQ(egi_field_find(dense->fields, dense->n_fields, "units"),
              egi_field_find(dense->fields, dense->n_fields, "output_dim"));
    EXPECT_EQ(nullptr, egi_field_find(dense->fields, dense->n_fields, "no_such"));
}
