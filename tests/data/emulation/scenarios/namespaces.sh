# Namespaces and roots inside of ours.
exec 2>&1
unshare -Ur id -u
unshare -Urm sh -c 'mount -t tmpfs none /mnt; touch /mnt/x; chown 0:0 /mnt/x; stat -c %u:%g /mnt/x; cat /proc/self/uid_map' | tr -s ' '
unshare -Urmpf --mount-proc sh -c 'ps -e | wc -l; echo $$'
mkdir -p /srv/root/bin /srv/root/etc
cp /bin/busybox /srv/root/bin/
for p in sh id chown stat ls touch mkdir ln su; do ln -s busybox /srv/root/bin/$p; done
printf 'root:x:0:0::/:/bin/sh\nweb:x:77:77::/:/bin/sh\n' >/srv/root/etc/passwd
printf 'root:x:0:\nweb:x:77:\n' >/srv/root/etc/group
chroot /srv/root /bin/sh -c 'touch /f; chown web:web /f; stat -c %U:%G /f; mkdir d; ln -s f l; chown -h web l; cd d; touch g; chown 5:6 g; stat -c "%u:%g %n" g ../l /f; su web -c "id; touch /tmp-web 2>/dev/null; id -u"'
stat -c '%u:%g %n' /srv/root/f /srv/root/d/g /srv/root/l
# A directory descriptor from outside of the chroot, and a mount namespace of one's own.
python3 - <<'P'
import os
fd = os.open("/srv", os.O_RDONLY)
os.chroot("/srv/root"); os.chdir("/")
os.chown("f", 8, 9); st = os.stat("/f"); print(st.st_uid, st.st_gid)
open("/in-jail", "w").close(); os.chown("/in-jail", 10, 11)
st = os.stat("root/in-jail", dir_fd=fd); print(st.st_uid, st.st_gid)
os.fchdir(fd); st = os.stat("root/in-jail"); print(st.st_uid)
P
stat -c '%u:%g' /srv/root/in-jail
unshare -m sh -c 'mount --bind /srv/root /mnt; chown 20:21 /mnt/f; stat -c %u:%g /mnt/f /srv/root/f; mount -t tmpfs none /srv; touch /srv/x; chown 22:23 /srv/x; stat -c %u:%g /srv/x'
stat -c %u:%g /srv/root/f
unshare -m sh -c 'mount --bind /srv/root /srv/root; cd /srv/root; mkdir -p old; pivot_root . old; touch /pivoted; /bin/chown 30:31 /pivoted; /bin/stat -c %u:%g /pivoted'
stat -c %u:%g /srv/root/pivoted
