/** core/plan.h: a list of operations on values: emitted, differentiated, pruned, fused, placed, prepared, run.
 *
 *  Emitting never fails in the middle: a failure sticks to the plan (value functions then return EGI_NONE) and every
 *  function that returns a status reports it. So emitting code reads straight down. */
#ifndef EGI_PLAN_H
#define EGI_PLAN_H

#include "core/act.h"
#include "core/device.h"

typedef enum egi_value_kind {
    EGI_VAL_TEMP, /* in the workspace while it lives */
    EGI_VAL_KEPT, /* in the workspace, but readable after a run: inputs, outputs, losses */
    EGI_VAL_BOUND /* memory of somebody else: parameters, gradients, moments */
} egi_value_kind;

typedef struct egi_value {
    egi_value_kind kind;
    egi_val alias_of;   /* same memory as this value (a reshape), or EGI_NONE */
    bool requires_grad; /* a leaf that asks for a gradient, or computed from one */
    egi_val grad;       /* for a bound leaf: where its gradient goes (bound too), or EGI_NONE */
    egi_val square;     /* for a bound leaf: where squared per-sample gradients are summed, or EGI_NONE */
    egi_val over;       /* lies where this value was, which nobody reads any more, or EGI_NONE */
    bool written;       /* by a live node; after placing */
    int first, last;    /* nodes that write it first and touch it, or what lies over it, last; after placing */
} egi_value;

/** A value of a plan on a device with memory of its own that goes over before a run or comes back after it. */
typedef struct egi_stage {
    egi_val v;
    void *host;                /* owned: where the host finds a kept value */
    void *device;              /* owned: this plan's copy of bound memory that is not mirrored */
    struct egi_mirror *mirror; /* the mirrored memory that it lies in, or NULL */
    bool in, again, out;       /* goes over before a run; also before the backward part alone; comes back */
} egi_stage;

typedef struct egi_node {
    const egi_op *op;
    void *args; /* owned */
    int layer;  /* which call emitted it, for messages and profiles; -1 none */
    bool dead;
    int kernel; /* after compiling: its place among the kernels; -1: dead */
} egi_node;

struct egi_plan {
    eg_context *context;
    egi_dtype dtype; /* of computed values: f32, or f64 in tests */
    int64_t batch;
    bool training;    /* layers: dropout on; batch norm as the model says */
    bool want_grad;   /* a backward pass will be derived: layers emit what only gradients need (max pooling's index) */
    bool replay;      /* the backward part runs several times after one forward part: forward values outlive it */
    eg_status status; /* the first failure sticks */

    egi_value *values; /* index 0 is EGI_NONE */
    egi_tensor *t;     /* same index: dtype, shape and, after placing, the address */
    egi_tensor *kt;   /* after compiling: what kernels see; `t` itself where the device computes in the host's memory */
    egi_stage *stage; /* (n_stage) NULL: there is nothing to copy */
    int64_t n_stage;
    egi_inlet *inlet;     /* the inputs' way to the device; NULL: they are where kernels read them */
    egi_val *inlet_value; /* (n_inlet) inputs and what lies over them */
    int64_t n_inlet;
    bool refilled; /* they were filled through the inlet since the last run */
    int64_t n_values, values_capacity, tensors_capacity;
    egi_node *nodes;
    int64_t n_nodes, nodes_capacity;
    int64_t n_forward; /* nodes before this index are the forward pass and the losses; -1: no backward pass yet */
    int64_t n_once; /* nodes from this index on are run by egi_plan_run_backward(): n_forward, or where the seed `dy` is
                       made */
    int64_t
        n_backward; /* nodes from this index on came after the backward pass: the update; -1: no backward pass yet */
    int layer;      /* given to nodes that are emitted now */

    void *workspace;
    size_t workspace_bytes, scratch_bytes, sum_bytes; /* sum_bytes: of all temporaries, had none shared memory */
    void *scratch;
    void *one;           /* a scalar 1 of the plan's dtype: the gradient of a loss */
    egi_kernel *kernels; /* one a live node, in order */
    int n_kernels, n_forward_kernels;
    egi_kernel_time *times; /* (n_kernels) of a profiled plan, else NULL */
};

EG_MUST_USE eg_status egi_plan_create(egi_plan **out, eg_context *context, int64_t batch, egi_dtype dtype,
                                      bool training);
void egi_plan_free(egi_plan *plan);

/* --- values ------------------------------------------------------------------------------------------------------- */

/** A temporary of the plan's dtype. */
egi_val egi_temp(egi_plan *plan, egi_shape shape);
/** A temporary like `v` (shape and dtype). */
egi_val egi_temp_like(egi_plan *plan, egi_val v);
/** A temporary of another dtype. */
egi_val egi_temp_of(egi_plan *plan, egi_dtype dtype, egi_shape shape);
/** An input that the caller fills before each run, through egi_plan_data(). */
egi_val egi_plan_input(egi_plan *plan, egi_dtype dtype, egi_shape shape);
/** Memory of the caller's. */
egi_val egi_plan_bind(egi_plan *plan, egi_dtype dtype, egi_shape shape, void *data);
/** `v`'s memory under another shape of the same count. */
egi_val egi_alias(egi_plan *plan, egi_val v, egi_shape shape);
/** Makes `v` readable after a run. */
void egi_plan_keep(egi_plan *plan, egi_val v);
/** Marks a bound value as a leaf with a gradient, written to the bound value `grad` (EGI_NONE: into a kept temporary
 * that egi_plan_grad() names after egi_plan_backward()). */
void egi_plan_leaf(egi_plan *plan, egi_val v, egi_val grad);

const egi_shape *egi_shape_of(const egi_plan *plan, egi_val v);
egi_dtype egi_dtype_of(const egi_plan *plan, egi_val v);
static inline int64_t egi_dim(const egi_plan *plan, egi_val v, int axis)
{
    const egi_shape *s = egi_shape_of(plan, v);
    return s->dim[axis < 0 ? s->rank + axis : axis];
}

/* --- emitting ----------------------------------------------------------------------------------------------------- */

/** Checks and appends an operation; `args` is copied. */
eg_status egi_plan_emit(egi_plan *plan, const egi_op *op, const void *args);

/** EGI_EMIT(plan, dense, .x = x, .w = w, .y = y): appends an operation; a status. */
#define EGI_EMIT(plan, op_name, ...) egi_plan_emit((plan), &egi_op_##op_name, &(egi_##op_name){__VA_ARGS__})

/** The node that computes `v` last, or NULL. */
egi_node *egi_plan_producer(const egi_plan *plan, egi_val v);

/** The value whose memory `v` is: itself, or what it is an alias of. */
egi_val egi_root(const egi_plan *plan, egi_val v);
/** How many live operations read `v` or an alias of it. */
int egi_plan_uses(const egi_plan *plan, egi_val v);

/* --- gradients (core/grad.c) -------------------------------------------------------------------------------------- */

/** Appends the backward pass of the scalar `loss` (its own gradient is 1). */
eg_status egi_plan_backward(egi_plan *plan, egi_val loss);
/** Appends a backward pass that begins with `dy`, the gradient of `y`, and, where `squares`, sums squared per-sample
 * parameter gradients instead of gradients. */
eg_status egi_plan_backward_from(egi_plan *plan, egi_val y, egi_val dy, bool squares);
/** Does every leaf with a `square` occur once, in an operation with a square rule? Else squares are exact for batch 1
 * only, as squared gradients. */
bool egi_plan_squares_exact(const egi_plan *plan);
/** After egi_plan_backward: the gradient of a leaf, or EGI_NONE. */
egi_val egi_plan_grad(const egi_plan *plan, egi_val leaf);

/* What a gradient rule calls: */
/** Does anybody want the gradient of `x`? False for EGI_NONE. */
bool egi_grad_wanted(const egi_grads *grads, egi_val x);
/** The gradient of output `y`, with y's shape. EGI_NONE when nothing flows there. */
egi_val egi_grad_of(egi_grads *grads, egi_val y);
/** A value with x's shape that the rule's next operation writes a contribution to x's gradient into. Only when wanted.
 */
egi_val egi_grad_into(egi_grads *grads, egi_val x);
/** The existing value `dx` (of x's count) is the contribution: nothing is copied. Only when wanted. */
void egi_grad_pass(egi_grads *grads, egi_val x, egi_val dx);
/** In a `square` rule: where the squares of parameter `x` are summed (an operation adds to it), or EGI_NONE when not
 * wanted. */
egi_val egi_square_of(egi_grads *grads, egi_val x);

/* --- compiling and running ---------------------------------------------------------------------------------------- */

/** Forward peepholes (core/fuse.c): activation into dense and conv2d, and the like. Before egi_plan_backward(). */
eg_status egi_plan_fuse(egi_plan *plan);
/** The value before the softmax or sigmoid that computes `out`, and which one it was, so that a loss can take logits.
 * *head: EGI_ACT_SOFTMAX, EGI_ACT_SIGMOID or EGI_ACT_LINEAR (then *logits is `out`). Where a sigmoid cannot be taken
 * apart, *head is SIGMOID and *logits is `out`: probabilities. Before egi_plan_backward(). */
EG_MUST_USE eg_status egi_plan_logits(egi_plan *plan, egi_val out, egi_val *logits, egi_act *head);

/** Prunes, places, prepares. */
eg_status egi_plan_compile(egi_plan *plan);
/** Runs everything. Allocates nothing. */
eg_status egi_plan_run(egi_plan *plan, const egi_control *control);
/** Runs only the forward part / only the rest. */
eg_status egi_plan_run_forward(egi_plan *plan, const egi_control *control);
eg_status egi_plan_run_backward(egi_plan *plan, const egi_control *control);
/** Address of a kept or bound value after compiling. */
void *egi_plan_data(const egi_plan *plan, egi_val v);
/** Before all inputs of a compiled plan are filled anew: where a device may still be reading what they hold, they get
 * another place, so egi_plan_data() of inputs changes. Errors: DEVICE. */
eg_status egi_plan_refill(egi_plan *plan);
/** From now on input `v` of a compiled plan is read at `data` (borrowed, of v's size): nothing is copied. Only of plans
 * without a backward pass, whose kernels remember addresses. */
void egi_plan_point(egi_plan *plan, egi_val v, const void *data);

/* --- profiling (core/profile.c) ----------------------------------------------------------------------------------- */

typedef enum egi_phase { EGI_PHASE_FORWARD, EGI_PHASE_BACKWARD, EGI_PHASE_UPDATE } egi_phase;

/** What one operation of a profiled plan did. */
typedef struct egi_cost {
    const egi_op *op;
    int layer; /* the call that emitted it, or whose gradient it computes; -1 none */
    egi_phase phase;
    int64_t calls;
    double seconds, flops, bytes; /* of all calls; flops is 0 where the operation counts none */
} egi_cost;

/** From now on a compiled plan measures what each of its kernels takes, from zero. Errors: NOMEM. */
EG_MUST_USE eg_status egi_plan_profile(egi_plan *plan);
/** What node `i` of a profiled plan did; false: it was dropped. */
bool egi_plan_cost(const egi_plan *plan, int64_t i, egi_cost *out);
/** Counted values of one run of an operation. */
double egi_op_flops(const egi_op *op, const void *args, const egi_tensor *t);
double egi_op_bytes(const egi_op *op, const void *args, const egi_tensor *t);

#endif
