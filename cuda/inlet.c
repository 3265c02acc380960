/* Inputs on their way: two places at the host and two at the device. A place at the host is sent on the stream of
 * copies, while kernels still read what came before; the kernels' own stream then moves it, inside the device, to where
 * they read. Events order the two streams; the host waits only for a place that it wants to fill again, whose copy
 * began a step ago. */
#include "cuda/cuda.h"

struct egi_inlet {
    egi_cuda *cuda;
    void *to;
    size_t bytes;
    void *host[2], *staging[2];
    cudaEvent_t sent[2];  /* the host's place has been read, the device's place is full */
    cudaEvent_t taken[2]; /* the device's place has been read */
    int at;
};

static eg_status make_place(egi_inlet *in, int i)
{
    egi_cuda *c = in->cuda;
    EG_TRY(egi_cuda_host_alloc(c, &in->host[i], in->bytes));
    EG_TRY(egi_cuda_alloc(c, &in->staging[i], in->bytes));
    EG_TRY(egi_cuda_check(c, c->api.cudaEventCreateWithFlags(&in->sent[i], cudaEventDisableTiming), "event"));
    EG_TRY(egi_cuda_check(c, c->api.cudaEventCreateWithFlags(&in->taken[i], cudaEventDisableTiming), "event"));
    /* What clears the memory runs on the kernels' stream: the first copy comes after it. */
    return egi_cuda_check(c, c->api.cudaEventRecord(in->taken[i], c->stream), "event");
}

static void release(egi_inlet *in)
{
    egi_cuda *c = in->cuda;
    c->api.cudaStreamSynchronize(c->copies);
    for (int i = 0; i < 2; i++) {
        if (in->sent[i])
            c->api.cudaEventDestroy(in->sent[i]);
        if (in->taken[i])
            c->api.cudaEventDestroy(in->taken[i]);
        if (in->host[i])
            c->api.cudaFreeHost(in->host[i]);
        c->base.type->release(&c->base, in->staging[i]);
    }
    egi_free(c->base.context, in);
}

static eg_status create(egi_inlet **out, egi_device *device, void *to, size_t bytes)
{
    egi_inlet *in;
    EG_TRY(egi_alloc(&in, device->context, 1, sizeof *in));
    *in = (egi_inlet){.cuda = (egi_cuda *)device, .to = to, .bytes = bytes};
    eg_status status = make_place(in, 0);
    if (status == EG_OK)
        status = make_place(in, 1);
    if (status != EG_OK) {
        release(in);
        return status;
    }
    *out = in;
    return EG_OK;
}

static eg_status turn(egi_inlet *in, void **host)
{
    egi_cuda *c = in->cuda;
    in->at = !in->at;
    *host = in->host[in->at];
    return egi_cuda_check(c, c->api.cudaEventSynchronize(in->sent[in->at]), "copy");
}

static eg_status send(egi_inlet *in)
{
    egi_cuda *c = in->cuda;
    const int i = in->at;
    EG_TRY(egi_cuda_check(c, c->api.cudaStreamWaitEvent(c->copies, in->taken[i], 0), "copy"));
    EG_TRY(egi_cuda_check(
        c, c->api.cudaMemcpyAsync(in->staging[i], in->host[i], in->bytes, cudaMemcpyHostToDevice, c->copies), "copy"));
    EG_TRY(egi_cuda_check(c, c->api.cudaEventRecord(in->sent[i], c->copies), "copy"));
    EG_TRY(egi_cuda_check(c, c->api.cudaStreamWaitEvent(c->stream, in->sent[i], 0), "copy"));
    EG_TRY(egi_cuda_check(
        c, c->api.cudaMemcpyAsync(in->to, in->staging[i], in->bytes, cudaMemcpyDeviceToDevice, c->stream), "copy"));
    return egi_cuda_check(c, c->api.cudaEventRecord(in->taken[i], c->stream), "copy");
}

const egi_inlet_type egi_cuda_inlet = {.create = create, .release = release, .turn = turn, .send = send};
