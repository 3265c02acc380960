#include "core/team.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* How long idle threads look for work before they sleep: longer than the gaps between the operations of a step, and
 * than waking up takes. */
#define SPIN_FOR_WORK 1e-4
#define SPIN_FOR_END  3e-5

/* Who waits longer than this looks whether the others run at all; again after each of the second. */
#define LOOK_AFTER 5e-6
#define LOOK_EVERY 5e-5

/* A thread that lost its core gets it back after about so long: a tick or two of the system's clock. */
#define REST 4e-3

#define LINE 64 /* bytes that one core writes at a time: what different threads write lies in different lines */

typedef enum state { WORKING, FETCHED, RESTING } state;

typedef struct worker {
    egi_team *team;
    pthread_t id;
    int thread;
    /* Of the caller: */
    clockid_t clock;    /* how long this one has run */
    unsigned number;    /* of the job in which its clock was looked at last */
    double looked, ran; /* when that was, and what it showed */
    double rests_until;
    cpu_set_t cores;                         /* where it may run; both read it while it is not WORKING */
    _Alignas(LINE) atomic_int inside, state; /* inside: looks at the job */
} worker;

struct egi_team {
    eg_context *context;
    worker *workers; /* threads - 1 */
    int n_workers;
    bool busy; /* of the caller: a job is running */
    int away;  /* workers that are not WORKING */
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
    pthread_cond_t work, done, rested;
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

static bool has_work(const worker *w, unsigned seen)
{
    const unsigned open = atomic_load(&w->team->open);
    return (open != 0 && open != seen) || atomic_load(&w->state) != WORKING || atomic_load(&w->team->end);
}

static bool spin_for_work(const worker *w, unsigned seen)
{
    const double began = egi_clock();
    do {
        for (int i = 0; i < 64; i++) {
            if (has_work(w, seen))
                return true;
            pause_briefly();
        }
    } while (egi_clock() - began < SPIN_FOR_WORK);
    return false;
}

static void sleep_for_work(const worker *w, unsigned seen)
{
    egi_team *t = w->team;
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1); /* before looking again: who opens a job looks at it after */
    while (!has_work(w, seen))
        pthread_cond_wait(&t->work, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->lock);
}

/* Only who is counted as inside may look at the job. */
static unsigned join_job(worker *w, unsigned seen)
{
    egi_team *t = w->team;
    atomic_store_explicit(&w->inside, 1, memory_order_relaxed);
    atomic_fetch_add(&t->inside, 1);
    const unsigned open = atomic_load(&t->open);
    if (open != 0 && open != seen) {
        seen = open;
        if (w->thread < t->threads)
            take_pieces(t, w->thread);
    }
    atomic_store_explicit(&w->inside, 0, memory_order_relaxed);
    if (atomic_fetch_sub(&t->inside, 1) == 1 && atomic_load(&t->waiting)) {
        pthread_mutex_lock(&t->lock);
        pthread_cond_signal(&t->done);
        pthread_mutex_unlock(&t->lock);
    }
    return seen;
}

/* Until the caller sends it to another core, from where it may go wherever it might before. */
static void rest(worker *w)
{
    egi_team *t = w->team;
    pthread_mutex_lock(&t->lock);
    atomic_store(&w->state, RESTING);
    while (atomic_load(&w->state) == RESTING && !atomic_load(&t->end))
        pthread_cond_wait(&t->rested, &t->lock);
    pthread_mutex_unlock(&t->lock);
    pthread_setaffinity_np(w->id, sizeof w->cores, &w->cores);
}

static void *work(void *arg)
{
    worker *w = arg;
    unsigned seen = 0;
    while (!atomic_load(&w->team->end)) {
        if (!spin_for_work(w, seen))
            sleep_for_work(w, seen);
        if (atomic_load(&w->state) == WORKING)
            seen = join_job(w, seen);
        else
            rest(w);
    }
    return NULL;
}

/* --- held up ------------------------------------------------------------------------------------------------------ */

/* Where another process takes a core, the worker on it waits for its turn, milliseconds long, maybe in the middle of a
 * piece, and the caller with it. So the caller looks whether the clocks of those that it waits for go on. Who does not
 * run is fetched to the caller's core, where it ends its piece while the caller sleeps, and rests as long as it would
 * have waited: the others do without it meanwhile. On the core that is taken it then works whenever it is let. */

/* Looks at a worker's clock. Has it stood still for most of the time since an earlier look in the same job? */
static bool stands_still(worker *w)
{
    struct timespec s;
    if (clock_gettime(w->clock, &s) != 0)
        return false;
    const double now = egi_clock(), ran = (double)s.tv_sec + 1e-9 * (double)s.tv_nsec;
    const bool still = w->number == w->team->number && ran - w->ran < 0.25 * (now - w->looked);
    w->number = w->team->number;
    w->looked = now;
    w->ran = ran;
    return still;
}

static void fetch(worker *w, int core)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(core, &here);
    if (pthread_getaffinity_np(w->id, sizeof w->cores, &w->cores) != 0 || !CPU_ISSET(core, &w->cores))
        return;
    atomic_store(&w->state, FETCHED);
    w->rests_until = egi_clock() + REST;
    w->team->away++;
    pthread_setaffinity_np(w->id, sizeof here, &here);
}

static void look_at_workers(egi_team *t)
{
    const int core = sched_getcpu();
    for (int i = 0; i < t->n_workers; i++) {
        worker *w = &t->workers[i];
        if (atomic_load_explicit(&w->inside, memory_order_relaxed) && atomic_load(&w->state) == WORKING &&
            stands_still(w) && core >= 0)
            fetch(w, core);
    }
}

/* Those that have rested long enough go on, on another core than the caller's. */
static void end_rests(egi_team *t)
{
    const double now = egi_clock();
    const int core = sched_getcpu();
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->n_workers; i++) {
        worker *w = &t->workers[i];
        if (now < w->rests_until || atomic_load(&w->state) != RESTING)
            continue;
        cpu_set_t others = w->cores;
        if (core >= 0)
            CPU_CLR(core, &others);
        pthread_setaffinity_np(w->id, sizeof others, &others); /* fails where there is no other: then it stays here */
        atomic_store(&w->state, WORKING);
        t->away--;
    }
    pthread_cond_broadcast(&t->rested);
    pthread_mutex_unlock(&t->lock);
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

static bool spin_for_end(egi_team *t, double seconds)
{
    const double began = egi_clock();
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load(&t->inside) == 0)
                return true;
            pause_briefly();
        }
    } while (egi_clock() - began < seconds);
    return false;
}

static void sleep_for_end(egi_team *t)
{
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->waiting, 1);
    while (atomic_load(&t->inside) != 0) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(LOOK_EVERY * 1e9);
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&t->done, &t->lock, &until) != 0)
            look_at_workers(t);
    }
    atomic_store(&t->waiting, 0);
    pthread_mutex_unlock(&t->lock);
}

/* Sleeping soon lets the system run the one that is waited for on this core. */
static void wait_for_workers(egi_team *t)
{
    if (spin_for_end(t, LOOK_AFTER))
        return;
    look_at_workers(t);
    if (spin_for_end(t, SPIN_FOR_END))
        return;
    look_at_workers(t);
    sleep_for_end(t);
    if (t->away > 0)
        wake_sleepers(t); /* who was fetched too late may sleep for work, but is to rest */
}

void egi_team_run(egi_team *t, int threads, int64_t pieces, egi_work task, void *arg)
{
    if (t->busy || t->n_workers == 0 || threads < 2 || pieces < 2) {
        for (int64_t piece = 0; piece < pieces; piece++)
            task(arg, piece, 0);
        return;
    }
    t->busy = true;
    if (t->away > 0)
        end_rests(t);
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
        *w = (worker){.team = t, .thread = i + 1, .clock = CLOCK_REALTIME};
        if (pthread_create(&w->id, NULL, work, w) != 0)
            break;
        (void)pthread_getcpuclockid(w->id, &w->clock); /* else it stays the time of day, which never stands still */
        t->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void init_locks(egi_team *t)
{
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->done, &steady);
    pthread_cond_init(&t->rested, NULL);
    pthread_condattr_destroy(&steady);
}

static void end_workers(egi_team *t)
{
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->end, 1);
    pthread_cond_broadcast(&t->work);
    pthread_cond_broadcast(&t->rested);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->n_workers; i++)
        pthread_join(t->workers[i].id, NULL);
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
    init_locks(t);
    start_workers(t, threads - 1);
    *out = t;
    return EG_OK;
}

void egi_team_free(egi_team *t)
{
    if (!t)
        return;
    end_workers(t);
    pthread_cond_destroy(&t->rested);
    pthread_cond_destroy(&t->done);
    pthread_cond_destroy(&t->work);
    pthread_mutex_destroy(&t->lock);
    egi_free(t->context, t->workers);
    egi_free(t->context, t);
}
