/* The hierarchy: symbol-table groups (version 1 B-trees, local heaps) and compact link messages. Everything is walked
 * once when a file is opened; what Keras never writes is refused there, wherever in the file it hides. */
#include "checkpoints/hdf5_inside.h"

#include <string.h>

#define NODES_MAX 200000 /* links of a file */
#define DEPTH_MAX 64     /* groups inside groups */
#define TREE_MAX  16     /* levels of a B-tree */
#define SOFT_MAX  16     /* soft links followed for one name */

/* --- adding links ------------------------------------------------------------------------------------------------- */

static eg_status add_node(egi_h5 *f, int64_t parent, const char *name, uint64_t address, char *soft)
{
    const egi_h5_node *p = parent < 0 ? NULL : &f->nodes[parent];
    if (f->n_nodes == NODES_MAX)
        return egi_fail(EG_ERR_FORMAT,
                        "hdf5: more than %d objects; a Keras file has far fewer, this one is damaged or "
                        "hostile",
                        NODES_MAX);
    if (p && p->depth == DEPTH_MAX)
        return egi_fail(EG_ERR_FORMAT, "hdf5: group '%s' is nested more than %d deep" EGI_H5_DAMAGED, p->name,
                        DEPTH_MAX);
    if (parent >= 0 && (name[0] == '\0' || strchr(name, '/')))
        return egi_fail(EG_ERR_FORMAT, "hdf5: group '%s' has a link with the name '%s'" EGI_H5_DAMAGED, p->name, name);
    for (int64_t i = parent; i >= 0 && !soft; i = f->nodes[i].parent)
        if (f->nodes[i].address == address)
            return egi_fail(EG_ERR_FORMAT, "hdf5: link '%s' makes a cycle: it is its own parent" EGI_H5_DAMAGED, name);
    const int depth = p ? p->depth + 1 : 0;
    EG_TRY(EGI_RESERVE(f->context, f->nodes, f->n_nodes, f->nodes_capacity));
    egi_h5_node *n = &f->nodes[f->n_nodes];
    *n = (egi_h5_node){.address = address, .parent = parent, .depth = depth};
    EG_TRY(egi_strdup(&n->name, f->context, name));
    n->soft = soft;
    f->n_nodes++;
    return EG_OK;
}

static eg_status add_soft(egi_h5 *f, int64_t parent, const char *name, const char *target)
{
    char *copy;
    EG_TRY(egi_strdup(&copy, f->context, target));
    const eg_status status = add_node(f, parent, name, EGI_H5_NOWHERE, copy);
    if (status != EG_OK)
        egi_free(f->context, copy);
    return status;
}

/* --- symbol tables ------------------------------------------------------------------------------------------------ */

typedef struct local_heap {
    uint8_t *data;
    uint64_t size;
} local_heap;

static eg_status read_heap(local_heap *out, egi_h5 *f, uint64_t address)
{
    uint8_t bytes[32];
    EG_TRY(egi_h5_bytes(bytes, f, address, sizeof bytes, "local heap"));
    if (memcmp(bytes, "HEAP", 4) != 0)
        return egi_fail(EG_ERR_FORMAT, "hdf5: no local heap at %llu" EGI_H5_DAMAGED, (unsigned long long)address);
    egi_h5_cursor c = {.p = bytes + 8, .left = sizeof bytes - 8};
    const uint64_t size = egi_h5_take(&c, 8);
    egi_h5_take(&c, 8);
    EG_TRY(egi_h5_block(&out->data, f, egi_h5_take(&c, 8), size, "local heap"));
    out->size = size;
    return EG_OK;
}

/* A name ends inside the heap, or it is none. */
static const char *heap_text(const local_heap *heap, uint64_t offset)
{
    if (offset >= heap->size || !memchr(heap->data + offset, 0, heap->size - offset))
        return NULL;
    return (const char *)heap->data + offset;
}

static eg_status read_symbols(egi_h5 *f, int64_t group, const local_heap *heap, uint64_t address)
{
    uint8_t start[8], *block;
    EG_TRY(egi_h5_bytes(start, f, address, sizeof start, "symbol table"));
    if (memcmp(start, "SNOD", 4) != 0)
        return egi_fail(EG_ERR_FORMAT, "hdf5: no symbol table at %llu" EGI_H5_DAMAGED, (unsigned long long)address);
    const uint64_t n = start[6] | (uint64_t)start[7] << 8;
    EG_TRY(egi_h5_block(&block, f, address + sizeof start, n * 40, "symbol table"));
    eg_status status = EG_OK;
    for (uint64_t i = 0; i < n && status == EG_OK; i++) {
        egi_h5_cursor c = {.p = block + 40 * i, .left = 40};
        const char *name = heap_text(heap, egi_h5_take(&c, 8));
        const uint64_t object = egi_h5_take(&c, 8), cache = egi_h5_take(&c, 4);
        egi_h5_take(&c, 4);
        const char *target = cache == 2 ? heap_text(heap, egi_h5_take(&c, 4)) : NULL;
        if (!name || (cache == 2 && !target))
            status =
                egi_fail(EG_ERR_FORMAT, "hdf5: a name in group '%s' has no end" EGI_H5_DAMAGED, f->nodes[group].name);
        else
            status = cache == 2 ? add_soft(f, group, name, target) : add_node(f, group, name, object, NULL);
    }
    egi_free(f->context, block);
    return status;
}

static eg_status read_tree(egi_h5 *f, int64_t group, const local_heap *heap, uint64_t address, int level)
{
    uint8_t start[24], *block;
    EG_TRY(egi_h5_bytes(start, f, address, sizeof start, "group index"));
    /* Levels fall by one from node to child, so a cycle of addresses ends. */
    if (memcmp(start, "TREE", 4) != 0 || start[4] != 0 || start[5] > TREE_MAX || (level >= 0 && start[5] != level))
        return egi_fail(EG_ERR_FORMAT, "hdf5: no group index of level %d at %llu" EGI_H5_DAMAGED, level,
                        (unsigned long long)address);
    const uint64_t n = start[6] | (uint64_t)start[7] << 8;
    level = start[5];
    EG_TRY(egi_h5_block(&block, f, address + sizeof start, n * 16 + 8, "group index"));
    eg_status status = EG_OK;
    for (uint64_t i = 0; i < n && status == EG_OK; i++) {
        egi_h5_cursor c = {.p = block + 16 * i + 8, .left = 8};
        const uint64_t child = egi_h5_take(&c, 8);
        status = level ? read_tree(f, group, heap, child, level - 1) : read_symbols(f, group, heap, child);
    }
    egi_free(f->context, block);
    return status;
}

static eg_status read_symbol_group(egi_h5 *f, int64_t group, const egi_h5_msg *m)
{
    egi_h5_cursor c = egi_h5_cursor_of(m);
    const uint64_t tree = egi_h5_take(&c, 8), heap_address = egi_h5_take(&c, 8);
    if (c.bad)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a short symbol table message" EGI_H5_DAMAGED);
    local_heap heap;
    EG_TRY(read_heap(&heap, f, heap_address));
    const eg_status status = read_tree(f, group, &heap, tree, -1);
    egi_free(f->context, heap.data);
    return status;
}

/* --- link messages ------------------------------------------------------------------------------------------------ */

static eg_status copy_text(char **out, egi_h5 *f, const uint8_t *p, uint64_t n, const char *what)
{
    if (n == 0 || memchr(p, 0, n))
        return egi_fail(EG_ERR_FORMAT, "hdf5: %s is empty or has a zero inside" EGI_H5_DAMAGED, what);
    EG_TRY(egi_alloc(out, f->context, (int64_t)n + 1, 1));
    memcpy(*out, p, n);
    return EG_OK;
}

static eg_status link_target(egi_h5 *f, int64_t group, const char *name, int type, egi_h5_cursor *c)
{
    if (type == 64)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: link '%s' leads to another file (external link); copy the data "
                        "into one file",
                        name);
    if (type == 0)
        return add_node(f, group, name, egi_h5_take(c, 8), NULL);
    if (type != 1)
        return egi_fail(EG_ERR_UNSUPPORTED, "unsupported: link '%s' is of a user-defined type (%d)", name, type);
    const uint64_t n = egi_h5_take(c, 2);
    const uint8_t *p = egi_h5_take_bytes(c, n);
    if (c->bad)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a short soft link" EGI_H5_DAMAGED);
    char *target;
    EG_TRY(copy_text(&target, f, p, n, "a soft link"));
    const eg_status status = add_node(f, group, name, EGI_H5_NOWHERE, target);
    if (status != EG_OK)
        egi_free(f->context, target);
    return status;
}

static eg_status read_link(egi_h5 *f, int64_t group, const egi_h5_msg *m)
{
    egi_h5_cursor c = egi_h5_cursor_of(m);
    const int version = (int)egi_h5_take(&c, 1), flags = (int)egi_h5_take(&c, 1);
    const int type = flags & 8 ? (int)egi_h5_take(&c, 1) : 0;
    egi_h5_take_bytes(&c, (flags & 4 ? 8 : 0) + (flags & 16 ? 1 : 0));
    const uint64_t n = egi_h5_take(&c, 1 << (flags & 3));
    const uint8_t *p = egi_h5_take_bytes(&c, n);
    if (c.bad || version != 1)
        return egi_fail(EG_ERR_FORMAT, "hdf5: a link message of version %d" EGI_H5_DAMAGED, version);
    char *name;
    EG_TRY(copy_text(&name, f, p, n, "a link's name"));
    eg_status status = link_target(f, group, name, type, &c);
    if (status == EG_OK && c.bad)
        status = egi_fail(EG_ERR_FORMAT, "hdf5: a short link message" EGI_H5_DAMAGED);
    egi_free(f->context, name);
    return status;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

static eg_status refuse_dense(const egi_h5_msg *m, const char *what)
{
    egi_h5_cursor c = egi_h5_cursor_of(m);
    egi_h5_take(&c, 1);
    const int flags = (int)egi_h5_take(&c, 1);
    egi_h5_take_bytes(&c, m->type == EGI_H5_MSG_LINK_INFO ? (flags & 1 ? 8 : 0) : (flags & 1 ? 2 : 0));
    if (egi_h5_take(&c, 8) != EGI_H5_NOWHERE && !c.bad)
        return egi_fail(EG_ERR_UNSUPPORTED,
                        "unsupported: %s stored densely (hdf5 written with libver 'latest' or "
                        "track_order); save the model again with Keras' defaults",
                        what);
    return EG_OK;
}

static eg_status read_object(egi_h5 *f, int64_t node, const egi_h5_header *h)
{
    bool group = false;
    for (int64_t i = 0; i < h->n; i++) {
        const egi_h5_msg *m = &h->msgs[i];
        if (m->type == EGI_H5_MSG_SYMBOLS || m->type == EGI_H5_MSG_LINK || m->type == EGI_H5_MSG_LINK_INFO)
            group = true;
        if (m->type == EGI_H5_MSG_SYMBOLS)
            EG_TRY(read_symbol_group(f, node, m));
        else if (m->type == EGI_H5_MSG_LINK)
            EG_TRY(read_link(f, node, m));
        else if (m->type == EGI_H5_MSG_LINK_INFO)
            EG_TRY(refuse_dense(m, "links"));
        else if (m->type == EGI_H5_MSG_ATTR_INFO)
            EG_TRY(refuse_dense(m, "attributes"));
        else if (m->type == EGI_H5_MSG_EXTERNAL)
            return egi_fail(EG_ERR_UNSUPPORTED,
                            "unsupported: the data of '%s' lies in another file (external storage); "
                            "copy the data into one file",
                            f->nodes[node].name);
    }
    f->nodes[node].kind = group ? EGI_H5_GROUP : EGI_H5_DATASET;
    if (group)
        return EG_OK;
    egi_h5_layout layout;
    return egi_h5_parse_layout(&layout, h);
}

/* Where (parent, name) stands in the index, or where it would. FNV-1a. */
static int64_t slot(const egi_h5 *f, int64_t parent, const char *name, size_t n)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)parent * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (uint8_t)name[i]) * 1099511628211u;
    for (int64_t i = (int64_t)((hash ^ hash >> 32) & (uint64_t)(f->index_size - 1));;
         i = (i + 1) & (f->index_size - 1)) {
        const egi_h5_node *at = f->index[i] < 0 ? NULL : &f->nodes[f->index[i]];
        if (!at || (at->parent == parent && strncmp(at->name, name, n) == 0 && at->name[n] == '\0'))
            return i;
    }
}

static eg_status build_index(egi_h5 *f)
{
    f->index_size = 16;
    while (f->index_size < 2 * f->n_nodes)
        f->index_size *= 2;
    EG_TRY(egi_alloc(&f->index, f->context, f->index_size, sizeof *f->index));
    memset(f->index, 0xff, (size_t)f->index_size * sizeof *f->index);
    for (int64_t i = 1; i < f->n_nodes; i++) {
        const egi_h5_node *n = &f->nodes[i];
        const int64_t at = slot(f, n->parent, n->name, strlen(n->name));
        if (f->index[at] >= 0)
            return egi_fail(EG_ERR_FORMAT, "hdf5: two links with the name '%s' in one group" EGI_H5_DAMAGED, n->name);
        f->index[at] = (int32_t)i;
    }
    return EG_OK;
}

static eg_status check_soft_links(egi_h5 *f)
{
    for (int64_t i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].kind == EGI_H5_SOFT_LINK && egi_h5_find(f, f->nodes[i].parent, f->nodes[i].name) < 0)
            return egi_fail(EG_ERR_FORMAT, "hdf5: soft link '%s' leads to '%s', which is nothing or a cycle",
                            f->nodes[i].name, f->nodes[i].soft);
    return EG_OK;
}

eg_status egi_h5_walk(egi_h5 *f, uint64_t root)
{
    EG_TRY(add_node(f, -1, "/", root, NULL));
    for (int64_t i = 0; i < f->n_nodes; i++) {
        f->nodes[i].first_child = f->n_nodes;
        if (f->nodes[i].soft) {
            f->nodes[i].kind = EGI_H5_SOFT_LINK;
            continue;
        }
        egi_h5_header h;
        eg_status status = egi_h5_header_read(&h, f, f->nodes[i].address);
        if (status == EG_OK) {
            status = read_object(f, i, &h);
            egi_h5_header_free(f, &h);
        }
        if (status != EG_OK)
            return egi_fail_prefix(status, "'%s'", f->nodes[i].name);
        f->nodes[i].n_children = f->n_nodes - f->nodes[i].first_child;
    }
    if (f->nodes[0].kind != EGI_H5_GROUP)
        return egi_fail(EG_ERR_FORMAT, "hdf5: the root is no group" EGI_H5_DAMAGED);
    EG_TRY(build_index(f));
    return check_soft_links(f);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static int64_t find(const egi_h5 *f, int64_t node, const char *path, int *links)
{
    if (path[0] == '/')
        node = 0;
    while (node >= 0) {
        path += strspn(path, "/");
        const size_t n = strcspn(path, "/");
        if (n == 0)
            return node;
        if (f->nodes[node].kind != EGI_H5_GROUP)
            return -1;
        const int64_t found = n == 1 && path[0] == '.' ? node : f->index[slot(f, node, path, n)];
        if (found >= 0 && f->nodes[found].kind == EGI_H5_SOFT_LINK)
            node = ++*links > SOFT_MAX ? -1 : find(f, node, f->nodes[found].soft, links);
        else
            node = found;
        path += n;
    }
    return -1;
}

int64_t egi_h5_find(const egi_h5 *f, int64_t node, const char *path)
{
    int links = 0;
    return find(f, node, path, &links);
}

egi_h5_kind egi_h5_kind_of(const egi_h5 *f, int64_t node)
{
    return f->nodes[node].kind;
}

const char *egi_h5_name(const egi_h5 *f, int64_t node)
{
    return f->nodes[node].name;
}

int64_t egi_h5_children(const egi_h5 *f, int64_t node, int64_t *first)
{
    *first = f->nodes[node].first_child;
    return f->nodes[node].n_children;
}
