/* What each operation takes on a device, and what share of the device's own peak that is: a table, one line a shape.
 * kernels [--device cpu] [--out FILE] [--only PREFIX] [--most N] [--once yes] [--own yes]
 * --only takes the lines that begin so ("adam", "gemm nt (128,"); --most leaves out what moves more bytes or counts
 * more multiplications and additions than N; --once runs each line once and prints no times: the simulator's counters
 * are then of one run; --own: own kernels where a library's would be taken. Exit code 5: there is no such device. */
#include "bench/shapes.h"
#include "core/mirror.h"
#include "core/ops/ops.h"
#include "core/plan.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPIES_MOST 16   /* of the operation in a plan: what a launch of the plan takes is shared by them */
#define PLAN        1e-3 /* seconds that a plan should take, so that launching it takes no part */
#define ROUND       2e-2 /* seconds that are timed together */
#define ROUNDS      5    /* of which the best counts */

typedef struct options {
    const char *device, *out, *only, *once, *own;
    double most;
} options;

#define VALUES (EGI_MAX_IN + EGI_MAX_OUT + 1)

typedef struct setup {
    eg_context *context;
    egi_plan *plan;
    _Alignas(16) char args[512];
    egi_tensor t[VALUES]; /* what the operation reads and writes; as everywhere, number 0 is none */
    egi_val n;
    double flops, bytes; /* of one operation */
    bool slow;           /* the device has it computed by the host's reference */
} setup;

/* --- a plan of one operation -------------------------------------------------------------------------------------- */

static void add_value(setup *s, uint16_t field, const egi_shape *shape, egi_dtype dtype)
{
    *egi_arg_ref(s->args, field) = s->n;
    s->t[s->n++] = (egi_tensor){.shape = *shape, .dtype = dtype};
}

static egi_dtype dtype_of(const egi_op_case *k, int i)
{
    const egi_fill fill = k->fill[i];
    return fill == EGI_FILL_LABELS || fill == EGI_FILL_ROWS       ? EGI_I32
           : fill == EGI_FILL_POSITIONS || fill == EGI_FILL_BYTES ? EGI_U8
                                                                  : EGI_F32;
}

/* Its arguments, values and work; memory comes later. */
static void describe(setup *s, const bench_job *j)
{
    memcpy(s->args, j->k.args, j->op->size);
    s->n = 1;
    for (int i = 0; j->op->in[i]; i++)
        if (!(j->k.in_absent >> i & 1))
            add_value(s, j->op->in[i], &j->k.in[i], dtype_of(&j->k, i));
    for (int i = 0; j->op->out[i]; i++) {
        const bool index = j->op == &egi_op_maxpool && i == 1;
        if (!(j->k.out_absent >> i & 1) && egi_arg(s->args, j->op->out[i]) == EGI_NONE)
            add_value(s, j->op->out[i], &j->k.out[i], index ? EGI_U8 : EGI_F32);
    }
    s->flops = egi_op_flops(j->op, s->args, s->t);
    s->bytes = egi_op_bytes(j->op, s->args, s->t);
}

static eg_status bind(setup *s, egi_val v)
{
    egi_tensor *t = &s->t[v];
    const int64_t n = egi_count(t);
    EG_TRY(egi_mirror_alloc(&t->data, s->context, n, egi_dtype_size(t->dtype)));
    for (int64_t i = 0; i < n; i++)
        egi_set(t, i, t->dtype == EGI_F32 ? 0.1 + (double)(i * 7919 % 1000) / 2000 : (double)(i % 4));
    return egi_plan_bind(s->plan, t->dtype, t->shape, t->data) == v
               ? EG_OK
               : egi_fail(EG_ERR_INTERNAL, "values are counted in another way");
}

static void end(setup *s)
{
    egi_plan_free(s->plan);
    s->plan = NULL;
    for (egi_val v = 1; v < s->n; v++) {
        egi_mirror_drop(s->context, s->t[v].data);
        egi_free(s->context, s->t[v].data);
        s->t[v].data = NULL;
    }
}

static eg_status begin(setup *s, const bench_job *j, int copies)
{
    EG_TRY(egi_plan_create(&s->plan, s->context, 1, EGI_F32, true));
    for (egi_val v = 1; v < s->n; v++)
        EG_TRY(bind(s, v));
    for (int i = 0; i < copies; i++)
        EG_TRY(egi_plan_emit(s->plan, j->op, s->args));
    EG_TRY(egi_plan_compile(s->plan));
    s->slow = s->plan->kernels[0].slow;
    return EG_OK;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static eg_status wait(const setup *s)
{
    egi_device *d = s->context->device;
    return d->type->download ? d->type->download(d, NULL, NULL, 0) : EG_OK;
}

static eg_status time_runs(const setup *s, int64_t runs, double *seconds)
{
    const egi_control control = {.seed = 1, .lr = 1e-6, .strength = 1};
    const double began = egi_clock();
    for (int64_t i = 0; i < runs; i++)
        EG_TRY(egi_plan_run(s->plan, &control));
    EG_TRY(wait(s));
    *seconds = egi_clock() - began;
    return EG_OK;
}

/* Seconds of one run of the plan: the best of some rounds, each as long as a clock can be trusted. The first two runs
 * load kernels and capture the graph. */
static eg_status best_time(const setup *s, double *best)
{
    double seconds;
    int64_t runs = 1;
    EG_TRY(time_runs(s, 2, &seconds));
    EG_TRY(time_runs(s, 1, &seconds));
    for (; seconds < ROUND; runs *= 2)
        EG_TRY(time_runs(s, 2 * runs, &seconds));
    *best = seconds / (double)runs;
    for (int i = 1; i < ROUNDS && seconds < 50 * ROUND; i++) {
        EG_TRY(time_runs(s, runs, &seconds));
        *best = seconds / (double)runs < *best ? seconds / (double)runs : *best;
    }
    return EG_OK;
}

static eg_status measure(setup *s, const bench_job *j, double *seconds)
{
    EG_TRY(begin(s, j, 1));
    EG_TRY(best_time(s, seconds));
    const int copies = *seconds < PLAN / COPIES_MOST ? COPIES_MOST : (int)(PLAN / *seconds);
    if (copies < 2)
        return EG_OK;
    end(s);
    EG_TRY(begin(s, j, copies));
    EG_TRY(best_time(s, seconds));
    *seconds /= copies;
    return EG_OK;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

typedef struct line {
    char text[192];
} line;

/* What names a job: operation, note, shapes of the first values that it reads and of the first that it writes. */
static line line_of(const bench_job *j)
{
    line l;
    int n = snprintf(l.text, sizeof l.text, "%s%s%s", j->op->name, j->note ? " " : "", j->note ? j->note : "");
    for (int i = 0; i < 3 && j->op->in[i] && n < (int)sizeof l.text; i++)
        if (j->k.in[i].rank > (i > 0) && !(j->k.in_absent >> i & 1))
            n += snprintf(l.text + n, sizeof l.text - (size_t)n, " %s", egi_shape_format(&j->k.in[i]).s);
    const egi_shape *out = &j->k.out[j->k.out[0].rank == 0];
    if (n < (int)sizeof l.text)
        snprintf(l.text + n, sizeof l.text - (size_t)n, " -> %s", egi_shape_format(out).s);
    return l;
}

static void print(FILE *to, const setup *s, const bench_job *j, double seconds, const egi_peak *peak)
{
    const double by_flops = s->flops / seconds / peak->flops, by_bytes = s->bytes / seconds / peak->bytes;
    fprintf(to, "%s\t%.1f\t%.1f\t%.3f\t%.0f\t%s%s\n", line_of(j).text, seconds * 1e6, s->bytes / seconds * 1e-9,
            s->flops / seconds * 1e-12, 100 * (by_flops > by_bytes ? by_flops : by_bytes),
            by_flops > by_bytes ? "arithmetic" : "memory", s->slow ? ", at the host" : "");
    fflush(to);
}

static eg_status run_once(setup *s, const bench_job *j, FILE *to)
{
    double seconds;
    EG_TRY(begin(s, j, 1));
    EG_TRY(time_runs(s, 1, &seconds));
    fprintf(to, "%s\t%.0f\t%.0f\n", line_of(j).text, s->bytes, s->flops);
    return EG_OK;
}

static eg_status run_job(setup *s, const bench_job *j, FILE *to, const egi_peak *peak)
{
    double seconds = 0;
    eg_status status = peak ? measure(s, j, &seconds) : run_once(s, j, to);
    if (status == EG_OK && peak)
        print(to, s, j, seconds, peak);
    end(s);
    return status;
}

/* The jobs that are asked for; without a peak each once. */
static eg_status run_jobs(setup *s, const options *o, FILE *to, const egi_peak *peak)
{
    bool any = false;
    for (const bench_job *j = bench_jobs; j->op; j++) {
        describe(s, j);
        if (strncmp(line_of(j).text, o->only, strlen(o->only)) != 0 || s->flops > o->most || s->bytes > o->most)
            continue;
        any = true;
        EG_TRY(run_job(s, j, to, peak));
    }
    return any ? EG_OK : egi_fail(EG_ERR_ARG, "--only '%s', --most %g: no line is left", o->only, o->most);
}

static eg_status run(setup *s, const options *o, FILE *to)
{
    egi_device *d = s->context->device;
    egi_peak peak;
    s->context->own_kernels = o->own != NULL;
    fprintf(to, "# %s%s\n", eg_context_describe(s->context), o->own ? "; own kernels only" : "");
    if (o->once) {
        fprintf(to, "operation and shapes\tbytes\tflops\n");
        return run_jobs(s, o, to, NULL);
    }
    EG_TRY(d->type->peak(d, &peak));
    fprintf(to,
            "# peak as measured here: %.2f TFLOP/s of f32, %.0f GB/s; more than 100 %% of memory is a cache's work\n"
            "operation and shapes\tmicroseconds\tGB/s\tTFLOP/s\t%% of peak\tof\n",
            peak.flops * 1e-12, peak.bytes * 1e-9);
    return run_jobs(s, o, to, &peak);
}

static bool parse(options *o, int argc, char **argv)
{
    *o = (options){.device = "cpu", .only = "", .most = DBL_MAX};
    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1]; /* argv ends with NULL */
        if (!value)
            return false;
        if (strcmp(argv[i], "--device") == 0)
            o->device = value;
        else if (strcmp(argv[i], "--out") == 0)
            o->out = value;
        else if (strcmp(argv[i], "--only") == 0)
            o->only = value;
        else if (strcmp(argv[i], "--once") == 0)
            o->once = value;
        else if (strcmp(argv[i], "--own") == 0)
            o->own = value;
        else if (strcmp(argv[i], "--most") == 0)
            o->most = strtod(value, NULL);
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    options o;
    if (!parse(&o, argc, argv)) {
        fprintf(stderr,
                "kernels: wanted [--device NAME] [--out FILE] [--only PREFIX] [--most N] [--once yes] [--own yes]\n");
        return 2;
    }
    eg_context_options with = EG_CONTEXT_OPTIONS_INIT;
    with.device = o.device;
    setup s = {0};
    FILE *to = o.out ? fopen(o.out, "w") : stdout;
    if (!to) {
        perror(o.out);
        return 1;
    }
    eg_status status = eg_context_create(&s.context, &with);
    if (status == EG_OK)
        status = run(&s, &o, to);
    if (status != EG_OK)
        fprintf(stderr, "kernels: %s\n", eg_last_message());
    eg_context_free(s.context);
    const bool written = fclose(to) == 0;
    return status == EG_ERR_DEVICE ? 5 : status != EG_OK || !written;
}
