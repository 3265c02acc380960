/* Graphs of cuDNN's backend interface: descriptors with attributes, an engine that fits, a plan. */
#include "cuda/cudnn_graph.h"

#include <dlfcn.h>
#include <stdio.h>

typedef cudnnBackendDescriptor_t desc;

/* --- the library -------------------------------------------------------------------------------------------------- */

#define OLDEST 90800 /* the first with descriptions of devices */

static eg_status find_all(egi_cudnn *c)
{
#define EG_CUDNN(name)                                 \
    if (!egi_cuda_symbol(c->library, #name, &c->name)) \
        return egi_fail(EG_ERR_DEVICE, "cudnn: libcudnn.so.9 has no %s", #name);
#include "cuda/cudnn.def"
#undef EG_CUDNN
    const size_t version = c->cudnnGetVersion();
    if (version < OLDEST)
        return egi_fail(EG_ERR_DEVICE, "cudnn: wanted 9.8 or later, found %zu.%zu", version / 10000,
                        version % 10000 / 100);
    return EG_OK;
}

eg_status egi_cudnn_load(egi_cudnn *out)
{
    *out = (egi_cudnn){.library = egi_cuda_open("libcudnn.so.9")};
    if (!out->library)
        return egi_fail(EG_ERR_DEVICE, "cudnn: libcudnn.so.9 was not found");
    const eg_status status = find_all(out);
    if (status != EG_OK)
        egi_cudnn_release(out);
    return status;
}

void egi_cudnn_release(egi_cudnn *c)
{
    if (c->stored)
        c->cudnnBackendDestroyDescriptor(c->stored);
    if (c->handle)
        c->cudnnDestroy(c->handle);
    *c = (egi_cudnn){.library = NULL}; /* it stays loaded: it has threads and kernels of its own */
}

/* cuDNN talks to the driver itself, past our libcudart: where that has loaded none (tests/cudasim), there is no device
 * for it. */
static bool driver_is_there(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (driver)
        dlclose(driver);
    return driver != NULL;
}

const char *egi_cudnn_open(egi_cuda *cuda, char *text, size_t room)
{
    egi_cudnn *c = NULL;
    snprintf(text, room, "no cuDNN");
    if (!driver_is_there() || egi_alloc(&c, cuda->base.context, 1, sizeof *c) != EG_OK)
        return text;
    if (egi_cudnn_load(c) == EG_OK) {
        const size_t version = c->cudnnGetVersion();
        snprintf(text, room, "cuDNN %zu.%zu", version / 10000, version % 10000 / 100);
        cuda->cudnn = c;
    } else {
        egi_free(cuda->base.context, c);
    }
    return text;
}

void egi_cudnn_close(egi_cuda *cuda)
{
    if (cuda->cudnn)
        egi_cudnn_release(cuda->cudnn);
    egi_free(cuda->base.context, cuda->cudnn);
    cuda->cudnn = NULL;
}

static eg_status failure(const egi_cudnn *c, eg_status code, cudnnStatus_t status, const char *what)
{
    char text[200] = "";
    c->cudnnGetLastErrorString(text, sizeof text);
    return egi_fail(code, "cudnn: %s: %s: %s", what, c->cudnnGetErrorString(status), text);
}

/* --- descriptors: after the first failure nothing more is asked, and the graph keeps it ----------------------------
 */

#define DESCRIPTORS 24

typedef struct graph {
    const egi_cudnn *cudnn;
    cudnnStatus_t status;
    const char *what; /* failed */
    desc made[DESCRIPTORS];
    int n;
} graph;

static void note(graph *g, cudnnStatus_t status, const char *what)
{
    if (g->status == CUDNN_STATUS_SUCCESS && status != CUDNN_STATUS_SUCCESS) {
        g->status = status;
        g->what = what;
    }
}

static desc make(graph *g, cudnnBackendDescriptorType_t type)
{
    desc d = NULL;
    if (g->n == DESCRIPTORS)
        note(g, CUDNN_STATUS_INTERNAL_ERROR, "too many descriptors");
    if (g->status == CUDNN_STATUS_SUCCESS)
        note(g, g->cudnn->cudnnBackendCreateDescriptor(type, &d), "descriptor");
    if (d)
        g->made[g->n++] = d;
    return d;
}

static void set(graph *g, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *values)
{
    if (g->status == CUDNN_STATUS_SUCCESS)
        note(g, g->cudnn->cudnnBackendSetAttribute(d, name, type, n, values), "attribute");
}

#define SET(g, d, name, type, value) set((g), (d), CUDNN_ATTR_##name, CUDNN_TYPE_##type, 1, &(value))
#define SET_2(g, d, name, values)    set((g), (d), CUDNN_ATTR_##name, CUDNN_TYPE_INT64, 2, (values))

static desc finish(graph *g, desc d, const char *what)
{
    if (g->status == CUDNN_STATUS_SUCCESS)
        note(g, g->cudnn->cudnnBackendFinalize(d), what);
    return d;
}

static eg_status end(graph *g)
{
    eg_status status = EG_OK;
    if (g->status != CUDNN_STATUS_SUCCESS)
        status = failure(g->cudnn, EGI_CUDA_DECLINE, g->status, g->what);
    while (g->n > 0)
        g->cudnn->cudnnBackendDestroyDescriptor(g->made[--g->n]);
    return status;
}

eg_status egi_cudnn_describe(egi_cudnn *c, const char *json, size_t length)
{
    graph g = {.cudnn = c};
    const desc d = make(&g, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    set(&g, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)length, json);
    finish(&g, d, "description of a device");
    if (g.status != CUDNN_STATUS_SUCCESS) {
        const eg_status status = failure(c, EG_ERR_DEVICE, g.status, g.what);
        (void)end(&g);
        return status;
    }
    if (c->stored)
        c->cudnnBackendDestroyDescriptor(c->stored);
    c->stored = d;
    return EG_OK;
}

/* --- tensors and operations --------------------------------------------------------------------------------------- */

/* Dimensions in cuDNN's order (n, c, h, w), memory in ours (n, h, w, c). */
static desc tensor(graph *g, const egi_cudnn_conv *c, int64_t uid, cudnnDataType_t type, const int64_t dim[4])
{
    const int64_t stride[4] = {dim[1] * dim[2] * dim[3], 1, dim[1] * dim[3], dim[1]};
    const bool inner = uid > EGI_CUDNN_B; /* between operations: it has no memory */
    const int64_t aligned = inner ? 16 : c->aligned[uid - EGI_CUDNN_X];
    const desc d = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
    set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    SET(g, d, TENSOR_DATA_TYPE, DATA_TYPE, type);
    SET(g, d, TENSOR_UNIQUE_ID, INT64, uid);
    SET(g, d, TENSOR_BYTE_ALIGNMENT, INT64, aligned);
    SET(g, d, TENSOR_IS_VIRTUAL, BOOLEAN, inner);
    return finish(g, d, "tensor");
}

/* What the windows of an axis reach over after the input; Keras' `same` pads there by one more than before. */
static int64_t padding_after(const egi_cudnn_conv *c, int axis)
{
    const int64_t in = axis ? c->d.w : c->d.h, out = axis ? c->d.ow : c->d.oh, kernel = axis ? c->d.kw : c->d.kh;
    const int64_t after = egi_conv_at(&c->g, axis, out - 1, kernel - 1) - (in - 1);
    return after < 0 ? 0 : after;
}

static desc geometry(graph *g, const egi_cudnn_conv *c)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t axes = 2, after[2] = {padding_after(c, 0), padding_after(c, 1)};
    const desc d = make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    SET(g, d, CONVOLUTION_COMP_TYPE, DATA_TYPE, sums);
    SET(g, d, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, mode);
    SET(g, d, CONVOLUTION_SPATIAL_DIMS, INT64, axes);
    SET_2(g, d, CONVOLUTION_PRE_PADDINGS, c->g.pad);
    SET_2(g, d, CONVOLUTION_POST_PADDINGS, after);
    SET_2(g, d, CONVOLUTION_DILATIONS, c->g.dilation);
    SET_2(g, d, CONVOLUTION_FILTER_STRIDES, c->g.stride);
    return finish(g, d, "convolution");
}

typedef struct tensors {
    desc conv, x, w, y; /* y: what the convolution makes or takes; x and w: in `dx` and `dw` too */
} tensors;

#define CONVOLUTION(g, t, type, pass, x_name, w_name, y_name)                                 \
    do {                                                                                      \
        const float one = 1, zero = 0;                                                        \
        d = make((g), CUDNN_BACKEND_OPERATION_CONVOLUTION_##type##_DESCRIPTOR);               \
        SET((g), d, OPERATION_CONVOLUTION_##pass##_ALPHA, FLOAT, one);                        \
        SET((g), d, OPERATION_CONVOLUTION_##pass##_BETA, FLOAT, zero);                        \
        SET((g), d, OPERATION_CONVOLUTION_##pass##_CONV_DESC, BACKEND_DESCRIPTOR, (t)->conv); \
        SET((g), d, OPERATION_CONVOLUTION_##pass##_##x_name, BACKEND_DESCRIPTOR, (t)->x);     \
        SET((g), d, OPERATION_CONVOLUTION_##pass##_##w_name, BACKEND_DESCRIPTOR, (t)->w);     \
        SET((g), d, OPERATION_CONVOLUTION_##pass##_##y_name, BACKEND_DESCRIPTOR, (t)->y);     \
    } while (0)

static desc convolution(graph *g, const egi_cudnn_conv *c, const tensors *t)
{
    desc d;
    if (c->pass == EGI_CUDNN_FORWARD)
        CONVOLUTION(g, t, FORWARD, FORWARD, X, W, Y);
    else if (c->pass == EGI_CUDNN_DX)
        CONVOLUTION(g, t, BACKWARD_DATA, BWD_DATA, DX, W, DY);
    else
        CONVOLUTION(g, t, BACKWARD_FILTER, BWD_FILTER, X, DW, DY);
    return finish(g, d, "convolution's operation");
}

/* y = x + b, or relu(x) where b is NULL; a NaN stays one. */
static desc pointwise(graph *g, desc x, desc b, desc y)
{
    const cudnnPointwiseMode_t mode = b ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD;
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
    const desc p = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    SET(g, p, POINTWISE_MODE, POINTWISE_MODE, mode);
    SET(g, p, POINTWISE_MATH_PREC, DATA_TYPE, type);
    if (!b)
        SET(g, p, POINTWISE_NAN_PROPAGATION, NAN_PROPOGATION, nan);
    finish(g, p, "pointwise");
    const desc d = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    SET(g, d, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, p);
    SET(g, d, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, x);
    if (b)
        SET(g, d, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, b);
    SET(g, d, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, y);
    return finish(g, d, "pointwise operation");
}

static desc operations(graph *g, const egi_cudnn_conv *c)
{
    const egi_conv_dims *d = &c->d;
    const cudnnDataType_t type = c->precision == EGI_PRECISION_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const int64_t in[4] = {d->n, d->c, d->h, d->w}, out[4] = {d->n, d->f, d->oh, d->ow},
                  kernel[4] = {d->f, d->cg, d->kh, d->kw}, row[4] = {1, d->f, 1, 1};
    const int64_t product = c->bias ? EGI_CUDNN_B + 1 : EGI_CUDNN_Y, sum = c->relu ? EGI_CUDNN_B + 2 : EGI_CUDNN_Y;
    const tensors t = {.conv = geometry(g, c),
                       .x = tensor(g, c, EGI_CUDNN_X, type, in),
                       .w = tensor(g, c, EGI_CUDNN_W, type, kernel),
                       .y = tensor(g, c, product, type, out)};
    desc ops[3], last = t.y;
    int64_t n = 0;
    ops[n++] = convolution(g, c, &t);
    if (c->bias) {
        last = tensor(g, c, sum, type, out);
        ops[n++] = pointwise(g, t.y, tensor(g, c, EGI_CUDNN_B, type, row), last);
    }
    if (c->bias && c->relu)
        ops[n++] = pointwise(g, last, NULL, tensor(g, c, EGI_CUDNN_Y, type, out));
    const desc all = make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(g, all, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, ops);
    if (g->cudnn->handle)
        SET(g, all, OPERATIONGRAPH_HANDLE, HANDLE, g->cudnn->handle);
    return finish(g, all, "graph");
}

/* --- engines and plans -------------------------------------------------------------------------------------------- */

unsigned egi_cudnn_allowed(egi_precision precision)
{
    const unsigned always = 1u << CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
    return precision == EGI_PRECISION_F32 ? always : always | 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
}

/* Notes of an engine as bits; both kinds are enums of 4 bytes. */
static unsigned notes_of(const egi_cudnn *c, desc engine, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type)
{
    int32_t list[32];
    int64_t n = 0;
    unsigned bits = 0;
    _Static_assert(sizeof(cudnnBackendNumericalNote_t) == sizeof *list, "notes");
    _Static_assert(sizeof(cudnnBackendBehaviorNote_t) == sizeof *list, "notes");
    if (c->cudnnBackendGetAttribute(engine, name, type, 32, &n, list) != CUDNN_STATUS_SUCCESS)
        return ~0u; /* no notes, no trust */
    for (int64_t i = 0; i < n && i < 32; i++)
        bits |= 1u << (list[i] & 31);
    return bits;
}

static void read_engine(const egi_cudnn *c, egi_cudnn_plan *p)
{
    desc engine = NULL;
    int64_t n = 0;
    p->numeric = p->behaviour = ~0u;
    if (c->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != CUDNN_STATUS_SUCCESS)
        return;
    if (c->cudnnBackendGetAttribute(p->config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
                                    &engine) == CUDNN_STATUS_SUCCESS) {
        c->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, &p->engine);
        p->numeric = notes_of(c, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
        p->behaviour = notes_of(c, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE);
    }
    c->cudnnBackendDestroyDescriptor(engine);
}

/* Engines that are compiled when a plan is made would take seconds, and tests/cudnn could not know them. */
static bool may_take(const egi_cudnn_plan *p, egi_precision precision)
{
    return !(p->numeric & ~egi_cudnn_allowed(precision)) &&
           !(p->behaviour & 1u << CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
}

/* Does this configuration make a plan? Then it is in *p. */
static bool finalise(const egi_cudnn *c, egi_cudnn_plan *p, int64_t most)
{
    graph g = {.cudnn = c};
    int64_t n = 0;
    p->plan = make(&g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    SET(&g, p->plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, p->config);
    if (c->handle)
        SET(&g, p->plan, EXECUTION_PLAN_HANDLE, HANDLE, c->handle);
    else
        SET(&g, p->plan, EXECUTION_PLAN_DEVICEPROP, BACKEND_DESCRIPTOR, c->stored);
    finish(&g, p->plan, "plan");
    if (g.status == CUDNN_STATUS_SUCCESS)
        note(&g,
             c->cudnnBackendGetAttribute(p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                                         &p->workspace),
             "workspace");
    if (g.status == CUDNN_STATUS_SUCCESS && p->workspace <= most)
        return true;
    (void)end(&g);
    p->plan = NULL;
    return false;
}

#define CONFIGS 128

/* The configurations that a heuristic names, best first; the caller destroys them. */
static int64_t ask(const egi_cudnn *c, desc operations, cudnnBackendHeurMode_t mode, desc list[CONFIGS])
{
    graph g = {.cudnn = c};
    int64_t n = 0, made = 0;
    const desc h = make(&g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    SET(&g, h, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, operations);
    SET(&g, h, ENGINEHEUR_MODE, HEUR_MODE, mode);
    if (!c->handle)
        SET(&g, h, ENGINEHEUR_DEVICEPROP, BACKEND_DESCRIPTOR, c->stored);
    finish(&g, h, "heuristics");
    while (g.status == CUDNN_STATUS_SUCCESS && made < CONFIGS &&
           c->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &list[made]) == CUDNN_STATUS_SUCCESS)
        made++;
    if (made && c->cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &n,
                                            list) != CUDNN_STATUS_SUCCESS)
        n = 0;
    while (made > n)
        c->cudnnBackendDestroyDescriptor(list[--made]);
    (void)end(&g);
    return made;
}

/* The first configuration that will do; the others are destroyed. */
static bool choose(const egi_cudnn *c, const egi_cudnn_conv *conv, int64_t most, desc *list, int64_t n,
                   egi_cudnn_plan *out)
{
    bool found = false;
    for (int64_t i = 0; i < n; i++) {
        egi_cudnn_plan p = {.config = list[i]};
        if (!found)
            read_engine(c, &p);
        if (!found && may_take(&p, conv->precision) && finalise(c, &p, most)) {
            found = true;
            *out = p;
        } else {
            c->cudnnBackendDestroyDescriptor(list[i]);
        }
    }
    return found;
}

eg_status egi_cudnn_plan_make(egi_cudnn_plan *out, const egi_cudnn *cudnn, const egi_cudnn_conv *conv, int64_t most)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
    graph g = {.cudnn = cudnn};
    desc list[CONFIGS];
    int64_t named = 0;
    *out = (egi_cudnn_plan){.engine = -1};
    const desc all = operations(&g, conv);
    for (int i = 0; i < 3 && g.status == CUDNN_STATUS_SUCCESS && !out->plan; i++) {
        const int64_t n = ask(cudnn, all, modes[i], list);
        named += n;
        choose(cudnn, conv, most, list, n, out);
    }
    EG_TRY(end(&g));
    if (!out->plan)
        return egi_fail(EGI_CUDA_DECLINE, "cudnn: of %lld configurations none will do", (long long)named);
    return EG_OK;
}

void egi_cudnn_plan_release(const egi_cudnn *c, egi_cudnn_plan *p)
{
    if (p->plan)
        c->cudnnBackendDestroyDescriptor(p->plan);
    if (p->config)
        c->cudnnBackendDestroyDescriptor(p->config);
    *p = (egi_cudnn_plan){.engine = -1};
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static eg_status make_pack(const egi_cudnn *c, desc *out, const int64_t *uids, void *const *data, int n,
                           void *workspace)
{
    graph g = {.cudnn = c};
    const desc pack = make(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    set(&g, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids);
    set(&g, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, data);
    SET(&g, pack, VARIANT_PACK_WORKSPACE, VOID_PTR, workspace);
    finish(&g, pack, "addresses");
    if (g.status == CUDNN_STATUS_SUCCESS) {
        *out = pack;
        return EG_OK;
    }
    const eg_status status = failure(c, EG_ERR_DEVICE, g.status, g.what);
    (void)end(&g);
    return status;
}

eg_status egi_cudnn_run(const egi_cudnn *c, const egi_cudnn_plan *plan, desc *pack, const int64_t *uids,
                        void *const *data, int n, void *workspace)
{
    if (!*pack)
        EG_TRY(make_pack(c, pack, uids, data, n, workspace));
    const cudnnStatus_t status = c->cudnnBackendExecute(c->handle, plan->plan, *pack);
    return status == CUDNN_STATUS_SUCCESS ? EG_OK : failure(c, EG_ERR_DEVICE, status, "convolution");
}
