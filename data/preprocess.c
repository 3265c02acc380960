/* What stored values mean to a network. Every kind computes in float32 with the very operations that Keras'
 * preprocess_input() uses in numpy, in its order, so that results are equal bit for bit: division stays division, never
 * a product with a rounded inverse. */
#include "data/preprocess.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float caffe_mean[3] = {103.939f, 116.779f, 123.68f}; /* blue, green, red */
static const float torch_mean[3] = {0.485f, 0.456f, 0.406f}, torch_std[3] = {0.229f, 0.224f, 0.225f};

typedef struct named {
    const char *name, *words;
    egi_preprocess_kind kind;
} named;

static const named kinds[] = {
    {"none", "none (values as stored)", EGI_PRE_NONE},
    {"unit", "unit (x/255)", EGI_PRE_UNIT},
    {"tf", "tf (x/127.5 - 1)", EGI_PRE_TF},
    {"caffe", "caffe (BGR minus 103.939, 116.779, 123.68)", EGI_PRE_CAFFE},
    {"torch", "torch (x/255, ImageNet mean and std)", EGI_PRE_TORCH},
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

static void fill_scalar(egi_preprocess *p, float shift, float scale)
{
    p->channels = 1;
    for (int c = 0; c < 4; c++) {
        p->shift[c] = shift;
        p->scale[c] = scale;
    }
}

static egi_preprocess make(egi_preprocess_kind kind)
{
    egi_preprocess p = {.kind = kind};
    fill_scalar(&p, 0, 1);
    if (kind == EGI_PRE_UNIT)
        fill_scalar(&p, 0, 1 / 255.0f);
    else if (kind == EGI_PRE_TF)
        fill_scalar(&p, 127.5f, 1 / 127.5f);
    else if (kind == EGI_PRE_CAFFE || kind == EGI_PRE_TORCH)
        p.channels = 3;
    for (int c = 0; c < 3 && p.channels == 3; c++) {
        p.shift[c] = kind == EGI_PRE_CAFFE ? caffe_mean[c] : torch_mean[c] * 255;
        p.scale[c] = kind == EGI_PRE_CAFFE ? 1 : 1 / (torch_std[c] * 255);
    }
    p.bgr = kind == EGI_PRE_CAFFE;
    return p;
}

/* One number or three, separated by commas, up to `stop`; 0: neither. */
static int parse_numbers(const char *text, const char *stop, float *out)
{
    int n = 0;
    const locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale)
        return 0;
    for (const char *at = text; n < 3; at++) {
        char *end;
        const double v = strtod_l(at, &end, c_locale);
        if (end == at || end > stop || !isfinite((float)v)) {
            n = 0;
            break;
        }
        out[n++] = (float)v;
        at = end;
        if (at == stop)
            break;
        if (*at != ',' || n == 3) {
            n = 0;
            break;
        }
    }
    freelocale(c_locale);
    return n == 1 || n == 3 ? n : 0;
}

static bool parse_custom(egi_preprocess *out, const char *text)
{
    const char *slash = strchr(text, '/'), *stop = slash ? slash + 1 + strcspn(slash + 1, " ") : NULL;
    float mean[3], std[3];
    if (!slash)
        return false;
    const int n = parse_numbers(text, slash, mean), m = parse_numbers(slash + 1, stop, std);
    if (!n || !m)
        return false;
    egi_preprocess p = {.kind = EGI_PRE_CUSTOM, .channels = n > m ? n : m};
    for (int c = 0; c < 4; c++) {
        const int i = c < 3 ? c : 2;
        p.shift[c] = mean[n == 1 ? 0 : i];
        p.std[c] = std[m == 1 ? 0 : i];
        p.scale[c] = 1 / p.std[c];
        if (!(p.std[c] > 0) || !isfinite(p.scale[c]))
            return false;
    }
    *out = p;
    return true;
}

/* The first word counts: what egi_preprocess_print() writes is read back. */
static bool is_word(const char *text, const char *word)
{
    const size_t n = strlen(word);
    return strncmp(text, word, n) == 0 && (text[n] == '\0' || text[n] == ' ');
}

eg_status egi_preprocess_parse(egi_preprocess *out, const char *text)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (is_word(text, kinds[i].name)) {
            *out = make(kinds[i].kind);
            return EG_OK;
        }
    if (parse_custom(out, text))
        return EG_OK;
    return egi_fail(
        EG_ERR_CONFIG,
        "data.preprocess: wanted none, unit, tf, caffe, torch or MEAN/STD with one number or three, found '%s'", text);
}

static size_t print_numbers(char *text, size_t room, const float *v, int channels)
{
    size_t at = 0;
    for (int c = 0; c < (channels == 3 ? 3 : 1) && at < room; c++)
        at += (size_t)snprintf(text + at, room - at, c ? ",%.9g" : "%.9g", (double)v[c]);
    return at < room ? at : room;
}

void egi_preprocess_print(const egi_preprocess *p, char *text, size_t room)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].kind == p->kind) {
            snprintf(text, room, "%s", kinds[i].words);
            return;
        }
    size_t at = print_numbers(text, room, p->shift, p->channels);
    if (at < room)
        at += (size_t)snprintf(text + at, room - at, "/");
    if (at < room)
        at += print_numbers(text + at, room - at, p->std, p->channels);
    if (at < room)
        snprintf(text + at, room - at, " ((x - mean)/std)");
}

float egi_preprocess_value(const egi_preprocess *p, int channel, float x)
{
    const egi_affine a = egi_preprocess_affine(p);
    return egi_affine_value(&a, a.channels == 3 ? channel : 0, x);
}

egi_affine egi_preprocess_affine(const egi_preprocess *p)
{
    const bool apart = p && (p->channels == 3 || p->bgr);
    egi_affine a = {.channels = apart ? 3 : 1, .reversed = p && p->bgr};
    for (int c = 0; c < 3; c++) {
        a.by[c] = a.over[c] = 1;
        switch (p ? p->kind : EGI_PRE_NONE) {
        case EGI_PRE_NONE:
            break;
        case EGI_PRE_UNIT:
            a.by[c] = 255;
            break;
        case EGI_PRE_TF:
            a.by[c] = 127.5f;
            a.after[c] = 1;
            break;
        case EGI_PRE_CAFFE:
            a.before[c] = caffe_mean[c];
            break;
        case EGI_PRE_TORCH:
            a.by[c] = 255;
            a.after[c] = torch_mean[c];
            a.over[c] = torch_std[c];
            break;
        case EGI_PRE_CUSTOM:
            a.before[c] = p->shift[c];
            a.by[c] = p->std[c];
            break;
        }
    }
    return a;
}
