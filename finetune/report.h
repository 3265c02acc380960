/** finetune/report.h: the files of a run. Each appears whole or not at all (written beside, flushed, renamed). */
#ifndef EGI_REPORT_H
#define EGI_REPORT_H

#include "engram/finetune.h"
#include "finetune/config.h"

typedef struct egi_report egi_report;

/** Begins a run's files in `folder`, which is made when it is missing. Owner: caller, egi_report_free(), which removes
 * unfinished files, and the folder where it was made for nothing. Errors: IO, NOMEM. */
EG_MUST_USE eg_status egi_report_create(egi_report **out, eg_context *context, const char *folder,
                                        const eg_config *config);
void egi_report_free(egi_report *report);

/** A line of log.txt, as the user saw it. */
EG_MUST_USE eg_status egi_report_line(egi_report *report, const char *line);

/** A line {"step": step, "loss": loss} of metrics.jsonl; loss before the update, with its penalties. Does not allocate:
 * full buffers go to the disk. Call it only when run.log_steps says so. */
EG_MUST_USE eg_status egi_report_step(egi_report *report, int64_t step, double loss);

/** A row of metrics.csv, and of metrics.jsonl when run.log_steps is 0. */
EG_MUST_USE eg_status egi_report_epoch(egi_report *report, const eg_epoch_result *epoch);

/** Renames everything into place and writes report.json. `result->wrote` is not read; egi_report_files() names the
 * files. On failure earlier files of those names stay as they were. Errors: IO, NOMEM. */
EG_MUST_USE eg_status egi_report_finish(egi_report *report, const eg_finetune_result *result);

/** NULL-ended list of the paths that egi_report_finish() wrote. Owner: the report. */
const char *const *egi_report_files(const egi_report *report);

#endif
