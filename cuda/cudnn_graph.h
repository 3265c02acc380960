/** cuda/cudnn_graph.h: cuDNN 9, and its execution plans for convolutions. Plans are made for the device of a handle, or
 *  for a stored description of one, so that tests/cudnn makes them without a GPU. */
#ifndef EGI_CUDNN_GRAPH_H
#define EGI_CUDNN_GRAPH_H

#include "core/ops/conv2d.h"
#include "cuda/cuda.h"

#include <cudnn_graph.h>

/** libcudnn, looked up by name, and whom its plans are for. */
struct egi_cudnn {
#define EG_CUDNN(name) __typeof__(&name) name;
#include "cuda/cudnn.def"
#undef EG_CUDNN
    void *library;
    bool refused;                    /* it gave no handle: it is not asked again */
    cudnnHandle_t handle;            /* of a device that is here */
    cudnnBackendDescriptor_t stored; /* or the description of one that is not */
};

/** Loads libcudnn.so.9 and finds its calls; nothing of it is asked yet. Errors: DEVICE, saying what is missing. */
EG_MUST_USE eg_status egi_cudnn_load(egi_cudnn *out);
void egi_cudnn_release(egi_cudnn *cudnn);

/** Plans are for the device that this JSON describes from now on. Errors: DEVICE. */
EG_MUST_USE eg_status egi_cudnn_describe(egi_cudnn *cudnn, const char *json, size_t length);

typedef enum egi_cudnn_pass { EGI_CUDNN_FORWARD, EGI_CUDNN_DX, EGI_CUDNN_DW } egi_cudnn_pass;

/** A convolution: activations (n, h, w, c), kernels (f, h, w, c / groups), all packed; of bf16 where `precision` says
 *  so, sums in f32. */
typedef struct egi_cudnn_conv {
    egi_cudnn_pass pass;
    egi_conv_dims d;
    egi_conv_geometry g;
    egi_precision precision;
    bool bias, relu;    /* forward, not in bf16: y = relu(x * w + b); relu only with a bias */
    int64_t aligned[4]; /* what the addresses of x, w, y and b are multiples of */
} egi_cudnn_conv;

/** The tensors of a plan, by which its variant pack names them. */
enum { EGI_CUDNN_X = 1, EGI_CUDNN_W, EGI_CUDNN_Y, EGI_CUDNN_B };

typedef struct egi_cudnn_plan {
    cudnnBackendDescriptor_t plan, config; /* config: kept for the plan */
    int64_t engine, workspace;             /* bytes */
    unsigned numeric, behaviour;           /* notes of the engine, a bit each */
} egi_cudnn_plan;

/** The first plan that cuDNN's heuristics name whose engine keeps to `precision`, gives the same bits every time, and
 *  needs at most `most` bytes of workspace. Errors: EGI_CUDA_DECLINE, saying what there is instead; NOMEM. */
EG_MUST_USE eg_status egi_cudnn_plan_make(egi_cudnn_plan *out, const egi_cudnn *cudnn, const egi_cudnn_conv *conv,
                                          int64_t most);
void egi_cudnn_plan_release(const egi_cudnn *cudnn, egi_cudnn_plan *plan);

/** The numerical notes that an engine may have. */
unsigned egi_cudnn_allowed(egi_precision precision);

/** Runs a plan: `uids` name the tensors, `data` says where they are. *pack is made at the first run, and kept. */
EG_MUST_USE eg_status egi_cudnn_run(const egi_cudnn *cudnn, const egi_cudnn_plan *plan, cudnnBackendDescriptor_t *pack,
                                    const int64_t *uids, void *const *data, int n, void *workspace);

#endif
