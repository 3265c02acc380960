/** data/file.h: a regular file, gzipped or not, read front to back; nothing it says about sizes is believed unchecked.
 */
#ifndef EGI_DATA_FILE_H
#define EGI_DATA_FILE_H

#include "core/context.h"

#include <stdio.h>
#include <zlib.h>

#define EGI_FILE_BUFFER (1 << 17)

typedef struct egi_file {
    eg_context *context;
    const char *path; /* borrowed; for messages */
    int fd;           /* -1: not open */
    bool gz;
    bool at_end;        /* gz: the last member's trailer was read */
    int64_t disk_bytes; /* size of the file as it lies there */
    int64_t disk_left;  /* not yet read */
    z_stream z;
    unsigned char *buffer; /* gz: compressed bytes */
} egi_file;

/** Opens a regular file; gzip is told by its first bytes, not by its name. `path` must outlive `f`. Errors: IO
 * (missing, a folder, no permission), NOMEM. After a failure there is nothing to close. */
EG_MUST_USE eg_status egi_file_open(egi_file *f, eg_context *context, const char *path);

/** Closes; fine when it never opened. */
void egi_file_close(egi_file *f);

/** Reads exactly `bytes` bytes. Errors: DATA (truncated, broken gzip), IO. Allocates nothing from the context. */
EG_MUST_USE eg_status egi_file_read(egi_file *f, void *dst, int64_t bytes);

/** Reads up to `bytes` bytes; *got is how many there were. */
EG_MUST_USE eg_status egi_file_read_some(egi_file *f, void *dst, int64_t bytes, int64_t *got);

/** Checks that nothing is left; for gzip that the checksum held and nothing follows. Errors: DATA (trailing bytes). */
EG_MUST_USE eg_status egi_file_expect_end(egi_file *f);

/** Can the rest of the file hold `bytes` bytes at all? gzip expands at most 1032-fold, so a small file that promises
 * gigabytes is refused before anything is allocated. Errors: DATA. */
EG_MUST_USE eg_status egi_file_expect_room(const egi_file *f, int64_t bytes);

/** Bytes of content: the file's size, or what the gzip trailer says (below 4 GiB). Errors: DATA, IO. */
EG_MUST_USE eg_status egi_file_size(const egi_file *f, int64_t *bytes);

/** The whole file and a NUL behind it. Owner: caller, egi_free(). Errors: IO, DATA, NOMEM. */
EG_MUST_USE eg_status egi_file_load(char **text, int64_t *bytes, eg_context *context, const char *path);

#endif
