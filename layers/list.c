#include "layers/layers.h"

#include <string.h>

#define EG_LAYER(name) extern const egi_layer_type egi_layer_##name;
#include "layers/list.def"
#undef EG_LAYER

const egi_layer_type *const egi_layer_types[] = {
#define EG_LAYER(name) &egi_layer_##name,
#include "layers/list.def"
#undef EG_LAYER
    NULL,
};

static bool has_name(const egi_layer_type *type, const char *class_name)
{
    if (strcmp(type->keras, class_name) == 0)
        return true;
    for (size_t i = 0; i < sizeof type->aliases / sizeof *type->aliases && type->aliases[i]; i++)
        if (strcmp(type->aliases[i], class_name) == 0)
            return true;
    return false;
}

const egi_layer_type *egi_layer_type_find(const char *class_name)
{
    for (const egi_layer_type *const *type = egi_layer_types; *type; type++)
        if (has_name(*type, class_name))
            return *type;
    return NULL;
}
