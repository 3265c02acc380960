/** checkpoints/hdf5_inside.h: what the parts of the HDF5 reader share. */
#ifndef EGI_HDF5_INSIDE_H
#define EGI_HDF5_INSIDE_H

#include "checkpoints/hdf5.h"

#define EGI_H5_NOWHERE UINT64_MAX /* HDF5's undefined address */
#define EGI_H5_DAMAGED "; the file is damaged, fetch it again"

/** One link of the hierarchy. Children of a node are neighbours. */
typedef struct egi_h5_node {
    char *name;
    char *soft; /* target of a soft link, or NULL */
    uint64_t address;
    int64_t parent, first_child, n_children;
    int depth;
    egi_h5_kind kind;
} egi_h5_node;

struct egi_h5 {
    eg_context *context;
    int fd;
    uint64_t base, size; /* where the HDF5 part begins, how long it is */
    int64_t budget;      /* bytes of metadata that may still be read: bounds time and memory on hostile files */
    egi_h5_node *nodes;
    int64_t n_nodes, nodes_capacity;
    int32_t *index;     /* hash table of (parent, name): node, -1 free */
    int64_t index_size; /* a power of two */
    uint8_t *heap;      /* the global heap collection that was read last */
    uint64_t heap_address, heap_size;
};

/** Reads little-endian fields; past the end it gives zeros and `bad` stays set. */
typedef struct egi_h5_cursor {
    const uint8_t *p;
    uint64_t left;
    bool bad;
} egi_h5_cursor;

uint64_t egi_h5_take(egi_h5_cursor *c, int bytes);
const uint8_t *egi_h5_take_bytes(egi_h5_cursor *c, uint64_t bytes); /* NULL past the end */

/** `bytes` bytes at `address`, or a failure that names `what`; metadata counts against the budget. Owner: caller,
 * egi_free(). */
EG_MUST_USE eg_status egi_h5_block(uint8_t **out, egi_h5 *f, uint64_t address, uint64_t bytes, const char *what);
/** The same into memory of the caller's, not counted: data. */
EG_MUST_USE eg_status egi_h5_bytes(void *out, egi_h5 *f, uint64_t address, uint64_t bytes, const char *what);

/* Message types of object headers. */
enum {
    EGI_H5_MSG_SPACE = 0x01,
    EGI_H5_MSG_LINK_INFO = 0x02,
    EGI_H5_MSG_TYPE = 0x03,
    EGI_H5_MSG_LINK = 0x06,
    EGI_H5_MSG_EXTERNAL = 0x07,
    EGI_H5_MSG_LAYOUT = 0x08,
    EGI_H5_MSG_FILTERS = 0x0B,
    EGI_H5_MSG_ATTR = 0x0C,
    EGI_H5_MSG_CONTINUE = 0x10,
    EGI_H5_MSG_SYMBOLS = 0x11,
    EGI_H5_MSG_ATTR_INFO = 0x15
};

typedef struct egi_h5_msg {
    int type, flags;
    uint32_t size;
    const uint8_t *data;
} egi_h5_msg;

typedef struct egi_h5_header {
    egi_h5_msg *msgs;
    int64_t n, capacity;
    uint8_t **blocks; /* the memory that the messages point into */
    int64_t n_blocks, blocks_capacity;
} egi_h5_header;

EG_MUST_USE eg_status egi_h5_header_read(egi_h5_header *out, egi_h5 *f, uint64_t address);
void egi_h5_header_free(egi_h5 *f, egi_h5_header *h);
const egi_h5_msg *egi_h5_header_find(const egi_h5_header *h, int type);
egi_h5_cursor egi_h5_cursor_of(const egi_h5_msg *m);

/** Datatype and dataspace messages. */
EG_MUST_USE eg_status egi_h5_parse_type(egi_h5_type *out, egi_h5_cursor *c);
EG_MUST_USE eg_status egi_h5_parse_space(egi_shape *shape, bool *null, egi_h5_cursor *c);

/** Layout and filters of a dataset, checked against what this reader knows. */
typedef struct egi_h5_layout {
    enum { EGI_H5_COMPACT, EGI_H5_CONTIGUOUS, EGI_H5_CHUNKED } kind;
    const uint8_t *compact; /* in the header's memory */
    uint64_t address, bytes;
    uint32_t chunk[EGI_MAX_RANK + 1];
    int chunk_rank; /* dimensions of `chunk`, without the element size */
    int filters[8], n_filters;
    bool single; /* layout 4: one chunk, of `bytes` stored bytes, whose filter mask is `mask` */
    uint32_t mask;
} egi_h5_layout;
EG_MUST_USE eg_status egi_h5_parse_layout(egi_h5_layout *out, const egi_h5_header *h);

/** Fills f->nodes (hdf5_tree.c). `root`: address of the root group's header. */
EG_MUST_USE eg_status egi_h5_walk(egi_h5 *f, uint64_t root);

#endif
