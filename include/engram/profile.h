/** engram/profile.h: where the time of a step goes: by operation, beside what this machine can do at best. */
#ifndef ENGRAM_PROFILE_H
#define ENGRAM_PROFILE_H

#include "engram/config.h"
#include "engram/dataset.h"
#include "engram/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum eg_phase { EG_PHASE_FORWARD = 0, EG_PHASE_BACKWARD = 1, EG_PHASE_UPDATE = 2 } eg_phase;

/** "forward", "backward", "update" */
EG_API const char *eg_phase_name(eg_phase phase);

/** One operation of one layer in one phase. Figures are of all calls together. */
typedef struct eg_profile_row {
    const char *op;    /**< e.g. "conv2d_dw" */
    const char *layer; /**< its path; "" for what no layer asked for: losses and the update */
    eg_phase phase;
    int64_t calls;
    double seconds;
    double flops; /**< multiplications and additions of a plain loop, padding counted; 0: it only moves memory */
    double bytes; /**< inputs read and outputs written, once each, wherever they lay */
} eg_profile_row;

/** Time of the steps that no operation has. */
typedef struct eg_profile_part {
    const char *name;
    double seconds;
} eg_profile_part;

/** What a device can do at best, a second, as measured. */
typedef struct eg_peak {
    double flops; /**< f32 multiplications and additions, in registers */
    double bytes; /**< read and written, of arrays that no cache holds */
} eg_peak;

typedef struct eg_profile {
    bool training;
    int64_t batch; /**< examples a step; the last one of an epoch may have fewer */
    int threads;
    int64_t steps, examples;
    double seconds;       /**< of the profiled steps: the sum of all rows and all of `outside` */
    double step_seconds;  /**< of a full step: the median, measured without profiling where eg_bench() made this */
    eg_profile_row *rows; /**< grouped by phase, then by layer in the order of running */
    int64_t n_rows;
    eg_profile_part *outside;
    int64_t n_outside;
    int64_t workspace_bytes; /**< that the tensors of a step share */
    int64_t tensor_bytes;    /**< that they would take, had each its own memory */
    eg_peak peak;
} eg_profile;

/** Share of the machine's peak: of its arithmetic where the row has flops, else of its memory (more than 1 where caches
 * hold what is moved). 0 for a row that took no time. */
EG_API double eg_profile_share(const eg_profile *profile, const eg_profile_row *row);

EG_API void eg_profile_free(eg_profile *profile);

/** As one JSON object; as a picture (SVG 1.1) in which the step is divided by phase, layer and operation. Owner of
 * *out: caller, eg_text_free(). Errors: NOMEM. */
EG_API EG_MUST_USE eg_status eg_profile_json(char **out, eg_context *context, const eg_profile *profile);
EG_API EG_MUST_USE eg_status eg_profile_svg(char **out, eg_context *context, const eg_profile *profile);

/** Measures the context's device in about a second. Errors: NOMEM, DEVICE. */
EG_API EG_MUST_USE eg_status eg_peak_measure(eg_peak *out, eg_context *context);

typedef struct eg_bench_options {
    size_t struct_size;
    bool training;           /**< steps of training with the configuration's optimizer, else predictions */
    int64_t batch;           /**< 0: finetune.batch where it is given, else 64 */
    double seconds;          /**< of measuring, about; 0: 1 */
    const eg_dataset *data;  /**< batches are filled from it; NULL: random inputs and labels */
    const eg_config *config; /**< NULL: all defaults */
    const eg_peak *peak;     /**< NULL: measured */
} eg_bench_options;
#define EG_BENCH_OPTIONS_INIT                                   \
    {                                                           \
        sizeof(eg_bench_options), false, 0, 0, NULL, NULL, NULL \
    }

/** Measures a model on a copy: it stays as it is. `options` may be NULL. Labels only choose what is computed: those
 * that the head does not know are taken for others. Owner of *out: caller, eg_profile_free(). Errors: ARG, CONFIG,
 * SHAPE, DATA, UNSUPPORTED, STATE (nothing is trained), DEVICE, NOMEM. */
EG_API EG_MUST_USE eg_status eg_bench(eg_profile **out, const eg_model *model, const eg_bench_options *options);

#ifdef __cplusplus
}
#endif
#endif
