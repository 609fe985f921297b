// chown and stat, in all their forms.
#include "show.h"

static void by_user(void) {
    SHOW(chown("of-1000", 1000, 1000)); show("of-1000");
    SHOW(chown("of-1000", -1, 50)); show("of-1000");
    SHOW(chown("of-1000", -1, 51)); show("of-1000");
    SHOW(chown("of-1000", 1001, -1)); show("of-1000");
    SHOW(chown("of-1000", -1, -1)); show("of-1000");
    SHOW(chown("of-1000", 1000, -1)); show("of-1000");
    SHOW(chown("file", 1000, 1000));
    SHOW(chown("file", -1, 50));
    SHOW(chown("file", -1, -1));
    SHOW(lchown("link-of-1000", -1, 50)); show("link-of-1000");
    SHOW(lchown("link-of-1000", 0, 0)); show("link-of-1000");
    int fd = open("of-1000", O_RDONLY);
    SHOW(fchown(fd, -1, 1000)); show("of-1000");
    SHOW(fchown(fd, 0, -1));
    close(fd);
    SHOW(chown("nothing", 0, 0));
    SHOW(chmod("of-1000", 04755)); show("of-1000");
    SHOW(chown("of-1000", -1, 50)); show("of-1000");
}

static void show_statx(int at, const char *path, int flags, unsigned mask) {
    struct statx s;
    memset(&s, 0xee, sizeof s);
    errno = 0;
    int result = statx(at, path, flags, mask, &s);
    if (result) printf("  statx %x %x: %s\n", flags, mask, strerrorname_np(errno));
    else printf("  statx %x %x: mode %o owner %u:%u device %u:%u zero %d\n", flags, mask, s.stx_mode, s.stx_uid, s.stx_gid,
                s.stx_rdev_major, s.stx_rdev_minor, s.__spare3[0] == 0);
}

int main(void) {
    struct stat s;
    umask(0);
    make("file", 06755);
    make("of-1000", 0644);
    mkdir("dir", 02775);
    mkfifo("fifo", 0644);
    symlink("file", "link");
    symlink("nowhere", "dangling");
    symlink("loop", "loop");
    symlink("file", "link-of-1000");
    lchown("link-of-1000", 1000, 1000);
    chown("of-1000", 1000, 1000);
    make("dir/file", 0644);

    SHOW(chown("file", 1, 2)); show("file");
    SHOW(chown("file", -1, 3)); show("file");
    SHOW(chown("file", 4, -1)); show("file");
    SHOW(chown("file", -1, -1)); show("file");
    SHOW(chmod("file", 06755)); SHOW(chown("file", -1, -1)); show("file");
    SHOW(chmod("file", 02644)); SHOW(chown("file", 4, 4)); show("file");
    SHOW(chown("dir", 5, 6)); show("dir");
    SHOW(chmod("dir", 07777)); SHOW(chown("dir", 5, 7)); show("dir");
    SHOW(chown("link", 7, 8)); show("link"); show("file");
    SHOW(lchown("link", 9, 10)); show("link"); show("file");
    SHOW(lchown("file", 11, 12)); show("file");
    SHOW(chown("dangling", 1, 1));
    SHOW(lchown("dangling", 13, 14)); show("dangling");
    SHOW(chown("loop", 1, 1));
    SHOW(lchown("loop", 15, 16)); show("loop");
    SHOW(chown("fifo", 17, 18)); show("fifo");
    SHOW(chown("file/", 1, 1));
    SHOW(chown("dir/", 19, 20)); show("dir");
    SHOW(lchown("link/", 1, 1));
    SHOW(chown("", 1, 1));
    SHOW(chown(NULL, 1, 1));
    SHOW(chown(NOWHERE, 1, 1));
    SHOW(chown("no/such", 1, 1));
    SHOW(chown("file/below", 1, 1));
    SHOW(chown("./dir/../file", 21, 22)); show("file");
    SHOW(chown("file", 4294967294u, 4294967294u)); show("file");
    static char longest[8200];
    memset(longest, 'x', sizeof longest - 1);
    SHOW(chown(longest, 1, 1));
    longest[300] = 0;
    SHOW(chown(longest, 1, 1));
    memset(longest, '/', 4096); strcpy(longest + 4090, "file");
    SHOW(chown(longest, 1, 1));
    memset(longest, '/', 4096); memcpy(longest, "./", 2); for (int i = 2; i < 4086; i += 2) memcpy(longest + i, "./", 2); strcpy(longest + 4086, "file");
    SHOW(chown(longest, 23, 24)); show("file");

    // A path that ends at the end of a page.
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    memcpy(pages + 4096 - 5, "file", 5);
    SHOW(chown(pages + 4096 - 5, 25, 26)); show("file");
    memcpy(pages + 4096 - 4, "file", 4);
    SHOW(chown(pages + 4096 - 4, 1, 1));

    int fd = open("file", O_RDONLY), dir = open("dir", O_RDONLY), path = open("file", O_PATH);
    int link = open("link", O_PATH | O_NOFOLLOW), writer = open("file", O_WRONLY);
    SHOW(fchown(fd, 31, 32)); show("file");
    SHOW(fchown(writer, 33, -1)); show("file");
    SHOW(fchown(dir, 34, 35)); show("dir");
    SHOW(fchown(path, 1, 1));
    SHOW(fchown(-1, 1, 1));
    SHOW(fchown(999, 1, 1));
    SHOW(fchownat(dir, "file", 36, 37, 0)); show("dir/file");
    SHOW(fchownat(dir, "../link", 38, 39, AT_SYMLINK_NOFOLLOW)); show("link");
    SHOW(fchownat(dir, "../link", 40, 41, 0)); show("file"); show("link");
    SHOW(fchownat(fd, "", 42, 43, AT_EMPTY_PATH)); show("file");
    SHOW(fchownat(path, "", 44, 45, AT_EMPTY_PATH)); show("file");
    SHOW(fchownat(link, "", 46, 47, AT_EMPTY_PATH)); show("link"); show("file");
    SHOW(fchownat(link, "", 48, 49, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)); show("link"); show("file");
    SHOW(fchownat(dir, "", 50, 51, AT_EMPTY_PATH)); show("dir");
    SHOW(fchownat(AT_FDCWD, "", 52, 53, AT_EMPTY_PATH)); show(".");
    SHOW(fchownat(dir, "", 1, 1, 0));
    SHOW(fchownat(dir, NULL, 1, 1, AT_EMPTY_PATH));
    SHOW(fchownat(fd, "file", 1, 1, 0));
    SHOW(fchownat(999, "file", 1, 1, 0));
    SHOW(fchownat(-5, "", 1, 1, AT_EMPTY_PATH));
    SHOW(fchownat(AT_FDCWD, "file", 1, 1, 0x8000));
    SHOW(fchownat(AT_FDCWD, "file", 1, 1, AT_REMOVEDIR));
    char by_number[64];
    sprintf(by_number, "/proc/self/fd/%d", fd);
    SHOW(chown(by_number, 54, 55)); show("file");
    sprintf(by_number, "/proc/self/fd/%d/file", dir);
    SHOW(chown(by_number, 56, 57)); show("dir/file");
    sprintf(by_number, "/dev/fd/%d", fd);
    SHOW(chown(by_number, 58, 59)); show("file");
    sprintf(by_number, "/proc/%d/cwd/file", getpid());
    SHOW(chown(by_number, 60, 61)); show("file");
    SHOW(chown("/proc/self/cwd/file", 62, 63)); show("file");
    SHOW(chown("/proc/thread-self/cwd/file", 64, 65)); show("file");
    SHOW(lchown("/proc/self/root/proc/self/cwd/link", 66, 67)); show("link");
    unlink("dir/file");
    SHOW(stat("/proc/self/cwd/dir/file", &s));
    make("gone", 0644);
    int gone = open("gone", O_RDWR);
    unlink("gone");
    SHOW(fchown(gone, 68, 69)); fstat(gone, &s); show_stat("deleted", &s);
    SHOW(fchownat(gone, "", 70, 71, AT_EMPTY_PATH)); fstat(gone, &s); show_stat("deleted", &s);
    mkdir("gone-dir", 0755);
    int gone_dir = open("gone-dir", O_RDONLY | O_DIRECTORY);
    rmdir("gone-dir");
    SHOW(fchownat(gone_dir, "x", 1, 1, 0));

    puts("stat");
    memset(&s, 0xee, sizeof s);
    SHOW(stat("file", &s)); show_stat("file", &s);
    SHOW(stat("link", &s)); show_stat("link", &s);
    SHOW(lstat("link", &s)); show_stat("link", &s);
    SHOW(stat("dangling", &s));
    SHOW(lstat("dangling", &s)); show_stat("dangling", &s);
    SHOW(stat("loop", &s));
    SHOW(fstat(fd, &s)); show_stat("fd", &s);
    SHOW(fstat(path, &s)); show_stat("path", &s);
    SHOW(fstat(link, &s)); show_stat("link", &s);
    SHOW(fstat(999, &s));
    SHOW(stat("", &s));
    SHOW(stat(NOWHERE, &s));
    SHOW(syscall(SYS_statx, AT_FDCWD, "file", 0, 0x7ff, NOWHERE));
    SHOW(fstatat(dir, "../file", &s, 0)); show_stat("at", &s);
    SHOW(fstatat(dir, "../link", &s, AT_SYMLINK_NOFOLLOW)); show_stat("at", &s);
    SHOW(fstatat(fd, "", &s, AT_EMPTY_PATH)); show_stat("empty", &s);
    SHOW(fstatat(link, "", &s, AT_EMPTY_PATH)); show_stat("empty", &s);
    SHOW(fstatat(AT_FDCWD, "", &s, AT_EMPTY_PATH)); show_stat("empty", &s);
    SHOW(fstatat(AT_FDCWD, "", &s, 0));
    SHOW(fstatat(AT_FDCWD, "file", &s, 0x40000));
    SHOW(fstatat(dir, "file/x", &s, AT_NO_AUTOMOUNT));
    for (unsigned mask = 1; mask <= STATX_BTIME; mask <<= 1) show_statx(AT_FDCWD, "file", 0, mask);
    show_statx(AT_FDCWD, "link", 0, STATX_BASIC_STATS);
    show_statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS);
    show_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS);
    show_statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_ALL);
    show_statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC, 0);
    show_statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0);
    show_statx(AT_FDCWD, "file", 0, 0x80000000u);
    show_statx(AT_FDCWD, "nothing", 0, STATX_ALL);
    show_statx(AT_FDCWD, "/dev/null", 0, STATX_ALL);

    puts("what is no file");
    int ends[2];
    pipe(ends); fstat(ends[0], &s); show_stat("pipe", &s);
    SHOW(fchown(ends[0], 1, 2)); fstat(ends[0], &s); show_stat("pipe", &s);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends); fstat(ends[0], &s); show_stat("socket", &s);
    int memory = memfd_create("m", 0); fstat(memory, &s); show_stat("memory", &s);
    stat("/proc", &s); show_stat("/proc", &s);
    stat("/sys", &s); show_stat("/sys", &s);
    stat("/dev/null", &s); show_stat("/dev/null", &s);
    stat("/proc/self/status", &s); printf("  %u:%u\n", s.st_uid, s.st_gid);
    SHOW(chown("/dev/null", 0, 0));

    puts("by a user");
    fchmod(dir, 0755); fchownat(AT_FDCWD, ".", 0, 0, 0); chmod(".", 0777);
    as(1000, 1000, by_user);

#ifdef __i386__
    puts("with 16 bits");
    SHOW(syscall(SYS_chown, "file", 3, 4)); show("file");
    SHOW(syscall(SYS_chown, "file", 65535, 5)); show("file");
    SHOW(syscall(SYS_lchown, "link", 6, 65535)); show("link");
    SHOW(syscall(SYS_fchown, fd, 65534, 7)); show("file");
    SHOW(chown("file", 70000, 80000)); show("file");
    unsigned short old[64];
    SHOW(syscall(SYS_stat, "file", old)); printf("  %o %u:%u\n", old[4], old[6], old[7]);
    SHOW(syscall(SYS_lstat, "link", old)); printf("  %o %u:%u\n", old[4], old[6], old[7]);
    SHOW(syscall(SYS_fstat, fd, old)); printf("  %o %u:%u\n", old[4], old[6], old[7]);
    struct stat64 large;
    SHOW(syscall(SYS_stat64, "file", &large)); printf("  %o %u:%u\n", large.st_mode, large.st_uid, large.st_gid);
    SHOW(syscall(SYS_lstat64, "link", &large)); printf("  %o %u:%u\n", large.st_mode, large.st_uid, large.st_gid);
    SHOW(syscall(SYS_fstat64, fd, &large)); printf("  %o %u:%u\n", large.st_mode, large.st_uid, large.st_gid);
    SHOW(syscall(SYS_fstatat64, dir, "../file", &large, 0)); printf("  %o %u:%u\n", large.st_mode, large.st_uid, large.st_gid);
    printf("%ld %ld %ld %ld\n", syscall(SYS_getuid), syscall(SYS_geteuid), syscall(SYS_getgid), syscall(SYS_getegid));
#endif
    return 0;
}
