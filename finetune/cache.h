/** finetune/cache.h: what the frozen front of a network makes of each example, kept, so that training runs the back
 * alone. To the trainer and the evaluator it looks like data sets of their own: sources of cached rows for a model that
 * begins behind the cut. */
#ifndef EGI_CACHE_H
#define EGI_CACHE_H

#include "core/cut.h"
#include "finetune/batches.h"
#include "finetune/eval.h"

typedef struct egi_cache egi_cache;

/** Which examples of a source may be asked for. Lists may overlap; NULL where empty. */
typedef struct egi_cache_need {
    const int64_t *train, *select;
    int64_t n_train, n_select;
} egi_cache_need;

/** Room for the examples in `needs` (one a source); an example is computed when it is first met. `most`: how many are
 * asked for at once; `batch`: how many go through the front at once. `cut` is taken over on success, `sources` are
 * borrowed. Owner: caller, egi_cache_free(). Errors: NOMEM. */
EG_MUST_USE eg_status egi_cache_create(egi_cache **out, egi_cut *cut, const egi_source *sources, int64_t n_sources,
                                       const egi_cache_need *needs, int64_t most, int64_t batch);
void egi_cache_free(egi_cache *cache);

/** The model behind the cut, and the sources that feed it: valid as long as the cache. */
eg_model *egi_cache_model(egi_cache *cache);
const egi_source *egi_cache_sources(const egi_cache *cache);
/** Between front and back. */
const egi_cut *egi_cache_cut(const egi_cache *cache);
/** Examples there is room for, and their bytes. */
int64_t egi_cache_rows(const egi_cache *cache);
int64_t egi_cache_bytes(const egi_cache *cache);

/** Turns items of the original sources into items of the cache's, after computing those that are new. Does not
 * allocate. Errors: SHAPE, DEVICE. */
EG_MUST_USE eg_status egi_cache_items(egi_cache *cache, egi_item *items, int64_t n);
/** The same for a set of examples `set->index` of source `source`: afterwards it is one of the model behind the cut,
 * valid until the next call. */
EG_MUST_USE eg_status egi_cache_set(egi_cache *cache, int64_t source, egi_eval_set *set);

#endif
