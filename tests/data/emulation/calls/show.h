// What calls return and files are, as text: two runs are compared line by line.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NOWHERE ((void *)8)

// The call, what it returned, and its errno.
#define SHOW(call)                                                                      \
    ({                                                                                  \
        errno = 0;                                                                      \
        long result_ = (long)(call);                                                    \
        int error_ = errno;                                                             \
        printf("%s = %ld %s\n", #call, result_, result_ < 0 ? strerrorname_np(error_) : ""); \
        fflush(stdout);                                                                 \
        result_;                                                                        \
    })
// The same for calls whose result is a number that may differ, like a descriptor's.
#define SHOW_OK(call)                                                                   \
    ({                                                                                  \
        errno = 0;                                                                      \
        long result_ = (long)(call);                                                    \
        int error_ = errno;                                                             \
        printf("%s: %s\n", #call, result_ < 0 ? strerrorname_np(error_) : "ok");        \
        fflush(stdout);                                                                 \
        result_;                                                                        \
    })

static void show_stat(const char *name, const struct stat *s) {
    printf("  %s: %06o %u:%u", name, s->st_mode, s->st_uid, s->st_gid);
    if (!S_ISDIR(s->st_mode)) printf(" links %lu", (unsigned long)s->st_nlink);
    if (S_ISREG(s->st_mode) || S_ISLNK(s->st_mode)) printf(" size %ld", (long)s->st_size);
    if (S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode)) printf(" device %u:%u", major(s->st_rdev), minor(s->st_rdev));
    printf("\n");
    fflush(stdout);
}
__attribute__((unused)) static void show(const char *path) {
    struct stat s;
    if (lstat(path, &s)) printf("  %s: %s\n", path, strerrorname_np(errno));
    else show_stat(path, &s);
    fflush(stdout);
}
// Runs a function in a process of its own, as this user and group.
__attribute__((unused)) static void as(unsigned uid, unsigned gid, void (*what)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        gid_t groups[] = { gid, 50 };
        if (setgroups(2, groups) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)) {
            printf("no longer root: %s\n", strerrorname_np(errno));
            fflush(stdout);
            _exit(1);
        }
        what();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status) printf("as %u: status %x\n", uid, status);
    fflush(stdout);
}
__attribute__((unused)) static void make(const char *path, mode_t mode) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (fd < 0 || fchmod(fd, mode)) { perror(path); exit(1); }
    close(fd);
}
