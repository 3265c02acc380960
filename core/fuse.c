/* Peepholes on the forward pass, before gradients are derived. */
#include "core/ops/batchnorm.h"
#include "core/ops/conv2d.h"
#include "core/ops/dense.h"
#include "core/ops/pointwise.h"
#include "core/plan.h"

/* The fields of an operation that can apply an activation to its own output, and add something before: these come
 * first, that which gains most by it before the others. */
typedef struct fusible {
    const egi_op *op;
    size_t act, alpha, y, r; /* r: 0 where it cannot */
} fusible;

#define FUSIBLE(name, r)                                                                                     \
    {                                                                                                        \
        &egi_op_##name, offsetof(egi_##name, act), offsetof(egi_##name, alpha), offsetof(egi_##name, y), (r) \
    }
static const fusible fusibles[] = {
    FUSIBLE(batchnorm, offsetof(egi_batchnorm, r)),
    FUSIBLE(batchnorm_infer, offsetof(egi_batchnorm_infer, r)),
    FUSIBLE(conv2d, offsetof(egi_conv2d, r)),
    FUSIBLE(dense, 0),
    FUSIBLE(add, 0),
};

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

/* The operation that computes `v` without an activation, where `v` is for one reader only; or NULL. */
static egi_node *linear_producer(const egi_plan *p, egi_val v, const fusible **f)
{
    if (egi_root(p, v) != v || p->values[v].kind != EGI_VAL_TEMP || egi_plan_uses(p, v) != 1)
        return NULL;
    egi_node *before = egi_plan_producer(p, v);
    *f = before ? find_fusible(before) : NULL;
    return *f && *(egi_act *)field(before->args, (*f)->act) == EGI_ACT_LINEAR ? before : NULL;
}

/* dense, conv2d, batch norm or a sum, then an activation that nobody else looks behind: one operation. */
static void fuse_activation(egi_plan *p, egi_node *node)
{
    const egi_activation *a = node->args;
    const fusible *f;
    egi_node *before = egi_act_by_output(a->act) ? linear_producer(p, a->x, &f) : NULL;
    if (!before)
        return;
    *(egi_act *)field(before->args, f->act) = a->act;
    *(float *)field(before->args, f->alpha) = a->alpha;
    *(egi_val *)field(before->args, f->y) = a->y;
    node->dead = true;
}

eg_status egi_plan_is_fast(const egi_plan *p, const egi_op *op, const void *args, bool *fast)
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
    EG_TRY(egi_plan_is_fast(p, &egi_op_conv2d_maxpool, &both, &fast));
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

static bool touches(const egi_plan *p, const uint16_t *list, const void *args, egi_val root)
{
    for (; *list; list++)
        if (egi_root(p, egi_arg(args, *list)) == root)
            return true;
    return false;
}

/* May `node` run as late as `until`? What it writes beside its result, such as moving statistics, must not be touched
 * in between. */
static bool can_wait(const egi_plan *p, const egi_node *node, const egi_node *until)
{
    for (const egi_node *n = node + 1; n < until; n++)
        for (const uint16_t *out = node->op->out; !n->dead && *out; out++) {
            const egi_val v = egi_arg(node->args, *out);
            if (v != EGI_NONE &&
                (touches(p, n->op->in, n->args, egi_root(p, v)) || touches(p, n->op->out, n->args, egi_root(p, v))))
                return false;
        }
    return true;
}

/* Makes `node` what `before` was: that operation runs in its place. */
static void take_place(egi_node *node, egi_node *before)
{
    const egi_node old = *node;
    *node = *before;
    *before = old;
    before->dead = true;
}

/* An operation that can add something to its result, then the addition: one operation where the addition was, so that
 * both sides are there. */
static bool fuse_side(egi_plan *p, egi_node *node, const fusible *wanted, egi_val side, egi_val other)
{
    const egi_val y = ((const egi_add *)node->args)->y;
    const fusible *f;
    egi_node *before = linear_producer(p, side, &f);
    if (!before || f != wanted || *(egi_val *)field(before->args, f->r) != EGI_NONE || !can_wait(p, before, node))
        return false;
    *(egi_val *)field(before->args, f->r) = other;
    *(egi_val *)field(before->args, f->y) = y;
    take_place(node, before);
    return true;
}

static void fuse_add(egi_plan *p, egi_node *node)
{
    const egi_val a = ((const egi_add *)node->args)->a, b = ((const egi_add *)node->args)->b;
    for (const fusible *f = fusibles; f->r; f++)
        if (fuse_side(p, node, f, b, a) || fuse_side(p, node, f, a, b))
            return;
}

/* Operations whose weights can do what a batch norm with stored statistics does to their result. */
static const struct foldable {
    const egi_op *op;
    size_t w, b;
} foldables[] = {{&egi_op_conv2d, offsetof(egi_conv2d, w), offsetof(egi_conv2d, b)},
                 {&egi_op_dense, offsetof(egi_dense, w), offsetof(egi_dense, b)}};

static const struct foldable *find_foldable(const egi_node *node)
{
    for (size_t i = 0; i < sizeof foldables / sizeof *foldables; i++)
        if (node->op == foldables[i].op)
            return &foldables[i];
    return NULL;
}

/* Emits folded weights and makes `args` use them. They keep their memory: not every run computes them. */
static eg_status fold_weights(egi_plan *p, const egi_batchnorm_infer *norm, egi_val *w, egi_val *b)
{
    const egi_val fw = egi_temp_like(p, *w), fb = egi_temp_like(p, norm->mean);
    egi_plan_keep(p, fw);
    egi_plan_keep(p, fb);
    EG_TRY(EGI_EMIT(p, batchnorm_fold, .w = *w, .b = *b, .gamma = norm->gamma, .beta = norm->beta, .mean = norm->mean,
                    .var = norm->var, .fw = fw, .fb = fb, .epsilon = norm->epsilon));
    *w = fw;
    *b = fb;
    return EG_OK;
}

/* Convolution or dense layer, then node `i`, a batch norm with stored statistics, where no gradient is wanted: the
 * weights are folded where the convolution was, which runs where the batch norm was. */
static eg_status fold_norm(egi_plan *p, int64_t i)
{
    const egi_batchnorm_infer norm = *(const egi_batchnorm_infer *)p->nodes[i].args;
    const fusible *f;
    const egi_node *before = linear_producer(p, norm.x, &f);
    const struct foldable *folds = before ? find_foldable(before) : NULL;
    if (!folds || p->values[egi_root(p, norm.y)].requires_grad || norm.r != EGI_NONE ||
        (f->r && *(egi_val *)field(before->args, f->r) != EGI_NONE))
        return EG_OK;
    const int64_t at = before - p->nodes;
    void *args = before->args;
    EG_TRY(fold_weights(p, &norm, field(args, folds->w), field(args, folds->b)));
    *(egi_val *)field(args, f->y) = norm.y;
    *(egi_act *)field(args, f->act) = norm.act;
    *(float *)field(args, f->alpha) = norm.alpha;
    egi_free(p->context, p->nodes[i].args);
    p->nodes[i] = p->nodes[at];
    p->nodes[at] = p->nodes[--p->n_nodes];
    p->nodes[at].layer = p->nodes[i].layer;
    return EG_OK;
}

eg_status egi_plan_fuse(egi_plan *p)
{
    if (p->status != EG_OK)
        return p->status;
    if (p->n_forward >= 0)
        return egi_fail(EG_ERR_STATE, "plan: fusing comes before the backward pass");
    for (int64_t i = 0; i < p->n_nodes; i++) {
        egi_node *node = &p->nodes[i];
        if (node->dead)
            continue;
        if (node->op == &egi_op_activation)
            fuse_activation(p, node);
        else if (node->op == &egi_op_add)
            fuse_add(p, node);
        else if (node->op == &egi_op_batchnorm_infer)
            EG_TRY(p->status = fold_norm(p, i));
    }
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
