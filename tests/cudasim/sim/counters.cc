/** tests/cudasim/sim/counters.cc: what launches did: instructions, sectors of global and passes of shared memory. */
#include "tests/cudasim/sim/lanes.h"

#include <cstdio>
#include <set>

namespace cudasim
{

namespace
{

std::set<const Kernel *> &launched()
{
    static auto *instance = new std::set<const Kernel *>; /* never destroyed: it is written at exit */
    return *instance;
}

void add(Counters &to, const Counters &c)
{
    to.launches += c.launches;
    to.blocks += c.blocks;
    to.warp_instructions += c.warp_instructions;
    to.thread_instructions += c.thread_instructions;
    to.global_requests += c.global_requests;
    to.global_sectors += c.global_sectors;
    to.shared_requests += c.shared_requests;
    to.shared_passes += c.shared_passes;
    to.shared_conflicts += c.shared_conflicts;
    to.branches += c.branches;
    to.divergent_branches += c.divergent_branches;
    to.local_requests += c.local_requests;
    to.seconds += c.seconds;
}

void write_counters()
{
    FILE *file = fopen(getenv("CUDASIM_COUNT"), "w");
    if (!file)
        return;
    fputs("kernel\tlaunches\tblocks\twarp_instructions\tthread_instructions\tglobal_requests\tglobal_sectors\t"
          "shared_requests\tshared_passes\tshared_conflicts\tbranches\tdivergent_branches\tlocal_requests\tseconds\n",
          file);
    std::map<std::string, Counters> by_name;
    for (const Kernel *kernel : launched())
        add(by_name[kernel->name], kernel->counters);
    for (auto &entry : by_name) {
        const Counters &c = entry.second;
        const u64 values[] = {c.launches,         c.blocks,         c.warp_instructions,  c.thread_instructions,
                              c.global_requests,  c.global_sectors, c.shared_requests,    c.shared_passes,
                              c.shared_conflicts, c.branches,       c.divergent_branches, c.local_requests};
        fputs(entry.first.c_str(), file);
        for (u64 value : values)
            fprintf(file, "\t%llu", (unsigned long long)value);
        fprintf(file, "\t%.3f\n", c.seconds);
    }
    fclose(file);
}

/** Different sectors of 32 bytes that a warp's request touches. Addresses that ascend need only the last one. */
u64 count_sectors(const u64 *addresses, u32 mask, u32 bytes)
{
    u64 sectors[64], count = 0, last = 0;
    bool ascending = true;
    for (u32 rest = mask; rest; rest &= rest - 1) {
        u64 begin = addresses[first_lane(rest)] / 32, end = (addresses[first_lane(rest)] + bytes - 1) / 32;
        ascending = ascending && begin >= last;
        for (u64 sector = begin; sector <= end && count < 64; sector++) {
            bool known = count && sectors[count - 1] == sector;
            for (u64 k = 0; k < count && !ascending && !known; k++)
                known = sectors[k] == sector;
            if (!known)
                sectors[count++] = sector;
        }
        last = begin;
    }
    return count;
}

/** How often the 32 banks of 4 bytes are gone through: words of one bank that differ take turns. Wide accesses go in
 * parts of a half or a quarter warp, so that a part has at most 128 bytes: one pass each without conflicts. */
void count_passes(Counters &c, const u64 *addresses, u32 mask, u32 bytes)
{
    const int words = bytes < 4 ? 1 : (int)bytes / 4, lanes = 32 / words;
    for (int first = 0; first < 32; first += lanes) {
        u64 seen[32];
        u8 banks[32] = {};
        int count = 0, most = 0;
        for (int i = first; i < first + lanes; i++) {
            for (int k = 0; k < words && has_lane(mask, i); k++) {
                u64 word = addresses[i] / 4 + (u64)k;
                bool known = false;
                for (int j = count; j-- > 0 && !known;)
                    known = seen[j] == word;
                if (known || count == 32)
                    continue;
                seen[count++] = word;
                most = std::max<int>(most, ++banks[word & 31]);
            }
        }
        c.shared_passes += (u64)most;
        c.shared_conflicts += (u64)(most ? most - 1 : 0);
    }
}

/** All words of the lanes lie in 128 bytes: each bank has one word. */
bool one_pass(const u64 *addresses, u32 mask)
{
    const u32 first = (u32)addresses[first_lane(mask)] / 4; /* shared addresses have 32 bits */
    u32 least = first, most = first;
    for (int i = 0; i < 32; i++) {
        u32 word = mask >> i & 1 ? (u32)addresses[i] / 4 : first;
        least = std::min(least, word);
        most = std::max(most, word);
    }
    return most - least < 32;
}

/** All lanes, one after another in memory. */
bool in_a_row(const u64 *addresses, u32 mask, u32 bytes)
{
    u64 differences = mask ^ all_lanes;
    for (u32 i = 1; i < 32; i++)
        differences |= (addresses[i] - addresses[0]) ^ (i * bytes);
    return !differences;
}

} // namespace

void count_request(Warp &w, const Instruction &in, const u64 *addresses, u32 mask, u32 bytes)
{
    Counters &c = w.block->kernel->counters;
    switch (in.space) {
    case Space::shared:
        c.shared_requests++;
        if (bytes <= 4 && one_pass(addresses, mask))
            c.shared_passes++;
        else
            count_passes(c, addresses, mask, bytes);
        break;
    case Space::local:
        c.local_requests++;
        break;
    case Space::global:
    case Space::generic:
        c.global_requests++;
        c.global_sectors += in_a_row(addresses, mask, bytes) ? (addresses[31] + bytes - 1) / 32 - addresses[0] / 32 + 1
                                                             : count_sectors(addresses, mask, bytes);
        break;
    default:
        break;
    }
}

void note_launch(const Kernel *kernel)
{
    static const bool counting = [] {
        const char *file = getenv("CUDASIM_COUNT");
        return file && *file && atexit(write_counters) == 0;
    }();
    (void)counting;
    launched().insert(kernel);
}

Counters counters()
{
    Counters sum;
    for (const Kernel *kernel : launched())
        add(sum, kernel->counters);
    return sum;
}

Counters counters_of(const Kernel *kernel)
{
    return kernel->counters;
}

} // namespace cudasim
