/** tests/cudasim/runtime/runtime.h: what the files of the stand-in for libcudart share. One lock guards everything;
 * every exported function begins with CUDASIM_CALL, which takes the lock and returns what breaks all calls: no driver,
 * no device, or an earlier fault of a kernel. */
#ifndef CUDASIM_RUNTIME_H
#define CUDASIM_RUNTIME_H

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cudasim/sim/sim.h"

#define CUDASIM_API extern "C" __attribute__((visibility("default")))

namespace cudasim
{

/* --- error.cc --- */

std::recursive_mutex &runtime_lock();
/** Remembers a code other than success as the last error; returns it. */
cudaError_t fail(cudaError_t code);
/** The error that every call returns at present. */
cudaError_t usable();
/** From now on every call returns `code`. */
void break_context(cudaError_t code);
bool context_broken();
/** The code that hardware would give for what the simulator reported during a launch. */
cudaError_t code_of_reports(const std::vector<std::string> &reports);

#define CUDASIM_CALL                                                                     \
    const std::lock_guard<std::recursive_mutex> cudasim_locked(cudasim::runtime_lock()); \
    if (const cudaError_t cudasim_broken = cudasim::usable())                            \
    return cudasim::fail(cudasim_broken)

/* --- device.cc --- */

/** Success, or why there is no device: CUDASIM_DRIVER=0, CUDASIM_DEVICES=0. */
cudaError_t device_missing();
int device_attribute(cudaDeviceAttr attribute); /* -1: unknown */

/* --- fatbin.cc --- */

/** Loads the newest PTX that the device can run from a fat binary, its wrapper or PTX text. NULL: `*error` says why. */
Module *load_image(const void *image, cudaError_t *error);

/* --- library.cc --- */

/** A kernel as the runtime knows it: what a cudaKernel_t or cudaFunction_t points to. */
struct Function {
    Kernel *kernel = nullptr; /* NULL: its image could not be loaded, `error` says why */
    std::string name;
    cudaError_t error = cudaSuccess;
    size_t dynamic_shared_limit = 0;
    bool known = true; /* its library was not unloaded */
};

/** Makes a function and keeps it findable by its own address. */
Function *new_function(Module *module, const char *name, cudaError_t error);
void forget_function(Function *function);
/** From a cudaKernel_t, a cudaFunction_t or the address of the host function of a kernel. NULL: none. */
Function *find_function(const void *handle);

/* --- register.cc --- */

struct Variable {
    uint64_t address = 0;
    size_t size = 0;
};
Function *function_of_host(const void *host_function);
const Variable *variable_of_symbol(const void *symbol);

/* --- launch.cc --- */

/** A launch with its parameters copied. */
struct KernelCall {
    Function *function = nullptr;
    Dim grid, block;
    size_t shared = 0;
    std::vector<std::vector<uint8_t>> values;
};
/** Checks the configuration and copies the parameters. */
cudaError_t make_call(Function *function, Dim grid, Dim block, const void *const *args, size_t shared,
                      KernelCall *call);
void run_call(const KernelCall &call);

/* --- stream.cc --- */

struct Capture;
struct Node;
using Stream = CUstream_st;

/** All work of a stream up to a number. */
struct Point {
    std::shared_ptr<Stream> stream;
    uint64_t number = 0;
    bool reached() const;
};

/** Work for a stream, or for a node of a graph. */
struct Operation {
    cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
    std::function<void()> run;
    std::shared_ptr<KernelCall> call = nullptr; /* of a kernel node */
};

/** NULL: not a living stream. */
Stream *find_stream(cudaStream_t handle);
/** Appends work, or records it while the stream is captured. */
cudaError_t enqueue(Stream *stream, Operation operation);
/** Appends work to the legacy stream and waits for it. */
cudaError_t run_synchronously(Operation operation);
/** A stream's later work begins after `point`. */
void add_wait(Stream *stream, const Point &point);
Point now(Stream *stream);
void run_until(const Point &point);
void wait_for(Stream *stream);
void wait_for_everything();
const std::vector<std::shared_ptr<Stream>> &all_streams();
size_t operations_waiting();
/** Whether a function of cudaLaunchHostFunc runs: it must not call CUDA. */
bool in_host_function();
std::function<void()> host_function(cudaHostFn_t function, void *data);

/* --- capture.cc --- */

/** Success, or an error, which voids a capture, when it forbids calls that may synchronise or allocate. */
cudaError_t forbidden_while_capturing();
/** Success, or an error when the stream is captured, or its implicit dependencies would reach one that is. */
cudaError_t forbidden_on(Stream *stream);
cudaError_t capture_operation(Stream *stream, Operation operation);
cudaError_t capture_record(Stream *stream, cudaEvent_t event);
/** Handles a wait that concerns a capture; *done says whether it did. */
cudaError_t capture_wait(Stream *stream, cudaEvent_t event, bool *done);

/* --- graph.cc --- */

Node *add_node(cudaGraph_t graph, const std::vector<Node *> &after, Operation operation);
/** Whether everything in `nodes` comes before or is in `leaves`. */
bool all_reach(const std::vector<Node *> &nodes, const std::vector<Node *> &leaves);

/* --- copy.cc --- */

/** A memset of rows, or a copy, checked when it runs. */
Operation copy_operation(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
Operation fill_operation(const cudaMemsetParams &fill);

} // namespace cudasim

struct CUstream_st : std::enable_shared_from_this<CUstream_st> {
    struct Task {
        std::vector<cudasim::Point> after;
        std::function<void()> run;
    };
    std::deque<Task> tasks;
    std::vector<cudasim::Point> after; /* for the next task */
    uint64_t queued = 0, finished = 0;
    bool blocking = true; /* has implicit dependencies with the legacy stream */
    bool destroyed = false;
    unsigned flags = 0;
    int priority = 0;
    unsigned long long id = 0;
    std::shared_ptr<cudasim::Capture> capture;
    std::vector<cudasim::Node *> leaves; /* of the capture: what the next node depends on */
};

struct CUevent_st {
    cudasim::Point at;
    bool recorded = false, timed = true;
    std::shared_ptr<double> milliseconds;
    std::shared_ptr<cudasim::Capture> capture;
    std::vector<cudasim::Node *> leaves;
};

#endif
