# Static programs, 32-bit ones, and another C library.
exec 2>&1
cd /tmp
b=/bin/busybox
$b touch f; $b chown 33:44 f; $b stat -c %u:%g f; $b ls -ln f | $b awk '{print $3, $4}'
$b su app -c "$b id; $b touch /tmp/by-app; $b mkdir /tmp/d-by-app"
$b stat -c '%U:%G' by-app d-by-app
$b tar -cf t.tar f by-app && $b mkdir x && $b tar -C x -xpf t.tar && $b ls -ln x | $b awk '{print $3, $4, $9}'
$b cp -a f g; $b stat -c %u:%g g
$b mknod n c 1 3; $b stat -c '%F %t:%T' n
$b mkfifo p && $b chown app p && $b stat -c %U p
cat >c.c <<'C'
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <grp.h>
int main(void) {
    struct stat s;
    close(open("of-c", O_CREAT | O_WRONLY, 0644));
    printf("%d ", chown("of-c", 70000, 80000));
    stat("of-c", &s);
    printf("%u:%u ", s.st_uid, s.st_gid);
    gid_t list[] = { 1, 2, 3 };
    printf("%d %d %d ", setgroups(3, list), setregid(50, 50), setreuid(1000, 1000));
    printf("%d %d %d\n", getuid(), getegid(), getgroups(0, NULL));
    close(open("of-c-by-app", O_CREAT | O_WRONLY, 0644));
    stat("of-c-by-app", &s);
    printf("%u:%u %d\n", s.st_uid, s.st_gid, setuid(0));
    unlink("of-c"); unlink("of-c-by-app");
    return 0;
}
C
chmod 777 .
gcc -o dynamic c.c && ./dynamic
gcc -static -o static c.c && ./static
gcc -m32 -o dynamic32 c.c && ./dynamic32
gcc -m32 -static -o static32 c.c && ./static32
musl-gcc -o musl c.c && ./musl
