/** tests/cudasim/sim/sim.h: a simulator of what nvcc compiles: it loads PTX, owns the device's memory and runs
 * launches, checking every access. It knows nothing of the CUDA runtime's API, which tests/cudasim/runtime/ builds on
 * it.
 *
 *  Blocks run one after another, a warp at a time (32 lanes an instruction). Results never depend on timing. */
#ifndef CUDASIM_SIM_H
#define CUDASIM_SIM_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cudasim
{

struct Module;
struct Kernel;

struct Dim {
    uint32_t x = 1, y = 1, z = 1;
};

/** What a launch may use; the limits of the device that is simulated. */
struct Limits {
    uint32_t threads_per_block = 1024;
    uint32_t block_z = 64, grid_y = 65535, grid_z = 65535;
    size_t shared_bytes = 48 * 1024;        /* without opting in */
    size_t shared_optin_bytes = 227 * 1024; /* with cudaFuncAttributeMaxDynamicSharedMemorySize */
};

/** Counted over all launches, or over one kernel's. */
struct Counters {
    uint64_t launches = 0, blocks = 0, warp_instructions = 0, thread_instructions = 0;
    uint64_t global_requests = 0, global_sectors = 0; /* a request: one instruction of a warp; sectors of 32 bytes */
    uint64_t shared_requests = 0, shared_passes = 0;  /* passes: 1 without bank conflicts, 2 and 4 of wide accesses */
    uint64_t shared_conflicts = 0;                    /* passes beyond those */
    uint64_t branches = 0, divergent_branches = 0;
    uint64_t local_requests = 0; /* spills and local arrays */
    double seconds = 0;
};

/* --- programs ----------------------------------------------------------------------------------------------------- */

/** Parses PTX text. NULL: `*error` says why. Opcodes that the simulator lacks are an error of the kernel that has them,
 * reported by name when it is launched. Modules live as long as the process. */
Module *load_module(const char *text, size_t size, std::string *error);
Kernel *find_kernel(Module *module, const char *name); /* NULL: none */
const std::string &kernel_name(const Kernel *kernel);
/** Sizes of the parameters in order. */
std::vector<uint32_t> kernel_parameters(const Kernel *kernel);
size_t kernel_static_shared(const Kernel *kernel);
/** Does it have .global or .const variables? Without them two loads of the same text cannot be told apart. */
bool has_variables(const Module *module);
/** Address and size of a .global or .const variable; 0: none. */
uint64_t find_variable(Module *module, const char *name, size_t *size);

/** Runs a launch to its end. `args` points to each parameter's value. Returns the number of reports that it caused. */
uint64_t launch(Kernel *kernel, Dim grid, Dim block, const void *const *args, size_t dynamic_shared);
/** How the last launch ended: `refused` did not start, `trap` and `assertion` end the context as on a device, `stopped`
 * ran out of its budget of instructions or made too many reports. */
enum class Ending { complete, refused, trap, assertion, stopped };
Ending last_ending();

/* --- memory ------------------------------------------------------------------------------------------------------- */

enum class Where { none, device, host, freed };

/** Device memory (uninitialised until written), or pinned host memory (initialised, device may access it). Aligned to
 * 256. 0: over the device's capacity. */
uint64_t allocate(size_t bytes, bool host);
/** false, with a report: not the address of a living block. Freed blocks stay in a quarantine of bounded size. */
bool release(uint64_t address);
/** What lies at an address, and, where asked for, the block's begin and end. */
Where where_is(uint64_t address, uint64_t *begin, uint64_t *end);
/** The host reads or writes device memory (copies, memset, libraries): bounds, freed memory and, for reads, validity
 * are checked; a write makes the bytes valid. false: a report was made and nothing may be touched. `what` names the
 * call. */
bool host_reads(uint64_t address, size_t bytes, const char *what);
bool host_writes(uint64_t address, size_t bytes, const char *what);
size_t memory_used();
size_t memory_capacity();
size_t blocks_alive(); /* not released */

/* --- reports ------------------------------------------------------------------------------------------------------ */

/** Adds a report that no kernel made (API misuse); printf format. Printed to stderr as "cudasim: <text>". */
void report_host(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t report_count();
/** Texts of all reports since the last call: for tests of the simulator. */
std::vector<std::string> take_reports();

/* --- settings, from the environment ------------------------------------------------------------------------------- */

/** CUDASIM_CHECK=0..3: nothing, bounds, + uninitialised, + races (default 3); CUDASIM_COUNT=FILE: counters by kernel as
 *  tab-separated lines, written at exit; CUDASIM_MEMORY=BYTES: capacity of the device (default 8 GiB);
 *  CUDASIM_BUDGET=N: instructions of warps that a launch may use (default 2e9). */
Counters counters();                        /* of all launches */
Counters counters_of(const Kernel *kernel); /* of one kernel's */

} // namespace cudasim

#endif
