#include "core/cpu/parallel.h"

#define PIECES_A_THREAD 16

typedef struct split {
    const egi_kernel *kernel;
    const egi_control *control;
    egi_cpu_part part;
    int64_t n, grain, pieces;
} split;

int64_t egi_cpu_pieces(const egi_kernel *k, int64_t n, int64_t cost)
{
    if (k->threads == 1 || n < 2 || n * cost < EGI_CPU_SERIAL)
        return 1;
    const int64_t most = (int64_t)k->threads * PIECES_A_THREAD, worth = n * cost / (EGI_CPU_SERIAL / 4);
    const int64_t pieces = worth < most ? worth : most;
    return pieces < n ? pieces : n;
}

static void run_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const split *s = arg;
    int64_t begin, end;
    egi_team_share(s->n, s->grain, piece, s->pieces, &begin, &end);
    if (begin < end)
        s->part(s->kernel, s->control, begin, end);
}

void egi_cpu_split(const egi_kernel *k, const egi_control *control, int64_t n, int64_t cost, egi_cpu_part part)
{
    split s = {.kernel = k,
               .control = control,
               .part = part,
               .n = n,
               .grain = cost < 16 ? 16 : 1,
               .pieces = egi_cpu_pieces(k, n, cost)};
    if (s.pieces == 1)
        part(k, control, 0, n);
    else
        egi_cpu_run(k, s.pieces, run_piece, &s);
}
