/*
 * Changes its credentials at random, always in the same way, and prints what each call answered and
 * what the process then is. Real root and emulated root must print the same.
 *
 *     credentials [SEED SEQUENCES DIRECTORY CAPABILITIES]
 *     credentials state
 *
 * The first form makes programs in DIRECTORY (copies of itself with set-id bits, capabilities and
 * narrow modes), and executes them now and then in the second form, which prints one line. First it
 * gives up all but CAPABILITIES, a hexadecimal mask: real root may have fewer than emulated root.
 * They are docker's, unless said otherwise.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The calls with 16-bit ids, where there are others. */
#ifdef __i386__
#define NARROW 1
#define WIDE(name) SYS_##name##32
#else
#define NARROW 0
#define WIDE(name) SYS_##name
#endif

#define STEPS 24

static uint64_t randomness;

static unsigned pick(unsigned count)
{
    randomness = randomness * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(randomness >> 33) % count;
}

static long id(void)
{
    static const uint32_t ids[] = {0, 0, 0, 1000, 1000, 1001, 33, 70000, 65534, (uint32_t)-1, (uint32_t)-1};
    return ids[pick(sizeof ids / sizeof *ids)];
}

static uint32_t groups[70000];

/* What the process is, if that is not what was printed last. */
static void print_state(void)
{
    static char last[1 << 16];
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    uint32_t r, e, s;
    syscall(WIDE(getresuid), &r, &e, &s);
    fprintf(out, "uid %u %u %u %ld", r, e, s, syscall(WIDE(setfsuid), -1));
    fprintf(out, " (%ld %ld)", syscall(WIDE(getuid)), syscall(WIDE(geteuid)));
    syscall(WIDE(getresgid), &r, &e, &s);
    fprintf(out, " gid %u %u %u %ld", r, e, s, syscall(WIDE(setfsgid), -1));
    fprintf(out, " (%ld %ld)", syscall(WIDE(getgid)), syscall(WIDE(getegid)));
    long count = syscall(WIDE(getgroups), sizeof groups / sizeof *groups, groups);
    fprintf(out, " groups %ld", count);
    for (long i = 0; i < count; i++)
        fprintf(out, " %u", groups[i]);

    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &header, data);
    uint64_t bounding = 0, ambient = 0;
    for (unsigned i = 0; i < 64; i++) {
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            bounding |= UINT64_C(1) << i;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
            ambient |= UINT64_C(1) << i;
    }
    fprintf(out, " caps %x%08x %x%08x %x%08x %llx %llx", data[1].effective, data[0].effective,
            data[1].permitted, data[0].permitted, data[1].inheritable, data[0].inheritable,
            (unsigned long long)bounding, (unsigned long long)ambient);
    fprintf(out, " bits %x %d", prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS));
    fclose(out);
    printf(": %s\n", strcmp(text, last) == 0 ? "the same" : text);
    snprintf(last, sizeof last, "%s", text);
    free(text);
}

static uint64_t some_capabilities(void)
{
    switch (pick(4)) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return UINT64_C(1) << pick(41);
    default: return 0xa80425fb & ~(UINT64_C(1) << pick(16));
    }
}

static const struct {
    const char *name;
    uid_t uid;
    gid_t gid;
    mode_t mode;
    uint32_t attached, effective; /* capabilities */
} programs[] = {
    {"plain", 0, 0, 0755, 0, 0},
    {"setuid-root", 0, 0, 04755, 0, 0},
    {"setuid-1000", 1000, 1000, 04755, 0, 0},
    {"setgid-33", 0, 33, 02755, 0, 0},
    {"setgid-unexecutable", 0, 33, 02745, 0, 0},
    {"set-both", 1001, 33, 06755, 0, 0},
    {"for-the-owner", 1000, 0, 0700, 0, 0},
    {"for-the-group", 0, 33, 0750, 0, 0},
    {"not-for-the-group", 0, 33, 0705, 0, 0},
    {"not-for-the-owner", 1001, 0, 0655, 0, 0},
    {"for-nobody", 0, 0, 0644, 0, 0},
    {"permitted", 0, 0, 0755, 1 << CAP_NET_RAW, 0},
    {"effective", 0, 0, 0755, 1 << CAP_NET_RAW | 1 << CAP_CHOWN, 1},
    {"setuid-and-effective", 0, 0, 04755, 1 << CAP_NET_BIND_SERVICE, 1},
    {"setuid-1000-and-effective", 1000, 0, 04755, 1 << CAP_SETUID, 1},
    {"script", 0, 0, 06755, 0, 0},
    {"script-of-setuid", 0, 0, 0755, 0, 0},
    {"script-of-script", 0, 0, 0755, 0, 0},
    {"script-of-owner", 0, 0, 0755, 0, 0},
};
#define PROGRAMS (sizeof programs / sizeof *programs)

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void copy(const char *from, const char *to)
{
    char buffer[65536];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ssize_t count;
    if (in < 0 || out < 0)
        die(to);
    while ((count = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, count) != count)
            die(to);
    close(in);
    close(out);
}

static void script(const char *name, const char *interpreter)
{
    FILE *file = fopen(name, "wx");
    if (!file)
        die(name);
    fprintf(file, "#! %s state\n", interpreter);
    fclose(file);
}

static void make_programs(void)
{
    for (size_t i = 0; i < PROGRAMS; i++) {
        const char *name = programs[i].name;
        if (strcmp(name, "script") == 0)
            script(name, "./plain");
        else if (strcmp(name, "script-of-setuid") == 0)
            script(name, "./set-both");
        else if (strcmp(name, "script-of-script") == 0)
            script(name, "./script-of-setuid");
        else if (strcmp(name, "script-of-owner") == 0)
            script(name, "./for-the-owner");
        else
            copy("/proc/self/exe", name);
        if (chown(name, programs[i].uid, programs[i].gid) || chmod(name, programs[i].mode))
            die(name);
        if (programs[i].attached) {
            struct vfs_cap_data data = {0};
            data.magic_etc = VFS_CAP_REVISION_2 | programs[i].effective;
            data.data[0].permitted = programs[i].attached;
            data.data[0].inheritable = 1 << CAP_SYS_TIME;
            if (setxattr(name, "security.capability", &data, sizeof data, 0))
                die(name);
        }
    }
}

/* In a child: the sequence goes on with what it was. */
static void execute(void)
{
    const char *name = programs[pick(PROGRAMS)].name;
    int no_new_privs = pick(6) == 0, again = pick(4) == 0, at = pick(3) == 0;
    printf("exec %s%s%s%s\n", name, no_new_privs ? " no_new_privs" : "", again ? " again" : "",
           at ? " at" : "");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char *const argv[] = {(char *)name, "state", NULL}, *const envp[] = {NULL};
        if (no_new_privs)
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (again) { /* fails behind the point where credentials are computed */
            int broken = open("broken", O_RDONLY);
            syscall(SYS_execveat, broken, "", argv, envp, AT_EMPTY_PATH);
            printf("  broken %d", errno);
            print_state();
            execve("missing-interpreter", argv, envp);
            printf("  missing interpreter %d", errno);
            print_state();
            fflush(stdout);
        }
        if (at) {
            int file = open(name, O_PATH);
            syscall(SYS_execveat, file, "", argv, envp, AT_EMPTY_PATH);
        } else {
            execve(name, argv, envp);
        }
        printf("  not executed %d", errno);
        print_state();
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void answer(long result)
{
    printf(" = %ld", result < 0 ? (long)-errno : result);
    print_state();
}

/* One call, its name and arguments printed before its answer. */
static void step(void)
{
    long a, b, c;
    int narrow = NARROW && pick(3) == 0;
#define CALL(name) (narrow ? SYS_##name : WIDE(name))
    switch (pick(24)) {
    case 0:
        a = id();
        printf("setuid %ld", a);
        answer(syscall(CALL(setuid), a));
        break;
    case 1:
        a = id();
        printf("setgid %ld", a);
        answer(syscall(CALL(setgid), a));
        break;
    case 2:
    case 3:
        a = id(), b = id();
        printf("setreuid %ld %ld", a, b);
        answer(syscall(CALL(setreuid), a, b));
        break;
    case 4:
        a = id(), b = id();
        printf("setregid %ld %ld", a, b);
        answer(syscall(CALL(setregid), a, b));
        break;
    case 5:
    case 6:
    case 7:
        a = id(), b = id(), c = id();
        printf("setresuid %ld %ld %ld", a, b, c);
        answer(syscall(CALL(setresuid), a, b, c));
        break;
    case 8:
        a = id(), b = id(), c = id();
        printf("setresgid %ld %ld %ld", a, b, c);
        answer(syscall(CALL(setresgid), a, b, c));
        break;
    case 9:
    case 10:
        a = id();
        printf("setfsuid %ld", a);
        answer(syscall(CALL(setfsuid), a));
        break;
    case 11:
        a = id();
        printf("setfsgid %ld", a);
        answer(syscall(CALL(setfsgid), a));
        break;
    case 12: {
        uint32_t list[4];
        uint16_t short_list[4];
        a = pick(8) == 0 ? 65537 : pick(5);
        printf("setgroups %ld", a);
        for (long i = 0; i < 4; i++) {
            list[i] = pick(12) == 0 ? (uint32_t)-1 : (uint32_t[]){33, 5, 70000, 1000}[pick(4)];
            short_list[i] = list[i];
            if (i < a)
                printf(" %u", narrow ? short_list[i] : list[i]);
        }
        if (pick(10) == 0)
            answer(syscall(CALL(setgroups), a, (void *)8));
        else
            answer(syscall(CALL(setgroups), a, narrow ? (void *)short_list : (void *)list));
        break;
    }
    case 13:
    case 14:
    case 15: {
        static const uint32_t versions[] = {_LINUX_CAPABILITY_VERSION_3, _LINUX_CAPABILITY_VERSION_3,
            _LINUX_CAPABILITY_VERSION_2, _LINUX_CAPABILITY_VERSION_1, 7};
        struct __user_cap_header_struct header = {versions[pick(5)], 0};
        struct __user_cap_data_struct data[2];
        uint64_t sets[3] = {some_capabilities(), some_capabilities(), some_capabilities()};
        if (pick(2)) { /* what it has, and a little less */
            syscall(SYS_capget, &(struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 0}, data);
            sets[1] = data[0].permitted | (uint64_t)data[1].permitted << 32;
            sets[1] &= ~(UINT64_C(1) << pick(64));
            sets[0] = sets[1] & ~(UINT64_C(1) << pick(64));
            sets[2] &= sets[1] | (pick(4) == 0 ? 1 << 10 : 0);
        }
        switch (pick(12)) {
        case 0: header.pid = getpid(); break;
        case 1: header.pid = getppid(); break;
        case 2: header.pid = -1; break;
        }
        for (int i = 0; i < 2; i++) {
            data[i].effective = sets[0] >> 32 * i;
            data[i].permitted = sets[1] >> 32 * i;
            data[i].inheritable = sets[2] >> 32 * i;
        }
        const char *whose = header.pid == 0         ? "my"
                            : header.pid == getpid() ? "mine"
                            : header.pid > 0         ? "another's"
                                                     : "nobody's";
        printf("capset %x %s %llx %llx %llx", header.version, whose, (unsigned long long)sets[0],
               (unsigned long long)sets[1], (unsigned long long)sets[2]);
        a = syscall(SYS_capset, &header, pick(12) ? data : NULL);
        printf(" (%x)", header.version);
        answer(a);
        break;
    }
    case 16:
        a = pick(3);
        printf("keepcaps %ld", a);
        answer(syscall(SYS_prctl, PR_SET_KEEPCAPS, a, 0, 0, 0));
        break;
    case 17: {
        static const long bits[] = {0, 1, 4, 5, 16, 20, 48, 64, 192, 3, 12, 0xff, 1 << 8, 1 << 10, 1 << 12};
        a = bits[pick(sizeof bits / sizeof *bits)];
        printf("securebits %lx", a);
        answer(syscall(SYS_prctl, PR_SET_SECUREBITS, a, 0, 0, 0));
        break;
    }
    case 18:
        a = pick(45);
        printf("drop-bounding %ld", a);
        answer(syscall(SYS_prctl, PR_CAPBSET_DROP, a, 0, 0, 0));
        break;
    case 19:
        a = pick(6), b = pick(3) ? pick(45) : 0, c = pick(8) == 0;
        printf("ambient %ld %ld %ld", a, b, c);
        answer(syscall(SYS_prctl, PR_CAP_AMBIENT, a, b, c, 0));
        break;
    case 20: { /* answers that do not fit, or have nowhere to go */
        a = pick(4);
        printf("questions %ld:", a);
        int pipes[4];
        printf(" %ld", (long)syscall(CALL(getgroups), a, groups) < 0 ? (long)-errno : 0L);
        printf(" %ld", (long)syscall(CALL(getgroups), -1, groups) < 0 ? (long)-errno : 0L);
        printf(" %ld", (long)syscall(CALL(getgroups), 0, (void *)8) < 0 ? (long)-errno : 0L);
        printf(" %ld", (long)syscall(CALL(getresuid), pipes, (void *)8, pipes) < 0 ? (long)-errno : 0L);
        printf(" %ld", (long)syscall(SYS_capget, (void *)8, groups) < 0 ? (long)-errno : 0L);
        struct __user_cap_header_struct header = {3, 0};
        printf(" %ld", (long)syscall(SYS_capget, &header, groups) < 0 ? (long)-errno : 0L);
        header.version = a;
        printf(" %ld", (long)syscall(SYS_capget, &header, NULL) < 0 ? (long)-errno : 0L);
        printf(" %x", header.version);
        header.pid = -5;
        printf(" %ld", (long)syscall(SYS_capget, &header, groups) < 0 ? (long)-errno : 0L);
        header.pid = 99999999;
        printf(" %ld", (long)syscall(SYS_capget, &header, groups) < 0 ? (long)-errno : 0L);
        header.pid = getppid();
        printf(" %ld %x", (long)syscall(SYS_capget, &header, groups), groups[1]);
        printf(" %d", prctl(PR_CAPBSET_READ, 64, 0, 0, 0) < 0 ? -errno : 0);
        if (NARROW) {
            uint16_t few[3] = {0};
            long count = syscall(SYS_getgroups, 3, few);
            printf(" narrow %ld %u %u %u", count < 0 ? -errno : count, few[0], few[1], few[2]);
            syscall(SYS_getresuid, few, few + 1, few + 2);
            printf(" %u %u %u %ld", few[0], few[1], few[2], syscall(SYS_geteuid));
        }
        printf("\n");
        break;
    }
    default:
        execute();
        break;
    }
}

static void keep_only(uint64_t mask)
{
    for (unsigned i = 0; i < 64; i++)
        if (!(mask >> i & 1))
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = data[i].permitted = mask >> 32 * i;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data))
        die("capset");
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "state") == 0) {
            printf("  executed");
            print_state();
            return 0;
        }
    }
    char *usual[] = {argv[0], "1", "150", ".", "a80425fb"};
    if (argc == 1)
        argv = usual;
    else if (argc != 5) {
        fprintf(stderr, "usage: credentials [SEED SEQUENCES DIRECTORY CAPABILITIES]\n");
        return 2;
    }
    if (chdir(argv[3]))
        die(argv[3]);
    umask(022);
    if (syscall(WIDE(setgroups), 0, NULL))
        die("setgroups");
    make_programs();
    int broken = open("broken", O_WRONLY | O_CREAT | O_EXCL, 0755);
    if (write(broken, "\177ELF and no more", 16) != 16 || fchmod(broken, 04755) || close(broken))
        die("broken");
    script("missing-interpreter", "/nowhere/at/all");
    if (chmod("missing-interpreter", 0755))
        die("missing-interpreter");

    keep_only(strtoull(argv[4], NULL, 16));
    uint64_t seed = strtoull(argv[1], NULL, 0), sequences = strtoull(argv[2], NULL, 0);
    printf("at first");
    print_state();
    for (uint64_t i = 0; i < sequences; i++) {
        printf("-- %llu\n", (unsigned long long)i);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            randomness = seed * 1000003 + i;
            for (int s = 0; s < STEPS; s++)
                step();
            fflush(stdout);
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) {
            printf("child: %x\n", status);
            return 1;
        }
    }
    return 0;
}
