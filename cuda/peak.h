/** cuda/peak.h: what the kernels of peak.cu take. */
#ifndef EGI_CUDA_PEAK_H
#define EGI_CUDA_PEAK_H

#include <stdint.h>

#define EGI_PEAK_CHAINS 8 /* independent multiply-adds of a thread */

typedef struct egi_cuda_peak_args {
    float *a;
    const float *b;
    int64_t n; /* rounds of multiply-adds, or elements */
} egi_cuda_peak_args;

#endif
