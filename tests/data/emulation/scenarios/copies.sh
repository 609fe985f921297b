# Copies with owners, by everything that copies.
exec 2>&1
mkdir -p /srv/from/sub
cd /srv/from
for owner in 0:0 app:staff 12345:54321 4000000000:4294967294 postgres:ssl-cert; do
    name=$(echo $owner | tr : -)
    echo "$owner" >"$name"
    ln -s "$name" "link-$name"
    mkfifo "fifo-$name"
    mkdir "dir-$name"
    chown -h "$owner" "$name" "link-$name" "fifo-$name" "dir-$name"
done
mknod null c 1 3
mknod disk b 8 1
chown app:disk disk
chmod 600 disk
cp /bin/true program
chmod 6755 program
setcap cap_net_raw=ep program
ln app-x hard 2>/dev/null || ln 12345-54321 hard
chmod 2775 dir-app-staff
chmod 1777 dir-0-0
chmod 0 12345-54321
truncate -s 1M sparse
show() { (cd "$1" && find . -printf '%P %M %U:%G %n %l\n' | sed 's/^\(\S* d\S* \S*\) [0-9]*/\1/' | sort >/tmp/shown && { find . -type f -exec getcap {} +; stat -c '%n %t:%T' null disk; } >>/tmp/shown && sha256sum </tmp/shown); }
show /srv/from
cat /tmp/shown
cp -a /srv/from /srv/cp && show /srv/cp
cp -dR --preserve=mode,ownership,links,xattr /srv/from /srv/cp2 && show /srv/cp2
mkdir /srv/tar /srv/bsdtar /srv/cpio /srv/names
tar -C /srv/from --xattrs --xattrs-include='*' -cf /tmp/a.tar . && tar --xattrs --xattrs-include='*' -xpf /tmp/a.tar -C /srv/tar && show /srv/tar
tar -tvf /tmp/a.tar | awk '{print $1, $2, $6, $7, $8}' | sort | sha256sum
bsdtar -C /srv/from -cf /tmp/b.tar . && bsdtar -xpf /tmp/b.tar -C /srv/bsdtar && show /srv/bsdtar
(cd /srv/from && find . | cpio -o --quiet -H newc >/tmp/a.cpio) && (cd /srv/cpio && cpio -idm --quiet </tmp/a.cpio) && (cd /srv/cpio && find . -printf '%P %M %U:%G\n' | sort | sha256sum)
rsync -aHAX --numeric-ids /srv/from/ /srv/rsync && show /srv/rsync
rsync -aHAX --numeric-ids --itemize-changes /srv/from/ /srv/rsync
chmod 644 12345-54321
mkdir /srv/as-app && chown app /srv/as-app
su app -c 'cp -a /srv/from/. /srv/as-app/' 2>&1 | sort | head -40
find /srv/as-app ! -user app
getfattr -R -d -m - /srv/cp /srv/from 2>/dev/null | grep -v '^#' | sort | uniq -c
# Moved between file systems, which is a copy.
mv /srv/cp /dev/shm/moved && (cd /dev/shm/moved && find . -printf '%P %M %U:%G %l\n' | sort | sha256sum)
mv /dev/shm/moved /srv/back && show /srv/back
cp --reflink=auto -p /srv/from/app-staff /tmp/one && stat -c %U:%G /tmp/one
install -o app -g staff -m 2640 /etc/passwd /tmp/two && stat -c '%U:%G %a' /tmp/two
sed -i s/app/APP/ /srv/from/app-staff && stat -c %U:%G /srv/from/app-staff
dd if=/dev/zero of=/srv/from/app-staff bs=1 count=1 status=none && stat -c %U:%G /srv/from/app-staff
