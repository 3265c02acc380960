// Elements of matrices by type, and the checks of whole matrices.
#include <cmath>
#include <cstring>

#include "lt.h"

namespace lt
{
namespace
{

uint32_t bits_of(float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

float float_of(uint32_t bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/** To the nearest value without the lowest bits, ties to even; infinities and NaNs stay. */
float round_off(float value, int bits)
{
    if (!std::isfinite(value))
        return value;
    const uint32_t u = bits_of(value), last = 1u << bits;
    return float_of((u + (last / 2 - 1) + (u >> bits & 1)) & ~(last - 1));
}

template <class T> T read(const void *at)
{
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

template <class T> void write(void *at, T value)
{
    std::memcpy(at, &value, sizeof value);
}

} // namespace

float round_tf32(float value)
{
    return round_off(value, 13);
}

float round_bf16(float value)
{
    return round_off(value, 16);
}

size_t size_of(int type)
{
    return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : type == CUDA_R_16BF ? 2 : 0;
}

double load(int type, const void *at)
{
    if (type == CUDA_R_64F)
        return read<double>(at);
    if (type == CUDA_R_32F)
        return (double)read<float>(at);
    return (double)float_of((uint32_t)read<uint16_t>(at) << 16);
}

void store(int type, void *at, double value)
{
    if (type == CUDA_R_64F)
        write(at, value);
    else if (type == CUDA_R_32F)
        write(at, (float)value);
    else
        write(at, std::isnan(value) ? (uint16_t)0x7fff : (uint16_t)(bits_of(round_bf16((float)value)) >> 16));
}

bool check_matrix(const Layout &layout, const char *at, bool writes, const char *what)
{
    const bool columns = layout.order == CUBLASLT_ORDER_COL;
    const int64_t lines = (int64_t)(columns ? layout.cols : layout.rows);
    const size_t bytes = (size_t)(columns ? layout.rows : layout.cols) * size_of((int)layout.type);
    for (int64_t line = 0; line < lines; line++)
        if (!cudasim_check(at + offset(layout, columns ? 0 : line, columns ? line : 0), bytes, writes, what))
            return false;
    return true;
}

} // namespace lt
