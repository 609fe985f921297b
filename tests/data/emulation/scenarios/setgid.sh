# Setgid directories, sticky ones, umasks.
exec 2>&1
umask 022
mkdir -p /srv/d && chgrp staff /srv/d && chmod 2775 /srv/d && chown app /srv/d
cd /srv/d
touch root-file; mkdir root-dir; mkfifo root-fifo; ln -s x root-link; mknod root-null c 1 3
mkdir -p root-dir/a/b; touch root-dir/a/b/c
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("root-socket")'
su app -c 'umask 002; touch app-file; mkdir app-dir; mkfifo app-fifo; ln -s x app-link; echo 1 >app-dir/x; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\"app-socket\")"'
su bob -c 'cd root-dir; touch x' 2>&1 || true
mkdir -m 777 plain; chmod g-s plain; chgrp bob plain
su app -c 'cd plain; touch f; mkdir d'
chmod g+s plain
su app -c 'cd plain; touch f2; mkdir d2; install -m 755 /bin/true i; cp /bin/true c'
su bob -c 'cd plain; touch f3; chmod 2750 f3; mkdir -m 755 d3'
cp -r root-dir copied; cp -a root-dir kept; mv root-file moved-in-place; mv /srv/d/plain/f /srv/d/
touch /tmp/outside; mv /tmp/outside .
tar -C root-dir -cf /tmp/t.tar a; mkdir unpacked; tar -C unpacked -xf /tmp/t.tar
su app -c 'mkdir u2; tar -C u2 -xf /tmp/t.tar'
su app -c 'umask 077; touch u077; mkdir d077; mkdir -m 2711 m2711; mkdir -p p/q;'
su app -c 'umask 0; python3 -c "
import os
for m in (0o7777, 0o4755, 0o2755, 0o1755, 0o2644, 0):
    os.close(os.open(f\"mode-{m:o}\", os.O_CREAT | os.O_WRONLY, m)); os.mkdir(f\"dir-{m:o}\", m)
"'
umask 0
python3 -c "
import os
for m in (0o7777, 0o4755, 0o2755, 0o1755, 0o2644, 0):
    os.close(os.open(f'rmode-{m:o}', os.O_CREAT | os.O_WRONLY, m)); os.mkdir(f'rdir-{m:o}', m)
"
find . -printf '%P %M %u:%g %l\n' | sort
