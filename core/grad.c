/* The backward pass, derived. Every value that needs a gradient collects contributions; nodes are walked backwards, so
 * all contributions to a node's outputs are there when its rule is asked. */
#include "core/mirror.h"
#include "core/ops/pointwise.h"
#include "core/plan.h"

#include <string.h>

typedef struct contribution {
    egi_val value;
    int next; /* index + 1 in the list; 0: the end */
} contribution;

struct egi_grads {
    egi_plan *plan;
    bool squares;
    int64_t n_values; /* values that existed when the backward pass began */
    int *head;        /* per root: first contribution, index + 1 */
    int *uses;        /* per root: how often differentiable forward nodes read it */
    contribution *list;
    int64_t n_list, list_capacity;
};

static eg_status grads_create(egi_grads *g, egi_plan *plan, bool squares)
{
    *g = (egi_grads){.plan = plan, .squares = squares, .n_values = plan->n_values};
    EG_TRY(egi_alloc(&g->head, plan->context, g->n_values, sizeof *g->head));
    EG_TRY(egi_alloc(&g->uses, plan->context, g->n_values, sizeof *g->uses));
    for (int64_t i = 0; i < plan->n_forward; i++) {
        const egi_node *node = &plan->nodes[i];
        if (node->dead || !node->op->grad)
            continue;
        for (int k = 0; node->op->in[k]; k++)
            g->uses[egi_root(plan, egi_arg(node->args, node->op->in[k]))]++;
    }
    return EG_OK;
}

static void grads_release(egi_grads *g)
{
    egi_free(g->plan->context, g->head);
    egi_free(g->plan->context, g->uses);
    egi_free(g->plan->context, g->list);
}

static bool is_leaf(const egi_plan *p, egi_val root)
{
    return p->values[root].kind == EGI_VAL_BOUND;
}

bool egi_grad_wanted(const egi_grads *g, egi_val x)
{
    if (x == EGI_NONE)
        return false;
    const egi_val root = egi_root(g->plan, x);
    return g->plan->values[root].requires_grad && !(g->squares && is_leaf(g->plan, root));
}

/* `v` as something of x's shape. */
static egi_val shaped(egi_plan *p, egi_val v, egi_shape shape)
{
    return egi_shape_equal(egi_shape_of(p, v), &shape) ? v : egi_alias(p, v, shape);
}

static void contribute(egi_grads *g, egi_val root, egi_val value)
{
    egi_plan *p = g->plan;
    if (p->status == EG_OK)
        p->status = EGI_RESERVE(p->context, g->list, g->n_list, g->list_capacity);
    if (p->status != EG_OK)
        return;
    g->list[g->n_list++] = (contribution){.value = value, .next = g->head[root]};
    g->head[root] = (int)g->n_list;
}

/* Where a leaf's gradient goes; a leaf without a place of its own gets a kept value. */
static egi_val leaf_grad(egi_plan *p, egi_val root)
{
    if (p->values[root].grad == EGI_NONE) {
        const egi_val grad = egi_temp_like(p, root);
        egi_plan_keep(p, grad);
        p->values[root].grad = grad;
    }
    return p->values[root].grad;
}

egi_val egi_grad_into(egi_grads *g, egi_val x)
{
    egi_plan *p = g->plan;
    const egi_val root = egi_root(p, x);
    const egi_shape shape = p->t[x].shape;
    const bool direct = is_leaf(p, root) && g->uses[root] == 1;
    const egi_val target = direct ? shaped(p, leaf_grad(p, root), shape) : egi_temp_of(p, p->t[x].dtype, shape);
    if (p->status == EG_OK)
        contribute(g, root, target);
    return target;
}

void egi_grad_pass(egi_grads *g, egi_val x, egi_val dx)
{
    egi_plan *p = g->plan;
    const egi_val root = egi_root(p, x);
    if (is_leaf(p, root) && g->uses[root] == 1) {
        const egi_shape shape = p->t[dx].shape; /* read before a new value moves the table */
        const egi_val target = shaped(p, egi_grad_into(g, x), shape);
        if (p->status == EG_OK)
            p->status = EGI_EMIT(p, copy, .x = dx, .y = target);
        return;
    }
    contribute(g, root, dx);
}

/* Sums what was collected for `root`, into `target` where it is not EGI_NONE. */
static egi_val resolve(egi_grads *g, egi_val root, egi_val target)
{
    egi_plan *p = g->plan;
    const egi_shape shape = p->t[root].shape;
    int at = g->head[root];
    if (!at || p->status != EG_OK)
        return EGI_NONE;
    egi_val sum = shaped(p, g->list[at - 1].value, shape);
    for (at = g->list[at - 1].next; at && p->status == EG_OK; at = g->list[at - 1].next) {
        const egi_val next = shaped(p, g->list[at - 1].value, shape);
        const bool last = !g->list[at - 1].next;
        const egi_val y = last && target ? target : egi_temp_of(p, p->t[root].dtype, shape);
        if (EGI_EMIT(p, add, .a = sum, .b = next, .y = y) != EG_OK)
            return EGI_NONE;
        sum = y;
    }
    /* From now on there is one contribution: the sum. */
    g->list[g->head[root] - 1] = (contribution){.value = sum};
    return sum;
}

egi_val egi_grad_of(egi_grads *g, egi_val y)
{
    if (y == EGI_NONE)
        return EGI_NONE;
    const egi_val sum = resolve(g, egi_root(g->plan, y), EGI_NONE);
    return sum ? shaped(g->plan, sum, g->plan->t[y].shape) : EGI_NONE;
}

egi_val egi_square_of(egi_grads *g, egi_val x)
{
    if (x == EGI_NONE || !g->squares)
        return EGI_NONE;
    egi_plan *p = g->plan;
    const egi_val square = p->values[egi_root(p, x)].square;
    return square ? shaped(p, square, p->t[x].shape) : EGI_NONE;
}

static bool any_gradient(const egi_grads *g, const egi_node *node)
{
    for (int k = 0; node->op->out[k]; k++) {
        const egi_val out = egi_arg(node->args, node->op->out[k]);
        if (out != EGI_NONE && g->head[egi_root(g->plan, out)])
            return true;
    }
    return false;
}

static bool any_wanted(egi_grads *g, const egi_node *node, bool squares)
{
    for (int k = 0; node->op->in[k]; k++) {
        const egi_val in = egi_arg(node->args, node->op->in[k]);
        if (squares ? egi_square_of(g, in) != EGI_NONE : egi_grad_wanted(g, in))
            return true;
    }
    return false;
}

static eg_status differentiate(egi_grads *g, int64_t index)
{
    egi_plan *p = g->plan;
    const egi_node node = p->nodes[index]; /* a copy: emitting moves the array */
    if (node.dead || !node.op->grad || !any_gradient(g, &node))
        return EG_OK;
    p->layer = node.layer;
    if (g->squares && node.op->square && any_wanted(g, &node, true))
        EG_TRY(node.op->square(p, node.args, g));
    if (any_wanted(g, &node, false))
        EG_TRY(node.op->grad(p, node.args, g));
    return p->status;
}

/* Leaves that were read several times: their contributions are summed into their place. */
static eg_status sum_leaves(egi_grads *g)
{
    egi_plan *p = g->plan;
    for (egi_val v = 1; v < g->n_values && p->status == EG_OK; v++) {
        if (!is_leaf(p, v) || egi_root(p, v) != v || !egi_grad_wanted(g, v) || g->uses[v] == 1 || !g->head[v])
            continue;
        const egi_val target = leaf_grad(p, v);
        if (g->list[g->head[v] - 1].next)
            resolve(g, v, target);
        else if (p->status == EG_OK)
            p->status = EGI_EMIT(p, copy, .x = shaped(p, g->list[g->head[v] - 1].value, p->t[v].shape), .y = target);
    }
    return p->status;
}

static eg_status walk(egi_plan *p, egi_val y, egi_val dy, bool squares)
{
    egi_grads g;
    eg_status status = grads_create(&g, p, squares);
    if (status == EG_OK) {
        contribute(&g, egi_root(p, y), dy);
        status = p->status;
    }
    for (int64_t i = p->n_forward - 1; i >= 0 && status == EG_OK; i--)
        status = differentiate(&g, i);
    if (status == EG_OK)
        status = sum_leaves(&g);
    grads_release(&g);
    p->layer = -1;
    p->n_backward = p->n_nodes;
    return p->status = status;
}

eg_status egi_plan_backward_from(egi_plan *p, egi_val y, egi_val dy, bool squares)
{
    if (p->status != EG_OK)
        return p->status;
    const egi_node *seed = egi_plan_producer(p, dy);
    p->n_forward = p->n_nodes;
    p->n_once = seed ? seed - p->nodes : p->n_nodes;
    p->replay = true;
    return walk(p, y, dy, squares);
}

eg_status egi_plan_backward(egi_plan *p, egi_val loss)
{
    if (p->status != EG_OK)
        return p->status;
    p->n_forward = p->n_once = p->n_nodes;
    p->status = egi_mirror_alloc(&p->one, p->context, 1, sizeof(double));
    if (p->status != EG_OK)
        return p->status;
    const egi_tensor one = {.data = p->one, .dtype = p->dtype, .shape = EGI_SCALAR};
    egi_set(&one, 0, 1);
    const egi_val dy = egi_plan_bind(p, p->dtype, EGI_SCALAR, p->one);
    return p->status == EG_OK ? walk(p, loss, dy, false) : p->status;
}

egi_val egi_plan_grad(const egi_plan *p, egi_val leaf)
{
    return p->values[leaf].grad;
}

bool egi_plan_squares_exact(const egi_plan *p)
{
    const int64_t n = p->n_forward >= 0 ? p->n_forward : p->n_nodes;
    for (egi_val v = 1; v < p->n_values; v++) {
        if (p->values[v].square == EGI_NONE)
            continue;
        int uses = 0;
        for (int64_t i = 0; i < n; i++)
            for (int k = 0; !p->nodes[i].dead && p->nodes[i].op->in[k]; k++)
                if (egi_root(p, egi_arg(p->nodes[i].args, p->nodes[i].op->in[k])) == v)
                    uses += p->nodes[i].op->square ? 1 : 2;
        if (uses > 1)
            return false;
    }
    return true;
}
