// Chunks of a stream are the whole set cut in pieces, whatever the reader and the size; memory does not grow with it.
#include "tests/data/support.h"

#include <png.h>

#include <functional>
#include <map>

namespace
{

using Stream = std::unique_ptr<eg_stream, decltype(&eg_stream_free)>;

class Streams : public Data
{
  protected:
    Stream Open(const std::string &path, eg_part part = EG_PART_TRAIN) const
    {
        eg_stream *s = nullptr;
        EXPECT_EQ(EG_OK, eg_stream_open(&s, context, path.c_str(), part)) << path << ": " << eg_last_message();
        return Stream(s, eg_stream_free);
    }
    // Sets of every format and kind; the largest has 9 examples.
    std::vector<std::string> EverySet()
    {
        Put("idx/train-images-idx3-ubyte.gz", Gzip(Idx(8, {5, 2, 2}, Counting(20))));
        Put("idx/train-labels-idx1-ubyte.gz", Gzip(Idx(8, {5}, Bytes("\0\2\1\0\1", 5))));
        Put("idx/t10k-images-idx3-ubyte", Idx(8, {4, 2, 2}, Counting(16, 100)));
        Put("idx/t10k-labels-idx1-ubyte", Idx(8, {4}, Bytes("\4\1\0\3", 4)));
        Put("idx/classes.txt", "a\nb\nc\nd\ne\n");
        Put("lone.idx", Idx(0x0B, {8, 3}, Counting(48)));
        for (int i = 0; i < 3; i++) {
            Bytes records;
            for (int k = 0; k <= i; k++)
                records += Bytes(1, static_cast<char>(i + k)) + Counting(3072, 7 * i + k);
            Put("cifar/data_batch_" + std::to_string(i + 1) + ".bin", i == 1 ? Gzip(records) : records);
        }
        Put("cifar/test_batch.bin", Bytes(1, '\1') + Counting(3072, 99));
        Put("train.bin", Bytes("\1\2", 2) + Counting(3072) + Bytes("\3\4", 2) + Counting(3072, 50));
        Put("bytes.npy", NpyOf("|u1", "(7, 2)", Counting(14)));
        Put("shorts.npy.gz", Gzip(NpyOf(">i2", "(7, 2)", Counting(28))));
        Put("floats.npy", NpyOf("<f4", "(9,)", Counting(36)));
        Put("columns.npy", Npy("{'descr': '<f4', 'fortran_order': True, 'shape': (5, 3), }", Counting(60)));
        Put("weights.npz", Zip({{"x.npy", NpyOf("|u1", "(5, 2)", Counting(10))},
                                {"y.npy", NpyOf("|u1", "(5,)", Counting(5))},
                                {"sample_weight.npy", NpyOf("|u1", "(5,)", Counting(5, 3))}}));
        Put("csv/train.csv", "x,label\n1,dog\n2,cat\n5,dog\n");
        Put("csv/test.csv", "x,label\n3,emu\n4,cat\n");
        for (const char *name : {"train/a/1", "train/a/2", "train/a/3", "train/b/1", "test/a/1", "test/c/8"})
            Put("folder/" + std::string(name) + ".png", Picture(3, 2, 10 * *(strrchr(name, '/') + 1)));
        Put("flat/2.png", Picture(3, 2, 0));
        Put("flat/1.jpg", Jpeg(3, 2, 1, Counting(6)));
        std::vector<std::string> out;
        for (const char *name : {"idx", "idx:test", "idx:all", "idx/t10k-images-idx3-ubyte", "lone.idx", "cifar:train",
                                 "cifar:all", "train.bin", "bytes.npy", "shorts.npy.gz", "floats.npy", "columns.npy",
                                 "weights.npz", "csv:all", "folder:train", "folder:all", "flat", "flat/1.jpg"})
            out.push_back(folder / name);
        for (const char *name : {"deflated.npz", "parts.npz", "onehot.npz", "numbers.csv"})
            out.push_back(Golden(name));
        return out;
    }
    static Bytes Picture(int width, int height, int from)
    {
        return Png(width, height, 8, PNG_COLOR_TYPE_RGB, Counting(3 * width * height, from));
    }
};

size_t RowBytes(const eg_dataset *d, int input)
{
    return static_cast<size_t>(egi_shape_count(&d->shape[input])) * egi_dtype_size(d->dtype[input]);
}

// Example i of `a` is example j of `b` in everything that can be asked.
void ExpectSame(const eg_dataset *a, int64_t i, const eg_dataset *b, int64_t j, const std::string &where)
{
    const size_t from = static_cast<size_t>(i), to = static_cast<size_t>(j);
    ASSERT_EQ(a->n_inputs, b->n_inputs) << where;
    for (int k = 0; k < a->n_inputs; k++)
        EXPECT_EQ(0, memcmp(static_cast<char *>(a->x[k]) + from * RowBytes(a, k),
                            static_cast<char *>(b->x[k]) + to * RowBytes(b, k), RowBytes(a, k)))
            << where;
    EXPECT_EQ(eg_dataset_label(a, i), eg_dataset_label(b, j)) << where;
    const std::string source = eg_dataset_source(a, i);
    EXPECT_EQ(source, eg_dataset_source(b, j)) << where;
    ASSERT_EQ(!a->targets, !b->targets) << where;
    ASSERT_EQ(!a->weights, !b->weights) << where;
    const size_t targets = a->targets ? static_cast<size_t>(egi_shape_count(&a->target_shape)) : 0;
    if (targets) {
        EXPECT_EQ(0, memcmp(a->targets + from * targets, b->targets + to * targets, targets * sizeof(float))) << where;
    }
    if (a->weights) {
        EXPECT_EQ(a->weights[i], b->weights[j]) << where;
    }
}

TEST_F(Streams, ChunksOfAnySizeAreTheWholeSet)
{
    for (const std::string &path : EverySet()) {
        const Set whole = Load(path);
        for (const int64_t size : {int64_t{1}, int64_t{2}, int64_t{7}, whole->n, whole->n + 1}) {
            const std::string where = path + " by " + std::to_string(size);
            const Stream s = Open(path);
            eg_dataset_info info, want;
            eg_stream_get_info(s.get(), &info);
            eg_dataset_get_info(whole.get(), &want);
            EXPECT_EQ(want.n, info.n) << where;
            EXPECT_EQ(want.classes, info.classes) << where;
            EXPECT_EQ(want.has_test, info.has_test) << where;
            EXPECT_EQ(want.dtype, info.dtype) << where;
            EXPECT_STREQ(want.format, info.format) << where;
            const eg_dataset *chunk = nullptr;
            int64_t at = 0;
            for (;;) {
                ASSERT_FINE(eg_stream_next(s.get(), size, &chunk));
                if (!chunk)
                    break;
                EXPECT_EQ(std::min(size, whole->n - at), chunk->n) << where;
                EXPECT_EQ(at, chunk->first) << where;
                ASSERT_EQ(whole->classes, chunk->classes) << where;
                for (int64_t k = 0; k < chunk->classes; k++)
                    EXPECT_STREQ(whole->class_names ? whole->class_names[k] : whole->numbers[k],
                                 eg_dataset_class_name(chunk, k));
                for (int64_t i = 0; i < chunk->n; i++, at++)
                    ExpectSame(whole.get(), at, chunk, i, where);
            }
            EXPECT_EQ(whole->n, at) << where;
            ASSERT_FINE(eg_stream_next(s.get(), size, &chunk));
            EXPECT_EQ(nullptr, chunk) << "the end stays the end";
        }
    }
}

TEST_F(Streams, AllIsTheTrainingPartAndThenTheTestPart)
{
    EverySet();
    for (const char *name : {"idx", "cifar", "csv", "folder"}) {
        const std::string path = folder / name;
        const Set train = Load(path, EG_PART_TRAIN), test = Load(path, EG_PART_TEST), all = Load(path, EG_PART_ALL);
        EXPECT_TRUE(train->has_test && test->has_test && all->has_test) << name;
        ASSERT_EQ(train->n + test->n, all->n) << name;
        for (int64_t i = 0; i < all->n; i++) {
            const bool first = i < train->n;
            const Set &part = first ? train : test;
            part->first = first ? 0 : train->n; // where its numbers begin
            ExpectSame(part.get(), first ? i : i - train->n, all.get(), i, name);
        }
    }
}

TEST_F(Streams, ASampleIsSpreadOverBothParts)
{
    EverySet();
    const Set all = Load(folder / "folder", EG_PART_ALL);
    for (const int64_t count : {int64_t{1}, int64_t{3}, all->n, all->n + 5}) {
        const Stream s = Open(folder / "folder", EG_PART_ALL);
        eg_dataset *d = nullptr;
        ASSERT_FINE(egi_stream_sample(&d, s.get(), count));
        const Set sample(d, eg_dataset_free);
        ASSERT_EQ(std::min(count, all->n), d->n);
        EXPECT_EQ(all->classes, d->classes);
        for (int64_t i = 0; i < d->n; i++) {
            const int64_t k = i * all->n / d->n;
            EXPECT_EQ(all->labels[k], d->labels[i]);
            EXPECT_EQ(0, memcmp(static_cast<char *>(all->x[0]) + 18 * k, static_cast<char *>(d->x[0]) + 18 * i, 18));
        }
        const eg_dataset *chunk = nullptr;
        ASSERT_FINE(eg_stream_next(s.get(), all->n, &chunk));
        for (int64_t i = 0; i < all->n; i++)
            ExpectSame(all.get(), i, chunk, i, "a sample takes nothing away");
        EXPECT_EQ(EG_ERR_STATE, egi_stream_sample(&d, s.get(), count));
    }
    for (const char *name : {"idx", "csv", "columns.npy"}) {
        const Stream s = Open(folder / name);
        eg_dataset *d = nullptr;
        ASSERT_FINE(egi_stream_sample(&d, s.get(), 3));
        EXPECT_EQ(nullptr, d) << name;
    }
}

TEST_F(Streams, SizesMayChangeFromChunkToChunk)
{
    for (const std::string &path : EverySet()) {
        const Set whole = Load(path);
        const Stream s = Open(path);
        const eg_dataset *chunk = nullptr;
        int64_t at = 0;
        for (int64_t size = 1;; size = size == 1 ? 3 : size == 3 ? 2 : 1) {
            ASSERT_FINE(eg_stream_next(s.get(), size, &chunk));
            if (!chunk)
                break;
            for (int64_t i = 0; i < chunk->n; i++, at++)
                ExpectSame(whole.get(), at, chunk, i, path);
        }
        EXPECT_EQ(whole->n, at) << path;
    }
}

TEST_F(Streams, MisuseIsRefused)
{
    const std::string path = Put("a.npy", NpyOf("|u1", "(7, 2)", Counting(14)));
    eg_stream *none = nullptr;
    EXPECT_EQ(EG_ERR_ARG, eg_stream_open(nullptr, context, path.c_str(), EG_PART_ALL));
    EXPECT_EQ(EG_ERR_ARG, eg_stream_open(&none, context, "", EG_PART_ALL));
    EXPECT_EQ(EG_ERR_ARG, eg_stream_open(&none, context, path.c_str(), static_cast<eg_part>(5)));
    EXPECT_EQ(EG_ERR_IO, eg_stream_open(&none, context, (path + "x").c_str(), EG_PART_ALL));
    EXPECT_EQ(nullptr, none);
    const Stream s = Open(path);
    const eg_dataset *chunk = nullptr;
    EXPECT_EQ(EG_ERR_ARG, eg_stream_next(s.get(), 0, &chunk));
    EXPECT_EQ(EG_ERR_ARG, eg_stream_next(s.get(), 1, nullptr));
    EXPECT_EQ(EG_ERR_ARG, eg_stream_next(nullptr, 1, &chunk));
    eg_stream_free(nullptr);
}

TEST_F(Streams, RealMnistInChunks)
{
    const std::filesystem::path path = Shared("data/mnist");
    if (!std::filesystem::exists(path))
        GTEST_SKIP() << path << " is not there";
    const Set whole = Load(path, EG_PART_ALL);
    const Stream s = Open(path, EG_PART_ALL);
    const eg_dataset *chunk = nullptr;
    int64_t at = 0;
    for (;;) {
        ASSERT_FINE(eg_stream_next(s.get(), 999, &chunk)); // one chunk has examples of both parts
        if (!chunk)
            break;
        ASSERT_EQ(
            0, memcmp(static_cast<char *>(whole->x[0]) + at * 784, chunk->x[0], static_cast<size_t>(chunk->n) * 784));
        ASSERT_EQ(0, memcmp(whole->labels + at, chunk->labels, static_cast<size_t>(chunk->n) * sizeof(int32_t)));
        at += chunk->n;
    }
    EXPECT_EQ(70000, at);
}

// --- damage ----------------------------------------------------------------------------------------------

TEST_F(Streams, DamageInTheMiddleIsFoundWhereItIsAndInTheSameWords)
{
    Bytes noise; // what deflate cannot shorten
    for (uint32_t i = 0, x = 1; i < 4000; i++, x = x * 1664525 + 1013904223)
        noise += static_cast<char>(x >> 24);
    const Bytes images = Gzip(Idx(8, {40, 10, 10}, noise)), array = Gzip(NpyOf("|u1", "(40, 100)", noise));
    Bytes records;
    for (int i = 0; i < 40; i++)
        records += Bytes(1, static_cast<char>(i == 20 ? 77 : i % 10)) + Bytes(3072, 'x');
    for (int i = 10; i < 50; i++) {
        const Bytes png = Picture(9, 9, i);
        Put("images/" + std::to_string(i) + ".png", i == 30 ? png.substr(0, png.size() / 2) : png);
    }
    const std::map<std::string, const char *> sets = {
        {Put("cut.idx.gz", images.substr(0, images.size() / 2)), "truncated"},
        {Put("cut.npy.gz", array.substr(0, array.size() / 2)), "truncated"},
        {Put("long.npy", NpyOf("|u1", "(40, 100)", noise + "x")), "more bytes than its header promises"},
        {Put("data_batch_1.bin", records), "label of record 20 is 77"},
        {folder / "images", "30.png"},
    };
    for (const auto &[path, words] : sets) {
        Refused(path, EG_ERR_DATA, {words});
        const std::string whole = eg_last_message();
        const Stream s = Open(path);
        const eg_dataset *chunk = nullptr;
        int64_t good = 0;
        eg_status status = EG_OK;
        while ((status = eg_stream_next(s.get(), 4, &chunk)) == EG_OK && chunk)
            good += chunk->n;
        EXPECT_EQ(EG_ERR_DATA, status) << path;
        EXPECT_EQ(whole, eg_last_message());
        EXPECT_GE(good, 16) << path;
        EXPECT_LE(good, 36) << path;
        EXPECT_EQ(EG_ERR_STATE, eg_stream_next(s.get(), 4, &chunk)) << "nothing behind the damage is handed out";
    }
}

TEST_F(Streams, ImagesOfOtherSizesAreRefusedBeforeTheFirstChunk)
{
    Put("d/a/1.png", Picture(3, 2, 0));
    Put("d/b/1.png", Picture(2, 2, 0));
    eg_stream *s = nullptr;
    EXPECT_EQ(EG_ERR_DATA, eg_stream_open(&s, context, (folder / "d").c_str(), EG_PART_TRAIN));
    EXPECT_EQ(nullptr, s);
    const std::string words = eg_last_message();
    EXPECT_NE(std::string::npos, words.find("wanted one size")) << words;
    Refused(folder / "d", EG_ERR_DATA, {words});
}

TEST_F(Streams, LabelsThatSomebodyChangesMeanwhileAreRefused)
{
    Put("d/train-images-idx3-ubyte", Idx(8, {3, 2, 2}, Counting(12)));
    Put("d/train-labels-idx1-ubyte", Idx(8, {3}, Bytes("\0\2\1", 3)));
    const Stream s = Open(folder / "d");
    const eg_dataset *chunk = nullptr;
    ASSERT_FINE(eg_stream_next(s.get(), 1, &chunk));
    Put("d/train-labels-idx1-ubyte", Idx(8, {3}, Bytes("\0\3\1", 3)));
    EXPECT_EQ(EG_ERR_DATA, eg_stream_next(s.get(), 1, &chunk));
    EXPECT_NE(nullptr, strstr(eg_last_message(), "changed while it was read: label 3 of 3 classes"));
}

// --- memory ----------------------------------------------------------------------------------------------

// An allocator that fails when it is told to and remembers the most bytes that were out at a time.
struct Counted {
    long until = -1; // allocations that still succeed; -1: all do
    long live = 0;
    size_t bytes = 0, peak = 0;

    static void *Alloc(void *user, size_t bytes)
    {
        auto *c = static_cast<Counted *>(user);
        if (c->until == 0)
            return nullptr;
        c->until -= c->until > 0;
        c->live++;
        c->bytes += bytes;
        c->peak = std::max(c->peak, c->bytes);
        auto *block = static_cast<char *>(aligned_alloc(64, (bytes + 127) / 64 * 64));
        memcpy(block, &bytes, sizeof bytes);
        return block + 64;
    }
    static void Release(void *user, void *block)
    {
        auto *c = static_cast<Counted *>(user);
        size_t bytes;
        memcpy(&bytes, static_cast<char *>(block) - 64, sizeof bytes);
        c->live--;
        c->bytes -= bytes;
        free(static_cast<char *>(block) - 64);
    }
    eg_context *Context()
    {
        const eg_allocator allocator = {Alloc, Release, this};
        eg_context_options options = EG_CONTEXT_OPTIONS_INIT;
        options.allocator = &allocator;
        options.threads = 1;
        eg_context *c = nullptr;
        EXPECT_EQ(EG_OK, eg_context_create(&c, &options));
        return c;
    }
};

eg_status ReadAllChunks(eg_context *c, const std::string &path, int64_t size)
{
    eg_stream *s = nullptr;
    const eg_dataset *chunk = nullptr;
    eg_status status = eg_stream_open(&s, c, path.c_str(), EG_PART_ALL);
    EXPECT_EQ(status == EG_OK, s != nullptr);
    while (status == EG_OK && (status = eg_stream_next(s, size, &chunk)) == EG_OK && chunk)
        continue;
    eg_stream_free(s);
    return status;
}

TEST_F(Streams, EveryStreamSurvivesEveryFailedAllocation)
{
    for (const std::string &path : EverySet())
        for (long n = 0;; n++) {
            Counted counted;
            eg_context *c = counted.Context();
            counted.until = n;
            const eg_status status = ReadAllChunks(c, path, 2);
            EXPECT_TRUE(status == EG_OK || status == EG_ERR_NOMEM)
                << path << " allocation " << n << ": " << eg_last_message();
            counted.until = -1;
            eg_context_free(c);
            ASSERT_EQ(0, counted.live) << path << " leaks when allocation " << n << " fails";
            ASSERT_LT(n, 2000);
            if (status == EG_OK) {
                EXPECT_GT(n, 3);
                break;
            }
        }
}

TEST_F(Streams, AnAllocationThatFailedMayBeTriedAgain)
{
    const std::string path = Put("a.npy", NpyOf("|u1", "(7, 2)", Counting(14)));
    Counted counted;
    eg_context *c = counted.Context();
    eg_stream *s = nullptr;
    const eg_dataset *chunk = nullptr;
    ASSERT_FINE(eg_stream_open(&s, c, path.c_str(), EG_PART_ALL));
    counted.until = 0;
    EXPECT_EQ(EG_ERR_NOMEM, eg_stream_next(s, 3, &chunk));
    counted.until = -1;
    EXPECT_EQ(EG_OK, eg_stream_next(s, 3, &chunk));
    EXPECT_EQ(0, memcmp(chunk->x[0], Counting(6).data(), 6));
    eg_stream_free(s);
    eg_context_free(c);
    EXPECT_EQ(0, counted.live);
}

// The most memory that reading a set in chunks of 8 takes.
size_t Peak(const std::string &path)
{
    Counted counted;
    eg_context *c = counted.Context();
    const size_t before = counted.bytes;
    counted.peak = before;
    EXPECT_EQ(EG_OK, ReadAllChunks(c, path, 8)) << eg_last_message();
    eg_context_free(c);
    return counted.peak - before;
}

TEST_F(Streams, MemoryDoesNotGrowWithTheNumberOfExamples)
{
    size_t peak[2][4];
    for (const int large : {0, 1}) {
        const int n = large ? 2000 : 100;
        const std::string name = large ? "large" : "small", count = std::to_string(n);
        const uint32_t m = static_cast<uint32_t>(n);
        Put(name + "/train-images-idx3-ubyte.gz", Gzip(Idx(8, {m, 10, 10}, Bytes(static_cast<size_t>(n) * 100, 'x'))));
        Put(name + "/train-labels-idx1-ubyte", Idx(8, {m}, Bytes(static_cast<size_t>(n), '\1')));
        Put(name + ".npy", NpyOf("<f4", "(" + count + ", 25)", Bytes(static_cast<size_t>(n) * 100, '\0')));
        Put(name + "/c/data_batch_1.bin", Bytes(static_cast<size_t>(n) * 3073, '\1'));
        for (int i = 0; i < n; i++)
            Put(name + "/p/" + std::to_string(100000 + i) + ".png", Picture(20, 20, i));
        const std::string paths[] = {folder / name, folder / (name + ".npy"), folder / name / "c", folder / name / "p"};
        for (int k = 0; k < 4; k++)
            peak[large][k] = Peak(paths[k]);
    }
    for (int k = 0; k < 3; k++)
        EXPECT_LE(peak[1][k], peak[0][k]) << k; // the same bytes: names of paths are as long
    // 1,200 bytes of pixels an image; its name is kept, twice while the folder is listed.
    EXPECT_LE(peak[1][3], peak[0][3] + 1900 * 400) << "images";
}

} // namespace
