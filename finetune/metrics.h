/** finetune/metrics.h: figures about what was kept and what was learned. a[k T + i] is the accuracy on task i after
 * training task k, T tasks, both counted from 0; entries that were not measured are NaN and make the figures that need
 * them NaN. */
#ifndef EGI_METRICS_H
#define EGI_METRICS_H

#include "core/status.h"

#include <stdint.h>

/** mean over i of a[T-1][i] (Lopez-Paz and Ranzato 2017, ACC). */
double egi_average_accuracy(const double *a, int64_t tasks);
/** mean over i < T-1 of a[T-1][i] - a[i][i] (Lopez-Paz and Ranzato 2017, BWT); NaN for one task. */
double egi_backward_transfer(const double *a, int64_t tasks);
/** mean over i > 0 of a[i-1][i] - b[i], b: (T) accuracy before any training (Lopez-Paz and Ranzato 2017, FWT); NaN for
 * one task. */
double egi_forward_transfer(const double *a, const double *b, int64_t tasks);
/** mean over i < T-1 of max over k < T-1 of a[k][i], minus a[T-1][i] (Chaudhry et al. 2018, eq. 3; k runs from i, where
 * task i was first trained); may be negative; NaN for one task. */
double egi_forgetting(const double *a, int64_t tasks);

/** Paired outcomes of an old and a new model on the same n examples. */
typedef struct egi_flips {
    int64_t n, both_right, negative, positive, both_wrong; /* negative: old right, new wrong; positive: the reverse */
} egi_flips;
egi_flips egi_flips_count(const uint8_t *before, const uint8_t *after, int64_t n);

/** Limits of the drop (negative - positive) / n at one-sided level `confidence` each: Newcombe 1998 (Statistics in
 * Medicine 17, 2635-2650), method 10: Wilson's score limits of both proportions, joined by square-and-add with the
 * correlation phi of the pairs, whose numerator is corrected for continuity. A two-sided 95 % interval has confidence
 * 0.975. n = 0: -1 to 1. */
void egi_drop_limits(const egi_flips *flips, double confidence, double *lower, double *upper);

/** Wilson's score limits of successes / n (Wilson 1927), z standard deviations. */
void egi_wilson_limits(int64_t successes, int64_t n, double z, double *lower, double *upper);

/** Quantile of the standard normal, p in (0, 1) (Acklam's rational approximation, one step of Halley: to 1e-15). */
double egi_normal_quantile(double p);

/** confusion: (classes, classes) [true][predicted], added to; rows or predictions outside are skipped. */
void egi_confusion_add(int64_t *confusion, int64_t classes, const int32_t *truth, const int32_t *predicted, int64_t n);
/** recall: (classes), NaN where a class has no example. */
void egi_confusion_recall(const int64_t *confusion, int64_t classes, double *recall);

#endif
