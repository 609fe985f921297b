# Device nodes, /dev, and who owns processes.
exec 2>&1
cd /srv
for node in "null c 1 3" "zero c 1 5" "full c 1 7" "random c 1 8" "urandom c 1 9" "tty c 5 0" "disk b 8 0" "kmsg c 1 11" "fifo p"; do
    mknod -m 666 $node && stat -c '%n %F %t:%T %A %U:%G %s' ${node%% *}
done
echo lost >null; cat null
head -c 4 zero | od -An -tx1
echo x >full || echo "full: $?"
test "$(head -c 8 urandom | wc -c)" = 8
test -c null && test -b disk && test -p fifo
chown app:disk disk; chmod 640 disk; ls -l disk | cut -d' ' -f1-6
ln disk hard; mv disk moved; stat -c '%n %t:%T %U %h' hard moved
rm hard; stat -c %h moved
mkdir sub; mv moved sub; find . -name moved -printf "%P %y %m\n"
su app -c 'mknod /tmp/x c 1 3' || echo "as app: $?"
su app -c 'echo x >/srv/null; cat /srv/null'
rm null; touch null; test -f null; stat -c %F null
mknod again c 1 3; mknod again c 1 3 || echo "again: $?"
ls -l /dev/null | cut -d' ' -f1-6
chown root:root /dev/null && chmod 666 /dev/null && echo "/dev/null is still ours"
chown app /dev/stdout 2>&1 | sed 's/pipe:\[[0-9]*\]/pipe/'; chown root /dev/stdout
ls -ld /dev/shm /dev/pts /dev/mqueue /dev | cut -d' ' -f1,3,4
touch /dev/shm/x && chown app /dev/shm/x && stat -c %U /dev/shm/x
su app -c 'touch /dev/shm/y; stat -c "%U %a" /dev/shm/y'
mkdir -p jail/dev && mknod -m 666 jail/dev/null c 1 3 && cp /bin/busybox jail/ && chroot jail /busybox sh -c 'echo x >/dev/null && echo written'
su app -c 'sleep 5 & stat -c "%U:%G" /proc/$!; stat -c %U /proc/self/ /proc/self/fd /proc/$!/status; grep -E "^(Uid|Gid)" /proc/$!/status | wc -l'
stat -c '%U %G' /proc /proc/1 /proc/self/
