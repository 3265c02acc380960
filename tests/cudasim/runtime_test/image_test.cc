// Fat binaries of `nvcc -fatbin`, loaded as the product does it: the library by dlopen, functions by dlsym, the image
// from memory.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace
{

#define CALL(name) function<decltype(name)>(#name)

class Image : public testing::Test
{
  protected:
    static void SetUpTestSuite()
    {
        library = dlopen(CUDASIM_LIBRARIES "/libcudart.so.13", RTLD_NOW | RTLD_LOCAL);
        ASSERT_NE(library, nullptr) << dlerror();
    }
    template <class F> static F *function(const char *name)
    {
        F *found = (F *)dlsym(library, name);
        EXPECT_NE(found, nullptr) << name;
        return found;
    }
    static std::string image(const std::string &name)
    {
        std::ifstream file(CUDASIM_IMAGES "/" + name, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(file), {});
    }
    static cudaError_t load(const std::string &bytes, cudaLibrary_t *loaded)
    {
        return CALL(cudaLibraryLoadData)(loaded, bytes.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
    }
    /** What the kernel of an image says. */
    static int architecture(const std::string &name)
    {
        cudaLibrary_t loaded = nullptr;
        cudaKernel_t kernel = nullptr;
        int *device = nullptr, said = 0;
        void *args[] = {&device};
        EXPECT_EQ(load(image(name), &loaded), cudaSuccess);
        EXPECT_EQ(CALL(cudaLibraryGetKernel)(&kernel, loaded, "architecture"), cudaSuccess);
        EXPECT_EQ(CALL(cudaMalloc)((void **)&device, sizeof said), cudaSuccess);
        EXPECT_EQ(CALL(cudaLaunchKernel)((const void *)kernel, dim3(1), dim3(1), args, 0, nullptr), cudaSuccess);
        EXPECT_EQ(CALL(cudaMemcpy)(&said, device, sizeof said, cudaMemcpyDeviceToHost), cudaSuccess);
        EXPECT_EQ(CALL(cudaFree)(device), cudaSuccess);
        EXPECT_EQ(CALL(cudaLibraryUnload)(loaded), cudaSuccess);
        return said;
    }
    static void *library;
};

void *Image::library;

TEST_F(Image, TheNewestPtxThatTheDeviceRunsIsChosen)
{
    EXPECT_EQ(architecture("several.fatbin"), 800);
}

TEST_F(Image, CompressedAndPlainPtxAreTheSame)
{
    EXPECT_EQ(architecture("compressed.fatbin"), 750);
    EXPECT_EQ(architecture("plain.fatbin"), 750);
    EXPECT_LT(image("compressed.fatbin").size(), image("plain.fatbin").size());
}

} // namespace
