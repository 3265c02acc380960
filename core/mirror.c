#include "core/mirror.h"

#include "core/device.h"

eg_status egi_mirror_alloc(void *out, eg_context *c, int64_t count, size_t size)
{
    char *block;
    EG_TRY(egi_alloc(&block, c, count, size));
    if (c->device->type->upload) {
        egi_mirror *m;
        const eg_status status = egi_alloc(&m, c, 1, sizeof *m);
        if (status != EG_OK) {
            egi_free(c, block);
            return status;
        }
        *m = (egi_mirror){.host = block, .bytes = (size_t)count * size, .newer = EGI_NEWER_HOST, .next = c->mirrors};
        c->mirrors = m;
    }
    *(void **)out = block;
    return EG_OK;
}

egi_mirror *egi_mirror_find(const eg_context *c, const void *address)
{
    const uintptr_t at = (uintptr_t)address;
    for (egi_mirror *m = c->mirrors; m; m = m->next)
        if (at >= (uintptr_t)m->host && at - (uintptr_t)m->host < (m->bytes ? m->bytes : 1))
            return m;
    return NULL;
}

eg_status egi_mirror_upload(eg_context *c, egi_mirror *m)
{
    egi_device *d = c->device;
    if (!m->device)
        EG_TRY(d->type->alloc(d, &m->device, m->bytes));
    if (m->newer == EGI_NEWER_HOST) {
        EG_TRY(d->type->upload(d, m->device, m->host, m->bytes));
        m->newer = EGI_NEWER_NONE;
    }
    return EG_OK;
}

eg_status egi_host_reads(eg_context *c, const void *address)
{
    egi_mirror *m = c->mirrors ? egi_mirror_find(c, address) : NULL;
    if (!m || m->newer != EGI_NEWER_DEVICE)
        return EG_OK;
    EG_TRY(c->device->type->download(c->device, m->host, m->device, m->bytes));
    m->newer = EGI_NEWER_NONE;
    return EG_OK;
}

eg_status egi_host_writes(eg_context *c, const void *address)
{
    EG_TRY(egi_host_reads(c, address));
    egi_mirror *m = c->mirrors ? egi_mirror_find(c, address) : NULL;
    if (m)
        m->newer = EGI_NEWER_HOST;
    return EG_OK;
}

void egi_mirror_drop(eg_context *c, const void *host)
{
    for (egi_mirror **at = &c->mirrors; *at; at = &(*at)->next) {
        egi_mirror *m = *at;
        if (m->host != host)
            continue;
        *at = m->next;
        c->device->type->release(c->device, m->device);
        egi_free(c, m);
        return;
    }
}
