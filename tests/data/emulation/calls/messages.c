// What comes along with messages: buffers of all sizes, several messages at once; by the calls
// themselves and by what the C library makes of them (on i386: socketcall).
#include "show.h"

static int direct, child;
static char control[2][200], data[2][2][8];
static struct iovec parts[2][2];

static long send_message(int s, struct msghdr *m, int flags) {
    return direct ? syscall(SYS_sendmsg, s, m, flags) : sendmsg(s, m, flags);
}
static long receive_message(int s, struct msghdr *m, int flags) {
    return direct ? syscall(SYS_recvmsg, s, m, flags) : recvmsg(s, m, flags);
}
// A message of two parts; index tells one of several from the other.
static void prepare(struct msghdr *m, int index, size_t room, int filler) {
    memset(m, 0, sizeof *m);
    memset(control[index], filler, sizeof *control);
    memset(data[index], 0, sizeof *data);
    parts[index][0] = (struct iovec){ data[index][0], 3 };
    parts[index][1] = (struct iovec){ data[index][1], 7 };
    m->msg_iov = parts[index];
    m->msg_iovlen = 2;
    m->msg_control = control[index];
    m->msg_controllen = room;
}
// A message that says who sends it (unless uid is -1), with some descriptors.
static void compose(struct msghdr *m, int index, int uid, int gid, int descriptors) {
    prepare(m, index, sizeof *control, 0);
    memcpy(data[index], "ab\0\0\0\0\0\0cdefg", 13);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    size_t length = 0;
    if (uid != -1) {
        struct ucred said = { getpid(), uid, gid };
        *c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS, .cmsg_len = CMSG_LEN(sizeof said) };
        memcpy(CMSG_DATA(c), &said, sizeof said);
        length += CMSG_SPACE(sizeof said);
        c = CMSG_NXTHDR(m, c);
    }
    if (descriptors) {
        int numbers[] = { 1, 1, 1 };
        *c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(4 * descriptors) };
        memcpy(CMSG_DATA(c), numbers, 4 * descriptors);
        length += CMSG_SPACE(4 * descriptors);
    }
    m->msg_controllen = length;
}
static void tell(const char *what, struct msghdr *m, long count, int index) {
    printf("  %s: ", what);
    if (count < 0) { printf("%s\n", strerrorname_np(errno)); return; }
    printf("%ld [%s|%s] control %zu flags %x", count, data[index][0], data[index][1], (size_t)m->msg_controllen, m->msg_flags);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        printf(" {%d, %zu bytes", c->cmsg_type, (size_t)c->cmsg_len);
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred u;
            memcpy(&u, CMSG_DATA(c), sizeof u);
            printf(": %s %x:%x", u.pid == child ? "child" : u.pid == getpid() ? "self" : "nobody", u.uid, u.gid);
        } else {
            for (unsigned i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / 4; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + 4 * i, 4);
                int flags = fcntl(fd, F_GETFD);
                printf(" %s", flags < 0 ? "none" : flags & FD_CLOEXEC ? "closed on exec" : "kept");
                close(fd);
            }
        }
        printf("}");
    }
    printf("\n");
    fflush(stdout);
}
static void send_all(int s, int ready) {
    struct msghdr m;
    struct mmsghdr two[2];
    setgroups(0, NULL);
    SHOW(setgid(1001)); SHOW(setuid(1000));
    compose(&m, 0, 1000, 1001, 2); SHOW(send_message(s, &m, 0));
    // The same buffer once more, and one that claims more than it may.
    SHOW(send_message(s, &m, 0));
    compose(&m, 0, 0, 1001, 0); SHOW(send_message(s, &m, 0));
    compose(&m, 0, 0, 0, 0); SHOW(send_message(s, &m, 0));
    compose(&m, 0, -2, 1001, 0); SHOW(send_message(s, &m, 0));
    m.msg_control = NOWHERE; SHOW(send_message(s, &m, 0));
    SHOW(send_message(s, NOWHERE, 0));
    compose(&two[0].msg_hdr, 0, -1, -1, 1);
    compose(&two[1].msg_hdr, 1, 1000, 1001, 0);
    SHOW(direct ? syscall(SYS_sendmmsg, s, two, 2, 0) : sendmmsg(s, two, 2, 0));
    printf("  %u %u\n", two[0].msg_len, two[1].msg_len);
    for (int i = 0; i < 5; i++) { compose(&m, 0, 1000, 1001, 3); SHOW(send_message(s, &m, 0)); }
    compose(&m, 0, -1, -1, 0); SHOW(send_message(s, &m, 0));
    fflush(stdout);
    write(ready, "x", 1);
    pause();
}
static void exchange(int kind) {
    int ends[2], ready[2], on = 1;
    struct msghdr m;
    struct mmsghdr two[2];
    char byte;
    socketpair(AF_UNIX, kind, 0, ends);
    pipe(ready);
    if (direct) syscall(SYS_setsockopt, ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    else setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    fflush(stdout);
    child = fork();
    if (child == 0) { send_all(ends[0], ready[1]); _exit(0); }
    read(ready[0], &byte, 1);
    prepare(&m, 0, sizeof *control, 0x55); tell("peeked at", &m, receive_message(ends[1], &m, MSG_PEEK), 0);
    prepare(&m, 0, sizeof *control, 0x55); tell("received", &m, receive_message(ends[1], &m, 0), 0);
    prepare(&m, 0, sizeof *control, 0x55); tell("again", &m, receive_message(ends[1], &m, MSG_CMSG_CLOEXEC), 0);
    for (int i = 0; i < 2; i++) prepare(&two[i].msg_hdr, i, sizeof *control, 0x55);
    long count = direct ? syscall(SYS_recvmmsg, ends[1], two, 2, 0, NULL) : recvmmsg(ends[1], two, 2, 0, NULL);
    printf("  together: %ld\n", count);
    for (int i = 0; i < count; i++) tell("one", &two[i].msg_hdr, two[i].msg_len, i);
    size_t rooms[] = { CMSG_SPACE(12) + CMSG_LEN(8), CMSG_SPACE(12), CMSG_LEN(12), CMSG_LEN(8), 0 };
    for (int i = 0; i < 5; i++) {
        prepare(&m, 0, rooms[i], 0x55);
        printf("  room for %zu", rooms[i]);
        tell("", &m, receive_message(ends[1], &m, 0), 0);
    }
    prepare(&m, 0, sizeof *control, 0x55);
    parts[0][0].iov_base = NOWHERE; tell("nowhere", &m, receive_message(ends[1], &m, MSG_PEEK), 0);
    prepare(&m, 0, sizeof *control, 0x55); tell("unsaid", &m, receive_message(ends[1], &m, 0), 0);
    prepare(&m, 0, sizeof *control, 0x55); tell("no more", &m, receive_message(ends[1], &m, MSG_DONTWAIT), 0);
    SHOW(receive_message(ends[1], NOWHERE, MSG_DONTWAIT)); SHOW(receive_message(999, &m, 0));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ends[0]);
    prepare(&m, 0, sizeof *control, 0x55); tell("the end", &m, receive_message(ends[1], &m, MSG_DONTWAIT), 0);
    close(ends[1]);
}
int main(void) {
    int kinds[] = { SOCK_SEQPACKET, SOCK_DGRAM, SOCK_STREAM };
    for (int i = 0; i < 6; i++) {
        direct = i % 2;
        printf("kind %d, %s\n", kinds[i / 2], direct ? "by the calls themselves" : "by the C library");
        exchange(kinds[i / 2]);
    }
    return 0;
}
