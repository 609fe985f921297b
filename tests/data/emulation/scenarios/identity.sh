# Who one is, and becomes: su, sudo, setpriv, interpreters' own calls.
exec 2>&1
id; id app; whoami; groups
su app -c 'id; whoami; id -Gn; echo $HOME'
su - app -c 'id -u; pwd; umask'
su -s /bin/sh postgres -c 'id'
su nobody -s /bin/sh -c 'id -un; id -gn' || echo "nobody: $?"
runuser -u app -- id -u
runuser -u app -g staff -- id
setpriv --reuid=1000 --regid=1000 --init-groups id
setpriv --reuid=1000 --regid=1000 --clear-groups id
setpriv --reuid=4000000000 --regid=4000000001 --groups=7,8,4294967294 id
setpriv --ruid=1000 --euid=1001 --rgid=50 --egid=51 --keep-groups sh -c 'id -u; id -ru; id -g; id -rg'
setpriv --reuid=app --regid=app --clear-groups setpriv --reuid=0 true || echo "back to root: $?"
sg staff -c 'id -g'
su app -c 'sg staff -c "id -g; id -G"'
su app -c 'su bob -c id </dev/null' || echo "su without a password: $?"
su app -c 'setpriv --reuid=bob id' || echo "setpriv as app: $?"
su app -c 'python3 -c "import os; os.setuid(1001)"' 2>&1 | tail -1
python3 - <<'P'
import os
def show(what): print(what, os.getresuid(), os.getresgid(), os.getgroups())
show("begin")
os.setgroups([5, 6, 7]); show("groups")
os.setresgid(10, 20, 30); show("gids")
os.setresuid(100, 200, 0); show("uids")
os.seteuid(0); show("back")
os.setreuid(300, 400); show("reuid")
for call, args in ((os.setuid, (0,)), (os.seteuid, (0,)), (os.setgroups, ([],)), (os.setresuid, (1, 1, 1)),
                   (os.setreuid, (400, 300)), (os.setuid, (300,)), (os.setgid, (99,)), (os.setegid, (10,)),
                   (os.initgroups, ("app", 5)), (os.setfsuid if hasattr(os, "setfsuid") else os.setuid, (400,))):
    try: call(*args); show(call.__name__ + str(args))
    except OSError as e: print(call.__name__, args, e.strerror); show("still")
P
perl -e '$> = 1000; print "$< $>\n"; $) = "50 50 20"; print "$( $)\n"; $> = 0; $) = "50 50 20"; $( = 50; $< = $> = 1000; print "$< $> $( $)\n"; $> = 0; print "$!\n"; print "$<\n"'
# A machine may keep capabilities from its root: only their absence is the same everywhere.
capsh --print | grep -E '^(uid|gid|groups)'
su app -c 'capsh --print' | grep -E '^(Current:|uid|gid|groups| secure)'
capsh --user=app -- -c 'id; grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status' | grep -v ^Cap
chroot --userspec=app:staff / id
chroot --userspec=1234:5678 --groups=9,10 / id
