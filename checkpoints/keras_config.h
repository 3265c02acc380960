/** checkpoints/keras_config.h: Keras' architecture JSON: to a model, and changed in place for head surgery.
 *
 *  A config is {"class_name": "Sequential" | "Functional" | "Model", "config": ...} as `model_config` and to_json()
 * have it, of Keras 1, 2 or 3. */
#ifndef EGI_KERAS_CONFIG_H
#define EGI_KERAS_CONFIG_H

#include "core/model.h"

/** Parses JSON text. `subject` names it in messages. Owner of *out: caller, json_decref(). Errors: FORMAT. */
EG_MUST_USE eg_status egi_keras_parse(json_t **out, const char *text, const char *subject);

/** The generation of a file: from a version text ("2.2.4-tf"), else from what the config looks like; 1, 2 or 3. */
int egi_keras_generation(const char *version, const json_t *config);

/** Builds the model with fresh parameters; nested models are flattened, a layer's path names its models ("inner/conv").
 *  The model keeps a reference to `config`. Owner: caller, eg_model_free(). Errors: FORMAT (names the layer and what is
 * wrong), SHAPE, UNSUPPORTED (names all such layers at once), NOMEM. */
EG_MUST_USE eg_status egi_keras_build(eg_model **out, eg_context *context, json_t *config, egi_dtype dtype,
                                      int keras_major);

/** A line "name (Class): why" for every layer that cannot be built, "" for none; `count` says how many.
 *  Owner of *out: caller, egi_free(). Errors: FORMAT, NOMEM. */
EG_MUST_USE eg_status egi_keras_unsupported(char **out, int64_t *count, eg_context *context, const json_t *config,
                                            int keras_major);

/** Sets the size of the Dense layer at `layer_path`. Errors: ARG (no such layer), UNSUPPORTED (not a Dense layer),
 * NOMEM. */
EG_MUST_USE eg_status egi_keras_config_set_units(json_t *config, const char *layer_path, int64_t units);

/** Adds a second head of `units` classes: a copy of the Dense layer at `layer_path` and of the layers without
 * parameters that follow it, named "<name>_<suffix>", as a further output. A Sequential becomes a Functional model.
 * `model` was built from `config`. *new_path: path of the new Dense layer; caller, egi_free(). Errors: ARG; UNSUPPORTED
 * (inside a nested model, or layers with parameters follow); NOMEM. On failure `config` may be half changed: pass a
 * copy. */
EG_MUST_USE eg_status egi_keras_config_add_head(char **new_path, json_t *config, const eg_model *model,
                                                const char *layer_path, const char *suffix, int64_t units);

/** Builds the model again in place from `new_config` (a new reference is taken). Parameters of the same path, name and
 * shape keep their values, others are fresh; what is known about the file, meta and extras stay. On failure the model
 * is as before. */
EG_MUST_USE eg_status egi_keras_rebuild(eg_model *model, json_t *new_config);

/** The architecture as JSON text as Keras' to_json() writes it. Owner: caller, egi_free(). Errors: STATE (the model has
 * none). */
EG_MUST_USE eg_status egi_keras_architecture(char **out, const eg_model *model);

#endif
