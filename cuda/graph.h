/** cuda/graph.h: running a range of prepared kernels, as one graph where that can be. */
#ifndef EGI_CUDA_GRAPH_H
#define EGI_CUDA_GRAPH_H

#include "cuda/cuda.h"

/** One after the other, each launch by itself. */
EG_MUST_USE eg_status egi_cuda_run_plainly(const egi_kernel *kernels, int n, const egi_control *control);
EG_MUST_USE eg_status egi_cuda_graph_run(egi_cuda *cuda, const egi_kernel *kernels, int n, const egi_control *control);
/** `kernel` is about to be released: graphs that hold it end. */
void egi_cuda_graph_drop(egi_cuda *cuda, const egi_kernel *kernel);

#endif
