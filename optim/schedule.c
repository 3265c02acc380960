#include "optim/optim.h"

#include <string.h>

const egi_schedule_type *const egi_schedule_types[] = {
#define EG_OPTIMIZER(name)
#define EG_SCHEDULE(name) &egi_schedule_##name,
#include "optim/list.def"
#undef EG_OPTIMIZER
#undef EG_SCHEDULE
    NULL};

const egi_schedule_type *egi_schedule_find(const char *name)
{
    for (int i = 0; egi_schedule_types[i]; i++)
        if (strcmp(egi_schedule_types[i]->name, name) == 0)
            return egi_schedule_types[i];
    return NULL;
}

double egi_schedule_lr(const egi_schedule *s, int64_t step)
{
    if (step < s->warmup)
        return s->lr * (double)step / (double)s->warmup;
    return s->lr * s->type->share(s, step - s->warmup);
}

void egi_schedule_epoch(egi_schedule *s, double value)
{
    if (s->type->epoch)
        s->type->epoch(s, value);
}
