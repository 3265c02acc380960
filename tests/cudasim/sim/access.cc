/** tests/cudasim/sim/access.cc: loads and stores, and the checks of every access to memory. */
#include "tests/cudasim/sim/access.h"

namespace cudasim
{

namespace
{

const char *name_of(Touch touch)
{
    return touch == Touch::read ? "read" : touch == Touch::write ? "write" : "atomic";
}

using Long = unsigned long long; /* for printf */

/* --- whole rules -------------------------------------------------------------------------------------------------- */

/** Validity and races of bytes that lie within a region. false: they belong to no object. */
bool check_bytes(Warp &w, const Instruction &in, int lane, Region &r, u64 offset, u32 bytes, Touch touch,
                 const void *value, const char *space)
{
    const bool write = touch != Touch::read, read = touch != Touch::write;
    for (u32 i = 0; i < bytes; i += 4) {
        u64 word = (offset + i) / 4;
        u8 mask = r.mask_of(offset + i, std::min(bytes - i, 4u));
        if (r.valid[word] >> 4 & mask)
            return false;
        if (read && check_level >= 2 && (r.valid[word] & mask) != mask)
            report(w, in, lane, "uninitialised %s read: byte %llu of %llu", space, (Long)(offset + i), (Long)r.size);
    }
    r.make_shadow();
    if (r.shadow) {
        if (bytes < 4)
            r.refine(bytes == 2 ? 1 : 0);
        const bool strong = in.strong || touch == Touch::update;
        const u32 unit = std::min(1u << r.shift, bytes);
        for (u32 i = 0; i < bytes; i += unit) {
            u64 at = offset + i;
            bool known = (r.valid[at / 4] & r.mask_of(at, unit)) == r.mask_of(at, unit);
            bool same = touch == Touch::write && value && known && !memcmp(r.base + at, (const u8 *)value + i, unit);
            check_race(w, in, lane, r.shadow[at >> r.shift], write, strong, same, space);
        }
    }
    for (u32 i = 0; write && i < bytes; i += 4)
        r.valid[(offset + i) / 4] |= r.mask_of(offset + i, std::min(bytes - i, 4u));
    return true;
}

u8 *check_shared(Warp &w, const Instruction &in, int lane, u64 offset, u32 bytes, Touch touch, const void *value)
{
    Region &r = w.block->shared;
    if (offset % bytes) {
        report(w, in, lane, "misaligned shared %s of %u bytes at offset %llu", name_of(touch), bytes, (Long)offset);
        return nullptr;
    }
    bool inside = offset < r.size && bytes <= r.size - offset;
    if (!inside || !check_bytes(w, in, lane, r, offset, bytes, touch, value, "shared")) {
        report(w, in, lane, "shared %s out of bounds: %u bytes at offset %llu", name_of(touch), bytes, (Long)offset);
        return nullptr;
    }
    return r.base + offset;
}

void report_outside(Warp &w, const Instruction &in, int lane, u64 address, u32 bytes, Touch touch)
{
    const Allocation *found = find_allocation(address), *near_it = found ? found : nearest_allocation(address);
    const char *what = name_of(touch);
    if (found && found->freed)
        report(w, in, lane, "global %s of freed memory: %u bytes at byte %lld of a block of %llu", what, bytes,
               (long long)(address - found->begin), (Long)found->region.size);
    else if (near_it)
        report(w, in, lane, "global %s out of bounds: %u bytes at byte %lld of a block of %llu", what, bytes,
               (long long)(address - near_it->begin), (Long)near_it->region.size);
    else
        report(w, in, lane, "global %s of no block: %u bytes at %#llx (a host pointer or null?)", what, bytes,
               (Long)address);
}

u8 *check_global(Warp &w, const Instruction &in, int lane, u64 address, u32 bytes, Touch touch, const void *value)
{
    if (address % bytes) {
        report(w, in, lane, "misaligned global %s of %u bytes at %#llx", name_of(touch), bytes, (Long)address);
        return nullptr;
    }
    if (!check_level)
        return (u8 *)address;
    Allocation *block = find_allocation(address);
    if (!block || block->freed || bytes > block->end - address) {
        report_outside(w, in, lane, address, bytes, touch);
        return nullptr;
    }
    check_bytes(w, in, lane, block->region, address - block->begin, bytes, touch, value, "global");
    return (u8 *)address;
}

/** An address in the lane's own part of local or parameter memory, of this call or one around it. */
bool in_frames(Warp &w, int lane, u64 address, u32 bytes)
{
    for (Frame *f = w.frame; f; f = f->caller) {
        u64 local = address - (u64)f->local_of(lane), param = address - (u64)f->params_of(lane);
        if (local < f->function->local_bytes && bytes <= f->function->local_bytes - local)
            return true;
        if (param < f->function->frame_params && bytes <= f->function->frame_params - param)
            return true;
    }
    return false;
}

bool in_launch_params(const Warp &w, u64 address, u32 bytes)
{
    u64 offset = address - (u64)w.block->params, size = w.block->kernel->param_bytes;
    return offset < size && bytes <= size - offset;
}

u8 *check_own(Warp &w, const Instruction &in, int lane, u64 address, u32 bytes, Touch touch, const char *space)
{
    bool right = in_frames(w, lane, address, bytes) || (touch == Touch::read && in_launch_params(w, address, bytes));
    if (!right || address % bytes) {
        report(w, in, lane, right ? "misaligned %s %s of %u bytes" : "%s %s out of bounds: %u bytes", space,
               name_of(touch), bytes);
        return nullptr;
    }
    return (u8 *)address;
}

u8 *check_generic(Warp &w, const Instruction &in, int lane, u64 address, u32 bytes, Touch touch, const void *value)
{
    u64 shared = address - (u64)w.block->shared.base;
    if (shared < w.block->shared.size)
        return check_shared(w, in, lane, shared, bytes, touch, value);
    if (in_frames(w, lane, address, 1))
        return check_own(w, in, lane, address, bytes, touch, "local");
    if (touch == Touch::read && in_launch_params(w, address, bytes))
        return (u8 *)address;
    return check_global(w, in, lane, address, bytes, touch, value);
}

/* --- plain cases, a warp at a time -------------------------------------------------------------------------------- */

/** Where most accesses of one instruction lie, with all that is the same for its lanes at hand; size 0: nowhere, so
 * that each lane takes the whole rules. */
struct Window {
    u8 *base = nullptr, *valid = nullptr;
    Shadow *shadow = nullptr;
    u64 origin = 0, size = 0; /* address of its first byte */
    int shift = 2;
    Accessor who;

    Window(Warp &w, const Instruction &in, u64 address) : who{(u16)(w.id * 32), (u16)w.syncs, epochs}
    {
        Region *region = nullptr;
        if (in.strong || !check_level)
            return;
        if (in.space == Space::shared) {
            region = &w.block->shared;
        } else if (in.space == Space::global || in.space == Space::generic) {
            Allocation *block = find_allocation(address);
            if (!block || block->freed)
                return;
            region = &block->region;
            origin = block->begin;
        } else {
            return;
        }
        region->make_shadow();
        base = region->base;
        valid = region->valid;
        shadow = region->shadow;
        shift = region->shift;
        size = region->size;
    }
};

/** true: the access is plainly right, and noted. `shift`: of the shadow. */
template <int bytes, bool write, int shift>
__attribute__((always_inline)) inline bool plain(const Window &window, u64 offset, int lane)
{
    u8 *valid = window.valid + offset / 4;
    constexpr int words = bytes < 4 ? 1 : bytes / 4;
    const u8 mask = bytes < 4 ? (u8)(((1 << bytes) - 1) << (offset & 3)) : (u8)15;
    for (int k = 0; k < words; k++)
        if (write ? valid[k] >> 4 & mask : (valid[k] & mask) != mask)
            return false;
    if (window.shadow) {
        if (bytes < 1 << shift)
            return false;
        Shadow *s = window.shadow + (offset >> shift);
        const u16 thread = (u16)(window.who.first_thread + lane);
        for (int k = 0; k < bytes >> shift; k++)
            if (!(write ? note_write(s[k], window.who, thread) : note_read(s[k], window.who, thread)))
                return false;
    }
    for (int k = 0; write && k < words; k++)
        valid[k] |= mask;
    return true;
}

/** Where a lane may touch memory, plainly or by the whole rules; NULL after a report. */
template <int bytes, bool write, int shift>
__attribute__((always_inline)) inline u8 *touch_lane(Warp &w, const Instruction &in, const Window &window, int lane,
                                                     u64 address, const void *value, bool *plainly)
{
    u64 offset = address - window.origin;
    *plainly = offset < window.size && bytes <= window.size - offset && !(address & (bytes - 1)) &&
               plain<bytes, write, shift>(window, offset, lane);
    if (*plainly)
        return window.base + offset;
    return check_access(w, in, in.space, lane, address, bytes, write ? Touch::write : Touch::read, value);
}

template <int size> inline u64 load_bytes(const u8 *p)
{
    if constexpr (size == 8) {
        u64 x;
        memcpy(&x, p, 8);
        return x;
    } else {
        u32 x = 0;
        memcpy(&x, p, size);
        return x;
    }
}

inline u64 extended(u64 value, int bytes)
{
    int unused = 64 - 8 * bytes;
    return (u64)((s64)(value << unused) >> unused);
}

template <int size, int count, int shift>
void load_lanes(Warp &w, const Instruction &in, u32 mask, const u64 *addresses, const Window window)
{
    constexpr int bytes = size * count;
    const bool wide = size == 8 || in.wide == 8, extend = in.extend;
    u8 *rows[count];
    for (int k = 0; k < count; k++)
        rows[k] = w.frame->registers + in.v[k];
    const u8 *p = nullptr;
    u64 last = ~0ull;
    int times = 0; /* that lanes in a row read `last` plainly: the first two leave all marks that more would */
    for (u32 rest = mask; rest; rest &= rest - 1) {
        const int i = first_lane(rest);
        if (addresses[i] != last || times < 2) {
            bool plainly;
            p = touch_lane<bytes, false, shift>(w, in, window, i, addresses[i], nullptr, &plainly);
            times = !plainly ? 0 : addresses[i] == last ? times + 1 : 1;
            last = addresses[i];
        }
        for (int k = 0; k < count; k++) {
            u64 x = p ? load_bytes<size>(p + size * k) : 0;
            if (size < 8 && extend)
                x = extended(x, size);
            if (wide)
                ((u64 *)rows[k])[i] = x;
            else
                ((u32 *)rows[k])[i] = (u32)x;
        }
        if (in.strong)
            sync_acquire(w.id * 32 + (u32)i, addresses[i]);
    }
}

template <int size, int count, int shift>
void store_lanes(Warp &w, const Instruction &in, u32 mask, const u64 *addresses, const Window window)
{
    constexpr int bytes = size * count;
    for (u32 rest = mask; rest; rest &= rest - 1) {
        const int i = first_lane(rest);
        u8 value[bytes];
        for (int k = 0; k < count; k++) {
            if constexpr (size == 8)
                memcpy(value + 8 * k, &source<u64>(w, in.v[k])[i], 8);
            else if (in.wide == 8)
                memcpy(value + size * k, &source<u64>(w, in.v[k])[i], size);
            else
                memcpy(value + size * k, &source<u32>(w, in.v[k])[i], size);
        }
        if (in.strong)
            sync_release(w.id * 32 + (u32)i, addresses[i], in.release);
        bool plainly;
        u8 *p = touch_lane<bytes, true, shift>(w, in, window, i, addresses[i], value, &plainly);
        if (p)
            memcpy(p, value, bytes);
    }
}

template <int size, int count, bool write> void access_lanes(Warp &w, const Instruction &in, u32 mask)
{
    u64 addresses[32];
    lane_addresses(w, in, addresses);
    count_request(w, in, addresses, mask, size * count);
    const Window window(w, in, addresses[first_lane(mask)]);
    constexpr auto of_words = write ? store_lanes<size, count, 2> : load_lanes<size, count, 2>;
    constexpr auto of_halves = write ? store_lanes<size, count, 1> : load_lanes<size, count, 1>;
    constexpr auto of_bytes = write ? store_lanes<size, count, 0> : load_lanes<size, count, 0>;
    (window.shift == 2 ? of_words : window.shift == 1 ? of_halves : of_bytes)(w, in, mask, addresses, window);
}

/** The launch's parameters are the same for all lanes. */
void load_entry(Warp &w, const Instruction &in, u32 mask)
{
    const u8 *p = w.block->params + in.imm;
    for (int k = 0; k < in.count; k++, p += in.bytes) {
        u64 x = 0;
        memcpy(&x, p, in.bytes);
        if (in.extend)
            x = extended(x, in.bytes);
        for (int i = 0; i < 32; i++)
            if (has_lane(mask, i))
                store_lane(w, in.v[k], in.wide, i, x);
    }
}

void nothing(Warp &, const Instruction &, u32)
{
}

/* --- decoders ----------------------------------------------------------------------------------------------------- */

template <bool write, int size> Handler handler_of_size(int count)
{
    switch (count) {
    case 1:
        return access_lanes<size, 1, write>;
    case 2:
        return access_lanes<size, 2, write>;
    case 4:
        return access_lanes<size, 4, write>;
    case 8:
        return size <= 4 ? (access_lanes<size, 8, write>) : nullptr;
    default:
        return nullptr;
    }
}

template <bool write> Handler handler_of(int size, int count)
{
    return size == 1   ? handler_of_size<write, 1>(count)
           : size == 2 ? handler_of_size<write, 2>(count)
           : size == 4 ? handler_of_size<write, 4>(count)
                       : handler_of_size<write, 8>(count);
}

void decode_access(Decoder &d, Instruction &in)
{
    if (d.operands.size() != 2 || d.type == Type::none || d.has("unified"))
        d.fail();
    in.space = d.space();
    in.bytes = (u8)size_of(d.type);
    d.memory_order(in);
    if (in.space == Space::shared || in.space == Space::local || in.space == Space::param)
        in.release = in.acquire = false;
}

void decode_ld(Decoder &d, Instruction &in)
{
    decode_access(d, in);
    in.extend = is_signed(d.type);
    d.address(in, 1);
    const Operand &to = d.operands[0];
    std::vector<Operand> parts = to.kind == OperandKind::vector ? to.parts : std::vector<Operand>{to};
    in.count = (u8)parts.size();
    for (size_t k = 0; k < parts.size() && k < 8; k++) {
        if (parts[k].kind == OperandKind::sink) {
            in.v[k] = (int)d.function.register_bytes;
            d.function.register_bytes += 256;
            in.wide = in.wide == 8 || in.bytes == 8 ? 8 : 4;
            continue;
        }
        if (parts[k].kind != OperandKind::reg || (parts[k].row & 3))
            d.fail("destination");
        in.v[k] = parts[k].row;
        in.wide = (u8)parts[k].wide;
    }
    if (in.bytes == 8 && in.wide != 8)
        d.fail("a narrow destination");
    in.run = handler_of<false>(in.bytes, in.count);
    if (in.base == Base::entry) {
        if (in.imm < 0 || in.imm + in.bytes * in.count > (s64)d.function.param_bytes)
            d.fail("past the end of the parameters");
        in.run = load_entry;
    }
    if (!in.run)
        d.fail();
}

void decode_st(Decoder &d, Instruction &in)
{
    decode_access(d, in);
    d.address(in, 0);
    const Operand &from = d.operands[1];
    std::vector<Operand> parts = from.kind == OperandKind::vector ? from.parts : std::vector<Operand>{from};
    in.count = (u8)parts.size();
    in.wide = in.bytes == 8 ? 8 : 4;
    for (size_t k = 0; k < parts.size() && k < 8; k++) {
        in.v[k] = d.low_row_of(parts[k], d.type);
        if (parts[k].kind == OperandKind::reg)
            in.wide = (u8)parts[k].wide;
    }
    in.run = handler_of<true>(in.bytes, in.count);
    if (!in.run || in.base == Base::entry || in.space == Space::constant)
        d.fail();
}

void decode_hint(Decoder &, Instruction &in)
{
    in.run = nothing;
}

void fence(Warp &w, const Instruction &in, u32 mask)
{
    for (int i = 0; i < 32; i++)
        if (has_lane(mask, i) && in.mode)
            sync_fence(w.id * 32 + (u32)i);
}

/** mode: 1 where it orders accesses for other blocks. A fence of the block alone does not. */
void decode_fence(Decoder &d, Instruction &in)
{
    if (d.has("proxy"))
        d.fail();
    in.mode = !d.has("cta");
    in.run = fence;
}

} // namespace

void lane_addresses(Warp &w, const Instruction &in, u64 addresses[32])
{
    switch (in.base) {
    case Base::wide: {
        auto *a = source<u64>(w, in.a);
        for (int i = 0; i < 32; i++)
            addresses[i] = a[i] + (u64)in.imm;
        break;
    }
    case Base::narrow: {
        auto *a = source<u32>(w, in.a);
        for (int i = 0; i < 32; i++)
            addresses[i] = (u32)(a[i] + (u32)in.imm);
        break;
    }
    case Base::local:
        for (int i = 0; i < 32; i++)
            addresses[i] = (u64)w.frame->local_of(i) + (u64)in.imm;
        break;
    case Base::param:
        for (int i = 0; i < 32; i++)
            addresses[i] = (u64)w.frame->params_of(i) + (u64)in.imm;
        break;
    default: {
        u64 base = in.base == Base::entry ? (u64)w.block->params : 0;
        for (int i = 0; i < 32; i++)
            addresses[i] = base + (u64)in.imm;
    }
    }
}

u8 *check_access(Warp &w, const Instruction &in, Space space, int lane, u64 address, u32 bytes, Touch touch,
                 const void *value)
{
    switch (space) {
    case Space::shared:
        return check_shared(w, in, lane, address, bytes, touch, value);
    case Space::local:
        return check_own(w, in, lane, address, bytes, touch, "local");
    case Space::param:
        return check_own(w, in, lane, address, bytes, touch, "parameter");
    case Space::generic:
        return check_generic(w, in, lane, address, bytes, touch, value);
    default:
        return check_global(w, in, lane, address, bytes, touch, value);
    }
}

const Opcode access_opcodes[] = {{"ld", decode_ld},         {"ldu", decode_ld},         {"st", decode_st},
                                 {"prefetch", decode_hint}, {"prefetchu", decode_hint}, {"membar", decode_fence},
                                 {"fence", decode_fence},   {"nanosleep", decode_hint}, {"griddepcontrol", decode_hint},
                                 {nullptr, nullptr}};

} // namespace cudasim
