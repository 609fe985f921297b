// Calls that make something, while signals interrupt them all the time: what was done once is not
// done again, and its result is not lost.
#include "show.h"
#include <sys/timerfd.h>

enum { COUNT = 6000 };
static volatile long ticks;
static void tick(int signal) {
    (void)signal;
    ticks++;
}

static int wrong;
#define MUST(what, i, expected, call)                                                     \
    do {                                                                                  \
        errno = 0;                                                                        \
        long result_ = (call);                                                            \
        if (result_ < 0 || (expected >= 0 && result_ != expected)) {                      \
            if (wrong++ < 5) printf("%s %d: %ld %s\n", what, i, result_, strerrorname_np(errno)); \
        }                                                                                 \
    } while (0)

static void work(const char *who) {
    char name[64];
    struct stat s;
    struct statx x;
    for (int i = 0; i < COUNT; i++) {
        sprintf(name, "%s-f%d", who, i);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd < 0 && wrong++ < 5) printf("open %d: %s\n", i, strerrorname_np(errno));
        if (i % 3 == 0 && fd >= 0) {
            MUST("fstat", i, 0, fstat(fd, &s));
            MUST("fchmod", i, 0, fchmod(fd, 0640));
        }
        close(fd);
        sprintf(name, "%s-d%d", who, i);
        MUST("mkdir", i, 0, mkdir(name, 0700));
        sprintf(name, "%s-l%d", who, i);
        MUST("symlink", i, 0, symlink("target", name));
        MUST("lstat", i, 0, lstat(name, &s));
        if (s.st_uid != geteuid() && wrong++ < 5) printf("owner of %s: %u\n", name, s.st_uid);
        sprintf(name, "%s-f%d", who, i);
        MUST("chown", i, 0, chown(name, geteuid() ? geteuid() : (unsigned)i, geteuid() ? -1 : 7));
        MUST("stat", i, 0, stat(name, &s));
        if (s.st_uid != (geteuid() ? geteuid() : (unsigned)i) && wrong++ < 5) printf("owner of %s: %u\n", name, s.st_uid);
        MUST("statx", i, 0, statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, &x));
        sprintf(name, "%s-p%d", who, i);
        if (i % 10 == 0) {
            MUST("mkfifo", i, 0, mkfifo(name, 0600));
            pid_t child = fork();
            if (child == 0) _exit(getuid() == geteuid() ? 0 : 1);
            int status;
            MUST("waitpid", i, child, waitpid(child, &status, 0));
            if (status && wrong++ < 5) printf("child: %x\n", status);
        }
        if (i % 50 == 0) {
            // A chain of events that a repeated call would break.
            int s = socket(AF_UNIX, SOCK_STREAM, 0);
            struct sockaddr_un address = { AF_UNIX, "" };
            sprintf(address.sun_path, "%s-s%d", who, i);
            MUST("bind", i, 0, bind(s, (struct sockaddr *)&address, sizeof address));
            close(s);
        }
        if (i % 500 == 0) {
            pid_t child = vfork();
            if (child == 0) { execl("/bin/true", "true", NULL); _exit(9); }
            int status;
            MUST("waitpid", i, child, waitpid(child, &status, 0));
            if (status && wrong++ < 5) printf("true: %x\n", status);
        }
    }
    printf("%s: %d wrong\n", who, wrong);
    wrong = 0;
    fflush(stdout);
}
static void by_user(void) { work("user"); }

static void with_timer(void (*what)(void)) {
    timer_t timer;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec often = { { 0, 100000 }, { 0, 100000 } };
    struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &often, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 137 }, { 0, 137 } }, NULL);
    what();
}
static void root(void) { work("root"); }
static void in_child(void) { with_timer(root); printf("ticks: %s\n", ticks > 100 ? "many" : "few"); }
static void by_user_in_child(void) { with_timer(by_user); printf("ticks: %s\n", ticks > 100 ? "many" : "few"); }

int main(void) {
    umask(022);
    mkdir("of-root", 0755); chdir("of-root");
    as(0, 0, in_child);
    chdir(".."); mkdir("of-user", 0755); chown("of-user", 1000, 1000); chdir("of-user");
    as(1000, 1000, by_user_in_child);
    chdir(".."); mkdir("setgid", 0755); chown("setgid", 0, 50); chmod("setgid", 02777); chdir("setgid");
    as(0, 0, in_child);
    as(1000, 1000, by_user_in_child);
    return 0;
}
