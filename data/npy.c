/* NPY: "\x93NUMPY", version, header length, a Python dictionary of exactly descr, fortran_order and shape, then the
 * numbers. */
#include "data/npy.h"

#include <string.h>

static bool is_npy(const unsigned char *head, int64_t n)
{
    return n >= EGI_NPY_PREFIX - 2 && memcmp(head, "\x93NUMPY", 6) == 0;
}

/* --- the dictionary ----------------------------------------------------------------------------------------------- */

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

static bool take(cursor *c, const char *word)
{
    const size_t n = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* A string in single or double quotes without escapes. */
static bool take_string(cursor *c, char *text, size_t room)
{
    skip_space(c);
    if (c->at >= c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    const char quote = *c->at++;
    const char *stop = memchr(c->at, quote, (size_t)(c->end - c->at));
    if (!stop || (size_t)(stop - c->at) >= room)
        return false;
    memcpy(text, c->at, (size_t)(stop - c->at));
    text[stop - c->at] = '\0';
    c->at = stop + 1;
    return true;
}

static bool take_integer(cursor *c, int64_t *out)
{
    int64_t v = 0;
    skip_space(c);
    const char *from = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        v = v * 10 + (*c->at++ - '0');
        if (v > EGI_DIM_MAX)
            return false;
    }
    if (c->at == from)
        return false;
    if (c->at < c->end && *c->at == 'L') /* Python 2 */
        c->at++;
    *out = v;
    return true;
}

static bool take_shape(cursor *c, egi_npy *out)
{
    if (!take(c, "("))
        return false;
    for (out->rank = 0; !take(c, ")"); out->rank++) {
        if (out->rank == EGI_NPY_RANK || !take_integer(c, &out->dim[out->rank]))
            return false;
        if (!take(c, ",")) {
            out->rank++;
            return out->rank > 1 && take(c, ")");
        }
    }
    return true;
}

static bool take_bool(cursor *c, bool *out)
{
    *out = take(c, "True");
    return *out || take(c, "False");
}

/* "<f4", "|u1", ">i8", "|b1" and the like. */
static bool parse_type(const char *descr, egi_number *out)
{
    if (strlen(descr) != 3 || !strchr("<>|=", descr[0]) || !strchr("buif", descr[1]))
        return false;
    *out = (egi_number){.kind = descr[1], .size = descr[2] - '0', .big_endian = descr[0] == '>'};
    const bool size_fits = out->size == 1 || out->size == 2 || out->size == 4 || out->size == 8;
    if (!size_fits || (out->kind == 'b' && out->size != 1) || (out->kind == 'f' && out->size == 1))
        return false;
    return descr[0] != '|' || out->size == 1;
}

static eg_status take_entry(cursor *c, egi_npy *out, int *seen, const char *name)
{
    char key[32], descr[64];
    if (!take_string(c, key, sizeof key) || !take(c, ":"))
        return egi_fail(EG_ERR_DATA, "%s: its NPY header is no dictionary", name);
    if (strcmp(key, "descr") == 0) {
        if (!take_string(c, descr, sizeof descr) || !parse_type(descr, &out->type))
            return egi_fail(EG_ERR_DATA,
                            "%s: wanted numbers (u1 to u8, i1 to i8, f2, f4, f8, b1), found another dtype in '%.40s'",
                            name, c->at > c->end - 40 ? "" : c->at);
        *seen |= 1;
    } else if (strcmp(key, "fortran_order") == 0 && take_bool(c, &out->fortran)) {
        *seen |= 2;
    } else if (strcmp(key, "shape") == 0 && take_shape(c, out)) {
        *seen |= 4;
    } else {
        return egi_fail(EG_ERR_DATA, "%s: bad entry '%s' in its NPY header (at most %d dimensions)", name, key,
                        EGI_NPY_RANK);
    }
    return EG_OK;
}

eg_status egi_npy_parse(egi_npy *out, const char *text, int64_t n, const char *name)
{
    cursor c = {text, text + n};
    egi_npy a = {0};
    int seen = 0;
    if (!take(&c, "{"))
        return egi_fail(EG_ERR_DATA, "%s: its NPY header is no dictionary", name);
    while (!take(&c, "}")) {
        EG_TRY(take_entry(&c, &a, &seen, name));
        if (!take(&c, ",") && !(c.at < c.end && *c.at == '}'))
            return egi_fail(EG_ERR_DATA, "%s: its NPY header has no end", name);
    }
    skip_space(&c);
    if (seen != 7 || c.at != c.end)
        return egi_fail(EG_ERR_DATA, "%s: its NPY header wants descr, fortran_order and shape, and nothing else", name);
    a.count = 1;
    for (int i = 0; i < a.rank; i++)
        if (__builtin_mul_overflow(a.count, a.dim[i], &a.count) || a.count > EGI_DIM_MAX)
            return egi_fail(EG_ERR_DATA, "%s: its NPY header has an impossible shape", name);
    *out = a;
    return EG_OK;
}

eg_status egi_npy_header(egi_npy *out, const egi_npy_bytes *s, eg_context *context)
{
    unsigned char head[EGI_NPY_PREFIX];
    char *text;
    EG_TRY(s->read(s->state, head, 8));
    if (!is_npy(head, EGI_NPY_PREFIX) || head[6] < 1 || head[6] > 3 || head[7] != 0)
        return egi_fail(EG_ERR_DATA, "%s: wanted an NPY array of version 1 to 3, found other bytes", s->name);
    const int width = head[6] == 1 ? 2 : 4;
    int64_t length = 0;
    EG_TRY(s->read(s->state, head + 8, width));
    for (int i = 0; i < width; i++)
        length |= (int64_t)head[8 + i] << (8 * i);
    if (length > EGI_NPY_HEADER)
        return egi_fail(EG_ERR_DATA, "%s: an NPY header of %lld bytes, at most %d wanted", s->name, (long long)length,
                        EGI_NPY_HEADER);
    EG_TRY(egi_alloc(&text, context, length + 1, 1));
    eg_status status = s->read(s->state, text, length);
    if (status == EG_OK)
        status = egi_npy_parse(out, text, length, s->name);
    egi_free(context, text);
    return status == EG_OK ? s->expect_room(s->state, out->count * out->type.size) : status;
}

/* --- the numbers -------------------------------------------------------------------------------------------------- */

/* Elements in the file's order become elements in row-major order. */
static void to_row_major(const egi_npy *a, const char *from, char *to, size_t size)
{
    int64_t index[EGI_NPY_RANK] = {0}, stride[EGI_NPY_RANK], step = 1;
    for (int i = a->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= a->dim[i];
    }
    int64_t at = 0;
    for (int64_t k = 0; k < a->count; k++) {
        memcpy(to + (size_t)at * size, from + (size_t)k * size, size);
        for (int i = 0; i < a->rank; i++) { /* the first index runs fastest */
            at += stride[i];
            if (++index[i] < a->dim[i])
                break;
            at -= stride[i] * a->dim[i];
            index[i] = 0;
        }
    }
}

static eg_status read_pieces(const egi_npy *a, const egi_npy_bytes *s, egi_dtype dtype, void *to, int64_t count)
{
    unsigned char piece[1 << 14];
    const int64_t per_piece = (int64_t)sizeof piece / a->type.size, size = (int64_t)egi_dtype_size(dtype);
    int64_t bad = 0;
    if (size == a->type.size && dtype != EGI_I32 && !a->type.big_endian && (dtype == EGI_U8 || a->type.kind == 'f'))
        return s->read(s->state, to, count * size);
    for (int64_t i = 0; i < count; i += per_piece) {
        const int64_t now = count - i < per_piece ? count - i : per_piece;
        EG_TRY(s->read(s->state, piece, now * a->type.size));
        if (!egi_convert(&a->type, piece, dtype, (char *)to + i * size, now, &bad))
            return egi_fail(EG_ERR_DATA, "%s: label %lld is out of range", s->name, (long long)bad);
    }
    return EG_OK;
}

/* Examples do not lie one after the other. */
static bool by_columns(const egi_npy *a)
{
    return a->fortran && a->rank > 1;
}

static eg_status read_numbers(const egi_npy *a, const egi_npy_bytes *s, egi_dtype dtype, void *to, eg_context *context)
{
    if (!by_columns(a)) {
        EG_TRY(read_pieces(a, s, dtype, to, a->count));
        return s->expect_end(s->state);
    }
    void *columns;
    EG_TRY(egi_alloc(&columns, context, a->count, egi_dtype_size(dtype)));
    eg_status status = read_pieces(a, s, dtype, columns, a->count);
    if (status == EG_OK) {
        to_row_major(a, columns, to, egi_dtype_size(dtype));
        status = s->expect_end(s->state);
    }
    egi_free(context, columns);
    return status;
}

static egi_shape per_example(const egi_npy *a)
{
    egi_shape s = {.rank = a->rank - 1};
    for (int i = 0; i < s.rank && i < EGI_MAX_RANK; i++)
        s.dim[i] = a->dim[i + 1];
    return s;
}

/* Numbers that are infinite or none. */
typedef struct oddities {
    int64_t seen, bad, first;
} oddities;

static void look(oddities *o, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] - x[i] == 0) && o->bad++ == 0)
            o->first = o->seen + i;
    o->seen += n;
}

/* Not an error: a network may be asked about such numbers. But it explains a loss that is not a number. */
static void warn_of(const oddities *o, const egi_npy *a, eg_context *context, const char *name)
{
    if (o->bad)
        egi_log(context, EG_LOG_WARNING,
                "%s: %lld of %lld numbers are infinite or not a number, the first in example %lld", name,
                (long long)o->bad, (long long)a->count, (long long)(o->first / (a->count / a->dim[0])));
}

static void look_at_all(const eg_dataset *d, const float *x, const egi_npy *a, const char *name)
{
    oddities o = {0};
    if (a->type.kind != 'f')
        return;
    look(&o, x, a->count);
    warn_of(&o, a, d->context, name);
}

static eg_status describe(eg_dataset *d, int i, const egi_npy *a, const char *name)
{
    if (a->rank < 1 || a->rank > EGI_MAX_RANK || a->count < 1)
        return egi_fail(EG_ERR_DATA, "%s: wanted examples in 1 to %d dimensions, found %d dimensions and %lld numbers",
                        name, EGI_MAX_RANK, a->rank, (long long)a->count);
    if (d->n && a->dim[0] != d->n)
        return egi_fail(EG_ERR_DATA, "%s: %lld examples, but input 0 has %lld", name, (long long)a->dim[0],
                        (long long)d->n);
    d->n = a->dim[0];
    const egi_shape shape = per_example(a);
    return egi_fill_shape(d, i, a->type.size == 1 && a->type.kind != 'i' ? EGI_U8 : EGI_F32, &shape);
}

eg_status egi_npy_input(eg_dataset *d, int i, const egi_npy *a, const egi_npy_bytes *s)
{
    EG_TRY(describe(d, i, a, s->name));
    EG_TRY(egi_alloc(&d->x[i], d->context, a->count, egi_dtype_size(d->dtype[i])));
    EG_TRY(read_numbers(a, s, d->dtype[i], d->x[i], d->context));
    look_at_all(d, d->x[i], a, s->name);
    return EG_OK;
}

eg_status egi_npy_answers(eg_dataset *d, const egi_npy *a, const egi_npy_bytes *s)
{
    if (a->rank < 1 || a->rank > EGI_MAX_RANK || a->dim[0] != d->n || a->count < 1)
        return egi_fail(EG_ERR_DATA, "%s: %lld answers in %d dimensions, but there are %lld examples", s->name,
                        (long long)(a->rank ? a->dim[0] : 0), a->rank, (long long)d->n);
    if (a->type.kind != 'f' && a->count == d->n) {
        EG_TRY(egi_fill_labels(d));
        return read_numbers(a, s, EGI_I32, d->labels, d->context);
    }
    const egi_shape shape = a->rank == 1 ? EGI_SHAPE(1) : per_example(a);
    EG_TRY(egi_fill_targets(d, &shape));
    EG_TRY(read_numbers(a, s, EGI_F32, d->targets, d->context));
    look_at_all(d, d->targets, a, s->name);
    return EG_OK;
}

eg_status egi_npy_weights(eg_dataset *d, const egi_npy *a, const egi_npy_bytes *s)
{
    if (a->rank != 1 || a->dim[0] != d->n)
        return egi_fail(EG_ERR_DATA, "%s: wanted a weight for each of the %lld examples, found %lld in %d dimensions",
                        s->name, (long long)d->n, (long long)a->count, a->rank);
    EG_TRY(egi_fill_weights(d));
    EG_TRY(read_numbers(a, s, EGI_F32, d->weights, d->context));
    return egi_check_weights(d, s->name);
}

/* --- the reader --------------------------------------------------------------------------------------------------- */

static eg_status file_read(void *state, void *dst, int64_t bytes)
{
    return egi_file_read(state, dst, bytes);
}

static eg_status file_end(void *state)
{
    return egi_file_expect_end(state);
}

static eg_status file_room(void *state, int64_t bytes)
{
    return egi_file_expect_room(state, bytes);
}

static bool is_npy_file(const egi_source *s)
{
    return !s->folder && is_npy(s->head, s->head_bytes);
}

static eg_status detect(bool *yes, const egi_source *s)
{
    *yes = is_npy_file(s);
    return EG_OK;
}

typedef struct npy_reading {
    eg_context *context;
    char *path; /* owned */
    egi_file file;
    egi_npy array;
    int64_t left; /* examples not yet read */
    oddities odd;
} npy_reading;

static void close_npy(void *state)
{
    npy_reading *r = state;
    egi_file_close(&r->file);
    egi_free(r->context, r->path);
    egi_free(r->context, r);
}

static egi_npy_bytes bytes_of(npy_reading *r)
{
    return (egi_npy_bytes){r->path, file_read, file_end, file_room, &r->file};
}

static eg_status open_file(npy_reading *r, const egi_source *s)
{
    EG_TRY(egi_strdup(&r->path, s->context, s->path));
    EG_TRY(egi_file_open(&r->file, s->context, r->path));
    const egi_npy_bytes bytes = bytes_of(r);
    return egi_npy_header(&r->array, &bytes, s->context);
}

static eg_status open_npy(eg_dataset *d, egi_reading *reading, const egi_source *s, eg_part part)
{
    npy_reading *r;
    (void)part;
    EG_TRY(egi_alloc(&r, s->context, 1, sizeof *r));
    r->context = s->context;
    r->file.fd = -1;
    reading->state = r;
    EG_TRY(open_file(r, s));
    r->left = r->array.dim[0];
    if (!by_columns(&r->array))
        return describe(d, 0, &r->array, s->path);
    const egi_npy_bytes bytes = bytes_of(r);
    EG_TRY(egi_npy_input(d, 0, &r->array, &bytes));
    close_npy(r);
    reading->state = NULL;
    return EG_OK;
}

static eg_status next_rows(void *state, eg_dataset *d, int64_t at, int64_t n)
{
    npy_reading *r = state;
    const egi_npy *a = &r->array;
    const egi_npy_bytes bytes = bytes_of(r);
    const int64_t values = a->count / a->dim[0];
    void *to = (char *)d->x[0] + (size_t)(at * values) * egi_dtype_size(d->dtype[0]);
    EG_TRY(read_pieces(a, &bytes, d->dtype[0], to, n * values));
    r->left -= n;
    if (a->type.kind == 'f')
        look(&r->odd, to, n * values);
    if (r->left > 0)
        return EG_OK;
    EG_TRY(bytes.expect_end(bytes.state));
    warn_of(&r->odd, a, r->context, r->path);
    return EG_OK;
}

const egi_reader egi_reader_npy = {
    .format = "NPY",
    .accepts = "an .npy file",
    .detect = detect,
    .open = open_npy,
    .next = next_rows,
    .close = close_npy,
};
