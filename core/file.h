/** core/file.h: files that are either the old one or the whole new one, whatever happens while they are written. */
#ifndef EGI_FILE_H
#define EGI_FILE_H

#include "core/context.h"

/** Writes `bytes` bytes to `path`: into a new file beside it, flushed to the disk, then renamed over it. On failure the
 * file that was there stays as it was and the new one is gone. Errors: IO, naming the path and the reason. */
EG_MUST_USE eg_status egi_file_write_atomic(eg_context *context, const char *path, const void *data, size_t bytes);

/** A name beside `path` for a file that is being written: same folder, so that a rename is atomic. Owner: caller,
 * egi_free(). */
EG_MUST_USE eg_status egi_file_temporary(char **out, eg_context *context, const char *path);

/** Flushes the finished file `temporary` to the disk and renames it to `path`; removes it on failure. Errors: IO. */
EG_MUST_USE eg_status egi_file_commit(eg_context *context, const char *temporary, const char *path);

/** Makes a folder and its missing parents; one that exists is fine. Errors: IO. */
EG_MUST_USE eg_status egi_folder_create(eg_context *context, const char *path);

/** Reads a whole file of at most `limit` bytes; *out has a 0 behind its end. Owner: caller, egi_free(). Errors: IO,
 * FORMAT (too large). */
EG_MUST_USE eg_status egi_file_slurp(char **out, size_t *bytes, eg_context *context, const char *path, size_t limit);

#endif
