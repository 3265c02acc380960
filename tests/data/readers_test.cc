// Every reader gives what numpy, Pillow or the format's own description says.
#include "tests/data/support.h"

#include <png.h>

#include <cmath>
#include <numeric>

namespace
{

using Readers = Data;

eg_dataset_info Info(const Set &d)
{
    eg_dataset_info info;
    eg_dataset_get_info(d.get(), &info);
    return info;
}

// --- IDX -------------------------------------------------------------------------------------------------

TEST_F(Readers, IdxFolderHasTwoParts)
{
    Put("set/train-images-idx3-ubyte", Idx(8, {3, 2, 2}, Counting(12)));
    Put("set/train-labels-idx1-ubyte", Idx(8, {3}, Bytes("\0\2\1", 3)));
    Put("set/t10k-images-idx3-ubyte", Idx(8, {2, 2, 2}, Counting(8, 100)));
    Put("set/t10k-labels-idx1-ubyte", Idx(8, {2}, Bytes("\4\1", 2)));
    const std::string path = folder / "set";

    const Set train = Load(path + "/");
    const eg_dataset_info info = Info(train);
    EXPECT_STREQ("set", info.name);
    EXPECT_STREQ("IDX", info.format);
    EXPECT_EQ(3, info.n);
    EXPECT_EQ(5, info.classes) << "class 4 has examples in the test part only, and the parts must agree";
    EXPECT_TRUE(info.has_test);
    EXPECT_EQ(EG_DTYPE_U8, info.dtype);
    EXPECT_EQ((std::vector<int64_t>{2, 2, 1}), Shape(train));
    EXPECT_EQ((std::vector<int32_t>{0, 2, 1}), Labels(train));
    EXPECT_EQ(0, memcmp(train->x[0], Counting(12).data(), 12));
    EXPECT_STREQ("4", eg_dataset_class_name(train.get(), 4));
    EXPECT_STREQ("set[2]", eg_dataset_source(train.get(), 2));

    const Set test = Load(path + ":test");
    EXPECT_EQ((std::vector<int32_t>{4, 1}), Labels(test));
    EXPECT_EQ(100, Values<uint8_t>(test)[0]);
    EXPECT_EQ(5, test->classes);
    EXPECT_EQ((std::vector<int32_t>{0, 2, 1}), Labels(Load(path + "/:train", EG_PART_TEST))) << "the path wins";
    EXPECT_EQ((std::vector<int32_t>{0, 2, 1, 4, 1}), Labels(Load(path, EG_PART_ALL)));
}

TEST_F(Readers, IdxNamesWithDotsZippedAndAlone)
{
    Put("d/train-images.idx3-ubyte.gz", Gzip(Idx(8, {3, 2, 2}, Counting(12))));
    Put("d/train-labels.idx1-ubyte", Idx(8, {3}, Bytes("\1\0\1", 3)));
    const Set d = Load(folder / "d", EG_PART_TEST);
    EXPECT_EQ((std::vector<int32_t>{1, 0, 1}), Labels(d)) << "without a test part TEST is all";
    EXPECT_FALSE(d->has_test);
    EXPECT_EQ((std::vector<int32_t>{1, 0, 1}),
              Labels(Load(Put("s/images-idx3-ubyte", Idx(8, {3, 2, 2}, Counting(12))) +
                          (Put("s/labels-idx1-ubyte", Idx(8, {3}, Bytes("\1\0\1", 3))), ""))))
        << "an images file finds the labels beside it";
    EXPECT_EQ(nullptr, Load(Put("lone.idx", Idx(8, {3, 4}, Counting(12))))->labels);
}

TEST_F(Readers, IdxTypesAreBigEndian)
{
    EXPECT_EQ((std::vector<float>{-2, 258}),
              Values<float>(Load(Put("a.idx", Idx(0x0B, {2, 1}, Bytes("\xff\xfe\x01\x02", 4))))));
    EXPECT_EQ((std::vector<float>{1, -0.5}),
              Values<float>(Load(Put("b.idx", Idx(0x0D, {1, 2}, Bytes("\x3f\x80\0\0\xbf\0\0\0", 8))))));
    EXPECT_EQ((std::vector<float>{-2.5}),
              Values<float>(Load(Put("c.idx", Idx(0x0E, {1, 1}, Bytes("\xc0\x04\0\0\0\0\0\0", 8))))));
    EXPECT_EQ((std::vector<float>{-1, 127}),
              Values<float>(Load(Put("d.idx", Idx(0x09, {2, 1}, Bytes("\xff\x7f", 2))))));
}

TEST_F(Readers, ClassNamesFromATextFile)
{
    Put("n/train-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Put("n/train-labels-idx1-ubyte", Idx(8, {2}, Bytes("\0\1", 2)));
    Put("n/classes.txt", "  ankle boot \r\nbag\nshirt\n\n");
    const Set d = Load(folder / "n");
    EXPECT_EQ(3, d->classes);
    EXPECT_STREQ("ankle boot", eg_dataset_class_name(d.get(), 0));
    EXPECT_STREQ("shirt", eg_dataset_class_name(d.get(), 2));
}

TEST_F(Readers, IdxPartsMayBeCalledTest)
{
    Put("e/train-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Put("e/train-labels-idx1-ubyte", Idx(8, {2}, Bytes("\0\1", 2)));
    Put("e/test-images-idx3-ubyte", Idx(8, {1, 1, 1}, Counting(1, 9)));
    Put("e/test-labels-idx1-ubyte", Idx(8, {1}, Bytes("\1", 1)));
    EXPECT_EQ((std::vector<int32_t>{0, 1}), Labels(Load(folder / "e")));
    EXPECT_EQ((std::vector<uint8_t>{9}), Values<uint8_t>(Load(folder / "e", EG_PART_TEST)));
}

TEST_F(Readers, IdxOfColourImagesFindsItsLabels)
{
    const std::string images = Put("h/images-idx4-ubyte", Idx(8, {2, 1, 1, 3}, Counting(6)));
    Put("h/labels-idx1-ubyte", Idx(8, {2}, Bytes("\1\0", 2)));
    const Set d = Load(images);
    EXPECT_EQ((std::vector<int64_t>{1, 1, 3}), Shape(d));
    EXPECT_EQ((std::vector<int32_t>{1, 0}), Labels(d));
}

TEST_F(Readers, IdxSizesAreBigEndian)
{
    const Set d = Load(Put("long.idx", Idx(8, {66051, 1}, Bytes(66051, '\7'))));
    EXPECT_EQ(66051, d->n) << "0x00010203";
}

TEST_F(Readers, PartsInPathsAndFilesThatAreCalledSo)
{
    Put("set/train.csv", "x,label\n1,0\n2,1\n");
    Put("set/test.csv", "x,label\n3,1\n");
    EXPECT_EQ(1, Load((folder / "set").string() + ":TEST")->n);
    EXPECT_EQ(3, Load((folder / "set").string() + ":All")->n);
    EXPECT_EQ(2, Load(Put("odd.npz:train", ReadAll(Golden("parts.npz"))), EG_PART_TEST)->n);
}

TEST_F(Readers, PlainFilesWinOverZippedOnes)
{
    Put("z/train.csv.gz", Gzip("x,label\n1,0\n2,1\n3,1\n"));
    Put("z/train.csv", "x,label\n1,0\n2,1\n");
    Put("z/test.csv.gz", Gzip("x,label\n1,0\n"));
    EXPECT_EQ(2, Load(folder / "z")->n);
    EXPECT_EQ(1, Load(folder / "z", EG_PART_TEST)->n);
}

// --- CIFAR -----------------------------------------------------------------------------------------------

Bytes CifarRecord(const Bytes &label, int from)
{
    Bytes out = label;
    for (int plane = 0; plane < 3; plane++)
        for (int i = 0; i < 1024; i++)
            out += static_cast<char>(from + plane * 50 + i % 7);
    return out;
}

TEST_F(Readers, CifarPlanesBecomePixels)
{
    Put("c/data_batch_1.bin", CifarRecord("\3", 0) + CifarRecord("\7", 10));
    Put("c/data_batch_2.bin.gz", Gzip(CifarRecord("\1", 20)));
    Put("c/test_batch.bin", CifarRecord("\2", 30));
    Put("c/batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
    const Set train = Load(folder / "c"), test = Load(folder / "c", EG_PART_TEST);
    EXPECT_STREQ("CIFAR binary", Info(train).format);
    EXPECT_EQ((std::vector<int64_t>{32, 32, 3}), Shape(train));
    EXPECT_EQ((std::vector<int32_t>{3, 7, 1}), Labels(train));
    EXPECT_EQ((std::vector<int32_t>{2}), Labels(test));
    EXPECT_STREQ("cat", eg_dataset_class_name(train.get(), 3));
    EXPECT_TRUE(train->has_test);
    const auto x = Values<uint8_t>(train);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 1024; i++)
            for (int c = 0; c < 3; c++)
                ASSERT_EQ(k * 10 + c * 50 + i % 7, x[static_cast<size_t>((k * 1024 + i) * 3 + c)]);
}

TEST_F(Readers, CifarFilesOfDifferentLengths)
{
    Bytes long_file;
    for (char i = 0; i < 70; i++)
        long_file += CifarRecord(Bytes(1, static_cast<char>(i % 10)), i);
    Put("c/data_batch_1.bin", CifarRecord("\3", 1) + CifarRecord("\4", 2));
    Put("c/data_batch_2.bin", long_file);
    Put("c/data_batch_3.bin", CifarRecord("\5", 3));
    const Set d = Load(folder / "c");
    ASSERT_EQ(73, d->n);
    const auto x = Values<uint8_t>(d);
    EXPECT_EQ(4, eg_dataset_label(d.get(), 1));
    EXPECT_EQ(9, eg_dataset_label(d.get(), 71));
    EXPECT_EQ(5, eg_dataset_label(d.get(), 72));
    EXPECT_EQ(69, x[71 * 3072]);
    EXPECT_EQ(3, x[72 * 3072]);
}

TEST_F(Readers, Cifar100TakesTheFineLabel)
{
    Put("c/train.bin", CifarRecord("\5\x63", 0));
    Put("c/test.bin", CifarRecord("\5\x11", 0));
    Bytes names;
    for (int i = 0; i < 100; i++)
        names += "fine" + std::to_string(i) + "\n";
    Put("c/fine_label_names.txt", names);
    const Set d = Load(folder / "c");
    EXPECT_EQ(99, eg_dataset_label(d.get(), 0));
    EXPECT_EQ(100, d->classes);
    EXPECT_STREQ("fine99", eg_dataset_class_name(d.get(), 99));
    EXPECT_EQ(17, eg_dataset_label(Load(folder / "c/test.bin").get(), 0));
}

// --- NPY and NPZ -----------------------------------------------------------------------------------------

void ExpectGoldenArrays(const Set &d)
{
    const auto expected = ReadNumbers<float>(Golden("arrays.f32"));
    ASSERT_EQ(16, d->n_inputs);
    ASSERT_EQ(16u * 30, expected.size());
    for (int i = 0; i < 16; i++)
        for (int64_t k = 0; k < 30; k++) {
            const float want = expected[static_cast<size_t>(i * 30 + k)];
            const float got =
                d->dtype[i] == EGI_U8 ? static_cast<uint8_t *>(d->x[i])[k] : static_cast<float *>(d->x[i])[k];
            EXPECT_EQ(0, memcmp(&want, &got, 4)) << "input " << i << " element " << k << ": " << want << " and " << got;
        }
    EXPECT_EQ(EGI_U8, d->dtype[0]);
    EXPECT_EQ(EGI_U8, d->dtype[1]);
    EXPECT_EQ(EGI_F32, d->dtype[2]);
}

TEST_F(Readers, NpzOfEveryDtypeEqualsNumpy)
{
    for (const char *name : {"stored.npz", "deflated.npz", "zip64.npz"}) {
        SCOPED_TRACE(name);
        const Set d = Load(Golden(name));
        ExpectGoldenArrays(d);
        EXPECT_EQ((std::vector<int32_t>{0, 2, 1, 2, 0}), Labels(d));
        EXPECT_EQ((std::vector<int64_t>{2, 3}), Shape(d));
        EXPECT_EQ(3, d->classes);
    }
}

TEST_F(Readers, NpyOfEveryVersion)
{
    std::vector<float> expected(24);
    std::iota(expected.begin(), expected.end(), 0.0f);
    for (const char *name : {"version1.npy", "version2.npy", "version3.npy"})
        EXPECT_EQ(expected, Values<float>(Load(Golden(name)))) << name;
    EXPECT_EQ(expected, Values<float>(Load(Put("zipped.npy.gz", Gzip(ReadAll(Golden("version1.npy")))))));
}

TEST_F(Readers, NpzPartsAsInKerasDatasets)
{
    const Set train = Load(Golden("parts.npz")), test = Load(Golden("parts.npz"), EG_PART_TEST);
    EXPECT_EQ((std::vector<int32_t>{0, 1, 2, 0, 1, 2}), Labels(train)) << "a column of integers is labels";
    EXPECT_EQ((std::vector<int32_t>{4, 1}), Labels(test));
    EXPECT_EQ(5, train->classes);
    EXPECT_EQ(5, test->classes);
    EXPECT_TRUE(train->has_test);
    EXPECT_EQ(8, Load(Golden("parts.npz"), EG_PART_ALL)->n);
    for (size_t i = 0; i < 96; i++)
        ASSERT_EQ(255 - Values<uint8_t>(train)[i], Values<uint8_t>(test)[i]);
}

TEST_F(Readers, NpzPartsOfSeveralInputsWithWeights)
{
    const auto floats = [](const std::string &shape, std::vector<float> v) {
        return NpyOf("<f4", shape, Bytes(reinterpret_cast<char *>(v.data()), v.size() * sizeof(float)));
    };
    const auto bytes = [](const std::string &shape, const Bytes &v) { return NpyOf("|u1", shape, v); };
    const std::string path = Put("m.npz", Zip({{"x0_train.npy", floats("(2, 1)", {1, 2})},
                                               {"x1_train.npy", bytes("(2, 2)", Counting(4))},
                                               {"x2_train.npy", bytes("(2, 1)", Counting(2))},
                                               {"y_train.npy", bytes("(2,)", Counting(2))},
                                               {"sample_weight_train.npy", floats("(2,)", {0.5f, 3})},
                                               {"x0_test.npy", floats("(3, 1)", {3, 4, 5})},
                                               {"x1_test.npy", bytes("(3, 2)", Counting(6))},
                                               {"x2_test.npy", bytes("(3, 1)", Counting(3))},
                                               {"y_test.npy", bytes("(3,)", Counting(3))},
                                               {"sample_weight_test.npy", floats("(3,)", {1, 2, 4})}}));
    const Set train = Load(path), test = Load(path, EG_PART_TEST);
    EXPECT_EQ(3, train->n_inputs);
    EXPECT_EQ(3, train->classes);
    EXPECT_EQ(3, test->classes);
    EXPECT_EQ((std::vector<float>{3, 4, 5}), Values<float>(test));
    EXPECT_EQ((std::vector<uint8_t>{0, 1, 2}), Values<uint8_t>(test, 2));
    ASSERT_TRUE(train->weights && test->weights);
    EXPECT_EQ(3, train->weights[1]);
    EXPECT_EQ(4, test->weights[2]);
    const Set all = Load(path, EG_PART_ALL);
    EXPECT_EQ((std::vector<float>{0.5f, 3, 1, 2, 4}), std::vector<float>(all->weights, all->weights + 5));
}

TEST_F(Readers, NpzTargets)
{
    const Set regression = Load(Golden("regression.npz"));
    EXPECT_EQ(nullptr, regression->labels);
    EXPECT_EQ(0, regression->classes);
    EXPECT_EQ(1, regression->target_shape.dim[0]);
    EXPECT_EQ(-1.0f, regression->targets[1]);

    const Set hot = Load(Golden("onehot.npz"));
    EXPECT_EQ(4, hot->classes);
    EXPECT_EQ((std::vector<int32_t>{2, 0, 2}), Labels(hot));
    EXPECT_EQ(1.0f, hot->targets[2]);

    std::vector<float> rows = {0, 1, 1, 0};
    const Bytes two(reinterpret_cast<char *>(rows.data()), 16);
    const Set pair = Load(
        Put("two.npz", Zip({{"x.npy", NpyOf("|u1", "(2, 1)", Counting(2))}, {"y.npy", NpyOf("<f4", "(2, 2)", two)}})));
    EXPECT_EQ(2, pair->classes);
    EXPECT_EQ((std::vector<int32_t>{1, 0}), Labels(pair));

    const Set several = Load(Golden("several.npz"));
    EXPECT_EQ(0, several->classes);
    EXPECT_EQ(nullptr, several->labels);
    EXPECT_EQ((std::vector<float>{1, 1, 0, 0, 0, 0, 0, 1, 0}),
              std::vector<float>(several->targets, several->targets + 9));
}

TEST_F(Readers, NpzSampleWeights)
{
    const Set d = Load(Golden("weighted.npz"));
    ASSERT_NE(nullptr, d->weights);
    EXPECT_EQ((std::vector<float>{0.5f, 2, 0}), std::vector<float>(d->weights, d->weights + 3));
    const int64_t index[] = {1};
    eg_dataset *picked = nullptr;
    ASSERT_EQ(EG_OK, egi_dataset_pick(&picked, d.get(), index, 1)) << eg_last_message();
    EXPECT_EQ(2.0f, picked->weights[0]);
    eg_dataset_free(picked);
    const float wrong[] = {1, -1, 1};
    EXPECT_EQ(EG_ERR_DATA, eg_dataset_set_weights(d.get(), wrong));
    EXPECT_EQ(0.5f, d->weights[0]) << "a refused call changes nothing";
}

TEST_F(Readers, NumbersThatAreNotFiniteAreLogged)
{
    const Set d = Load(Put("nan.npy", NpyOf("<f4", "(2, 1)", Bytes("\0\0\x80\x3f\0\0\xc0\x7f", 8))));
    ASSERT_EQ(1u, log.size());
    EXPECT_NE(std::string::npos, log[0].find("1 of 2 numbers are infinite or not a number, the first in example 1"))
        << log[0];
}

// --- CSV -------------------------------------------------------------------------------------------------

TEST_F(Readers, CsvNumbersEqualNumpy)
{
    const auto expected = ReadNumbers<float>(Golden("numbers.f32")), found = Values<float>(Load(Golden("numbers.csv")));
    ASSERT_EQ(expected.size(), found.size());
    for (size_t i = 0; i < expected.size(); i++)
        EXPECT_EQ(0, memcmp(&expected[i], &found[i], 4)) << i << ": " << expected[i] << " and " << found[i];
}

TEST_F(Readers, CsvTextsBecomeSortedClasses)
{
    const Set d = Load(Put("t.csv", "\xef\xbb\xbf"
                                    "a,Class,b\r\n1,\"pear, \"\"ripe\"\"\",2\r\n\r\n3,apple,4\r\n5,\"two\nlines\",6"));
    EXPECT_EQ((std::vector<float>{1, 2, 3, 4, 5, 6}), Values<float>(d));
    EXPECT_EQ((std::vector<int32_t>{1, 0, 2}), Labels(d));
    EXPECT_STREQ("apple", eg_dataset_class_name(d.get(), 0));
    EXPECT_STREQ("pear, \"ripe\"", eg_dataset_class_name(d.get(), 1));
    EXPECT_STREQ("two\nlines", eg_dataset_class_name(d.get(), 2));
}

TEST_F(Readers, CsvFindsTheColumnOfAnswers)
{
    EXPECT_EQ((std::vector<int32_t>{1, 0}), Labels(Load(Put("last.csv", "0.5,1\n2,0\n"))));
    EXPECT_EQ((std::vector<int32_t>{3, 4}), Labels(Load(Put("first.csv", "LABEL,0,1\n3,10,20\n4,30,40\n"))));
    EXPECT_EQ((std::vector<int32_t>{1, 0}), Labels(Load(Put("iris.csv.gz", Gzip("5.1,3.5,setosa\n4,3,alpina\n")))));
    EXPECT_EQ((std::vector<int32_t>{1, 0}), Labels(Load(Put("semi.csv", "a;b\n1;1\n2;0\n"))));
    EXPECT_EQ((std::vector<int32_t>{1, 0}), Labels(Load(Put("tab.tsv", "1\t1\n2\t0\n"))));
    const Set d = Load(Put("real.csv", "x,y\n1,0.25\n2,3\n"));
    EXPECT_EQ(nullptr, d->labels);
    EXPECT_EQ((std::vector<float>{0.25, 3}), std::vector<float>(d->targets, d->targets + 2));
}

TEST_F(Readers, CsvPartsShareTheirClasses)
{
    Put("c/train.csv", "x,label\n1,dog\n2,cat\n");
    Put("c/test.csv", "x,label\n3,emu\n4,cat\n");
    const Set train = Load(folder / "c"), test = Load(folder / "c", EG_PART_TEST);
    EXPECT_EQ((std::vector<int32_t>{1, 0}), Labels(train));
    EXPECT_EQ((std::vector<int32_t>{2, 0}), Labels(test));
    EXPECT_EQ(3, train->classes);
    EXPECT_STREQ("emu", eg_dataset_class_name(train.get(), 2));
}

TEST_F(Readers, CsvPartsAgreeOnWhatAnswersAre)
{
    Put("texts/train.csv", "x,label\n1,red\n2,7\n");
    Put("texts/test.csv", "x,label\n3,7\n4,8\n");
    const Set texts = Load(folder / "texts");
    EXPECT_EQ((std::vector<int32_t>{2, 0}), Labels(texts)) << "7, 8, red";
    EXPECT_EQ((std::vector<int32_t>{0, 1}), Labels(Load(folder / "texts", EG_PART_TEST)));
    Put("integers/train.csv", "x,label\n1,0\n2,1\n");
    Put("integers/val.csv", "x,label\n3,1\n4,2\n");
    const Set integers = Load(folder / "integers");
    EXPECT_TRUE(integers->has_test);
    EXPECT_EQ(3, integers->classes);
    EXPECT_EQ((std::vector<int32_t>{1, 2}), Labels(Load(folder / "integers", EG_PART_TEST)));
}

TEST_F(Readers, CsvAnswersByTheirLooks)
{
    EXPECT_EQ((std::vector<int32_t>{3, 4}), Labels(Load(Put("a.csv", "Target,a\n3,10\n4,30\n"))));
    const Set large = Load(Put("b.csv", "a,price\n1,3000000000\n2,5\n"));
    EXPECT_EQ(nullptr, large->labels) << "no class has such a number";
    ASSERT_NE(nullptr, large->targets);
    EXPECT_EQ(3e9f, large->targets[0]);
    EXPECT_EQ((std::vector<float>{1, 2}), Values<float>(Load(Put("c.csv", "a,b\n 1 ,0\n2\t,1\n"))));
    EXPECT_EQ((std::vector<float>{1, 2}), Values<float>(Load(Put("d.csv", "a;b\n1;\"x,y,z\"\n2;\"u,v,w\"\n"))))
        << "the first line has the delimiter";
}

// --- images ----------------------------------------------------------------------------------------------

TEST_F(Readers, ImagesOfEveryKindEqualPillow)
{
    const Set d = Load(Golden("images"));
    EXPECT_EQ((std::vector<int64_t>{7, 9, 3}), Shape(d));
    EXPECT_EQ(11, d->n);
    EXPECT_EQ(nullptr, d->labels);
    const auto expected = ReadNumbers<uint8_t>(Golden("images.u8")), found = Values<uint8_t>(d);
    ASSERT_EQ(expected.size(), found.size());
    for (size_t i = 0; i < expected.size(); i++)
        ASSERT_EQ(expected[i], found[i]) << eg_dataset_source(d.get(), static_cast<int64_t>(i / 189)) << " byte "
                                         << i % 189;
    EXPECT_EQ(Golden("images/a_rgb.png"), eg_dataset_source(d.get(), 0));
}

TEST_F(Readers, GrayStaysGrayAndInterlacingAndSixteenBitsAreRead)
{
    const Bytes gray = Counting(20);
    const Set one = Load(Put("g.png", Png(5, 4, 8, PNG_COLOR_TYPE_GRAY, gray, true)));
    EXPECT_EQ((std::vector<int64_t>{4, 5, 1}), Shape(one));
    EXPECT_EQ(0, memcmp(one->x[0], gray.data(), 20));
    Bytes wide;
    for (int i = 0; i < 60; i++)
        wide += Bytes{static_cast<char>(i * 4), static_cast<char>(255 - i)};
    const auto high = Values<uint8_t>(Load(Put("w.png", Png(5, 4, 16, PNG_COLOR_TYPE_RGB, wide))));
    for (size_t i = 0; i < 60; i++)
        EXPECT_EQ(i * 4, high[i]) << "16 bits keep the high byte";
}

TEST_F(Readers, FolderPerClassIsSortedAndNamed)
{
    const auto png = [](int v) { return Png(2, 2, 8, PNG_COLOR_TYPE_GRAY, Bytes(4, static_cast<char>(v))); };
    Put("f/dog/2.png", png(12));
    Put("f/dog/10.png", png(11));
    Put("f/cat/b.jpg", png(21)); // by content, not by name
    Put("f/cat/notes.txt", "no image");
    Put("f/.hidden/x.png", png(1));
    const Set d = Load(folder / "f");
    EXPECT_STREQ("image folder", Info(d).format);
    EXPECT_EQ((std::vector<int32_t>{0, 1, 1}), Labels(d));
    EXPECT_EQ((std::vector<uint8_t>{21, 21, 21, 21, 11, 11, 11, 11, 12, 12, 12, 12}), Values<uint8_t>(d));
    EXPECT_STREQ("dog", eg_dataset_class_name(d.get(), 1));
    EXPECT_EQ((folder / "f/dog/10.png").string(), eg_dataset_source(d.get(), 1));
    EXPECT_FALSE(d->has_test);
}

TEST_F(Readers, ImageFoldersWithParts)
{
    const auto png = [](int v) { return Png(1, 1, 8, PNG_COLOR_TYPE_GRAY, Bytes(1, static_cast<char>(v))); };
    Put("p/train/dog/1.png", png(1));
    Put("p/train/cat/1.png", png(2));
    Put("p/val/emu/1.png", png(3));
    Put("p/val/cat/1.png", png(4));
    const Set train = Load(folder / "p"), test = Load(folder / "p:test");
    EXPECT_EQ((std::vector<int32_t>{0, 1}), Labels(train));
    EXPECT_EQ((std::vector<int32_t>{0, 2}), Labels(test));
    EXPECT_EQ(3, train->classes);
    EXPECT_TRUE(test->has_test);
    EXPECT_EQ((std::vector<uint8_t>{2, 1, 4, 3}), Values<uint8_t>(Load(folder / "p", EG_PART_ALL)));

    Put("q/train/1.png", png(1)); // a class that is called train
    Put("q/bus/1.png", png(2));
    const Set q = Load(folder / "q");
    EXPECT_EQ(2, q->classes);
    EXPECT_STREQ("train", eg_dataset_class_name(q.get(), 1));
}

TEST_F(Readers, TheTestFolderWinsOverTheValidationFolder)
{
    const auto png = [](int v) { return Png(1, 1, 8, PNG_COLOR_TYPE_GRAY, Bytes(1, static_cast<char>(v))); };
    Put("t/train/dog/1.png", png(1));
    Put("t/val/dog/1.png", png(2));
    Put("t/test/dog/1.png", png(3));
    EXPECT_EQ((std::vector<uint8_t>{3}), Values<uint8_t>(Load(folder / "t", EG_PART_TEST)));
    Put("u/test/dog/1.png", png(4));
    const Set only = Load(folder / "u", EG_PART_TEST);
    EXPECT_EQ((std::vector<uint8_t>{4}), Values<uint8_t>(only));
    EXPECT_FALSE(only->has_test);
    Put("v/train/dog/1.png", png(5));
    EXPECT_EQ((std::vector<uint8_t>{5}), Values<uint8_t>(Load(folder / "v", EG_PART_TEST))) << "TEST is all there is";
}

// --- from arrays -----------------------------------------------------------------------------------------

TEST_F(Readers, FromArraysCopiesAndChecks)
{
    float x[6] = {1, 2, 3, 4, 5, 6};
    int32_t labels[3] = {2, 0, 2};
    const Set d = Arrays(x, EG_DTYPE_F32, 3, {2}, labels);
    x[0] = 9;
    labels[0] = 1;
    EXPECT_EQ((std::vector<float>{1, 2, 3, 4, 5, 6}), Values<float>(d));
    EXPECT_EQ((std::vector<int32_t>{2, 0, 2}), Labels(d));
    EXPECT_EQ(3, d->classes);

    eg_dataset *none = nullptr;
    const int64_t shape[1] = {2}, huge[3] = {INT64_C(1) << 39, 2, 2};
    labels[1] = -3;
    EXPECT_EQ(EG_ERR_ARG, eg_dataset_from_arrays(&none, context, x, EG_DTYPE_F32, 3, shape, 1, labels));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "example 1 is -3")) << eg_last_message();
    EXPECT_EQ(EG_ERR_ARG, eg_dataset_from_arrays(&none, context, x, EG_DTYPE_F32, 0, shape, 1, nullptr));
    EXPECT_EQ(EG_ERR_ARG, eg_dataset_from_arrays(&none, context, nullptr, EG_DTYPE_F32, 3, shape, 1, nullptr));
    EXPECT_EQ(EG_ERR_ARG, eg_dataset_from_arrays(&none, context, x, EG_DTYPE_F32, 3, huge, 3, nullptr));
    EXPECT_EQ(nullptr, none);
}

// --- real data -------------------------------------------------------------------------------------------

#define NEED(path)                      \
    if (!std::filesystem::exists(path)) \
    GTEST_SKIP() << path << " is not there: set EG_SHARED"

TEST_F(Readers, RealCifar)
{
    NEED(Shared("data/cifar-10"));
    const Set train = Load(Shared("data/cifar-10")), test = Load(Shared("data/cifar-10"), EG_PART_TEST);
    EXPECT_EQ(20000, train->n);
    EXPECT_EQ(10000, test->n);
    EXPECT_EQ(3, eg_dataset_label(test.get(), 0));
    const uint8_t *x = static_cast<uint8_t *>(test->x[0]);
    EXPECT_EQ((std::vector<int>{158, 112, 49}), (std::vector<int>{x[0], x[1], x[2]}));
    std::vector<int64_t> counts(10);
    for (const int32_t k : Labels(test))
        counts[static_cast<size_t>(k)]++;
    EXPECT_EQ(std::vector<int64_t>(10, 1000), counts);
}

// RFC 1321, for the published checksum of the unzipped training images.
std::string Md5(const Bytes &text)
{
    uint32_t h[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    static const int turns[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t k[64];
    for (int i = 0; i < 64; i++)
        k[i] = static_cast<uint32_t>(std::floor(std::fabs(std::sin(i + 1.0)) * 4294967296.0));
    Bytes m = text + '\x80';
    m.resize((m.size() + 8 + 63) / 64 * 64 - 8);
    m += Little(text.size() * 8, 8);
    for (size_t at = 0; at < m.size(); at += 64) {
        uint32_t w[16], a = h[0], b = h[1], c = h[2], d = h[3];
        memcpy(w, m.data() + at, 64);
        for (int i = 0; i < 64; i++) {
            const uint32_t f[4] = {(b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d, c ^ (b | ~d)};
            const int g[4] = {i, 5 * i + 1, 3 * i + 5, 7 * i}, turn = turns[i / 16][i % 4];
            const uint32_t v = a + f[i / 16] + k[i] + w[g[i / 16] % 16];
            a = d;
            d = c;
            c = b;
            b += v << turn | v >> (32 - turn);
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d;
    }
    char out[33];
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", h[i / 4] >> (8 * (i % 4)) & 255);
    return out;
}

TEST_F(Readers, RealMnistIsTheOriginal)
{
    ASSERT_EQ("900150983cd24fb0d6963f7d28e17f72", Md5("abc"));
    NEED(Shared("data/mnist"));
    const Set train = Load(Shared("data/mnist"));
    ASSERT_EQ(60000, train->n);
    EXPECT_EQ((std::vector<int32_t>{5, 0, 4, 1, 9}), [&] {
        auto all = Labels(train);
        all.resize(5);
        return all;
    }());
    EXPECT_EQ("6bbc9ace898e44ae57da46a324031adb",
              Md5(Idx(8, {60000, 28, 28}, Bytes(static_cast<char *>(train->x[0]), 60000 * 784))));
    int64_t same = -1;
    const Set test = Load(Shared("data/mnist"), EG_PART_TEST);
    EXPECT_EQ(7, eg_dataset_label(test.get(), 0));
    ASSERT_FINE(eg_dataset_duplicates(train.get(), test.get(), &same));
    EXPECT_EQ(0, same) << "no MNIST test image is a training image";
    ASSERT_FINE(eg_dataset_duplicates(test.get(), test.get(), &same));
    EXPECT_EQ(10000, same);
}

TEST_F(Readers, RealFashion)
{
    NEED(Shared("data/fashion-mnist"));
    const Set train = Load(Shared("data/fashion-mnist")), test = Load(Shared("data/fashion-mnist"), EG_PART_TEST);
    EXPECT_EQ(60000, train->n);
    std::vector<int64_t> counts(10), expected(10, 1000);
    for (const int32_t k : Labels(test))
        counts[static_cast<size_t>(k)]++;
    EXPECT_EQ(expected, counts);
}

TEST_F(Readers, TextTablesAreRefusedByColumn)
{
    NEED(Shared("data/text-banking77"));
    Refused(Shared("data/text-banking77"), EG_ERR_DATA, {"train.csv: line 2, column 'text': wanted a number"});
}

} // namespace
