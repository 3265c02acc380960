/** data/zip.h: members of a zip archive, stored or deflated, zip64 or not (APPNOTE 6.3); every size and offset is
 * checked. */
#ifndef EGI_ZIP_H
#define EGI_ZIP_H

#include "core/context.h"

#include <zlib.h>

typedef struct egi_zip_member {
    char *name;
    int64_t packed, size, offset; /* of the local header */
    uint32_t crc;
    int method; /* 0 stored, 8 deflated */
    int flags;
} egi_zip_member;

typedef struct egi_zip {
    eg_context *context;
    const char *path; /* borrowed */
    int fd;
    int64_t bytes;
    egi_zip_member *members;
    int64_t n;
} egi_zip;

/** Reads the directory at the end of the file. Errors: IO, DATA. After a failure there is nothing to close. */
EG_MUST_USE eg_status egi_zip_open(egi_zip *z, eg_context *context, const char *path);
void egi_zip_close(egi_zip *z);

/** The member called `name`, or NULL. */
const egi_zip_member *egi_zip_find(const egi_zip *z, const char *name);

/** A member being read front to back. */
typedef struct egi_zip_reader {
    const egi_zip *zip;
    const egi_zip_member *member;
    int64_t at, packed_left, left; /* place in the file; bytes not yet read, packed and unpacked */
    uLong crc;
    bool inflating;
    z_stream z;
    unsigned char *buffer;
} egi_zip_reader;

/** Errors: DATA (encrypted, another method, sizes that cannot be), NOMEM. */
EG_MUST_USE eg_status egi_zip_reader_open(egi_zip_reader *r, const egi_zip *z, const egi_zip_member *m);
void egi_zip_reader_close(egi_zip_reader *r);
/** Exactly `bytes` bytes. */
EG_MUST_USE eg_status egi_zip_read(egi_zip_reader *r, void *dst, int64_t bytes);
/** Nothing is left, and the checksum holds. */
EG_MUST_USE eg_status egi_zip_expect_end(egi_zip_reader *r);

#endif
