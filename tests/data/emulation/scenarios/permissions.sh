# What a user may make, remove, move, link, chmod, write to and enter, and what access(2) says. What he
# may read is another script's matter: here it is not checked.
exec 2>&1
su app -c 'touch /srv/new; mkdir /srv/new-dir; ln -s x /srv/link; mkfifo /srv/fifo' || echo "a directory: $?"
su app -c 'cp /bin/true /srv/' || echo "copy: $?"
su app -c 'python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\"/srv/socket\")"' 2>&1 | tail -1
install -d -o app -m 755 /srv/of-app
su app -c 'touch /srv/of-app/x' && stat -c %U /srv/of-app/x
su bob -c 'touch /srv/of-app/y' || echo "app's: $?"
install -d -g staff -m 775 /srv/of-staff
su app -c 'touch /srv/of-staff/x' && stat -c %U:%G /srv/of-staff/x
su bob -c 'touch /srv/of-staff/y' || echo "the staff's: $?"
echo x >/srv/file; chmod 644 /srv/file
su app -c 'touch -d @0 /srv/nothing; : >>/srv/none' || echo "none: $?"
su app -c 'rm -f /srv/file; mv /srv/file /tmp/; mv /srv/file /srv/other; chmod 777 /srv/file' || echo "root's: $?"
su app -c 'ln /srv/file /tmp/hard' || echo "a link: $?"
su app -c 'ln /srv/of-staff/x /tmp/own; ln /srv/of-staff/x /srv/own' || echo "a link in root's directory: $?"
chmod 666 /srv/file; su app -c 'ln /srv/file /tmp/hard' && stat -c %h /srv/file
chgrp staff /srv/file; chmod 660 /srv/file; su app -c 'ln /srv/file /tmp/hard-2' && stat -c %h /srv/file
chmod 4666 /srv/file; su app -c 'ln /srv/file /tmp/hard-3' || echo "setuid: $?"
mkfifo -m 666 /srv/pipe; su app -c 'ln /srv/pipe /tmp/pipe' || echo "a fifo: $?"
install -o bob -m 644 /dev/null /tmp/of-bob
su app -c 'rm -f /tmp/of-bob; mv /tmp/of-bob /tmp/x' || echo "sticky: $?"
su bob -c 'rm /tmp/of-bob' && echo "his own"
su app -c 'rmdir /srv/of-app; rm -r /srv/of-app/x' || echo "a directory: $?"
su app -c 'mkdir ~/d; touch ~/d/f; rm -r ~/d; cd /tmp; touch a; ln a b; mv b c; rm a c' && echo "all his"
find /srv | sort

t() { su app -c "$1" 2>&1 && echo "yes: $1" || echo "no: $1"; }
chmod 700 /root
t 'test -w /etc'; t 'test -w /etc/passwd'; t 'test -r /etc/shadow'; t 'test -x /root'
t 'test -r /root/.bashrc'; t 'test -w /home/app'; t 'test -w /tmp'; t 'test -w ~/.bashrc'
t 'test -x /bin/true'; t 'test -x /etc/passwd'
t 'cd /root'; t 'cd /usr/lib/../../etc'; t 'cd /etc/passwd'
t 'echo x >/etc/passwd'; t 'echo x >>/etc/not-there'; t ': >>/etc/shadow'; t 'echo x >>/etc/ld.so.cache'
t 'truncate -s 0 /etc/passwd'; t 'touch /etc/passwd'; t 'touch -d @0 ~/.bashrc'; t 'touch -d @0 /tmp'
t 'dd if=/dev/null of=/etc/shadow conv=notrunc status=none'
find /etc -maxdepth 1 -type f |
    su app -c 'while read -r f; do test -w $f && echo "$f is writable"; test -r $f || echo "$f is not readable"; done' |
    sort
test -w /etc/shadow && test -r /root && echo "root may"
test -x /etc/passwd || echo "not even root"
cat >/srv/calls.py <<'PYTHON'
import os
def show(call, *args):
    try: result = call(*args)
    except OSError as error: result = error.strerror
    print(call.__name__, *args, result)
for path in "/etc/passwd", "/etc/shadow", "/root", "/root/x", ".":
    for mode in 0, 1, 2, 4, 7:
        show(os.access, path, mode)
print(os.access("/etc/shadow", 4, effective_ids=True))
etc = os.open("/etc", os.O_RDONLY)
os.chdir("/")
show(os.fchmod, etc, 0o777)
show(os.utime, etc)
show(os.truncate, "/etc/passwd", 0)
show(os.truncate, "/etc", 0)
for flags in os.O_TRUNC, os.O_RDWR, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_EXCL:
    show(os.open, "/etc/passwd", flags)
show(os.open, "/etc", os.O_WRONLY)
show(os.rename, "/etc/passwd", "/tmp/passwd")
os.close(os.open("/tmp/of-app", os.O_CREAT))
show(os.rename, "/tmp/of-app", "/srv/of-app-too")
show(os.mkdir, "/tmp/directory")
show(os.chmod, "/tmp/directory", 0o555)
show(os.rename, "/tmp/directory", "/home/app/directory")
PYTHON
su app -c 'python3 /srv/calls.py'
# Groups count, and so does a capability alone.
install -d -g staff -m 770 /srv/team
su app -c 'test -w /srv/team && test -x /srv/team && cd /srv/team && pwd'
su bob -c 'cd /srv/team || test -w /srv/team || mkdir /srv/team/x' || echo "not bob"
# An entry for a user is not kept, but he is not refused what it gives him.
setfacl -m u:bob:rwx /srv/team
su bob -c 'cd /srv/team && touch of-bob && stat -c %U of-bob'
# To speak to a socket is to write to it.
cat >/srv/peer.py <<'PYTHON'
import os, socket, subprocess
server = socket.socket(socket.AF_UNIX)
server.bind("/run/a-socket")
server.listen()
call = "import socket; socket.socket(socket.AF_UNIX).connect('/run/a-socket'); print('connected')"
for mode in 0o600, 0o620, 0o662:
    os.chmod("/run/a-socket", mode)
    made = subprocess.run(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "python3", "-c", call],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(oct(mode), made.stdout.splitlines()[-1])
PYTHON
python3 /srv/peer.py
