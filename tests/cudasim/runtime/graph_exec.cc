// Graphs that can be launched: copies of a graph's nodes. Independent nodes run with the last made one first, so that a
// missing dependency shows.
#include <map>
#include <set>

#include "graph.h"

using cudasim::fail;
using cudasim::Node;
using cudasim::node_of;

struct CUgraphExec_st {
    std::vector<cudasim::Operation> operations;
    std::vector<std::vector<size_t>> after;
    std::map<const Node *, size_t> origins; /* nodes of the graph that it was made from */
};

namespace
{

std::set<cudaGraphExec_t> &executables()
{
    static std::set<cudaGraphExec_t> &all = *new std::set<cudaGraphExec_t>;
    return all;
}

CUgraphExec_st copy_of(const CUgraph_st &graph)
{
    CUgraphExec_st made;
    for (const auto &node : graph.nodes) {
        std::vector<size_t> after;
        for (const Node *before : node->after)
            after.push_back(before->index);
        made.operations.push_back(node->operation);
        made.after.push_back(after);
        made.origins[node.get()] = node->index;
    }
    return made;
}

void order_from(const CUgraphExec_st &graph, size_t node, std::vector<bool> &seen, std::vector<size_t> &order)
{
    if (seen[node])
        return;
    seen[node] = true;
    for (size_t before : graph.after[node])
        order_from(graph, before, seen, order);
    order.push_back(node);
}

std::vector<size_t> order_of(const CUgraphExec_st &graph)
{
    std::vector<bool> seen(graph.operations.size());
    std::vector<size_t> order;
    for (size_t node = seen.size(); node-- > 0;)
        order_from(graph, node, seen, order);
    return order;
}

cudaError_t instantiate(cudaGraphExec_t *executable, cudaGraph_t graph)
{
    if (!executable || !cudasim::find_graph(graph))
        return cudaErrorInvalidValue;
    *executable = new CUgraphExec_st(copy_of(*graph));
    executables().insert(*executable);
    return cudaSuccess;
}

/** The operations as they are now: a later update does not reach launches that are queued. */
std::function<void()> launch_of(const CUgraphExec_st &graph)
{
    std::vector<std::function<void()>> steps;
    for (size_t node : order_of(graph))
        steps.push_back(graph.operations[node].run);
    return [steps] {
        for (const auto &step : steps)
            if (!cudasim::context_broken())
                step();
    };
}

cudaGraphExecUpdateResult difference(const CUgraphExec_st &old, const CUgraphExec_st &made, size_t *node)
{
    *node = 0;
    if (old.operations.size() != made.operations.size() || old.after != made.after)
        return cudaGraphExecUpdateErrorTopologyChanged;
    for (; *node < made.operations.size(); ++*node)
        if (old.operations[*node].type != made.operations[*node].type)
            return cudaGraphExecUpdateErrorNodeTypeChanged;
    return cudaGraphExecUpdateSuccess;
}

} // namespace

CUDASIM_API cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
    CUDASIM_CALL;
    return fail(instantiate(executable, graph));
}

CUDASIM_API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *executable, cudaGraph_t graph,
                                                      unsigned long long flags)
{
    return cudaGraphInstantiate(executable, graph, flags);
}

CUDASIM_API cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle)
{
    CUDASIM_CALL;
    cudasim::Stream *stream = cudasim::find_stream(handle);
    if (!stream || !executables().count(executable))
        return fail(stream ? cudaErrorInvalidValue : cudaErrorInvalidResourceHandle);
    return fail(cudasim::enqueue(stream, {cudaGraphNodeTypeGraph, launch_of(*executable)}));
}

CUDASIM_API cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t handle)
{
    CUDASIM_CALL;
    if (!cudasim::find_stream(handle))
        return fail(cudaErrorInvalidResourceHandle);
    return fail(executables().count(executable) ? cudaSuccess : cudaErrorInvalidValue);
}

CUDASIM_API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    CUDASIM_CALL;
    if (!executables().erase(executable))
        return fail(cudaErrorInvalidValue);
    delete executable;
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph,
                                            cudaGraphExecUpdateResultInfo *info)
{
    CUDASIM_CALL;
    if (!info || !executables().count(executable) || !cudasim::find_graph(graph))
        return fail(cudaErrorInvalidValue);
    CUgraphExec_st made = copy_of(*graph);
    size_t node;
    info->result = difference(*executable, made, &node);
    info->errorFromNode = nullptr;
    info->errorNode = nullptr;
    if (info->result == cudaGraphExecUpdateSuccess) {
        *executable = std::move(made);
        return cudaSuccess;
    }
    if (info->result == cudaGraphExecUpdateErrorNodeTypeChanged)
        info->errorNode = (cudaGraphNode_t)graph->nodes[node].get();
    return fail(cudaErrorGraphExecUpdateFailure);
}

CUDASIM_API cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                                         const cudaKernelNodeParams *params)
{
    CUDASIM_CALL;
    if (!params || !executables().count(executable) || !executable->origins.count(node_of(node)))
        return fail(cudaErrorInvalidValue);
    cudasim::Operation &operation = executable->operations[executable->origins[node_of(node)]];
    cudasim::Function *function = cudasim::find_function(params->func);
    if (!function || !operation.call)
        return fail(function ? cudaErrorInvalidValue : cudaErrorInvalidDeviceFunction);
    const dim3 &g = params->gridDim, &b = params->blockDim;
    const auto call = std::make_shared<cudasim::KernelCall>();
    if (const cudaError_t error = cudasim::make_call(function, {g.x, g.y, g.z}, {b.x, b.y, b.z}, params->kernelParams,
                                                     params->sharedMemBytes, call.get()))
        return fail(error);
    operation = {cudaGraphNodeTypeKernel, [call] { cudasim::run_call(*call); }, call};
    return cudaSuccess;
}
