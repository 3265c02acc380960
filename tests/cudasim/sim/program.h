/** tests/cudasim/sim/program.h: decoded programs, and the state of a launch: blocks, warps, paths and frames. */
#ifndef CUDASIM_PROGRAM_H
#define CUDASIM_PROGRAM_H

#include "tests/cudasim/sim/memory.h"

#include <deque>
#include <map>
#include <memory>

namespace cudasim
{

struct Warp;
struct Block;
struct Instruction;
struct Frame;
using Function = Kernel; /* an .entry or a .func */
/** Executes an instruction for the lanes of `mask`, which is not empty. */
using Handler = void (*)(Warp &, const Instruction &, u32 mask);

/* --- instructions ------------------------------------------------------------------------------------------------- */

enum BarrierMode : u8 { barrier_sync, barrier_arrive, barrier_count, barrier_and, barrier_or };
/** How an instruction moves its warp on: `sync` waits for the lanes of the member mask in row `e`. */
enum class Flow : u8 { plain, branch, indexed, leave, exit, barrier, sync, call };
/** Where an address comes from: a number, a register of 64 or 32 bits, the lane's local or parameter memory; plus imm.
 */
enum class Base : u8 { absolute, wide, narrow, local, param, entry };

/** Rows are byte offsets of 32 lanes' values (4 bytes each, 8 for wide types); the low two bits choose the table: the
 *  frame's registers, the function's constants, the warp's special registers. Predicates are numbered words of 32 bits.
 */
struct Instruction {
    Handler run = nullptr;
    Flow flow = Flow::plain;
    bool guard_negated = false;
    s16 guard = -1; /* predicate; -1: none */
    Type type = Type::none, from = Type::none;
    Space space = Space::generic;
    Base base = Base::absolute;
    u8 bytes = 0, count = 1; /* of a memory access: an element's size and how many a lane has */
    u8 wide = 4;             /* bytes a lane of the destination's row */
    u8 wide_a = 4;           /* of cvt: of its source's */
    u8 mode = 0, mode2 = 0;  /* what the opcode makes of it */
    Round round = Round::nearest;
    bool negated = false, saturate = false, flush = false, extend = false;
    bool strong = false, acquire = false, release = false; /* memory order */
    int d = 0, d2 = -1, a = 0, b = 0, c = 0, e = 0;
    int v[8] = {};
    int target = -1;
    s64 imm = 0;
    const std::vector<int> *rows = nullptr; /* operands of tensor operations, targets of indexed branches */
    const struct Callee *callee = nullptr;
};

struct Source { /* of an instruction, for reports */
    int file = 0, line = 0;
    std::string text;
};

struct Piece { /* of parameter memory */
    u32 offset, size;
};

struct Callee {
    std::string name;                     /* empty: the address is in row `row` */
    mutable Function *function = nullptr; /* once it has been looked up */
    int row = 0;
    std::vector<Piece> results, arguments; /* in the caller's parameter memory */
};

struct Symbol {
    Space space = Space::generic;
    u64 value = 0; /* address, or offset in its space */
    u64 size = 0;
    bool dynamic = false; /* extern shared: its place is known at launch */
    bool entry = false;   /* a launch's parameter, not one of a frame */
};

/* --- programs ----------------------------------------------------------------------------------------------------- */

struct Kernel {
    std::string name, shown; /* as in PTX, and demangled */
    Module *module = nullptr;
    bool entry = false, defined = false;
    std::vector<Instruction> code;
    std::vector<Source> sources;
    std::vector<Piece> params, results;
    u32 param_bytes = 0; /* entry's parameters; of a function: all of its parameter memory */
    u32 frame_params = 0;
    u32 register_bytes = 64, local_bytes = 0;
    u32 predicates = 1;    /* the first one is the carry flags */
    u32 shared_bytes = 0;  /* with gaps between objects */
    u32 static_shared = 0; /* as a real device lays them out */
    std::vector<Piece> shared_objects;
    std::vector<u8> constants;
    std::map<std::string, Symbol> symbols;
    std::deque<std::vector<int>> lists;
    std::deque<Callee> callees;
    std::string error; /* why it cannot run */
    std::vector<std::unique_ptr<Frame>> idle;
    Counters counters;
};

struct Module {
    std::map<std::string, std::unique_ptr<Kernel>> functions;
    std::map<std::string, Symbol> variables;
    struct SharedVariable {
        u32 align, size;
    };
    std::map<std::string, SharedVariable> shared;
    std::map<int, std::string> files;
};

/** The function at an address that `mov` of its name gave; NULL: none. */
Function *function_at(u64 address);
void register_function(Function *function);

/* --- the state of a launch ---------------------------------------------------------------------------------------- */

/** A call that some lanes of a warp are inside of. */
struct Frame {
    Function *function = nullptr;
    Frame *caller = nullptr;
    const Instruction *call = nullptr;
    int return_pc = 0;
    u32 depth = 0, inside = 0; /* inside: lanes that have not returned */
    u8 *registers = nullptr;
    std::vector<u8> storage;
    std::vector<u32> predicates;
    std::vector<u8> local, params; /* a slice a lane */

    explicit Frame(Function *function);
    u8 *local_of(int lane)
    {
        return local.data() + (size_t)lane * function->local_bytes;
    }
    u8 *params_of(int lane)
    {
        return params.data() + (size_t)lane * function->frame_params;
    }
};

enum class Wait : u8 { no, barrier, sync };

struct Path { /* lanes that stand at the same instruction of the same call */
    u32 mask = 0;
    int pc = 0;
    Frame *frame = nullptr;
    Wait wait = Wait::no;
    u32 barrier = 0, count = 0; /* while it waits at a barrier; count 0: all threads */
};

struct PendingCopy { /* of cp.async, done when it is waited for */
    const Instruction *instruction;
    int lane;
    u64 to, from;
    u32 bytes, taken;
};

struct Warp {
    const u8 *tables[3] = {}; /* of rows: registers, constants, special registers */
    u32 *predicates = nullptr;
    Frame *frame = nullptr;
    Block *block = nullptr;
    u32 id = 0, live = 0, syncs = 0;
    bool backwards = false; /* lanes that spin: see choose() in run.cc */
    std::unique_ptr<Frame> bottom;
    std::vector<u8> special;
    std::vector<Path> paths;
    std::vector<PendingCopy> open_copies;
    std::vector<std::vector<PendingCopy>> copy_groups;

    void enter(Frame *f)
    {
        frame = f;
        tables[0] = f->registers;
        tables[1] = f->function->constants.data();
        predicates = f->predicates.data();
    }
};

struct Block {
    Kernel *kernel = nullptr;
    Dim index, threads, grid;
    u32 thread_count = 0;
    Region shared;
    std::vector<u8> shared_layout; /* of Region::valid before the first write */
    const u8 *params = nullptr;
    u32 arrived[16] = {}; /* bar.arrive: threads that did not stay */
    std::vector<Warp> warps;
    Ending ending = Ending::complete; /* otherwise the launch ends */
    u64 reports_limit = 0;            /* of report_count() */
};

/* Special registers: rows in Warp::special. */
enum SpecialRow {
    row_tid_x,
    row_tid_y,
    row_tid_z,
    row_ntid_x,
    row_ntid_y,
    row_ntid_z,
    row_ctaid_x,
    row_ctaid_y,
    row_ctaid_z,
    row_nctaid_x,
    row_nctaid_y,
    row_nctaid_z,
    row_laneid,
    row_warpid,
    row_nwarpid,
    row_smid,
    row_nsmid,
    row_gridid,
    row_mask_eq,
    row_mask_lt,
    row_mask_le,
    row_mask_gt,
    row_mask_ge,
    row_clock,
    row_clock_hi,
    row_dynamic_size,
    row_total_size,
    row_dynamic,
    row_zero,
    row_clock64,
    row_globaltimer = row_clock64 + 2,
    row_dynamic64 = row_globaltimer + 2,
    row_gridid64 = row_dynamic64 + 2,
    special_rows = row_gridid64 + 2
};

inline int special_row(int row)
{
    return row * 128 | 2;
}

extern u64 instructions_done; /* by this process: what %clock shows */

/* --- what the parts offer each other ------------------------------------------------------------------------------ */

/** A report of a kernel's instruction: the same place and kind is printed once and counted always. */
void report(Warp &warp, const Instruction &instruction, int lane, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void count_request(Warp &warp, const Instruction &instruction, const u64 *addresses, u32 mask, u32 bytes);

void note_launch(const Kernel *kernel); /* its counters are to be written */

/** Enters a function for the lanes of `mask`. NULL: the call is done already, as vprintf is, or ends the launch. */
Frame *enter_call(Warp &warp, const Instruction &instruction, u32 mask, int return_pc);
void leave_call(Frame *frame, u32 mask); /* copies the results to the caller; the lanes are no longer inside */
void drop_lanes(Frame *frame, u32 mask); /* the lanes are no longer inside: the last one frees the frame */

void parse_module(Module &module, const char *text, size_t size); /* throws std::runtime_error */

} // namespace cudasim

#endif
