/** data/preprocess.h: one value through a preprocessing. */
#ifndef EGI_PREPROCESS_H
#define EGI_PREPROCESS_H

#include "data/dataset.h"

/** What output channel `channel` becomes from the stored value `x` (of channel 2 - channel where p->bgr). NULL: x.
 *  float32 in Keras' order of operations: unit x/255; tf x/127.5 - 1; caffe x - mean; torch (x/255 - mean)/std; custom
 * (x - mean)/std. */
float egi_preprocess_value(const egi_preprocess *p, int channel, float x);

/** The same for all channels, for loops that the compiler vectorises: (x - before) / by - after, where p->channels is 1
 * or p is NULL. What is not wanted is 0 or 1 and changes no bit. */
typedef struct egi_affine {
    float before, by, after;
} egi_affine;
egi_affine egi_preprocess_affine(const egi_preprocess *p);

#endif
