/* Prepared operations: lists of launches and of libraries' calls, and the host's reference for what no kernel serves.
 */
#include "cuda/graph.h"

#include <string.h>

#define LAUNCHES_MAX 6

typedef struct launch {
    egi_cuda_call call; /* a library's, with `state`, instead of a launch; or NULL */
    void *state;
    cudaKernel_t function;
    dim3 grid;
    unsigned block;
    size_t shared;
    uint16_t scratch_field;
    _Alignas(16) char args[EGI_CUDA_ARGS_MAX];
} launch;

typedef struct launches {
    int n;
    launch list[LAUNCHES_MAX];
    void *table; /* device memory of egi_cuda_table() */
} launches;

static void release_state(egi_device *device, egi_kernel *k)
{
    egi_cuda_graph_drop((egi_cuda *)device, k);
    egi_free(device->context, k->state);
    k->state = NULL;
}

static void release_launches(egi_device *device, egi_kernel *k)
{
    launches *all = k->state;
    for (int i = 0; i < all->n; i++)
        egi_free(device->context, all->list[i].state);
    device->type->release(device, all->table);
    release_state(device, k);
}

static eg_status run_launch(const egi_kernel *k, launch *l)
{
    egi_cuda *c = egi_cuda_of(k);
    void *args[] = {l->args};
    if (l->scratch_field)
        memcpy(l->args + l->scratch_field - 1, &k->scratch, sizeof k->scratch);
    return egi_cuda_check(
        c,
        c->api.cudaLaunchKernel((const void *)l->function, l->grid, (dim3){l->block, 1, 1}, args, l->shared, c->stream),
        k->op->name);
}

static eg_status run_launches(const egi_kernel *k, const egi_control *control)
{
    (void)control; /* kernels read the device's copy */
    launches *all = k->state;
    for (int i = 0; i < all->n; i++) {
        launch *l = &all->list[i];
        EG_TRY(l->call ? l->call(k, l->state) : run_launch(k, l));
    }
    return EG_OK;
}

eg_status egi_cuda_find(egi_cuda *c, const char *name, cudaKernel_t *out)
{
    for (int i = 0; i < c->n_families; i++)
        if (c->api.cudaLibraryGetKernel(out, c->families[i], name) == cudaSuccess)
            return EG_OK;
    c->api.cudaGetLastError();
    return egi_fail(EG_ERR_INTERNAL, "cuda: there is no kernel %s", name);
}

static eg_status make_state(egi_kernel *k)
{
    if (k->run == run_launches)
        return EG_OK;
    EG_TRY(egi_alloc(&k->state, k->device->context, 1, sizeof(launches)));
    k->destroy = release_launches;
    k->run = run_launches;
    return EG_OK;
}

eg_status egi_cuda_table(egi_kernel *k, void **out, const void *table, size_t bytes)
{
    EG_TRY(make_state(k));
    void **there = &((launches *)k->state)->table;
    if (*there)
        return egi_fail(EG_ERR_INTERNAL, "cuda: %s: two tables", k->op->name);
    EG_TRY(k->device->type->alloc(k->device, there, bytes));
    *out = *there;
    return k->device->type->upload(k->device, *there, table, bytes);
}

eg_status egi_cuda_call_add(egi_kernel *k, egi_cuda_call call, void *state, size_t size)
{
    EG_TRY(make_state(k));
    launches *all = k->state;
    if (all->n == LAUNCHES_MAX)
        return egi_fail(EG_ERR_INTERNAL, "cuda: %s: too many launches", k->op->name);
    launch *l = &all->list[all->n];
    EG_TRY(egi_alloc(&l->state, k->device->context, 1, size));
    l->call = call;
    all->n++;
    memcpy(state, &l->state, sizeof l->state);
    return EG_OK;
}

eg_status egi_cuda_launch_add(egi_kernel *k, const egi_cuda_launch *what)
{
    EG_TRY(make_state(k));
    launches *all = k->state;
    const int64_t x = what->grid[0], y = what->grid[1] ? what->grid[1] : 1, z = what->grid[2] ? what->grid[2] : 1;
    if (x == 0)
        return EG_OK;
    if (all->n == LAUNCHES_MAX || what->size > EGI_CUDA_ARGS_MAX)
        return egi_fail(EG_ERR_INTERNAL, "cuda: %s: too many launches or too large a struct", what->name);
    if (x > INT32_MAX || y > 65535 || z > 65535)
        return EGI_CUDA_DECLINE;
    launch *l = &all->list[all->n++];
    *l = (launch){.grid = {(unsigned)x, (unsigned)y, (unsigned)z},
                  .block = (unsigned)what->block,
                  .shared = what->shared,
                  .scratch_field = what->scratch_field};
    memcpy(l->args, what->args, what->size);
    return egi_cuda_find(egi_cuda_of(k), what->name, &l->function);
}

bool egi_cuda_is_f32(const egi_kernel *k)
{
    const uint16_t *const lists[] = {k->op->in, k->op->out};
    for (int l = 0; l < 2; l++)
        for (const uint16_t *field = lists[l]; *field; field++) {
            const egi_val v = egi_arg(k->args, *field);
            if (v != EGI_NONE && k->t[v].dtype == EGI_F64)
                return false;
        }
    return true;
}

/* --- the host's reference ----------------------------------------------------------------------------------------- */

typedef struct reference {
    egi_tensor *t; /* by value, as the operation wants it; data at the host */
    egi_val n;
} reference;

static void release_reference(egi_device *device, egi_kernel *k)
{
    reference *r = k->state;
    for (egi_val v = 0; r && r->t && v < r->n; v++)
        egi_free(device->context, r->t[v].data);
    if (r)
        egi_free(device->context, r->t);
    release_state(device, k);
}

static size_t bytes_of(const egi_tensor *t)
{
    return (size_t)egi_count(t) * egi_dtype_size(t->dtype);
}

static eg_status move(const egi_kernel *k, const uint16_t *fields, bool out)
{
    const reference *r = k->state;
    egi_device *d = k->device;
    for (; *fields; fields++) {
        const egi_val v = egi_arg(k->args, *fields);
        if (v == EGI_NONE)
            continue;
        EG_TRY(out ? d->type->upload(d, k->t[v].data, r->t[v].data, bytes_of(&k->t[v]))
                   : d->type->download(d, r->t[v].data, k->t[v].data, bytes_of(&k->t[v])));
    }
    return EG_OK;
}

static eg_status run_reference(const egi_kernel *k, const egi_control *control)
{
    const reference *r = k->state;
    EG_TRY(move(k, k->op->in, false));
    k->op->reference(k->args, r->t, control);
    return move(k, k->op->out, true);
}

static eg_status add_values(egi_kernel *k, const uint16_t *fields)
{
    reference *r = k->state;
    for (; *fields; fields++) {
        const egi_val v = egi_arg(k->args, *fields);
        if (v == EGI_NONE || r->t[v].data)
            continue;
        r->t[v] = k->t[v];
        r->t[v].data = NULL;
        EG_TRY(egi_alloc(&r->t[v].data, k->device->context, egi_count(&k->t[v]), egi_dtype_size(k->t[v].dtype)));
    }
    return EG_OK;
}

static egi_val largest(const egi_kernel *k, const uint16_t *fields, egi_val most)
{
    for (; *fields; fields++)
        most = egi_arg(k->args, *fields) > most ? egi_arg(k->args, *fields) : most;
    return most;
}

eg_status egi_cuda_reference(egi_kernel *k)
{
    eg_context *c = k->device->context;
    reference *r;
    EG_TRY(egi_alloc(&r, c, 1, sizeof *r));
    k->state = r;
    k->destroy = release_reference;
    k->run = run_reference;
    k->slow = true;
    r->n = largest(k, k->op->out, largest(k, k->op->in, 0)) + 1;
    EG_TRY(egi_alloc(&r->t, c, r->n, sizeof *r->t));
    EG_TRY(add_values(k, k->op->in));
    return add_values(k, k->op->out);
}
