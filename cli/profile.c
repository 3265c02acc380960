/* The table of a profile, in 100 columns. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* What fits a column of `width` characters: the end of a path tells more than its beginning. Layer names come from
 * strangers: what a terminal would obey or misplace becomes '?'. */
static cli_text fit(const char *name, size_t width)
{
    cli_text out;
    const size_t n = strlen(name);
    snprintf(out.s, sizeof out.s, "%s%s", n > width ? "~" : "", n > width ? name + n - width + 1 : name);
    for (char *c = out.s; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return out;
}

static int by_time(const void *a, const void *b)
{
    const eg_profile_row *x = *(const eg_profile_row *const *)a, *y = *(const eg_profile_row *const *)b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : x < y ? -1 : x > y;
}

static cli_text rate(double work, double seconds)
{
    cli_text out = {"-"};
    if (work > 0 && seconds > 0)
        snprintf(out.s, sizeof out.s, "%.1f", work / seconds / 1e9);
    return out;
}

static double share_of_step(const eg_profile *p, double seconds)
{
    return p->seconds > 0 ? 100 * seconds / p->seconds : 0;
}

static void print_row(const eg_profile *p, const eg_profile_row *r)
{
    printf("  %-20s %-20s %-8s %7s %8.1f %7s %7s %4.0f %% %4.1f %%\n", fit(r->op, 20).s,
           fit(*r->layer ? r->layer : "-", 20).s, eg_phase_name(r->phase), cli_count(r->calls).s, r->seconds * 1e3,
           rate(r->flops, r->seconds).s, rate(r->bytes, r->seconds).s, eg_profile_share(p, r) * 100,
           share_of_step(p, r->seconds));
}

static void print_part(const eg_profile *p, const char *name, double seconds)
{
    printf("  %-58s %8.1f %23s %4.1f %%\n", name, seconds * 1e3, "", share_of_step(p, seconds));
}

static void print_head(const eg_profile *p)
{
    printf("profile %s, batch %lld, %d thread%s | %s steps in %.2f s, %.3g ms each\n",
           p->training ? "training" : "inference", (long long)p->batch, p->threads, p->threads == 1 ? "" : "s",
           cli_count(p->steps).s, p->seconds, p->step_seconds * 1e3);
    printf("        peak %.0f GFLOP/s, %.1f GB/s | workspace %s for tensors of %s\n", p->peak.flops / 1e9,
           p->peak.bytes / 1e9, cli_bytes(p->workspace_bytes).s, cli_bytes(p->tensor_bytes).s);
    printf("  %-20s %-20s %-8s %7s %8s %7s %7s %6s %6s\n", "operation", "layer", "phase", "calls", "ms", "GFLOP/s",
           "GB/s", "peak", "step");
}

static void print_rows(const eg_profile *p, const eg_profile_row **rows, int64_t most)
{
    char name[96];
    double rest = 0;
    for (int64_t i = 0; i < p->n_rows; i++)
        rows[i] = &p->rows[i];
    qsort(rows, (size_t)p->n_rows, sizeof *rows, by_time);
    for (int64_t i = 0; i < p->n_rows; i++)
        if (i < most)
            print_row(p, rows[i]);
        else
            rest += rows[i]->seconds;
    snprintf(name, sizeof name, "%s more operations", cli_count(p->n_rows - most).s);
    if (p->n_rows > most)
        print_part(p, name, rest);
}

void cli_print_profile(const eg_profile *p, int most)
{
    const eg_profile_row **rows = malloc((size_t)(p->n_rows + 1) * sizeof *rows);
    print_head(p);
    if (rows)
        print_rows(p, rows, most > 0 ? most : p->n_rows);
    free(rows);
    for (int64_t i = 0; i < p->n_outside; i++)
        print_part(p, p->outside[i].name, p->outside[i].seconds);
}
