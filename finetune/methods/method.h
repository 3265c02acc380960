/** finetune/methods/method.h: what a method against forgetting is. One file and one line in list.def. A sum such as
 * "rehearsal+ewc" is a list of methods whose hooks are called in turn.
 *
 *  The hooks that exist are those that a method needs; they sit at fixed places of the loop, where others fit in beside
 * them: begin_task, then each step: compose_batch, [a loss's operations], [the gradient's projection], [after the
 * update], at last end_task. */
#ifndef EGI_METHOD_H
#define EGI_METHOD_H

#include "finetune/batches.h"

typedef struct egi_run egi_run;
typedef struct egi_method egi_method;

typedef struct egi_method_type {
    const char *name;
    /** Before training, with the weights as they were: what must be known about the old. May add to run->anchor. May be
     * NULL. */
    eg_status (*begin_task)(egi_method *m, egi_run *run);
    /** Appends examples to the *n new ones of a batch; there is room for run->batch. Does not allocate. May be NULL. */
    void (*compose_batch)(egi_method *m, egi_run *run, egi_item *items, int64_t *n);
    /** After training, with the final weights: what the file carries so that this can be protected next time. May be
     * NULL. */
    eg_status (*end_task)(egi_method *m, egi_run *run);
    void (*release)(egi_method *m, egi_run *run); /* may be NULL */
} egi_method_type;

struct egi_method {
    const egi_method_type *type;
    void *state; /* the method's own */
};

/** All methods in the order of list.def, NULL at the end. */
extern const egi_method_type *const egi_method_types[];

#define EG_METHOD(name) extern const egi_method_type egi_method_##name;
#include "finetune/methods/list.def"
#undef EG_METHOD

#endif
