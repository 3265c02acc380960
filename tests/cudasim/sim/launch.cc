/** tests/cudasim/sim/launch.cc: launches: their limits, their blocks one after another, and the barriers of a block. */
#include "tests/cudasim/sim/race.h"
#include "tests/cudasim/sim/run.h"

#include <chrono>
#include <set>

namespace cudasim
{

u64 instructions_done;

namespace
{

const u64 reports_of_launch = 1000; /* then it is stopped */

Ending ending = Ending::complete; /* of the last launch */

u64 instruction_budget()
{
    const char *text = getenv("CUDASIM_BUDGET");
    return text && *text ? strtoull(text, nullptr, 0) : 2000000000ull;
}

/* --- barriers ----------------------------------------------------------------------------------------------------- */

struct Waiting { /* at one barrier of the block */
    u32 lanes = 0, count = 0;
    int pc = -1;
    bool same_place = true;
    Warp *warp = nullptr;
    const Path *path = nullptr;
};

Waiting waiting_at(Block &b, u32 barrier)
{
    Waiting sum;
    for (Warp &w : b.warps)
        for (const Path &p : w.paths) {
            if (p.wait != Wait::barrier || p.barrier != barrier)
                continue;
            if (sum.path && (p.pc != sum.path->pc || p.frame->function != sum.path->frame->function))
                sum.same_place = false;
            sum.lanes += (u32)__builtin_popcount(p.mask);
            sum.count = std::max(sum.count, p.count);
            sum.warp = &w;
            sum.path = &p;
        }
    return sum;
}

/** bar.red: the answer of all predicates to all lanes. */
void reduce_predicates(Block &b, u32 barrier)
{
    u32 count = 0, lanes = 0;
    auto each = [&](auto f) {
        for (Warp &w : b.warps)
            for (const Path &p : w.paths)
                if (p.wait == Wait::barrier && p.barrier == barrier) {
                    w.enter(p.frame);
                    f(w, p, p.frame->function->code[p.pc]);
                }
    };
    each([&](Warp &w, const Path &p, const Instruction &in) {
        u32 predicate = in.mode >= barrier_count ? w.predicates[in.c] : 0;
        count += (u32)__builtin_popcount((in.negated ? ~predicate : predicate) & p.mask);
        lanes += (u32)__builtin_popcount(p.mask);
    });
    each([&](Warp &w, const Path &p, const Instruction &in) {
        if (in.mode == barrier_count) {
            for (int i = 0; i < 32; i++)
                if (has_lane(p.mask, i))
                    target<u32>(w, in.d)[i] = count;
        } else if (in.mode == barrier_and || in.mode == barrier_or) {
            bool yes = in.mode == barrier_and ? count == lanes : count != 0;
            set_predicate(w, in.d, yes ? all_lanes : 0, p.mask);
        }
    });
}

void open_barrier(Block &b, u32 barrier)
{
    reduce_predicates(b, barrier);
    for (Warp &w : b.warps)
        for (Path &p : w.paths)
            if (p.wait == Wait::barrier && p.barrier == barrier) {
                p.pc++;
                p.wait = Wait::no;
            }
    b.arrived[barrier] = 0;
    sync_barrier();
}

void report_barrier(const Waiting &at, const char *format, u32 lanes, u32 all)
{
    at.warp->enter(at.path->frame);
    const Instruction &in = at.path->frame->function->code[at.path->pc];
    report(*at.warp, in, first_lane(at.path->mask), format, lanes, all);
}

u32 living(const Block &b)
{
    u32 lanes = 0;
    for (const Warp &w : b.warps)
        lanes += (u32)__builtin_popcount(w.live);
    return lanes;
}

/** Opens the barriers that all have come to. `stuck`: nobody can run, so those that nobody else will come to open too.
 */
bool open_barriers(Block &b, bool stuck)
{
    bool opened = false;
    for (u32 barrier = 0; barrier < 16; barrier++) {
        Waiting at = waiting_at(b, barrier);
        if (!at.path)
            continue;
        u32 come = at.lanes + b.arrived[barrier];
        bool complete = at.count ? come >= at.count : come == b.thread_count;
        if (!complete && !(stuck && !opened))
            continue;
        if (!complete && at.count)
            report_barrier(at, "divergent barrier: %u of its %u threads come to it", come, at.count);
        else if (!complete)
            report_barrier(at, "divergent barrier: %u of %u threads come to it, others have exited or wait elsewhere",
                           come, b.thread_count);
        else if (!at.same_place && !at.count)
            report_barrier(at, "divergent barrier: threads of the block wait at different places (%u of %u)", come,
                           b.thread_count);
        open_barrier(b, barrier);
        opened = true;
    }
    return opened;
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

void run_block(Block &b, u64 *budget)
{
    while (living(b)) {
        bool running = false;
        for (Warp &w : b.warps) {
            if (w.live)
                running |= run_warp(w, budget);
            if (b.ending != Ending::complete)
                return;
        }
        if (!open_barriers(b, false) && !running && living(b))
            open_barriers(b, true);
    }
}

template <class T> void fill_row(Warp &w, int row, T value)
{
    auto *cells = (T *)(w.special.data() + row * 128);
    for (int i = 0; i < 32; i++)
        cells[i] = value;
}

void fill_special(Warp &w, const Block &b, Dim grid, size_t dynamic)
{
    auto row = [&](int r) { return (u32 *)(w.special.data() + r * 128); };
    const Dim &size = b.threads;
    for (u32 i = 0; i < 32; i++) {
        u32 t = w.id * 32 + i;
        row(row_tid_x)[i] = t % size.x;
        row(row_tid_y)[i] = t / size.x % size.y;
        row(row_tid_z)[i] = t / size.x / size.y;
        row(row_laneid)[i] = i;
        row(row_mask_eq)[i] = 1u << i;
        row(row_mask_lt)[i] = (1u << i) - 1;
        row(row_mask_le)[i] = (2u << i) - 1;
        row(row_mask_gt)[i] = ~((2u << i) - 1);
        row(row_mask_ge)[i] = ~((1u << i) - 1);
    }
    const u32 values[][2] = {{row_ntid_x, size.x},
                             {row_ntid_y, size.y},
                             {row_ntid_z, size.z},
                             {row_nctaid_x, grid.x},
                             {row_nctaid_y, grid.y},
                             {row_nctaid_z, grid.z},
                             {row_warpid, w.id},
                             {row_nsmid, 1},
                             {row_nwarpid, (u32)b.warps.size()},
                             {row_dynamic_size, (u32)dynamic}};
    for (auto &value : values)
        fill_row<u32>(w, (int)value[0], value[1]);
    u32 start = (u32)(b.shared.size - dynamic);
    fill_row<u32>(w, row_total_size, (u32)b.kernel->static_shared + (u32)dynamic);
    fill_row<u32>(w, row_dynamic, start);
    fill_row<u64>(w, row_dynamic64, start);
}

/** Shared memory with its gaps: what belongs to no object cannot be accessed. */
void lay_out_shared(Block &b, size_t dynamic)
{
    const Kernel &k = *b.kernel;
    u64 start = (k.shared_bytes + 15) & ~15ull;
    if (dynamic && start)
        start += 16;
    b.shared.size = start + dynamic;
    b.shared.base = (u8 *)aligned_alloc(1024, (b.shared.size + 1024) / 1024 * 1024 + 1024);
    b.shared_layout.assign(b.shared.size / 4 + 4, 0xf0);
    auto allow = [&](u64 begin, u64 size) {
        for (u64 i = begin; i < begin + size; i++)
            b.shared_layout[i / 4] &= (u8) ~(16 << (i & 3));
    };
    for (const Piece &object : k.shared_objects)
        allow(object.offset, object.size);
    allow(start, dynamic);
    b.shared.valid = (u8 *)malloc(b.shared_layout.size());
}

void begin_block(Block &b, u32 x, u32 y, u32 z)
{
    sync_begin_block();
    b.index = {x, y, z};
    memset(b.shared.base, 0xCB, b.shared.size);
    memcpy(b.shared.valid, b.shared_layout.data(), b.shared_layout.size());
    if (b.shared.shadow) /* the same bytes are other memory for another block */
        memset(b.shared.shadow, 0, ((b.shared.size >> b.shared.shift) + 1) * sizeof(Shadow));
    memset(b.arrived, 0, sizeof b.arrived);
    for (Warp &w : b.warps) {
        u32 left = b.thread_count - w.id * 32;
        w.live = left >= 32 ? all_lanes : (1u << left) - 1;
        w.syncs = 0;
        w.backwards = false;
        w.open_copies.clear();
        w.copy_groups.clear();
        w.paths.clear();
        Path path;
        path.mask = w.live;
        path.frame = w.bottom.get();
        w.paths.push_back(path);
        fill_row<u32>(w, row_ctaid_x, x);
        fill_row<u32>(w, row_ctaid_y, y);
        fill_row<u32>(w, row_ctaid_z, z);
    }
}

/* --- launches ----------------------------------------------------------------------------------------------------- */

/** Why a function, or one that it calls by name, cannot run; empty: it can. */
std::string unfit(const Function &f, std::set<const Function *> &seen)
{
    if (!f.error.empty() || !seen.insert(&f).second)
        return f.error;
    for (const Callee &callee : f.callees) {
        if (callee.name.empty() || callee.name == "vprintf" || callee.name == "__assertfail")
            continue;
        auto found = f.module->functions.find(callee.name);
        if (found == f.module->functions.end() || !found->second->defined)
            return "call of " + callee.name + " is not simulated";
        std::string error = unfit(*found->second, seen);
        if (!error.empty())
            return error;
    }
    return "";
}

std::string refusal(const Kernel &k, Dim grid, Dim block, size_t dynamic)
{
    const Limits limits;
    std::set<const Function *> seen;
    if (std::string error = unfit(k, seen); !error.empty())
        return error;
    u64 threads = (u64)block.x * block.y * block.z;
    if (!threads || threads > limits.threads_per_block || block.z > limits.block_z)
        return "block of " + std::to_string(threads) + " threads";
    if (!grid.x || !grid.y || !grid.z || grid.y > limits.grid_y || grid.z > limits.grid_z || grid.x > INT32_MAX)
        return "size of the grid";
    if (k.static_shared + dynamic > limits.shared_optin_bytes)
        return std::to_string(k.static_shared + dynamic) + " bytes of shared memory";
    return "";
}

void run_grid(Block &b, Dim grid)
{
    u64 budget = instruction_budget();
    b.reports_limit = report_count() + reports_of_launch;
    for (u32 z = 0; z < grid.z; z++)
        for (u32 y = 0; y < grid.y; y++)
            for (u32 x = 0; x < grid.x; x++) {
                begin_block(b, x, y, z);
                b.kernel->counters.blocks++;
                run_block(b, &budget);
                if (b.ending != Ending::complete)
                    return;
            }
}

void make_warps(Block &b, Dim grid, size_t dynamic)
{
    b.warps.resize((b.thread_count + 31) / 32);
    for (size_t i = 0; i < b.warps.size(); i++) {
        Warp &w = b.warps[i];
        w.id = (u32)i;
        w.block = &b;
        w.special.assign(special_rows * 128, 0);
        w.tables[2] = w.special.data();
        w.bottom = std::make_unique<Frame>(b.kernel);
        w.frame = w.bottom.get();
        fill_special(w, b, grid, dynamic);
    }
}

/** Frames of calls that a launch which was stopped never returned from. */
void free_frames(Block &b)
{
    std::set<Frame *> frames;
    for (const Warp &w : b.warps)
        for (const Path &path : w.paths)
            for (Frame *f = path.frame; f->caller; f = f->caller)
                frames.insert(f);
    for (Frame *f : frames)
        delete f;
}

} // namespace

u64 launch(Kernel *k, Dim grid, Dim block, const void *const *args, size_t dynamic)
{
    const u64 before = report_count();
    auto start = std::chrono::steady_clock::now();
    std::string refused = refusal(*k, grid, block, dynamic);
    if (!refused.empty()) {
        report_host("kernel %s cannot run: %s", k->shown.c_str(), refused.c_str());
        ending = Ending::refused;
        return report_count() - before;
    }
    note_launch(k);
    k->counters.launches++;
    std::vector<u64> params((k->param_bytes + 23) / 8 + 2); /* aligned to 16 below */
    u8 *values = (u8 *)(((u64)params.data() + 15) & ~15ull);
    for (size_t i = 0; i < k->params.size(); i++)
        memcpy(values + k->params[i].offset, args[i], k->params[i].size);
    Block b;
    b.kernel = k;
    b.threads = block;
    b.grid = grid;
    b.thread_count = block.x * block.y * block.z;
    b.params = values;
    lay_out_shared(b, dynamic);
    make_warps(b, grid, dynamic);
    sync_begin_launch();
    run_grid(b, grid);
    free_frames(b);
    free(b.shared.base);
    free(b.shared.valid);
    b.shared.drop_shadow();
    fflush(stdout);
    ending = b.ending;
    k->counters.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report_count() - before;
}

Ending last_ending()
{
    return ending;
}

/* --- modules ------------------------------------------------------------------------------------------------------ */

Module *load_module(const char *text, size_t size, std::string *error)
{
    static auto *modules = new std::vector<std::unique_ptr<Module>>; /* for as long as the process */
    auto module = std::make_unique<Module>();
    try {
        parse_module(*module, text, size);
    } catch (const std::exception &e) {
        *error = e.what();
        return nullptr;
    }
    modules->push_back(std::move(module));
    return modules->back().get();
}

Kernel *find_kernel(Module *module, const char *name)
{
    auto found = module->functions.find(name);
    return found == module->functions.end() || !found->second->entry ? nullptr : found->second.get();
}

const std::string &kernel_name(const Kernel *kernel)
{
    return kernel->name;
}

std::vector<u32> kernel_parameters(const Kernel *kernel)
{
    std::vector<u32> sizes;
    for (const Piece &piece : kernel->params)
        sizes.push_back(piece.size);
    return sizes;
}

size_t kernel_static_shared(const Kernel *kernel)
{
    return kernel->static_shared;
}

bool has_variables(const Module *module)
{
    return !module->variables.empty();
}

u64 find_variable(Module *module, const char *name, size_t *size)
{
    auto found = module->variables.find(name);
    if (found == module->variables.end() || found->second.dynamic)
        return 0;
    *size = found->second.size;
    return found->second.value;
}

} // namespace cudasim
