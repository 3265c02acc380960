/* Writing through libhdf5. The file grows in memory and reaches the disk in one atomic step, so that a full disk never
 * meets libhdf5 and never leaves half a file. No times are stored: the same calls give the same bytes. */
#include "checkpoints/hdf5.h"

#include "core/file.h"

#include <hdf5.h>
#include <pthread.h>
#include <string.h>

#define GROWTH      ((size_t)1 << 20)
#define CHUNK_BYTES ((hsize_t)1 << 20)
#define DEFLATE     4

/* libhdf5 has state of its own that threads share: only one file is put together at a time. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

struct egi_h5_out {
    eg_context *context;
    hid_t file;
    H5E_auto2_t report; /* the caller's error handler and plugin state, given back at the end */
    void *report_data;
    unsigned plugins;
};

static eg_status failed(const char *what, const char *path)
{
    return egi_fail(EG_ERR_INTERNAL, "hdf5: %s '%s' could not be written", what, path);
}

static hid_t create_file(void)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = -1;
    if (access >= 0 && creation >= 0 && H5Pset_fapl_core(access, GROWTH, 0) >= 0 &&
        H5Pset_obj_track_times(creation, 0) >= 0)
        file = H5Fcreate("engram.h5", H5F_ACC_TRUNC, creation, access); /* a name only: nothing reaches the disk */
    H5Pclose(access);
    H5Pclose(creation);
    return file;
}

eg_status egi_h5_out_create(egi_h5_out **out, eg_context *context)
{
    egi_h5_out *f;
    EG_TRY(egi_alloc(&f, context, 1, sizeof *f));
    f->context = context;
    pthread_mutex_lock(&library);
    H5Eget_auto2(H5E_DEFAULT, &f->report, &f->report_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLget_loading_state(&f->plugins);
    H5PLset_loading_state(0);
    f->file = create_file();
    if (f->file < 0) {
        egi_h5_out_free(f);
        return egi_fail(EG_ERR_NOMEM, "hdf5: no memory for a new file");
    }
    *out = f;
    return EG_OK;
}

void egi_h5_out_free(egi_h5_out *f)
{
    if (!f)
        return;
    if (f->file >= 0)
        H5Fclose(f->file);
    H5PLset_loading_state(f->plugins);
    H5Eset_auto2(H5E_DEFAULT, f->report, f->report_data);
    pthread_mutex_unlock(&library);
    egi_free(f->context, f);
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

static hid_t make_group(hid_t file, const char *path)
{
    const hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    hid_t group = -1;
    if (creation >= 0 && H5Pset_obj_track_times(creation, 0) >= 0)
        group = H5Gcreate2(file, path, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Pclose(creation);
    return group;
}

/* Makes the groups of path[0..n). */
static eg_status make_groups(egi_h5_out *f, const char *path, size_t n)
{
    char *part;
    EG_TRY(egi_strdup(&part, f->context, path));
    part[n] = '\0';
    bool good = true;
    for (size_t at = 1; at <= n && good; at++) {
        if (path[at] != '/' && at != n)
            continue;
        part[at] = '\0';
        if (H5Lexists(f->file, part, H5P_DEFAULT) <= 0) {
            const hid_t group = make_group(f->file, part);
            good = group >= 0;
            if (good)
                H5Gclose(group);
        }
        part[at] = at == n ? '\0' : '/';
    }
    egi_free(f->context, part);
    return good ? EG_OK : failed("group", path);
}

eg_status egi_h5_out_group(egi_h5_out *f, const char *path)
{
    const size_t n = strlen(path);
    return strcmp(path, "/") == 0 ? EG_OK : make_groups(f, path, n);
}

/* --- types -------------------------------------------------------------------------------------------------------- */

static hid_t int_type(const egi_h5_type *t)
{
    const hid_t type = H5Tcopy(t->is_signed ? H5T_STD_I64LE : H5T_STD_U64LE);
    H5Tset_precision(type, 8 * (size_t)t->size); /* before the size, which must not fall below it */
    H5Tset_size(type, t->size);
    return type;
}

/* libhdf5 1.10 has no half precision: it is described. */
static hid_t float_type(const egi_h5_type *t)
{
    const hid_t type = H5Tcopy(t->size == 8 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE);
    if (t->size == 2) {
        H5Tset_fields(type, 15, 10, 5, 0, 10);
        H5Tset_size(type, 2);
        H5Tset_ebias(type, 15);
    }
    return type;
}

static hid_t text_type(const egi_h5_type *t)
{
    static const H5T_str_t padding[] = {H5T_STR_NULLTERM, H5T_STR_NULLPAD, H5T_STR_SPACEPAD};
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, t->kind == EGI_H5_TEXT ? H5T_VARIABLE : t->size);
    H5Tset_strpad(type, padding[t->padding >= 0 && t->padding <= 2 ? t->padding : 0]);
    H5Tset_cset(type, t->utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
    return type;
}

static hid_t make_type(const egi_h5_type *t, bool big_endian)
{
    if (t->kind == EGI_H5_STRING || t->kind == EGI_H5_TEXT)
        return text_type(t);
    if (t->kind == EGI_H5_OTHER)
        return -1;
    const hid_t type = t->kind == EGI_H5_INT ? int_type(t) : float_type(t);
    if (big_endian)
        H5Tset_order(type, H5T_ORDER_BE);
    return type;
}

static hid_t make_space(const egi_shape *s, bool null)
{
    hsize_t dim[EGI_MAX_RANK];
    for (int i = 0; i < s->rank; i++)
        dim[i] = (hsize_t)s->dim[i];
    return null ? H5Screate(H5S_NULL) : s->rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(s->rank, dim, NULL);
}

/* --- attributes and datasets -------------------------------------------------------------------------------------- */

eg_status egi_h5_out_attr(egi_h5_out *f, const char *path, const egi_h5_attr *a)
{
    const hid_t object = H5Oopen(f->file, path, H5P_DEFAULT), type = make_type(&a->type, a->type.big_endian);
    const hid_t space = make_space(&a->shape, a->null);
    hid_t attr = -1;
    bool good = object >= 0 && type >= 0 && space >= 0;
    if (good)
        attr = H5Acreate2(object, a->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    good = attr >= 0;
    if (good && a->count > 0)
        good = H5Awrite(attr, type, a->text ? (const void *)a->text : a->data) >= 0;
    if (attr >= 0)
        H5Aclose(attr);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (object >= 0)
        H5Oclose(object);
    return good ? EG_OK : failed("attribute", a->name);
}

static bool set_deflate(hid_t creation, const egi_h5_data *info)
{
    hsize_t chunk[EGI_MAX_RANK], bytes = info->type.size;
    for (int i = info->shape.rank - 1; i >= 0; i--) { /* whole rows, up to CHUNK_BYTES */
        const hsize_t most = CHUNK_BYTES / bytes ? CHUNK_BYTES / bytes : 1;
        chunk[i] = (hsize_t)info->shape.dim[i] < most ? (hsize_t)info->shape.dim[i] : most;
        bytes *= chunk[i];
    }
    return H5Pset_chunk(creation, info->shape.rank, chunk) >= 0 &&
           (info->type.size == 1 || H5Pset_shuffle(creation) >= 0) && H5Pset_deflate(creation, DEFLATE) >= 0;
}

static bool write_data(egi_h5_out *f, const char *path, const egi_h5_data *info, const void *data, bool deflate)
{
    const bool machine_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    const hid_t type = make_type(&info->type, info->type.big_endian), memory = make_type(&info->type, machine_big);
    const hid_t space = make_space(&info->shape, false), creation = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    bool good = type >= 0 && memory >= 0 && space >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, 0) >= 0;
    if (good && deflate && info->shape.rank > 0 && info->count > 0)
        good = set_deflate(creation, info);
    if (good)
        set = H5Dcreate2(f->file, path, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    good = set >= 0 && (info->count == 0 || H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    if (set >= 0)
        good = H5Dclose(set) >= 0 && good;
    H5Pclose(creation);
    if (space >= 0)
        H5Sclose(space);
    if (memory >= 0)
        H5Tclose(memory);
    if (type >= 0)
        H5Tclose(type);
    return good;
}

eg_status egi_h5_out_data(egi_h5_out *f, const char *path, const egi_h5_data *info, const void *data, bool deflate)
{
    const char *slash = strrchr(path, '/');
    if (slash && slash != path)
        EG_TRY(make_groups(f, path, (size_t)(slash - path)));
    return write_data(f, path, info, data, deflate) ? EG_OK : failed("dataset", path);
}

/* --- to the disk -------------------------------------------------------------------------------------------------- */

eg_status egi_h5_out_commit(egi_h5_out *f, const char *path)
{
    uint8_t *image;
    if (H5Fflush(f->file, H5F_SCOPE_GLOBAL) < 0)
        return egi_fail(EG_ERR_NOMEM, "hdf5: no memory for the new file");
    const ssize_t bytes = H5Fget_file_image(f->file, NULL, 0);
    if (bytes <= 0)
        return egi_fail(EG_ERR_INTERNAL, "hdf5: the new file has no image");
    EG_TRY(egi_alloc(&image, f->context, bytes, 1));
    const bool good = H5Fget_file_image(f->file, image, (size_t)bytes) == bytes;
    const eg_status status = good ? egi_file_write_atomic(f->context, path, image, (size_t)bytes)
                                  : egi_fail(EG_ERR_INTERNAL, "hdf5: the new file has no image");
    egi_free(f->context, image);
    return status;
}
