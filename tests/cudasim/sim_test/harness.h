/** tests/cudasim/sim_test/harness.h: PTX text to launches, for tests of the simulator. */
#ifndef CUDASIM_HARNESS_H
#define CUDASIM_HARNESS_H

#include "tests/cudasim/sim/sim.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace cudasim_test
{

using cudasim::Dim;

template <class To, class From> To bits_as(From value)
{
    static_assert(sizeof(To) == sizeof(From), "same size");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

inline uint64_t f(float x) /* a float's bits */
{
    return bits_as<uint32_t>(x);
}

inline uint64_t d(double x)
{
    return bits_as<uint64_t>(x);
}

/** Device memory with a copy's worth of helpers; freed at the end. */
template <class T> struct Buffer {
    uint64_t address;
    size_t count;

    explicit Buffer(size_t n) : address(cudasim::allocate(n * sizeof(T), false)), count(n)
    {
    }
    Buffer(const std::vector<T> &values) : Buffer(values.size())
    {
        set(values);
    }
    Buffer(const Buffer &) = delete;
    ~Buffer()
    {
        cudasim::release(address);
    }
    void set(const std::vector<T> &values)
    {
        ASSERT_TRUE(cudasim::host_writes(address, values.size() * sizeof(T), "test"));
        memcpy((void *)address, values.data(), values.size() * sizeof(T));
    }
    std::vector<T> get() const
    {
        EXPECT_TRUE(cudasim::host_reads(address, count * sizeof(T), "test"));
        return std::vector<T>((T *)address, (T *)address + count);
    }
};

/** A module made of `text`, which begins behind the header lines. */
cudasim::Module *load(const std::string &text);

/** An entry `k` with a body and 64-bit parameters p0, p1, ... that are loaded into %a0, %a1, ...; the registers of all
 * kinds that `body` uses are declared: %p, %h (16 bits), %r, %f, %l (64 bits), %d. `before` stands before the entry. */
std::string entry(const std::string &body, int parameters, const std::string &before = "");

/** Runs entry(body) with these parameters. Returns the reports that it caused. */
std::vector<std::string> run(const std::string &body, Dim grid, Dim block, const std::vector<uint64_t> &parameters,
                             const std::string &before = "", size_t dynamic_shared = 0);
std::vector<std::string> run_module(cudasim::Module *module, const char *kernel, Dim grid, Dim block,
                                    const std::vector<uint64_t> &parameters, size_t dynamic_shared = 0);

/** There is one report at least, and each of `parts` is in the first. */
void expect_report(const std::vector<std::string> &reports, const std::vector<std::string> &parts);
void expect_silence(const std::vector<std::string> &reports);

/** One line of a table: an opcode with its operands' kinds, their values, and the bits of the result.
 *  Kinds: the result's, then the sources': h 16 bits, r 32 bits, l 64 bits, p predicate. Behind a | in the opcode:
 * further operands as they are written. */
struct Case {
    const char *opcode, *kinds;
    std::vector<uint64_t> sources;
    uint64_t result;
};

/** Runs every line by a full warp and by one that is not, and compares all lanes. */
void check_table(const std::vector<Case> &table);

} // namespace cudasim_test

#endif
