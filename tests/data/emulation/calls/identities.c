/*
 * Who is who: credentials of threads, of children of every kind, of programs that one thread of
 * several executes, and the limit in which emulation carries them.
 *
 *     identities
 *     identities state
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const state[] = {"identities", "state", NULL}, *const nothing[] = {NULL};

static void show(const char *what)
{
    uid_t r, e, s;
    gid_t gr, ge, gs, groups[16];
    getresuid(&r, &e, &s);
    getresgid(&gr, &ge, &gs);
    printf("%s: %u %u %u, %u %u %u,", what, r, e, s, gr, ge, gs);
    int count = getgroups(16, groups);
    for (int i = 0; i < count; i++)
        printf(" %u", groups[i]);
    printf("\n");
    fflush(stdout);
}

static void copy(const char *to, uid_t uid, gid_t gid, mode_t mode)
{
    char buffer[65536];
    int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ssize_t count;
    while ((count = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, count) != count)
            perror(to);
    close(in);
    close(out);
    if (chown(to, uid, gid) || chmod(to, mode))
        perror(to);
}

static void *in_thread(void *name)
{
    show(name);
    return NULL;
}

static pthread_barrier_t barrier;

static void *waits(void *name)
{
    pthread_barrier_wait(&barrier); /* the other one changes the process now */
    pthread_barrier_wait(&barrier);
    show(name);
    return NULL;
}

static void *executes(void *program)
{
    execve(program, state, nothing);
    printf("not executed: %d\n", errno);
    return NULL;
}

static void *changes(void *unused)
{
    (void)unused;
    setgroups(2, (gid_t[]){7, 5});
    if (setresgid(10, 11, 12) || setresuid(20, 21, 22))
        printf("threads: %d\n", errno);
    return NULL;
}

/* Each in a process of its own, which the others do not see. */
static void alone(const char *name, void (*what)(void))
{
    printf("-- %s\n", name);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        what();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status != 0)
        printf("%x\n", status);
}

static void threads(void)
{
    pthread_t other, changing;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&other, NULL, waits, "another thread");
    pthread_barrier_wait(&barrier);
    pthread_create(&changing, NULL, changes, NULL);
    pthread_join(changing, NULL);
    pthread_barrier_wait(&barrier);
    pthread_join(other, NULL);
    show("the first thread");
    pthread_create(&other, NULL, in_thread, "a new thread");
    pthread_join(other, NULL);
}

static void execution_by_a_thread(void)
{
    setresuid(1000, 1000, 1000);
    pthread_t other;
    pthread_create(&other, NULL, executes, "./setuid");
    pthread_join(other, NULL);
}

static void failed_execution_by_a_thread(void)
{
    int busy = open("busy", O_WRONLY);
    setresuid(1000, 1000, 1000);
    pthread_t other;
    pthread_create(&other, NULL, executes, "./broken");
    pthread_join(other, NULL);
    pthread_create(&other, NULL, in_thread, "after it");
    pthread_join(other, NULL);
    /* Something still writes to it. */
    execve("./busy", state, nothing);
    printf("busy: %d %d\n", busy >= 0, errno);
    show("after it");
    execve("./setuid", state, nothing);
}

static void forked(void)
{
    setresgid(3, 4, 5);
    setresuid(1, 2, 3);
    if (fork() == 0) {
        show("child");
        setresuid(2, 3, 3);
        show("changed");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    show("parent");
}

static void vforked(void)
{
    setresuid(1000, 1000, 0);
    if (vfork() == 0) {
        syscall(SYS_setuid, 0);
        execve("./plain", state, nothing);
        _exit(1);
    }
    wait(NULL);
    show("parent");
    pid_t child;
    posix_spawn(&child, "./setuid", NULL, NULL, state, nothing);
    waitpid(child, NULL, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_RESETIDS);
    setresuid(-1, 0, -1);
    posix_spawn(&child, "./plain", NULL, &attributes, state, nothing);
    waitpid(child, NULL, 0);
    show("parent");
}

static int in_clone(void *name)
{
    show(name);
    setresuid(5, 5, 5);
    show(name);
    fflush(stdout);
    _exit(0);
}

static void cloned(void)
{
    static char stack[1 << 16] __attribute__((aligned(16)));
    setresuid(8, 8, 0);
    clone(in_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "shares memory");
    wait(NULL);
    show("parent");
}

static void in_new_namespaces(void)
{
    if (unshare(CLONE_NEWPID | CLONE_NEWNS))
        printf("unshare: %d\n", errno);
    if (fork() == 0) {
        printf("pid %d\n", (int)getpid());
        struct { uint32_t version; int pid; } header = {0x20080522, 1};
        uint32_t data[6];
        printf("capget %ld\n", syscall(SYS_capget, &header, data));
        printf("capset %ld\n", syscall(SYS_capset, &header, data));
        header.pid = 2;
        int result = syscall(SYS_capset, &header, data);
        printf("capset %d %d\n", result, errno);
        setresuid(9, 9, 9);
        show("first of a namespace");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void many(void)
{
    for (unsigned i = 1; i < 400; i++) {
        if (setresuid(i, i, 0) || setresuid(0, 0, 0) || getuid() != 0)
            printf("%u: %d\n", i, errno);
    }
    setresuid(399, 398, 397);
    show("after many");
}

static void traced(const char *who, uid_t tracer)
{
    if (tracer && setresuid(tracer, tracer, tracer))
        printf("setresuid: %d\n", errno);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        if (!tracer)
            setresuid(1000, 1000, 1000);
        execve("./setuid", state, nothing);
        _exit(1);
    }
    int status;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status))
        ptrace(PTRACE_CONT, child, NULL, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    printf("traced by %s: %x\n", who, status);
}

static void traced_by_a_user(void)
{
    traced("a user", 1000);
}

static void traced_by_root(void)
{
    traced("root", 0);
}

static void limit(void)
{
    struct rlimit saved, all;
    setresuid(0, 1000, 0);
    getrlimit(RLIMIT_LOCKS, &saved);
    printf("%d %d\n", saved.rlim_cur == RLIM_INFINITY, saved.rlim_max == RLIM_INFINITY);
    /* As sudo and pam_limits do. */
    printf("%d\n", setrlimit(RLIMIT_LOCKS, &saved));
    printf("%d\n", prlimit(getpid(), RLIMIT_LOCKS, &saved, NULL));
    show("after the limit was set");
    all = (struct rlimit){7, 5};
    int result = setrlimit(RLIMIT_LOCKS, &all);
    printf("%d %d\n", result, errno);
    result = prlimit(99999999, RLIMIT_LOCKS, NULL, &all);
    printf("%d %d\n", result, errno);
    result = syscall(SYS_prlimit64, 0, RLIMIT_LOCKS, (void *)8, NULL);
    printf("%d %d\n", result, errno);
    show("after all");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "state") == 0) {
        show("executed");
        return 0;
    }
    umask(022);
    setgroups(0, NULL);
    copy("plain", 0, 0, 0755);
    copy("setuid", 0, 33, 06755);
    copy("busy", 0, 0, 04755);
    int broken = open("broken", O_WRONLY | O_CREAT | O_EXCL, 0755);
    if (write(broken, "\177ELF and no more", 16) != 16 || fchmod(broken, 04755) || close(broken))
        perror("broken");
    alone("threads", threads);
    alone("execution by a thread", execution_by_a_thread);
    alone("failed execution by a thread", failed_execution_by_a_thread);
    alone("fork", forked);
    alone("vfork and posix_spawn", vforked);
    alone("clone", cloned);
    alone("namespaces", in_new_namespaces);
    alone("many", many);
    alone("traced by a user", traced_by_a_user);
    alone("traced by root", traced_by_root);
    alone("limit", limit);
    return 0;
}
