# Users and files out of systemd's declarations, ACLs and all.
exec 2>&1
cat >/tmp/users.conf <<'C'
u worker 2500 "A worker" /srv/worker
g gang 2600
m worker gang
C
systemd-sysusers /tmp/users.conf | sort
getent passwd worker
getent group gang
cat >/tmp/t.conf <<'C'
d /srv/t 2750 worker gang
f /srv/t/file 0640 worker gang - content
L /srv/t/link - - - - file
p /srv/t/fifo 0600 app staff
c /srv/t/null 0666 root root - 1:3
b /srv/t/disk 0660 root disk - 8:0
d /srv/t/sub - - -
C /srv/t/copy 0700 bob bob - /etc/skel
z /srv/t/file 0600 app app
d /srv/acl 0755 root root
a+ /srv/acl - - - - u:app:rwx,g:staff:r-x
C
systemd-tmpfiles --create /tmp/t.conf
find /srv/t -printf '%P %M %u:%g %l\n' | sort
stat -c '%t:%T' /srv/t/null /srv/t/disk
getfacl -p /srv/acl | grep -v -E '^(user|group):[^:]+:'
systemd-tmpfiles --create --prefix=/run --prefix=/var/lib --prefix=/var/log >/dev/null 2>&1 || echo "tmpfiles: $?"
find /run /var/log /var/lib/systemd -printf '%P %M %u:%g\n' | grep -v -e pacman -e journal/ -e sshd | sort
