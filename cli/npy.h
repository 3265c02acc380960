/** cli/npy.h: writes a float32 .npy file row by row, by atomic rename. */
#ifndef CLI_NPY_H
#define CLI_NPY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cli_npy {
    FILE *file;
    char path[4096], temporary[4128];
} cli_npy;

/** Begins a file of shape (n, shape); false after printing why not. */
bool cli_npy_open(cli_npy *npy, const char *path, int64_t n, const int64_t *shape, int rank);
bool cli_npy_write(cli_npy *npy, const float *rows, int64_t count);
/** Renames the file into place where `good`, else removes it; false when it is not there. */
bool cli_npy_close(cli_npy *npy, bool good);

#endif
