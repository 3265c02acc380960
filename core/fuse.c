/* Peepholes on the forward pass, before gradients are derived. */
#include "core/ops/batchnorm.h"
#include "core/ops/conv2d.h"
#include "core/ops/dense.h"
#include "core/ops/pointwise.h"
#include "core/plan.h"

/* The fields of an operation that can apply an activation to its own output. */
typedef struct fusible {
    const egi_op *op;
    size_t act, alpha, y;
} fusible;

#define FUSIBLE(name)                                                                                   \
    {                                                                                                   \
        &egi_op_##name, offsetof(egi_##name, act), offsetof(egi_##name, alpha), offsetof(egi_##name, y) \
    }
static const fusible fusibles[] = {FUSIBLE(dense), FUSIBLE(conv2d), FUSIBLE(batchnorm_infer)};

static const fusible *find_fusible(const egi_node *node)
{
    for (size_t i = 0; i < sizeof fusibles / sizeof *fusibles; i++)
        if (node->op == fusibles[i].op)
            return &fusibles[i];
    return NULL;
}

static void *field(void *args, size_t offset)
{
    return (char *)args + offset;
}

/* dense, conv2d or batch norm, then an activation that nobody else looks behind: one operation. */
static void fuse_activation(egi_plan *p, egi_node *node)
{
    const egi_activation *a = node->args;
    if (!egi_act_by_output(a->act) || egi_root(p, a->x) != a->x || p->values[a->x].kind != EGI_VAL_TEMP ||
        egi_plan_uses(p, a->x) != 1)
        return;
    egi_node *before = egi_plan_producer(p, a->x);
    const fusible *f = before ? find_fusible(before) : NULL;
    if (!f || *(egi_act *)field(before->args, f->act) != EGI_ACT_LINEAR)
        return;
    *(egi_act *)field(before->args, f->act) = a->act;
    *(float *)field(before->args, f->alpha) = a->alpha;
    *(egi_val *)field(before->args, f->y) = a->y;
    node->dead = true;
}

/* Has the device a fast kernel for an operation? What it has none for stays composed. */
static eg_status is_fast(const egi_plan *p, const egi_op *op, const void *args, bool *fast)
{
    egi_device *d = p->context->device;
    egi_kernel k = {.op = op, .args = args, .t = p->t, .device = d, .threads = p->context->threads};
    EG_TRY(d->type->prepare(d, &k));
    *fast = !k.slow;
    if (k.destroy)
        k.destroy(d, &k);
    return EG_OK;
}

/* conv2d, then max pooling that nobody else looks behind: the convolution's output is never stored. */
static eg_status fuse_maxpool(egi_plan *p, egi_node *node)
{
    const egi_maxpool *m = node->args;
    if (egi_root(p, m->x) != m->x || p->values[m->x].kind != EGI_VAL_TEMP || egi_plan_uses(p, m->x) != 1)
        return EG_OK;
    egi_node *before = egi_plan_producer(p, m->x);
    if (!before || before->op != &egi_op_conv2d)
        return EG_OK;
    const egi_conv2d *c = before->args;
    const egi_conv2d_maxpool both = {
        .x = c->x,
        .w = c->w,
        .b = c->b,
        .y = m->y,
        .index = m->index,
        .g = c->g,
        .pool = {.size = {egi_dim(p, m->x, 1), egi_dim(p, m->x, 2)}, .g = m->g},
        .act = c->act,
        .alpha = c->alpha,
    };
    bool fast;
    EG_TRY(is_fast(p, &egi_op_conv2d_maxpool, &both, &fast));
    if (!fast)
        return EG_OK;
    egi_conv2d_maxpool *args;
    EG_TRY(egi_alloc(&args, p->context, 1, sizeof *args));
    *args = both;
    egi_free(p->context, node->args);
    node->op = &egi_op_conv2d_maxpool;
    node->args = args;
    before->dead = true;
    return EG_OK;
}

eg_status egi_plan_fuse(egi_plan *p)
{
    if (p->status != EG_OK)
        return p->status;
    if (p->n_forward >= 0)
        return egi_fail(EG_ERR_STATE, "plan: fusing comes before the backward pass");
    for (int64_t i = 0; i < p->n_nodes; i++)
        if (!p->nodes[i].dead && p->nodes[i].op == &egi_op_activation)
            fuse_activation(p, &p->nodes[i]);
    for (int64_t i = 0; i < p->n_nodes; i++)
        if (!p->nodes[i].dead && p->nodes[i].op == &egi_op_maxpool)
            EG_TRY(p->status = fuse_maxpool(p, &p->nodes[i]));
    return EG_OK;
}

/* y = sigmoid(x w + b) becomes z = x w + b, y = sigmoid(z), so that a loss can have z. */
static eg_status split_sigmoid(egi_plan *p, egi_node *node, const fusible *f, egi_val *logits)
{
    void *args = node->args;
    const egi_val y = *(egi_val *)field(args, f->y);
    const egi_val z = egi_temp_like(p, y);
    if (z == EGI_NONE)
        return p->status;
    p->values[z].requires_grad = p->values[y].requires_grad;
    *(egi_val *)field(args, f->y) = z;
    *(egi_act *)field(args, f->act) = EGI_ACT_LINEAR;
    *logits = z;
    return EGI_EMIT(p, activation, .x = z, .y = y, .act = EGI_ACT_SIGMOID, .max_value = -1);
}

static egi_val like(egi_plan *p, egi_val v, egi_val shape_of)
{
    const egi_shape shape = *egi_shape_of(p, shape_of);
    return egi_shape_equal(egi_shape_of(p, v), &shape) ? v : egi_alias(p, v, shape);
}

eg_status egi_plan_logits(egi_plan *p, egi_val out, egi_val *logits, egi_act *head)
{
    if (p->status != EG_OK)
        return p->status;
    egi_node *node = egi_plan_producer(p, out);
    *logits = out;
    *head = EGI_ACT_LINEAR;
    if (!node)
        return EG_OK;
    const fusible *f = find_fusible(node);
    if (node->op == &egi_op_softmax && egi_dim(p, ((const egi_softmax *)node->args)->y, -1) == egi_dim(p, out, -1)) {
        *head = EGI_ACT_SOFTMAX;
        *logits = like(p, ((const egi_softmax *)node->args)->x, out);
    } else if (node->op == &egi_op_activation && ((const egi_activation *)node->args)->act == EGI_ACT_SIGMOID) {
        *head = EGI_ACT_SIGMOID;
        *logits = like(p, ((const egi_activation *)node->args)->x, out);
    } else if (f && *(egi_act *)field(node->args, f->act) == EGI_ACT_SIGMOID) {
        *head = EGI_ACT_SIGMOID;
        if (egi_plan_uses(p, out) == 0) { /* else somebody reads y before the appended sigmoid would write it */
            egi_val z = EGI_NONE;
            EG_TRY(split_sigmoid(p, node, f, &z));
            *logits = like(p, z, out);
        }
    }
    return p->status;
}
