/* A range of a plan's kernels as one graph: run plainly the first time, captured the second, launched from then on.
 * What varies from step to step lies in the device's control block, so a graph never changes. */
#include "cuda/graph.h"

static egi_cuda_graph *find(egi_cuda *c, const egi_kernel *kernels, int n)
{
    egi_cuda_graph *empty = NULL;
    for (int i = 0; i < EGI_CUDA_GRAPHS; i++) {
        egi_cuda_graph *g = &c->graphs[i];
        if (g->kernels == kernels && g->n == n)
            return g;
        if (!g->kernels && !empty)
            empty = g;
    }
    if (empty)
        *empty = (egi_cuda_graph){.kernels = kernels, .n = n};
    return empty;
}

/* Kernels that compute at the host or are timed cannot stand in a graph. */
static bool can_capture(const egi_cuda *c, const egi_kernel *kernels, int n)
{
    for (int i = 0; i < n; i++)
        if (kernels[i].slow || kernels[i].time)
            return false;
    return !c->base.eager && n > 0;
}

static eg_status capture(egi_cuda *c, egi_cuda_graph *g, const egi_control *control)
{
    cudaGraph_t graph = NULL;
    EG_TRY(egi_cuda_check(c, c->api.cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal), "capture"));
    eg_status status = egi_cuda_run_plainly(g->kernels, g->n, control);
    const cudaError_t ended = c->api.cudaStreamEndCapture(c->stream, &graph);
    if (status == EG_OK)
        status = egi_cuda_check(c, ended, "end of capture");
    if (status == EG_OK)
        status = egi_cuda_check(c, c->api.cudaGraphInstantiate(&g->exec, graph, 0), "graph");
    if (graph)
        c->api.cudaGraphDestroy(graph);
    return status;
}

eg_status egi_cuda_graph_run(egi_cuda *c, const egi_kernel *kernels, int n, const egi_control *control)
{
    egi_cuda_graph *g = can_capture(c, kernels, n) ? find(c, kernels, n) : NULL;
    if (!g || g->runs++ == 0)
        return egi_cuda_run_plainly(kernels, n, control);
    if (!g->exec)
        EG_TRY(capture(c, g, control));
    return egi_cuda_check(c, c->api.cudaGraphLaunch(g->exec, c->stream), "graph");
}

void egi_cuda_graph_drop(egi_cuda *c, const egi_kernel *kernel)
{
    for (int i = 0; i < EGI_CUDA_GRAPHS; i++) {
        egi_cuda_graph *g = &c->graphs[i];
        if (!g->kernels || kernel < g->kernels || kernel >= g->kernels + g->n)
            continue;
        if (g->exec)
            c->api.cudaGraphExecDestroy(g->exec);
        *g = (egi_cuda_graph){.kernels = NULL};
    }
}
