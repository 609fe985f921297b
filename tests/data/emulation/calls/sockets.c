// Who is at a socket's other end.
#include "show.h"

static void peer(const char *when, int s) {
    struct ucred c = { 7, 7, 7 };
    socklen_t length = sizeof c;
    errno = 0;
    int result = getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c, &length);
    printf("  %s: %d %s %s %d:%d length %d\n", when, result, result ? strerrorname_np(errno) : "", c.pid > 0 ? "pid" : "no pid",
           (int)c.uid, (int)c.gid, (int)length);
    gid_t groups[64];
    length = sizeof groups;
    result = getsockopt(s, SOL_SOCKET, 59, groups, &length);
    printf("  groups %d:", result);
    if (!result) for (unsigned i = 0; i < length / sizeof *groups; i++) printf(" %u", groups[i]);
    printf("\n");
    fflush(stdout);
}
static int become(unsigned uid, unsigned gid) {
    return setgroups(2, (gid_t[]){ gid, 50 }) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid);
}
static int listener(const char *name, int kind) {
    struct sockaddr_un address = { AF_UNIX, "" };
    strcpy(address.sun_path, name);
    int s = socket(AF_UNIX, kind, 0);
    bind(s, (struct sockaddr *)&address, sizeof address);
    if (kind != SOCK_DGRAM) listen(s, 5);
    chmod(name, 0777);
    return s;
}
static int to(const char *name, int kind) {
    struct sockaddr_un address = { AF_UNIX, "" };
    strcpy(address.sun_path, name);
    int s = socket(AF_UNIX, kind, 0);
    if (connect(s, (struct sockaddr *)&address, sizeof address)) printf("connect: %s\n", strerrorname_np(errno));
    return s;
}
// Sends a byte with credentials; `forged` changes what is said.
static int send_as(int s, int forged, unsigned uid, unsigned gid) {
    struct ucred c = { getpid(), uid, gid };
    char byte = 'x', space[CMSG_SPACE(sizeof c)];
    memset(space, 0, sizeof space);
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (forged) {
        message.msg_control = space;
        message.msg_controllen = sizeof space;
        struct cmsghdr *c1 = CMSG_FIRSTHDR(&message);
        c1->cmsg_level = SOL_SOCKET;
        c1->cmsg_type = SCM_CREDENTIALS;
        c1->cmsg_len = CMSG_LEN(sizeof c);
        memcpy(CMSG_DATA(c1), &c, sizeof c);
    }
    return sendmsg(s, &message, 0);
}
static void receive(const char *when, int s) {
    char byte, space[256];
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
    ssize_t count = recvmsg(s, &message, MSG_DONTWAIT);
    if (count < 0) { printf("  %s: %s\n", when, strerrorname_np(errno)); return; }
    printf("  %s:", when);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred u;
            memcpy(&u, CMSG_DATA(c), sizeof u);
            printf(" %s %d:%d", u.pid > 0 ? "pid" : "no pid", (int)u.uid, (int)u.gid);
        } else if (c->cmsg_type == SCM_RIGHTS) {
            int fd;
            memcpy(&fd, CMSG_DATA(c), sizeof fd);
            struct stat st;
            fstat(fd, &st);
            printf(" descriptor of %u", st.st_uid);
            close(fd);
        }
    }
    printf(" flags %x\n", message.msg_flags);
    fflush(stdout);
}
static int run(void (*what)(void *), void *with) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) { what(with); fflush(stdout); _exit(0); }
    int status;
    waitpid(child, &status, 0);
    return status;
}
static void connect_as_user(void *name) { become(1000, 1000); int s = to(name, SOCK_STREAM); peer("the listener, to a user", s); write(s, "x", 1); }
static void connect_then_become(void *name) { int s = to(name, SOCK_STREAM); become(1000, 1000); write(s, "x", 1); usleep(50000); }
static void connect_and_exec(void *name) {
    become(1000, 1000);
    int s = to(name, SOCK_STREAM);
    dup2(s, 1);
    execl("/bin/sh", "sh", "-c", "echo x; sleep 0.1", NULL);
}
static void connect_pair(void *unused) {
    (void)unused;
    int ends[2];
    become(1000, 1000);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    peer("a pair of a user", ends[0]);
    SHOW(send_as(ends[0], 1, 1000, 1000)); SHOW(send_as(ends[0], 1, 0, 0)); SHOW(send_as(ends[0], 1, 1000, 0)); SHOW(send_as(ends[0], 1, 1001, 1000));
    int on = 1;
    setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    receive("first", ends[1]);
    SHOW(send_as(ends[0], 0, 0, 0)); receive("unsaid", ends[1]);
    SHOW(setresuid(1000, 1000, 1000));
}
static void send_by_user(void *socket) { become(1000, 1000); send_as(*(int *)socket, 0, 0, 0); send_as(*(int *)socket, 1, 1000, 1000); }
int main(void) {
    int ends[2], on = 1;
    chmod(".", 0777);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    peer("a pair", ends[0]);
    SHOW(send_as(ends[0], 1, 0, 0)); SHOW(send_as(ends[0], 1, 33, 44));
    receive("without asking", ends[1]);
    setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    receive("forged by root", ends[1]);
    SHOW(send_as(ends[0], 0, 0, 0)); receive("unsaid", ends[1]);
    run(connect_pair, NULL);
    run(send_by_user, &ends[0]);
    receive("a user, unsaid", ends[1]); receive("a user, said", ends[1]); receive("no more", ends[1]);

    int s = listener("listener", SOCK_STREAM);
    char name[] = "listener", byte;
    for (int kind = 0; kind < 3; kind++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            (kind == 0 ? connect_as_user : kind == 1 ? connect_then_become : connect_and_exec)(name);
            fflush(stdout);
            _exit(0);
        }
        int with = accept(s, NULL, NULL);
        read(with, &byte, 1);
        peer(kind == 0 ? "a user" : kind == 1 ? "was root when it connected" : "executed something", with);
        waitpid(child, NULL, 0);
        peer("its process is gone", with);
        close(with);
    }
    // Who listens is who called listen().
    fflush(stdout);
    int ready[2];
    pipe(ready);
    pid_t child = fork();
    if (child == 0) {
        int l = listener("later", SOCK_STREAM);
        become(1000, 1000);
        write(ready[1], "x", 1);
        close(accept(l, NULL, NULL));
        usleep(100000);
        _exit(0);
    }
    read(ready[0], &byte, 1);
    int c = to("later", SOCK_STREAM);
    peer("listened as root, then became a user", c);
    waitpid(child, NULL, 0);
    int d = listener("datagrams", SOCK_DGRAM);
    setsockopt(d, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    c = to("datagrams", SOCK_DGRAM);
    peer("a datagram socket", c);
    run(send_by_user, &c);
    receive("a datagram", d); receive("a datagram, said", d);
    // Odd arguments.
    struct ucred cred;
    socklen_t length = 4;
    SHOW(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &cred, &length)); printf("  %d\n", (int)length);
    length = 100;
    SHOW(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &cred, &length)); printf("  %d\n", (int)length);
    SHOW(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, NOWHERE, &length));
    SHOW(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &cred, NOWHERE));
    SHOW(getsockopt(999, SOL_SOCKET, SO_PEERCRED, &cred, &length));
    SHOW(getsockopt(0, SOL_SOCKET, SO_PEERCRED, &cred, &length));
    int other = socket(AF_INET, SOCK_STREAM, 0);
    length = sizeof cred;
    SHOW(getsockopt(other, SOL_SOCKET, SO_PEERCRED, &cred, &length)); printf("  %d %d\n", (int)cred.uid, (int)cred.gid);
    int fresh = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(getsockopt(fresh, SOL_SOCKET, SO_PEERCRED, &cred, &length)); printf("  %d %d\n", (int)cred.uid, (int)cred.gid);
    // Descriptors travel as before.
    char space[CMSG_SPACE(sizeof(int))];
    memset(space, 0, sizeof space);
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET; header->cmsg_type = SCM_RIGHTS; header->cmsg_len = CMSG_LEN(sizeof(int));
    make("sent", 0644); chown("sent", 12, 13);
    int fd = open("sent", O_RDONLY);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    SHOW(sendmsg(ends[0], &message, 0));
    receive("a descriptor", ends[1]);
    SHOW(sendmsg(ends[0], NOWHERE, 0)); SHOW(recvmsg(ends[1], NOWHERE, 0)); SHOW(sendmsg(999, &message, 0));
    return 0;
}
