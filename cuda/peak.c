/* What the device can do at best: multiply-adds in registers, and a stream through its memory. Both are the best of
 * several runs that are long enough to be timed. */
#include "cuda/peak.h"

#include "cuda/cuda.h"

#define BLOCK       256
#define BLOCKS_EACH 16    /* of a multiprocessor */
#define LONG_ENOUGH 0.005 /* seconds */
#define RUNS        4
#define ROUNDS_MOST ((int64_t)1 << 16)
#define STREAM_MOST ((int64_t)1 << 26) /* elements of each array: more than any cache holds */

typedef struct race {
    egi_cuda *cuda;
    cudaKernel_t function;
    cudaEvent_t began, ended;
    egi_cuda_peak_args args;
} race;

static eg_status time_once(race *r, double *seconds)
{
    const egi_cudart *api = &r->cuda->api;
    const cudaStream_t stream = r->cuda->stream;
    const dim3 grid = {(unsigned)(BLOCKS_EACH * r->cuda->processors), 1, 1}, block = {BLOCK, 1, 1};
    void *args[] = {&r->args};
    float milliseconds = 0;
    EG_TRY(egi_cuda_check(r->cuda, api->cudaEventRecord(r->began, stream), "peak"));
    EG_TRY(egi_cuda_check(r->cuda, api->cudaLaunchKernel((const void *)r->function, grid, block, args, 0, stream),
                          "peak"));
    EG_TRY(egi_cuda_check(r->cuda, api->cudaEventRecord(r->ended, stream), "peak"));
    EG_TRY(egi_cuda_check(r->cuda, api->cudaEventSynchronize(r->ended), "peak"));
    EG_TRY(egi_cuda_check(r->cuda, api->cudaEventElapsedTime(&milliseconds, r->began, r->ended), "peak"));
    *seconds = (double)milliseconds * 1e-3;
    return EG_OK;
}

/* Work of `each` for one of n a second; n grows up to `most` until a run is long enough. */
static eg_status best_rate(race *r, int64_t most, double each, double *rate)
{
    double seconds = 0;
    EG_TRY(time_once(r, &seconds)); /* the first launch loads the kernel */
    for (;; r->args.n *= 2) {
        EG_TRY(time_once(r, &seconds));
        if (seconds >= LONG_ENOUGH || r->args.n >= most)
            break;
    }
    double best = seconds;
    for (int i = 1; i < RUNS; i++) {
        EG_TRY(time_once(r, &seconds));
        best = seconds < best ? seconds : best;
    }
    *rate = best > 0 ? (double)r->args.n * each / best : 0;
    return EG_OK;
}

static eg_status measure(race *r, egi_peak *out)
{
    const double threads = (double)BLOCK * BLOCKS_EACH * r->cuda->processors;
    EG_TRY(egi_cuda_find(r->cuda, "eg_peak_flops", &r->function));
    r->args.n = 16;
    EG_TRY(best_rate(r, ROUNDS_MOST, 2 * EGI_PEAK_CHAINS * threads, &out->flops));
    EG_TRY(egi_cuda_find(r->cuda, "eg_peak_stream", &r->function));
    r->args.n = 1 << 18;
    return best_rate(r, STREAM_MOST, 3 * sizeof(float), &out->bytes);
}

eg_status egi_cuda_peak(egi_device *device, egi_peak *out)
{
    race r = {.cuda = (egi_cuda *)device};
    const egi_device_type *type = device->type;
    void *a = NULL, *b = NULL;
    eg_status status = type->alloc(device, &a, STREAM_MOST * sizeof(float));
    if (status == EG_OK)
        status = type->alloc(device, &b, STREAM_MOST * sizeof(float));
    if (status == EG_OK)
        status = egi_cuda_check(r.cuda, r.cuda->api.cudaEventCreate(&r.began), "peak");
    if (status == EG_OK)
        status = egi_cuda_check(r.cuda, r.cuda->api.cudaEventCreate(&r.ended), "peak");
    r.args.a = a;
    r.args.b = b;
    if (status == EG_OK)
        status = measure(&r, out);
    if (r.began)
        r.cuda->api.cudaEventDestroy(r.began);
    if (r.ended)
        r.cuda->api.cudaEventDestroy(r.ended);
    type->release(device, a);
    type->release(device, b);
    return status;
}
