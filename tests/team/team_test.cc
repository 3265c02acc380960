// The team of a context: every piece once, whoever does it; a thread that is held up holds up only its piece.
extern "C" {
#include "core/team.h"
}
#include "engram/engram.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <numeric>
#include <pthread.h>
#include <thread>
#include <vector>

namespace
{

struct Context {
    eg_context *c = nullptr;
    explicit Context(int threads)
    {
        eg_context_options o = EG_CONTEXT_OPTIONS_INIT;
        o.threads = threads;
        EXPECT_EQ(EG_OK, eg_context_create(&c, &o));
    }
    ~Context()
    {
        eg_context_free(c);
    }
};

struct Job {
    std::vector<std::atomic<int>> done;
    std::atomic<int> highest{0};
    explicit Job(size_t n) : done(n)
    {
    }
    Job(Job &&from) noexcept : done(std::move(from.done))
    {
    }
};

void count(void *arg, int64_t piece, int thread)
{
    auto *job = static_cast<Job *>(arg);
    job->done[(size_t)piece]++;
    int seen = job->highest;
    while (thread > seen && !job->highest.compare_exchange_weak(seen, thread)) {
    }
}

TEST(Team, EveryPieceIsDoneOnce)
{
    for (int threads : {1, 2, 3, 8}) {
        Context context(threads);
        for (int64_t pieces : {0, 1, 2, 7, 1000}) {
            Job job((size_t)pieces);
            egi_team_run(context.c->team, threads, pieces, count, &job);
            for (const auto &n : job.done)
                EXPECT_EQ(1, n);
            EXPECT_LT(job.highest, threads);
        }
    }
}

// Long enough for every thread that may take a piece to wake up and take one, on however few cores.
void count_slowly(void *arg, int64_t piece, int thread)
{
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    count(arg, piece, thread);
}

TEST(Team, NoThreadBeyondTheOnesAllowed)
{
    Context context(8);
    for (int repeat = 0; repeat < 20; repeat++) {
        Job job(64);
        egi_team_run(context.c->team, 3, 64, count_slowly, &job);
        EXPECT_LT(job.highest, 3);
    }
}

struct Nested {
    egi_team *team;
    std::vector<Job> inner;
};

void run_inner(void *arg, int64_t piece, int)
{
    auto *n = static_cast<Nested *>(arg);
    egi_team_run(n->team, 3, 16, count_slowly, &n->inner[(size_t)piece]);
}

TEST(Team, AJobInsideAJobIsDoneByWhoAsksForIt)
{
    Context context(3);
    Nested n{context.c->team, {}};
    for (int i = 0; i < 6; i++)
        n.inner.emplace_back(16);
    egi_team_run(n.team, 3, 6, run_inner, &n);
    for (const Job &job : n.inner) {
        for (const auto &times : job.done)
            EXPECT_EQ(1, times);
        EXPECT_EQ(0, job.highest) << "one after the other, as thread 0";
    }
}

// Stacks of 2^50 bytes, which no address space holds: the system starts no thread.
struct NoThreads {
    pthread_attr_t before{}, huge{};
    NoThreads()
    {
        EXPECT_EQ(0, pthread_getattr_default_np(&before));
        EXPECT_EQ(0, pthread_attr_init(&huge));
        EXPECT_EQ(0, pthread_attr_setstacksize(&huge, (size_t)1 << 50));
        EXPECT_EQ(0, pthread_setattr_default_np(&huge));
    }
    ~NoThreads()
    {
        EXPECT_EQ(0, pthread_setattr_default_np(&before));
        pthread_attr_destroy(&huge);
        pthread_attr_destroy(&before);
    }
};

TEST(Team, TheCallerDoesAllWhereNoThreadCanBeStarted)
{
    Context context(1);
    egi_team *team = nullptr;
    {
        const NoThreads none;
        ASSERT_EQ(EG_OK, egi_team_create(&team, context.c, 4));
    }
    Job job(64);
    egi_team_run(team, 4, 64, count_slowly, &job);
    for (const auto &n : job.done)
        EXPECT_EQ(1, n);
    EXPECT_EQ(0, job.highest);
    egi_team_free(team);
}

struct Masks {
    std::atomic<int> workers{0}, blocked{0}, of_caller{0};
};

// The caller holds back until a worker has been here, so that one has.
void look_at_mask(void *arg, int64_t, int thread)
{
    auto *m = static_cast<Masks *>(arg);
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    const bool blocked = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM);
    if (thread > 0) {
        m->blocked += blocked;
        m->workers++;
        return;
    }
    m->of_caller += blocked;
    const auto began = std::chrono::steady_clock::now();
    while (m->workers == 0 && std::chrono::steady_clock::now() - began < std::chrono::seconds(5))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(Team, OnlyTheCallerTakesSignals)
{
    Context context(2);
    Masks m;
    egi_team_run(context.c->team, 2, 8, look_at_mask, &m);
    EXPECT_GT(m.workers, 0);
    EXPECT_EQ(m.workers, m.blocked);
    EXPECT_EQ(0, m.of_caller);
}

// Jobs so short that workers come late, leave early, sleep in between: none is lost and none is done twice.
TEST(Team, ManyShortJobsWithPauses)
{
    Context context(4);
    for (int repeat = 0; repeat < 20000; repeat++) {
        Job job((size_t)(repeat % 9));
        egi_team_run(context.c->team, 4, repeat % 9, count, &job);
        for (const auto &n : job.done)
            ASSERT_EQ(1, n) << repeat;
        if (repeat % 1000 == 0) // longer than idle threads look for work
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

void add_up(void *arg, int64_t piece, int)
{
    static_cast<int64_t *>(arg)[piece] = piece * piece; // plain memory: the end of a job must make it visible
}

TEST(Team, WhatWorkersWroteIsSeen)
{
    Context context(4);
    std::vector<int64_t> squares(257);
    for (int repeat = 0; repeat < 500; repeat++) {
        std::fill(squares.begin(), squares.end(), -1);
        egi_team_run(context.c->team, 4, (int64_t)squares.size(), add_up, squares.data());
        for (int64_t i = 0; i < (int64_t)squares.size(); i++)
            ASSERT_EQ(i * i, squares[(size_t)i]);
    }
}

struct HeldUp {
    std::atomic<int> by_caller{0}, held{0};
};

// The first worker that gets a piece stays in it until all others are done: only the caller can do those.
void hold_worker(void *arg, int64_t, int thread)
{
    auto *h = static_cast<HeldUp *>(arg);
    if (thread == 0) {
        h->by_caller++;
        const auto began = std::chrono::steady_clock::now(); // gives the worker the time to take one
        while (!h->held && std::chrono::steady_clock::now() - began < std::chrono::milliseconds(20)) {
        }
        return;
    }
    h->held++;
    while (h->by_caller + h->held < 32)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(Team, AWorkerThatIsHeldUpLeavesItsShareToTheOthers)
{
    Context context(2);
    HeldUp h;
    egi_team_run(context.c->team, 2, 32, hold_worker, &h);
    EXPECT_EQ(32, h.by_caller + h.held);
    EXPECT_LE(h.held, 1) << "one piece each: the worker never came back for a second one before the others were done";
}

struct StandsStill {
    std::atomic<int> by_worker{0}, cores{0};
    std::chrono::milliseconds still{0};
};

int cores_of_this_thread()
{
    cpu_set_t set;
    return pthread_getaffinity_np(pthread_self(), sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

// A worker does not run for a while in the middle of its piece, as if another process had its core.
void stand_still(void *arg, int64_t, int thread)
{
    auto *s = static_cast<StandsStill *>(arg);
    if (thread == 0) {
        const auto began = std::chrono::steady_clock::now(); // gives the worker the time to take one
        while (!s->by_worker && std::chrono::steady_clock::now() - began < std::chrono::milliseconds(20)) {
        }
        return;
    }
    s->by_worker++;
    std::this_thread::sleep_for(s->still);
    s->cores = cores_of_this_thread();
}

// Cores that the worker has at the end of its piece of 20 ms: of the first such piece that it gets.
int cores_after_standing_still(egi_team *team)
{
    StandsStill s;
    s.still = std::chrono::milliseconds(20);
    for (int tries = 0; tries < 500 && !s.by_worker; tries++)
        egi_team_run(team, 2, 2, stand_still, &s);
    EXPECT_GE(s.by_worker, 1);
    return s.cores;
}

TEST(Team, AWorkerThatStandsStillIsFetchedToTheCallersCore)
{
    Context context(2);
    EXPECT_EQ(1, cores_after_standing_still(context.c->team));
}

TEST(Team, AWorkerThatWasFetchedComesBackAndMayGoAnywhere)
{
    Context context(2);
    const int before = cores_of_this_thread();
    for (int repeat = 0; repeat < 3; repeat++) {
        cores_after_standing_still(context.c->team);
        StandsStill s;
        const auto began = std::chrono::steady_clock::now();
        while (!s.by_worker && std::chrono::steady_clock::now() - began < std::chrono::seconds(20))
            egi_team_run(context.c->team, 2, 2, stand_still, &s);
        EXPECT_GE(s.by_worker, 1);
        EXPECT_EQ(before, s.cores);
        EXPECT_EQ(before, cores_of_this_thread()) << "the caller stays where it is";
    }
}

void run_long(void *arg, int64_t, int thread)
{
    auto *s = static_cast<StandsStill *>(arg);
    const auto began = std::chrono::steady_clock::now();
    if (thread > 0) {
        s->by_worker++;
        while (std::chrono::steady_clock::now() - began < std::chrono::milliseconds(3)) {
        }
        s->cores = cores_of_this_thread();
    } else {
        while (!s->by_worker && std::chrono::steady_clock::now() - began < std::chrono::milliseconds(20)) {
        }
    }
}

// Now and then the machine may really keep it from running, so not every time counts.
TEST(Team, AWorkerThatRunsIsNotFetched)
{
    Context context(2);
    const int before = cores_of_this_thread();
    int left_alone = 0;
    for (int repeat = 0; repeat < 300 && left_alone < 3; repeat++) {
        StandsStill s;
        std::this_thread::sleep_for(std::chrono::milliseconds(6)); // it sleeps, or rests long enough
        egi_team_run(context.c->team, 2, 2, run_long, &s);
        left_alone += s.by_worker && s.cores == before;
    }
    EXPECT_EQ(3, left_alone);
}

TEST(Team, ATeamEndsWhileAWorkerRests)
{
    for (int repeat = 0; repeat < 3; repeat++) {
        Context context(2);
        cores_after_standing_still(context.c->team);
    }
}

TEST(Team, SharesCoverTheItemsInMultiplesOfTheGrain)
{
    for (int64_t n : {0, 1, 15, 16, 17, 100})
        for (int64_t parts : {1, 3, 7}) {
            int64_t at = 0;
            for (int64_t part = 0; part < parts; part++) {
                int64_t begin, end;
                egi_team_share(n, 16, part, parts, &begin, &end);
                EXPECT_EQ(at, begin);
                EXPECT_TRUE(end == n || end % 16 == 0);
                at = end;
            }
            EXPECT_EQ(n, at);
        }
}

TEST(Team, MoreOrFewerThreadsOnTheSameContext)
{
    Context context(2);
    for (int threads : {1, 5, 2}) {
        ASSERT_EQ(EG_OK, egi_context_set_threads(context.c, threads));
        Job job(50);
        egi_team_run(context.c->team, threads, 50, count, &job);
        for (const auto &n : job.done)
            EXPECT_EQ(1, n);
    }
}

} // namespace
