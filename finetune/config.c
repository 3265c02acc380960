#include "finetune/config.h"

#include "core/device.h"
#include "data/dataset.h"
#include "optim/optim.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define AT(member) .offset = offsetof(egi_run_config, member)
#define INT(key, member, d, lo, hi, h)                                                                 \
    {                                                                                                  \
        .name = key, .kind = EGI_FIELD_INT, AT(member), .fallback = d, .min = lo, .max = hi, .help = h \
    }
#define REAL(key, member, d, lo, hi, h)                                                                 \
    {                                                                                                   \
        .name = key, .kind = EGI_FIELD_REAL, AT(member), .fallback = d, .min = lo, .max = hi, .help = h \
    }
#define BOOL(key, member, d, h)                                                   \
    {                                                                             \
        .name = key, .kind = EGI_FIELD_BOOL, AT(member), .fallback = d, .help = h \
    }
#define CHOICE(key, member, d, c, h)                                                              \
    {                                                                                             \
        .name = key, .kind = EGI_FIELD_CHOICE, AT(member), .fallback = d, .choices = c, .help = h \
    }
#define TEXT(key, member, d, h)                                                   \
    {                                                                             \
        .name = key, .kind = EGI_FIELD_TEXT, AT(member), .fallback = d, .help = h \
    }
/* A text whose `max` says how many items, joined by commas, it may have. */
#define LIST(key, member, d, n, h)                                                          \
    {                                                                                       \
        .name = key, .kind = EGI_FIELD_TEXT, AT(member), .fallback = d, .max = n, .help = h \
    }
/* `word` is accepted too, is the default, and means `value`. */
#define INT_OR(key, member, word, value, lo, hi, h)                                                        \
    {                                                                                                      \
        .name = key, .kind = EGI_FIELD_INT, AT(member), .fallback = word, .min = lo, .max = hi, .help = h, \
        .automatic = word, .automatic_value = value                                                        \
    }
#define REAL_OR(key, member, word, value, lo, hi, h)                                                        \
    {                                                                                                       \
        .name = key, .kind = EGI_FIELD_REAL, AT(member), .fallback = word, .min = lo, .max = hi, .help = h, \
        .automatic = word, .automatic_value = value                                                         \
    }

/* "sgd|adam|..." and "auto|constant|...", from the lists of their kinds. */
#define EG_OPTIMIZER(name) "|" #name
#define EG_SCHEDULE(name)
static const char optimizer_words[] =
#include "optim/list.def"
    ;
#undef EG_OPTIMIZER
#undef EG_SCHEDULE
#define EG_OPTIMIZER(name)
#define EG_SCHEDULE(name) "|" #name
static const char schedule_words[] = "auto"
#include "optim/list.def"
    ;
#undef EG_OPTIMIZER
#undef EG_SCHEDULE

/* clang-format off */
const egi_field egi_run_fields[] = {
    TEXT("model", model, "", "the network to start from: a Keras HDF5 file"),

    TEXT("data.new", data.new_path, "", "what is to be learned: IDX, CIFAR binary, NPZ, CSV, a folder per class; PATH:train or PATH:test names a part"),
    LIST("data.keep", data.keep, "", 64, "data of the old tasks, which must not be forgotten"),
    TEXT("data.preprocess", data.preprocess, "auto", "from stored values to network inputs: auto, none, unit (x/255), tf, caffe, torch or MEAN/STD"),
    CHOICE("data.classes", data.classes, "extend", "extend|replace|multi|keep", "the head: extend it by the new classes, replace it, add one (multi), or keep it as it is"),
    REAL("data.validation", data.validation, "0.1", 0, 0.9, "share of the training part that selects the epoch; 0: none, the last epoch is taken"),
    BOOL("data.shuffle", data.shuffle, "true", "draw a new order of the examples every epoch"),
    BOOL("data.augment.flip", data.augment.flip, "false", "training images are mirrored left to right, each with probability 1/2"),
    INT("data.augment.shift", data.augment.shift, "0", 0, EGI_SHIFT_MAX, "training images are moved by up to so many pixels in each direction, with zeros coming in; 0: not"),

    INT("finetune.epochs", finetune.epochs, "10", 0, 1e6, "passes over the new data; 0: only evaluate and write"),
    INT_OR("finetune.batch", finetune.batch, "auto", 0, 1, 65536, "examples a step, new and old together"),
    INT("finetune.max_steps", finetune.max_steps, "0", 0, 1e12, "the run ends after so many steps; 0: no limit"),
    LIST("finetune.freeze", finetune.freeze, "auto", 64, "layers that stay as they are: auto, none, a count from the input, or patterns of layer names with * and ?"),
    CHOICE("finetune.batchnorm", finetune.batchnorm, "frozen", "frozen|adapt|train", "batch normalisation: frozen, adapt (statistics move, weights stay) or train"),
    CHOICE("finetune.optimizer", finetune.optimizer, "adamw", optimizer_words + 1, "by Keras' formulas"),
    REAL_OR("finetune.lr", finetune.lr, "auto", EGI_AUTO, 0, 1e3, "peak learning rate"),
    REAL("finetune.lr_decay_per_layer", finetune.lr_decay_per_layer, "1", 0.01, 1, "the rate is multiplied by this for every layer below the head"),
    REAL("finetune.lr_floor", finetune.lr_floor, "0", 0, 1, "share of the rate that cosine ends at and plateau stops at"),
    CHOICE("finetune.schedule", finetune.schedule, "auto", schedule_words, "of the learning rate; auto: constant where finetune.lr is a number, else cosine"),
    INT("finetune.warmup", finetune.warmup, "0", 0, 1e9, "steps in which the rate rises from 0"),
    REAL("finetune.gamma", finetune.gamma, "0.1", 1e-9, 1, "factor of the schedules step, exponential and plateau"),
    INT("finetune.step_every", finetune.step_every, "1", 1, 1e6, "epochs between factors; of plateau: epochs without progress before one"),
    REAL("finetune.momentum", finetune.momentum, "0", 0, 0.9999, "of sgd and rmsprop"),
    BOOL("finetune.nesterov", finetune.nesterov, "false", "of sgd with momentum"),
    REAL_OR("finetune.weight_decay", finetune.weight_decay, "auto", EGI_AUTO, 0, 10, "decoupled from the gradient; auto: 0.004 for adamw as in Keras, else 0"),
    REAL("finetune.beta1", finetune.beta1, "0.9", 0, 0.999999, "of adam and adamw"),
    REAL("finetune.beta2", finetune.beta2, "0.999", 0, 0.99999999, "of adam and adamw"),
    REAL("finetune.epsilon", finetune.epsilon, "1e-7", 0, 1, "of adam, adamw and rmsprop"),
    REAL("finetune.rho", finetune.rho, "0.9", 0, 0.999999, "of rmsprop"),
    REAL("finetune.l1", finetune.l1, "0", 0, 1e3, "l1 sum |w| of every kernel is added to the loss, beside what the file's layers say"),
    REAL("finetune.l2", finetune.l2, "0", 0, 1e3, "l2 sum w^2 of every kernel is added to the loss, beside what the file's layers say"),
    CHOICE("finetune.loss", finetune.loss, "auto", "auto|categorical_crossentropy|sparse_categorical_crossentropy|binary_crossentropy|mse|mae", "auto: as the head says"),
    REAL("finetune.label_smoothing", finetune.label_smoothing, "0", 0, 0.99, "share of the target that is spread over all classes"),
    LIST("finetune.class_weights", finetune.class_weights, "none", 512, "none, balanced (n / classes / count of the class), or a weight for each class of data.new"),
    REAL("finetune.clip_norm", finetune.clip_norm, "0", 0, 1e9, "longest gradient, over all parameters together; 0: no limit"),
    REAL("finetune.ema", finetune.ema, "0", 0, 0.999999, "momentum of a running average of the weights, which is then what is measured, kept and written; 0: off"),
    REAL_OR("finetune.dropout", finetune.dropout, "file", EGI_AUTO, 0, 0.95, "rate of every dropout layer; file: as each layer says"),
    CHOICE("finetune.precision", finetune.precision, "auto", "auto|f32|tf32|bf16", "what factors of products are rounded to on a GPU; weights, sums, statistics and losses stay f32; auto: f32"),
    CHOICE("finetune.cache", finetune.cache, "auto", "auto|on|off", "run the frozen layers below the first trained one once an example and keep what they give; auto: where it saves time and fits; on: or fail"),
    INT_OR("finetune.cache_mb", finetune.cache_mb, "auto", 0, 1, 1e9, "memory for that; auto: a quarter of what is free, at most 2048"),
    CHOICE("finetune.resident", finetune.resident, "auto", "auto|on|off", "keep the training data in a GPU's memory, where batches are then put together; auto: where it takes at most half of what is free; on: or fail"),
    INT("finetune.early_stopping.patience", finetune.early_stopping.patience, "3", 0, 1e6, "epochs without progress before the run ends; 0: never"),
    REAL("finetune.early_stopping.min_delta", finetune.early_stopping.min_delta, "0", 0, 1e6, "a smaller gain is no progress"),
    BOOL("finetune.early_stopping.restore_best", finetune.early_stopping.restore_best, "true", "end with the weights of the best epoch"),

    TEXT("remember.method", remember.method, "auto", "auto, none, or a sum of rehearsal, ewc, l2sp; auto: rehearsal+ewc with old data, else l2sp"),
    REAL("remember.budget", remember.budget, "0.01", 0, 1, "allowed drop of accuracy on old data, absolute"),
    REAL_OR("remember.mix", remember.mix, "auto", EGI_AUTO, 0, 0.95, "share of old examples in a batch; auto: a half, raised where the budget is missed"),
    INT("remember.buffer", remember.buffer, "2000", 0, 1e8, "examples that the written file carries to protect its tasks next time"),
    CHOICE("remember.buffer_kind", remember.buffer_kind, "balanced", "reservoir|balanced|herding", "how they are chosen"),
    INT("remember.keep_limit", remember.keep_limit, "0", 0, 1e12, "how many examples of data.keep may be used at all; 0: all"),
    REAL_OR("remember.strength", remember.strength, "auto", EGI_AUTO, 0, 1e12, "of the pull towards the old weights; auto: raised or lowered to meet the budget"),
    CHOICE("remember.fisher", remember.fisher, "auto", "auto|exact|sample|empirical", "estimate of ewc's importance"),
    INT_OR("remember.fisher_samples", remember.fisher_samples, "auto", 0, 1, 1e9, "examples that it is estimated from"),
    BOOL("remember.online", remember.online, "true", "ewc: one sum of importance over all tasks instead of the last task's only"),
    REAL("remember.gamma", remember.gamma, "1", 0, 1, "online ewc: factor of the older importance"),
    CHOICE("remember.scale", remember.scale, "mean", "mean|raw", "of importance: mean 1 over the trained parameters, or raw"),
    BOOL("remember.blend", remember.blend, "true", "where the budget is missed, go back part of the way to the old weights"),

    INT("run.seed", run.seed, "1", 0, 9007199254740991.0, "of every random draw"),
    TEXT("run.device", run.device, "auto", "auto, cpu, cuda or cuda:N"),
    INT_OR("run.threads", run.threads, "auto", 0, 1, 1024, "auto: as many as this process may use"),
    CHOICE("run.libraries", run.libraries, "auto", "auto|off", "NVIDIA's libraries on a GPU, where they are installed; off: Engram's own kernels alone"),
    BOOL("run.deterministic", run.deterministic, "true", "the same command, seed and threads give the same bits"),
    TEXT("run.time_limit", run.time_limit, "0", "training ends after 90s, 30m, 2h; 0: no limit"),
    INT("run.log_steps", run.log_steps, "0", 0, 1e9, "a line in metrics.jsonl every so many steps; 0: a line an epoch"),
    BOOL("run.profile", run.profile, "false", "measure where the time of the training steps goes, by operation"),
};
/* clang-format on */
const int egi_run_fields_count = (int)(sizeof egi_run_fields / sizeof *egi_run_fields);
_Static_assert(sizeof egi_run_fields / sizeof *egi_run_fields <= 128, "eg_config.given has a bit a field");

static int find_field(const char *key)
{
    const egi_field *f = egi_field_find(egi_run_fields, egi_run_fields_count, key);
    return f ? (int)(f - egi_run_fields) : -1;
}

static bool is_list(const egi_field *f)
{
    return f->kind == EGI_FIELD_TEXT && f->max > 0;
}

/* --- lists and times ---------------------------------------------------------------------------------------------- */

bool egi_list_item(const char *list, int64_t index, char *item, size_t room)
{
    if (!*list)
        return false;
    for (; index > 0; index--) {
        list = strchr(list, ',');
        if (!list)
            return false;
        list++;
    }
    while (isspace((unsigned char)*list))
        list++;
    size_t n = strcspn(list, ",");
    while (n && isspace((unsigned char)list[n - 1]))
        n--;
    snprintf(item, room, "%.*s", (int)n, list);
    return true;
}

/* "90s", "30m", "1.5h", "2d", or plain seconds; negative: not a time. */
static double parse_seconds(const char *text)
{
    static const char units[] = "smhd";
    static const double seconds[] = {1, 60, 3600, 86400};
    char number[32];
    const size_t digits = strspn(text, "0123456789.");
    if (!digits || digits >= sizeof number)
        return -1;
    memcpy(number, text, digits);
    number[digits] = 0;
    double value;
    const egi_field real = {.name = "seconds", .kind = EGI_FIELD_REAL, .min = 0, .max = 1e12};
    if (egi_field_from_text(&real, &value, number) != EG_OK)
        return -1;
    if (!text[digits])
        return value;
    const char *unit = strchr(units, text[digits]);
    return unit && !text[digits + 1] ? value * seconds[unit - units] : -1;
}

double egi_config_seconds(const char *time_limit)
{
    const double seconds = parse_seconds(time_limit);
    return seconds > 0 ? seconds : 0;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

uint32_t egi_utf8_next(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    const int more = s[0] < 0x80                   ? 0
                     : s[0] >= 0xc2 && s[0] < 0xe0 ? 1
                     : s[0] >= 0xe0 && s[0] < 0xf0 ? 2
                     : s[0] >= 0xf0 && s[0] < 0xf5 ? 3
                                                   : -1;
    if (more < 0)
        return EGI_UTF8_BAD;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t c = more ? s[0] & (0x3fu >> more) : s[0];
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return EGI_UTF8_BAD;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return EGI_UTF8_BAD;
    *text += more + 1;
    return c;
}

static bool is_utf8(const char *text)
{
    while (*text)
        if (egi_utf8_next(&text) == EGI_UTF8_BAD)
            return false;
    return true;
}

/* --- checks of single values that the table's bounds cannot say --------------------------------------------------- */

static eg_status check_seconds(const char *text)
{
    if (parse_seconds(text) < 0)
        return egi_fail(EG_ERR_CONFIG, "run.time_limit: wanted a time such as 90s, 30m, 2h or 0, found '%.80s'", text);
    return EG_OK;
}

static eg_status check_preprocess(const char *text)
{
    egi_preprocess p;
    return strcmp(text, "auto") == 0 ? EG_OK : egi_preprocess_parse(&p, text);
}

static eg_status check_weights(const char *text)
{
    if (strcmp(text, "none") == 0 || strcmp(text, "balanced") == 0)
        return EG_OK;
    char item[64];
    double value;
    const egi_field real = {.name = "finetune.class_weights", .kind = EGI_FIELD_REAL, .min = 0, .max = 1e6};
    for (int64_t i = 0; egi_list_item(text, i, item, sizeof item); i++)
        EG_TRY(egi_field_from_text(&real, &value, item));
    return EG_OK;
}

static bool is_method(const char *word, size_t n)
{
    static const char *const names[] = {
#define EG_METHOD(name) #name,
#include "finetune/methods/list.def"
#undef EG_METHOD
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && strncmp(names[i], word, n) == 0)
            return true;
    return false;
}

static eg_status check_method(const char *text)
{
    if (strcmp(text, "auto") == 0 || strcmp(text, "none") == 0)
        return EG_OK;
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, "+");
        if (!is_method(at, n))
            return egi_fail(
                EG_ERR_CONFIG,
                "remember.method: wanted auto, none or a sum of rehearsal, ewc, l2sp, found '%.*s' in '%.80s'",
                (int)(n < 40 ? n : 40), at, text);
        at += n;
        if (!*at)
            return EG_OK;
    }
}

static eg_status check_items(const egi_field *f, const char *text)
{
    char item[EGI_TEXT_MAX];
    int64_t n = 0;
    for (; egi_list_item(text, n, item, sizeof item); n++)
        if (!*item)
            return egi_fail(EG_ERR_CONFIG, "%s: item %lld of '%.80s' is empty", f->name, (long long)n + 1, text);
    if (n > (int64_t)f->max)
        return egi_fail(EG_ERR_CONFIG, "%s: wanted at most %g items, found %lld", f->name, f->max, (long long)n);
    return EG_OK;
}

static eg_status check_value(const egi_field *f, const char *text)
{
    static const struct {
        const char *key;
        eg_status (*check)(const char *text);
    } checks[] = {
        {"run.time_limit", check_seconds},
        {"data.preprocess", check_preprocess},
        {"finetune.class_weights", check_weights},
        {"remember.method", check_method},
    };
    if (is_list(f))
        EG_TRY(check_items(f, text));
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (strcmp(checks[i].key, f->name) == 0)
            return checks[i].check(text);
    return EG_OK;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

eg_status eg_config_create(eg_config **out, eg_context *context)
{
    if (!out || !context)
        return egi_fail(EG_ERR_ARG, "configuration: out or context is NULL");
    eg_config *c;
    EG_TRY(egi_alloc(&c, context, 1, sizeof *c));
    c->context = context;
    const eg_status status = egi_fields_defaults(egi_run_fields, egi_run_fields_count, &c->run);
    if (status != EG_OK) {
        egi_free(context, c);
        return status;
    }
    *out = c;
    return EG_OK;
}

eg_status eg_config_clone(eg_config **out, const eg_config *config)
{
    if (!out || !config)
        return egi_fail(EG_ERR_ARG, "configuration: out or config is NULL");
    eg_config *c;
    EG_TRY(egi_alloc(&c, config->context, 1, sizeof *c));
    *c = *config;
    c->errors = NULL;
    *out = c;
    return EG_OK;
}

void eg_config_free(eg_config *c)
{
    if (!c)
        return;
    egi_free(c->context, c->errors);
    egi_free(c->context, c);
}

/* --- setting and getting ------------------------------------------------------------------------------------------ */

eg_status egi_config_set_field(eg_config *c, int field, const char *text)
{
    const egi_field *f = &egi_run_fields[field];
    if (!is_utf8(text)) /* such text could not be printed as YAML */
        return egi_fail(EG_ERR_CONFIG, "%s: wanted UTF-8 text, found other bytes", f->name);
    EG_TRY(check_value(f, text));
    EG_TRY(egi_field_from_text(f, &c->run, text));
    c->given[field / 64] |= (uint64_t)1 << field % 64;
    return EG_OK;
}

eg_status eg_config_set(eg_config *c, const char *key, const char *text)
{
    if (!c || !key || !text)
        return egi_fail(EG_ERR_ARG, "configuration: config, key or text is NULL");
    const int field = find_field(key);
    if (field >= 0)
        return egi_config_set_field(c, field, text);
    char near[256];
    egi_field_nearest(egi_run_fields, egi_run_fields_count, key, near, sizeof near);
    return egi_fail(EG_ERR_CONFIG, "unknown key '%.80s'%s%s", key,
                    *near ? "; the nearest: " : "; 'engram config' prints all keys", near);
}

const char *eg_config_get(const eg_config *config, const char *key)
{
    const int field = config && key ? find_field(key) : -1;
    if (field < 0)
        return NULL;
    eg_config *c = (eg_config *)config; /* the text buffer is a cache, not part of the value */
    egi_field_print(&egi_run_fields[field], &config->run, c->text, sizeof c->text);
    return c->text;
}

const char *eg_config_errors(const eg_config *c)
{
    return c && c->errors ? c->errors : "";
}

const egi_run_config *egi_config_run(const eg_config *c)
{
    return &c->run;
}

bool egi_config_given(const eg_config *c, const char *key)
{
    const int field = find_field(key);
    return field >= 0 && (c->given[field / 64] >> field % 64 & 1);
}

void egi_config_complain(eg_config *c, const char *format, ...)
{
    char line[640];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const size_t old = c->errors ? strlen(c->errors) : 0;
    char *longer;
    if (egi_alloc(&longer, c->context, (int64_t)(old + strlen(line) + 2), 1) != EG_OK)
        return;
    snprintf(longer, old + strlen(line) + 2, "%s%s%s", old ? c->errors : "", old ? "\n" : "", line);
    egi_free(c->context, c->errors);
    c->errors = longer;
}

/* --- conditions between keys -------------------------------------------------------------------------------------- */

static bool has_momentum(const egi_run_config *r)
{
    return egi_optimizer_types[r->finetune.optimizer]->has_momentum;
}

static bool pointwise_loss(const egi_run_config *r)
{
    return r->finetune.loss == EGI_LOSS_NAME_MSE || r->finetune.loss == EGI_LOSS_NAME_MAE;
}

static bool nesterov_alone(const egi_run_config *r)
{
    return r->finetune.nesterov &&
           (!egi_optimizer_types[r->finetune.optimizer]->has_nesterov || r->finetune.momentum <= 0);
}

static bool momentum_unused(const egi_run_config *r)
{
    return r->finetune.momentum > 0 && !has_momentum(r);
}

static bool smoothing_unused(const egi_run_config *r)
{
    return r->finetune.label_smoothing > 0 && pointwise_loss(r);
}

static bool warmup_never_ends(const egi_run_config *r)
{
    return r->finetune.max_steps > 0 && r->finetune.warmup > r->finetune.max_steps;
}

static bool rehearsal_without_mix(const egi_run_config *r)
{
    return strstr(r->remember.method, "rehearsal") && r->remember.mix == 0;
}

static const struct {
    const char *key;
    bool (*broken)(const egi_run_config *run);
    const char *words;
} conditions[] = {
    {"finetune.nesterov", nesterov_alone, "needs finetune.optimizer=sgd with finetune.momentum above 0"},
    {"finetune.momentum", momentum_unused,
     "adam and adamw have none; use finetune.beta1, or finetune.optimizer=sgd or rmsprop"},
    {"finetune.label_smoothing", smoothing_unused, "needs a cross-entropy loss, finetune.loss is mse or mae"},
    {"finetune.warmup", warmup_never_ends, "longer than finetune.max_steps, the rate would never reach finetune.lr"},
    {"remember.mix", rehearsal_without_mix, "rehearsal needs a share of old examples above 0"},
};

const char *egi_config_condition(const egi_run_config *run, int64_t *index, const char **key)
{
    for (; *index < (int64_t)(sizeof conditions / sizeof *conditions); ++*index)
        if (conditions[*index].broken(run)) {
            *key = conditions[*index].key;
            return conditions[(*index)++].words;
        }
    return NULL;
}

static eg_status check_conditions(const egi_run_config *run, eg_config *lines)
{
    char all[400] = "";
    const char *key, *words;
    int64_t i = 0;
    while ((words = egi_config_condition(run, &i, &key))) {
        const size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s: %s", n ? "; " : "", key, words);
        if (lines)
            egi_config_complain(lines, "%s: %s", key, words);
    }
    return *all ? egi_fail(EG_ERR_CONFIG, "%s", all) : EG_OK;
}

eg_status egi_config_check(eg_config *c)
{
    egi_free(c->context, c->errors);
    c->errors = NULL;
    return check_conditions(&c->run, c);
}

eg_status eg_context_configure(eg_context *context, const eg_config *config)
{
    if (!context || !config)
        return egi_fail(EG_ERR_ARG, "context: context or config is NULL");
    const egi_run_config *r = &config->run;
    EG_TRY(check_conditions(r, NULL));
    EG_TRY(egi_context_set_device(context, r->run.device));
    EG_TRY(egi_context_set_precision(context, r->finetune.precision ? (egi_precision)(r->finetune.precision - 1)
                                                                    : EGI_PRECISION_F32));
    context->own_kernels = r->run.libraries == 1;
    context->seed = (uint64_t)r->run.seed;
    return r->run.threads > 0 ? egi_context_set_threads(context, (int)r->run.threads) : EG_OK;
}

/* --- the schema --------------------------------------------------------------------------------------------------- */

static const char *kind_words(const egi_field *f)
{
    switch (f->kind) {
    case EGI_FIELD_INT:
        return "integer";
    case EGI_FIELD_REAL:
        return "number";
    case EGI_FIELD_BOOL:
        return "boolean";
    case EGI_FIELD_CHOICE:
        return "choice";
    default:
        return is_list(f) ? "list" : "text";
    }
}

bool eg_config_schema(int64_t index, eg_config_entry *out)
{
    if (index < 0 || index >= egi_run_fields_count)
        return false;
    const egi_field *f = &egi_run_fields[index];
    const bool bounded = f->kind == EGI_FIELD_INT || f->kind == EGI_FIELD_REAL;
    *out = (eg_config_entry){.key = f->name,
                             .kind = kind_words(f),
                             .fallback = f->fallback,
                             .choices = f->choices     ? f->choices
                                        : f->automatic ? f->automatic
                                                       : "",
                             .help = f->help,
                             .min = bounded ? f->min : 0,
                             .max = bounded ? f->max : 0};
    return true;
}
