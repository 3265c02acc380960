// Files that lie, are cut off or are something else: each ends in a status and one line that says what is wrong.
#include "tests/data/support.h"

#include <png.h>

#include <sys/stat.h>

namespace
{

using Hostile = Data;

TEST_F(Hostile, Paths)
{
    Refused(folder / "nowhere", EG_ERR_IO, {"nowhere: cannot open"});
    Refused(folder / "nowhere:train", EG_ERR_IO, {"nowhere: cannot open"});
    Refused(folder, EG_ERR_DATA, {"not a data set; wanted a folder of IDX files", ".npz", ".csv", "PNG"});
    Refused(Put("text.txt", "hello"), EG_ERR_DATA, {"text.txt: not a data set"});
    Refused(Put("a.h5", "\x89HDF\r\n\x1a\n........"), EG_ERR_DATA, {"unsupported: an HDF5 file", "numpy.savez"});
    Refused(Put("empty", ""), EG_ERR_DATA, {"not a data set"});
    ASSERT_EQ(0, mkfifo((folder / "pipe.csv").c_str(), 0600));
    Refused(folder / "pipe.csv", EG_ERR_IO, {"pipe.csv: wanted a file, found something"});
    eg_dataset *d = nullptr;
    EXPECT_EQ(EG_ERR_ARG, eg_dataset_load(&d, context, "", EG_PART_TRAIN));
    EXPECT_EQ(EG_ERR_ARG, eg_dataset_load(&d, context, nullptr, EG_PART_TRAIN));
    EXPECT_EQ(EG_ERR_ARG, eg_dataset_load(&d, context, "x", static_cast<eg_part>(7)));
}

TEST_F(Hostile, Gzip)
{
    const Bytes whole = Gzip(Idx(8, {100, 4, 4}, Counting(1600)));
    Refused(Put("cut.idx.gz", whole.substr(0, whole.size() - 9)), EG_ERR_DATA, {"cut.idx.gz", "truncated"});
    Bytes spoilt = whole;
    spoilt[whole.size() - 6] ^= 1;
    Refused(Put("sum.idx.gz", spoilt), EG_ERR_DATA, {"sum.idx.gz: broken gzip: incorrect data check"});
    Refused(Put("tail.idx.gz", whole + "garbage"), EG_ERR_DATA, {"tail.idx.gz: broken gzip"});
    Refused(Put("more.idx.gz", Gzip(Idx(8, {1, 4, 4}, Counting(17)))), EG_ERR_DATA,
            {"more bytes than its header promises"});
    Refused(Put("bomb.idx.gz", Gzip(Idx(8, {60000, 1000, 1000}, Counting(17)))), EG_ERR_DATA,
            {"its header promises 60000000000 bytes"});
    Refused(Put("less.idx.gz", Gzip(Idx(8, {20, 4, 4}, Counting(17)))), EG_ERR_DATA,
            {"truncated: wanted 320 more bytes, found 17"});
}

TEST_F(Hostile, Idx)
{
    Refused(Put("short.idx", Idx(8, {10, 4, 4}, Counting(50))), EG_ERR_DATA,
            {"short.idx: its header promises 160 bytes"});
    Refused(Put("long.idx", Idx(8, {3, 4, 4}, Counting(49))), EG_ERR_DATA, {"long.idx: more bytes"});
    Refused(Put("huge.idx", Idx(8, {0xffffffff, 0xffffffff, 0xffffffff}, "")), EG_ERR_DATA,
            {"huge.idx: impossible shape"});
    Refused(Put("none.idx", Idx(8, {0, 4, 4}, "")), EG_ERR_DATA, {"none.idx: impossible shape (0, 4, 4)"});
    Refused(Put("head.idx", Idx(8, {3, 4, 4}, "").substr(0, 10)), EG_ERR_DATA, {"head.idx: truncated"});
    Refused(Put("labels.idx", Idx(8, {3}, Counting(3))), EG_ERR_DATA, {"labels.idx: wanted images"});

    Put("count/train-images-idx3-ubyte", Idx(8, {3, 1, 1}, Counting(3)));
    Put("count/train-labels-idx1-ubyte", Idx(8, {4}, Counting(4)));
    Refused(folder / "count", EG_ERR_DATA,
            {"train-labels-idx1-ubyte: 4 labels", "train-images-idx3-ubyte has 3 images"});
    Put("float/train-images-idx3-ubyte", Idx(8, {1, 1, 1}, Counting(1)));
    Put("float/train-labels-idx1-ubyte", Idx(0x0D, {1}, Counting(4)));
    Refused(folder / "float", EG_ERR_DATA, {"wanted a list of integer labels"});
    Put("minus/train-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Put("minus/train-labels-idx1-ubyte", Idx(0x0C, {2}, Bytes("\0\0\0\1\xff\xff\xff\xff", 8)));
    Refused(folder / "minus", EG_ERR_DATA, {"label of example 1 is -1"});
    Put("lost/train-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Put("lost/t10k-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Put("lost/t10k-labels-idx1-ubyte", Idx(8, {2}, Counting(2)));
    Refused(folder / "lost", EG_ERR_DATA, {"train-images-idx3-ubyte has no labels file"});
    Put("only/t10k-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Refused(folder / "only", EG_ERR_DATA, {"no training part", "t10k-images-idx3-ubyte"});
    Put("two/a-train-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Put("two/b-train-images-idx3-ubyte", Idx(8, {2, 1, 1}, Counting(2)));
    Refused(folder / "two", EG_ERR_DATA, {"two files for one part", "a-train", "b-train"});
}

TEST_F(Hostile, ClassNames)
{
    Put("few/train-images-idx3-ubyte", Idx(8, {3, 1, 1}, Counting(3)));
    Put("few/train-labels-idx1-ubyte", Idx(8, {3}, Counting(3)));
    Put("few/classes.txt", "a\nb\n");
    Refused(folder / "few", EG_ERR_DATA, {"classes.txt: 2 class names, but the labels need 3"});
    Put("few/classes.txt", "a\n\nb\n");
    Refused(folder / "few", EG_ERR_DATA, {"classes.txt: line 2", "an empty line"});
    Put("few/classes.txt", Bytes("a\nb\0\nc", 6));
    Refused(folder / "few", EG_ERR_DATA, {"classes.txt: line 2", "a zero byte"});
}

TEST_F(Hostile, Cifar)
{
    const Bytes record = Bytes(1, '\1') + Bytes(3072, 'x');
    Refused(Put("a/data_batch_1.bin", record + "x"), EG_ERR_DATA, {"records of 3073 bytes, found 3074 bytes"});
    Refused(Put("b/data_batch_1.bin", ""), EG_ERR_DATA, {"found 0 bytes"});
    Refused(Put("c/data_batch_1.bin", record + Bytes(1, '\12') + Bytes(3072, 'x')), EG_ERR_DATA,
            {"label of record 1 is 10"});
    Put("d/data_batch_1.bin", record);
    Put("d/data_batch_2.bin.gz", Gzip(record + Bytes(1, '\77') + Bytes(3072, 'x')));
    Refused(folder / "d", EG_ERR_DATA, {"data_batch_2.bin.gz: label of record 1 is 63"});
    Put("e/test_batch.bin", record);
    Refused(folder / "e", EG_ERR_DATA, {"no training part: wanted data_batch_1.bin beside test_batch.bin"});
    Bytes lies = Gzip(record);
    lies.replace(lies.size() - 4, 4, Little(3073 * 2, 4));
    Refused(Put("f/data_batch_1.bin.gz", lies), EG_ERR_DATA, {"data_batch_1.bin.gz"});
    lies.replace(lies.size() - 4, 4, Little(0xfffff000u / 3073 * 3073, 4));
    Refused(Put("g/data_batch_1.bin.gz", lies), EG_ERR_DATA, {"its header promises"});
    Put("h/data_batch_1.bin", record);
    Put("h/batches.meta.txt", "one\ntwo\n");
    Refused(folder / "h", EG_ERR_DATA, {"batches.meta.txt: 2 class names, but the labels need 10"});
    Refused(Put("i/train.bin", Bytes("\1\144", 2) + Bytes(3072, 'x')), EG_ERR_DATA, {"label of record 0 is 100"});
}

TEST_F(Hostile, NpyHeaders)
{
    const Bytes data = Counting(8);
    Refused(Put("a.npy", NpyOf("<f4", "(3,)", data)), EG_ERR_DATA, {"a.npy: its header promises 12 bytes"});
    Refused(Put("b.npy", NpyOf("<f4", "(1,)", data)), EG_ERR_DATA, {"b.npy: more bytes"});
    Refused(Put("c.npy", NpyOf("|O", "(1,)", data)), EG_ERR_DATA, {"c.npy: wanted numbers"});
    Refused(Put("d.npy", NpyOf("<c8", "(1,)", data)), EG_ERR_DATA, {"d.npy: wanted numbers"});
    Refused(Put("e.npy", NpyOf("<f4", "(1099511627776, 1099511627776)", data)), EG_ERR_DATA, {"impossible shape"});
    Refused(Put("f.npy", NpyOf("<f4", "(-2,)", data)), EG_ERR_DATA, {"bad entry 'shape'"});
    Refused(Put("g.npy", NpyOf("<f4", "(1,1,1,1,1,1,1,1,1,1,2)", data)), EG_ERR_DATA, {"bad entry 'shape'"});
    Refused(Put("h.npy", NpyOf("<f4", "(99999999999999999999,)", data)), EG_ERR_DATA, {"bad entry 'shape'"});
    Refused(Put("i.npy", Npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", data)), EG_ERR_DATA,
            {"wanted numbers"});
    Refused(Put("j.npy", Npy("{'descr': '<f4', 'fortran_order': False}", data)), EG_ERR_DATA,
            {"wants descr, fortran_order and shape"});
    Refused(Put("k.npy", Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", data)), EG_ERR_DATA,
            {"'more'"});
    Refused(Put("l.npy", Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", data)), EG_ERR_DATA,
            {"has no end"});
    Refused(Put("m.npy", Npy("__import__('os')", data)), EG_ERR_DATA, {"no dictionary"});
    Refused(Put("n.npy", Bytes("\x93NUMPY\x09\0", 8) + "xxxx"), EG_ERR_DATA, {"version 1 to 3"});
    Refused(Put("o.npy", Bytes("\x93NUMPY\2\0\xff\xff\xff\x7f", 12)), EG_ERR_DATA, {"header of 2147483647 bytes"});
    Refused(Put("p.npy", NpyOf("<f4", "()", Counting(4))), EG_ERR_DATA, {"wanted examples"});
    Refused(Put("q.npy", NpyOf("<f4", "(0, 3)", "")), EG_ERR_DATA, {"wanted examples"});
    Refused(Put("r.npy", NpyOf("<f4", "(2)", data)), EG_ERR_DATA, {"bad entry 'shape'"});
    Refused(Put("s.npy", NpyOf("|f4", "(2,)", data)), EG_ERR_DATA, {"wanted numbers"});
    Refused(Put("t.npy", Npy("{'descr': '<f4', 'descr': '<f4", data)), EG_ERR_DATA, {"t.npy"});
    Refused(Put("u.npy", Npy("", data)), EG_ERR_DATA, {"no dictionary"});
}

TEST_F(Hostile, Npz)
{
    const Bytes x = NpyOf("|u1", "(4, 2)", Counting(8)), y = NpyOf("<i4", "(4,)", Bytes(16, '\0'));
    const Bytes good = Zip({{"x.npy", x}, {"y.npy", y}});
    EXPECT_EQ(4, Load(Put("good.npz", good))->n) << "the zip made here is fine before it is spoilt";
    const Bytes packed = RawDeflate(x);
    EXPECT_EQ(4, Load(Put("packed.npz", Zip({{"x.npy", x, 8, 0, packed}})))->n);

    Refused(Put("cut.npz", good.substr(0, good.size() - 5)), EG_ERR_DATA, {"no directory at its end"});
    Refused(Put("tail.npz", good + "x"), EG_ERR_DATA, {"no directory at its end"});
    Refused(Put("head.npz", good.substr(0, 20)), EG_ERR_DATA, {"broken zip archive"});
    Refused(Put("names.npz", Zip({{"a.npy", x}, {"b.npy", y}})), EG_ERR_DATA,
            {"wanted arrays x", "found a.npy, b.npy"});
    Refused(Put("sum.npz", Zip({{"x.npy", x, 0, 0, {}, -1, 1}})), EG_ERR_DATA, {"'x.npy': its checksum is wrong"});
    Refused(Put("sum2.npz", Zip({{"x.npy", x, 8, 0, packed, -1, 1}})), EG_ERR_DATA, {"'x.npy': its checksum is wrong"});
    Refused(Put("crypt.npz", Zip({{"x.npy", x, 0, 1}})), EG_ERR_DATA, {"encrypted"});
    Refused(Put("lzma.npz", Zip({{"x.npy", x, 14, 0, packed}})), EG_ERR_DATA, {"wanted it stored or deflated"});
    Refused(Put("size.npz", Zip({{"x.npy", x, 0, 0, {}, 5}})), EG_ERR_DATA, {"its sizes cannot be"});
    Refused(Put("bomb.npz", Zip({{"x.npy", x, 8, 0, packed, 0x7fffffff}})), EG_ERR_DATA, {"its sizes cannot be"});
    Refused(Put("more.npz", Zip({{"x.npy", x + "!"}})), EG_ERR_DATA, {"its header promises 8 bytes, found 9"});
    Refused(Put("less.npz", Zip({{"x.npy", NpyOf("|u1", "(9, 2)", Counting(8))}})), EG_ERR_DATA,
            {"promises 18 bytes, found 8"});
    Refused(Put("short.npz", Zip({{"x.npy", x, 8, 0, packed, static_cast<int64_t>(x.size()) + 40}})), EG_ERR_DATA,
            {"x.npy"});
    Refused(Put("deflate.npz", Zip({{"x.npy", x, 8, 0, Bytes(packed.size(), '\xff')}})), EG_ERR_DATA,
            {"deflated data is broken"});
    Refused(Put("count.npz", Zip({{"x.npy", x}, {"y.npy", NpyOf("<i4", "(3,)", Bytes(12, '\0'))}})), EG_ERR_DATA,
            {"y.npy: 3 answers", "4 examples"});
    Refused(Put("inputs.npz", Zip({{"x0.npy", x}, {"x1.npy", NpyOf("|u1", "(3, 1)", Counting(3))}})), EG_ERR_DATA,
            {"x1.npy: 3 examples, but input 0 has 4"});
    Refused(
        Put("label.npz", Zip({{"x.npy", x}, {"y.npy", NpyOf("<i4", "(4,)", Bytes(12, '\0') + Little(0x7fffffff, 4))}})),
        EG_ERR_DATA, {"label of example 3 is 2147483647"});
    Refused(
        Put("wide.npz", Zip({{"x.npy", x}, {"y.npy", NpyOf("<i8", "(4,)", Bytes(24, '\0') + Little(1ull << 40, 8))}})),
        EG_ERR_DATA, {"label 1099511627776 is out of range"});
    Bytes moved = good;
    moved.replace(good.find("PK\1\2") + 42, 4, Little(0x7fffff00, 4));
    Refused(Put("moved.npz", moved), EG_ERR_DATA, {"outside the file"});
    moved = good;
    moved.replace(good.rfind("PK\5\6") + 16, 4, Little(0x7fffff00, 4));
    Refused(Put("dir.npz", moved), EG_ERR_DATA, {"outside the file"});
    moved = good;
    moved.replace(good.rfind("PK\5\6") + 10, 2, Little(9000, 2));
    Refused(Put("many.npz", moved), EG_ERR_DATA, {"impossible number of members"});
    moved = good;
    moved.replace(good.rfind("PK\5\6") + 10, 2, Little(0xffff, 2));
    Refused(Put("z64.npz", moved), EG_ERR_DATA, {"no zip64 locator"});
}

TEST_F(Hostile, Csv)
{
    Refused(Put("empty.csv", ""), EG_ERR_DATA, {"empty.csv: no rows"});
    Refused(Put("blank.csv", "\n\r\n\n"), EG_ERR_DATA, {"no rows"});
    Refused(Put("head.csv", "a,label\n"), EG_ERR_DATA, {"a header but no rows"});
    Refused(Put("one.csv", "1\n2\n"), EG_ERR_DATA, {"found 1 column"});
    Refused(Put("ragged.csv", "a,b,label\n1,2,0\n1,0\n"), EG_ERR_DATA,
            {"line 3: wanted 3 columns as in the first row, found 2"});
    Refused(Put("quote.csv", "a,label\n1,\"x\n2,y\n"), EG_ERR_DATA, {"line 2: a quote that never closes"});
    Refused(Put("behind.csv", "a,label\n1,\"x\"y\n"), EG_ERR_DATA, {"line 2: text behind a closing quote"});
    Refused(Put("word.csv", "size,label\n1,0\nbig,1\n"), EG_ERR_DATA,
            {"line 3, column 'size': wanted a number, found 'big'"});
    Refused(Put("gap.csv", "1,2,0\n1,,1\n"), EG_ERR_DATA, {"line 2, column 2: wanted a number, found ''"});
    Refused(Put("nan.csv", "1,0\nnan,1\n"), EG_ERR_DATA, {"found 'nan'"});
    Refused(Put("hex.csv", "1,0\n0x10,1\n"), EG_ERR_DATA, {"found '0x10'"});
    Refused(Put("inf.csv", "1,0\n1e999,1\n"), EG_ERR_DATA, {"found '1e999'"});
    Refused(Put("zero.csv", Bytes("a,label\n1,\0\n", 12)), EG_ERR_DATA, {"not a text file"});
    Refused(Put("minus.csv", "1,-1\n2,0\n"), EG_ERR_DATA, {"label of example 0 is -1"});
    Refused(Put("big.csv", "1,2000000\n2,0\n"), EG_ERR_DATA, {"label of example 0 is 2000000"});
    Refused(Put("long.csv", "1,0\n" + Bytes(100, '1') + ",1\n"), EG_ERR_DATA, {"wanted a number"});
    Put("p/train.csv", "a,label\n1,0\n");
    Put("p/test.csv", "a,b,label\n1,2,0\n");
    Refused(folder / "p", EG_ERR_DATA, {"test.csv: 3 columns", "train.csv has 2"});
    Put("q/test.csv", "a,label\n1,0\n");
    Refused(folder / "q", EG_ERR_DATA, {"no training part"});
}

TEST_F(Hostile, Images)
{
    const Bytes png = Png(4, 4, 8, PNG_COLOR_TYPE_GRAY, Counting(16)), jpeg = Jpeg(16, 16, 3, Counting(768));
    EXPECT_EQ(1, Load(Put("good.png", png))->n);
    EXPECT_EQ(1, Load(Put("good.jpg", jpeg))->n);
    Put("size/a/1.png", png);
    Put("size/b/2.png", Png(5, 4, 8, PNG_COLOR_TYPE_GRAY, Counting(20)));
    Refused(folder / "size", EG_ERR_DATA, {"b/2.png: 5 x 4 pixels", "a/1.png has 4 x 4"});
    Refused(Put("cut.png", png.substr(0, png.size() - 20)), EG_ERR_DATA, {"cut.png"});
    Refused(Put("cut.jpg", jpeg.substr(0, jpeg.size() / 2)), EG_ERR_DATA, {"cut.jpg"});
    Refused(Put("head.jpg", jpeg.substr(0, 40)), EG_ERR_DATA, {"head.jpg"});
    Bytes spoilt = png;
    spoilt[spoilt.find("IDAT") + 6] ^= 0x55;
    Refused(Put("sum.png", spoilt), EG_ERR_DATA, {"sum.png"});
    Bytes bomb = png;
    bomb.replace(16, 8, Big32(60000) + Big32(60000));
    Refused(Put("bomb.png", bomb), EG_ERR_DATA, {"bomb.png: its width and height promise more"});
    bomb.replace(16, 8, Big32(0xffffffff) + Big32(1));
    Refused(Put("wide.png", bomb), EG_ERR_DATA, {"impossible width or height"});
    bomb.replace(16, 8, Big32(0) + Big32(1));
    Refused(Put("none.png", bomb), EG_ERR_DATA, {"impossible width or height"});
    Refused(Put("cmyk.jpg", Jpeg(8, 8, 4, Counting(256))), EG_ERR_DATA, {"cmyk.jpg: unsupported", "CMYK"});
    Put("other/a/1.png", "GIF89a..............................");
    Refused(folder / "other", EG_ERR_DATA, {"1.png: wanted a PNG or JPEG"});
    Put("short/a/1.png", "GIF");
    Refused(folder / "short", EG_ERR_DATA, {"1.png: truncated"});
    Put("bmp/a/1.png", png);
    Put("bmp/a/2.bmp", "BM");
    Refused(folder / "bmp", EG_ERR_DATA, {"2.bmp: unsupported: wanted PNG or JPEG"});
    Put("deep/a/1.png", png);
    Put("deep/a/b/1.png", png);
    Refused(folder / "deep", EG_ERR_DATA, {"found a folder 'b'"});
    Put("mixed/a/1.png", png);
    Put("mixed/1.png", png);
    Refused(folder / "mixed", EG_ERR_DATA, {"images beside the folders of classes"});
    Put("half/test/a/1.png", png);
    Refused(folder / "half", EG_ERR_DATA, {"no training part: wanted a folder 'train' beside 'test'"});
}

// Every file of the formats with every byte of its first part spoilt in turn: a status or a set, never a crash, never a
// leak.
TEST_F(Hostile, EverySpoiltByteEndsWell)
{
    const Bytes png = Png(4, 4, 8, PNG_COLOR_TYPE_RGB, Counting(48)), jpeg = Jpeg(8, 8, 3, Counting(192));
    const std::vector<std::pair<std::string, Bytes>> files = {
        {"a.idx", Idx(8, {3, 2, 2}, Counting(12))},
        {"a.npy", NpyOf("<f4", "(2, 1)", Counting(8))},
        {"a.npz",
         Zip({{"x.npy", NpyOf("|u1", "(4, 2)", Counting(8))}, {"y.npy", NpyOf("<i4", "(4,)", Bytes(16, '\0'))}})},
        {"a.csv", "a,label\n1,\"x\"\n2,y\n"},
        {"a.csv.gz", Gzip("a,label\n1,\"x\"\n2,y\n")},
        {"a.png", png},
        {"a.jpg", jpeg},
    };
    int refused = 0;
    for (const auto &[name, bytes] : files)
        for (size_t at = 0; at < bytes.size(); at++)
            for (const int flip : {0x01, 0x80, 0xff}) {
                Bytes spoilt = bytes;
                spoilt[at] = static_cast<char>(spoilt[at] ^ flip);
                eg_dataset *d = nullptr;
                const std::string path = Put(name, spoilt);
                const eg_status status = eg_dataset_load(&d, context, path.c_str(), EG_PART_TRAIN);
                EXPECT_EQ(status != EG_OK, d == nullptr);
                refused += status != EG_OK;
                if (status != EG_OK) {
                    EXPECT_TRUE(status == EG_ERR_DATA || status == EG_ERR_IO)
                        << name << " byte " << at << ": " << eg_last_message();
                }
                eg_dataset_free(d);
            }
    EXPECT_GT(refused, 1000);
}

} // namespace
