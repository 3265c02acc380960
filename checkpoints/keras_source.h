/** checkpoints/keras_source.h: what a Keras file said beside its tensors' values, so that saving gives it back;
 * eg_model.source. */
#ifndef EGI_KERAS_SOURCE_H
#define EGI_KERAS_SOURCE_H

#include "checkpoints/hdf5.h"
#include "checkpoints/keras_config.h"

/** A tensor of a group. */
typedef struct egi_keras_weight {
    char *name;          /* as weight_names has it: also its path in the group */
    char *layer, *param; /* path of the layer and name of its parameter; NULL: nobody asked for it */
    egi_h5_data info;    /* as stored */
    void *raw; /* stored bytes, where the arena cannot hold them exactly (f64) or has no place for them; or NULL */
    egi_h5_attrs attrs;
} egi_keras_weight;

/** A layer's group. */
typedef struct egi_keras_group {
    char *name;
    bool listed; /* in layer_names */
    egi_h5_attrs attrs;
    egi_keras_weight *weights;
    int64_t n_weights, capacity;
} egi_keras_group;

typedef struct egi_keras_source {
    bool full;              /* has model_config */
    bool in_group;          /* weights lie in group model_weights, not at the root */
    char *version;          /* keras_version, "" when the file does not say */
    json_t *config;         /* as loaded; a copy of our own: tells whether the model's changed */
    egi_h5_attrs root, top; /* attributes of the root and, where in_group, of model_weights */
    egi_keras_group *groups;
    int64_t n_groups, capacity;
} egi_keras_source;

/** An empty source of a full file, for models that were built and not loaded. Sets model->source and its functions. */
EG_MUST_USE eg_status egi_keras_source_create(egi_keras_source **out, eg_context *context);
void egi_keras_source_free(eg_context *context, void *source);
void *egi_keras_source_clone(eg_context *context, const void *source);

/** Appends a group; its name is copied. */
EG_MUST_USE eg_status egi_keras_source_add_group(egi_keras_group **out, eg_context *context, egi_keras_source *s,
                                                 const char *name, bool listed);
EG_MUST_USE eg_status egi_keras_source_add_weight(egi_keras_weight **out, eg_context *context, egi_keras_group *g,
                                                  const char *name);

/** The attribute that holds names ("layer_names", "weight_names"), whole or split (layer_names0, ...).
 *  Owner of *out: caller, egi_keras_names_free(). Errors: FORMAT. *found is false when there is none. */
EG_MUST_USE eg_status egi_keras_names_read(char ***out, int64_t *n, bool *found, eg_context *context,
                                           const egi_h5_attrs *attrs, const char *name);
void egi_keras_names_free(eg_context *context, char **names, int64_t n);
/** Writes names over what was there, in the style of what was there or else of `style` (NULL: variable size); split
 * where they need more than 64,512 bytes. */
EG_MUST_USE eg_status egi_keras_names_write(egi_h5_attrs *attrs, eg_context *context, const char *name,
                                            char *const *names, int64_t n, const egi_h5_type *style);
/** A text attribute (scalar): replaces one of the name in its style, else appends one of variable size. */
EG_MUST_USE eg_status egi_keras_text_write(egi_h5_attrs *attrs, eg_context *context, const char *name,
                                           const char *text);

/** Finds which parameter every weight of the source belongs to, by path and name; by position only in groups (or files)
 * where no name matches, with a warning. Sets layer and param of the weights. Errors: FORMAT, SHAPE, NOMEM; messages
 * name layer, tensor, wanted and found. */
EG_MUST_USE eg_status egi_keras_match(eg_load_report *report, egi_keras_source *s, eg_model *model);

/** The group `engram`: meta, extras and, for weights-only files, the architecture. */
EG_MUST_USE eg_status egi_engram_read(eg_model *model, egi_h5 *file);
EG_MUST_USE eg_status egi_engram_read_architecture(char **out, eg_context *context, egi_h5 *file); /* *out NULL: none */
EG_MUST_USE eg_status egi_engram_write(const eg_model *model, egi_h5_out *file, bool architecture);

/** Half precision. */
float egi_half_to_float(uint16_t half);
uint16_t egi_float_to_half(float value); /* to nearest, ties to even */

/** The part of eg_model_get_info() that the file knows: keras_version, flavour. For models that were built: "", "". */
void egi_keras_info(const eg_model *model, eg_model_info *info);

#endif
