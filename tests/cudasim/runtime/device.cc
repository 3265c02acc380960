// The device: one, described like an H100, with CUDASIM_PROCESSORS multiprocessors. CUDASIM_DEVICES=0 and
// CUDASIM_DRIVER=0 are for tests of machines without one.
#include <cstdlib>
#include <cstring>

#include "runtime.h"

using cudasim::fail;

namespace
{

constexpr int kVersion = CUDART_VERSION;
constexpr const char *kName = "cudasim (described as H100)";
constexpr int kKibi = 1024;

bool is_zero(const char *variable)
{
    const char *value = std::getenv(variable);
    return value && !std::strcmp(value, "0");
}

struct Attribute {
    cudaDeviceAttr id;
    int value;
};

const Attribute kAttributes[] = {
    {cudaDevAttrMaxThreadsPerBlock, 1024},
    {cudaDevAttrMaxBlockDimX, 1024},
    {cudaDevAttrMaxBlockDimY, 1024},
    {cudaDevAttrMaxBlockDimZ, 64},
    {cudaDevAttrMaxGridDimX, 2147483647},
    {cudaDevAttrMaxGridDimY, 65535},
    {cudaDevAttrMaxGridDimZ, 65535},
    {cudaDevAttrMaxSharedMemoryPerBlock, 48 * kKibi},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin, 227 * kKibi},
    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 228 * kKibi},
    {cudaDevAttrReservedSharedMemoryPerBlock, kKibi},
    {cudaDevAttrTotalConstantMemory, 64 * kKibi},
    {cudaDevAttrWarpSize, 32},
    {cudaDevAttrMaxPitch, 2147483647},
    {cudaDevAttrMaxRegistersPerBlock, 65536},
    {cudaDevAttrMaxRegistersPerMultiprocessor, 65536},
    {cudaDevAttrClockRate, 1980000},
    {cudaDevAttrMemoryClockRate, 2619000},
    {cudaDevAttrGlobalMemoryBusWidth, 5120},
    {cudaDevAttrL2CacheSize, 50 * kKibi *kKibi},
    {cudaDevAttrMultiProcessorCount, 132},
    {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
    {cudaDevAttrMaxBlocksPerMultiprocessor, 32},
    {cudaDevAttrComputeCapabilityMajor, 9},
    {cudaDevAttrComputeCapabilityMinor, 0},
    {cudaDevAttrTextureAlignment, 512},
    {cudaDevAttrTexturePitchAlignment, 32},
    {cudaDevAttrSurfaceAlignment, 512},
    {cudaDevAttrGpuOverlap, 1},
    {cudaDevAttrAsyncEngineCount, 3},
    {cudaDevAttrConcurrentKernels, 1},
    {cudaDevAttrKernelExecTimeout, 0},
    {cudaDevAttrIntegrated, 0},
    {cudaDevAttrCanMapHostMemory, 1},
    {cudaDevAttrComputeMode, cudaComputeModeDefault},
    {cudaDevAttrEccEnabled, 1},
    {cudaDevAttrPciBusId, 1},
    {cudaDevAttrPciDeviceId, 0},
    {cudaDevAttrPciDomainId, 0},
    {cudaDevAttrTccDriver, 0},
    {cudaDevAttrUnifiedAddressing, 1},
    {cudaDevAttrStreamPrioritiesSupported, 1},
    {cudaDevAttrGlobalL1CacheSupported, 1},
    {cudaDevAttrLocalL1CacheSupported, 1},
    {cudaDevAttrManagedMemory, 1},
    {cudaDevAttrIsMultiGpuBoard, 0},
    {cudaDevAttrMultiGpuBoardGroupID, 0},
    {cudaDevAttrHostNativeAtomicSupported, 0},
    {cudaDevAttrSingleToDoublePrecisionPerfRatio, 2},
    {cudaDevAttrPageableMemoryAccess, 0},
    {cudaDevAttrConcurrentManagedAccess, 1},
    {cudaDevAttrComputePreemptionSupported, 1},
    {cudaDevAttrCooperativeLaunch, 0}, /* blocks run one after another */
    {cudaDevAttrClusterLaunch, 0},
    {cudaDevAttrHostRegisterSupported, 0},
    {cudaDevAttrMemoryPoolsSupported, 0},
    {cudaDevAttrMaxPersistingL2CacheSize, 31250 * kKibi},
    {cudaDevAttrMaxAccessPolicyWindowSize, 134213632},
};

void set_strings(cudaDeviceProp *p)
{
    *p = cudaDeviceProp();
    std::strncpy(p->name, kName, sizeof p->name - 1);
    std::memcpy(p->uuid.bytes, "cudasim-device-0", sizeof p->uuid.bytes);
}

int value(cudaDeviceAttr attribute)
{
    return cudasim::device_attribute(attribute);
}

void set_limits(cudaDeviceProp *p)
{
    p->totalGlobalMem = cudasim::memory_capacity();
    p->sharedMemPerBlock = (size_t)value(cudaDevAttrMaxSharedMemoryPerBlock);
    p->sharedMemPerBlockOptin = (size_t)value(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    p->sharedMemPerMultiprocessor = (size_t)value(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    p->reservedSharedMemPerBlock = (size_t)value(cudaDevAttrReservedSharedMemoryPerBlock);
    p->regsPerBlock = value(cudaDevAttrMaxRegistersPerBlock);
    p->regsPerMultiprocessor = value(cudaDevAttrMaxRegistersPerMultiprocessor);
    p->warpSize = value(cudaDevAttrWarpSize);
    p->memPitch = (size_t)value(cudaDevAttrMaxPitch);
    p->maxThreadsPerBlock = value(cudaDevAttrMaxThreadsPerBlock);
    p->maxThreadsPerMultiProcessor = value(cudaDevAttrMaxThreadsPerMultiProcessor);
    p->maxBlocksPerMultiProcessor = value(cudaDevAttrMaxBlocksPerMultiprocessor);
    for (int i = 0; i < 3; i++) {
        p->maxThreadsDim[i] = value((cudaDeviceAttr)(cudaDevAttrMaxBlockDimX + i));
        p->maxGridSize[i] = value((cudaDeviceAttr)(cudaDevAttrMaxGridDimX + i));
    }
    p->totalConstMem = (size_t)value(cudaDevAttrTotalConstantMemory);
}

void set_features(cudaDeviceProp *p)
{
    p->major = value(cudaDevAttrComputeCapabilityMajor);
    p->minor = value(cudaDevAttrComputeCapabilityMinor);
    p->multiProcessorCount = value(cudaDevAttrMultiProcessorCount);
    p->memoryBusWidth = value(cudaDevAttrGlobalMemoryBusWidth);
    p->l2CacheSize = value(cudaDevAttrL2CacheSize);
    p->persistingL2CacheMaxSize = value(cudaDevAttrMaxPersistingL2CacheSize);
    p->accessPolicyMaxWindowSize = value(cudaDevAttrMaxAccessPolicyWindowSize);
    p->textureAlignment = (size_t)value(cudaDevAttrTextureAlignment);
    p->texturePitchAlignment = (size_t)value(cudaDevAttrTexturePitchAlignment);
    p->surfaceAlignment = (size_t)value(cudaDevAttrSurfaceAlignment);
    p->canMapHostMemory = value(cudaDevAttrCanMapHostMemory);
    p->concurrentKernels = value(cudaDevAttrConcurrentKernels);
    p->ECCEnabled = value(cudaDevAttrEccEnabled);
    p->pciBusID = value(cudaDevAttrPciBusId);
    p->asyncEngineCount = value(cudaDevAttrAsyncEngineCount);
    p->unifiedAddressing = value(cudaDevAttrUnifiedAddressing);
    p->streamPrioritiesSupported = value(cudaDevAttrStreamPrioritiesSupported);
    p->globalL1CacheSupported = value(cudaDevAttrGlobalL1CacheSupported);
    p->localL1CacheSupported = value(cudaDevAttrLocalL1CacheSupported);
    p->managedMemory = value(cudaDevAttrManagedMemory);
    p->concurrentManagedAccess = value(cudaDevAttrConcurrentManagedAccess);
    p->computePreemptionSupported = value(cudaDevAttrComputePreemptionSupported);
}

} // namespace

namespace cudasim
{

cudaError_t device_missing()
{
    static const cudaError_t missing = is_zero("CUDASIM_DRIVER")    ? cudaErrorInsufficientDriver
                                       : is_zero("CUDASIM_DEVICES") ? cudaErrorNoDevice
                                                                    : cudaSuccess;
    return missing;
}

int device_attribute(cudaDeviceAttr attribute)
{
    const char *processors = std::getenv("CUDASIM_PROCESSORS");
    if (attribute == cudaDevAttrMultiProcessorCount && processors && std::atoi(processors) > 0)
        return std::atoi(processors);
    for (const Attribute &entry : kAttributes)
        if (entry.id == attribute)
            return entry.value;
    return -1;
}

} // namespace cudasim

CUDASIM_API cudaError_t cudaGetDeviceCount(int *count)
{
    CUDASIM_CALL;
    if (!count)
        return fail(cudaErrorInvalidValue);
    *count = 1;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaGetDevice(int *device)
{
    CUDASIM_CALL;
    if (!device)
        return fail(cudaErrorInvalidValue);
    *device = 0;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaSetDevice(int device)
{
    CUDASIM_CALL;
    return fail(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

CUDASIM_API cudaError_t cudaSetDeviceFlags(unsigned)
{
    CUDASIM_CALL;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaInitDevice(int device, unsigned, unsigned)
{
    return cudaSetDevice(device);
}

CUDASIM_API cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    CUDASIM_CALL;
    if (device != 0)
        return fail(cudaErrorInvalidDevice);
    if (!properties)
        return fail(cudaErrorInvalidValue);
    set_strings(properties);
    set_limits(properties);
    set_features(properties);
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaDeviceGetAttribute(int *result, cudaDeviceAttr attribute, int device)
{
    CUDASIM_CALL;
    if (device != 0)
        return fail(cudaErrorInvalidDevice);
    if (!result || attribute < cudaDevAttrMaxThreadsPerBlock || attribute >= cudaDevAttrMax)
        return fail(cudaErrorInvalidValue);
    *result = cudasim::device_attribute(attribute);
    return *result >= 0 ? cudaSuccess : fail(cudaErrorNotSupported);
}

/** Without a driver this succeeds with 0. */
CUDASIM_API cudaError_t cudaDriverGetVersion(int *version)
{
    if (!version)
        return fail(cudaErrorInvalidValue);
    *version = cudasim::device_missing() == cudaErrorInsufficientDriver ? 0 : kVersion;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaRuntimeGetVersion(int *version)
{
    if (!version)
        return fail(cudaErrorInvalidValue);
    *version = kVersion;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaDeviceReset()
{
    return cudaDeviceSynchronize();
}
