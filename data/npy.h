/** data/npy.h: arrays as numpy writes them (numpy.lib.format, versions 1 to 3), and what x and y mean in a data set. */
#ifndef EGI_NPY_H
#define EGI_NPY_H

#include "data/convert.h"
#include "data/reader.h"

#define EGI_NPY_RANK   (EGI_MAX_RANK + 1)
#define EGI_NPY_PREFIX 12        /* magic, version, length of the header */
#define EGI_NPY_HEADER (1 << 16) /* the longest header that is read */

typedef struct egi_npy {
    egi_number type;
    bool fortran;
    int rank;
    int64_t dim[EGI_NPY_RANK];
    int64_t count; /* product of dim */
} egi_npy;

/** Where an array's bytes come from: an .npy file or a member of a zip. */
typedef struct egi_npy_bytes {
    const char *name;                                         /* for messages: "x.npz: x" */
    eg_status (*read)(void *state, void *dst, int64_t bytes); /* exactly */
    eg_status (*expect_end)(void *state);
    eg_status (*expect_room)(void *state, int64_t bytes); /* can it be that long? */
    void *state;
} egi_npy_bytes;

/** Reads and checks the header; the stream stands at the data. Errors: DATA. */
EG_MUST_USE eg_status egi_npy_header(egi_npy *out, const egi_npy_bytes *s, eg_context *context);
/** Parses the dictionary, `n` characters. Errors: DATA. */
EG_MUST_USE eg_status egi_npy_parse(egi_npy *out, const char *text, int64_t n, const char *name);

/** The stream, behind its header, becomes input `i` of `d`: U8 for bytes and booleans, else F32. d->n 0: set from it,
 * else it must match. */
EG_MUST_USE eg_status egi_npy_input(eg_dataset *d, int i, const egi_npy *a, const egi_npy_bytes *s);
/** It becomes labels (integers, one an example) or targets (floating point or several columns). */
EG_MUST_USE eg_status egi_npy_answers(eg_dataset *d, const egi_npy *a, const egi_npy_bytes *s);
/** Fills d->weights from a (n) array: Keras' sample_weight. Errors: DATA, NOMEM. */
EG_MUST_USE eg_status egi_npy_weights(eg_dataset *d, const egi_npy *a, const egi_npy_bytes *s);

#endif
