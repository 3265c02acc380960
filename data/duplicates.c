/* Examples of one set that another has too: a hash table of 128-bit hashes of the stored bytes, and a comparison on
 * every hit. */
#include "core/team.h"
#include "data/dataset.h"

#include <string.h>

typedef struct hash128 {
    uint64_t low, high;
} hash128;

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static uint64_t mix(uint64_t k)
{
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdULL;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53ULL;
    return k ^ k >> 33;
}

/* MurmurHash3_x64_128 (Appleby 2011, public domain) over 16-byte blocks; a rest is padded with zeros and told apart by
 * the length. */
static hash128 hash_bytes(hash128 h, const unsigned char *bytes, size_t n)
{
    const uint64_t c1 = 0x87c37b91114253d5ULL, c2 = 0x4cf5ad432745937fULL;
    for (size_t i = 0; i < n; i += 16) {
        uint64_t k[2] = {0, 0};
        memcpy(k, bytes + i, n - i < 16 ? n - i : 16);
        h.low ^= rotate(k[0] * c1, 31) * c2;
        h.low = (rotate(h.low, 27) + h.high) * 5 + 0x52dce729;
        h.high ^= rotate(k[1] * c2, 33) * c1;
        h.high = (rotate(h.high, 31) + h.low) * 5 + 0x38495ab5;
    }
    h.low ^= n;
    h.high ^= n;
    h.low += h.high;
    h.high += h.low;
    h.low = mix(h.low);
    h.high = mix(h.high);
    h.low += h.high;
    h.high += h.low;
    return h;
}

static size_t example_bytes(const eg_dataset *d, int input)
{
    return (size_t)egi_shape_count(&d->shape[input]) * egi_dtype_size(d->dtype[input]);
}

static const unsigned char *example_at(const eg_dataset *d, int input, int64_t i)
{
    return (const unsigned char *)d->x[input] + (size_t)i * example_bytes(d, input);
}

typedef struct hashing {
    hash128 *out;
    const eg_dataset *d;
} hashing;

#define HASHED 1024 /* examples a piece */

static void hash_piece(void *arg, int64_t piece, int thread)
{
    (void)thread;
    const hashing *w = arg;
    const eg_dataset *d = w->d;
    const int64_t end = (piece + 1) * HASHED < d->n ? (piece + 1) * HASHED : d->n;
    for (int64_t i = piece * HASHED; i < end; i++) {
        hash128 h = {0, 0};
        for (int k = 0; k < d->n_inputs; k++)
            h = hash_bytes(h, example_at(d, k, i), example_bytes(d, k));
        w->out[i] = h;
    }
}

static void hash_all(hash128 *out, const eg_dataset *d)
{
    hashing w = {.out = out, .d = d};
    egi_team_run(d->context->team, d->context->threads, (d->n + HASHED - 1) / HASHED, hash_piece, &w);
}

static bool equal_examples(const eg_dataset *a, int64_t i, const eg_dataset *b, int64_t j)
{
    for (int k = 0; k < a->n_inputs; k++)
        if (memcmp(example_at(a, k, i), example_at(b, k, j), example_bytes(a, k)) != 0)
            return false;
    return true;
}

/* Sets whose examples cannot be equal as bytes: other types or sizes. */
static bool comparable(const eg_dataset *a, const eg_dataset *b)
{
    bool same = a->n_inputs == b->n_inputs;
    for (int k = 0; same && k < a->n_inputs; k++)
        same = a->dtype[k] == b->dtype[k] && example_bytes(a, k) == example_bytes(b, k);
    return same;
}

/* Open addressing; a slot has 1 + the example, 0 is free. */
static void build(int64_t *slots, uint64_t mask, const hash128 *hashes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = hashes[i].low & mask;
        while (slots[at])
            at = (at + 1) & mask;
        slots[at] = i + 1;
    }
}

static bool find(const int64_t *slots, uint64_t mask, const hash128 *hashes, const eg_dataset *a, hash128 h,
                 const eg_dataset *b, int64_t j)
{
    for (uint64_t at = h.low & mask; slots[at]; at = (at + 1) & mask) {
        const int64_t i = slots[at] - 1;
        if (hashes[i].low == h.low && hashes[i].high == h.high && equal_examples(a, i, b, j))
            return true;
    }
    return false;
}

eg_status eg_dataset_duplicates(const eg_dataset *a, const eg_dataset *b, int64_t *count)
{
    hash128 *hashes_a = NULL, *hashes_b = NULL;
    int64_t *slots = NULL, room = 16, found = 0;
    eg_status status;
    if (!a || !b || !count)
        return egi_fail(EG_ERR_ARG, "duplicates: two data sets and a place for the count are wanted");
    if (!comparable(a, b)) {
        *count = 0;
        return EG_OK;
    }
    while (room < 2 * a->n)
        room *= 2;
    EG_TRY_GOTO(status, egi_alloc(&hashes_a, a->context, a->n, sizeof *hashes_a));
    EG_TRY_GOTO(status, egi_alloc(&hashes_b, a->context, b->n, sizeof *hashes_b));
    EG_TRY_GOTO(status, egi_alloc(&slots, a->context, room, sizeof *slots));
    hash_all(hashes_a, a);
    hash_all(hashes_b, b);
    build(slots, (uint64_t)room - 1, hashes_a, a->n);
    for (int64_t j = 0; j < b->n; j++)
        found += find(slots, (uint64_t)room - 1, hashes_a, a, hashes_b[j], b, j);
    *count = found;
done:
    egi_free(a->context, hashes_a);
    egi_free(a->context, hashes_b);
    egi_free(a->context, slots);
    return status;
}
