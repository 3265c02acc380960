/** tests/cudasim/sim/memory.cc: device memory: allocation, quarantine, and accesses of the host. */
#include "tests/cudasim/sim/memory.h"

#include <deque>
#include <map>

#include <sys/mman.h>

namespace cudasim
{

namespace
{

const size_t margin = 256; /* bytes before and after a block that belong to nobody */
const size_t quarantine_limit = (size_t)256 << 20;
const u64 near_by = 1024; /* what misses a block by no more is an overrun of it */

size_t environment_number(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, nullptr, 0) : otherwise;
}

struct Heap {
    std::map<u64, Allocation *> blocks; /* by begin, living and freed */
    std::deque<Allocation *> quarantine;
    size_t quarantined = 0, used = 0, alive = 0;
    size_t capacity = environment_number("CUDASIM_MEMORY", (size_t)8 << 30);
    Allocation *last = nullptr; /* found last */
};

Heap &heap()
{
    static Heap *instance = new Heap; /* never destroyed: programs free memory while they exit */
    return *instance;
}

size_t storage_size(size_t bytes)
{
    return (bytes + 2 * margin + 4095) / 4096 * 4096;
}

/** Pages of their own: far from what the host allocates, so that its pointers are not near any block. */
Allocation *make_block(size_t bytes, bool valid)
{
    size_t words = (bytes + 3) / 4;
    void *pages = mmap(nullptr, storage_size(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    u8 *known = pages == MAP_FAILED ? nullptr : (u8 *)calloc(words + 1, 1);
    if (!known) {
        if (pages != MAP_FAILED)
            munmap(pages, storage_size(bytes));
        return nullptr;
    }
    auto *block = new Allocation;
    block->storage = (u8 *)pages;
    block->region.valid = known;
    memset(block->storage, 0xCB, bytes + 2 * margin);
    block->region.base = block->storage + margin;
    block->region.size = bytes;
    if (valid)
        memset(block->region.valid, 15, words);
    block->begin = (u64)block->region.base;
    block->end = block->begin + bytes;
    heap().blocks[block->begin] = block;
    return block;
}

void forget(Allocation *block)
{
    Heap &h = heap();
    h.blocks.erase(block->begin);
    if (h.last == block)
        h.last = nullptr;
    munmap(block->storage, storage_size(block->region.size));
    free(block->region.valid);
    delete block;
}

/** The block that holds all of the range; NULL after a report. */
Allocation *checked_range(u64 address, size_t bytes, const char *what)
{
    Allocation *block = find_allocation(address);
    if (block && !block->freed && bytes <= block->end - address)
        return block;
    const char *why = !block ? "not device memory" : block->freed ? "freed memory" : "past the end of the allocation";
    report_host("%s of %zu bytes at %#llx: %s", what, bytes, (unsigned long long)address, why);
    return nullptr;
}

} // namespace

int check_level = (int)environment_number("CUDASIM_CHECK", 3);

void Region::make_shadow()
{
    if (!shadow && check_level >= 3)
        shadow = (Shadow *)calloc((size >> shift) + 1, sizeof *shadow);
}

void Region::refine(int new_shift)
{
    if (new_shift >= shift)
        return;
    Shadow *coarse = shadow;
    int factor = shift - new_shift;
    u64 units = size >> new_shift;
    shadow = nullptr;
    shift = (u8)new_shift;
    if (!coarse)
        return;
    make_shadow();
    for (u64 i = 0; shadow && i < units; i++)
        if (coarse[i >> factor].wrote || coarse[i >> factor].read) /* keeps untouched pages untouched */
            shadow[i] = coarse[i >> factor];
    free(coarse);
}

void Region::drop_shadow()
{
    free(shadow);
    shadow = nullptr;
}

Allocation *find_allocation(u64 address)
{
    Heap &h = heap();
    if (h.last && address >= h.last->begin && address < h.last->end)
        return h.last;
    auto next = h.blocks.upper_bound(address);
    if (next == h.blocks.begin())
        return nullptr;
    Allocation *block = std::prev(next)->second;
    if (address >= block->end)
        return nullptr;
    return h.last = block;
}

Allocation *nearest_allocation(u64 address)
{
    Heap &h = heap();
    auto next = h.blocks.upper_bound(address);
    Allocation *before = next != h.blocks.begin() ? std::prev(next)->second : nullptr;
    Allocation *after = next != h.blocks.end() ? next->second : nullptr;
    u64 over = before ? address - before->end : ~0ull, under = after ? after->begin - address : ~0ull;
    if (std::min(over, under) > near_by)
        return nullptr;
    return over <= under ? before : after;
}

u64 allocate(size_t bytes, bool host)
{
    Heap &h = heap();
    if (!host && (bytes > h.capacity || h.used > h.capacity - bytes))
        return 0;
    Allocation *block = make_block(bytes, host);
    if (!block)
        return 0;
    block->host = host;
    h.alive++;
    if (!host)
        h.used += bytes;
    return block->begin;
}

u64 allocate_variable(size_t bytes)
{
    Allocation *block = make_block(bytes, true);
    if (!block)
        return 0;
    block->variable = true;
    memset(block->region.base, 0, bytes);
    return block->begin;
}

bool release(u64 address)
{
    Heap &h = heap();
    auto found = h.blocks.find(address);
    if (found == h.blocks.end() || found->second->freed || found->second->variable) {
        bool twice = found != h.blocks.end() && found->second->freed;
        report_host("%s of %#llx", twice ? "double free" : "free of what is not a block's address",
                    (unsigned long long)address);
        return false;
    }
    Allocation *block = found->second;
    block->freed = true;
    block->region.drop_shadow();
    memset(block->region.base, 0xDD, block->region.size);
    h.alive--;
    if (!block->host)
        h.used -= block->region.size;
    h.quarantine.push_back(block);
    h.quarantined += block->region.size;
    while (h.quarantined > quarantine_limit) {
        Allocation *oldest = h.quarantine.front();
        h.quarantine.pop_front();
        h.quarantined -= oldest->region.size;
        forget(oldest);
    }
    return true;
}

Where where_is(u64 address, u64 *begin, u64 *end)
{
    Allocation *block = find_allocation(address);
    if (begin)
        *begin = block ? block->begin : 0;
    if (end)
        *end = block ? block->end : 0;
    if (!block)
        return Where::none;
    return block->freed ? Where::freed : block->host ? Where::host : Where::device;
}

bool host_reads(u64 address, size_t bytes, const char *what)
{
    if (!bytes)
        return true;
    Allocation *block = checked_range(address, bytes, what);
    if (!block)
        return false;
    u64 begin = address - block->begin;
    for (u64 i = begin; check_level >= 2 && i < begin + bytes; i++) {
        if (i % 4 == 0 && i + 4 <= begin + bytes && block->region.valid[i / 4] == 15) {
            i += 3;
        } else if (!(block->region.valid[i / 4] >> (i & 3) & 1)) {
            report_host("%s reads uninitialised device memory: byte %llu of %zu", what, (unsigned long long)(i - begin),
                        bytes);
            return false;
        }
    }
    return true;
}

bool host_writes(u64 address, size_t bytes, const char *what)
{
    if (!bytes)
        return true;
    Allocation *block = checked_range(address, bytes, what);
    if (!block)
        return false;
    u64 i = address - block->begin, end = i + bytes;
    for (; i < end && i % 4; i++)
        block->region.valid[i / 4] |= (u8)(1 << (i & 3));
    if (i < end)
        memset(block->region.valid + i / 4, 15, (end - i) / 4);
    for (i = std::max(i, end / 4 * 4); i < end; i++)
        block->region.valid[i / 4] |= (u8)(1 << (i & 3));
    return true;
}

size_t memory_used()
{
    return heap().used;
}

size_t memory_capacity()
{
    return heap().capacity;
}

size_t blocks_alive()
{
    return heap().alive;
}

} // namespace cudasim
