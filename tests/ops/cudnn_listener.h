// Calls of libcudnn that keep what they are told, and compute it in plain loops: so that a test sees whether the device
// says the right thing. What cuDNN makes of it they do not know: that is for tests/cudnn and for a real GPU.
#pragma once

#include <cuda_runtime_api.h>
#include <cudnn_graph.h>

extern "C" {
#include "cuda/cudnn_graph.h"
}

namespace listener
{

// Gives the context's device, a GPU, the calls below as its cuDNN.
void attach(eg_context *context);

// What plans write is this many times as large from now on; attach() sets 1.
void scale(double by);

// Since the last attach(): plans that were run, operations in the last one, descriptors that still live.
int runs();
int operations();
int alive();

} // namespace listener
