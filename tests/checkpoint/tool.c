/* checkpoint_tool IN OUT [--arch JSON] [--units LAYER N] [--head LAYER SUFFIX N] [--json FILE] [--predict N X.f32
 * Y.f32] Loads IN, changes it as asked, saves OUT; writes the architecture; predicts N rows and writes all outputs one
 * after the other. */
#include "checkpoints/keras_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static eg_status change(eg_model *m, const char *layer, const char *suffix, int64_t units)
{
    json_t *config = json_deep_copy(m->config);
    char *path = NULL;
    eg_status status = suffix ? egi_keras_config_add_head(&path, config, m, layer, suffix, units)
                              : egi_keras_config_set_units(config, layer, units);
    if (status == EG_OK)
        status = egi_keras_rebuild(m, config);
    json_decref(config);
    eg_text_free(m->context, path);
    return status;
}

static eg_status write_architecture(const eg_model *m, const char *path)
{
    char *text;
    EG_TRY(egi_keras_architecture(&text, m));
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        perror(path);
    eg_text_free(m->context, text);
    return EG_OK;
}

static eg_status predict(eg_model *m, int64_t n, const char *in, const char *out)
{
    const float *x[16];
    float *y[16];
    FILE *from = fopen(in, "rb"), *to = fopen(out, "wb");
    if (!from || !to)
        return EG_ERR_IO;
    for (int i = 0; i < m->n_inputs; i++) {
        const size_t count = (size_t)(n * egi_shape_count(&m->tensors[m->inputs[i]]));
        float *data = malloc(count * sizeof *data);
        if (!data || fread(data, sizeof *data, count, from) != count)
            return EG_ERR_IO;
        x[i] = data;
    }
    for (int i = 0; i < m->n_outputs; i++)
        y[i] = malloc((size_t)(n * egi_shape_count(&m->tensors[m->outputs[i]])) * sizeof(float));
    const eg_status status = eg_model_predict(m, x, n, y);
    for (int i = 0; i < m->n_outputs; i++) {
        fwrite(y[i], sizeof(float), (size_t)(n * egi_shape_count(&m->tensors[m->outputs[i]])), to);
        free(y[i]);
    }
    for (int i = 0; i < m->n_inputs; i++)
        free((void *)x[i]);
    fclose(from);
    return fclose(to) == 0 ? status : EG_ERR_IO;
}

static eg_status work(eg_context *context, int argc, char **argv)
{
    eg_load_options load = EG_LOAD_OPTIONS_INIT;
    eg_model *m;
    for (int i = 3; i + 1 < argc; i++)
        if (strcmp(argv[i], "--arch") == 0)
            load.arch = argv[i + 1];
    EG_TRY(eg_model_load(&m, context, argv[1], &load));
    eg_status status = EG_OK;
    for (int i = 3; i < argc && status == EG_OK; i++) {
        if (strcmp(argv[i], "--units") == 0 && i + 2 < argc)
            status = change(m, argv[i + 1], NULL, atoll(argv[i + 2]));
        else if (strcmp(argv[i], "--head") == 0 && i + 3 < argc)
            status = change(m, argv[i + 1], argv[i + 2], atoll(argv[i + 3]));
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
            status = write_architecture(m, argv[i + 1]);
        else if (strcmp(argv[i], "--predict") == 0 && i + 3 < argc)
            status = predict(m, atoll(argv[i + 1]), argv[i + 2], argv[i + 3]);
    }
    if (status == EG_OK)
        status = eg_model_save(m, argv[2]);
    eg_model_free(m);
    return status;
}

int main(int argc, char **argv)
{
    eg_context *context;
    if (argc < 3 || eg_context_create(&context, NULL) != EG_OK)
        return 2;
    const eg_status status = work(context, argc, argv);
    if (status != EG_OK)
        fprintf(stderr, "%s\n", eg_last_message());
    eg_context_free(context);
    return status == EG_OK ? 0 : 1;
}
