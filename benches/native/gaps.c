/* Gaps in a thread's own time, as it sees them: spans between two clock reads that took longer than they should.
 * They go to a file both sides map: a counter, two flags, then a ring of (start, end) in ns of the monotonic clock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ENTRIES = 1 << 16, SHORTEST_NS = 20000 };

struct gap { uint64_t start, end; };
struct record {
    volatile uint64_t count;
    volatile uint32_t wanted, spinning; /* what the reader asks of `spin`, and its answer */
    struct gap ring[ENTRIES];
};

static struct record *record;
static uint64_t last;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void read_clock(void) {
    uint64_t time = now();
    if (last && time - last > SHORTEST_NS) {
        record->ring[record->count % ENTRIES] = (struct gap){last, time};
        __atomic_store_n(&record->count, record->count + 1, __ATOMIC_RELEASE);
    }
    last = time;
}

/* Where that is allowed, the thread goes before all others of the machine, so that its gaps are those of being stopped and
 * not of waiting for a processor. */
static void go_first(void) {
    struct sched_param lowest = {sched_get_priority_min(SCHED_FIFO)};
    (void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
}

/* To be called by the thread whose gaps are recorded. */
int open_gaps(const char *path) {
    int file = open(path, O_RDWR | O_CREAT, 0644);
    if (file < 0 || ftruncate(file, sizeof *record)) return -1;
    void *map = mmap(0, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map == MAP_FAILED) return -1;
    record = map;
    go_first();
    return 0;
}

/* For a thread that does nothing else. It sleeps until it is wanted: the kernel takes a thread that goes before all others
 * off the processor for 50 ms of each second in which it uses it up. */
void spin(void) {
    struct timespec nap = {0, 200000};
    for (;;) {
        while (!record->wanted) {
            record->spinning = 0;
            last = 0;
            nanosleep(&nap, 0);
        }
        read_clock();
        record->spinning = 1;
    }
}

/* For a thread that comes by often. */
void tick(void) { read_clock(); }
