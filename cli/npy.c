#include "cli/npy.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* NPY format 1.0: magic, version, header length, a Python dict padded with spaces to a multiple of 64, a newline. */
static size_t make_header(char *header, size_t room, int64_t n, const int64_t *shape, int rank)
{
    char dict[512];
    int at = snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld,", (long long)n);
    for (int i = 0; i < rank; i++)
        at += snprintf(dict + at, sizeof dict - (size_t)at, i ? ", %lld" : " %lld", (long long)shape[i]);
    at += snprintf(dict + at, sizeof dict - (size_t)at, "), }");
    const size_t total = (10 + (size_t)at + 1 + 63) / 64 * 64, length = total - 10;
    if (total > room)
        return 0;
    memset(header, ' ', total);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)(length & 0xff);
    header[9] = (char)(length >> 8);
    memcpy(header + 10, dict, (size_t)at);
    header[total - 1] = '\n';
    return total;
}

static bool complain(const cli_npy *npy)
{
    fprintf(stderr, "engram: '%s' could not be written: %s\n", npy->path, strerror(errno));
    return false;
}

bool cli_npy_open(cli_npy *npy, const char *path, int64_t n, const int64_t *shape, int rank)
{
    char header[1024];
    snprintf(npy->path, sizeof npy->path, "%s", path);
    snprintf(npy->temporary, sizeof npy->temporary, "%s.tmp%ld", npy->path, (long)getpid());
    npy->file = fopen(npy->temporary, "wb");
    const size_t length = make_header(header, sizeof header, n, shape, rank);
    if (!npy->file || fwrite(header, 1, length, npy->file) != length)
        return complain(npy);
    return true;
}

bool cli_npy_write(cli_npy *npy, const float *rows, int64_t count)
{
    return fwrite(rows, sizeof *rows, (size_t)count, npy->file) == (size_t)count || complain(npy);
}

bool cli_npy_close(cli_npy *npy, bool good)
{
    if (!npy->file)
        return false;
    const bool closed = fclose(npy->file) == 0;
    npy->file = NULL;
    if (good && closed && rename(npy->temporary, npy->path) == 0)
        return true;
    if (good)
        complain(npy);
    remove(npy->temporary);
    return false;
}
