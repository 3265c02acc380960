/* A whole training step as one operation: dense layers one after the other, softmax cross-entropy, and the gradients of
 * their parameters.
 *
 * The chain is followed back from the loss by what the backward pass made of it; whatever is not exactly that ends the
 * search, and the plan stays as it is. What the operation does not store must be nobody else's: all nodes that touch a
 * value between are nodes of the chain. */
#include "core/ops/dense.h"
#include "core/ops/loss.h"
#include "core/ops/mlp.h"
#include "core/ops/pointwise.h"
#include "core/plan.h"

#define NODES_A_LAYER 5 /* dense, activation_grad, two products, column_sum */

/* What was found: the nodes, and the operation in their place. */
typedef struct chain {
    egi_plan *p;
    egi_node *node[NODES_A_LAYER * EGI_MLP_LAYERS + 1];
    int n;
    egi_mlp_step step;
    /* Last layer first, until it is known how many there are. */
    egi_val w[EGI_MLP_LAYERS], b[EGI_MLP_LAYERS], dw[EGI_MLP_LAYERS], db[EGI_MLP_LAYERS];
    egi_act act[EGI_MLP_LAYERS];
    float alpha[EGI_MLP_LAYERS];
} chain;

static bool same(const chain *c, egi_val a, egi_val b)
{
    return a != EGI_NONE && egi_root(c->p, a) == egi_root(c->p, b);
}

static const void *take(chain *c, egi_node *node)
{
    c->node[c->n++] = node;
    return node->args;
}

/* The live node of an operation whose first value is `v`; there is one at most in what a backward pass makes. */
static egi_node *reader(const chain *c, const egi_op *op, egi_val v)
{
    for (int64_t i = 0; i < c->p->n_nodes; i++) {
        egi_node *node = &c->p->nodes[i];
        if (!node->dead && node->op == op && same(c, egi_arg(node->args, op->in[0]), v))
            return node;
    }
    return NULL;
}

/* The live product a b, transposed so. */
static egi_node *product(const chain *c, egi_val a, egi_val b, bool ta, bool tb)
{
    for (int64_t i = 0; i < c->p->n_nodes; i++) {
        egi_node *node = &c->p->nodes[i];
        if (node->dead || node->op != &egi_op_gemm)
            continue;
        const egi_gemm *g = node->args;
        if (g->ta == ta && g->tb == tb && !g->accumulate && same(c, g->a, a) && same(c, g->b, b))
            return node;
    }
    return NULL;
}

/* The gradient before a layer's activation. EGI_NONE: the plan does something else with it. */
static egi_val before_activation(chain *c, const egi_dense *d, egi_val dy)
{
    if (d->act == EGI_ACT_LINEAR)
        return dy;
    egi_node *node = reader(c, &egi_op_activation_grad, dy);
    const egi_activation_grad *g = node ? node->args : NULL;
    if (!g || g->act != d->act || g->alpha != d->alpha || !same(c, g->y, d->y))
        return EGI_NONE;
    take(c, node);
    return g->dx;
}

/* The gradients of a layer's parameters: both, or it is no layer of the chain. */
static bool find_parameters(chain *c, const egi_dense *d, egi_val dz, int l)
{
    egi_node *dw = product(c, d->x, dz, true, false), *db = d->b ? reader(c, &egi_op_column_sum, dz) : NULL;
    if (!dw || (d->b && !db))
        return false;
    c->w[l] = d->w;
    c->b[l] = d->b;
    c->act[l] = d->act;
    c->alpha[l] = d->alpha;
    c->dw[l] = ((const egi_gemm *)take(c, dw))->c;
    c->db[l] = db ? ((const egi_column_sum *)take(c, db))->y : EGI_NONE;
    return true;
}

/* Layer l, counted from the last one, computes `y`, whose gradient is `*dy`; *dy becomes that of its input, or EGI_NONE
 * where nobody asks for it. False: it is not a layer of a chain. */
static bool find_layer(chain *c, egi_val y, egi_val *dy, int l)
{
    egi_node *node = egi_plan_producer(c->p, y);
    const egi_dense *d = node && node->op == &egi_op_dense ? take(c, node) : NULL;
    if (!d || egi_dim(c->p, y, 1) > EGI_MLP_WIDTH || !egi_shape_equal(egi_shape_of(c->p, d->y), egi_shape_of(c->p, y)))
        return false; /* not the same shape: examples of several rows, flattened behind */
    const egi_val dz = before_activation(c, d, *dy);
    if (dz == EGI_NONE || !find_parameters(c, d, dz, l))
        return false;
    egi_node *dx = product(c, dz, d->w, false, true);
    *dy = dx ? ((const egi_gemm *)take(c, dx))->c : EGI_NONE;
    c->step.x = d->x;
    c->step.layers = l + 1;
    return true;
}

static bool find_chain(chain *c, egi_node *loss)
{
    const egi_softmax_xent *x = take(c, loss);
    egi_val y = x->z, dy = x->dz;
    for (int l = 0; dy != EGI_NONE; l++, y = c->step.x)
        if (l == EGI_MLP_LAYERS || !find_layer(c, y, &dy, l))
            return false;
    c->step.labels = x->labels;
    c->step.targets = x->targets;
    c->step.weights = x->weights;
    c->step.loss = x->loss;
    c->step.correct = x->correct;
    c->step.scale = x->scale;
    c->step.label_smoothing = x->label_smoothing;
    for (int l = 0, last = c->step.layers - 1; l <= last; l++) {
        c->step.w[l] = c->w[last - l];
        c->step.b[l] = c->b[last - l];
        c->step.dw[l] = c->dw[last - l];
        c->step.db[l] = c->db[last - l];
        c->step.act[l] = c->act[last - l];
        c->step.alpha[l] = c->alpha[last - l];
    }
    return c->step.layers > 0;
}

static bool is_of_chain(const chain *c, const egi_node *node)
{
    for (int i = 0; i < c->n; i++)
        if (c->node[i] == node)
            return true;
    return false;
}

static bool is_result(const chain *c, egi_val v)
{
    bool is = same(c, v, c->step.loss) || same(c, v, c->step.correct);
    for (int l = 0; l < c->step.layers; l++)
        is = is || same(c, v, c->step.dw[l]) || same(c, v, c->step.db[l]);
    return is;
}

static bool is_touched_outside(const chain *c, egi_val v)
{
    for (int64_t i = 0; i < c->p->n_nodes; i++) {
        const egi_node *node = &c->p->nodes[i];
        const uint16_t *const lists[] = {node->op->in, node->op->out};
        for (int l = 0; l < 2 && !node->dead && !is_of_chain(c, node); l++)
            for (const uint16_t *field = lists[l]; *field; field++)
                if (same(c, egi_arg(node->args, *field), v))
                    return true;
    }
    return false;
}

/* What the chain computes and the operation does not store is read and kept by nobody. */
static bool is_closed(const chain *c)
{
    for (int i = 0; i < c->n; i++)
        for (const uint16_t *field = c->node[i]->op->out; *field; field++) {
            const egi_val v = egi_arg(c->node[i]->args, *field);
            if (v == EGI_NONE || is_result(c, v))
                continue;
            if (c->p->values[egi_root(c->p, v)].kind != EGI_VAL_TEMP || is_touched_outside(c, v))
                return false;
        }
    return true;
}

/* The loss becomes the operation: its inputs are there, and whoever reads its results comes later. */
static eg_status replace(chain *c)
{
    egi_node *loss = c->node[0];
    egi_mlp_step *args;
    EG_TRY(egi_alloc(&args, c->p->context, 1, sizeof *args));
    *args = c->step;
    for (int i = 1; i < c->n; i++)
        c->node[i]->dead = true;
    egi_free(c->p->context, loss->args);
    loss->op = &egi_op_mlp_step;
    loss->args = args;
    return EG_OK;
}

eg_status egi_plan_fuse_step(egi_plan *p)
{
    if (!p->training || p->replay || p->context->device->separate)
        return EG_OK;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        chain c = {.p = p};
        bool fast = false;
        if (p->nodes[i].dead || p->nodes[i].op != &egi_op_softmax_xent)
            continue;
        if (find_chain(&c, &p->nodes[i]) && is_closed(&c))
            EG_TRY(egi_plan_is_fast(p, &egi_op_mlp_step, &c.step, &fast));
        if (fast)
            EG_TRY(replace(&c));
    }
    return EG_OK;
}
