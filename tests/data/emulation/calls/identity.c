// Who a process is: ids, groups, capabilities, threads, and what exec makes of them.
#include "show.h"
#include <linux/capability.h>
#include <spawn.h>
#include <sys/fsuid.h>
#include <sys/auxv.h>

static const char *self;

static void who(const char *when) {
    uid_t r, e, s;
    gid_t rg, eg, sg, groups[64];
    getresuid(&r, &e, &s);
    getresgid(&rg, &eg, &sg);
    int count = getgroups(64, groups);
    printf("  %s: %u %u %u, %u %u %u,", when, r, e, s, rg, eg, sg);
    for (int i = 0; i < count; i++) printf(" %u", groups[i]);
    printf("; fs %d %d\n", setfsuid(-1), setfsgid(-1));
    fflush(stdout);
}
static uint64_t all_caps(void) {
    // What the machine leaves to root.
    static uint64_t all;
    if (!all) {
        struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct d[2];
        syscall(SYS_capget, &h, d);
        all = d[0].permitted | (uint64_t)d[1].permitted << 32;
    }
    return all;
}
static void caps(const char *when, int pid) {
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, pid };
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d)) { printf("  %s: capget %s\n", when, strerrorname_np(errno)); return; }
    uint64_t sets[3] = { d[0].effective | (uint64_t)d[1].effective << 32, d[0].permitted | (uint64_t)d[1].permitted << 32,
                         d[0].inheritable | (uint64_t)d[1].inheritable << 32 };
    printf("  %s:", when);
    for (int i = 0; i < 3; i++) {
        uint64_t without = all_caps() & ~sets[i];
        if (__builtin_popcountll(without) < 10) printf(" all but %llx", (unsigned long long)without);
        else printf(" %llx", (unsigned long long)sets[i]);
    }
    printf("\n");
    fflush(stdout);
}
static int set(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2] = { { effective, permitted, inheritable }, { effective >> 32, permitted >> 32, inheritable >> 32 } };
    return syscall(SYS_capset, &h, d);
}
// Each in a process of its own.
static void in_child(const char *name, void (*what)(void)) {
    printf("== %s\n", name);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) { what(); fflush(stdout); _exit(0); }
    int status;
    waitpid(child, &status, 0);
    if (status) printf("status %x\n", status);
    fflush(stdout);
}
static void setters(void) {
    who("begin");
    SHOW(setgroups(3, (gid_t[]){ 9, 7, 8 })); who("groups");
    SHOW(getgroups(2, (gid_t[4]){ 0 })); SHOW(getgroups(0, NULL)); SHOW(getgroups(-1, NULL)); SHOW(getgroups(64, NOWHERE));
    SHOW(setgroups(2, NOWHERE)); SHOW(setgroups(70000, (gid_t[1]){ 0 }));
    SHOW(setgroups(1, (gid_t[]){ -1 }));
    SHOW(setfsuid(5)); SHOW(setfsuid(-1)); SHOW(setfsgid(6)); SHOW(setfsgid(-1));
    make("by-fsuid", 0644); show("by-fsuid");
    SHOW(mkdir("dir-by-fsuid", 0755)); show("dir-by-fsuid");
    SHOW(setfsuid(0)); SHOW(setfsgid(0));
    SHOW(setegid(50)); make("by-egid", 0644); show("by-egid"); SHOW(setegid(0));
    SHOW(setreuid(-1, 100)); who("euid"); caps("euid", 0); make("by-euid", 0644); show("by-euid");
    SHOW(setreuid(-1, 0)); who("back"); caps("back", 0);
    SHOW(setresgid(1, 2, 3)); who("gids");
    SHOW(setregid(4, -1)); who("rgid");
    SHOW(setresuid(-1, -1, 500)); who("saved");
    SHOW(setuid(-1)); SHOW(setgid(-1)); SHOW(setreuid(-1, -1)); SHOW(setresuid(-1, -1, -1));
    SHOW(setuid(600)); who("uid"); caps("uid", 0);
    SHOW(setuid(0)); SHOW(setuid(500)); SHOW(setreuid(0, 0)); SHOW(setgid(9)); SHOW(setgid(4)); SHOW(setregid(2, 3)); who("gids");
    SHOW(setgroups(0, NULL)); SHOW(seteuid(600)); SHOW(setresuid(600, 600, 600)); SHOW(setfsuid(0)); SHOW(setfsuid(600));
}
static void capabilities(void) {
    caps("begin", 0); caps("parent", getppid()); caps("init", 1); caps("nobody", 99999); caps("negative", -5);
    struct __user_cap_header_struct h = { 0, 0 };
    SHOW(syscall(SYS_capget, &h, NULL)); printf("  %x\n", h.version);
    h.version = _LINUX_CAPABILITY_VERSION_1;
    struct __user_cap_data_struct d[2] = { { 0 } };
    SHOW(syscall(SYS_capget, &h, d));
    SHOW(syscall(SYS_capget, NOWHERE, d));
    h.version = _LINUX_CAPABILITY_VERSION_3;
    SHOW(syscall(SYS_capget, &h, NOWHERE));
    h.pid = getppid();
    SHOW(syscall(SYS_capset, &h, d));
    make("c", 0644);
    SHOW(set(all_caps() & ~1ull, all_caps(), 0)); caps("without chown", 0);
    SHOW(chown("c", 1, 1));
    SHOW(set(all_caps(), all_caps(), 0)); SHOW(chown("c", 1, 1));
    SHOW(set(all_caps() & ~(1ull << 7), all_caps() & ~(1ull << 7), 0)); caps("without setuid", 0);
    SHOW(setuid(5)); SHOW(setresuid(0, 0, 0)); SHOW(set(all_caps(), all_caps(), 0));
    SHOW(setgid(5)); SHOW(setgroups(1, (gid_t[]){ 1 }));
    SHOW(set(1ull << 6, 1ull << 6, 1ull << 6)); caps("setgid alone", 0);
    SHOW(setgroups(0, NULL)); SHOW(mknod("n", S_IFCHR | 0600, makedev(1, 3))); SHOW(chroot("/")); SHOW(chown("c", 2, 2));
    SHOW(set(0, 0, 0)); SHOW(set(1, 0, 0)); SHOW(set(0, 1, 0)); caps("none", 0);
    who("still");
}
static void keep(void) {
    SHOW(prctl(PR_GET_KEEPCAPS)); SHOW(prctl(PR_SET_KEEPCAPS, 2)); SHOW(prctl(PR_SET_KEEPCAPS, 1)); SHOW(prctl(PR_GET_KEEPCAPS));
    SHOW(setresuid(7, 7, 7)); caps("kept", 0);
    SHOW(chown("c", 3, 3)); SHOW(set(1, 1, 0)); caps("raised", 0); SHOW(chown("c", 3, 3)); show("c");
    SHOW(setresuid(8, 8, 8));
    fflush(stdout);
    execl(self, self, "caps", NULL);
}
static void keep_over_exec(void) {
    SHOW(prctl(PR_SET_KEEPCAPS, 1));
    fflush(stdout);
    execl(self, self, "keepcaps", NULL);
}
static void other_settings(void) {
    SHOW(prctl(PR_SET_DUMPABLE, 1)); SHOW(prctl(PR_GET_SECUREBITS)); SHOW(prctl(PR_CAPBSET_READ, 0)); SHOW(prctl(PR_CAPBSET_READ, 99));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)); SHOW(prctl(PR_SET_NAME, "name"));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
    SHOW(syscall(SYS_io_uring_setup, 4, NOWHERE) < 0);
}
static pthread_barrier_t barrier;
static void *in_thread(void *unused) {
    (void)unused;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    who("a thread after setresuid");
    caps("a thread", 0);
    return NULL;
}
static void threads(void) {
    pthread_t threads[4];
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(threads, NULL, in_thread, NULL);
    pthread_barrier_wait(&barrier);
    SHOW(setgroups(1, (gid_t[]){ 4 })); SHOW(setresgid(3, 3, 3)); SHOW(setresuid(2, 2, 2));
    pthread_barrier_wait(&barrier);
    pthread_join(threads[0], NULL);
    who("its process");
}
static void executed(const char *file) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setgroups(1, (gid_t[]){ 50 }); setresgid(1000, 1000, 1000); setresuid(1000, 1000, 1000);
        execl(file, file, "who", NULL);
        printf("  exec: %s\n", strerrorname_np(errno));
        fflush(stdout);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    fflush(stdout);
}
static void copy(const char *name) {
    char line[512];
    sprintf(line, "cp %s %s", self, name);
    system(line);
}
static void executions(void) {
    copy("plain"); chmod("plain", 0755); puts("plain"); executed("./plain");
    const struct { unsigned uid, gid, mode; } kinds[] = {
        { 0, 0, 04755 }, { 5, 6, 04755 }, { 5, 6, 02755 }, { 5, 6, 06755 }, { 5, 6, 02745 }, { 0, 6, 06755 },
        { 1000, 1000, 06755 }, { 5, 6, 0711 }, { 0, 0, 04711 }, { 70000, 70001, 06755 },
    };
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        copy("setid"); chown("setid", kinds[i].uid, kinds[i].gid); chmod("setid", kinds[i].mode);
        printf("%u:%u %o\n", kinds[i].uid, kinds[i].gid, kinds[i].mode);
        executed("./setid");
    }
    puts("through a link"); symlink("setid", "link"); executed("./link");
    puts("not executable"); chmod("setid", 04644); executed("./setid");
    puts("a directory"); mkdir("d", 04755); executed("./d");
    puts("missing"); executed("./missing");
    puts("by descriptor"); chmod("setid", 06755); fflush(stdout);
    if (fork() == 0) {
        int fd = open("setid", O_RDONLY);
        setresgid(1000, 1000, 1000); setresuid(1000, 1000, 1000);
        char *arguments[] = { "setid", "who", NULL };
        fexecve(fd, arguments, environ);
        printf("  %s\n", strerrorname_np(errno)); fflush(stdout); _exit(1);
    }
    wait(NULL);
    puts("by vfork"); fflush(stdout);
    if (vfork() == 0) { execl("./setid", "setid", "who", NULL); _exit(1); }
    wait(NULL);
    puts("by posix_spawn, ids reset"); fflush(stdout);
    if (fork() == 0) {
        setresuid(1000, 0, 0);
        posix_spawnattr_t attributes;
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_RESETIDS);
        char *arguments[] = { "plain", "who", NULL };
        pid_t child;
        posix_spawn(&child, "./plain", NULL, &attributes, arguments, environ);
        waitpid(child, NULL, 0);
        _exit(0);
    }
    wait(NULL);
    puts("a setuid script"); fflush(stdout);
    int fd = open("script", O_CREAT | O_WRONLY, 0755);
    dprintf(fd, "#!%s/plain who\n", get_current_dir_name());
    close(fd);
    chown("script", 5, 6); chmod("script", 06755);
    executed("./script");
    puts("with privileges forbidden"); fflush(stdout);
    if (fork() == 0) {
        setresuid(1000, 1000, 1000); prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        execl("./setid", "setid", "who", NULL);
        _exit(1);
    }
    wait(NULL);
    puts("by a root that is not all root"); fflush(stdout);
    if (fork() == 0) { setresuid(1000, 0, 1000); execl("./plain", "plain", "who", NULL); _exit(1); }
    wait(NULL);
    if (fork() == 0) { setresuid(0, 1000, 1000); execl("./plain", "plain", "who", NULL); _exit(1); }
    wait(NULL);
    if (fork() == 0) { setresuid(1000, 1000, 0); execl("./plain", "plain", "who", NULL); _exit(1); }
    wait(NULL);
}
static void limits(void) {
    uint64_t both[2];
    SHOW(syscall(SYS_prlimit64, 0, 10, NULL, both)); printf("  %llx %llx\n", (unsigned long long)both[0], (unsigned long long)both[1]);
    SHOW(setresuid(5, 5, 5));
    SHOW(syscall(SYS_prlimit64, 0, 10, both, NULL));
    SHOW(syscall(SYS_prlimit64, 0, 10, NULL, both)); printf("  %llx %llx\n", (unsigned long long)both[0], (unsigned long long)both[1]);
    who("after limits");
}
int main(int count, char **arguments) {
    self = realpath("/proc/self/exe", NULL);
    if (count > 1 && !strcmp(arguments[1], "caps")) { caps("after exec", 0); return 0; }
    if (count > 1 && !strcmp(arguments[1], "keepcaps")) { SHOW(prctl(PR_GET_KEEPCAPS)); return 0; }
    if (count > 1 && !strcmp(arguments[1], "who")) {
        who("is"); 
        struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct d[2];
        syscall(SYS_capget, &h, d);
        printf("  permitted %s, effective %s\n", d[0].permitted ? "some" : "none", d[0].effective ? "some" : "none");
        return 0;
    }
    all_caps();
    chmod(".", 0777);
    in_child("setters", setters);
    in_child("capabilities", capabilities);
    in_child("keep", keep);
    in_child("keep over exec", keep_over_exec);
    in_child("other settings", other_settings);
    in_child("threads", threads);
    in_child("executions", executions);
    in_child("limits", limits);
    return 0;
}
