/** data/preprocess.h: what a preprocessing does with a value. */
#ifndef EGI_PREPROCESS_H
#define EGI_PREPROCESS_H

#include "core/ops/data.h"
#include "data/dataset.h"

/** What output channel `channel` becomes from the stored value `x` (of channel 2 - channel where p->bgr). NULL: x.
 *  float32 in Keras' order of operations: unit x/255; tf x/127.5 - 1; caffe x - mean; torch (x/255 - mean)/std; custom
 * (x - mean)/std. */
float egi_preprocess_value(const egi_preprocess *p, int channel, float x);

/** The same for all channels, as the formula of egi_affine_value(). */
egi_affine egi_preprocess_affine(const egi_preprocess *p);

#endif
