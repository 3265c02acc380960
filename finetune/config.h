/** finetune/config.h: the configuration of a run as a plain struct. One table (config.c) gives every key its name,
 * default, bounds and help; YAML files, key=value arguments, printing, documentation and this struct all follow from
 * it. */
#ifndef EGI_CONFIG_H
#define EGI_CONFIG_H

#include "core/fields.h"
#include "engram/config.h"

/** In numbers that may be "auto" or "file": what the word means. */
#define EGI_AUTO (-1.0)

typedef enum egi_classes {
    EGI_CLASSES_EXTEND,
    EGI_CLASSES_REPLACE,
    EGI_CLASSES_MULTI,
    EGI_CLASSES_KEEP,
    EGI_CLASSES_ASK /* no word of the configuration: nothing is trained, classes that the head lacks have no row */
} egi_classes;
typedef enum egi_batchnorm_mode { EGI_BN_FROZEN, EGI_BN_ADAPT, EGI_BN_TRAIN } egi_batchnorm_mode;
typedef enum egi_cache_mode { EGI_CACHE_AUTO, EGI_CACHE_ON, EGI_CACHE_OFF } egi_cache_mode;
typedef enum egi_loss_name {
    EGI_LOSS_NAME_AUTO, /* from the head: softmax, sigmoid, linear */
    EGI_LOSS_NAME_CATEGORICAL,
    EGI_LOSS_NAME_SPARSE_CATEGORICAL, /* the same computation as CATEGORICAL */
    EGI_LOSS_NAME_BINARY,
    EGI_LOSS_NAME_MSE,
    EGI_LOSS_NAME_MAE
} egi_loss_name;
typedef enum egi_fisher_choice {
    EGI_FISHER_AUTO,
    EGI_FISHER_BY_EXACT,
    EGI_FISHER_BY_SAMPLE,
    EGI_FISHER_BY_EMPIRICAL
} egi_fisher_choice;
typedef enum egi_scale_choice { EGI_SCALE_MEAN, EGI_SCALE_RAW } egi_scale_choice;

/** Choices are `int` because the table writes them; the comments name their enum. Lists are items joined by commas:
 * egi_list_item(). */
typedef struct egi_run_config {
    char model[EGI_TEXT_MAX];
    struct {
        char new_path[EGI_TEXT_MAX];   /* data.new */
        char keep[EGI_TEXT_MAX];       /* a list */
        char preprocess[EGI_TEXT_MAX]; /* "auto" or what egi_preprocess_parse() takes */
        int classes;                   /* egi_classes */
        double validation;             /* share of the training part; 0: none */
        bool shuffle;
        struct {
            bool flip;
            int64_t shift; /* pixels */
        } augment;
    } data;
    struct {
        int64_t epochs, batch, max_steps; /* batch 0: automatic; max_steps 0: no limit */
        char freeze[EGI_TEXT_MAX]; /* "auto", "none", a count of layers, or a pattern with * and ? of layer names; a
                                      list */
        int batchnorm;             /* egi_batchnorm_mode */
        int optimizer;             /* index of egi_optimizer_types */
        double lr;                 /* EGI_AUTO */
        double lr_decay_per_layer; /* 1: the same rate for all */
        double lr_floor;           /* share of lr that cosine ends at and plateau stops at */
        int schedule;              /* 0: auto; else 1 + index of egi_schedule_types */
        int64_t warmup;            /* steps in which lr rises linearly from 0 */
        double gamma;
        int64_t step_every; /* epochs */
        double momentum;
        bool nesterov;
        double weight_decay; /* decoupled; EGI_AUTO: 0.004 for adamw, as Keras, else 0 */
        double beta1, beta2, epsilon, rho;
        double l1, l2; /* on every kernel, added to what each layer of the file says */
        int loss;      /* egi_loss_name */
        double label_smoothing;
        char class_weights[EGI_TEXT_MAX]; /* "none", "balanced", or a list of numbers, one a class of data.new */
        double clip_norm;                 /* 0: off */
        double ema;                       /* momentum of the average of the weights; 0: off */
        double dropout;                   /* EGI_AUTO ("file"): as the file says */
        int precision;                    /* 0 auto, else egi_precision + 1 */
        int cache;                        /* egi_cache_mode */
        int64_t cache_mb;                 /* 0: automatic */
        int resident;                     /* egi_resident_mode */
        struct {
            int64_t patience; /* epochs; 0: off */
            double min_delta;
            bool restore_best;
        } early_stopping;
    } finetune;
    struct {
        char method[EGI_TEXT_MAX]; /* "auto", "none" or a sum such as "rehearsal+ewc" */
        double budget;             /* allowed drop of accuracy on old data, absolute */
        double mix;                /* share of old examples in a batch; EGI_AUTO: a half, steered */
        int64_t buffer;            /* exemplars written into the file's memory */
        int buffer_kind;           /* egi_buffer_kind of data/dataset.h */
        int64_t keep_limit;        /* 0: all */
        double strength;           /* EGI_AUTO */
        int fisher;                /* egi_fisher_choice */
        int64_t fisher_samples;    /* 0: automatic */
        bool online;
        double gamma; /* online EWC's forgetting factor */
        int scale;    /* egi_scale_choice */
        bool blend;
    } remember;
    struct {
        int64_t seed;
        char device[EGI_TEXT_MAX];
        int64_t threads; /* 0: automatic */
        int libraries;   /* 0 auto, 1 off */
        bool deterministic;
        char time_limit[EGI_TEXT_MAX]; /* "0", "90s", "30m", "2h": egi_config_seconds() */
        int64_t log_steps;             /* a line in metrics.jsonl every so many steps; 0: a line an epoch */
        bool profile;                  /* where the time of training steps goes */
    } run;
} egi_run_config;

/** The struct behind a configuration. Owner: the configuration; valid until it is freed, follows eg_config_set(). */
const egi_run_config *egi_config_run(const eg_config *config);

/** Was this key given (by a file or eg_config_set()), as opposed to its default? */
bool egi_config_given(const eg_config *config, const char *key);

/** Conditions between keys (nesterov without momentum and the like); all of them in the message, a line each in
 * eg_config_errors(). eg_finetune() calls it first. Errors: CONFIG. */
EG_MUST_USE eg_status egi_config_check(eg_config *config);

/** run.time_limit in seconds; 0: none. The text was checked when it was set. */
double egi_config_seconds(const char *time_limit);

/** Item `index` of a list value, trimmed, copied to `item`; false past the end. */
bool egi_list_item(const char *list, int64_t index, char *item, size_t room);

/** The table. */
extern const egi_field egi_run_fields[];
extern const int egi_run_fields_count;

/** Inside of an eg_config; for config.c and config_yaml.c. */
struct eg_config {
    eg_context *context;
    egi_run_config run;
    uint64_t given[2];            /* a bit a field of the table */
    char *errors;                 /* owned; NULL: none */
    char text[EGI_TEXT_MAX + 32]; /* eg_config_get() */
};

/** The next broken condition between keys from *index on (which moves behind it): its words, with *key; NULL: no more.
 */
const char *egi_config_condition(const egi_run_config *run, int64_t *index, const char **key);

/** The code point that *text begins with, which is moved behind it; EGI_UTF8_BAD when it is not UTF-8 (RFC 3629), and
 * *text stays. */
#define EGI_UTF8_BAD 0xffffffffu
uint32_t egi_utf8_next(const char **text);

/** Adds a line to the errors of a configuration; silently drops it when there is no memory left. */
void egi_config_complain(eg_config *config, const char *format, ...) EGI_PRINTF(2, 3);

/** Sets a key from text like eg_config_set(), with its own checks. */
EG_MUST_USE eg_status egi_config_set_field(eg_config *config, int field, const char *text);

#endif
