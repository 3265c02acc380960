/* CSV (RFC 4180): numbers, and one column of answers: the one called label, class, target or y, else the last. Integers
 * are labels, other numbers are targets, texts become classes in sorted order. A folder may hold train.csv and
 * test.csv, which share their classes. */
#include "data/reader.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_MAX 63 /* characters of a number */

typedef struct cell {
    char *at;
    size_t length;
    bool quoted;
} cell;

typedef struct table {
    eg_context *context;
    char *path, *text;
    int64_t bytes;
    char *at, *end; /* the place in the text */
    int64_t line;
    char delimiter;
    cell *head; /* cells of the first row */
    int64_t columns, rows, answer;
    bool has_header;
    cell *answers; /* (rows) */
    locale_t locale;
} table;

/* --- cells -------------------------------------------------------------------------------------------------------- */

static eg_status take_quoted(table *t, cell *out)
{
    const int64_t line = t->line;
    *out = (cell){.at = t->at + 1, .quoted = true};
    for (t->at++; t->at < t->end; t->at++) {
        if (*t->at == '\n')
            t->line++;
        if (*t->at != '"')
            continue;
        if (t->at + 1 < t->end && t->at[1] == '"') {
            t->at++;
            continue;
        }
        out->length = (size_t)(t->at - out->at);
        t->at++;
        if (t->at == t->end || *t->at == t->delimiter || *t->at == '\n' || *t->at == '\r')
            return EG_OK;
        return egi_fail(EG_ERR_DATA, "%s: line %lld: text behind a closing quote", t->path, (long long)t->line);
    }
    return egi_fail(EG_ERR_DATA, "%s: line %lld: a quote that never closes", t->path, (long long)line);
}

/* One cell; *more: another follows in this row. */
static eg_status take_cell(table *t, cell *out, bool *more)
{
    if (t->at < t->end && *t->at == '"') {
        EG_TRY(take_quoted(t, out));
    } else {
        *out = (cell){.at = t->at};
        while (t->at < t->end && *t->at != t->delimiter && *t->at != '\n')
            t->at++;
        out->length = (size_t)(t->at - out->at);
        if (out->length && out->at[out->length - 1] == '\r' && (t->at == t->end || *t->at == '\n'))
            out->length--;
    }
    if (t->at < t->end && *t->at == '\r')
        t->at++;
    *more = t->at < t->end && *t->at == t->delimiter;
    if (t->at < t->end && !*more && *t->at != '\n')
        return egi_fail(EG_ERR_DATA, "%s: line %lld: a carriage return inside a row", t->path, (long long)t->line);
    if (t->at < t->end)
        t->line += *t->at++ == '\n';
    return EG_OK;
}

/* Steps over empty lines; false at the end. */
static bool next_row(table *t)
{
    while (t->at < t->end && (*t->at == '\n' || (*t->at == '\r' && t->at + 1 < t->end && t->at[1] == '\n')))
        t->line += *t->at++ == '\n';
    return t->at < t->end;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

/* Up to 15 digits and a power of ten up to 22 are exact in double arithmetic (Clinger 1990); the rest goes to strtod.
 */
static bool quick_number(const char *at, const char *end, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const bool minus = at < end && *at == '-';
    int64_t v = 0, digits = 0, decimals = 0;
    bool point = false;
    for (at += minus; at < end; at++) {
        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (*at < '0' || *at > '9' || ++digits > 15)
            return false;
        v = v * 10 + (*at - '0');
        decimals += point;
    }
    if (!digits)
        return false;
    const double value = (double)v / powers[decimals];
    *out = minus ? -value : value;
    return true;
}

static bool parse_number(const table *t, const cell *c, double *out)
{
    const char *at = c->at, *end = c->at + c->length;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (quick_number(at, end, out))
        return true;
    char text[NUMBER_MAX + 1], *stop;
    const size_t n = (size_t)(end - at);
    if (n == 0 || n > NUMBER_MAX)
        return false;
    memcpy(text, at, n);
    text[n] = '\0';
    if (strspn(text, "0123456789+-.eE") != n)
        return false;
    *out = strtod_l(text, &stop, t->locale);
    return stop == text + n && isfinite(*out);
}

static bool is_integer(double v)
{
    return v == floor(v) && fabs(v) < 2147483648.0;
}

/* --- the first row ------------------------------------------------------------------------------------------------ */

static bool is_answer_name(const cell *c)
{
    static const char *const names[] = {"label", "class", "target", "y"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (c->length == strlen(names[i]) && strncasecmp(c->at, names[i], c->length) == 0)
            return true;
    return false;
}

/* Of comma, semicolon and tab the one that the first line has most of. */
static char find_delimiter(const table *t)
{
    static const char candidates[] = ",;\t";
    const char *stop = memchr(t->text, '\n', (size_t)t->bytes);
    int64_t most = 0;
    char best = ',';
    for (int i = 0; candidates[i]; i++) {
        int64_t n = 0;
        for (const char *c = t->at; c < (stop ? stop : t->end); c++)
            n += *c == candidates[i];
        if (n > most) {
            most = n;
            best = candidates[i];
        }
    }
    return best;
}

/* A header has a column of answers by its name, or no number at all. */
static void judge_header(table *t)
{
    bool any_number = false;
    double v;
    t->answer = -1;
    for (int64_t i = 0; i < t->columns; i++) {
        if (is_answer_name(&t->head[i]) && t->answer < 0)
            t->answer = i;
        any_number = any_number || parse_number(t, &t->head[i], &v);
    }
    t->has_header = t->answer >= 0 || !any_number;
    if (t->answer < 0)
        t->answer = t->columns - 1;
}

static eg_status read_first_row(table *t)
{
    int64_t capacity = 0;
    bool more = true;
    if (!next_row(t))
        return egi_fail(EG_ERR_DATA, "%s: no rows", t->path);
    while (more) {
        EG_TRY(EGI_RESERVE(t->context, t->head, t->columns, capacity));
        EG_TRY(take_cell(t, &t->head[t->columns], &more));
        t->columns++;
    }
    if (t->columns < 2)
        return egi_fail(EG_ERR_DATA, "%s: wanted at least one column of numbers and one of answers, found 1 column",
                        t->path);
    judge_header(t);
    return EG_OK;
}

/* --- the rows ----------------------------------------------------------------------------------------------------- */

static void go_to_rows(table *t)
{
    bool more = true;
    cell c;
    t->at = t->text + (t->bytes >= 3 && memcmp(t->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0);
    t->line = 1;
    if (!t->has_header || !next_row(t))
        return;
    while (more && take_cell(t, &c, &more) == EG_OK)
        ;
}

static eg_status count_rows(table *t)
{
    cell c;
    for (go_to_rows(t); next_row(t); t->rows++) {
        const int64_t line = t->line;
        int64_t columns = 0;
        for (bool more = true; more; columns++)
            EG_TRY(take_cell(t, &c, &more));
        if (columns != t->columns)
            return egi_fail(EG_ERR_DATA, "%s: line %lld: wanted %lld columns as in the first row, found %lld", t->path,
                            (long long)line, (long long)t->columns, (long long)columns);
    }
    if (t->rows == 0)
        return egi_fail(EG_ERR_DATA, "%s: a header but no rows", t->path);
    return egi_alloc(&t->answers, t->context, t->rows, sizeof *t->answers);
}

static eg_status number_error(const table *t, int64_t column, int64_t line, const cell *c)
{
    const int shown = c->length < 40 ? (int)c->length : 40;
    char name[64];
    if (t->has_header)
        snprintf(name, sizeof name, "'%.*s'", t->head[column].length < 50 ? (int)t->head[column].length : 50,
                 t->head[column].at);
    else
        snprintf(name, sizeof name, "%lld", (long long)column + 1);
    return egi_fail(EG_ERR_DATA, "%s: line %lld, column %s: wanted a number, found '%.*s'", t->path, (long long)line,
                    name, shown, c->at);
}

/* Numbers of all rows into x (rows, columns - 1), where x is not NULL; cells of answers. */
static eg_status read_rows(table *t, float *x)
{
    int64_t row = 0, at = 0;
    double v = 0;
    for (go_to_rows(t); next_row(t); row++)
        for (int64_t column = 0; column < t->columns; column++) {
            const int64_t line = t->line;
            bool more;
            cell c;
            EG_TRY(take_cell(t, &c, &more));
            if (column == t->answer)
                t->answers[row] = c;
            else if (x && !parse_number(t, &c, &v))
                return number_error(t, column, line, &c);
            else if (x)
                x[at++] = (float)v;
        }
    return EG_OK;
}

static void close_table(table *t)
{
    egi_free(t->context, t->path);
    egi_free(t->context, t->text);
    egi_free(t->context, t->head);
    egi_free(t->context, t->answers);
    if (t->locale)
        freelocale(t->locale);
}

/* Opens, looks at the first row and counts the others. After a failure close_table() is the caller's too. */
static eg_status open_table(table *t, const egi_source *s, const char *name)
{
    *t = (table){.context = s->context};
    if (name)
        EG_TRY(egi_source_join(&t->path, s, name));
    else
        EG_TRY(egi_strdup(&t->path, s->context, s->path));
    t->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!t->locale)
        return egi_fail(EG_ERR_NOMEM, "%s: no memory for a locale", t->path);
    EG_TRY(egi_file_load(&t->text, &t->bytes, s->context, t->path));
    t->end = t->text + t->bytes;
    if (memchr(t->text, '\0', (size_t)t->bytes))
        return egi_fail(EG_ERR_DATA, "%s: not a text file: it has zero bytes", t->path);
    go_to_rows(t);
    t->delimiter = find_delimiter(t);
    EG_TRY(read_first_row(t));
    return count_rows(t);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

typedef enum answer_kind { INTEGERS, NUMBERS, TEXTS } answer_kind;

static answer_kind kind_of(const table *t)
{
    answer_kind kind = INTEGERS;
    double v;
    for (int64_t i = 0; i < t->rows; i++) {
        if (!parse_number(t, &t->answers[i], &v))
            return TEXTS;
        if (!is_integer(v))
            kind = NUMBERS;
    }
    return kind;
}

/* Makes each answer a string in the table's own text: doubled quotes become one, and the byte behind it (a quote, a
 * delimiter or the end of the line, which nobody reads again) its end. */
static void end_texts(table *t)
{
    for (int64_t i = 0; i < t->rows; i++) {
        cell *c = &t->answers[i];
        size_t to = 0;
        for (size_t from = 0; from < c->length; from++, to++) {
            c->at[to] = c->at[from];
            if (c->quoted && c->at[from] == '"')
                from++;
        }
        c->at[to] = '\0';
        c->length = to;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted texts of all tables, each once; *names borrows from them. */
static eg_status sorted_texts(char ***names, int64_t *n, const table *tables, int n_tables, eg_context *context)
{
    int64_t all = 0, kept = 0;
    char **list;
    for (int k = 0; k < n_tables; k++)
        all += tables[k].rows;
    EG_TRY(egi_alloc(&list, context, all, sizeof *list));
    all = 0;
    for (int k = 0; k < n_tables; k++)
        for (int64_t i = 0; i < tables[k].rows; i++)
            list[all++] = tables[k].answers[i].at;
    qsort(list, (size_t)all, sizeof *list, by_text);
    for (int64_t i = 0; i < all; i++)
        if (i == 0 || strcmp(list[i], list[kept - 1]) != 0)
            list[kept++] = list[i];
    *names = list;
    *n = kept;
    return EG_OK;
}

static eg_status use_texts(eg_dataset *d, table *tables, int n_tables)
{
    char **names;
    int64_t n;
    for (int k = 0; k < n_tables; k++)
        end_texts(&tables[k]);
    EG_TRY(egi_fill_labels(d));
    EG_TRY(sorted_texts(&names, &n, tables, n_tables, d->context));
    eg_status status = n > EGI_CLASSES_MAX
                           ? egi_fail(EG_ERR_DATA, "%s: %lld different answers, at most %d classes wanted",
                                      tables[0].path, (long long)n, EGI_CLASSES_MAX)
                           : EG_OK;
    d->classes = status == EG_OK ? n : 0;
    if (status == EG_OK)
        status = egi_fill_name_list(d);
    for (int64_t k = 0; k < n && status == EG_OK; k++)
        status = egi_strdup(&d->class_names[k], d->context, names[k]);
    for (int64_t i = 0; i < d->n && status == EG_OK; i++) {
        char **hit = bsearch(&tables[0].answers[i].at, names, (size_t)n, sizeof *names, by_text);
        d->labels[i] = (int32_t)(hit - names);
    }
    egi_free(d->context, names);
    return status;
}

static eg_status use_numbers(eg_dataset *d, const table *t)
{
    double v = 0;
    EG_TRY(egi_fill_targets(d, &EGI_SHAPE(1)));
    for (int64_t i = 0; i < d->n; i++) {
        parse_number(t, &t->answers[i], &v);
        d->targets[i] = (float)v;
    }
    return EG_OK;
}

static eg_status use_integers(eg_dataset *d, const table *tables, int n_tables)
{
    double v = 0;
    EG_TRY(egi_fill_labels(d));
    for (int64_t i = 0; i < d->n; i++) {
        parse_number(&tables[0], &tables[0].answers[i], &v);
        d->labels[i] = (int32_t)v;
    }
    for (int64_t i = 0; n_tables > 1 && i < tables[1].rows; i++) { /* classes that only the other part has */
        parse_number(&tables[1], &tables[1].answers[i], &v);
        if (v >= (double)d->classes && v < EGI_CLASSES_MAX)
            d->classes = (int64_t)v + 1;
    }
    return EG_OK;
}

/* tables[0] is the wanted part; tables[1], where there is one, is the other and decides with it what the answers are.
 */
static eg_status fill(eg_dataset *d, table *tables, int n_tables)
{
    answer_kind kind = INTEGERS;
    d->n = tables[0].rows;
    EG_TRY(egi_fill_input(d, 0, EGI_F32, &EGI_SHAPE(tables[0].columns - 1)));
    for (int k = 0; k < n_tables; k++) {
        if (tables[k].columns != tables[0].columns || tables[k].answer != tables[0].answer)
            return egi_fail(EG_ERR_DATA, "%s: %lld columns with answers in column %lld, but %s has %lld and %lld",
                            tables[k].path, (long long)tables[k].columns, (long long)tables[k].answer + 1,
                            tables[0].path, (long long)tables[0].columns, (long long)tables[0].answer + 1);
        EG_TRY(read_rows(&tables[k], k == 0 ? d->x[0] : NULL));
        const answer_kind now = kind_of(&tables[k]);
        kind = now > kind ? now : kind;
    }
    if (kind == TEXTS)
        return use_texts(d, tables, n_tables);
    return kind == NUMBERS ? use_numbers(d, &tables[0]) : use_integers(d, tables, n_tables);
}

/* --- the reader --------------------------------------------------------------------------------------------------- */

static const egi_entry *part_file(const egi_source *s, const char *name)
{
    const egi_entry *e = egi_source_find(s, name);
    return e && !e->folder ? e : NULL;
}

static const egi_entry *test_file(const egi_source *s)
{
    const egi_entry *e = part_file(s, "test.csv");
    return e ? e : part_file(s, "val.csv");
}

static bool is_csv(const egi_source *s)
{
    if (s->folder)
        return part_file(s, "train.csv") || part_file(s, "test.csv");
    return egi_name_ends(s->base, ".csv") || egi_name_ends(s->base, ".tsv");
}

static eg_status detect(bool *yes, const egi_source *s)
{
    *yes = is_csv(s);
    return EG_OK;
}

static eg_status read_tables(eg_dataset *d, const egi_source *s, const char *const *names, int n)
{
    table tables[2];
    int opened = 0;
    eg_status status = EG_OK;
    for (; opened < n && status == EG_OK; opened++)
        status = open_table(&tables[opened], s, names[opened]);
    if (status == EG_OK)
        status = fill(d, tables, n);
    while (opened > 0)
        close_table(&tables[--opened]);
    return status;
}

static eg_status read_csv(eg_dataset *d, egi_reading *r, const egi_source *s, eg_part part)
{
    (void)r; /* answers of all rows together say what they are: nothing is left to be read later */
    const char *names[2] = {NULL, NULL};
    if (!s->folder)
        return read_tables(d, s, names, 1);
    const egi_entry *train = part_file(s, "train.csv"), *test = test_file(s);
    if (!train && part == EG_PART_TRAIN)
        return egi_fail(EG_ERR_DATA, "%s: no training part: wanted train.csv beside %s", s->path, test->name);
    d->has_test = train && test;
    const bool use_test = test && (part == EG_PART_TEST || !train);
    names[0] = use_test ? test->name : train->name;
    if (d->has_test)
        names[1] = use_test ? train->name : test->name;
    return read_tables(d, s, names, d->has_test ? 2 : 1);
}

const egi_reader egi_reader_csv = {
    .format = "CSV",
    .accepts = "a .csv file",
    .detect = detect,
    .open = read_csv,
};
