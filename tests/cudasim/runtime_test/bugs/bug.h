/** tests/cudasim/runtime_test/bugs/bug.h: planted bugs. Each is a function template; with wrong = false it is the
 * correct twin. A comment, which bugs_test.cc reads, says what is to be reported: `planted NAME: REGEX` ends the line
 * that a report must name, with the kernel; `planted in the kernel NAME: REGEX` where the line may be another, as of
 * an intrinsic in CUDA's headers; `planted on the host NAME: REGEX` where only the text counts. */
#ifndef CUDASIM_BUG_H
#define CUDASIM_BUG_H

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

struct Bug {
    void (*wrong)();
    void (*right)();
};

inline std::map<std::string, Bug> &bugs()
{
    static std::map<std::string, Bug> all;
    return all;
}

struct Planted {
    Planted(const char *name, Bug bug)
    {
        bugs()[name] = bug;
    }
};

/** Registers the host function template `run_<name>`. */
#define BUG(name) static const Planted planted_##name(#name, {run_##name<true>, run_##name<false>})

/** An array on the device; its memory is not initialised. */
template <class T> struct Device {
    T *at = nullptr;
    size_t count;

    explicit Device(size_t n) : count(n)
    {
        cudaMalloc((void **)&at, n * sizeof(T));
    }
    ~Device()
    {
        cudaFree(at);
    }
    Device(const Device &) = delete;
    void zero()
    {
        cudaMemset(at, 0, count * sizeof(T));
    }
};

template <class T> struct Zeroed : Device<T> {
    explicit Zeroed(size_t n) : Device<T>(n)
    {
        this->zero();
    }
};

#endif
