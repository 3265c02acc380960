/* NPZ: a zip of NPY members. Arrays x (or x0, x1, ... for several inputs) and y; or x_train, y_train, x_test, y_test as
 * keras.datasets has; and sample_weight beside them. */
#include "data/npy.h"
#include "data/zip.h"

#include <stdio.h>
#include <string.h>

static eg_status member_read(void *state, void *dst, int64_t bytes)
{
    return egi_zip_read(state, dst, bytes);
}

static eg_status member_end(void *state)
{
    return egi_zip_expect_end(state);
}

static eg_status member_room(void *state, int64_t bytes)
{
    const egi_zip_reader *r = state;
    if (bytes == r->left)
        return EG_OK;
    return egi_fail(EG_ERR_DATA, "%s: member '%s': its header promises %lld bytes, found %lld", r->zip->path,
                    r->member->name, (long long)bytes, (long long)r->left);
}

/* What happens with an array once its header is read. */
typedef eg_status (*use_array)(eg_dataset *d, int i, const egi_npy *a, const egi_npy_bytes *s);

static eg_status use_input(eg_dataset *d, int i, const egi_npy *a, const egi_npy_bytes *s)
{
    return egi_npy_input(d, i, a, s);
}

static eg_status use_answers(eg_dataset *d, int i, const egi_npy *a, const egi_npy_bytes *s)
{
    (void)i;
    return egi_npy_answers(d, a, s);
}

static eg_status use_weights(eg_dataset *d, int i, const egi_npy *a, const egi_npy_bytes *s)
{
    (void)i;
    return egi_npy_weights(d, a, s);
}

static eg_status read_member(eg_dataset *d, const egi_zip *z, const egi_zip_member *m, int i, use_array use)
{
    egi_zip_reader r;
    egi_npy a;
    char name[300];
    snprintf(name, sizeof name, "%s: %s", z->path, m->name);
    EG_TRY(egi_zip_reader_open(&r, z, m));
    const egi_npy_bytes stream = {name, member_read, member_end, member_room, &r};
    eg_status status = egi_npy_header(&a, &stream, d->context);
    if (status == EG_OK)
        status = use(d, i, &a, &stream);
    egi_zip_reader_close(&r);
    return status;
}

/* "x" + "_train" + ".npy", and "x0" where `input` is not negative. */
static const egi_zip_member *find_array(const egi_zip *z, const char *letter, int input, const char *part)
{
    char name[48];
    if (input < 0)
        snprintf(name, sizeof name, "%s%s.npy", letter, part);
    else
        snprintf(name, sizeof name, "%s%d%s.npy", letter, input, part);
    return egi_zip_find(z, name);
}

static bool has_inputs(const egi_zip *z, const char *part)
{
    return find_array(z, "x", -1, part) || find_array(z, "x", 0, part);
}

static eg_status no_inputs(const egi_zip *z)
{
    char list[200] = "";
    size_t at = 0;
    for (int64_t i = 0; i < z->n && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", z->members[i].name);
    return egi_fail(EG_ERR_DATA,
                    "%s: wanted arrays x (or x0, x1, ...) and y, or x_train, y_train, x_test, y_test; found %s",
                    z->path, z->n ? list : "none");
}

static eg_status read_inputs(eg_dataset *d, const egi_zip *z, const char *part)
{
    const egi_zip_member *only = find_array(z, "x", -1, part);
    if (only)
        return read_member(d, z, only, 0, use_input);
    for (int i = 0; i < EGI_INPUTS_MAX; i++) {
        const egi_zip_member *m = find_array(z, "x", i, part);
        if (!m)
            return EG_OK;
        EG_TRY(read_member(d, z, m, i, use_input));
    }
    if (find_array(z, "x", EGI_INPUTS_MAX, part))
        return egi_fail(EG_ERR_DATA, "%s: more than %d inputs", z->path, EGI_INPUTS_MAX);
    return EG_OK;
}

/* The other part may know classes that this one has no example of. */
static eg_status count_classes(eg_dataset *d, const egi_zip *z, const char *other)
{
    const egi_zip_member *y = find_array(z, "y", -1, other), *x = find_array(z, "x", -1, other);
    if (!d->labels || !y)
        return EG_OK;
    eg_dataset probe = {.context = d->context, .name = d->name};
    egi_zip_reader r;
    egi_npy a;
    x = x ? x : find_array(z, "x", 0, other);
    EG_TRY(egi_zip_reader_open(&r, z, x));
    const egi_npy_bytes stream = {z->path, member_read, member_end, member_room, &r};
    eg_status status = egi_npy_header(&a, &stream, d->context);
    egi_zip_reader_close(&r);
    EG_TRY(status);
    probe.n = a.rank ? a.dim[0] : 0;
    status = read_member(&probe, z, y, 0, use_answers);
    if (status == EG_OK && probe.labels)
        status = egi_fill_classes(&probe, z->path);
    if (probe.classes > d->classes)
        d->classes = probe.classes;
    egi_free(d->context, probe.labels);
    egi_free(d->context, probe.targets);
    return status;
}

static eg_status read_part(eg_dataset *d, const egi_zip *z, const char *part)
{
    EG_TRY(read_inputs(d, z, part));
    const egi_zip_member *y = find_array(z, "y", -1, part);
    if (y)
        EG_TRY(read_member(d, z, y, 0, use_answers));
    const egi_zip_member *weights = find_array(z, "sample_weight", -1, part);
    return weights ? read_member(d, z, weights, 0, use_weights) : EG_OK;
}

static eg_status read_arrays(eg_dataset *d, const egi_zip *z, eg_part part)
{
    const bool parts = has_inputs(z, "_train");
    d->has_test = parts && has_inputs(z, "_test");
    if (!parts) {
        if (!has_inputs(z, ""))
            return no_inputs(z);
        return read_part(d, z, "");
    }
    const bool test = d->has_test && part == EG_PART_TEST;
    EG_TRY(read_part(d, z, test ? "_test" : "_train"));
    return d->has_test ? count_classes(d, z, test ? "_train" : "_test") : EG_OK;
}

static bool is_npz(const egi_source *s)
{
    return !s->folder && s->head_bytes >= 4 && (memcmp(s->head, "PK\3\4", 4) == 0 || memcmp(s->head, "PK\5\6", 4) == 0);
}

static eg_status detect(bool *yes, const egi_source *s)
{
    *yes = is_npz(s);
    return EG_OK;
}

static eg_status read_npz(eg_dataset *d, egi_reading *r, const egi_source *s, eg_part part)
{
    egi_zip z;
    (void)r; /* several arrays, each packed on its own: read whole */
    EG_TRY(egi_zip_open(&z, s->context, s->path));
    const eg_status status = read_arrays(d, &z, part);
    egi_zip_close(&z);
    return status;
}

const egi_reader egi_reader_npz = {
    .format = "NPZ",
    .accepts = "an .npz file with arrays x and y",
    .detect = detect,
    .open = read_npz,
};
