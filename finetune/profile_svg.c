/* A profile as a picture: bars under bars, as wide as they took time: the step, its phases, their layers, their
 * operations. */
#include "core/text.h"
#include "finetune/config.h"
#include "finetune/profile.h"

#include <locale.h>
#include <math.h>
#include <string.h>

#define WIDTH     1200.0
#define MARGIN    12.0
#define TOP       62.0
#define LEVELS    4
#define LETTER    7.0 /* about, of 12 px letters */
#define LINE      14.0
#define BAR_LEAST 0.1 /* narrower bars would not be seen */
#define MANY      24  /* rows: labels of layers and operations then need room to stand upright */

/* Heights of the levels where there are few rows, and many. */
static const double heights[2][LEVELS] = {{28, 28, 28, 28}, {28, 28, 160, 160}};

/* Colours of the three phases and of what is outside operations, from the phase down to its operations. */
static const char *const colours[4][3] = {{"#6ea8dc", "#94c0e8", "#bcd9f2"},
                                          {"#e59866", "#edb48e", "#f5d2ba"},
                                          {"#82bf8a", "#a3d1a9", "#c8e5cc"},
                                          {"#b3b6bd", "#c9cbd0", "#dddfe3"}};

typedef struct picture {
    egi_text t;
    const eg_profile *p;
    double scale;           /* pixels a second */
    double top[LEVELS + 1]; /* of each level, and the end of the last */
} picture;

/* A byte that is no UTF-8 is a character by itself. */
static uint32_t next_character(const char **text)
{
    const uint32_t c = egi_utf8_next(text);
    *text += c == EGI_UTF8_BAD;
    return c;
}

/* Up to `most` characters of a name, as XML has them; what XML cannot hold, or is no UTF-8, becomes '?'. */
static void add_name(egi_text *t, const char *name, int64_t most)
{
    for (const char *at = name; *at && most > 0; most--) {
        const char *begin = at;
        const uint32_t c = next_character(&at);
        if (c == '<')
            egi_text_add(t, "&lt;");
        else if (c == '>')
            egi_text_add(t, "&gt;");
        else if (c == '&')
            egi_text_add(t, "&amp;");
        else if (c == EGI_UTF8_BAD || c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0xfffe || c == 0xffff)
            egi_text_add(t, "?");
        else
            egi_text_format(t, "%.*s", (int)(at - begin), begin);
    }
}

static int64_t letters_of(const char *name)
{
    int64_t n = 0;
    for (const char *at = name; *at; n++)
        next_character(&at);
    return n;
}

/* Lying where it fits, else upright where a line has room, else not at all; too long ones are cut. */
static void add_label(picture *s, double x, double width, int level, const char *label)
{
    const double height = s->top[level + 1] - s->top[level];
    const int64_t n = letters_of(label), lying = (int64_t)((width - 8) / LETTER),
                  upright = (int64_t)((height - 8) / LETTER);
    const bool turned = lying < n && upright > lying && width >= LINE;
    const int64_t room = turned ? upright : lying;
    if (room < 3 && room < n)
        return;
    if (turned)
        egi_text_format(&s->t, "<text transform=\"translate(%.2f %.2f) rotate(-90)\">", x + width / 2 + 4,
                        s->top[level + 1] - 4);
    else
        egi_text_format(&s->t, "<text x=\"%.2f\" y=\"%.2f\">", x + 4, s->top[level] + height / 2 + 4);
    add_name(&s->t, label, room < n ? room - 1 : n);
    egi_text_add(&s->t, room < n ? "\xe2\x80\xa6</text>" : "</text>");
}

/* Opens a bar and its tooltip, which the caller goes on with and ends by end_bar(). */
static bool begin_bar(picture *s, double seconds_before, double seconds, int level, const char *colour)
{
    const double x = MARGIN + seconds_before * s->scale, width = seconds * s->scale;
    if (!(width >= BAR_LEAST))
        return false;
    egi_text_format(&s->t,
                    "<g><rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" "
                    "stroke=\"#ffffff\" stroke-width=\"%.2f\"/><title>",
                    x, s->top[level], width, s->top[level + 1] - s->top[level], colour, width > 4 ? 1.0 : width / 8);
    return true;
}

static void end_bar(picture *s, double seconds_before, double seconds, int level, const char *label)
{
    egi_text_format(&s->t, ": %.3g ms a step, %.1f %%</title>", s->p->steps ? seconds * 1e3 / (double)s->p->steps : 0,
                    100 * seconds / s->p->seconds);
    add_label(s, MARGIN + seconds_before * s->scale, seconds * s->scale, level, label);
    egi_text_add(&s->t, "</g>\n");
}

static void plain_bar(picture *s, double before, double seconds, int level, const char *colour, const char *label)
{
    if (!begin_bar(s, before, seconds, level, colour))
        return;
    add_name(&s->t, label, INT64_MAX);
    end_bar(s, before, seconds, level, label);
}

static const char *layer_label(const eg_profile_row *r)
{
    return *r->layer ? r->layer : r->phase == EG_PHASE_UPDATE ? "all layers" : "loss";
}

static void row_bar(picture *s, const eg_profile_row *r, double before)
{
    if (!begin_bar(s, before, r->seconds, 3, colours[r->phase][2]))
        return;
    egi_text_format(&s->t, "%s of ", r->op);
    add_name(&s->t, layer_label(r), INT64_MAX);
    if (r->flops > 0)
        egi_text_format(&s->t, ", %.1f GFLOP/s", r->flops / r->seconds * 1e-9);
    egi_text_format(&s->t, ", %.1f GB/s, %.0f %% of the peak", r->bytes / r->seconds * 1e-9,
                    100 * eg_profile_share(s->p, r));
    end_bar(s, before, r->seconds, 3, r->op);
}

/* The end of the rows from `from` on that are of its phase, or of its layer in that; *seconds: of all of them. */
static int64_t group_end(const eg_profile *p, int64_t from, bool of_layer, double *seconds)
{
    int64_t i = from;
    for (*seconds = 0; i < p->n_rows && p->rows[i].phase == p->rows[from].phase; i++) {
        if (of_layer && strcmp(p->rows[i].layer, p->rows[from].layer) != 0)
            break;
        *seconds += p->rows[i].seconds;
    }
    return i;
}

static double draw_rows(picture *s)
{
    const eg_profile *p = s->p;
    double at = 0, seconds;
    int64_t phase_end = 0, layer_end = 0;
    for (int64_t i = 0; i < p->n_rows; at += p->rows[i++].seconds) {
        const eg_profile_row *r = &p->rows[i];
        if (i == phase_end) {
            phase_end = group_end(p, i, false, &seconds);
            plain_bar(s, at, seconds, 1, colours[r->phase][0], eg_phase_name(r->phase));
        }
        if (i == layer_end) {
            layer_end = group_end(p, i, true, &seconds);
            plain_bar(s, at, seconds, 2, colours[r->phase][1], layer_label(r));
        }
        row_bar(s, r, at);
    }
    return at;
}

static void draw_outside(picture *s, double at)
{
    const eg_profile *p = s->p;
    plain_bar(s, at, p->seconds - at, 1, colours[3][0], "outside");
    for (int64_t i = 0; i < p->n_outside; at += p->outside[i++].seconds)
        plain_bar(s, at, p->outside[i].seconds, 2, colours[3][1], p->outside[i].name);
}

static void draw_head(picture *s)
{
    const eg_profile *p = s->p;
    const double height = s->top[LEVELS] + MARGIN;
    egi_text_format(&s->t,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%.0f\" height=\"%.0f\" "
                    "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n",
                    WIDTH, height, WIDTH, height);
    egi_text_format(&s->t, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", WIDTH, height);
    egi_text_format(&s->t,
                    "<text x=\"%.0f\" y=\"26\" font-size=\"16\">%s, batch %lld, %d thread%s: %.3g ms a step, "
                    "%.0f examples a second</text>\n",
                    MARGIN, p->training ? "training" : "inference", (long long)p->batch, p->threads,
                    p->threads == 1 ? "" : "s", p->step_seconds * 1e3,
                    p->step_seconds > 0 ? (double)p->batch / p->step_seconds : 0);
    egi_text_format(&s->t,
                    "<text x=\"%.0f\" y=\"47\" fill=\"#555555\">%lld steps in %.2f s | this machine's peak: %.0f "
                    "GFLOP/s, %.1f GB/s | rows: step, phase, layer, operation; as wide as they took time</text>\n",
                    MARGIN, (long long)p->steps, p->seconds, p->peak.flops * 1e-9, p->peak.bytes * 1e-9);
}

static eg_status draw(char **out, eg_context *context, const eg_profile *p)
{
    picture s = {.t = {.context = context}, .p = p, .scale = p->seconds > 0 ? (WIDTH - 2 * MARGIN) / p->seconds : 0};
    s.top[0] = TOP;
    for (int i = 0; i < LEVELS; i++)
        s.top[i + 1] = s.top[i] + heights[p->n_rows > MANY][i];
    draw_head(&s);
    plain_bar(&s, 0, p->seconds, 0, "#d5d8de", p->training ? "training step" : "inference step");
    draw_outside(&s, draw_rows(&s));
    egi_text_add(&s.t, "</svg>\n");
    return egi_text_take(out, &s.t);
}

/* Numbers have a point, whatever the program's language. */
eg_status eg_profile_svg(char **out, eg_context *context, const eg_profile *p)
{
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return egi_fail(EG_ERR_NOMEM, "picture: no memory");
    const locale_t before = uselocale(plain);
    const eg_status status = draw(out, context, p);
    uselocale(before);
    freelocale(plain);
    return status;
}
