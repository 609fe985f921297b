# Tracers, another faker of root and another builder, inside of ours.
exec 2>&1
strace -f -o /tmp/trace -e trace=chown,fchownat,getuid,stat,newfstatat sh -c 'touch /tmp/f; chown 33:34 /tmp/f; stat -c %u:%g /tmp/f'
grep -c 'fchownat(AT_FDCWD, "/tmp/f", 33, 34, 0) *= 0' /tmp/trace
strace -o /dev/null -u app id -u
fakeroot sh -c 'touch /tmp/faked; chown 55:66 /tmp/faked; stat -c %u:%g /tmp/faked'
su app -c 'fakeroot sh -c "id -u; touch /tmp/app-faked; chown 77:88 /tmp/app-faked; stat -c %u:%g /tmp/app-faked; mknod /tmp/node c 1 3; stat -c %F /tmp/node"'
stat -c %U:%G /tmp/app-faked
stat -c '%F %U' /tmp/node
