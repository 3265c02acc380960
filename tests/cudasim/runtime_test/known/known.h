/** tests/cudasim/runtime_test/known/known.h: kernels with known answers. A check compares what a kernel left with what
 * the host computes in double; the tolerance is stated with each. */
#ifndef CUDASIM_KNOWN_H
#define CUDASIM_KNOWN_H

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

/** Ends the program when a call fails. */
inline void must(cudaError_t error)
{
    if (error == cudaSuccess)
        return;
    std::printf("%s: %s\n", cudaGetErrorName(error), cudaGetErrorString(error));
    std::exit(2);
}

inline std::map<std::string, void (*)()> &known()
{
    static std::map<std::string, void (*)()> all;
    return all;
}

struct Known {
    Known(const char *name, void (*run)())
    {
        known()[name] = run;
    }
};

/** Begins the body of a check. */
#define KNOWN(name)                                       \
    static void check_##name();                           \
    static const Known known_##name(#name, check_##name); \
    static void check_##name()

/** An array on the device, freed at the end. */
template <class T> struct Device {
    T *at = nullptr;
    size_t count;

    explicit Device(size_t n) : count(n)
    {
        must(cudaMalloc((void **)&at, n * sizeof(T)));
    }
    explicit Device(const std::vector<T> &values) : Device(values.size())
    {
        must(cudaMemcpy(at, values.data(), count * sizeof(T), cudaMemcpyHostToDevice));
    }
    ~Device()
    {
        must(cudaFree(at));
    }
    Device(const Device &) = delete;
    std::vector<T> get() const
    {
        std::vector<T> values(count);
        must(cudaMemcpy(values.data(), at, count * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }
};

/** Values in -1..1, the same in every run. */
inline std::vector<float> numbers(size_t count, uint32_t seed = 1)
{
    std::vector<float> values(count);
    for (float &v : values) {
        seed = seed * 1664525u + 1013904223u;
        v = (float)(seed >> 8) * (2.0f / 16777216) - 1;
    }
    return values;
}

/** Ends the program when a value is further off than `tolerance` times 1 + |expected|. */
template <class T> void expect(const std::vector<T> &got, const std::vector<double> &expected, double tolerance)
{
    bool right = got.size() == expected.size();
    for (size_t i = 0; right && i < got.size(); i++) {
        const double off = std::fabs((double)got[i] - expected[i]);
        right = off <= tolerance * (1 + std::fabs(expected[i]));
        if (!right)
            std::printf("value %zu is %.9g, expected %.9g\n", i, (double)got[i], expected[i]);
    }
    if (!right)
        std::exit(1);
}

/** Of float arithmetic: some roundings of half a last bit, 2^-24 each. */
constexpr double kFew = 1e-6;
/** Of float sums of about a thousand terms. */
constexpr double kSum = 1e-5;

#endif
