/** core/cpu/parallel.h: the ways in which kernels use the threads of the context. */
#ifndef EGI_CPU_PARALLEL_H
#define EGI_CPU_PARALLEL_H

#include "core/cpu/cpu.h"
#include "core/team.h"

/** Work (about: floats touched) under which a second thread costs more than it brings. */
#define EGI_CPU_SERIAL 32768

/** Does items [begin, end) of a kernel. */
typedef void (*egi_cpu_part)(const egi_kernel *kernel, const egi_control *control, int64_t begin, int64_t end);

/** Splits items [0, n), each about `cost` floats of work, over the threads, in whole cache lines of items where items
 * are single floats. Each item's result must not depend on the split. */
void egi_cpu_split(const egi_kernel *kernel, const egi_control *control, int64_t n, int64_t cost, egi_cpu_part part);

/** Pieces for `n` items of about `cost` floats of work: one where splitting does not pay, else a few a thread, so that
 * a thread that is kept from running leaves its share to the others. */
int64_t egi_cpu_pieces(const egi_kernel *kernel, int64_t n, int64_t cost);

/** Does pieces [0, pieces) of a kernel on its threads. */
static inline void egi_cpu_run(const egi_kernel *kernel, int64_t pieces, egi_work task, void *arg)
{
    egi_team_run(kernel->device->context->team, kernel->threads, pieces, task, arg);
}

/** Sums over many items go through partial sums of chunks of items: a fixed number, so that neither timing nor the
 * number of threads changes a bit. Chunk `i` of [0, n). */
#define EGI_CPU_CHUNKS 16
static inline void egi_cpu_chunk(int64_t n, int64_t i, int64_t *begin, int64_t *end)
{
    *begin = n * i / EGI_CPU_CHUNKS;
    *end = n * (i + 1) / EGI_CPU_CHUNKS;
}

#endif
