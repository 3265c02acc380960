/** checkpoints/hdf5.h: HDF5 files in and out.
 *
 *  Reading is done here, byte by byte, not by libhdf5: one random byte flip in a hundred makes libhdf5 1.10.8 crash,
 * and a file from somebody else is hostile until it is read. The reader knows what Keras' and our own files are made of
 *  (superblocks 0 to 3, symbol tables and compact links, contiguous, compact and chunked data, deflate, shuffle,
 * fletcher32) and refuses everything else by name. Writing is done by libhdf5. */
#ifndef EGI_HDF5_H
#define EGI_HDF5_H

#include "core/tensor.h"

typedef struct egi_h5 egi_h5;

typedef enum egi_h5_kind { EGI_H5_GROUP, EGI_H5_DATASET, EGI_H5_SOFT_LINK } egi_h5_kind;

typedef enum egi_h5_class {
    EGI_H5_INT,
    EGI_H5_FLOAT,  /* IEEE, 2, 4 or 8 bytes */
    EGI_H5_STRING, /* of fixed size */
    EGI_H5_TEXT,   /* of variable size */
    EGI_H5_OTHER   /* anything else: never read, never written back */
} egi_h5_class;

typedef struct egi_h5_type {
    egi_h5_class kind;
    uint32_t size; /* bytes an element as stored */
    bool big_endian, is_signed, utf8;
    int padding; /* of strings: 0 ends with a zero, 1 filled with zeros, 2 filled with spaces */
    int number;  /* HDF5's class number, for messages */
} egi_h5_type;

typedef struct egi_h5_attr {
    char *name;
    egi_h5_type type;
    bool null; /* a null dataspace: no value */
    egi_shape shape;
    int64_t count;
    void *data;  /* INT, FLOAT, STRING: count * size bytes as stored */
    char **text; /* TEXT: count strings */
} egi_h5_attr;

typedef struct egi_h5_attrs {
    egi_h5_attr *list;
    int64_t n, capacity;
} egi_h5_attrs;

/** What a dataset holds. */
typedef struct egi_h5_data {
    egi_h5_type type;
    egi_shape shape;
    int64_t count;
} egi_h5_data;

/* --- reading ------------------------------------------------------------------------------------------------------ */

/** Opens a file and walks all of it once. Nodes are numbered, 0 is the root. Owner: caller, egi_h5_close().
 *  Errors: IO; FORMAT (not HDF5, damaged, lies about sizes, cycles); UNSUPPORTED (external links and storage, virtual
 * data, user-defined types, other filters, newest storage forms). Messages do not name the file: the caller does. */
EG_MUST_USE eg_status egi_h5_open(egi_h5 **out, eg_context *context, const char *path);
void egi_h5_close(egi_h5 *file);

/** The node at `path` below `node`, soft links followed; -1: none. */
int64_t egi_h5_find(const egi_h5 *file, int64_t node, const char *path);
egi_h5_kind egi_h5_kind_of(const egi_h5 *file, int64_t node);
const char *egi_h5_name(const egi_h5 *file, int64_t node);
/** The children of a group are nodes *first to *first + n - 1; returns n. */
int64_t egi_h5_children(const egi_h5 *file, int64_t node, int64_t *first);
/** Size of the file in bytes. */
int64_t egi_h5_size(const egi_h5 *file);

/** All attributes in the order of the file. Owner: caller, egi_h5_attrs_free(). */
EG_MUST_USE eg_status egi_h5_attrs_read(egi_h5_attrs *out, egi_h5 *file, int64_t node);
void egi_h5_attrs_free(eg_context *context, egi_h5_attrs *attrs);
void egi_h5_attr_free(eg_context *context, egi_h5_attr *attr); /* what is in it, not itself */
EG_MUST_USE eg_status egi_h5_attrs_clone(egi_h5_attrs *out, eg_context *context, const egi_h5_attrs *attrs);
egi_h5_attr *egi_h5_attr_find(const egi_h5_attrs *attrs, const char *name);
/** Element `i` of a STRING or TEXT attribute. Owner: caller, egi_free(). Errors: FORMAT when it is neither. */
EG_MUST_USE eg_status egi_h5_attr_text(char **out, eg_context *context, const egi_h5_attr *attr, int64_t i);

/** Type and shape of a dataset; the size was checked against what the file can hold. */
EG_MUST_USE eg_status egi_h5_data_info(egi_h5_data *out, egi_h5 *file, int64_t node);
/** Its elements, info->count * info->type.size bytes in this machine's byte order. */
EG_MUST_USE eg_status egi_h5_data_read(void *out, egi_h5 *file, int64_t node, const egi_h5_data *info);

/* --- writing ------------------------------------------------------------------------------------------------------ */

/** A file that is put together in memory, without times: the same calls give the same bytes. */
typedef struct egi_h5_out egi_h5_out;

EG_MUST_USE eg_status egi_h5_out_create(egi_h5_out **out, eg_context *context);
void egi_h5_out_free(egi_h5_out *file);
/** A group at `path` (its parents are made); one that exists is fine. */
EG_MUST_USE eg_status egi_h5_out_group(egi_h5_out *file, const char *path);
/** Writes an attribute of a group or dataset. */
EG_MUST_USE eg_status egi_h5_out_attr(egi_h5_out *file, const char *path, const egi_h5_attr *attr);
/** Writes a dataset; missing parent groups are made. `data`: in this machine's byte order. `deflate`: compressed. */
EG_MUST_USE eg_status egi_h5_out_data(egi_h5_out *file, const char *path, const egi_h5_data *info, const void *data,
                                      bool deflate);
/** The finished file, in one atomic step, to `path`. Errors: IO. */
EG_MUST_USE eg_status egi_h5_out_commit(egi_h5_out *file, const char *path);

#endif
