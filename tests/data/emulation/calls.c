/*
 * Makes system calls in all their forms, and prints what each answered: real root and emulated root
 * must print the same. Built for 64 and for 32 bits, without a C library, whose headers and choice
 * of calls would be in the way:
 *
 *     cc -m64|-m32 -O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pic -no-pie \
 *         -nostdinc -isystem /usr/include/x86_64-linux-gnu -isystem /usr/include
 *
 *     calls DIRECTORY     works in DIRECTORY, which it makes
 *     calls --refused     the calls that would go past emulation
 *
 * What depends on the machine is not printed but compared with what statx says.
 */
#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/stat.h>

typedef unsigned long word;
typedef unsigned int u32;
typedef unsigned long long u64;

#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EMPTY_PATH 0x1000
#define EOVERFLOW 75

#ifdef __i386__
static long call6(long number, long a, long b, long c, long d, long e) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
    return result;
}
#else
static long call6(long number, long a, long b, long c, long d, long e) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

/* i386's calls, which a program of 64 bits can make too. */
static long narrow(long number, long a, long b, long c, long d, long e) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "r8", "r9", "r10", "r11", "memory");
    return result;
}
#endif

#define call(number, a, b, c, d, e) \
    call6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static char line[4096];
static int length;

static void text(const char *s) {
    while (*s) line[length++] = *s++;
}

static void octal(word n) {
    char digits[24];
    int count = 0;
    do digits[count++] = '0' + (n & 7);
    while (n >>= 3);
    while (count) line[length++] = digits[--count];
}

static void decimal(long n) {
    char digits[24];
    int count = 0;
    word rest = n < 0 ? -(word)n : (word)n;
    if (n < 0) line[length++] = '-';
    do digits[count++] = '0' + rest % 10;
    while (rest /= 10);
    while (count) line[length++] = digits[--count];
}

static void end(void) {
    line[length++] = '\n';
    call(__NR_write, 1, line, length, 0, 0);
    length = 0;
}

static void field(const char *name, long value) {
    text(" ");
    text(name);
    text("=");
    decimal(value);
}

static long said(const char *name, long result) {
    text(name);
    text(" = ");
    decimal(result);
    end();
    return result;
}

#define say(number, a, b, c, d, e) said(#number, call(__NR_##number, a, b, c, d, e))

/* What statx says of the file that is shown. */
static struct statx truth;

static u32 device(u32 major, u32 minor) {
    return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

#define BEGIN(form) \
    text("  " form);
#define COMPARE(what) \
    if (!(what)) text(" WRONG:" #what);

/* What all forms have. */
#define SHOW(form, result, s, seconds) do { \
    long r = result; \
    BEGIN(form) \
    if (r) { field("error", r); end(); break; } \
    text(" mode="); \
    octal((s).st_mode); \
    field("nlink", (s).st_nlink); \
    field("uid", (s).st_uid); \
    field("gid", (s).st_gid); \
    field("rdev", (s).st_rdev); \
    field("size", (s).st_size); \
    field("mtime", (s).st_mtime); \
    COMPARE((s).st_ino == truth.stx_ino) \
    COMPARE((s).st_ctime == (seconds)truth.stx_ctime.tv_sec) \
    COMPARE((s).st_atime == (seconds)truth.stx_atime.tv_sec) \
    end(); \
} while (0)

/* And what all but the oldest have. */
#define SHOW_ALL(form, result, s, seconds) do { \
    long answer = result; \
    if (!answer) { \
        BEGIN(form " more") \
        field("nsec", (s).st_mtime_nsec); \
        COMPARE((s).st_dev == device(truth.stx_dev_major, truth.stx_dev_minor)) \
        COMPARE((u64)(s).st_blocks == truth.stx_blocks) \
        COMPARE((u32)(s).st_blksize == truth.stx_blksize) \
        COMPARE((s).st_ctime_nsec == truth.stx_ctime.tv_nsec) \
        end(); \
    } \
    SHOW(form, answer, s, seconds); \
} while (0)

static void show(const char *path) {
    struct stat plain;
    int fd = call(__NR_open, path, O_PATH | O_NOFOLLOW, 0, 0, 0);
    long result = call(__NR_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_ALL, &truth);
    text(path);
    text(": statx");
    field("result", result);
    text(" mode=");
    octal(truth.stx_mode);
    field("nlink", truth.stx_nlink);
    field("uid", truth.stx_uid);
    field("gid", truth.stx_gid);
    field("major", truth.stx_rdev_major);
    field("minor", truth.stx_rdev_minor);
    field("size", truth.stx_size);
    field("mtime", truth.stx_mtime.tv_sec);
    end();
    SHOW_ALL("lstat", call(__NR_lstat, path, &plain, 0, 0, 0), plain, word);
    SHOW_ALL("fstat", call(__NR_fstat, fd, &plain, 0, 0, 0), plain, word);
#ifdef __i386__
    struct stat64 wide;
    struct __old_kernel_stat old;
    SHOW_ALL("lstat64", call(__NR_lstat64, path, &wide, 0, 0, 0), wide, word);
    COMPARE((u32)wide.__st_ino == (u32)truth.stx_ino)
    SHOW_ALL("fstat64", call(__NR_fstat64, fd, &wide, 0, 0, 0), wide, word);
    SHOW_ALL("fstatat64", call(__NR_fstatat64, AT_FDCWD, path, &wide, AT_SYMLINK_NOFOLLOW, 0), wide,
             word);
    SHOW_ALL("fstatat64 of a descriptor", call(__NR_fstatat64, fd, "", &wide, AT_EMPTY_PATH, 0),
             wide, word);
    /* The first inodes of a file system alone fit. */
    if (truth.stx_ino > 0xffff) {
        COMPARE(call(__NR_oldlstat, path, &old, 0, 0, 0) == -EOVERFLOW)
        COMPARE(call(__NR_oldfstat, fd, &old, 0, 0, 0) == -EOVERFLOW)
        text("  oldlstat does not show the inode");
        end();
    } else {
        SHOW("oldlstat", call(__NR_oldlstat, path, &old, 0, 0, 0), old, word);
        SHOW("oldfstat", call(__NR_oldfstat, fd, &old, 0, 0, 0), old, word);
    }
#else
    SHOW_ALL("newfstatat", call(__NR_newfstatat, AT_FDCWD, path, &plain, AT_SYMLINK_NOFOLLOW, 0),
             plain, word);
    SHOW_ALL("newfstatat of a descriptor", call(__NR_newfstatat, fd, "", &plain, AT_EMPTY_PATH, 0),
             plain, word);
#endif
    call(__NR_close, fd, 0, 0, 0, 0);
}

static void owners(const char *path) {
    int fd = call(__NR_open, path, O_RDONLY | O_NONBLOCK, 0, 0, 0);
    say(chown, path, 33, 5, 0, 0);
    show(path);
    say(chown, path, -1, 44, 0, 0);
    say(lchown, path, 45, -1, 0, 0);
    show(path);
    say(fchown, fd, 0xffff, 46, 0, 0);
    show(path);
    say(fchownat, AT_FDCWD, path, 70000, -1, 0);
    say(fchownat, fd, "", -1, 80000, AT_EMPTY_PATH);
    show(path);
#ifdef __i386__
    say(chown32, path, 70001, -1, 0, 0);
    say(lchown32, path, -1, 80001, 0, 0);
    show(path);
    say(fchown32, fd, 0xffff, 0xfffe, 0, 0);
    show(path);
#else
    said("chown of i386", narrow(182, (long)path, 0xffff, 47, 0, 0));
    show(path);
    said("chown32 of i386", narrow(212, (long)path, 70001, -1, 0, 0));
    said("fchownat of i386", narrow(298, AT_FDCWD, (long)path, -1, 80001, 0));
    /* What is left in the upper halves of the registers is nothing to it. */
    said("lchown32 of i386", narrow(198, (long)path | 5L << 32, 48 | 6L << 32, 49 | 7L << 32, 0, 0));
    show(path);
#endif
    say(chown, path, 0, 0, 0, 0);
    show(path);
    call(__NR_close, fd, 0, 0, 0, 0);
}

/* The ids are read after the call. */
#define ids(name, result, a, b, c) do { \
    long answer = result; \
    text(name); \
    field("", answer); \
    field("", a); \
    field("", b); \
    field("", c); \
    end(); \
} while (0)

static void identity(void) {
    u32 r = 9, e = 9, s = 9;
    say(getuid, 0, 0, 0, 0, 0);
    say(geteuid, 0, 0, 0, 0, 0);
    say(getgid, 0, 0, 0, 0, 0);
    say(getegid, 0, 0, 0, 0, 0);
#ifdef __i386__
    unsigned short r16 = 9, e16 = 9, s16 = 9;
    say(getuid32, 0, 0, 0, 0, 0);
    say(geteuid32, 0, 0, 0, 0, 0);
    say(getgid32, 0, 0, 0, 0, 0);
    say(getegid32, 0, 0, 0, 0, 0);
    ids("getresuid", call(__NR_getresuid, &r16, &e16, &s16, 0, 0), r16, e16, s16);
    ids("getresgid", call(__NR_getresgid, &r16, &e16, &s16, 0, 0), r16, e16, s16);
    ids("getresuid32", call(__NR_getresuid32, &r, &e, &s, 0, 0), r, e, s);
    ids("getresgid32", call(__NR_getresgid32, &r, &e, &s, 0, 0), r, e, s);
#else
    said("getuid of i386", narrow(24, 0, 0, 0, 0, 0));
    said("getuid32 of i386", narrow(199, 0, 0, 0, 0, 0));
    ids("getresuid", call(__NR_getresuid, &r, &e, &s, 0, 0), r, e, s);
    ids("getresgid", call(__NR_getresgid, &r, &e, &s, 0, 0), r, e, s);
#endif
}

#ifdef __i386__
#define WIDE(number) number##32
#else
#define WIDE(number) number
#endif
#define say_wide(number, a, b, c) say_(WIDE(number), a, b, c)
#define say_(number, a, b, c) say(number, a, b, c, 0, 0)

/* Who is at the other end of a socket. */
static void peer(void) {
    int pair[2];
    /* Not on the stack, where i386's calls cannot reach it. */
    static struct { int process, user, group; } peer;
    static int size;
    size = sizeof peer;
    peer.user = peer.group = -1;
    say(socketpair, 1, 1, 0, pair, 0);
    ids("getsockopt", call(__NR_getsockopt, pair[0], 1, 17, &peer, &size), peer.user, peer.group,
        size);
#ifdef __i386__
    long arguments[5] = {pair[1], 1, 17, (long)&peer, (long)&size};
    peer.user = peer.group = -1;
    ids("socketcall", call(__NR_socketcall, 15, arguments, 0, 0, 0), peer.user, peer.group, size);
    peer.user = peer.group = -1;
#else
    peer.user = peer.group = -1;
    ids("getsockopt of i386", narrow(365, pair[1], 1, 17, (long)&peer, (long)&size), peer.user,
        peer.group, size);
#endif
    /* SO_TYPE, which is nobody's business but the kernel's. */
    ids("getsockopt", call(__NR_getsockopt, pair[0], 1, 3, &peer, &size), size, 0, 0);
    call(__NR_close, pair[0], 0, 0, 0, 0);
    call(__NR_close, pair[1], 0, 0, 0, 0);
}

/* RLIMIT_LOCKS, which nobody but emulation uses, is infinite. */
static void limits(void) {
    word limit[2] = {1, 2};
    u64 wide[2] = {1, 2};
    ids("prlimit64", call(__NR_prlimit64, 0, 10, 0, wide, 0), wide[0] == -1ull, wide[1] == -1ull, 0);
#ifdef __i386__
    ids("ugetrlimit", call(__NR_ugetrlimit, 10, limit, 0, 0, 0), limit[0], limit[1], 0);
    ids("getrlimit", call(__NR_getrlimit, 10, limit, 0, 0, 0), limit[0], limit[1], 0);
#else
    ids("getrlimit", call(__NR_getrlimit, 10, limit, 0, 0, 0), limit[0] == -1ul, limit[1] == -1ul,
        0);
    static u32 narrow_limit[2];
    ids("ugetrlimit of i386", narrow(191, 10, (long)narrow_limit, 0, 0, 0), narrow_limit[0],
        narrow_limit[1], 0);
    ids("getrlimit of i386", narrow(76, 10, (long)narrow_limit, 0, 0, 0), narrow_limit[0],
        narrow_limit[1], 0);
#endif
}

static void identities(void) {
    u32 many[3] = {5, 70000, 65535}, found[4] = {1, 2, 3, 4};
    identity();
    limits();
    peer();
    say_wide(setgroups, 3, many, 0);
    said("getgroups", call(__NR_getgroups, 0, 0, 0, 0, 0));
#ifdef __i386__
    unsigned short few[2] = {7, 0xffff}, short_found[4] = {1, 2, 3, 4};
    ids("getgroups", call(__NR_getgroups, 4, short_found, 0, 0, 0), short_found[0], short_found[1],
        short_found[2]);
    ids("getgroups32", call(__NR_getgroups32, 4, found, 0, 0, 0), found[0], found[1], found[2]);
    say(setgroups, 2, few, 0, 0, 0);
    ids("getgroups32", call(__NR_getgroups32, 4, found, 0, 0, 0), found[0], found[1], found[2]);
#else
    ids("getgroups", call(__NR_getgroups, 4, found, 0, 0, 0), found[0], found[1], found[2]);
#endif
    say(getgroups, 1, found, 0, 0, 0);
    say(setgid, 12, 0, 0, 0, 0);
    say(setregid, -1, 13, 0, 0, 0);
    identity();
    say_wide(setresgid, 70000, -1, 14);
    say(setfsgid, 15, 0, 0, 0, 0);
    say(setfsgid, -1, 0, 0, 0, 0);
    identity();
    say(setresuid, -1, 33, -1, 0, 0);
    identity();
    limits();
    peer();
    say_wide(setreuid, 70000, -1, 0);
    identity();
    say(setuid, 0, 0, 0, 0, 0);
    say(setfsuid, 16, 0, 0, 0, 0);
    say(setfsuid, -1, 0, 0, 0, 0);
    say_wide(setresuid, 70000, 70000, 70000);
    identity();
    say(setuid, 0, 0, 0, 0, 0);
}

/* A descriptor's file, whatever name it has. */
static void show_descriptor(const char *what, int fd) {
    struct stat s;
    text(what);
    field(": fstat", call(__NR_fstat, fd, &s, 0, 0, 0));
    text(" mode=");
    octal(s.st_mode);
    field("nlink", s.st_nlink);
    field("uid", s.st_uid);
    field("gid", s.st_gid);
    end();
}

/* Gives a file times that do not depend on when the program runs. */
static void settle(const char *path) {
    struct { long seconds, nanoseconds; } times[2] = {{1000000000, 1}, {1234567890, 123456789}};
    call(__NR_utimensat, AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW, 0);
}

static void descriptors(void) {
    int pipe[2];
    int file = call(__NR_open, "gone", O_CREAT | O_RDWR, 0600, 0, 0);
    int path = call(__NR_open, "file", O_PATH, 0, 0, 0);
    int directory = call(__NR_open, "directory", O_RDONLY | O_DIRECTORY, 0, 0, 0);
    say(fchown, 99, 1, 1, 0, 0);
    say(fchownat, 99, "", 1, 1, AT_EMPTY_PATH);
    say(fchownat, 99, "file", 1, 1, 0);
    say(fchownat, path, "", 2, 2, AT_EMPTY_PATH);
    say(fchownat, path, "", 3, 3, 0);
    say(fchownat, path, "file", 3, 3, 0);
    say(fchownat, directory, "../file", 4, 4, 0);
    say(fchownat, directory, "", 5, 5, AT_EMPTY_PATH);
    say(fchownat, AT_FDCWD, "", 6, 6, AT_EMPTY_PATH);
    say(fchownat, AT_FDCWD, "link", 7, 7, AT_SYMLINK_NOFOLLOW);
    say(fchownat, AT_FDCWD, "link", 8, 8, 0);
    say(fchownat, AT_FDCWD, "file", 9, 9, 0x200);
    show("file");
    show("link");
    show("directory");
    settle(".");
    show(".");
    say(unlink, "gone", 0, 0, 0, 0);
    say(fchown, file, 10, 11, 0, 0);
    show_descriptor("gone", file);
    call(__NR_pipe, pipe, 0, 0, 0, 0);
    say(fchown, pipe[1], 12, 13, 0, 0);
    show_descriptor("pipe", pipe[0]);
    for (int fd = file; fd <= pipe[1]; fd++) call(__NR_close, fd, 0, 0, 0, 0);
}

static void work(const char *directory) {
    static const char *const files[] = {"file", "other name", "directory", "fifo", "link", "character", "block"};
    call(__NR_umask, 022, 0, 0, 0, 0);
    say(mkdir, directory, 0755, 0, 0, 0);
    say(chdir, directory, 0, 0, 0, 0);
    int fd = call(__NR_open, "file", O_CREAT | O_WRONLY, 0640, 0, 0);
    say(write, fd, "hello", 5, 0, 0);
    say(fsync, fd, 0, 0, 0, 0);
    say(close, fd, 0, 0, 0, 0);
    say(link, "file", "other name", 0, 0, 0);
    say(mkdir, "directory", 0711, 0, 0, 0);
    say(mknod, "fifo", 010600, 0, 0, 0);
    say(symlink, "file", "link", 0, 0, 0);
    say(mknod, "character", 020640, device(1, 77), 0, 0);
    say(mknodat, AT_FDCWD, "block", 060600, device(6, 300), 0);
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        settle(files[i]);
        show(files[i]);
    }
    owners("file");
    owners("fifo");
    owners("link");
    say(lchown, "link", 50, 51, 0, 0);
    say(lchown, "character", 52, 53, 0, 0);
    say(chown, "directory", 54, 55, 0, 0);
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) show(files[i]);
    say(chown, "missing", 1, 1, 0, 0);
    say(lchown, "file/missing", 1, 1, 0, 0);
    descriptors();
    say(chown, 8, 1, 1, 0, 0);
    say(fstat, 99, line + 1000, 0, 0, 0);
    say(lstat, "file", 8, 0, 0, 0);
    identities();
}

static void refused(void) {
    static char parameters[120];
    say(io_uring_setup, 1, parameters, 0, 0, 0);
    say(io_uring_enter, -1, 0, 0, 0, 0);
    say(io_uring_register, -1, 0, 0, 0, 0);
#ifndef __i386__
    said("io_uring_setup of i386", narrow(425, 1, (long)parameters, 0, 0, 0));
    said("getpid of x32", call(0x40000000 + __NR_getpid, 0, 0, 0, 0, 0));
#endif
}

__attribute__((used)) static void begin(word *stack) {
    const char *argument = stack[0] > 1 ? (const char *)stack[2] : "--refused";
    if (argument[0] == '-') refused();
    else work(argument);
    call(__NR_exit_group, 0, 0, 0, 0, 0);
}

#ifdef __i386__
__asm__(".globl _start\n_start: movl %esp, %eax\n andl $-16, %esp\n subl $12, %esp\n pushl %eax\n call begin\n");
#else
__asm__(".globl _start\n_start: movq %rsp, %rdi\n andq $-16, %rsp\n call begin\n");
#endif
