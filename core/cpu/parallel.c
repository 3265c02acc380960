#include "core/cpu/parallel.h"

#include <omp.h>

void egi_cpu_split(const egi_kernel *k, const egi_control *control, int64_t n, int64_t cost, egi_cpu_part part)
{
    const int threads = egi_cpu_threads(k);
    if (threads == 1 || n < 2 || n * cost < EGI_CPU_SERIAL) {
        part(k, control, 0, n);
        return;
    }
    const int64_t grain = cost < 16 ? 16 : 1;
#pragma omp parallel num_threads(threads)
    {
        int64_t begin, end;
        egi_cpu_share(n, grain, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        if (begin < end)
            part(k, control, begin, end);
    }
}
