// Runs a command on a kernel that lacks something: the calls that WHAT names fail, in the command
// and in all its children.
//
//   deny UID GID WHAT… -- COMMAND…
//
// Started by root it becomes UID:GID; anybody else stays who he is.
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NO_ARGUMENT 9
#define ANY_OF 0
#define EXACTLY 1

static const struct rule {
    const char *what;
    unsigned call, argument, test, value, error;
} rules[] = {
    // Linux 5.19
    { "killable", SYS_seccomp, 1, ANY_OF, 1 << 5, EINVAL },
    // Linux 5.0
    { "listener", SYS_seccomp, 1, ANY_OF, 1 << 3, EINVAL },
    // Linux 3.17, or built without
    { "seccomp", SYS_seccomp, NO_ARGUMENT, 0, 0, ENOSYS },
    // Linux 5.9
    { "addfd", SYS_ioctl, 1, EXACTLY, 0x40182103, EINVAL },
    // Linux 6.6
    { "wake-up", SYS_ioctl, 1, EXACTLY, 0x40082104, EINVAL },
    // Linux 5.6
    { "getfd", SYS_pidfd_getfd, NO_ARGUMENT, 0, 0, ENOSYS },
    // A container runtime's default
    { "memory", SYS_process_vm_readv, NO_ARGUMENT, 0, 0, EPERM },
    { "memory", SYS_process_vm_writev, NO_ARGUMENT, 0, 0, EPERM },
};

#define STATEMENT(code, k) *next++ = (struct sock_filter)BPF_STMT(code, k)
#define JUMP(code, k, yes, no) *next++ = (struct sock_filter)BPF_JUMP(code, k, yes, no)

int main(int count, char **arguments) {
    struct sock_filter program[128], *next = program;
    int at = 3;
    if (count < 5) return 2;
    for (; at < count && strcmp(arguments[at], "--"); at++) {
        int known = 0;
        for (unsigned i = 0; i < sizeof rules / sizeof *rules; i++) {
            const struct rule *rule = &rules[i];
            if (strcmp(rule->what, arguments[at])) continue;
            known = 1;
            STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
            JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->call, 0, rule->argument == NO_ARGUMENT ? 1 : 3);
            if (rule->argument != NO_ARGUMENT) {
                STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * rule->argument);
                JUMP(BPF_JMP | (rule->test == ANY_OF ? BPF_JSET : BPF_JEQ) | BPF_K, rule->value, 0, 1);
            }
            STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | rule->error);
        }
        if (!known) {
            fprintf(stderr, "deny: what is %s?\n", arguments[at]);
            return 2;
        }
    }
    STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = { next - program, program };
    int root = geteuid() == 0;
    // Without this a program that is no root may load none; with it, sudo refuses to work.
    if (!root && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return perror("no_new_privs"), 1;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return perror("seccomp"), 1;
    unsigned uid = atoi(arguments[1]), gid = atoi(arguments[2]);
    if (root && (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))) return perror("setresuid"), 1;
    execvp(arguments[at + 1], arguments + at + 1);
    return perror(arguments[at + 1]), 127;
}
