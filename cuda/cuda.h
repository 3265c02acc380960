/** cuda/cuda.h: the device "cuda" and what its kernels share. Everything of NVIDIA's is looked up when the device is
 *  made: the library links against none of it and starts on any machine. */
#ifndef EGI_CUDA_H
#define EGI_CUDA_H

#include "core/act.h"
#include "core/device.h"

#include <cuda_runtime_api.h>

/** libcudart, looked up by name. */
typedef struct egi_cudart {
#define EG_CUDART(name) __typeof__(&name) name;
#include "cuda/runtime.def"
#undef EG_CUDART
} egi_cudart;

#define EGI_CUDA_FAMILIES 32
#define EGI_CUDA_GRAPHS   16

/** A range of a plan's kernels as one graph. */
typedef struct egi_cuda_graph {
    const egi_kernel *kernels; /* NULL: free */
    int n;
    int64_t runs;
    cudaGraphExec_t exec; /* NULL: not captured yet */
} egi_cuda_graph;

typedef struct egi_cuda_lt egi_cuda_lt;

typedef struct egi_cuda {
    egi_device base;
    egi_cudart api;
    void *runtime;   /* the loaded libcudart */
    egi_cuda_lt *lt; /* cuda/lt.h; NULL: there is no cublasLt */
    bool own_only;   /* for tests: own kernels where a library's would do */
    cudaLibrary_t families[EGI_CUDA_FAMILIES];
    int n_families;
    cudaStream_t stream;
    cudaStream_t copies;   /* where inputs go over while `stream` computes */
    egi_control *control;  /* device memory: what varies from step to step, sent before each run */
    egi_inlet *control_in; /* its way there */
    egi_cuda_graph graphs[EGI_CUDA_GRAPHS];
    int index;           /* of the device: each thread that comes has to choose it anew */
    int processors;      /* streaming multiprocessors */
    size_t shared_bytes; /* of a block, without opting in */
} egi_cuda;

extern const egi_device_type egi_device_cuda;

static inline egi_cuda *egi_cuda_of(const egi_kernel *k)
{
    return (egi_cuda *)k->device;
}

/** EG_OK, or the failure as a status with a message: "cuda: <what>: <the runtime's text>". */
EG_MUST_USE eg_status egi_cuda_check(egi_cuda *cuda, cudaError_t error, const char *what);

/** Finds libcudart and its functions. Errors: DEVICE, saying what is missing. */
EG_MUST_USE eg_status egi_cuda_load(egi_cuda *cuda);
void egi_cuda_unload(egi_cuda *cuda);

/** A library by its name: where the loader looks, then where CUDA 13 is installed. NULL: there is none. */
void *egi_cuda_open(const char *library);
void egi_cuda_close(void *library);
/** Sets the pointer at `function` to a library's function; false: it has none of that name. */
bool egi_cuda_symbol(void *library, const char *name, void *function);

/** Sets `cuda->lt` where cublasLt can be used. Errors: NOMEM. */
EG_MUST_USE eg_status egi_cuda_lt_create(egi_cuda *cuda);
void egi_cuda_lt_destroy(egi_cuda *cuda);
/** Which cublasLt is used, e.g. "cuBLASLt 13.1". */
void egi_cuda_lt_text(const egi_cuda *cuda, char *out, size_t room);

/** A kernel of the library's images by its name. Errors: INTERNAL. */
EG_MUST_USE eg_status egi_cuda_find(egi_cuda *cuda, const char *name, cudaKernel_t *out);

/** Memory of the device, as `alloc` gives it, and of the host that copies come from and go to without help. */
EG_MUST_USE eg_status egi_cuda_alloc(egi_cuda *cuda, void **out, size_t bytes);
EG_MUST_USE eg_status egi_cuda_host_alloc(egi_cuda *cuda, void **out, size_t bytes);

extern const egi_inlet_type egi_cuda_inlet;

/** The device's `peak`. */
EG_MUST_USE eg_status egi_cuda_peak(egi_device *device, egi_peak *out);

/** One launch of a prepared operation. Its kernel takes one struct by value. */
typedef struct egi_cuda_launch {
    const char *name;       /* of the kernel in its .cu file */
    int64_t grid[3];        /* blocks; 0 stands for 1 in y and z; an empty grid is not launched */
    int block;              /* threads */
    size_t shared;          /* dynamic shared memory, bytes */
    const void *args;       /* the struct, copied */
    size_t size;            /* of it, at most EGI_CUDA_ARGS_MAX */
    uint16_t scratch_field; /* EGI_FIELD() of a pointer in it that is set to the plan's scratch; 0: none */
} egi_cuda_launch;

#define EGI_CUDA_ARGS_MAX 256

/** Adds a launch to a kernel that is being prepared: EGI_CUDA_LAUNCH(k, .name = "eg_add", .grid = {n}, .block = 256,
 *  .args = &a, .size = sizeof a). Launches run in the order in which they were added. */
#define EGI_CUDA_LAUNCH(k, ...) egi_cuda_launch_add((k), &(egi_cuda_launch){__VA_ARGS__})
EG_MUST_USE eg_status egi_cuda_launch_add(egi_kernel *k, const egi_cuda_launch *launch);

/** A library's call, with a state of its own. Errors are the device's. */
typedef eg_status (*egi_cuda_call)(const egi_kernel *k, void *state);

/** Adds a library's call to a kernel that is being prepared, in the order of its launches. `*state` is set to `size`
 *  bytes of zeros that live as long as the kernel. */
EG_MUST_USE eg_status egi_cuda_call_add(egi_kernel *k, egi_cuda_call call, void *state, size_t size);

/** Adds a launch: y = act(y) over n floats, behind a library's call. */
EG_MUST_USE eg_status egi_cuda_activate(egi_kernel *k, float *y, int64_t n, egi_act act, float alpha);

/** Copies a host's table to device memory that lives as long as the kernel that is being prepared. At most one. */
EG_MUST_USE eg_status egi_cuda_table(egi_kernel *k, void **out, const void *table, size_t bytes);

/** Every value is of f32, i32 or u8: what kernels are written for. */
bool egi_cuda_is_f32(const egi_kernel *k);

/** What a prepare function returns for a case that it does not serve. */
#define EGI_CUDA_DECLINE EG_ERR_UNSUPPORTED

/** Data of a value, or NULL for EGI_NONE. */
static inline void *egi_cuda_data(const egi_kernel *k, egi_val v)
{
    return v == EGI_NONE ? NULL : k->t[v].data;
}

/** Blocks of `each` for n elements, at most `most`: kernels walk their elements with the stride of the grid. */
static inline int64_t egi_cuda_blocks(int64_t n, int64_t each, int64_t most)
{
    const int64_t blocks = (n + each - 1) / each;
    return blocks < most ? blocks : most;
}

/** May vectors of 16 bytes be read and written there? */
static inline bool egi_cuda_aligned(const void *data)
{
    return (uintptr_t)data % 16 == 0;
}

/** Threads that share a row of `columns`: the power of two that covers it, 1 to `most` (a power of two). */
static inline int egi_cuda_lanes(int64_t columns, int most)
{
    int lanes = 1;
    while (lanes < most && lanes < columns)
        lanes *= 2;
    return lanes;
}

/** Threads that reduce a row together (rows.cuh): neighbours of a warp, or the whole block where rows are long. */
static inline int egi_cuda_row_lanes(int64_t columns, int block)
{
    return columns > 1024 ? block : egi_cuda_lanes(columns, 32);
}

/** Computes an operation by its reference at the host: for f64, and where no kernel serves a case. */
EG_MUST_USE eg_status egi_cuda_reference(egi_kernel *k);

#define EG_FAST(op_name, prepare_function) eg_status prepare_function(egi_device *device, egi_kernel *out);
#include "cuda/fast.def"
#undef EG_FAST

#endif
