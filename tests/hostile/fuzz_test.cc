// Random damage, the same on every run: never a crash, never a hang, always a status and a line. A build with
// AddressSanitizer makes this a search for overruns. EG_FUZZ_ROUNDS raises the number of rounds.
#include "../checkpoint/support.h"

#include <chrono>

namespace
{

struct Random {
    uint64_t s;
    uint64_t operator()(uint64_t n) // splitmix64
    {
        s += 0x9e3779b97f4a7c15;
        uint64_t z = s;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return (z ^ (z >> 31)) % n;
    }
};

// A few of: a flipped bit, a random byte, an extreme number, a run of one byte, a copied run, a cut.
void Damage(std::vector<char> &b, Random &r)
{
    for (uint64_t n = 1 + r(4); n > 0; n--) {
        const size_t at = r(b.size() - 64);
        switch (r(8)) {
        case 0:
            b[at] = static_cast<char>(b[at] ^ 1 << r(8));
            break;
        case 1:
        case 2:
            b[at] = static_cast<char>(r(256));
            break;
        case 3: {
            static const uint64_t extreme[] = {0,     1, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff,
                                               0xffff};
            std::memcpy(&b[at / 8 * 8], &extreme[r(7)], 8);
            break;
        }
        case 4:
            std::fill_n(b.begin() + static_cast<long>(at), r(64), static_cast<char>(r(2) ? 0xff : 0));
            break;
        case 5: {
            const size_t from = r(b.size() - 64);
            std::copy_n(std::vector<char>(b).begin() + static_cast<long>(from), r(64),
                        b.begin() + static_cast<long>(at));
            break;
        }
        case 6: { // an address becomes another one of the file
            const uint64_t address = r(b.size()) / 8 * 8;
            std::memcpy(&b[at / 8 * 8], &address, 8);
            break;
        }
        default:
            if (r(10) == 0)
                b.resize(64 + r(b.size() - 64));
            else
                b[at] = static_cast<char>(b[at] + 1);
        }
        if (b.size() < 128)
            return;
    }
}

class Fuzz : public CheckpointTest, public ::testing::WithParamInterface<const char *>
{
  protected:
    // Returns the seconds that it took.
    double Try(const std::string &path, uint64_t round)
    {
        const auto start = std::chrono::steady_clock::now();
        eg_model *m = nullptr;
        const eg_status status = eg_model_load(&m, context, path.c_str(), nullptr);
        const std::string message = eg_last_message();
        if (status == EG_OK) {
            survived++;
            eg_model_free(m);
        } else {
            EXPECT_TRUE(status == EG_ERR_FORMAT || status == EG_ERR_UNSUPPORTED || status == EG_ERR_SHAPE ||
                        status == EG_ERR_NOMEM)
                << "round " << round << ": " << status << ": " << message;
            EXPECT_EQ(0u, message.find(path)) << message;
            EXPECT_EQ(std::string::npos, message.find('\n'));
        }
        EXPECT_EQ(blocks, context->live_blocks) << "round " << round << " leaks: " << message;
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    // The file that is damaged: a golden one, or one of ours with a compressed memory.
    std::string Source()
    {
        if (std::string(GetParam()) != "memory")
            return Golden(GetParam());
        const Model m = Load(Golden("weights_only.h5"), Golden("weights_only.json"));
        std::vector<uint8_t> images(40 * 30);
        for (size_t i = 0; i < images.size(); i++)
            images[i] = static_cast<uint8_t>(i * i);
        const egi_tensor t = {images.data(), EGI_U8, {2, {40, 30}}};
        EXPECT_EQ(EG_OK, egi_model_set_extra(m.get(), "memory/x", &t));
        json_object_set_new(m->meta, "classes", json_pack("[s, s]", "a", "b"));
        EXPECT_EQ(EG_OK, eg_model_save(m.get(), Temp("source.h5").c_str())) << eg_last_message();
        return Temp("source.h5");
    }
    int survived = 0;
};

TEST_P(Fuzz, EveryDamageEndsInAStatus)
{
    const char *set = std::getenv("EG_FUZZ_ROUNDS");
    const uint64_t rounds = set ? std::strtoull(set, nullptr, 10) : 150;
    const std::vector<char> whole = Bytes(Source());
    double slowest = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        Random r{round * 1000003 + whole.size()};
        auto bytes = whole;
        Damage(bytes, r);
        const std::string path = Temp("m.h5");
        WriteBytes(path, bytes);
        slowest = std::fmax(slowest, Try(path, round));
        if (HasFailure()) {
            WriteBytes((fs::temp_directory_path() / ("engram_fuzz_" + std::to_string(round) + ".h5")).string(), bytes);
            return;
        }
    }
    EXPECT_LT(slowest, 10) << "seconds for one file";
    EXPECT_LT(survived, static_cast<int>(rounds)) << "the damage did nothing";
}

INSTANTIATE_TEST_SUITE_P(All, Fuzz,
                         ::testing::Values("k2_functional.h5", "k3_functional.h5", "k3_sequential.h5", "keras1.h5",
                                           "split.h5", "stored.h5", "memory"));

TEST_F(Fuzz, EveryLengthEndsInAStatus)
{
    const std::vector<char> whole = Bytes(Golden("stored.h5"));
    for (size_t n = 0; n < whole.size(); n += n < 200 ? 1 : 97) {
        WriteBytes(Temp("m.h5"), std::vector<char>(whole.begin(), whole.begin() + static_cast<long>(n)));
        Try(Temp("m.h5"), n);
        ASSERT_EQ(0, survived) << n;
    }
}

} // namespace
