/* Over- and underfitting in plain words: the gap between training and validation, where the curve is going, what to
 * try. */
#include "finetune/run.h"

#include <math.h>
#include <stdio.h>

#define GAP_LARGE   0.05  /* accuracy */
#define GAIN_GOING  0.005 /* of the last epoch: the curve still rises */
#define LOSS_RISING 0.02  /* relative, above the lowest validation loss */
#define LOW         0.6   /* training accuracy that says the network cannot follow */

typedef struct curve {
    double gap;        /* training - validation accuracy, or relative loss gap for regression */
    double gain;       /* of validation in the last epoch */
    double rise;       /* last validation loss above the lowest, relative */
    int64_t lowest_at; /* its epoch */
} curve;

static curve read_curve(const egi_run *run)
{
    const eg_epoch_result *e = run->epochs, *last = &e[run->epochs_run];
    curve c = {.lowest_at = 1};
    const eg_epoch_result *best = &e[run->budget.best_epoch > 0 ? run->budget.best_epoch : run->epochs_run];
    for (int64_t i = 2; i <= run->epochs_run; i++)
        if (e[i].validation_loss < e[c.lowest_at].validation_loss)
            c.lowest_at = i;
    c.rise = last->validation_loss / fmax(e[c.lowest_at].validation_loss, 1e-12) - 1;
    if (isnan(last->new_accuracy)) {
        c.gap = 1 - run->train_loss / fmax(best->validation_loss, 1e-12);
        c.gain = run->epochs_run > 1 ? 1 - last->validation_loss / fmax(last[-1].validation_loss, 1e-12) : 0;
    } else {
        c.gap = run->train_accuracy - best->new_accuracy;
        c.gain = run->epochs_run > 1 ? last->new_accuracy - last[-1].new_accuracy : 0;
    }
    return c;
}

static void describe(const egi_run *run, char *text, size_t room)
{
    const eg_epoch_result *best = &run->epochs[run->budget.best_epoch > 0 ? run->budget.best_epoch : run->epochs_run];
    if (isnan(best->new_accuracy))
        snprintf(text, room, "training loss %.4g, validation %.4g", run->train_loss, best->validation_loss);
    else
        snprintf(text, room, "training %.1f %%, validation %.1f %% (gap %.1f points)", run->train_accuracy * 100,
                 best->new_accuracy * 100, (run->train_accuracy - best->new_accuracy) * 100);
}

static void judge(egi_run *run, const curve *c, const char *figures)
{
    const bool regression = isnan(run->train_accuracy);
    const bool wide = c->gap > (regression ? 0.3 : GAP_LARGE), rising = c->rise > LOSS_RISING;
    char *out = run->verdict;
    const size_t room = sizeof run->verdict;
    if (wide && rising)
        snprintf(
            out, room,
            "overfitting: %s, validation loss rising since epoch %lld; try finetune.dropout=0.3, finetune.l2=1e-4, a "
            "lower finetune.lr or more data",
            figures, (long long)c->lowest_at);
    else if (wide)
        snprintf(
            out, room,
            "some overfitting: %s, validation loss not rising yet; try finetune.dropout=0.3, finetune.l2=1e-4 or more "
            "data",
            figures);
    else if (!regression && run->train_accuracy < LOW && c->gain < GAIN_GOING)
        snprintf(out, room,
                 "underfitting: %s and no longer rising; try a higher finetune.lr, finetune.freeze=none, a lower "
                 "remember.strength or a larger network",
                 figures);
    else if (c->gain > (regression ? 0.02 : GAIN_GOING) || run->epochs_run == 1)
        snprintf(out, room, "not finished: %s, still improving in the last epoch; try more finetune.epochs", figures);
    else
        snprintf(out, room, "good fit: %s, validation steady; nothing to change", figures);
}

eg_status egi_run_verdict(egi_run *run)
{
    char figures[160];
    if (run->epochs_run == 0) {
        snprintf(run->verdict, sizeof run->verdict, "no training, nothing to judge");
        return EG_OK;
    }
    if (run->new_part.select_is_train) {
        snprintf(run->verdict, sizeof run->verdict,
                 "over- and underfitting cannot be told without a validation split; set data.validation=0.1");
        return EG_OK;
    }
    const curve c = read_curve(run);
    describe(run, figures, sizeof figures);
    judge(run, &c, figures);
    return EG_OK;
}
