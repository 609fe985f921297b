# Accounts, and files by many ways of many owners.
groupadd -g 3000 crew
useradd -m -u 2000 -G crew -s /bin/sh ann
useradd -m -u 2010 -s /bin/sh bob
usermod -aG crew bob
echo 'ann:secret' | chpasswd
install -d -o ann -g crew -m 2751 /work
install -o bob -g crew -m 4711 /bin/true /work/program
install -o nobody -g nogroup -m 0 /dev/null /work/nothing
mkdir -p /srv/a/b
chown -R ann:crew /srv/a
chown bob /srv/a/b
chown :3000 /srv
chown 70000:4000000000 /srv/a/b

# What lies in a setgid directory is its group's, and its directories pass that on.
install -d -g crew -m 2775 /shared-by-crew
touch /shared-by-crew/of-root
mkdir -p /shared-by-crew/deep/deeper
echo x >/shared-by-crew/deep/deeper/file
ln -s file /shared-by-crew/deep/deeper/link
mkfifo /shared-by-crew/fifo
cp /bin/true /shared-by-crew/copy
chmod 2755 /shared-by-crew/copy
chmod g+s /shared-by-crew/of-root
su ann -c 'umask 002; cd /shared-by-crew; touch of-ann; mkdir dir-of-ann; touch dir-of-ann/x'

# Kinds of files, made by root and by others.
mkdir /kinds
cd /kinds
mkfifo -m 640 fifo
chown ann:crew fifo
ln -s /nowhere dangling
chown -h bob:crew dangling
ln -s fifo link
chown -h ann link
mknod -m 666 null c 1 3
mknod -m 660 disk b 8 0
chown root:disk disk
mknod -m 600 p p
touch file
chown ann:crew file
ln file hard
ln dangling hard-dangling
ln fifo hard-fifo
mkdir -m 1777 sticky
mkdir -m 3770 both
chgrp crew both
cp /bin/ls ls-by-root
setcap cap_net_raw,cap_net_bind_service=ep ls-by-root
cp /bin/ls caps-then-owner
setcap cap_net_raw=ep caps-then-owner
chown ann caps-then-owner
cp /bin/ls owner-then-caps
chown ann:crew owner-then-caps
setcap cap_sys_time=i owner-then-caps
cp /bin/ls suid-then-owner
chmod 6755 suid-then-owner
chown ann suid-then-owner
cat >/bind.py <<'P'
import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])
P
python3 /bind.py /kinds/socket-of-root
chown ann:crew /kinds/socket-of-root
su ann -c 'umask 027; cd ~; mkdir -p d/e; echo x >f; ln -s f s; ln f h; mkfifo p; ln -s nowhere n;
    python3 /bind.py socket; : >f; echo y >>d/new; cp f d/e/; install -m 4755 f program; touch -h s'
su bob -c 'cd ~; touch mine; chgrp crew mine; chmod 2750 mine; ln -s /home/ann/f of-ann; touch /kinds/sticky/of-bob'
sudo -u ann -g crew touch /tmp/by-sudo
sudo -u bob sh -c 'umask 077; mkdir /tmp/private; echo x >/tmp/private/x'

# Copies that keep owners.
cp -a /kinds /kinds-copied
cp -a /home/ann /home/ann-copied
cp -r --preserve=mode /home/ann /home/ann-as-root
mkdir /kinds-unpacked
tar -C / --numeric-owner -cf /kinds.tar kinds work srv
tar -C /kinds-unpacked -xpf /kinds.tar
mkdir /kinds-of-names
tar -C / -cf /named.tar work shared-by-crew
tar -C /kinds-of-names --same-owner -xpf /named.tar
rm /kinds.tar /named.tar
