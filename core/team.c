#include "core/team.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

/* How long idle threads look for work before they sleep: longer than the gaps between the operations of a step, and
 * than waking up takes. */
#define SPIN_FOR_WORK 1e-4
#define SPIN_FOR_END  3e-5

#define LINE 64 /* bytes that one core writes at a time: what different threads write lies in different lines */

typedef struct worker {
    egi_team *team;
    pthread_t id;
    int thread;
} worker;

struct egi_team {
    eg_context *context;
    worker *workers; /* threads - 1 */
    int n_workers;
    bool busy; /* of the caller: a job is running */
    unsigned number;
    /* The job: written while none is open and no worker is inside. */
    egi_work task;
    void *arg;
    int64_t pieces;
    int threads;
    _Alignas(LINE) atomic_llong next;                 /* the piece that is taken next */
    _Alignas(LINE) atomic_uint open;                  /* number of the job that can be joined, 0: none */
    _Alignas(LINE) atomic_int inside;                 /* workers that look at the job */
    _Alignas(LINE) atomic_int sleepers, waiting, end; /* waiting: the caller sleeps until nobody is inside */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_pieces(egi_team *t, int thread)
{
    for (;;) {
        const int64_t piece = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
        if (piece >= t->pieces)
            return;
        t->task(t->arg, piece, thread);
    }
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

static bool has_work(egi_team *t, unsigned seen)
{
    const unsigned open = atomic_load(&t->open);
    return (open != 0 && open != seen) || atomic_load(&t->end);
}

static bool spin_for_work(egi_team *t, unsigned seen)
{
    const double began = egi_clock();
    do {
        for (int i = 0; i < 64; i++) {
            if (has_work(t, seen))
                return true;
            pause_briefly();
        }
    } while (egi_clock() - began < SPIN_FOR_WORK);
    return false;
}

static void sleep_for_work(egi_team *t, unsigned seen)
{
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1); /* before looking again: who opens a job looks at it after */
    while (!has_work(t, seen))
        pthread_cond_wait(&t->work, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->lock);
}

/* Only who is counted as inside may look at the job. */
static unsigned join_job(egi_team *t, int thread, unsigned seen)
{
    atomic_fetch_add(&t->inside, 1);
    const unsigned open = atomic_load(&t->open);
    if (open != 0 && open != seen) {
        seen = open;
        if (thread < t->threads)
            take_pieces(t, thread);
    }
    if (atomic_fetch_sub(&t->inside, 1) == 1 && atomic_load(&t->waiting)) {
        pthread_mutex_lock(&t->lock);
        pthread_cond_signal(&t->done);
        pthread_mutex_unlock(&t->lock);
    }
    return seen;
}

static void *work(void *arg)
{
    const worker *w = arg;
    egi_team *t = w->team;
    unsigned seen = 0;
    while (!atomic_load(&t->end)) {
        if (!spin_for_work(t, seen))
            sleep_for_work(t, seen);
        seen = join_job(t, w->thread, seen);
    }
    return NULL;
}

/* --- the caller --------------------------------------------------------------------------------------------------- */

static void wake_sleepers(egi_team *t)
{
    if (atomic_load(&t->sleepers) == 0)
        return;
    pthread_mutex_lock(&t->lock);
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
}

/* Sleeping soon lets the system run the one that is waited for on this core. */
static void wait_for_workers(egi_team *t)
{
    const double began = egi_clock();
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load(&t->inside) == 0)
                return;
            pause_briefly();
        }
    } while (egi_clock() - began < SPIN_FOR_END);
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->waiting, 1);
    while (atomic_load(&t->inside) != 0)
        pthread_cond_wait(&t->done, &t->lock);
    atomic_store(&t->waiting, 0);
    pthread_mutex_unlock(&t->lock);
}

void egi_team_run(egi_team *t, int threads, int64_t pieces, egi_work task, void *arg)
{
    if (t->busy || t->n_workers == 0 || threads < 2 || pieces < 2) {
        for (int64_t piece = 0; piece < pieces; piece++)
            task(arg, piece, 0);
        return;
    }
    t->busy = true;
    t->task = task;
    t->arg = arg;
    t->pieces = pieces;
    t->threads = threads;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    if (++t->number == 0)
        t->number = 1;
    atomic_store(&t->open, t->number);
    wake_sleepers(t);
    take_pieces(t, 0);
    atomic_store(&t->open, 0);
    wait_for_workers(t);
    t->busy = false;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* Workers never take a signal: oneDNN keeps data below its stack pointer, where a handler's frame would go. */
static void start_workers(egi_team *t, int n)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < n; i++) {
        worker *w = &t->workers[i];
        *w = (worker){.team = t, .thread = i + 1};
        if (pthread_create(&w->id, NULL, work, w) != 0)
            break;
        t->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

eg_status egi_team_create(egi_team **out, eg_context *context, int threads)
{
    egi_team *t;
    EG_TRY(egi_alloc(&t, context, 1, sizeof *t));
    t->context = context;
    const eg_status status = egi_alloc(&t->workers, context, threads - 1, sizeof *t->workers);
    if (status != EG_OK) {
        egi_free(context, t);
        return status;
    }
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->done, NULL);
    start_workers(t, threads - 1);
    *out = t;
    return EG_OK;
}

void egi_team_free(egi_team *t)
{
    if (!t)
        return;
    atomic_store(&t->end, 1);
    wake_sleepers(t);
    for (int i = 0; i < t->n_workers; i++)
        pthread_join(t->workers[i].id, NULL);
    pthread_cond_destroy(&t->done);
    pthread_cond_destroy(&t->work);
    pthread_mutex_destroy(&t->lock);
    egi_free(t->context, t->workers);
    egi_free(t->context, t);
}
