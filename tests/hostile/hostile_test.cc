// Files that mean harm, or that harm came to: each ends in the right status and one clear line, and nothing is leaked.
// They are made here: a small valid file is written with libhdf5, then something is added, left out or overwritten.
#include "../checkpoint/support.h"

#include <cstdlib>
#include <fstream>
#include <hdf5.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

#include <functional>

namespace
{

const char *const kConfig =
    R"({"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Dense", "config": {"name": "a", )"
    R"("batch_input_shape": [null, 4], "units": 3}}, {"class_name": "Dense", "config": {"name": "b", "units": 2}}]}})";

// --- writing small files
// -------------------------------------------------------------------------------------------------

hid_t FixedString(size_t n, H5T_str_t pad = H5T_STR_NULLPAD)
{
    const hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, n);
    H5Tset_strpad(t, pad);
    return t;
}

void Names(hid_t object, const char *name, const std::vector<std::string> &names, H5T_str_t pad = H5T_STR_NULLPAD)
{
    size_t longest = 1;
    for (const auto &s : names)
        longest = std::max(longest, s.size());
    std::string all;
    for (auto s : names) {
        s.resize(longest);
        all += s;
    }
    const hsize_t n = names.size();
    const hid_t type = FixedString(longest, pad), space = H5Screate_simple(1, &n, nullptr);
    const hid_t attr = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attr, type, all.data());
    H5Aclose(attr);
    H5Sclose(space);
    H5Tclose(type);
}

void Text(hid_t object, const char *name, const std::string &text)
{
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, H5T_VARIABLE);
    const hid_t attr = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const char *p = text.c_str();
    H5Awrite(attr, type, &p);
    H5Aclose(attr);
    H5Sclose(space);
    H5Tclose(type);
}

void Numbers(hid_t where, const char *path, const std::vector<hsize_t> &shape, hid_t stored = H5T_IEEE_F32LE,
             double first = 0.5, hid_t creation = H5P_DEFAULT)
{
    size_t n = 1;
    for (hsize_t d : shape)
        n *= d;
    std::vector<double> v(n, 0.25);
    v[0] = first;
    const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
    const hid_t set = H5Dcreate2(where, path, stored, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, v.data());
    H5Dclose(set);
    H5Sclose(space);
}

// What may be different in a file; the rest is as Keras 2 writes it.
struct Recipe {
    std::string config = kConfig;
    bool layer_names = true, weight_names = true, group_b = true, kernel_b = true;
    std::vector<std::string> layers = {"a", "b"};
    std::vector<std::string> weights_b = {"b/kernel:0", "b/bias:0"};
    std::function<void(hid_t)> kernel_a;                // instead of the dataset a/a/kernel:0; gets the group a/a
    std::function<void(hid_t)> more;                    // at the end; gets the file
    std::function<void(std::vector<char> &)> overwrite; // the finished bytes
};

void WriteFile(const std::string &path, const Recipe &r)
{
    const hid_t f = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    Text(f, "keras_version", "2.4.0");
    if (!r.config.empty())
        Text(f, "model_config", r.config);
    const hid_t w = H5Gcreate2(f, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (r.layer_names)
        Names(w, "layer_names", r.layers);
    const hid_t a = H5Gcreate2(w, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (r.weight_names)
        Names(a, "weight_names", {"a/kernel:0", "a/bias:0"});
    const hid_t aa = H5Gcreate2(a, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (r.kernel_a)
        r.kernel_a(aa);
    else
        Numbers(aa, "kernel:0", {4, 3});
    Numbers(aa, "bias:0", {3});
    H5Gclose(aa);
    H5Gclose(a);
    if (r.group_b) {
        const hid_t b = H5Gcreate2(w, "b", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        Names(b, "weight_names", r.weights_b);
        const hid_t bb = H5Gcreate2(b, "b", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        if (r.kernel_b)
            Numbers(bb, "kernel:0", {3, 2});
        Numbers(bb, "bias:0", {2});
        H5Gclose(bb);
        H5Gclose(b);
    }
    H5Gclose(w);
    if (r.more)
        r.more(f);
    H5Fclose(f);
    if (r.overwrite) {
        auto bytes = Bytes(path);
        r.overwrite(bytes);
        WriteBytes(path, bytes);
    }
}

// --- overwriting bytes
// ---------------------------------------------------------------------------------------------------

std::string U64(uint64_t v)
{
    return std::string(reinterpret_cast<const char *>(&v), 8);
}

size_t Find(const std::vector<char> &bytes, const std::string &what, size_t from = 0)
{
    const auto at = std::search(bytes.begin() + static_cast<long>(from), bytes.end(), what.begin(), what.end());
    EXPECT_NE(at, bytes.end()) << "the pattern is not in the file";
    return at == bytes.end() ? 0 : static_cast<size_t>(at - bytes.begin());
}

void Put(std::vector<char> &bytes, size_t at, const std::string &what)
{
    ASSERT_LE(at + what.size(), bytes.size());
    std::copy(what.begin(), what.end(), bytes.begin() + static_cast<long>(at));
}

void Replace(std::vector<char> &bytes, const std::string &what, const std::string &with)
{
    Put(bytes, Find(bytes, what), with);
}

// --- the kinds
// -----------------------------------------------------------------------------------------------------------

struct Kind {
    const char *name;
    eg_status status;
    const char *words; // must be in the message
    std::function<void(Recipe &)> change;
};

void PrintTo(const Kind &k, std::ostream *out)
{
    *out << k.name;
}

// The 4 x 3 kernel's own chunks, with filters, so that there is something to lie about.
void Chunked(hid_t where, const std::function<void(hid_t)> &filters)
{
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[] = {2, 3};
    H5Pset_chunk(creation, 2, chunk);
    filters(creation);
    Numbers(where, "kernel:0", {4, 3}, H5T_IEEE_F32LE, 0.5, creation);
    H5Pclose(creation);
}

std::function<void(Recipe &)> Config(const std::string &text)
{
    return [text](Recipe &r) { r.config = text; };
}

std::function<void(Recipe &)> More(const std::function<void(hid_t)> &more)
{
    return [more](Recipe &r) { r.more = more; };
}

std::function<void(Recipe &)> Kernel(const std::function<void(hid_t)> &kernel)
{
    return [kernel](Recipe &r) { r.kernel_a = kernel; };
}

std::function<void(Recipe &)> Overwrite(const std::function<void(std::vector<char> &)> &overwrite)
{
    return [overwrite](Recipe &r) { r.overwrite = overwrite; };
}

std::string Graph(const std::string &nodes_a, const std::string &nodes_b)
{
    return R"({"class_name": "Model", "config": {"name": "m", "layers": [{"class_name": "InputLayer", "name": "x", "config": )"
           R"({"name": "x", "batch_input_shape": [null, 4]}, "inbound_nodes": []}, {"class_name": "Dense", "name": "a", )"
           R"("config": {"name": "a", "units": 3}, "inbound_nodes": )" +
           nodes_a +
           R"(}, {"class_name": "Dense", "name": "b", "config": {"name": "b", "units": 2}, "inbound_nodes": )" +
           nodes_b + R"(}], "input_layers": [["x", 0, 0]], "output_layers": [["b", 0, 0]]}})";
}

std::vector<Kind> FileKinds()
{
    return {
        {"Empty", EG_ERR_FORMAT, "empty", Overwrite([](auto &b) { b.clear(); })},
        {"NotHdf5", EG_ERR_FORMAT, "not an HDF5 file", Overwrite([](auto &b) { b.assign(5000, 'x'); })},
        {"OnlyASignature", EG_ERR_FORMAT, "cut off", Overwrite([](auto &b) { b.resize(8); })},
        {"CutInTheSuperblock", EG_ERR_FORMAT, "cut off", Overwrite([](auto &b) { b.resize(60); })},
        {"CutInHalf", EG_ERR_FORMAT, "cut off", Overwrite([](auto &b) { b.resize(b.size() / 2); })},
        {"OneByteShort", EG_ERR_FORMAT, "cut off", Overwrite([](auto &b) { b.pop_back(); })},
        {"CutWithALyingEnd", EG_ERR_FORMAT, "the file ends at", Overwrite([](auto &b) {
             b.resize(2000);
             Put(b, 40, U64(2000));
         })},
        {"SuperblockOfTheFuture", EG_ERR_FORMAT, "version 0 to 3", Overwrite([](auto &b) { b[8] = 9; })},
        {"AddressesOfFourBytes", EG_ERR_FORMAT, "8 bytes wanted", Overwrite([](auto &b) { b[13] = 4; })},
        {"BaseAddressLies", EG_ERR_FORMAT, "base", Overwrite([](auto &b) { Put(b, 24, U64(4096)); })},
        {"DriverBlock", EG_ERR_UNSUPPORTED, "several parts", Overwrite([](auto &b) { Put(b, 48, U64(96)); })},
        {"RootNowhere", EG_ERR_FORMAT, "object header", Overwrite([](auto &b) { Put(b, 64, U64(uint64_t(1) << 60)); })},
        {"GarbageBehindTheSuperblock", EG_ERR_FORMAT, "object header",
         Overwrite([](auto &b) { std::fill(b.begin() + 96, b.end(), '\xa5'); })},
    };
}

std::vector<Kind> LinkKinds()
{
    return {
        {"ExternalLink", EG_ERR_UNSUPPORTED, "external link",
         More([](hid_t f) { H5Lcreate_external("/etc/passwd", "/x", f, "link", H5P_DEFAULT, H5P_DEFAULT); })},
        {"ExternalLinkFarFromTheWeights", EG_ERR_UNSUPPORTED, "external link", More([](hid_t f) {
             const hid_t g = H5Gcreate2(f, "optimizer_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
             H5Lcreate_external("other.h5", "/x", g, "link", H5P_DEFAULT, H5P_DEFAULT);
             H5Gclose(g);
         })},
        {"ExternalLinkAsTensor", EG_ERR_UNSUPPORTED, "external link",
         Kernel([](hid_t g) { H5Lcreate_external("other.h5", "/x", g, "kernel:0", H5P_DEFAULT, H5P_DEFAULT); })},
        {"SoftLinkCycle", EG_ERR_FORMAT, "a cycle", More([](hid_t f) {
             H5Lcreate_soft("/two", f, "one", H5P_DEFAULT, H5P_DEFAULT);
             H5Lcreate_soft("/one", f, "two", H5P_DEFAULT, H5P_DEFAULT);
         })},
        {"SoftLinkToNothing", EG_ERR_FORMAT, "leads to '/nothing'",
         More([](hid_t f) { H5Lcreate_soft("/nothing", f, "one", H5P_DEFAULT, H5P_DEFAULT); })},
        {"GroupInsideItself", EG_ERR_FORMAT, "its own parent",
         More([](hid_t f) { H5Lcreate_hard(f, "/", f, "model_weights/again", H5P_DEFAULT, H5P_DEFAULT); })},
        {"TooDeep", EG_ERR_FORMAT, "nested more than", More([](hid_t f) {
             std::string path;
             for (int i = 0; i < 100; i++) {
                 path += "/g";
                 H5Gclose(H5Gcreate2(f, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
             }
         })},
        {"TooManyObjects", EG_ERR_FORMAT, "more than 200000 objects", More([](hid_t f) {
             // Each level links the next one 9 times: 9^8 paths in a few kilobytes.
             hid_t g = H5Gcreate2(f, "bomb", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
             for (int level = 0; level < 8; level++) {
                 const hid_t next = H5Gcreate2(g, "0", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
                 for (int i = 1; i < 9; i++)
                     H5Lcreate_hard(g, "0", g, std::to_string(i).c_str(), H5P_DEFAULT, H5P_DEFAULT);
                 H5Gclose(g);
                 g = next;
             }
             H5Gclose(g);
         })},
        {"DenseGroup", EG_ERR_UNSUPPORTED, "stored densely", More([](hid_t f) {
             const hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
             H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED);
             const hid_t g = H5Gcreate2(f, "dense", H5P_DEFAULT, creation, H5P_DEFAULT);
             for (int i = 0; i < 20; i++)
                 H5Gclose(H5Gcreate2(g, std::to_string(i).c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
             H5Gclose(g);
             H5Pclose(creation);
         })},
        {"NameWithoutAnEnd", EG_ERR_FORMAT, "has no end", Overwrite([](auto &b) {
             uint64_t size, at; // of the text of the root's names
             std::memcpy(&size, &b[Find(b, "HEAP") + 8], 8);
             std::memcpy(&at, &b[Find(b, "HEAP") + 24], 8);
             std::fill_n(b.begin() + static_cast<long>(at) + 8, size - 8, 'x');
         })},
        {"IndexPointsAtItself", EG_ERR_FORMAT, "no symbol table", Overwrite([](auto &b) {
             const size_t at = Find(b, std::string("TREE\0\0\1\0", 8));
             Put(b, at + 32, U64(at)); // the first child of a leaf
         })},
        {"IndexOfImpossibleLevel", EG_ERR_FORMAT, "no group index",
         Overwrite([](auto &b) { b[Find(b, std::string("TREE\0\0\1\0", 8)) + 5] = 100; })},
        {"IndexLoop", EG_ERR_FORMAT, "no group index", Overwrite([](auto &b) {
             const size_t at = Find(b, std::string("TREE\0\0\1\0", 8));
             b[at + 5] = 3;
             Put(b, at + 32, U64(at));
         })},
        {"HeapWithHugeSize", EG_ERR_FORMAT, "local heap",
         Overwrite([](auto &b) { Put(b, Find(b, "HEAP") + 8, U64(uint64_t(1) << 50)); })},
    };
}

// The dataspace of the 4 x 3 kernel as it stands in the file.
const std::string kShape43 = U64(4) + U64(3);

void External(hid_t g)
{
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "/etc/passwd", 0, 48);
    const hsize_t shape[] = {4, 3};
    const hid_t space = H5Screate_simple(2, shape, nullptr);
    H5Dclose(H5Dcreate2(g, "kernel:0", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(creation);
}

void VirtualData(hid_t g)
{
    const hsize_t shape[] = {4, 3};
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, shape, nullptr);
    H5Pset_virtual(creation, space, "other.h5", "/x", space);
    H5Dclose(H5Dcreate2(g, "kernel:0", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(creation);
}

void NeverWritten(hid_t g)
{
    const hsize_t shape[] = {4, 3};
    const hid_t space = H5Screate_simple(2, shape, nullptr);
    H5Dclose(H5Dcreate2(g, "kernel:0", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
}

void NullSpace(hid_t g)
{
    const hid_t space = H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(g, "kernel:0", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
}

void Committed(hid_t g)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(g, "type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    Numbers(g, "kernel:0", {4, 3}, type);
    H5Tclose(type);
}

void LonelyType(hid_t f)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(f, "type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
}

void Compound(hid_t g)
{
    const hid_t type = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(type, "r", 0, H5T_IEEE_F32LE);
    H5Tinsert(type, "i", 4, H5T_IEEE_F32LE);
    const hsize_t shape[] = {4, 3};
    const hid_t space = H5Screate_simple(2, shape, nullptr);
    const std::vector<char> zero(96);
    const hid_t set = H5Dcreate2(g, "kernel:0", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, zero.data());
    H5Dclose(set);
    H5Sclose(space);
    H5Tclose(type);
}

void Bomb(hid_t f)
{
    // 300 MB of zeros in 300 copies of one compressed chunk.
    const hsize_t shape[] = {300, 1 << 20}, chunk[] = {1, 1 << 20};
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, shape, nullptr);
    H5Pset_chunk(creation, 2, chunk);
    H5Pset_deflate(creation, 9);
    H5Gclose(H5Gcreate2(f, "engram", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    const hid_t set = H5Dcreate2(f, "engram/bomb", H5T_STD_U8LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    const std::vector<Bytef> zero(1 << 20);
    std::vector<Bytef> packed(compressBound(1 << 20));
    uLongf n = packed.size();
    compress2(packed.data(), &n, zero.data(), zero.size(), 9);
    for (hsize_t i = 0; i < shape[0]; i++) {
        const hsize_t at[] = {i, 0};
        H5Dwrite_chunk(set, H5P_DEFAULT, 0, at, n, packed.data());
    }
    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(creation);
}

std::vector<Kind> DataKinds()
{
    return {
        {"ExternalStorage", EG_ERR_UNSUPPORTED, "external storage", Kernel(External)},
        {"VirtualDataset", EG_ERR_UNSUPPORTED, "virtual dataset", Kernel(VirtualData)},
        {"NeverWritten", EG_ERR_FORMAT, "0 bytes stored", Kernel(NeverWritten)},
        {"NullDataspace", EG_ERR_FORMAT, "without a value", Kernel(NullSpace)},
        {"CommittedType", EG_ERR_UNSUPPORTED, "user-defined", Kernel(Committed)},
        {"CommittedTypeAlone", EG_ERR_UNSUPPORTED, "user-defined", More(LonelyType)},
        {"CompoundType", EG_ERR_FORMAT, "floating-point numbers wanted", Kernel(Compound)},
        {"Integers", EG_ERR_FORMAT, "layer 'a': kernel: floating-point numbers wanted", Kernel([](hid_t g) {
             Numbers(g, "kernel:0", {4, 3}, H5T_STD_I32LE, 7);
         })},
        {"UnknownFilter", EG_ERR_UNSUPPORTED, "scaleoffset",
         Kernel([](hid_t g) { Chunked(g, [](hid_t c) { H5Pset_scaleoffset(c, H5Z_SO_FLOAT_DSCALE, 3); }); })},
        {"PluginFilter", EG_ERR_UNSUPPORTED, "filter 32000 (lzf)",
         Kernel([](hid_t g) { Chunked(g, [](hid_t c) { H5Pset_filter(c, 32000, H5Z_FLAG_OPTIONAL, 0, nullptr); }); })},
        {"Bomb", EG_ERR_FORMAT, "elements wanted, the file has", More(Bomb)},
    };
}

std::vector<Kind> ChunkKinds()
{
    return {
        {"BrokenDeflate", EG_ERR_FORMAT, "compressed chunk",
         [](Recipe &r) {
             r.kernel_a = [](hid_t g) { Chunked(g, [](hid_t c) { H5Pset_deflate(c, 9); }); };
             r.overwrite = [](auto &b) {
                 const size_t tree = Find(b, std::string("TREE\1\0", 6));
                 uint64_t at;
                 std::memcpy(&at, b.data() + tree + 24 + 8 + 24, 8); // the first chunk
                 for (int i = 2; i < 12; i++)
                     b[at + static_cast<uint64_t>(i)] ^= 0x55;
             };
         }},
        {"WrongChecksum", EG_ERR_FORMAT, "checksum is wrong",
         [](Recipe &r) {
             r.kernel_a = [](hid_t g) { Chunked(g, [](hid_t c) { H5Pset_fletcher32(c); }); };
             r.overwrite = [](auto &b) {
                 const size_t tree = Find(b, std::string("TREE\1\0", 6));
                 uint64_t at;
                 std::memcpy(&at, b.data() + tree + 24 + 8 + 24, 8);
                 b[at + 5] ^= 1;
             };
         }},
        {"ChunkSizeLies", EG_ERR_FORMAT, "chunk of 24 bytes wanted, found 20",
         [](Recipe &r) {
             r.kernel_a = [](hid_t g) { Chunked(g, [](hid_t) {}); };
             r.overwrite = [](auto &b) { b[Find(b, std::string("TREE\1\0", 6)) + 24] = 20; };
         }},
        {"ChunkSizeIsHuge", EG_ERR_FORMAT, "bytes stored, at most",
         [](Recipe &r) {
             r.kernel_a = [](hid_t g) { Chunked(g, [](hid_t) {}); };
             r.overwrite = [](auto &b) { Put(b, Find(b, std::string("TREE\1\0", 6)) + 24, "\xff\xff\xff\x7f"); };
         }},
        {"ChunkMissing", EG_ERR_FORMAT, "2 chunks wanted, 1 stored",
         [](Recipe &r) {
             r.kernel_a = [](hid_t g) { Chunked(g, [](hid_t) {}); };
             r.overwrite = [](auto &b) { b[Find(b, std::string("TREE\1\0", 6)) + 6] = 1; };
         }},
        {"ChunkOutside", EG_ERR_FORMAT, "outside its array",
         [](Recipe &r) {
             r.kernel_a = [](hid_t g) { Chunked(g, [](hid_t) {}); };
             r.overwrite = [](auto &b) { Put(b, Find(b, std::string("TREE\1\0", 6)) + 32, U64(400)); };
         }},
        {"ChunkTwice", EG_ERR_FORMAT, "the same chunk twice",
         [](Recipe &r) {
             r.kernel_a = [](hid_t g) { Chunked(g, [](hid_t) {}); };
             r.overwrite = [](auto &b) { Put(b, Find(b, std::string("TREE\1\0", 6)) + 24 + 40 + 8, U64(0)); };
         }},
    };
}

std::vector<Kind> ValueKinds()
{
    return {
        {"ShapeOverflows", EG_ERR_FORMAT, "no file can hold",
         Overwrite([](auto &b) { Replace(b, kShape43, U64(uint64_t(1) << 39) + U64(uint64_t(1) << 39)); })},
        {"ShapeIsNegative", EG_ERR_FORMAT, "no file can hold",
         Overwrite([](auto &b) { Replace(b, kShape43, U64(UINT64_MAX) + U64(3)); })},
        {"ShapeBeyondTheFile", EG_ERR_FORMAT, "elements wanted, the file has",
         Overwrite([](auto &b) { Replace(b, kShape43, U64(1000000) + U64(1000)); })},
        {"ShapeBeyondTheData", EG_ERR_FORMAT, "48 bytes stored",
         Overwrite([](auto &b) { Replace(b, kShape43, U64(5) + U64(3)); })},
        {"DataBehindTheEnd", EG_ERR_FORMAT, "the file ends at", Overwrite([](auto &b) {
             // layout version 3, contiguous, address, size 48
             size_t at = 0;
             do
                 at = Find(b, std::string("\3\1", 2), at + 1);
             while (std::memcmp(b.data() + at + 10, U64(48).data(), 8) != 0);
             Put(b, at + 2, U64(b.size() - 8));
         })},
        {"RankOfTwenty", EG_ERR_UNSUPPORTED, "an array of",
         Kernel([](hid_t g) { Numbers(g, "kernel:0", std::vector<hsize_t>(20, 1)); })},
        {"Nan", EG_ERR_FORMAT, "layer 'a': kernel: element 0 is nan", Kernel([](hid_t g) {
             Numbers(g, "kernel:0", {4, 3}, H5T_IEEE_F32LE, NAN);
         })},
        {"Infinity", EG_ERR_FORMAT, "layer 'a': kernel: element 0 is inf", Kernel([](hid_t g) {
             Numbers(g, "kernel:0", {4, 3}, H5T_IEEE_F64LE, -INFINITY);
         })},
        {"TooLargeForSinglePrecision", EG_ERR_FORMAT, "too large", Kernel([](hid_t g) {
             Numbers(g, "kernel:0", {4, 3}, H5T_IEEE_F64LE, 1e300);
         })},
        {"WrongShape", EG_ERR_SHAPE, "kernel is (4, 3) in the architecture, 'a/kernel:0' in the file is (3, 4)",
         Kernel([](hid_t g) {
             Numbers(g, "kernel:0", {3, 4});
         })},
        {"WrongRank", EG_ERR_SHAPE, "is (12)", Kernel([](hid_t g) { Numbers(g, "kernel:0", {12}); })},
    };
}

std::vector<Kind> AttributeKinds()
{
    return {
        {"TensorMissing", EG_ERR_FORMAT, "'b/kernel:0'", [](Recipe &r) { r.kernel_b = false; }},
        {"GroupMissing", EG_ERR_FORMAT, "group 'b'", [](Recipe &r) { r.group_b = false; }},
        {"LayerNamesMissing", EG_ERR_FORMAT, "no attribute layer_names", [](Recipe &r) { r.layer_names = false; }},
        {"WeightNamesMissing", EG_ERR_FORMAT, "no attribute weight_names", [](Recipe &r) { r.weight_names = false; }},
        {"LayerNotListed", EG_ERR_FORMAT, "layer 'b': kernel",
         [](Recipe &r) {
             r.layers = {"a"};
             r.group_b = false;
         }},
        {"LayerListedTwice", EG_ERR_FORMAT, "twice",
         [](Recipe &r) {
             r.layers = {"a", "b", "a"};
         }},
        {"TensorListedTwice", EG_ERR_FORMAT, "twice",
         [](Recipe &r) {
             r.weights_b = {"b/bias:0", "b/bias:0"};
         }},
        {"TensorWithoutAName", EG_ERR_FORMAT, "kernel (3, 2) is not in the file",
         [](Recipe &r) { r.weights_b = {"b/bias:0"}; }},
        {"NameIsAGroup", EG_ERR_FORMAT, "tensor 'b'", [](Recipe &r) { r.weights_b = {"b"}; }},
        {"NameLeadsElsewhere", EG_ERR_FORMAT, "'/model_weights/a/a/bias:0' is no name",
         [](Recipe &r) {
             r.weights_b = {"b/bias:0", "/model_weights/a/a/bias:0"};
         }},
        {"NameLeadsInCircles", EG_ERR_FORMAT, "'b/./kernel:0' is no name",
         [](Recipe &r) {
             r.weights_b = {"b/./kernel:0", "b/bias:0"};
         }},
        {"NameIsEmpty", EG_ERR_FORMAT, "'' is no name",
         [](Recipe &r) {
             r.layers = {"", "b"};
         }},
        {"TwoTensorsForOneParameter", EG_ERR_FORMAT, "two tensors of the file are its bias",
         [](Recipe &r) {
             r.weights_b = {"b/kernel:0", "b/bias:0", "other/bias:0"};
             r.more = [](hid_t f) {
                 H5Gclose(H5Gcreate2(f, "model_weights/b/other", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
                 Numbers(f, "model_weights/b/other/bias:0", {2});
             };
         }},
        {"TooManyNames", EG_ERR_FORMAT, "at most 20000 names",
         [](Recipe &r) { r.layers = std::vector<std::string>(30000, "x"); }},
    };
}

std::vector<Kind> TextKinds()
{
    return {
        {"NamesAreNumbers", EG_ERR_FORMAT, "a list of names wanted",
         [](Recipe &r) {
             r.layer_names = false;
             r.more = [](hid_t f) {
                 const hid_t w = H5Gopen2(f, "model_weights", H5P_DEFAULT);
                 const hsize_t n = 2;
                 const hid_t space = H5Screate_simple(1, &n, nullptr);
                 H5Aclose(H5Acreate2(w, "layer_names", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT));
                 H5Sclose(space);
                 H5Gclose(w);
             };
         }},
        {"TextWithoutAnEnd", EG_ERR_FORMAT, "without an end",
         [](Recipe &r) {
             r.layer_names = false;
             r.more = [](hid_t f) {
                 const hid_t w = H5Gopen2(f, "model_weights", H5P_DEFAULT);
                 Names(w, "layer_names", {"abcdefgh"}, H5T_STR_NULLTERM);
                 H5Gclose(w);
             };
         }},
        {"HugeAttribute", EG_ERR_FORMAT, "attribute 'layer_names'", Overwrite([](auto &b) {
             const size_t at = Find(b, "layer_names");
             Put(b, Find(b, U64(2), at), U64(uint64_t(1) << 33));
         })},
        {"TextHeapNowhere", EG_ERR_FORMAT, "text", Overwrite([](auto &b) {
             const size_t heap = Find(b, "GCOL");
             size_t at = Find(b, "model_config");
             Put(b, Find(b, U64(heap), at), U64(b.size() + 4096));
         })},
        {"TextHeapWithoutTheObject", EG_ERR_FORMAT, "has no object", Overwrite([](auto &b) {
             const size_t heap = Find(b, "GCOL");
             size_t at = Find(b, "model_config");
             Put(b, Find(b, U64(heap), at) + 8, "\xee\xee");
         })},
        {"TextLongerThanItsObject", EG_ERR_FORMAT, "text of", Overwrite([](auto &b) {
             const size_t heap = Find(b, "GCOL");
             size_t at = Find(b, "model_config");
             Put(b, Find(b, U64(heap), at) - 4, "\xff\xff\xff\x0f");
         })},
        {"HeaderMessagePastItsEnd", EG_ERR_FORMAT, "object header", Overwrite([](auto &b) {
             Put(b, Find(b, "layer_names") - 8 - 6, "\xf8\xff"); // size of the attribute's message
         })},
    };
}

std::vector<Kind> ConfigKinds()
{
    const std::string deep(3000, '[');
    return {
        {"ConfigIsNotJson", EG_ERR_FORMAT, "model_config: JSON wanted", Config("certainly not")},
        {"ConfigIsCut", EG_ERR_FORMAT, "model_config: JSON wanted", Config(std::string(kConfig).substr(0, 150))},
        {"ConfigIsDeep", EG_ERR_FORMAT, "model_config: JSON wanted", Config(deep)},
        {"ConfigIsDeepAndClosed", EG_ERR_FORMAT, "model_config: JSON wanted",
         Config("{\"class_name\": " + deep + std::string(3000, ']') + "}")},
        {"ConfigIsDeepAndAllowed", EG_ERR_FORMAT, "class_name",
         Config(std::string(1000, '[') + std::string(1000, ']'))},
        {"ConfigIsNotUtf8", EG_ERR_FORMAT, "model_config: JSON wanted", Config("{\"class_name\": \"\xff\xfe\"}")},
        {"ConfigHasANan", EG_ERR_FORMAT, "model_config: JSON wanted", Config("{\"class_name\": NaN}")},
        {"ConfigIsText", EG_ERR_FORMAT, "model_config: JSON wanted", Config("\"half of a text")},
        {"ConfigHasWrongTypes", EG_ERR_FORMAT, "layers: a list wanted",
         Config(R"({"class_name": "Sequential", "config": {"layers": {"a": 1}}})")},
        {"ConfigMissesKeys", EG_ERR_FORMAT, "layer 0",
         Config(R"({"class_name": "Sequential", "config": {"layers": [{"config": {}}]}})")},
        {"ConfigOfAnUnknownLayer", EG_ERR_UNSUPPORTED, "unsupported layer: z (Quantum)",
         Config(R"({"class_name": "Sequential", "config": [{"class_name": "Quantum", "config": {"name": "z"}}]})")},
        {"ConfigMissing", EG_ERR_FORMAT, "--arch", Config("")},
    };
}

std::vector<Kind> GraphKinds()
{
    return {
        {"GraphCycle", EG_ERR_FORMAT, "a cycle", Config(Graph(R"([[["b", 0, 0]]])", R"([[["a", 0, 0]]])"))},
        {"GraphOfUnknownLayers", EG_ERR_FORMAT, "'nobody'",
         Config(Graph(R"([[["nobody", 0, 0]]])", R"([[["a", 0, 0]]])"))},
        {"GraphOfUnknownCalls", EG_ERR_FORMAT, "call 9 of 'x'",
         Config(Graph(R"([[["x", 9, 0]]])", R"([[["a", 0, 0]]])"))},
        {"GraphOfUnknownOutputs", EG_ERR_FORMAT, "output 7 of 'x'",
         Config(Graph(R"([[["x", 0, 7]]])", R"([[["a", 0, 0]]])"))},
        {"GraphOfHugeNumbers", EG_ERR_FORMAT, "call 9223372036854775807",
         Config(Graph(R"([[["x", 9223372036854775807, 0]]])", R"([[["a", 0, 0]]])"))},
        {"ModelOfAnotherShape", EG_ERR_SHAPE, "in the architecture",
         Config(Graph(R"([[["x", 0, 0]]])", R"([[["x", 0, 0]]])"))},
        {"MetaIsNotJson", EG_ERR_FORMAT, "meta", More([](hid_t f) {
             const hid_t g = H5Gcreate2(f, "engram", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
             Text(g, "meta", "{");
             H5Gclose(g);
         })},
        {"MetaIsAList", EG_ERR_FORMAT, "JSON object", More([](hid_t f) {
             const hid_t g = H5Gcreate2(f, "engram", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
             Text(g, "meta", "[1]");
             H5Gclose(g);
         })},
        {"NewWeightsForm", EG_ERR_UNSUPPORTED, ".weights.h5",
         [](Recipe &r) {
             r.more = [](hid_t f) {
                 H5Ldelete(f, "model_weights", H5P_DEFAULT);
                 H5Gclose(H5Gcreate2(f, "layers", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
             };
         }},
        {"SomeOtherHdf5File", EG_ERR_FORMAT, "not a Keras file",
         [](Recipe &r) { r.more = [](hid_t f) { H5Ldelete(f, "model_weights", H5P_DEFAULT); }; }},
    };
}

class Hostile : public CheckpointTest, public ::testing::WithParamInterface<Kind>
{
  protected:
    void SetUp() override
    {
        CheckpointTest::SetUp();
        H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    }
    eg_status TryLoad(const std::string &path)
    {
        eg_model *m = nullptr;
        const eg_status status = eg_model_load(&m, context, path.c_str(), nullptr);
        EXPECT_EQ(status == EG_OK, m != nullptr);
        eg_model_free(m);
        return status;
    }
    void ExpectOneLine(const std::string &path, const std::string &words)
    {
        const std::string message = eg_last_message();
        EXPECT_EQ(0u, message.find(path)) << "does not begin with the file: " << message;
        EXPECT_NE(std::string::npos, message.find(words)) << "'" << message << "' lacks '" << words << "'";
        EXPECT_EQ(std::string::npos, message.find('\n'));
        EXPECT_NE('.', message.back()) << message;
    }
};

TEST_P(Hostile, EndsInTheRightStatusAndOneLine)
{
    const Kind &k = GetParam();
    Recipe r;
    k.change(r);
    const std::string path = Temp("m.h5");
    WriteFile(path, r);
    EXPECT_EQ(k.status, TryLoad(path)) << eg_last_message();
    ExpectOneLine(path, k.words);
}

// The command on the same files: exit code 4 and one line on standard error.
TEST_P(Hostile, EndsTheCommandWithCodeFourAndOneLine)
{
    const char *engram = getenv("ENGRAM");
    ASSERT_TRUE(engram) << "ENGRAM names the command; ctest sets it";
    Recipe r;
    GetParam().change(r);
    const std::string path = Temp("m.h5"), said = Temp("said");
    WriteFile(path, r);
    const std::string data = std::string(EG_SOURCE_DIR) + "/examples/digits/five-to-nine";
    const std::string line = "'" + std::string(engram) + "' finetune '" + path + "' --data '" + data + "' -o '" +
                             Temp("out") + "' >/dev/null 2>'" + said + "'";
    const int status = std::system(line.c_str());
    ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
    EXPECT_EQ(4, WEXITSTATUS(status));
    std::ifstream file(said);
    int lines = 0;
    for (std::string text; std::getline(file, text); lines++)
        EXPECT_EQ(0u, text.find("engram: ")) << text;
    EXPECT_EQ(1, lines);
    remove(said.c_str());
}

std::string KindName(const ::testing::TestParamInfo<Kind> &info)
{
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(File, Hostile, ::testing::ValuesIn(FileKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Link, Hostile, ::testing::ValuesIn(LinkKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Data, Hostile, ::testing::ValuesIn(DataKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Chunk, Hostile, ::testing::ValuesIn(ChunkKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Value, Hostile, ::testing::ValuesIn(ValueKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Attribute, Hostile, ::testing::ValuesIn(AttributeKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Text, Hostile, ::testing::ValuesIn(TextKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Config, Hostile, ::testing::ValuesIn(ConfigKinds()), KindName);
INSTANTIATE_TEST_SUITE_P(Graph, Hostile, ::testing::ValuesIn(GraphKinds()), KindName);

using Harmless = Hostile;

TEST_F(Harmless, TheFileWithoutAnyHarmLoads)
{
    WriteFile(Temp("m.h5"), Recipe());
    EXPECT_EQ(EG_OK, TryLoad(Temp("m.h5"))) << eg_last_message();
}

TEST_F(Harmless, SoftLinksInsideTheFileAreFollowed)
{
    Recipe r;
    r.kernel_a = [](hid_t g) {
        Numbers(g, "real", {4, 3});
        H5Lcreate_soft("real", g, "hop", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_soft("/model_weights/a/./a/hop", g, "kernel:0", H5P_DEFAULT, H5P_DEFAULT);
    };
    WriteFile(Temp("m.h5"), r);
    EXPECT_EQ(EG_OK, TryLoad(Temp("m.h5"))) << eg_last_message();
}

// The harmless model, written to `path`, copied into the open file `f`, which is closed.
static void CopyInto(hid_t f, const std::string &path)
{
    WriteFile(path, Recipe());
    const hid_t from = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    Text(f, "model_config", kConfig);
    H5Ocopy(from, "model_weights", f, "model_weights", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(from);
    H5Fclose(f);
}

TEST_F(Harmless, ABlockBeforeTheFileIsSkipped)
{
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(creation, 1024);
    const hid_t f = H5Fcreate(Temp("u.h5").c_str(), H5F_ACC_TRUNC, creation, H5P_DEFAULT);
    CopyInto(f, Temp("m.h5"));
    H5Pclose(creation);
    EXPECT_EQ(EG_OK, TryLoad(Temp("u.h5"))) << eg_last_message();
}

TEST_F(Harmless, FilesOfTheNewestLibraryWithFewObjectsLoad)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    const hid_t f = H5Fcreate(Temp("n.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
    CopyInto(f, Temp("m.h5"));
    H5Pclose(access);
    EXPECT_EQ(EG_OK, TryLoad(Temp("n.h5"))) << eg_last_message();
}

TEST_F(Harmless, PathsThatAreNoFiles)
{
    EXPECT_EQ(EG_ERR_IO, TryLoad(Temp("nothing.h5")));
    ExpectOneLine(Temp("nothing.h5"), "cannot be opened");
    EXPECT_EQ(EG_ERR_IO, TryLoad(folder.string()));
    ExpectOneLine(folder.string(), "a folder");
    ASSERT_EQ(0, mkfifo(Temp("pipe").c_str(), 0600));
    EXPECT_EQ(EG_ERR_IO, TryLoad(Temp("pipe"))); // returns at once
    ExpectOneLine(Temp("pipe"), "not a regular file");
    eg_model *m = nullptr;
    EXPECT_EQ(EG_ERR_ARG, eg_model_load(&m, context, nullptr, nullptr));
    eg_load_options old = EG_LOAD_OPTIONS_INIT;
    old.struct_size = 3;
    EXPECT_EQ(EG_ERR_ARG, eg_model_load(&m, context, "x", &old));
}

TEST_F(Harmless, ArchitectureFiles)
{
    Recipe r;
    r.config = "";
    WriteFile(Temp("m.h5"), r);
    const auto load = [&](const std::string &text) {
        WriteBytes(Temp("arch.json"), std::vector<char>(text.begin(), text.end()));
        eg_load_options o = EG_LOAD_OPTIONS_INIT;
        const std::string path = Temp("arch.json");
        o.arch = path.c_str();
        eg_model *m = nullptr;
        const eg_status status = eg_model_load(&m, context, Temp("m.h5").c_str(), &o);
        eg_model_free(m);
        return status;
    };
    EXPECT_EQ(EG_OK, load(kConfig)) << eg_last_message();
    json_t *text = json_string(kConfig); // json.dump(model.to_json())
    char *quoted = json_dumps(text, JSON_ENCODE_ANY);
    EXPECT_EQ(EG_OK, load(quoted)) << eg_last_message();
    free(quoted);
    json_decref(text);
    EXPECT_EQ(EG_ERR_FORMAT, load(""));
    EXPECT_EQ(EG_ERR_FORMAT, load(std::string("{}\0{}", 5)));
    EXPECT_EQ(EG_ERR_FORMAT, load("{}"));
    eg_load_options o = EG_LOAD_OPTIONS_INIT;
    o.arch = "/nowhere.json";
    eg_model *m = nullptr;
    EXPECT_EQ(EG_ERR_IO, eg_model_load(&m, context, Temp("m.h5").c_str(), &o));
}

TEST_F(Harmless, UnsupportedLayersAreListedWithoutLoading)
{
    Recipe r;
    r.config =
        R"({"class_name": "Sequential", "config": [{"class_name": "LSTM", "config": {"name": "one", "batch_input_shape": )"
        R"([null, 4, 4]}}, {"class_name": "GRU", "config": {"name": "two"}}]})";
    WriteFile(Temp("m.h5"), r);
    char *lines = nullptr;
    ASSERT_EQ(EG_OK, eg_model_unsupported(&lines, context, Temp("m.h5").c_str(), nullptr)) << eg_last_message();
    const std::string all = lines;
    EXPECT_EQ(2, std::count(all.begin(), all.end(), '\n'));
    EXPECT_NE(std::string::npos, all.find("one (LSTM): "));
    EXPECT_NE(std::string::npos, all.find("two (GRU): "));
    eg_text_free(context, lines);
    WriteFile(Temp("m.h5"), Recipe());
    ASSERT_EQ(EG_OK, eg_model_unsupported(&lines, context, Temp("m.h5").c_str(), nullptr)) << eg_last_message();
    EXPECT_STREQ("", lines);
    eg_text_free(context, lines);
}

} // namespace
