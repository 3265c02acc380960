/* Convolution and max pooling in one: a band of the convolution's rows is made in a buffer of the thread and pooled
 * while the cache holds it. */
#include "core/cpu/direct.h"
#include "core/cpu/pool.h"

/* Pooled rows [from, to) of one sample. */
static void pooled_rows(const egi_direct_job *j, const egi_cpu_pool *of_sample, const float *image, int64_t from,
                        int64_t to)
{
    const egi_direct_pass *p = &j->d->passes[0];
    egi_cpu_pool pool = *of_sample;
    for (int64_t row = from; row < to; row += j->d->band) {
        const int64_t end = to - row < j->d->band ? to : row + j->d->band;
        int64_t first, behind, last, unused;
        egi_pool_range(pool.g, 0, row, pool.h, &first, &unused);
        egi_pool_range(pool.g, 0, end - 1, pool.h, &last, &behind);
        egi_direct_rows(j, p, image + first * p->in_row, pool.large, behind - first);
        pool.top = first;
        egi_cpu_maxpool_rows(&pool, row, end);
    }
}

static egi_cpu_pool pool_of(const egi_direct_job *j, int thread)
{
    const egi_direct *d = j->d;
    const egi_direct_pass *p = &d->passes[0];
    float *band = j->scratch + d->bands_at + thread * d->band_size;
    return (egi_cpu_pool){.g = &d->pool->g,
                          .large = band,
                          .large_end = band + d->band_size,
                          .h = p->rows,
                          .w = p->cols,
                          .c = d->out,
                          .oh = d->pooled[0],
                          .ow = d->pooled[1],
                          .row = p->out_row,
                          .col = p->out_col};
}

/* Unit `u` is rows [*from, *to) of one sample; returns where that begins in the output. */
static int64_t unit(const egi_direct *d, int64_t u, int64_t *from, int64_t *to)
{
    egi_team_share(d->pooled[0], 1, u % d->parts, d->parts, from, to);
    return u / d->parts * d->pooled[0] * d->pooled[1] * d->out;
}

static void run_piece(void *arg, int64_t piece, int thread)
{
    const egi_direct_job *j = arg;
    const egi_direct *d = j->d;
    float *frame = egi_direct_frame_open(j, thread);
    egi_cpu_pool pool = pool_of(j, thread);
    int64_t begin, end, from, to;
    egi_team_share(j->units, 1, piece, j->pieces, &begin, &end);
    if (begin == end)
        return;
    const int64_t last = unit(d, end - 1, &from, &to);
    pool.small_end = d->y + last + to * d->pooled[1] * d->out;
    for (int64_t u = begin; u < end; u++) {
        const int64_t at = unit(d, u, &from, &to);
        pool.small = d->y + at;
        pool.index = d->index ? d->index + at : NULL;
        pooled_rows(j, &pool, egi_direct_image(j, u / d->parts, frame), from, to);
    }
}

eg_status egi_direct_run_pooled(const egi_kernel *k, const egi_control *control)
{
    egi_direct_job j = egi_direct_job_of(k, control);
    egi_cpu_run(k, j.pieces, run_piece, &j);
    return EG_OK;
}
