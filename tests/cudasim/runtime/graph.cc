// Graphs: made by hand or by capture, looked at, and freed. graph_exec.cc runs them.
#include <algorithm>
#include <set>

#include "graph.h"

using cudasim::fail;
using cudasim::Node;
using cudasim::node_of;
using cudasim::Operation;

namespace
{

std::set<cudaGraph_t> &graphs()
{
    static std::set<cudaGraph_t> &all = *new std::set<cudaGraph_t>;
    return all;
}

void visit(Node *node, std::set<Node *> &seen)
{
    if (seen.insert(node).second)
        for (Node *before : node->after)
            visit(before, seen);
}

/** Appends a node that the caller describes; the dependencies must be nodes of the graph. */
cudaError_t append(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after, size_t count,
                   Operation operation)
{
    if (!node || !cudasim::find_graph(graph) || (count && !after))
        return cudaErrorInvalidValue;
    std::vector<Node *> before;
    for (size_t i = 0; i < count; i++) {
        Node *needed = node_of(after[i]);
        if (needed->index >= graph->nodes.size() || graph->nodes[needed->index].get() != needed)
            return cudaErrorInvalidValue;
        before.push_back(needed);
    }
    *node = (cudaGraphNode_t)cudasim::add_node(graph, before, std::move(operation));
    return cudaSuccess;
}

/** Hands out a list in CUDA's way: without an array only the count; unused places become NULL. */
cudaError_t list(const std::vector<Node *> &nodes, cudaGraphNode_t *array, size_t *count)
{
    if (!count)
        return cudaErrorInvalidValue;
    for (size_t i = 0; array && i < *count; i++)
        array[i] = i < nodes.size() ? (cudaGraphNode_t)nodes[i] : nullptr;
    *count = array ? std::min(*count, nodes.size()) : nodes.size();
    return cudaSuccess;
}

} // namespace

namespace cudasim
{

cudaGraph_t new_graph()
{
    cudaGraph_t graph = new CUgraph_st;
    graphs().insert(graph);
    return graph;
}

void delete_graph(cudaGraph_t graph)
{
    graphs().erase(graph);
    delete graph;
}

cudaGraph_t find_graph(cudaGraph_t handle)
{
    return graphs().count(handle) ? handle : nullptr;
}

cudaGraphNode_t find_node(cudaGraphNode_t handle)
{
    for (cudaGraph_t graph : graphs())
        for (const auto &node : graph->nodes)
            if (node.get() == node_of(handle))
                return handle;
    return nullptr;
}

Node *add_node(cudaGraph_t graph, const std::vector<Node *> &after, Operation operation)
{
    graph->nodes.push_back(std::make_unique<Node>(Node{std::move(operation), after, graph->nodes.size()}));
    return graph->nodes.back().get();
}

bool all_reach(const std::vector<Node *> &nodes, const std::vector<Node *> &leaves)
{
    std::set<Node *> seen;
    for (Node *leaf : leaves)
        visit(leaf, seen);
    return std::all_of(nodes.begin(), nodes.end(), [&](Node *node) { return seen.count(node) != 0; });
}

} // namespace cudasim

CUDASIM_API cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned flags)
{
    CUDASIM_CALL;
    if (!graph || flags)
        return fail(cudaErrorInvalidValue);
    *graph = cudasim::new_graph();
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    CUDASIM_CALL;
    if (!cudasim::find_graph(graph))
        return fail(cudaErrorInvalidValue);
    cudasim::delete_graph(graph);
    return cudaSuccess;
}

CUDASIM_API cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                                               size_t count, const cudaKernelNodeParams *params)
{
    CUDASIM_CALL;
    cudasim::Function *function = params ? cudasim::find_function(params->func) : nullptr;
    if (!function)
        return fail(cudaErrorInvalidDeviceFunction);
    const dim3 &g = params->gridDim, &b = params->blockDim;
    const auto call = std::make_shared<cudasim::KernelCall>();
    if (const cudaError_t error = cudasim::make_call(function, {g.x, g.y, g.z}, {b.x, b.y, b.z}, params->kernelParams,
                                                     params->sharedMemBytes, call.get()))
        return fail(error);
    return fail(
        append(node, graph, after, count, {cudaGraphNodeTypeKernel, [call] { cudasim::run_call(*call); }, call}));
}

CUDASIM_API cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                                                 size_t count, void *to, const void *from, size_t bytes,
                                                 cudaMemcpyKind kind)
{
    CUDASIM_CALL;
    return fail(append(node, graph, after, count, cudasim::copy_operation(to, from, bytes, kind)));
}

CUDASIM_API cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                                               size_t count, const cudaMemsetParams *params)
{
    CUDASIM_CALL;
    if (!params || (params->elementSize != 1 && params->elementSize != 2 && params->elementSize != 4))
        return fail(cudaErrorInvalidValue);
    return fail(append(node, graph, after, count, cudasim::fill_operation(*params)));
}

CUDASIM_API cudaError_t cudaGraphAddHostNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                                             size_t count, const cudaHostNodeParams *params)
{
    CUDASIM_CALL;
    if (!params || !params->fn)
        return fail(cudaErrorInvalidValue);
    return fail(append(node, graph, after, count,
                       {cudaGraphNodeTypeHost, cudasim::host_function(params->fn, params->userData)}));
}

CUDASIM_API cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                                              size_t count)
{
    CUDASIM_CALL;
    return fail(append(node, graph, after, count, {cudaGraphNodeTypeEmpty, [] {}}));
}

CUDASIM_API cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *array, size_t *count)
{
    CUDASIM_CALL;
    if (!cudasim::find_graph(graph))
        return fail(cudaErrorInvalidValue);
    std::vector<Node *> nodes;
    for (const auto &node : graph->nodes)
        nodes.push_back(node.get());
    return fail(list(nodes, array, count));
}

CUDASIM_API cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t *array, size_t *count)
{
    CUDASIM_CALL;
    if (!cudasim::find_graph(graph))
        return fail(cudaErrorInvalidValue);
    std::vector<Node *> roots;
    for (const auto &node : graph->nodes)
        if (node->after.empty())
            roots.push_back(node.get());
    return fail(list(roots, array, count));
}

CUDASIM_API cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType *type)
{
    CUDASIM_CALL;
    if (!type || !cudasim::find_node(node))
        return fail(cudaErrorInvalidValue);
    *type = node_of(node)->operation.type;
    return cudaSuccess;
}
