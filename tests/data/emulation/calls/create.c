// What is created is its creator's; and creation fails as it should.
#include "show.h"
#include <linux/openat2.h>

static const char *flags_of(int fd) {
    static char text[64];
    int flags = fcntl(fd, F_GETFL);
    sprintf(text, "%x %d", flags & ~O_LARGEFILE, fcntl(fd, F_GETFD));
    return text;
}
#define OPEN(call)                                                                        \
    do {                                                                                  \
        errno = 0;                                                                        \
        int fd_ = (call);                                                                 \
        if (fd_ < 0) printf("%s: %s\n", #call, strerrorname_np(errno));                   \
        else {                                                                            \
            struct stat s_;                                                               \
            printf("%s: flags %s\n", #call, flags_of(fd_));                               \
            fstat(fd_, &s_); show_stat("fd", &s_);                                        \
            close(fd_);                                                                   \
        }                                                                                 \
        fflush(stdout);                                                                   \
    } while (0)
static int open2(int at, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve, size_t size) {
    struct { struct open_how how; uint64_t more; } a = { { flags, mode, resolve }, 0 };
    return syscall(SYS_openat2, at, path, &a, size);
}
#define HOW sizeof(struct open_how)

static void all(void) {
    int low = dup(0);
    close(low);
    umask(022);
    OPEN(open("new", O_CREAT | O_RDWR, 0666)); show("new");
    OPEN(open("new", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
    OPEN(open("new", O_CREAT | O_EXCL | O_WRONLY, 0600));
    OPEN(open("new", O_CREAT | O_DIRECTORY, 0600));
    OPEN(open("new", O_CREAT | O_TRUNC | O_NONBLOCK | O_RDWR, 0600));
    OPEN(open("suid", O_CREAT | O_WRONLY, 07777)); show("suid");
    OPEN(open("none", O_CREAT | O_WRONLY, 0)); show("none");
    OPEN(open("read-only", O_CREAT | O_RDONLY | O_EXCL, 0444)); show("read-only");
    umask(077);
    OPEN(open("masked", O_CREAT | O_WRONLY, 0777)); show("masked");
    SHOW(mkdir("masked-dir", 0777)); show("masked-dir");
    umask(0);
    OPEN(creat("creat", 0666)); show("creat");
    OPEN(creat("creat", 0600)); show("creat");
    SHOW(symlink("made-through-link", "dangling"));
    OPEN(open("dangling", O_CREAT | O_WRONLY, 0644)); show("dangling"); show("made-through-link");
    SHOW(symlink("d2", "d1")); SHOW(symlink("dir-later/x", "d2"));
    OPEN(open("d1", O_CREAT | O_WRONLY, 0644));
    SHOW(mkdir("dir-later", 0755));
    OPEN(open("d1", O_CREAT | O_WRONLY, 0644)); show("dir-later/x");
    SHOW(symlink("not-yet", "excl"));
    OPEN(open("excl", O_CREAT | O_EXCL | O_WRONLY, 0644)); show("not-yet");
    OPEN(open("excl", O_CREAT | O_NOFOLLOW | O_WRONLY, 0644));
    SHOW(symlink("loop", "loop"));
    OPEN(open("loop", O_CREAT | O_WRONLY, 0644));
    OPEN(open("dir-later", O_CREAT | O_WRONLY, 0644));
    OPEN(open("dir-later/", O_CREAT | O_WRONLY, 0644));
    OPEN(open("slash/", O_CREAT | O_WRONLY, 0644));
    OPEN(open("no/such", O_CREAT | O_WRONLY, 0644));
    OPEN(open("new/below", O_CREAT | O_WRONLY, 0644));
    OPEN(open("", O_CREAT | O_WRONLY, 0644));
    OPEN(open(NOWHERE, O_CREAT | O_WRONLY, 0644));
    OPEN(open("path", O_CREAT | O_PATH, 0644)); show("path");
    OPEN(open(".", O_TMPFILE | O_RDWR, 0640));
    OPEN(open(".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0640));
    OPEN(open(".", O_TMPFILE | O_RDONLY, 0640));
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    char by_number[64];
    sprintf(by_number, "/proc/self/fd/%d", fd);
    SHOW(linkat(AT_FDCWD, by_number, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW)); show("linked");
    close(fd);
    int dir = open("dir-later", O_RDONLY | O_DIRECTORY);
    OPEN(openat(dir, "at", O_CREAT | O_WRONLY, 0644)); show("dir-later/at");
    OPEN(openat(dir, "../up", O_CREAT | O_WRONLY, 0644)); show("up");
    OPEN(openat(999, "at", O_CREAT | O_WRONLY, 0644));
    fd = open("new", O_RDONLY);
    OPEN(openat(fd, "at", O_CREAT | O_WRONLY, 0644));
    close(fd);
    sprintf(by_number, "/proc/self/fd/%d/by-number", dir);
    OPEN(open(by_number, O_CREAT | O_WRONLY, 0644)); show("dir-later/by-number");
    OPEN(open("/proc/self/cwd/by-cwd", O_CREAT | O_WRONLY, 0644)); show("by-cwd");
    SHOW(mkdirat(dir, "sub", 01777)); show("dir-later/sub");
    SHOW(mkdir("suid-dir", 07777)); show("suid-dir");
    SHOW(mkdir("new", 0755)); SHOW(mkdir("no/such", 0755)); SHOW(mkdir(".", 0755)); SHOW(mkdir("", 0755)); SHOW(mkdir("dangling-dir/", 0755));
    SHOW(mkdir("excl", 0755)); SHOW(mkdir("/", 0755)); SHOW(mkdir(NOWHERE, 0755));
    SHOW(symlinkat("target", dir, "link")); show("dir-later/link");
    SHOW(symlink("", "empty")); SHOW(symlink("x", "new")); SHOW(symlink("x", "")); SHOW(symlink(NOWHERE, "y"));
    SHOW(mknod("reg", S_IFREG | 0640, 0)); show("reg");
    SHOW(mknod("zero-type", 0640, 0)); show("zero-type");
    SHOW(mknod("sock", S_IFSOCK | 0640, 0)); show("sock");
    SHOW(mknod("fifo", S_IFIFO | 0640, 0)); show("fifo");
    SHOW(mknod("chr", S_IFCHR | 0640, makedev(1, 3))); show("chr");
    SHOW(mknod("blk", S_IFBLK | 0640, makedev(259, 1048575))); show("blk");
    SHOW(mknod("wh", S_IFCHR | 0640, 0)); show("wh");
    SHOW(mknod("dir-type", S_IFDIR | 0640, 0)); SHOW(mknod("bad-type", S_IFMT | 0640, 0)); SHOW(mknod("reg", S_IFREG | 0640, 0));
    SHOW(mknodat(dir, "fifo", S_IFIFO | 0640, 0)); show("dir-later/fifo");
    SHOW(link("new", "hard")); show("hard");
    SHOW(rename("hard", "moved")); show("moved");
    umask(027);
    OPEN(open2(AT_FDCWD, "o2", O_CREAT | O_WRONLY, 0666, 0, HOW)); show("o2");
    OPEN(open2(AT_FDCWD, "o2", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666, 0, HOW));
    OPEN(open2(dir, "beneath", O_CREAT | O_WRONLY | O_CLOEXEC, 0666, RESOLVE_BENEATH, HOW)); show("dir-later/beneath");
    OPEN(open2(dir, "../beneath", O_CREAT | O_WRONLY, 0666, RESOLVE_BENEATH, HOW));
    OPEN(open2(dir, "/in-root", O_CREAT | O_WRONLY, 0666, RESOLVE_IN_ROOT, HOW)); show("dir-later/in-root");
    OPEN(open2(dir, "../in-root2", O_CREAT | O_WRONLY, 0666, RESOLVE_IN_ROOT, HOW)); show("dir-later/in-root2");
    OPEN(open2(AT_FDCWD, "dangling", O_WRONLY, 0, RESOLVE_NO_SYMLINKS, HOW));
    OPEN(open2(AT_FDCWD, "d1", O_CREAT | O_WRONLY, 0644, RESOLVE_NO_SYMLINKS, HOW));
    OPEN(open2(AT_FDCWD, "/proc/self/fd/0", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS, HOW));
    OPEN(open2(AT_FDCWD, "/dev/shm/x", O_CREAT | O_RDONLY, 0644, RESOLVE_NO_XDEV, HOW));
    OPEN(open2(AT_FDCWD, "o2", O_RDONLY, 0600, 0, HOW));
    OPEN(open2(AT_FDCWD, "o2", O_RDONLY, 0, 1 << 20, HOW));
    OPEN(open2(AT_FDCWD, "o2", 1u << 31, 0, 0, HOW));
    OPEN(open2(AT_FDCWD, "bigger", O_CREAT | O_RDONLY, 0600, 0, HOW + 8)); show("bigger");
    OPEN(open2(AT_FDCWD, "o2", O_RDONLY, 0, 0, HOW - 8));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "o2", NOWHERE, HOW));
    OPEN(open2(AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0666, 0, HOW));
    // In somebody else's directories.
    OPEN(open("closed/x", O_CREAT | O_RDWR, 0666)); show("closed/x");
    SHOW(mkdir("setgid/dir", 0755)); show("setgid/dir");
    OPEN(open("setgid/file", O_CREAT | O_RDWR, 02775)); show("setgid/file");
    SHOW(mkfifo("setgid/fifo", 0666)); show("setgid/fifo");
    SHOW(symlink("x", "setgid/link")); show("setgid/link");
    OPEN(open("setgid", O_TMPFILE | O_RDWR, 0666));
    OPEN(open("setgid/dir/deep", O_CREAT | O_RDWR, 0666)); show("setgid/dir/deep");
    // Sockets.
    for (int i = 0; i < 2; i++) {
        struct sockaddr_un name = { AF_UNIX, "" };
        strcpy(name.sun_path, i ? "setgid/socket" : "socket");
        int s = socket(AF_UNIX, SOCK_STREAM, 0);
        SHOW(bind(s, (struct sockaddr *)&name, sizeof name)); show(name.sun_path);
        SHOW(bind(s, (struct sockaddr *)&name, sizeof name));
        int t = socket(AF_UNIX, SOCK_DGRAM, 0);
        SHOW(bind(t, (struct sockaddr *)&name, sizeof name));
        // Abstract names are for all who share a network.
        memset(name.sun_path, 0, sizeof name.sun_path);
        sprintf(name.sun_path + 1, "%d-%ld", i, (long)time(NULL) * 100000 + getpid());
        SHOW(bind(t, (struct sockaddr *)&name, sizeof name));
        SHOW(bind(t, NOWHERE, 20));
        SHOW(bind(999, (struct sockaddr *)&name, sizeof name));
        socklen_t length = sizeof name;
        getsockname(s, (struct sockaddr *)&name, &length);
        printf("  %s %d\n", name.sun_path, (int)length);
        close(s); close(t);
    }
    // The lowest descriptor, and none left.
    fd = open("lowest", O_CREAT | O_WRONLY, 0600);
    int next = open("lowest", O_RDONLY);
    printf("lowest first: %d\n", next > fd);
    close(fd);
    printf("and again: %d\n", open("lowest-2", O_CREAT | O_WRONLY, 0600) == fd);
    close(fd);
    while (dup(0) >= 0) ;
    SHOW(open("too-many", O_CREAT | O_WRONLY, 0600));
    for (int i = 10; i < 1100; i++) close(i);
    show("too-many");
    SHOW(unlink("too-many"));
    // A directory that is gone.
    SHOW(mkdir("gone", 0777)); SHOW(chdir("gone")); SHOW(rmdir("../gone"));
    SHOW(open("x", O_CREAT | O_WRONLY, 0600)); SHOW(mkdir("y", 0700)); SHOW(symlink("x", "z"));
}

static void *apart(void *unused) {
    (void)unused;
    // A thread with a directory, a root and a umask of its own.
    unshare(CLONE_FS);
    mkdir("of-thread", 0777);
    chdir("of-thread");
    umask(0177);
    close(open("file", O_CREAT | O_WRONLY, 0777));
    return NULL;
}
static void threads(void) {
    pthread_t thread;
    umask(0);
    pthread_create(&thread, NULL, apart, NULL);
    pthread_join(thread, NULL);
    show("of-thread/file");
    close(open("of-main", O_CREAT | O_WRONLY, 0777));
    show("of-main");
}

static void place(const char *name) {
    umask(0);
    mkdir(name, 0777); chdir(name);
    mkdir("setgid", 0755); chown("setgid", 0, 77); chmod("setgid", 02777);
    mkdir("closed", 0755); chown("closed", 33, 33);
    printf("== %s\n", name);
    fflush(stdout);
}
int main(void) {
    syscall(SYS_prlimit64, 0, 7, (uint64_t[]){ 1024, 1024 }, NULL);
    place("root");
    as(0, 0, all);
    as(0, 0, threads);
    chdir("..");
    place("user");
    chmod("closed", 0777);
    as(1000, 1000, all);
    as(1000, 1000, threads);
    return 0;
}
