#ifdef EG_WITH_CUDNN
#include "cudnn_listener.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace listener
{
namespace
{

struct Descriptor;
using Shared = std::shared_ptr<Descriptor>;

int live, ran, last_operations;
double factor = 1;
egi_cuda *gpu;

struct Descriptor {
    cudnnBackendDescriptorType_t type;
    bool final = false;
    std::map<int, std::vector<char>> values;
    std::map<int, std::vector<Shared>> others;

    template <class T> std::vector<T> all(int name) const
    {
        const auto at = values.find(name);
        if (at == values.end())
            return {};
        std::vector<T> v(at->second.size() / sizeof(T));
        memcpy(v.data(), at->second.data(), v.size() * sizeof(T));
        return v;
    }
    template <class T = int64_t> T one(int name) const
    {
        const std::vector<T> v = all<T>(name);
        EXPECT_EQ(1u, v.size()) << "attribute " << name;
        return v.empty() ? T() : v[0];
    }
    Shared other(int name) const
    {
        const auto at = others.find(name);
        return at == others.end() ? nullptr : at->second[0];
    }
};

Shared &shared(cudnnBackendDescriptor_t d)
{
    return *static_cast<Shared *>(d);
}

size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
        return 8;
    case CUDNN_TYPE_BOOLEAN:
        return 1;
    default:
        return 4; // enums and floats
    }
}

// --- tensors ---

uint16_t to_bf16(float x) // by exact arithmetic, another way than the kernels'
{
    int exponent;
    const float m = std::frexp(x, &exponent), y = std::ldexp(std::nearbyint(std::ldexp(m, 8)), exponent - 8);
    uint32_t bits;
    memcpy(&bits, &y, sizeof bits);
    return static_cast<uint16_t>(bits >> 16);
}

struct Tensor {
    std::vector<int64_t> dim, stride;
    bool bf16 = false;
    char *place = nullptr; // on the device; NULL: between operations
    std::vector<double> at;

    int64_t index(int64_t n, int64_t c, int64_t h, int64_t w) const
    {
        return n * stride[0] + c * stride[1] + h * stride[2] + w * stride[3];
    }
    size_t bytes() const
    {
        return at.size() * (bf16 ? 2 : 4);
    }
    void read()
    {
        std::vector<char> memory(bytes());
        ASSERT_EQ(EG_OK, gpu->base.type->download(&gpu->base, memory.data(), place, memory.size()));
        for (size_t i = 0; i < at.size(); i++) {
            uint32_t bits = 0;
            memcpy(bf16 ? reinterpret_cast<char *>(&bits) + 2 : reinterpret_cast<char *>(&bits),
                   memory.data() + i * (bf16 ? 2 : 4), bf16 ? 2 : 4);
            float x;
            memcpy(&x, &bits, sizeof x);
            at[i] = static_cast<double>(x);
        }
    }
    void write()
    {
        std::vector<char> memory(bytes());
        for (size_t i = 0; i < at.size(); i++) {
            const float x = static_cast<float>(factor * at[i]);
            const uint16_t half = to_bf16(x);
            memcpy(memory.data() + i * (bf16 ? 2 : 4), bf16 ? static_cast<const void *>(&half) : &x, bf16 ? 2 : 4);
        }
        ASSERT_EQ(EG_OK, gpu->base.type->upload(&gpu->base, place, memory.data(), memory.size()));
    }
};

Tensor tensor_of(const Descriptor &d, const std::map<int64_t, char *> &places)
{
    Tensor t;
    t.dim = d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
    t.stride = d.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
    t.bf16 = d.one<int32_t>(CUDNN_ATTR_TENSOR_DATA_TYPE) == CUDNN_DATA_BFLOAT16;
    t.at.resize(static_cast<size_t>(t.dim[0] * t.dim[1] * t.dim[2] * t.dim[3]));
    const bool inner = d.one<char>(CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0;
    const auto found = places.find(d.one(CUDNN_ATTR_TENSOR_UNIQUE_ID));
    EXPECT_EQ(inner, found == places.end());
    if (!inner && found != places.end()) {
        t.place = found->second;
        EXPECT_EQ(0, reinterpret_cast<intptr_t>(t.place) % d.one(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT));
    }
    return t;
}

// --- operations ---

struct Names {
    int conv, x, w, y;
};
const Names kForward = {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
            kDx = {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
            kDw = {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};

// Calls f with the indices of an element of x, of w and of y, for every product there is.
template <class F> void each_product(const Descriptor &conv, const Tensor &x, const Tensor &w, const Tensor &y, F f)
{
    const auto before = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
               after = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS),
               dilation = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS),
               stride = conv.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    for (size_t axis = 0; axis < 2; axis++) // how cuDNN computes the size of y
        ASSERT_EQ(y.dim[2 + axis],
                  (x.dim[2 + axis] + before[axis] + after[axis] - ((w.dim[2 + axis] - 1) * dilation[axis] + 1)) /
                          stride[axis] +
                      1);
    const int64_t groups = x.dim[1] / w.dim[1], each = w.dim[0] / groups;
    for (int64_t n = 0; n < y.dim[0]; n++)
        for (int64_t k = 0; k < y.dim[1]; k++)
            for (int64_t p = 0; p < y.dim[2]; p++)
                for (int64_t q = 0; q < y.dim[3]; q++)
                    for (int64_t r = 0; r < w.dim[2]; r++)
                        for (int64_t s = 0; s < w.dim[3]; s++) {
                            const int64_t h = p * stride[0] - before[0] + r * dilation[0],
                                          v = q * stride[1] - before[1] + s * dilation[1];
                            if (h < 0 || h >= x.dim[2] || v < 0 || v >= x.dim[3])
                                continue;
                            for (int64_t c = 0; c < w.dim[1]; c++)
                                f(x.index(n, k / each * w.dim[1] + c, h, v), w.index(k, c, r, s), y.index(n, k, p, q));
                        }
}

void convolve(const Descriptor &op, std::map<Descriptor *, Tensor> &tensors)
{
    const bool dx = op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
               dw = op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
    const Names &names = dx ? kDx : dw ? kDw : kForward;
    Tensor &x = tensors[op.other(names.x).get()], &w = tensors[op.other(names.w).get()],
           &y = tensors[op.other(names.y).get()],
           &out = dx   ? x
                  : dw ? w
                       : y;
    for (Tensor *t : {&x, &w, &y})
        if (t != &out)
            t->read();
    each_product(*op.other(names.conv), x, w, y, [&](int64_t i, int64_t j, int64_t k) {
        if (dx)
            x.at[i] += y.at[k] * w.at[j];
        else if (dw)
            w.at[j] += y.at[k] * x.at[i];
        else
            y.at[k] += x.at[i] * w.at[j];
    });
}

void pointwise(const Descriptor &op, std::map<Descriptor *, Tensor> &tensors)
{
    const Shared how = op.other(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                 second = op.other(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    Tensor &x = tensors[op.other(CUDNN_ATTR_OPERATION_POINTWISE_XDESC).get()],
           &y = tensors[op.other(CUDNN_ATTR_OPERATION_POINTWISE_YDESC).get()];
    if (second)
        tensors[second.get()].read();
    EXPECT_EQ(second ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD, how->one<int32_t>(CUDNN_ATTR_POINTWISE_MODE));
    for (size_t i = 0; i < y.at.size(); i++) {
        const size_t channel = i % static_cast<size_t>(y.dim[1]); // channels lie side by side
        y.at[i] = second ? x.at[i] + tensors[second.get()].at[channel] : std::fmax(x.at[i], 0.0);
    }
}

void expect_apart(const std::map<Descriptor *, Tensor> &tensors, const char *workspace, size_t size)
{
    for (const auto &a : tensors) {
        if (!a.second.place)
            continue;
        EXPECT_TRUE(workspace + size <= a.second.place || a.second.place + a.second.bytes() <= workspace);
        for (const auto &b : tensors)
            EXPECT_TRUE(!b.second.place || a.first == b.first || a.second.place + a.second.bytes() <= b.second.place ||
                        b.second.place + b.second.bytes() <= a.second.place);
    }
}

// --- the calls ---

constexpr int64_t kWorkspace = 100;

size_t version()
{
    return 91900;
}
const char *error_string(cudnnStatus_t)
{
    return "error";
}
void last_error(char *text, size_t)
{
    *text = 0;
}
cudnnStatus_t create(cudnnHandle_t *out)
{
    *out = reinterpret_cast<cudnnHandle_t>(gpu);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t destroy(cudnnHandle_t)
{
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t set_stream(cudnnHandle_t, cudaStream_t stream)
{
    EXPECT_EQ(gpu->stream, stream);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t create_descriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    *out = new Shared(new Descriptor{type, false, {}, {}});
    live++;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t destroy_descriptor(cudnnBackendDescriptor_t d)
{
    delete &shared(d);
    live--;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  int64_t n, const void *values)
{
    EXPECT_FALSE(shared(d)->final);
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        for (int64_t i = 0; i < n; i++)
            shared(d)->others[name].push_back(shared(static_cast<const cudnnBackendDescriptor_t *>(values)[i]));
    } else {
        const char *bytes = static_cast<const char *>(values);
        shared(d)->values[name].assign(bytes, bytes + static_cast<size_t>(n) * size_of(type));
    }
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t get(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t, int64_t,
                  int64_t *n, void *out)
{
    *n = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: // one configuration, of the graph that was asked about
        shared(*static_cast<cudnnBackendDescriptor_t *>(out))->others[name] =
            shared(d)->others[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH];
        break;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        memcpy(out, &kWorkspace, sizeof kWorkspace);
        break;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        *n = 0;
        break;
    default:
        break;
    }
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t finalize(cudnnBackendDescriptor_t d)
{
    EXPECT_FALSE(shared(d)->final);
    for (const auto &list : shared(d)->others)
        for (const Shared &other : list.second)
            EXPECT_TRUE(other->final || other->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    shared(d)->final = true;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t execute(cudnnHandle_t, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
    const Shared config = shared(plan)->other(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG),
                 graph = config->other(CUDNN_ATTR_ENGINEHEUR_RESULTS);
    const auto uids = shared(pack)->all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto data = shared(pack)->all<char *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    std::map<int64_t, char *> places;
    for (size_t i = 0; i < uids.size(); i++)
        places[uids[i]] = data[i];
    const std::vector<Shared> &ops = graph->others[CUDNN_ATTR_OPERATIONGRAPH_OPS];
    std::map<Descriptor *, Tensor> tensors;
    for (const Shared &op : ops)
        for (const auto &list : op->others)
            if (list.second[0]->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR)
                tensors.emplace(list.second[0].get(), tensor_of(*list.second[0], places));
    expect_apart(tensors, shared(pack)->one<char *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE), kWorkspace);
    Tensor *out = nullptr;
    for (const Shared &op : ops) {
        if (op->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
            pointwise(*op, tensors);
            out = &tensors[op->other(CUDNN_ATTR_OPERATION_POINTWISE_YDESC).get()];
            continue;
        }
        convolve(*op, tensors);
        out = &tensors[op->other(op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ? kDx.x
                                 : op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR
                                     ? kDw.w
                                     : kForward.y)
                           .get()];
    }
    out->write();
    ran++;
    last_operations = static_cast<int>(ops.size());
    return CUDNN_STATUS_SUCCESS;
}

} // namespace

void attach(eg_context *context)
{
    live = ran = last_operations = 0;
    factor = 1;
    gpu = reinterpret_cast<egi_cuda *>(context->device);
    ASSERT_EQ(nullptr, gpu->cudnn); // the simulator has none
    ASSERT_EQ(EG_OK, egi_alloc(&gpu->cudnn, context, 1, sizeof *gpu->cudnn));
    *gpu->cudnn = {};
    gpu->cudnn->cudnnGetVersion = version;
    gpu->cudnn->cudnnGetErrorString = error_string;
    gpu->cudnn->cudnnGetLastErrorString = last_error;
    gpu->cudnn->cudnnCreate = create;
    gpu->cudnn->cudnnDestroy = destroy;
    gpu->cudnn->cudnnSetStream = set_stream;
    gpu->cudnn->cudnnBackendCreateDescriptor = create_descriptor;
    gpu->cudnn->cudnnBackendDestroyDescriptor = destroy_descriptor;
    gpu->cudnn->cudnnBackendSetAttribute = set;
    gpu->cudnn->cudnnBackendGetAttribute = get;
    gpu->cudnn->cudnnBackendFinalize = finalize;
    gpu->cudnn->cudnnBackendExecute = execute;
}

void scale(double by)
{
    factor = by;
}
int runs()
{
    return ran;
}
int operations()
{
    return last_operations;
}
int alive()
{
    return live;
}

} // namespace listener
#endif
