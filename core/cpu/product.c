/* Products as Goto & van de Geijn 2008 build them: a tile of c stays in registers while rows of op(a) pass by panels of
 * op(b), which were copied side by side so that neither stride nor transposition matters. A piece packs the panels that
 * it needs for itself, so threads never wait for one another, and finishes its rows (bias, activation) while they are
 * in the first cache. */
#include "core/cpu/product.h"

#include "core/cpu/finish.h"
#include "core/cpu/tile.h"

#include <string.h>

#define MAX_ROWS    EGI_TILE_ROWS
#define MAX_VECTORS 8
#define PANEL       (2 * EGI_LANES)
#define DEPTH       400  /* of k at a time, at most: a panel of op(b) stays in the first cache */
#define ROWS        192  /* of op(a) at a time, at most: they stay in the second cache */
#define NEAR        64   /* floats between rows that are read where they are, though by columns */
#define SET         1024 /* floats: what lies so far apart falls into the same set of the first cache */

/* --- kernels ------------------------------------------------------------------------------------------------------ */

static inline EGI_SIMD_BODY void tile_at(const egi_tile *t, const float *a, float *c, const int rows, const int vectors)
{
    egi_vec sum[MAX_ROWS][MAX_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] = t->add ? (egi_vec) * (const egi_vec_at *)(c + i * t->ldc + v * EGI_LANES) : (egi_vec){0};
    const float *a3 = a + 3 * t->row, *b = t->b; /* two addresses for six rows */
    for (int64_t l = t->k; l > 0; l--, a += t->col, a3 += t->col, b += t->step) {
        egi_vec w[MAX_VECTORS];
        for (int v = 0; v < vectors; v++)
            w[v] = *(const egi_vec_at *)(b + v * EGI_LANES);
        for (int i = 0; i < rows; i++) {
            const float x = i < 3 ? a[i * t->row] : a3[(i - 3) * t->row];
            for (int v = 0; v < vectors; v++)
                sum[i][v] += x * w[v];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            *(egi_vec_at *)(c + i * t->ldc + v * EGI_LANES) = sum[i][v];
}

static inline EGI_SIMD_BODY void tile_any(const egi_tile *t, const int rows, const int vectors)
{
    for (int64_t q = 0; q < t->count; q++)
        tile_at(t, t->a + q * t->next, t->c + q * rows * t->ldc, rows, vectors);
}

#define TILE(rows, vectors)                                                            \
    static inline EGI_SIMD_BODY void tile_##rows##_##vectors##_body(const egi_tile *t) \
    {                                                                                  \
        tile_any(t, rows, vectors);                                                    \
    }                                                                                  \
    EGI_SIMD(tile_##rows##_##vectors, (const egi_tile *t), (t))                        \
    static void run_##rows##_##vectors(const egi_tile *t)                              \
    {                                                                                  \
        tile_##rows##_##vectors(t);                                                    \
    }
TILE(1, 1)
TILE(2, 1)
TILE(3, 1)
TILE(4, 1)
TILE(5, 1)
TILE(6, 1)
TILE(1, 2)
TILE(2, 2)
TILE(3, 2)
TILE(4, 2)
TILE(5, 2)
TILE(6, 2)
TILE(1, 8)
TILE(2, 4)
TILE(3, 4)

#if defined(__x86_64__)
__attribute__((target("avx512f"), noinline)) static void tile_sixteen_avx512(const egi_tile *t)
{
    egi_tile_sixteen(t);
}

static void run_sixteen(const egi_tile *t)
{
    if (__builtin_cpu_supports("avx512f"))
        tile_sixteen_avx512(t);
    else
        run_6_2(t);
}
#else
#define run_sixteen run_6_2
#endif

typedef void (*tile_fn)(const egi_tile *t);
static const tile_fn narrow[] = {NULL, run_1_1, run_2_1, run_3_1, run_4_1, run_5_1, run_6_1};
static const tile_fn wide[] = {NULL, run_1_2, run_2_2, run_3_2, run_4_2, run_5_2, run_sixteen};
/* For so few rows that packing op(b) would cost more than the product: as many columns as keep the units busy. */
static const tile_fn direct[] = {NULL, run_1_8, run_2_4, run_3_4, run_4_2, run_5_2, run_6_2};
static const int direct_vectors[] = {0, 8, 4, 4, 2, 2, 2};

/* --- packing ------------------------------------------------------------------------------------------------------ */

/* Rows of `width` floats, `step` apart, one after the other; squared where asked for. */
static inline EGI_SIMD_BODY void pack_rows_body(const float *from, int64_t step, int64_t k, int64_t width, bool squared,
                                                float *to)
{
    for (int64_t l = 0; l < k; l++, from += step, to += width)
        if (width == PANEL) {
            const egi_vec a = *(const egi_vec_at *)from, b = *(const egi_vec_at *)(from + EGI_LANES);
            *(egi_vec_at *)to = squared ? a * a : a;
            *(egi_vec_at *)(to + EGI_LANES) = squared ? b * b : b;
        } else {
            for (int64_t j = 0; j < width; j++)
                to[j] = squared ? from[j] * from[j] : from[j];
        }
}
EGI_SIMD(pack_rows, (const float *from, int64_t step, int64_t k, int64_t width, bool squared, float *to),
         (from, step, k, width, squared, to))

/* Six columns of rows `step` apart, the last of which may end there: the others' two floats too many are written over
 * by the next one. */
static inline EGI_SIMD_BODY void pack_six_body(const float *from, int64_t step, int64_t k, bool squared, float *to)
{
    for (int64_t l = 0; l < k - 1; l++, from += step, to += MAX_ROWS) {
        const egi_vec v = *(const egi_vec_at *)from;
        *(egi_vec_at *)to = squared ? v * v : v;
    }
    for (int i = 0; i < MAX_ROWS; i++)
        to[i] = squared ? from[i] * from[i] : from[i];
}
EGI_SIMD(pack_six, (const float *from, int64_t step, int64_t k, bool squared, float *to), (from, step, k, squared, to))

/* Fewer than six: the places of the others stay as they are. */
static void pack_short(const float *from, int64_t step, int64_t k, int64_t n, bool squared, float *to)
{
    for (int64_t l = 0; l < k; l++, from += step, to += MAX_ROWS)
        for (int64_t i = 0; i < n; i++)
            to[i] = squared ? from[i] * from[i] : from[i];
}

/* Eight rows, `step` apart, of (., k) become columns of rows of `width`. */
static inline EGI_SIMD_BODY void pack_eight_body(const float *from, int64_t step, int64_t k, int64_t width, float *to)
{
    int64_t l = 0;
    for (; l + EGI_LANES <= k; l += EGI_LANES) {
        egi_vec v[EGI_LANES];
        for (int i = 0; i < EGI_LANES; i++)
            v[i] = *(const egi_vec_at *)(from + i * step + l);
        egi_vec_transpose(v);
        for (int i = 0; i < EGI_LANES; i++)
            *(egi_vec_at *)(to + (l + i) * width) = v[i];
    }
    for (; l < k; l++)
        for (int i = 0; i < EGI_LANES; i++)
            to[l * width + i] = from[i * step + l];
}
EGI_SIMD(pack_eight, (const float *from, int64_t step, int64_t k, int64_t width, float *to), (from, step, k, width, to))

/* Rows [l, l + k) of columns [j, j + n) of b, n <= width. Columns that lack are whatever follows in b: nobody looks at
 * what comes of them. */
static void pack_straight(const egi_product *p, int64_t l, int64_t k, int64_t j, int64_t n, int64_t width, float *to)
{
    const float *from = p->b + l * p->n + j;
    const int64_t inside = (p->k * p->n - j - width) / p->n + 1 - l; /* rows behind which so many floats follow */
    const int64_t whole = p->k * p->n < j + width || inside < 0 ? 0 : inside < k ? inside : k;
    pack_rows(from, p->n, whole, width, p->squared, to);
    for (int64_t i = whole; i < k; i++)
        for (int64_t q = 0; q < width; q++) {
            const float x = q < n ? from[i * p->n + q] : 0;
            to[i * width + q] = p->squared ? x * x : x;
        }
}

/* The same of a transposed b; columns that lack are zero. */
static void pack_across(const egi_product *p, int64_t l, int64_t k, int64_t j, int64_t n, int64_t width, float *to)
{
    const float *from = p->b + l + j * p->k;
    int64_t c = 0;
    for (; c + EGI_LANES <= n; c += EGI_LANES)
        pack_eight(from + c * p->k, p->k, k, width, to + c);
    for (int64_t i = 0; i < k; i++)
        for (int64_t q = c; q < width; q++)
            to[i * width + q] = q < n ? from[i + q * p->k] : 0;
}

static void pack_panel(const egi_product *p, int64_t l, int64_t k, int64_t j, int64_t n, int64_t width, float *to)
{
    (p->tb ? pack_across : pack_straight)(p, l, k, j, n, width, to);
}

/* Panels of columns [from, to): whole ones, then one of as few vectors as are wanted. */
static int64_t panel_width(int64_t left)
{
    return left > EGI_LANES ? PANEL : EGI_LANES;
}

/* Columns of all panels of op(b). */
static int64_t padded(const egi_product *p)
{
    const int64_t rest = p->n % PANEL;
    return p->n - rest + (rest ? panel_width(rest) : 0);
}

static int64_t depths_of(const egi_product *p)
{
    return p->k > DEPTH ? (p->k + DEPTH - 1) / DEPTH : 1;
}

static bool is_direct(const egi_product *p)
{
    return p->m <= MAX_ROWS && !p->tb && !p->squared;
}

int64_t egi_cpu_product_packed(const egi_product *p)
{
    return is_direct(p) ? 0 : padded(p) * p->k;
}

/* Depth after depth, in it panel after panel. */
void egi_cpu_product_pack(const egi_product *p, float *to)
{
    const int64_t depths = depths_of(p);
    for (int64_t depth = 0; depth < depths; depth++) {
        const int64_t l = p->k * depth / depths, k = p->k * (depth + 1) / depths - l;
        for (int64_t j = 0, width; j < p->n; j += width, to += k * width) {
            width = panel_width(p->n - j);
            pack_panel(p, l, k, j, p->n - j < width ? p->n - j : width, width, to);
        }
    }
}

/* --- a piece ------------------------------------------------------------------------------------------------------ */

/* The product cut into `rows` x `cols` blocks. */
typedef struct job {
    const egi_product *p;
    int64_t row_blocks, col_blocks, room;
    float *scratch; /* `room` floats a thread */
} job;

/* Tiles whose columns end inside their last vector: by way of a copy, two at a time. */
static void run_edge(egi_tile t, tile_fn fn, int64_t rows, int64_t cols)
{
    float copy[2 * MAX_ROWS * PANEL];
    const int64_t count = t.count, ldc = t.ldc, width = t.step;
    float *c = t.c;
    t.c = copy;
    t.ldc = width;
    for (int64_t q = 0; q < count; q += 2, t.a += 2 * t.next) {
        t.count = q + 2 <= count ? 2 : 1;
        const int64_t n = t.count * rows;
        for (int64_t i = 0; t.add && i < n; i++) {
            memcpy(copy + i * width, c + i * ldc, (size_t)cols * sizeof *c);
            memset(copy + i * width + cols, 0, (size_t)(width - cols) * sizeof *c);
        }
        fn(&t);
        for (int64_t i = 0; i < n; i++, c += ldc)
            memcpy(c, copy + i * width, (size_t)cols * sizeof *c);
    }
}

/* `left`: columns from the tiles' first one on. */
static void run_tiles(const egi_tile *t, int64_t rows, int64_t left)
{
    const tile_fn fn = t->step == PANEL ? wide[rows] : narrow[rows];
    if (left < t->step)
        run_edge(*t, fn, rows, left);
    else
        fn(t);
}

void egi_cpu_multiply_panels(const egi_panels *p)
{
    const int64_t count = p->rows / MAX_ROWS, rest = p->rows % MAX_ROWS;
    egi_tile t = {
        .b = p->panels, .row = p->row, .col = p->col, .next = p->next, .ldc = p->ldc, .k = p->k, .add = p->add};
    for (int64_t j = 0; j < p->cols; j += t.step) {
        t.step = panel_width(p->cols - j);
        t.a = p->a;
        t.c = p->c + j;
        t.count = count;
        if (count)
            run_tiles(&t, MAX_ROWS, p->cols - j);
        t.a += count * p->next;
        t.c += count * MAX_ROWS * p->ldc;
        t.count = 1;
        if (rest)
            run_tiles(&t, rest, p->cols - j);
        t.b += p->k * t.step;
    }
}

static void finish_rows(const egi_product *p, float *c, int64_t rows, int64_t col, int64_t cols)
{
    egi_finish f = p->finish;
    if (f.b)
        f.b += col;
    if (f.r)
        f.r += c - p->c;
    egi_cpu_finish_block(c, p->n, rows, cols, &f);
}

/* Are rows of op(a) copied side by side? Where they would throw one another out of the cache; columns, where more than
 * one panel reads them. */
static bool packs_a(const egi_product *p)
{
    return p->squared || (p->ta ? p->m > NEAR && p->n > PANEL : p->k % SET == 0);
}

/* Rows [i, i + rows) of op(a), [l, l + k): as they are, one after the other, or, of a transposed one, in tiles of six
 * rows: each (k, 6); what lacks in the last is not read. */
static void pack_a(const egi_product *p, int64_t i, int64_t rows, int64_t l, int64_t k, float *to)
{
    for (int64_t q = 0; !p->ta && q < rows; q++)
        memcpy(to + q * k, p->a + (i + q) * p->k + l, (size_t)k * sizeof *to);
    if (!p->ta)
        return;
    for (int64_t q = 0; q < rows; q += MAX_ROWS, to += MAX_ROWS * k) {
        const float *from = p->a + l * p->m + i + q;
        if (rows - q >= MAX_ROWS)
            pack_six(from, p->m, k, p->squared, to);
        else
            pack_short(from, p->m, k, rows - q, p->squared, to);
    }
}

/* Columns [col, col + cols) of `e`'s rows, [l, l + k) in k: panel after panel, each used as soon as it is packed. */
static void run_panels(const egi_product *p, egi_panels e, int64_t l, int64_t col, int64_t cols, float *panel)
{
    for (int64_t j = 0, width; j < cols; j += width, e.c += width) {
        width = panel_width(cols - j);
        e.cols = cols - j < width ? cols - j : width;
        e.panels = panel;
        if (p->packed)
            e.panels = p->packed + l * padded(p) + e.k * (col + j);
        else
            pack_panel(p, l, e.k, col + j, e.cols, width, panel);
        egi_cpu_multiply_panels(&e);
    }
}

/* Rows [i, i + rows) of columns [col, col + cols), depth by depth. scratch: rows of op(a), then a panel of op(b). */
static void run_rows(const egi_product *p, int64_t i, int64_t rows, int64_t col, int64_t cols, float *scratch)
{
    const int64_t depths = depths_of(p);
    for (int64_t depth = 0; depth < depths; depth++) {
        const int64_t l = p->k * depth / depths, k = p->k * (depth + 1) / depths - l;
        egi_panels e = {.rows = rows, .ldc = p->n, .k = k, .add = depth > 0 || p->accumulate};
        e.c = p->c + i * p->n + col;
        e.row = p->ta ? 1 : p->k;
        e.col = p->ta ? p->m : 1;
        e.next = MAX_ROWS * e.row;
        e.a = p->a + i * e.row + l * e.col;
        if (packs_a(p) && k > 0) {
            pack_a(p, i, rows, l, k, scratch);
            e.a = scratch;
            e.row = p->ta ? 1 : k;
            e.col = p->ta ? MAX_ROWS : 1;
            e.next = MAX_ROWS * k;
        }
        run_panels(p, e, l, col, cols, scratch + ROWS * DEPTH);
    }
    finish_rows(p, p->c + i * p->n + col, rows, col, cols);
}

static void run_block(const egi_product *p, int64_t from, int64_t to, int64_t col, int64_t cols, float *scratch)
{
    const int64_t blocks = (to - from + ROWS - 1) / ROWS;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t begin, end;
        egi_team_share(to - from, MAX_ROWS, b, blocks, &begin, &end);
        run_rows(p, from + begin, end - begin, col, cols, scratch);
    }
}

/* `cols` columns, fewer than a vector: as lanes of one, so that they are summed as all others are. */
static inline EGI_SIMD_BODY void tail_body(const egi_tile *t, int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows; i++) {
        egi_vec sum = {0};
        for (int64_t j = 0; t->add && j < cols; j++)
            sum[j] = t->c[i * t->ldc + j];
        for (int64_t l = 0; l < t->k; l++) {
            egi_vec w = {0};
            for (int64_t j = 0; j < cols; j++)
                w[j] = t->b[l * t->step + j];
            sum += t->a[i * t->row + l * t->col] * w;
        }
        for (int64_t j = 0; j < cols; j++)
            t->c[i * t->ldc + j] = sum[j];
    }
}
EGI_SIMD(tail, (const egi_tile *t, int64_t rows, int64_t cols), (t, rows, cols))

/* All rows, at most six, straight from b: groups of vectors of columns, then single ones, then single columns. */
static void run_direct(const egi_product *p, int64_t col, int64_t cols)
{
    const int64_t rows = p->m, group = direct_vectors[rows] * EGI_LANES;
    egi_tile t = {
        .a = p->a, .row = p->ta ? 1 : p->k, .col = p->ta ? p->m : 1, .k = p->k, .step = p->n, .ldc = p->n, .count = 1};
    t.add = p->accumulate;
    for (int64_t j = 0; j < cols;) {
        const int64_t left = cols - j;
        t.b = p->b + col + j;
        t.c = p->c + col + j;
        if (left >= group) {
            direct[rows](&t);
            j += group;
        } else if (left >= EGI_LANES) {
            narrow[rows](&t);
            j += EGI_LANES;
        } else {
            tail(&t, rows, left);
            j = cols;
        }
    }
    finish_rows(p, p->c + col, rows, col, cols);
}

static void run_piece(void *arg, int64_t piece, int thread)
{
    const job *w = arg;
    const egi_product *p = w->p;
    float *scratch = w->scratch + thread * w->room;
    int64_t from, to, col, end;
    egi_team_share(p->m, MAX_ROWS, piece / w->col_blocks, w->row_blocks, &from, &to);
    egi_team_share(p->n, PANEL, piece % w->col_blocks, w->col_blocks, &col, &end);
    if (from == to)
        return;
    if (is_direct(p)) {
        run_direct(p, col, end - col);
        return;
    }
    run_block(p, from, to, col, end - col, scratch);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Columns first, as every block of rows packs op(b) again; rows first where every block of columns would pack op(a). */
static job cut(const egi_kernel *k, const egi_product *p)
{
    const int64_t panels = (p->n + PANEL - 1) / PANEL, tiles = (p->m + MAX_ROWS - 1) / MAX_ROWS;
    const int64_t enough = 1 << 17, read = 1 << 15; /* multiply-adds that pay for a piece; floats of b, where few rows
                                                     * leave nothing but to read them */
    const int64_t work = is_direct(p) ? p->n * p->k / read : p->m * p->n * p->k / enough;
    const int64_t wanted = k->threads == 1 ? 1 : at_most(work, 2 * (int64_t)k->threads);
    job w = {.p = p, .row_blocks = 1, .col_blocks = 1};
    if (wanted > 1 && packs_a(p) && tiles >= 4 * wanted) {
        w.row_blocks = wanted;
    } else if (wanted > 1) {
        w.col_blocks = at_most(panels > 1 ? panels / 2 : 1, wanted);
        w.row_blocks = is_direct(p) ? 1 : at_most((wanted + w.col_blocks - 1) / w.col_blocks, tiles);
    }
    w.room = (ROWS + PANEL) * DEPTH;
    return w;
}

int64_t egi_cpu_product_scratch(const egi_kernel *k, const egi_product *p)
{
    return cut(k, p).room * k->threads;
}

void egi_cpu_multiply(const egi_kernel *k, const egi_product *p, float *scratch)
{
    job w = cut(k, p);
    w.scratch = scratch;
    if (p->m == 0 || p->n == 0)
        return;
    egi_cpu_run(k, w.row_blocks * w.col_blocks, run_piece, &w);
}
