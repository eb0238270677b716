/* Shows a process another time of day than the machine has, and leaves every other clock alone.
 *
 * The difference, in milliseconds, is in a file that is mapped, so that it can step while the process runs.
 * A wait until a time of day is cut into short ones: as with a true step, it ends when the shown clock gets
 * there, and so a step back makes it longer. librdkafka waits like this. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define SLICE_NS (20 * 1000000LL)

static const volatile int64_t *step_ms;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_timedwait)(cnd_t *, mtx_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    real_timedwait = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    const char *path = getenv("SHIM_CONTROL");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) abort();
    void *mapped = mmap(NULL, sizeof *step_ms, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) abort();
    step_ms = mapped;
}

static int64_t real_now_ns(void) {
    struct timespec now;
    real_clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t shown_now_ns(void) { return real_now_ns() + (step_ms ? *step_ms : 0) * 1000000LL; }

static struct timespec timespec_of(int64_t ns) {
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real_clock_gettime) begin();
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return real_clock_gettime(clock, now);
    *now = timespec_of(shown_now_ns());
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    int64_t ns = shown_now_ns();
    *now = (struct timeval){.tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / 1000};
    return 0;
}

time_t time(time_t *into) {
    time_t now = shown_now_ns() / NS_PER_S;
    if (into) *into = now;
    return now;
}

int timespec_get(struct timespec *now, int base) {
    if (base != TIME_UTC) return 0;
    *now = timespec_of(shown_now_ns());
    return base;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    int64_t until_ns = until->tv_sec * NS_PER_S + until->tv_nsec;
    for (;;) {
        int64_t left_ns = until_ns - shown_now_ns();
        struct timespec end = timespec_of(real_now_ns() + (left_ns < SLICE_NS ? left_ns : SLICE_NS));
        int outcome = real_timedwait(condition, mutex, &end);
        /* The mutex is ours again, so no one who signals under it can slip in between two waits. */
        if (outcome != thrd_timedout || left_ns <= SLICE_NS) return outcome;
    }
}
