/* From a list of operations to something that runs: drop what nobody needs, give every temporary a place by its
 * lifetime, let the device prepare each operation. */
#include "core/stage.h"

#include <stdlib.h>
#include <string.h>

#define PLACE_ALIGN 64

static bool is_needed(const egi_plan *p, const egi_node *node, const bool *live)
{
    for (int k = 0; node->op->out[k]; k++) {
        const egi_val v = egi_arg(node->args, node->op->out[k]);
        if (v != EGI_NONE && (p->values[egi_root(p, v)].kind != EGI_VAL_TEMP || live[egi_root(p, v)]))
            return true;
    }
    return false;
}

/* Walks backwards: a node lives if something that lives, or that outlives the plan, is written by it. */
static eg_status prune(egi_plan *p)
{
    bool *live;
    EG_TRY(egi_alloc(&live, p->context, p->n_values, sizeof *live));
    for (int64_t i = p->n_nodes - 1; i >= 0; i--) {
        egi_node *node = &p->nodes[i];
        node->dead = node->dead || !is_needed(p, node, live);
        for (int k = 0; !node->dead && node->op->in[k]; k++)
            live[egi_root(p, egi_arg(node->args, node->op->in[k]))] = true;
    }
    egi_free(p->context, live);
    return EG_OK;
}

static void touch(egi_plan *p, egi_val v, int node)
{
    egi_value *value = &p->values[egi_root(p, v)];
    if (value->first < 0)
        value->first = node;
    value->last = node;
}

static void lifetimes(egi_plan *p)
{
    for (int64_t v = 0; v < p->n_values; v++)
        p->values[v].first = p->values[v].last = -1;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        const egi_node *node = &p->nodes[i];
        for (int k = 0; !node->dead && node->op->in[k]; k++)
            touch(p, egi_arg(node->args, node->op->in[k]), (int)i);
        for (int k = 0; !node->dead && node->op->out[k]; k++) {
            touch(p, egi_arg(node->args, node->op->out[k]), (int)i);
            p->values[egi_root(p, egi_arg(node->args, node->op->out[k]))].written = true;
        }
    }
    for (int64_t v = 1; v < p->n_values; v++) {
        egi_value *value = &p->values[v];
        if (value->kind == EGI_VAL_KEPT) {
            value->first = 0;
            value->last = (int)p->n_nodes;
        } else if (p->replay && value->first >= 0 && value->first < p->n_once && value->last >= p->n_once) {
            value->last = (int)p->n_nodes; /* read again by every run of the backward part */
        }
    }
}

static bool is_read_once(const egi_plan *p, const egi_node *node, egi_val root)
{
    int n = 0;
    for (int k = 0; node->op->in[k]; k++)
        n += egi_root(p, egi_arg(node->args, node->op->in[k])) == root;
    return n == 1;
}

static bool is_taken(const egi_plan *p, const egi_node *node, egi_val root)
{
    for (int k = 0; node->op->out[k]; k++) {
        const egi_val out = egi_arg(node->args, node->op->out[k]);
        if (out != EGI_NONE && (p->values[out].over == root || egi_root(p, out) == root))
            return true;
    }
    return false;
}

/* Can `y` begin its life in node `i` where `x` ends its own? */
static bool can_lie_over(const egi_plan *p, int i, egi_val y, egi_val x)
{
    const egi_value *to = &p->values[y], *from = &p->values[x];
    return to->kind == EGI_VAL_TEMP && !to->alias_of && !to->over && to->first == i && from->kind == EGI_VAL_TEMP &&
           from->last == i && from->first < i && p->t[x].dtype == p->t[y].dtype &&
           egi_count(&p->t[x]) == egi_count(&p->t[y]) && is_read_once(p, &p->nodes[i], x) &&
           !is_taken(p, &p->nodes[i], from->over ? from->over : x);
}

/* Results that take the place of what they are computed from: nothing is read from memory that is about to be
 * forgotten, nor written to memory that is not in the cache. */
static void lie_over(egi_plan *p)
{
    for (int64_t i = 0; i < p->n_nodes; i++) {
        const egi_node *node = &p->nodes[i];
        for (int k = 0; !node->dead && node->op->over[k].out; k++) {
            const egi_val y = egi_arg(node->args, node->op->over[k].out);
            const egi_val x = egi_root(p, egi_arg(node->args, node->op->over[k].in));
            if (y != EGI_NONE && x != EGI_NONE && can_lie_over(p, (int)i, y, x))
                p->values[y].over = p->values[x].over ? p->values[x].over : x;
        }
    }
    for (egi_val v = 1; v < p->n_values; v++) {
        egi_value *under = &p->values[p->values[v].over];
        if (p->values[v].over && p->values[v].last > under->last)
            under->last = p->values[v].last;
    }
}

typedef struct block {
    egi_val v;
    size_t bytes, offset;
    int first, last;
    bool input;
} block;

/* Inputs come first, side by side: they go to a device as one. */
static int by_size(const void *a, const void *b)
{
    const block *x = a, *y = b;
    if (x->input != y->input)
        return x->input ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->v < y->v ? -1 : 1;
}

static int by_offset(const void *a, const void *b)
{
    const block *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The lowest gap among already placed blocks that live at the same time; `near` has room for all of them. */
static size_t find_gap(const block *placed, int n, const block *b, block *near)
{
    int m = 0;
    for (int i = 0; i < n; i++)
        if (placed[i].first <= b->last && b->first <= placed[i].last)
            near[m++] = placed[i];
    qsort(near, (size_t)m, sizeof *near, by_offset);
    size_t at = 0;
    for (int i = 0; i < m; i++) {
        if (near[i].offset >= at + b->bytes)
            break;
        if (near[i].offset + near[i].bytes > at)
            at = near[i].offset + near[i].bytes;
    }
    return at;
}

static int collect_blocks(egi_plan *p, block *blocks)
{
    int n = 0;
    for (egi_val v = 1; v < p->n_values; v++) {
        const egi_value *value = &p->values[v];
        if (value->alias_of || value->kind == EGI_VAL_BOUND || value->first < 0)
            continue;
        const size_t bytes = (size_t)egi_count(&p->t[v]) * egi_dtype_size(p->t[v].dtype);
        const size_t rounded = (bytes + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
        p->sum_bytes += rounded;
        if (value->over)
            continue;
        blocks[n++] = (block){.v = v,
                              .bytes = rounded ? rounded : PLACE_ALIGN,
                              .first = value->first,
                              .last = value->last,
                              .input = value->kind == EGI_VAL_KEPT && !value->written};
    }
    return n;
}

static void assign_addresses(egi_plan *p, const block *blocks, int n)
{
    for (int i = 0; i < n; i++)
        p->t[blocks[i].v].data = (char *)p->workspace + blocks[i].offset;
    for (egi_val v = 1; v < p->n_values; v++)
        if (p->values[v].over)
            p->t[v].data = p->t[p->values[v].over].data;
    for (egi_val v = 1; v < p->n_values; v++)
        if (p->values[v].alias_of)
            p->t[v].data = p->t[p->values[v].alias_of].data;
}

/* Largest first, each at the lowest place that is free during its whole life. */
static eg_status place(egi_plan *p)
{
    egi_device *d = p->context->device;
    block *blocks, *near = NULL;
    p->sum_bytes = 0;
    EG_TRY(egi_alloc(&blocks, p->context, p->n_values, sizeof *blocks));
    eg_status status = egi_alloc(&near, p->context, p->n_values, sizeof *near);
    if (status == EG_OK) {
        const int n = collect_blocks(p, blocks);
        size_t total = 0;
        qsort(blocks, (size_t)n, sizeof *blocks, by_size);
        for (int i = 0; i < n; i++) {
            blocks[i].offset = find_gap(blocks, i, &blocks[i], near);
            if (blocks[i].offset + blocks[i].bytes > total)
                total = blocks[i].offset + blocks[i].bytes;
        }
        status = d->type->alloc(d, &p->workspace, total);
        if (status == EG_OK) {
            p->workspace_bytes = total;
            assign_addresses(p, blocks, n);
        }
    }
    egi_free(p->context, near);
    egi_free(p->context, blocks);
    return status;
}

static eg_status prepare(egi_plan *p)
{
    egi_device *d = p->context->device;
    EG_TRY(egi_alloc(&p->kernels, p->context, p->n_nodes, sizeof *p->kernels));
    for (int64_t i = 0; i < p->n_nodes; i++) {
        egi_node *node = &p->nodes[i];
        node->kernel = node->dead ? -1 : p->n_kernels;
        if (i == p->n_once)
            p->n_forward_kernels = p->n_kernels;
        if (node->dead)
            continue;
        egi_kernel *kernel = &p->kernels[p->n_kernels];
        *kernel = (egi_kernel){.op = node->op,
                               .args = node->args,
                               .t = p->kt,
                               .device = d,
                               .threads = p->context->threads,
                               .inference = !p->training};
        EG_TRY(d->type->prepare(d, kernel));
        p->n_kernels++;
        if (kernel->scratch_bytes > p->scratch_bytes)
            p->scratch_bytes = kernel->scratch_bytes;
    }
    if (p->n_once < 0 || p->n_once >= p->n_nodes)
        p->n_forward_kernels = p->n_kernels;
    EG_TRY(d->type->alloc(d, &p->scratch, p->scratch_bytes));
    for (int i = 0; i < p->n_kernels; i++)
        p->kernels[i].scratch = p->scratch;
    return EG_OK;
}

eg_status egi_plan_compile(egi_plan *p)
{
    if (p->status != EG_OK)
        return p->status;
    if (p->workspace)
        return egi_fail(EG_ERR_STATE, "plan: compiled already");
    EG_TRY(p->status = prune(p));
    lifetimes(p);
    lie_over(p);
    EG_TRY(p->status = place(p));
    EG_TRY(p->status = egi_stage_make(p));
    return p->status = prepare(p);
}
