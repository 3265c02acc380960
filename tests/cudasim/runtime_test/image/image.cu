// A kernel that says for which architecture it was compiled.
extern "C" __global__ void architecture(int *out)
{
    *out = __CUDA_ARCH__;
}
