/** core/mirror.h: memory of the host that a device with memory of its own keeps a copy of: arenas of weights,
 * gradients, moments, importance. The copy is made when a plan first binds it; afterwards only what changed on the
 * other side is copied. Where the device computes in the host's memory all of this costs nothing. */
#ifndef EGI_MIRROR_H
#define EGI_MIRROR_H

#include "core/context.h"

typedef enum egi_newer { EGI_NEWER_NONE, EGI_NEWER_HOST, EGI_NEWER_DEVICE } egi_newer;

typedef struct egi_mirror {
    char *host;
    size_t bytes;
    void *device; /* NULL: no plan has asked for it */
    egi_newer newer;
    int borrowed; /* how often, where it is somebody else's */
    struct egi_mirror *next;
} egi_mirror;

/** egi_alloc() of memory that plans bind as a whole or in parts. Owner: the caller, egi_free(). */
EG_MUST_USE eg_status egi_mirror_alloc(void *out, eg_context *context, int64_t count, size_t size);
/** Mirrors memory of somebody else's that does not change while it is mirrored; as often as egi_mirror_return() is
 * called for it. It may be given back (egi_free()) before. Errors: NOMEM. */
EG_MUST_USE eg_status egi_mirror_borrow(eg_context *context, const void *host, size_t bytes);
void egi_mirror_return(eg_context *context, const void *host);
/** The mirrored block that `address` lies in, or NULL. */
egi_mirror *egi_mirror_find(const eg_context *context, const void *address);
/** Makes the device's copy, where there is none, and brings it up to date. Errors: NOMEM, DEVICE. */
EG_MUST_USE eg_status egi_mirror_upload(eg_context *context, egi_mirror *mirror);

/** Before the host reads mirrored memory (any address in it; NULL and other memory are fine). Errors: DEVICE. */
EG_MUST_USE eg_status egi_host_reads(eg_context *context, const void *address);
/** Before the host writes to mirrored memory. Errors: DEVICE. */
EG_MUST_USE eg_status egi_host_writes(eg_context *context, const void *address);

/** egi_free() of a block that may be mirrored. */
void egi_mirror_drop(eg_context *context, const void *host);

#endif
