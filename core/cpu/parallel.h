/** core/cpu/parallel.h: the one way in which own kernels use the threads of the context. */
#ifndef EGI_CPU_PARALLEL_H
#define EGI_CPU_PARALLEL_H

#include "core/cpu/cpu.h"

/** Work (about: floats touched) under which waking a second thread costs more than it brings. */
#define EGI_CPU_SERIAL 32768

/** Does items [begin, end) of a kernel. */
typedef void (*egi_cpu_part)(const egi_kernel *kernel, const egi_control *control, int64_t begin, int64_t end);

/** Splits items [0, n), each about `cost` floats of work, over the threads: a fixed partition, whole cache lines of
 * items where items are single floats. */
void egi_cpu_split(const egi_kernel *kernel, const egi_control *control, int64_t n, int64_t cost, egi_cpu_part part);

/** Sums over many items go through partial sums of chunks of items: a fixed number, so that neither timing nor the
 * number of threads changes a bit. Chunk `i` of [0, n). */
#define EGI_CPU_CHUNKS 16
static inline void egi_cpu_chunk(int64_t n, int64_t i, int64_t *begin, int64_t *end)
{
    *begin = n * i / EGI_CPU_CHUNKS;
    *end = n * (i + 1) / EGI_CPU_CHUNKS;
}

#endif
