// The price of single calls: prints "name microseconds" for each, the median of rounds.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 9 };

static int fd;
static struct stat s;
static char name[64], memory[] = "/dev/shm/micro-XXXXXX";
static int number;

static void call_getuid(void) { getuid(); }
static void call_stat(void) { stat("/etc/passwd", &s); }
static void call_lstat(void) { lstat("link", &s); }
static void call_fstat(void) { fstat(fd, &s); }
static void call_chown_root(void) { chown("file", 0, 0); }
static void call_chown_other(void) { chown("file", 33, 5); }
static void call_open(void) { close(open("file", O_RDONLY)); }
static void call_create(void) {
    // In memory: ext4 searches long for an inode when thousands were freed a moment ago.
    sprintf(name, "%s/new-%d", memory, number++);
    close(open(name, O_CREAT | O_EXCL | O_WRONLY, 0600));
}
static void call_mkdir(void) {
    sprintf(name, "%s/dir-%d", memory, number++);
    mkdir(name, 0700);
}
static void call_getppid(void) { syscall(SYS_getppid); }
static void call_execute(void) {
    pid_t child = vfork();
    if (child == 0) { execl("/bin/true", "true", NULL); _exit(1); }
    waitpid(child, NULL, 0);
}

static const struct { const char *name; void (*call)(void); int count; } calls[] = {
    { "getppid (not trapped)", call_getppid, 2000 }, { "getuid", call_getuid, 2000 },
    { "stat", call_stat, 2000 }, { "lstat", call_lstat, 2000 }, { "fstat", call_fstat, 2000 },
    { "chown 0:0", call_chown_root, 1000 }, { "chown 33:5", call_chown_other, 1000 },
    { "open, close", call_open, 2000 }, { "create, close", call_create, 500 }, { "mkdir", call_mkdir, 500 },
    { "vfork, execve, wait", call_execute, 50 },
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}
static int less(const void *a, const void *b) { return *(double *)a < *(double *)b ? -1 : 1; }

int main(void) {
    char folder[] = "/tmp/micro-XXXXXX";
    if (!mkdtemp(memory) || !mkdtemp(folder) || chdir(folder)) return 1;
    close(open("file", O_CREAT | O_WRONLY, 0600));
    symlink("file", "link");
    fd = open("file", O_RDONLY);
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        double took[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            double begin = now();
            for (int n = 0; n < calls[i].count; n++) calls[i].call();
            took[round] = (now() - begin) / calls[i].count;
        }
        qsort(took, ROUNDS, sizeof *took, less);
        printf("%s\t%.3f\n", calls[i].name, took[ROUNDS / 2]);
    }
    return 0;
}
