/** finetune/screen.h: what a run says before it trains. */
#ifndef EGI_SCREEN_H
#define EGI_SCREEN_H

#include "finetune/run.h"

/** "107,786" */
typedef struct egi_count_text {
    char s[32];
} egi_count_text;
egi_count_text egi_count_format(int64_t n);

/** "98.81 %"; "-" for NaN. */
egi_count_text egi_percent_format(double share);

/** The lines model, loaded, data, device, method; before the first measurement. */
void egi_screen_head(egi_run *run);
/** Duplicates between what is trained on and what is measured by; a line where there are any. Errors: NOMEM. */
EG_MUST_USE eg_status egi_screen_duplicates(egi_run *run);
/** The line before. */
void egi_screen_before(egi_run *run);
/** The lines after, for the log. */
void egi_screen_after(egi_run *run);

#endif
