# What a user may read, list and find, if the step is his from its start.
# user: app
exec 2>&1
cd /
cat /etc/shadow || echo "shadow: $?"
cat /etc/passwd >/dev/null && echo "passwd"
ls /root || echo "root's home: $?"
ls -d /root/.bashrc || echo "in it: $?"
stat -c %U /root; stat /root/.bashrc || echo "stat: $?"
(cd /root) || echo "cd: $?"
find /etc ! -readable 2>&1 | sort
find /var/lib /var/cache /etc -name nothing 2>&1 | sort
python3 - <<'PYTHON'
import os
def show(call, *args):
    try: result = type(call(*args)).__name__
    except OSError as error: result = error.strerror
    print(call.__name__, *args, result)
for path in ("/etc/gshadow", "/root", "/root/.profile", "/etc/passwd/x", "/nothing", "/etc/ssl/private",
             "/proc/self/status", "/dev/null", "/etc/mtab"):
    show(os.open, path, os.O_RDONLY)
    for call in os.stat, os.lstat, os.readlink, os.listdir, os.chdir:
        show(call, path)
for flags in os.O_NOATIME, os.O_DIRECTORY, os.O_RDWR, os.O_TRUNC:
    show(os.open, "/etc/passwd", flags)
show(os.open, "/etc/shadow", os.O_PATH)
PYTHON
cd ~; mkdir d; echo x >d/f; ln -s ~/d l; cat l/f
chmod 0 d; cat d/f || echo "his own: $?"; ls d || echo "no list"
chmod 100 d; cat l/f; ls d || echo "no list"
chmod 700 d; chmod 200 d/f; cat d/f || echo "not to be read"; echo y >>d/f
cat </dev/null; echo a | cat /dev/stdin; echo b | cat /proc/self/fd/0
test -r /etc/shadow || test -w / || test -x /root || echo "none of them"
su -c id </dev/null || echo "su: $?"
passwd -S | cut -d' ' -f1
chage -l app | tail -1
