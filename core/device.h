/** core/device.h: what a device is: one const table of few functions and a list of its fast kernels. */
#ifndef EGI_DEVICE_H
#define EGI_DEVICE_H

#include "core/op.h"

typedef struct egi_kernel egi_kernel;

/** What running a kernel has taken since its plan is profiled. */
typedef struct egi_kernel_time {
    int64_t calls;
    double seconds;
} egi_kernel_time;

/** What a device can do at best, a second, as measured on it. */
typedef struct egi_peak {
    double flops; /* f32 multiplications and additions */
    double bytes; /* read and written, of arrays that no cache holds */
} egi_peak;

/** A prepared operation: everything about it was decided when it was made; running it is one call. */
struct egi_kernel {
    /** Must not allocate. Errors are the device's (DEVICE, NUMERIC). */
    eg_status (*run)(const egi_kernel *kernel, const egi_control *control);
    void (*destroy)(egi_device *device, egi_kernel *kernel); /* releases `state`; may be NULL */
    const egi_op *op;
    const void *args;    /* borrowed from the plan */
    const egi_tensor *t; /* the plan's tensor table, indexed by egi_val; addresses are final, but of inputs where
                          * `inference` */
    egi_device *device;
    void *state;           /* the kernel's own, e.g. a oneDNN primitive with its memories */
    bool inference;        /* of a plan that does not train: what is made of weights is worth keeping */
    bool slow;             /* set by the device's prepare: only the reference serves it */
    int threads;           /* of the context when it was prepared: no thread beyond may touch its scratch */
    size_t scratch_bytes;  /* wanted by prepare; the plan gives all kernels the same scratch memory */
    void *scratch;         /* set by the plan after prepare, aligned to 64 */
    egi_kernel_time *time; /* where the device adds what a run took; NULL: it is not asked for */
};

/** Fills `out->run`, `state`, `destroy`, `scratch_bytes`. Returns EG_ERR_UNSUPPORTED (cheaply, the message is ignored)
 * when this version does not serve these dtypes or attributes: the next in the list is asked. */
typedef eg_status (*egi_prepare_fn)(egi_device *device, egi_kernel *out);

typedef struct egi_fast {
    const egi_op *op;
    egi_prepare_fn prepare;
} egi_fast;

/** How a plan's inputs get to a device with memory of its own while it still computes: there are two places at the
 * host, one that is filled and one that is on its way. */
typedef struct egi_inlet egi_inlet;

/** Owner of an inlet: the caller, `release`. Errors: NOMEM, DEVICE. */
typedef struct egi_inlet_type {
    eg_status (*create)(egi_inlet **out, egi_device *device, void *to, size_t bytes);
    void (*release)(egi_inlet *inlet);
    /** The place to fill next; waits until what was sent from it has left. */
    eg_status (*turn)(egi_inlet *inlet, void **host);
    /** Sends that place to `to`, behind what the device was told to do before; does not wait. */
    eg_status (*send)(egi_inlet *inlet);
} egi_inlet_type;

struct egi_device_type {
    const char *name;
    /** `index`: which of several, 0 the first. Errors: DEVICE, with the reason. */
    eg_status (*create)(egi_device **out, eg_context *context, int index);
    void (*destroy)(egi_device *device);
    /** `op`, `args`, `t`, `device` of `out` are set; fills the rest: the fast version, else the reference. */
    eg_status (*prepare)(egi_device *device, egi_kernel *out);
    /** Runs kernels in order: a loop, or one graph launch. */
    eg_status (*run)(egi_device *device, const egi_kernel *kernels, int n, const egi_control *control);
    /** Device memory: aligned to 64 and zeroed. */
    eg_status (*alloc)(egi_device *device, void **out, size_t bytes);
    void (*release)(egi_device *device, void *block);
    /** Of a device with memory of its own; NULL: it computes in the host's. Both wait until it is done. */
    eg_status (*upload)(egi_device *device, void *to, const void *from, size_t bytes);
    eg_status (*download)(egi_device *device, void *to, const void *from, size_t bytes);
    const egi_inlet_type *inlet; /* of such a device */
    /** Measures what the device can do, with the context's threads, in about a second. */
    eg_status (*peak)(egi_device *device, egi_peak *out);
};

struct egi_device {
    const egi_device_type *type;
    eg_context *context;
    egi_precision precision_most; /* products can be rounded so, and in all ways before it */
    bool reference_only;          /* for tests: never a fast kernel */
    bool eager;                   /* for tests: kernels one by one, never as a graph */
    char description[192];        /* units and libraries, e.g. "avx2, oneDNN 2.6.3" */
};

#endif
