#include "core/mirror.h"

#include "core/device.h"

static eg_status add(eg_context *c, const void *host, size_t bytes, int borrowed)
{
    egi_mirror *m;
    EG_TRY(egi_alloc(&m, c, 1, sizeof *m));
    *m = (egi_mirror){.host = (char *)(uintptr_t)host,
                      .bytes = bytes,
                      .newer = EGI_NEWER_HOST,
                      .borrowed = borrowed,
                      .next = c->mirrors};
    c->mirrors = m;
    return EG_OK;
}

eg_status egi_mirror_alloc(void *out, eg_context *c, int64_t count, size_t size)
{
    char *block;
    EG_TRY(egi_alloc(&block, c, count, size));
    if (c->device->type->upload) {
        const eg_status status = add(c, block, (size_t)count * size, 0);
        if (status != EG_OK) {
            egi_free(c, block);
            return status;
        }
    }
    *(void **)out = block;
    return EG_OK;
}

eg_status egi_mirror_borrow(eg_context *c, const void *host, size_t bytes)
{
    egi_mirror *m = egi_mirror_find(c, host);
    if (m && m->borrowed > 0 && m->host == host) {
        m->borrowed++;
        return EG_OK;
    }
    return m || !c->device->type->upload ? EG_OK : add(c, host, bytes, 1);
}

void egi_mirror_return(eg_context *c, const void *host)
{
    egi_mirror *m = egi_mirror_find(c, host);
    if (m && m->borrowed > 0 && --m->borrowed == 0)
        egi_mirror_drop(c, host);
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
