/** tests/cudasim/sim/lanes.h: loops over the 32 lanes of a warp, whole vectors where all lanes take part. */
#ifndef CUDASIM_LANES_H
#define CUDASIM_LANES_H

#include "tests/cudasim/sim/program.h"

#include <type_traits>

#ifdef __clang__
#define CUDASIM_VECTORIZE _Pragma("clang loop vectorize(assume_safety)")
#else
#define CUDASIM_VECTORIZE _Pragma("GCC ivdep")
#endif

namespace cudasim
{

const u32 all_lanes = ~0u;

inline bool has_lane(u32 mask, int lane)
{
    return mask >> lane & 1;
}

inline int first_lane(u32 mask)
{
    return __builtin_ctz(mask);
}

/** What a row holds of a type: types under 4 bytes lie zero-extended in 32 bits. */
template <class T> using Held = std::conditional_t<sizeof(T) < 4, u32, T>;

template <class T> const Held<T> *source(const Warp &w, int row)
{
    return (const Held<T> *)(w.tables[row & 3] + (row & ~3));
}

template <class T> Held<T> *target(Warp &w, int row)
{
    return (Held<T> *)(w.frame->registers + row);
}

template <class T> Held<T> held(T value)
{
    if constexpr (sizeof(T) < 4)
        return (u32)(std::make_unsigned_t<T>)value;
    else
        return value;
}

inline void set_predicate(Warp &w, int predicate, u32 value, u32 mask)
{
    if (predicate >= 0)
        w.predicates[predicate] = (w.predicates[predicate] & ~mask) | (value & mask);
}

/** Stores an integer of up to 64 bits to a row of 4 or 8 bytes a lane. */
inline void store_lane(Warp &w, int row, int wide, int lane, u64 value)
{
    if (wide == 8)
        target<u64>(w, row)[lane] = value;
    else
        target<u32>(w, row)[lane] = (u32)value;
}

inline u64 load_lane(const Warp &w, int row, int wide, int lane)
{
    return wide == 8 ? source<u64>(w, row)[lane] : source<u32>(w, row)[lane];
}

template <class D, class A, class F> void map_lanes(Warp &w, const Instruction &in, u32 mask, F f)
{
    auto *d = target<D>(w, in.d);
    auto *a = source<A>(w, in.a);
    if (mask == all_lanes) {
        CUDASIM_VECTORIZE
        for (int i = 0; i < 32; i++)
            d[i] = held<D>(f((A)a[i]));
    } else {
        for (int i = 0; i < 32; i++)
            if (has_lane(mask, i))
                d[i] = held<D>(f((A)a[i]));
    }
}

template <class D, class A, class B, class F> void map_lanes(Warp &w, const Instruction &in, u32 mask, F f)
{
    auto *d = target<D>(w, in.d);
    auto *a = source<A>(w, in.a);
    auto *b = source<B>(w, in.b);
    if (mask == all_lanes) {
        CUDASIM_VECTORIZE
        for (int i = 0; i < 32; i++)
            d[i] = held<D>(f((A)a[i], (B)b[i]));
    } else {
        for (int i = 0; i < 32; i++)
            if (has_lane(mask, i))
                d[i] = held<D>(f((A)a[i], (B)b[i]));
    }
}

template <class D, class A, class B, class C, class F> void map_lanes(Warp &w, const Instruction &in, u32 mask, F f)
{
    auto *d = target<D>(w, in.d);
    auto *a = source<A>(w, in.a);
    auto *b = source<B>(w, in.b);
    auto *c = source<C>(w, in.c);
    if (mask == all_lanes) {
        CUDASIM_VECTORIZE
        for (int i = 0; i < 32; i++)
            d[i] = held<D>(f((A)a[i], (B)b[i], (C)c[i]));
    } else {
        for (int i = 0; i < 32; i++)
            if (has_lane(mask, i))
                d[i] = held<D>(f((A)a[i], (B)b[i], (C)c[i]));
    }
}

/** Handlers from function objects: Op()(a), Op()(a, b), Op()(a, b, c). */
template <class Op, class D, class... Sources> void run_lanes(Warp &w, const Instruction &in, u32 mask)
{
    map_lanes<D, Sources...>(w, in, mask, Op());
}

} // namespace cudasim

#endif
