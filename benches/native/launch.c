/* launch REPORT COMMAND...: runs the command and writes to REPORT when it began and ended (monotonic clock, ns), its user
 * and system CPU time (us), its peak memory (kB) and its wait status. A process of its own, because the peak that the
 * kernel reports includes what the process had before exec: that of a Python parent would hide a small command's. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long micros(struct timeval time) { return time.tv_sec * 1000000LL + time.tv_usec; }

int main(int count, char **words) {
    struct rusage used;
    int status;
    if (count < 3) return 2;
    long long start = now();
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* whoever gives up on us gives up on the command */
        execvp(words[2], words + 2);
        _exit(127);
    }
    if (wait4(child, &status, 0, &used) != child) return 1;
    long long end = now();
    FILE *report = fopen(words[1], "w");
    if (!report) return 1;
    fprintf(report, "%lld %lld %lld %lld %ld %d\n", start, end, micros(used.ru_utime), micros(used.ru_stime),
            used.ru_maxrss, status);
    return fclose(report) ? 1 : 0;
}
