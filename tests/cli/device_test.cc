// Which device a run takes, and what the command says where there is no GPU. The stand-in for CUDA's runtime plays the
// machine.
#include "support.h"

class CliDevice : public Cli
{
  protected:
    void SetUp() override
    {
        Cli::SetUp();
        const char *build = getenv("EG_BINARY_DIR");
        ASSERT_TRUE(build) << "EG_BINARY_DIR names the build; ctest sets it";
        const std::string folder = std::string(build) + "/cudasim";
        if (!fs::exists(folder + "/libcudart.so.13"))
            GTEST_SKIP() << "this build has no stand-in for CUDA's runtime";
        machine_ = "LD_LIBRARY_PATH='" + folder + "' ";
    }
    std::string DoctorOn(const std::string &machine)
    {
        const Ran r = Run("doctor --json run.device=cpu", machine);
        EXPECT_EQ(0, r.code) << r.err;
        json_t *j = json_loads(r.out.c_str(), 0, nullptr);
        const char *cuda = json_string_value(json_object_get(j, "cuda"));
        const std::string found = cuda ? cuda : r.out;
        json_decref(j);
        return found;
    }

    std::string machine_;
    const std::string learn_ = "finetune " + model_ + " " + new_ + keep_ + quick_;
};

TEST_F(CliDevice, WithoutADriverCudaIsRefusedAndAutoTakesTheCpu)
{
    const std::string machine = machine_ + "CUDASIM_DRIVER=0 ";
    ExpectRefused(Run(learn_ + "run.device=cuda", machine), 5, "cuda: no driver");
    EXPECT_EQ(0u, DoctorOn(machine).find("no driver"));
    const Ran r = Run(learn_ + "remember.budget=1", machine);
    EXPECT_EQ(0, r.code) << r.err;
    const size_t line = r.out.find("device  cpu, 1 thread, ");
    ASSERT_NE(std::string::npos, line) << r.out;
    EXPECT_NE(std::string::npos, r.out.substr(line, r.out.find('\n', line) - line).find("; cuda: no driver")) << r.out;
}

TEST_F(CliDevice, ADriverWithoutADeviceSaysSo)
{
    const std::string machine = machine_ + "CUDASIM_DEVICES=0 ";
    ExpectRefused(Run(learn_ + "run.device=cuda", machine), 5, "cuda: the driver finds no device");
    EXPECT_EQ("the driver finds no device", DoctorOn(machine));
}

TEST_F(CliDevice, WithoutTheRuntimeLibraryCudaIsRefusedAndAutoTakesTheCpu)
{
    const std::string hidden = std::string(getenv("EG_BINARY_DIR")) + "/tests/cli/libno_cudart.so";
    ASSERT_TRUE(fs::exists(hidden));
    const char *asan = getenv("ASAN_OPTIONS"); /* wants to be loaded first */
    const std::string machine = "ASAN_OPTIONS='" + std::string(asan ? asan : "") + ":verify_asan_link_order=0' " +
                                "LD_PRELOAD='" + hidden + "' ";
    const std::string missing = "libcudart.so.13 was not found; install CUDA 13's runtime, or name its folder in ";
    ExpectRefused(Run(learn_ + "run.device=cuda", machine), 5, "cuda: " + missing + "LD_LIBRARY_PATH");
    ExpectRefused(Run("doctor run.device=cuda", machine), 5, "cuda: " + missing);
    EXPECT_EQ(0u, DoctorOn(machine).find(missing));
    const Ran r = Run(learn_ + "remember.method=none finetune.max_steps=2", machine);
    EXPECT_EQ(0, r.code) << r.err;
    const size_t line = r.out.find("device  cpu, 1 thread, ");
    ASSERT_NE(std::string::npos, line) << r.out;
    EXPECT_NE(std::string::npos, r.out.substr(line, r.out.find('\n', line) - line).find("; cuda: libcudart.so.13"))
        << r.out;
}

TEST_F(CliDevice, ADeviceThatIsNotThereIsRefused)
{
    ExpectRefused(Run(learn_ + "run.device=cuda:7", machine_), 5, "wanted cuda:7, found 1 device");
    ExpectRefused(Run(learn_ + "run.device=cuda:x", machine_), 5, "wanted auto, cuda or cpu, found 'cuda:x'");
}

TEST_F(CliDevice, TheCpuHasNoOtherPrecision)
{
    ExpectRefused(Run(learn_ + "run.device=cpu finetune.precision=bf16"), 2, "unsupported: finetune.precision=bf16");
}

TEST_F(CliDevice, DoctorDescribesTheDevice)
{
    const std::string found = DoctorOn(machine_), text = Run("doctor run.device=cpu", machine_).out;
    for (const char *part : {"H100", " GB, sm_90, CUDA 13.0, driver for 13.", ", cuBLASLt 13."})
        EXPECT_NE(std::string::npos, found.find(part)) << found;
    EXPECT_NE(std::string::npos, text.find("\ncuda    " + found + "\n")) << text;
}

TEST_F(CliDevice, DoctorTestsTheDevice)
{
    const Ran r = Run("doctor run.device=cuda", machine_);
    EXPECT_EQ(0, r.code) << r.out << r.err;
    for (const char *part : {"device  cuda, ", "of the largest (ok)", "speed   matrix product ", "\nok\n"})
        EXPECT_NE(std::string::npos, r.out.find(part)) << r.out;
}

// A folder with CUDA's runtime alone. Where this machine has the real cublasLt, that sees no device.
TEST_F(CliDevice, WithoutCublasLtOwnKernelsTrain)
{
    const std::string runtime = "libcudart.so.13";
    fs::create_directory(At("runtime"));
    fs::create_symlink(fs::path(getenv("EG_BINARY_DIR")) / "cudasim" / runtime, fs::path(At("runtime")) / runtime);
    const std::string machine = "CUDA_VISIBLE_DEVICES= LD_LIBRARY_PATH='" + At("runtime") + "' ",
                      own = ", no cuBLASLt: own kernels";
    EXPECT_NE(std::string::npos, DoctorOn(machine).find(own));
    const Ran r = Run(learn_ + "run.device=cuda remember.method=none finetune.max_steps=2", machine);
    EXPECT_EQ(0, r.code) << r.out << r.err;
    EXPECT_NE(std::string::npos, r.out.find(own)) << r.out;
}

TEST_F(CliDevice, ARunOnTheDeviceIsProfiled)
{
    const Ran r = Run(learn_ + "run.device=cuda run.profile=true remember.method=none finetune.max_steps=2", machine_);
    EXPECT_EQ(0, r.code) << r.out << r.err;
    EXPECT_NE(std::string::npos, r.out.find("device  cuda, ")) << r.out;
}

// Not one of Cli's, so that the build without the device can run it alone.
class WithoutCuda : public Cli
{
};

TEST_F(WithoutCuda, SaysSo)
{
    const char *build = getenv("EG_BINARY_DIR");
    ASSERT_TRUE(build) << "EG_BINARY_DIR names the build; ctest sets it";
    if (fs::exists(std::string(build) + "/cuda/images.S"))
        GTEST_SKIP() << "this build has the device";
    ExpectRefused(Run("finetune " + model_ + " " + new_ + "run.device=cuda"), 5, "cuda: not in this build");
    const std::string text = Run("doctor").out;
    EXPECT_NE(std::string::npos, text.find("\ncuda    not in this build\n")) << text;
}
