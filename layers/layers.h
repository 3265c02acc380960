/** layers/layers.h: the list of layer types. */
#ifndef EGI_LAYERS_H
#define EGI_LAYERS_H

#include "core/layer.h"

/** All types in the order of layers/list.def, NULL at the end. */
extern const egi_layer_type *const egi_layer_types[];

/** By Keras class name or alias; NULL: unknown. */
const egi_layer_type *egi_layer_type_find(const char *class_name);

#endif
