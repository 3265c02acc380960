#include "finetune/metrics.h"

#include <math.h>
#include <stddef.h>

/* --- over tasks --------------------------------------------------------------------------------------------------- */

double egi_average_accuracy(const double *a, int64_t tasks)
{
    double sum = 0;
    for (int64_t i = 0; i < tasks; i++)
        sum += a[(tasks - 1) * tasks + i];
    return tasks > 0 ? sum / (double)tasks : NAN;
}

double egi_backward_transfer(const double *a, int64_t tasks)
{
    double sum = 0;
    for (int64_t i = 0; i + 1 < tasks; i++)
        sum += a[(tasks - 1) * tasks + i] - a[i * tasks + i];
    return tasks > 1 ? sum / (double)(tasks - 1) : NAN;
}

double egi_forward_transfer(const double *a, const double *b, int64_t tasks)
{
    double sum = 0;
    for (int64_t i = 1; i < tasks; i++)
        sum += a[(i - 1) * tasks + i] - b[i];
    return tasks > 1 ? sum / (double)(tasks - 1) : NAN;
}

double egi_forgetting(const double *a, int64_t tasks)
{
    double sum = 0;
    for (int64_t i = 0; i + 1 < tasks; i++) {
        double best = a[i * tasks + i];
        for (int64_t k = i + 1; k + 1 < tasks; k++)
            if (!(a[k * tasks + i] <= best)) /* NaN too */
                best = a[k * tasks + i];
        sum += best - a[(tasks - 1) * tasks + i];
    }
    return tasks > 1 ? sum / (double)(tasks - 1) : NAN;
}

/* --- over examples ------------------------------------------------------------------------------------------------ */

egi_flips egi_flips_count(const uint8_t *before, const uint8_t *after, int64_t n)
{
    egi_flips f = {.n = n};
    for (int64_t i = 0; i < n; i++) {
        f.both_right += before[i] && after[i];
        f.negative += before[i] && !after[i];
        f.positive += !before[i] && after[i];
        f.both_wrong += !before[i] && !after[i];
    }
    return f;
}

void egi_confusion_add(int64_t *confusion, int64_t classes, const int32_t *truth, const int32_t *predicted, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (truth[i] >= 0 && truth[i] < classes && predicted[i] >= 0 && predicted[i] < classes)
            confusion[truth[i] * classes + predicted[i]]++;
}

void egi_confusion_recall(const int64_t *confusion, int64_t classes, double *recall)
{
    for (int64_t t = 0; t < classes; t++) {
        int64_t n = 0;
        for (int64_t p = 0; p < classes; p++)
            n += confusion[t * classes + p];
        recall[t] = n ? (double)confusion[t * classes + t] / (double)n : NAN;
    }
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

/* Acklam's coefficients (2003, "An algorithm for computing the inverse normal cumulative distribution function"). */
static double acklam(double p) /* p <= 0.5 */
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                               1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                               6.680131188771972e+01, -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                               -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    if (p < 0.02425) {
        const double q = sqrt(-2 * log(p));
        return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
               ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    }
    const double q = p - 0.5, r = q * q;
    return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
           (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

double egi_normal_quantile(double p)
{
    const double pi = 3.14159265358979323846;
    if (!(p > 0 && p < 1))
        return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    if (p > 0.5) /* 1 - p is exact, and the small tail is where erfc() is */
        return -egi_normal_quantile(1 - p);
    const double x = acklam(p);
    const double error = 0.5 * erfc(-x / sqrt(2.0)) - p;
    const double u = error * sqrt(2 * pi) * exp(x * x / 2);
    return x - u / (1 + x * u / 2);
}

void egi_wilson_limits(int64_t successes, int64_t n, double z, double *lower, double *upper)
{
    if (n <= 0) {
        *lower = 0;
        *upper = 1;
        return;
    }
    const double m = (double)n, p = (double)successes / m, zz = z * z;
    const double middle = (p + zz / (2 * m)) / (1 + zz / m);
    const double half = z * sqrt(p * (1 - p) / m + zz / (4 * m * m)) / (1 + zz / m);
    *lower = successes == 0 ? 0 : middle - half;
    *upper = successes == n ? 1 : middle + half;
}

/* Correlation of the pairs, its numerator drawn towards 0 by n / 2 where it is positive (Newcombe 1998, method 10). */
static double phi(const egi_flips *f)
{
    const double a = (double)f->both_right, b = (double)f->negative, c = (double)f->positive, d = (double)f->both_wrong;
    const double margins = (a + b) * (c + d) * (a + c) * (b + d), n = a + b + c + d;
    double numerator = a * d - b * c;
    if (numerator > n / 2)
        numerator -= n / 2;
    else if (numerator > 0)
        numerator = 0;
    return margins > 0 ? numerator / sqrt(margins) : 0;
}

void egi_drop_limits(const egi_flips *f, double confidence, double *lower, double *upper)
{
    if (f->n <= 0) {
        *lower = -1;
        *upper = 1;
        return;
    }
    const double z = egi_normal_quantile(confidence), n = (double)f->n;
    const int64_t before = f->both_right + f->negative, after = f->both_right + f->positive;
    const double p1 = (double)before / n, p2 = (double)after / n, r = phi(f);
    double l1, u1, l2, u2;
    egi_wilson_limits(before, f->n, z, &l1, &u1);
    egi_wilson_limits(after, f->n, z, &l2, &u2);
    const double down1 = p1 - l1, up1 = u1 - p1, down2 = p2 - l2, up2 = u2 - p2;
    *lower = p1 - p2 - sqrt(down1 * down1 - 2 * r * down1 * up2 + up2 * up2);
    *upper = p1 - p2 + sqrt(up1 * up1 - 2 * r * up1 * down2 + down2 * down2);
}
