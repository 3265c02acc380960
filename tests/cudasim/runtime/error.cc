// Codes, their texts, the last error, the fault that stays, and the end of the process.
#include <cstdio>
#include <cstdlib>

#include "runtime.h"

namespace
{

struct Text {
    cudaError_t code;
    const char *name, *text;
};

const Text kTexts[] = {
#define CUDASIM_ERROR(code, text) {code, #code, text},
#include "error_codes.def"
#undef CUDASIM_ERROR
};

const Text &text_of(cudaError_t code)
{
    static const Text unknown = {cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};
    for (const Text &text : kTexts)
        if (text.code == code)
            return text;
    return unknown;
}

thread_local cudaError_t last_error = cudaSuccess;
cudaError_t fault = cudaSuccess;

bool set(const char *variable)
{
    const char *value = std::getenv(variable);
    return value && std::atoi(value);
}

/** Runs after the destructors of the program and of the simulator. Queued work is not run: what it would write to may
 * be gone. */
__attribute__((destructor)) void finish()
{
    if (set("CUDASIM_LEAKS") && !cudasim::context_broken()) {
        if (const size_t blocks = cudasim::blocks_alive())
            cudasim::report_host("leak: %zu blocks of memory were never freed", blocks);
        if (const size_t waiting = cudasim::operations_waiting())
            cudasim::report_host("%zu operations were queued and nothing waited for them", waiting);
    }
    const unsigned long long reports = cudasim::report_count();
    if (!reports)
        return;
    std::fprintf(stderr, "cudasim: %llu reports in all\n", reports);
    std::fflush(nullptr);
    if (!set("CUDASIM_KEEP_RC"))
        std::_Exit(86);
}

} // namespace

namespace cudasim
{

std::recursive_mutex &runtime_lock()
{
    static std::recursive_mutex &lock = *new std::recursive_mutex;
    return lock;
}

cudaError_t fail(cudaError_t code)
{
    if (code != cudaSuccess)
        last_error = code;
    return code;
}

cudaError_t usable()
{
    if (const cudaError_t missing = device_missing())
        return missing;
    return in_host_function() ? cudaErrorNotPermitted : fault;
}

void break_context(cudaError_t code)
{
    if (fault == cudaSuccess)
        fault = code;
}

bool context_broken()
{
    return fault != cudaSuccess;
}

cudaError_t code_of_reports(const std::vector<std::string> &reports)
{
    const struct {
        const char *word;
        cudaError_t code;
    } known[] = {
        {"assert", cudaErrorAssert},
        {"misaligned", cudaErrorMisalignedAddress},
        {"endless loop", cudaErrorLaunchTimeout},
        {"bounds", cudaErrorIllegalAddress},
        {"freed", cudaErrorIllegalAddress},
        {"not device memory", cudaErrorIllegalAddress},
        {"host memory", cudaErrorIllegalAddress},
    };
    for (const std::string &report : reports)
        for (const auto &entry : known)
            if (report.find(entry.word) != std::string::npos)
                return entry.code;
    return cudaErrorLaunchFailure; /* what hardware would not notice ends the context too */
}

} // namespace cudasim

CUDASIM_API const char *cudaGetErrorName(cudaError_t code)
{
    return text_of(code).name;
}

CUDASIM_API const char *cudaGetErrorString(cudaError_t code)
{
    return text_of(code).text;
}

CUDASIM_API cudaError_t cudaPeekAtLastError()
{
    const std::lock_guard<std::recursive_mutex> locked(cudasim::runtime_lock());
    const cudaError_t stays = cudasim::usable();
    return stays ? stays : last_error;
}

CUDASIM_API cudaError_t cudaGetLastError()
{
    const cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}

/** For the stand-ins of libraries: checks a range of device memory as a kernel's access. */
CUDASIM_API bool cudasim_check(const void *address, size_t bytes, bool writes, const char *what)
{
    const uint64_t at = (uint64_t)address;
    return writes ? cudasim::host_writes(at, bytes, what) : cudasim::host_reads(at, bytes, what);
}

/** For the same: an access was refused while queued work ran. */
CUDASIM_API void cudasim_fault()
{
    cudasim::break_context(cudaErrorIllegalAddress);
}

/** For the same: why no call can succeed, or success. */
CUDASIM_API cudaError_t cudasim_usable()
{
    const std::lock_guard<std::recursive_mutex> locked(cudasim::runtime_lock());
    return cudasim::usable();
}
