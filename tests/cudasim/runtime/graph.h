/** tests/cudasim/runtime/graph.h: graphs as lists of nodes in the order of their making, which is a topological one. */
#ifndef CUDASIM_GRAPH_H
#define CUDASIM_GRAPH_H

#include "tests/cudasim/runtime/runtime.h"

namespace cudasim
{

struct Node {
    Operation operation;
    std::vector<Node *> after;
    size_t index = 0;
};

cudaGraph_t new_graph();
void delete_graph(cudaGraph_t graph);
cudaGraph_t find_graph(cudaGraph_t handle);        /* NULL: not a living graph */
cudaGraphNode_t find_node(cudaGraphNode_t handle); /* NULL: no node of a living graph */
inline Node *node_of(cudaGraphNode_t handle)
{
    return (Node *)handle;
}

} // namespace cudasim

struct CUgraph_st {
    std::vector<std::unique_ptr<cudasim::Node>> nodes;
};

#endif
