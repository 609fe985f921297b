// Extended attributes: capabilities, access control lists, and what a list shows.
#include "show.h"

#define ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"
#define CAPS "security.capability"

static void list(const char *path) {
    char names[4096];
    ssize_t size = llistxattr(path, names, sizeof names);
    printf("  %s lists %zd:", path, size);
    // File systems have them in orders of their own.
    const char *known[] = { "user.a", "user.b", "user.c", "user.x", CAPS, ACL, DEFAULT_ACL };
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        for (ssize_t at = 0; at < size; at += strlen(names + at) + 1)
            if (!strcmp(names + at, known[i])) printf(" %s", names + at);
    printf("; size alone %zd\n", llistxattr(path, NULL, 0));
    fflush(stdout);
}
static void value(const char *path, const char *name) {
    unsigned char bytes[512];
    ssize_t size = lgetxattr(path, name, bytes, sizeof bytes);
    if (size < 0) { printf("  %s %s: %s\n", path, name, strerrorname_np(errno)); return; }
    printf("  %s %s:", path, name);
    for (ssize_t i = 0; i < size; i++) {
        // Entries that name others are not kept: the kernel has no numbers for them here.
        if (!strncmp(name, "system.", 7) && i % 8 == 4 && (bytes[i] == 2 || bytes[i] == 8)) { i += 7; continue; }
        printf(" %02x", bytes[i]);
    }
    printf("\n");
    fflush(stdout);
}
struct entry { uint16_t tag, permissions; uint32_t id; };
struct acl { uint32_t version; struct entry entries[8]; };
static int set_acl(const char *path, const char *name, int count, struct acl acl) {
    return setxattr(path, name, &acl, 4 + 8 * count, 0);
}
static const unsigned char v2[20] = { 1, 0, 0, 2, 0, 0x20, 0, 0 }, v3[24] = { 1, 0, 0, 3, 0, 0x20, 0, 0, [20] = 0 };
static void by_user(void) {
    SHOW(setxattr("of-user", "user.x", "y", 1, 0)); list("of-user");
    SHOW(setxattr("of-user", CAPS, v2, 20, 0));
    SHOW(removexattr("of-user", CAPS));
    SHOW(set_acl("of-user", ACL, 3, (struct acl){ 2, { { 1, 6, -1 }, { 4, 4, -1 }, { 32, 0, -1 } } })); show("of-user");
    SHOW(set_acl("of-user", ACL, 5, (struct acl){ 2, { { 1, 6, -1 }, { 2, 6, 33 }, { 4, 4, -1 }, { 16, 6, -1 }, { 32, 0, -1 } } })); show("of-user"); value("of-user", ACL);
    SHOW(set_acl("file", ACL, 3, (struct acl){ 2, { { 1, 6, -1 }, { 4, 4, -1 }, { 32, 0, -1 } } }));
    SHOW(set_acl("file", ACL, 5, (struct acl){ 2, { { 1, 6, -1 }, { 2, 6, 33 }, { 4, 4, -1 }, { 16, 6, -1 }, { 32, 0, -1 } } }));
    SHOW(setxattr("file", "trusted.x", "y", 1, 0));
}
int main(void) {
    char names[64];
    umask(0);
    chmod(".", 0777);
    make("file", 0644); mkdir("dir", 0755); symlink("file", "link"); mkfifo("fifo", 0644); make("of-user", 0644);
    chown("file", 5, 6); chown("dir", 5, 6); lchown("link", 5, 6); chown("fifo", 5, 6); chown("of-user", 1000, 1000);
    puts("lists do not show what is ours");
    list("file"); list("dir"); list("link"); list("fifo"); list(".");
    SHOW(getxattr("fifo", CAPS, names, 24)); SHOW(lgetxattr("fifo", CAPS, names, 20)); SHOW(lgetxattr("link", CAPS, names, 24)); SHOW(getxattr("link", CAPS, names, 20));
    SHOW(getxattr("missing", CAPS, names, 20)); SHOW(getxattr("fifo", NOWHERE, names, 20)); SHOW(getxattr("fifo", "user.none", names, 20));
    SHOW(setxattr("file", "user.a", "1", 1, 0)); SHOW(setxattr("file", "user.b", "", 0, XATTR_CREATE)); SHOW(setxattr("file", "user.b", "", 0, XATTR_CREATE));
    SHOW(setxattr("dir", "user.c", "2", 1, XATTR_REPLACE)); SHOW(setxattr("dir", "user.c", "2", 1, 0));
    list("file"); list("dir");
    SHOW(listxattr("file", names, 3)); SHOW(listxattr("file", names, 14)); SHOW(listxattr("file", NOWHERE, 64)); SHOW(listxattr("missing", names, 64)); SHOW(listxattr("link", names, 64));
    int fd = open("file", O_RDONLY), path = open("file", O_PATH);
    SHOW(flistxattr(fd, names, sizeof names)); SHOW(flistxattr(path, names, sizeof names)); SHOW(flistxattr(999, names, sizeof names));
    SHOW(setxattr("fifo", "user.x", "y", 1, 0)); SHOW(lsetxattr("link", "user.x", "y", 1, 0));
    SHOW(getxattr("file", "user.none", names, 64)); SHOW(removexattr("file", "user.none")); SHOW(removexattr("file", "user.a")); list("file");

    puts("capabilities");
    SHOW(setxattr("file", CAPS, v2, 20, 0)); value("file", CAPS); list("file");
    SHOW(setxattr("file", CAPS, v2, 20, XATTR_CREATE)); SHOW(setxattr("file", CAPS, v2, 20, XATTR_REPLACE));
    SHOW(setxattr("file", CAPS, v2, 19, 0)); SHOW(setxattr("file", CAPS, "x", 1, 0)); SHOW(setxattr("file", CAPS, NOWHERE, 20, 0));
    SHOW(chown("file", 7, 8)); value("file", CAPS); list("file"); show("file");
    SHOW(fsetxattr(fd, CAPS, v2, 20, 0)); value("file", CAPS);
    SHOW(chmod("file", 0755)); value("file", CAPS);
    int writer = open("file", O_WRONLY);
    SHOW(write(writer, "x", 1)); value("file", CAPS);
    SHOW(setxattr("file", CAPS, v2, 20, 0)); SHOW(truncate("file", 0)); value("file", CAPS);
    SHOW(setxattr("file", CAPS, v2, 20, 0)); SHOW(removexattr("file", CAPS)); value("file", CAPS); SHOW(removexattr("file", CAPS));
    SHOW(setxattr("file", CAPS, v2, 20, 0)); SHOW(rename("file", "moved")); value("moved", CAPS); SHOW(link("moved", "hard")); value("hard", CAPS); show("hard");
    SHOW(rename("moved", "file")); SHOW(unlink("hard"));
    SHOW(setxattr("dir", CAPS, v2, 20, 0)); value("dir", CAPS); list("dir"); show("dir");

    puts("access control lists");
    SHOW(set_acl("file", ACL, 3, (struct acl){ 2, { { 1, 7, -1 }, { 4, 5, -1 }, { 32, 1, -1 } } })); show("file"); value("file", ACL); list("file");
    SHOW(set_acl("file", ACL, 5, (struct acl){ 2, { { 1, 6, -1 }, { 2, 6, 33 }, { 4, 4, -1 }, { 16, 6, -1 }, { 32, 0, -1 } } })); show("file"); value("file", ACL); list("file");
    SHOW(chmod("file", 0604)); show("file"); value("file", ACL);
    SHOW(set_acl("file", ACL, 6, (struct acl){ 2, { { 1, 6, -1 }, { 2, 6, 33 }, { 4, 4, -1 }, { 8, 7, 70000 }, { 16, 6, -1 }, { 32, 0, -1 } } })); value("file", ACL);
    SHOW(set_acl("file", ACL, 5, (struct acl){ 2, { { 1, 6, -1 }, { 2, 6, -1 }, { 4, 4, -1 }, { 16, 6, -1 }, { 32, 0, -1 } } }));
    SHOW(set_acl("file", ACL, 2, (struct acl){ 2, { { 1, 6, -1 }, { 4, 4, -1 } } }));
    SHOW(set_acl("file", ACL, 4, (struct acl){ 2, { { 1, 6, -1 }, { 2, 6, 33 }, { 4, 4, -1 }, { 32, 0, -1 } } }));
    SHOW(set_acl("file", ACL, 3, (struct acl){ 3, { { 1, 6, -1 }, { 4, 4, -1 }, { 32, 0, -1 } } }));
    SHOW(setxattr("file", ACL, "\2\0\0\0x", 5, 0)); SHOW(setxattr("file", ACL, NULL, 0, 0)); show("file"); value("file", ACL);
    SHOW(set_acl("file", DEFAULT_ACL, 3, (struct acl){ 2, { { 1, 7, -1 }, { 4, 5, -1 }, { 32, 1, -1 } } }));
    SHOW(set_acl("dir", DEFAULT_ACL, 5, (struct acl){ 2, { { 1, 7, -1 }, { 2, 7, 33 }, { 4, 5, -1 }, { 16, 7, -1 }, { 32, 0, -1 } } })); show("dir"); value("dir", DEFAULT_ACL); list("dir");
    umask(022);
    make("dir/file", 0666); show("dir/file"); value("dir/file", ACL);
    SHOW(mkdir("dir/sub", 0777)); show("dir/sub"); value("dir/sub", DEFAULT_ACL); value("dir/sub", ACL);
    SHOW(removexattr("dir", DEFAULT_ACL)); value("dir", DEFAULT_ACL); SHOW(removexattr("dir", DEFAULT_ACL));
    SHOW(set_acl("link", ACL, 3, (struct acl){ 2, { { 1, 7, -1 }, { 4, 5, -1 }, { 32, 1, -1 } } })); show("file");
    SHOW(lsetxattr("link", ACL, "\2\0\0\0", 4, 0));
    puts("by a user");
    as(1000, 1000, by_user);
    return 0;
}
