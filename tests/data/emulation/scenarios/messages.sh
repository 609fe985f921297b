# Peers that are gone or somebody else by now, readers that wait, are interrupted or killed.
exec 2>&1
cat >/tmp/messages.py <<'P'
import array, errno, os, signal, socket as S, struct, sys, tempfile, threading, time

folder = tempfile.mkdtemp()
os.chmod(folder, 0o777)
os.chdir(folder)

def become(uid, gid, groups=()):
    os.setgroups(groups); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)

def fork(task):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try: task()
        except BaseException as e: print("child:", repr(e))
        sys.stdout.flush()
        os._exit(0)
    return child

def tried(task):
    try: return task()
    except OSError as e: return errno.errorcode[e.errno]

def who(process): return {os.getpid(): "self", os.getppid(): "parent", 0: "nobody"}.get(process, "other")

def peer(s):
    process, uid, gid = struct.unpack("iII", s.getsockopt(S.SOL_SOCKET, S.SO_PEERCRED, 12))
    groups = tried(lambda: array.array("I", s.getsockopt(S.SOL_SOCKET, 59, 400)).tolist())
    return who(process), uid, gid, groups, tried(lambda: len(s.getsockopt(S.SOL_SOCKET, 59, 4)))

def serve(title, address, before, after=lambda: None, gone=False, kind=S.SOCK_STREAM):
    listener = S.socket(S.AF_UNIX, kind); listener.bind(address); listener.listen()
    if address[0] != "\0": os.chmod(address, 0o777)
    ready, tell = os.pipe(); wait, go = os.pipe()
    def client():
        before()
        s = S.socket(S.AF_UNIX, kind); s.connect(address)
        print(title, "sees", peer(s)); sys.stdout.flush()
        after(); os.write(tell, b"x")
        if not gone: os.read(wait, 1)
    child = fork(client)
    s, _ = listener.accept(); os.read(ready, 1)
    if gone: os.waitpid(child, 0)
    print(title, "is", peer(s))
    if not gone: os.write(go, b"x"); os.waitpid(child, 0)

serve("root", folder + "/root", lambda: None)
serve("user", folder + "/user", lambda: become(1000, 1001, (5, 6)))
serve("in packets", folder + "/packets", lambda: become(1000, 1001, (5, 6)), kind=S.SOCK_SEQPACKET)
serve("gone", folder + "/gone", lambda: become(1000, 1001, (5, 6)), gone=True)
serve("changed", folder + "/changed", lambda: None, after=lambda: become(1000, 1000))
serve("abstract", "\0%s" % folder, lambda: become(33, 33))
serve("relative", "relative", lambda: become(7, 7))
serve("three ids", folder + "/three", lambda: (os.setgroups([]), os.setresgid(8, 9, 10), os.setresuid(11, 12, 13)))
os.symlink(folder, folder + "-link")
listener = S.socket(S.AF_UNIX); listener.bind(folder + "/listener"); listener.listen(); os.chmod("listener", 0o777)
def user():
    become(9, 9); s = S.socket(S.AF_UNIX); s.connect(folder + "-link/listener")
    print("listened as root", peer(s)); print("its own", peer(listener))
os.waitpid(fork(user), 0)
ready, tell = os.pipe()
def server():
    become(44, 45); s = S.socket(S.AF_UNIX); s.bind(folder + "/server"); s.listen(); os.chmod("server", 0o777)
    os.write(tell, b"x"); s.accept()
child = fork(server); os.read(ready, 1)
s = S.socket(S.AF_UNIX); s.connect(folder + "-link/server"); os.waitpid(child, 0); print("listened as user", peer(s))
print("inet", peer(S.socket())); print("unconnected", peer(S.socket(S.AF_UNIX)))

def pair(kind):
    a, b = S.socketpair(S.AF_UNIX, kind); b.setsockopt(S.SOL_SOCKET, S.SO_PASSCRED, 1); return a, b

def said(uid, gid): return [(S.SOL_SOCKET, S.SCM_CREDENTIALS, struct.pack("iII", os.getpid(), uid, gid))]

def receive(s, size=64, flags=0):
    def task():
        data, along, told, name = s.recvmsg(size, 200, flags)
        ids = [struct.unpack("iII", value) for _, _, value in along]
        return data, [("sender" if p == child else who(p), u, g) for p, u, g in ids], hex(told), name
    return tried(task)

# Whoever waits long enough has the sender at work or gone, as the test wants it.
def sending(data, delay=0, stay=0.3, uid=77, gid=78):
    def task(): become(uid, gid); time.sleep(delay); a.send(data); time.sleep(stay)
    return fork(task)

print("readers")
a, b = pair(S.SOCK_DGRAM)
for claims in True, False:
    def last():
        become(77, 78); a.sendmsg([b"last words"], said(77, 78) if claims else [])
    child = fork(last); os.waitpid(child, 0); print(receive(b))
child = fork(lambda: print(a.sendmsg([b"forged"], said(33, 34)))); os.waitpid(child, 0); print(receive(b))
a, b = pair(S.SOCK_SEQPACKET)
child = sending(b"late", 0.3); print(receive(b)); os.waitpid(child, 0)
b.setsockopt(S.SOL_SOCKET, S.SO_RCVTIMEO, struct.pack("ll", 0, 200000)); start = time.time()
print("timed out", receive(b), 0.1 < time.time() - start < 2); b.setsockopt(S.SOL_SOCKET, S.SO_RCVTIMEO, bytes(16))

count = 0
class Enough(Exception): pass
def handler(*_):
    global count
    count += 1
    if count == 3: raise Enough
signal.signal(signal.SIGALRM, handler); signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
try: b.recvmsg(10, 100); print("not interrupted")
except Enough: print("interrupted")
signal.siginterrupt(signal.SIGALRM, False)
child = sending(b"restarted", 0.4); print(receive(b)); os.waitpid(child, 0); print(count > 3)
signal.setitimer(signal.ITIMER_REAL, 0)
child = sending(b"to a thread", 0.2); t = threading.Thread(target=lambda: print(receive(b))); t.start(); t.join(); os.waitpid(child, 0)
reader = fork(lambda: b.recvmsg(10, 100)); time.sleep(0.2); os.kill(reader, 9); print("killed", os.waitpid(reader, 0)[1])
child = sending(b"to who is left"); print(receive(b)); os.waitpid(child, 0)
a.close(); print("end", receive(b))

# Thousands of messages while signals hail down.
a, b = pair(S.SOCK_SEQPACKET)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
def many():
    become(5, 6)
    for i in range(2000): a.send(b"%d" % i)
    time.sleep(1)
child = fork(many); count = 10
good = [(b"%d" % i, [("sender", 5, 6)], "0x0", None) for i in range(2000)]
print(good == [receive(b) for _ in good], count > 10); signal.setitimer(signal.ITIMER_REAL, 0); os.kill(child, 9); os.waitpid(child, 0)

a, b = pair(S.SOCK_STREAM)
def parts():
    become(5, 6)
    for letter in b"abcdef": a.send(bytes([letter])); time.sleep(0.03)
    time.sleep(0.3)
child = fork(parts)
print(receive(b, 4, S.MSG_WAITALL), receive(b, 2, S.MSG_WAITALL)); os.waitpid(child, 0)

a, b = S.socket(S.AF_UNIX, S.SOCK_DGRAM), S.socket(S.AF_UNIX, S.SOCK_DGRAM)
b.bind("to"); os.chmod("to", 0o777); b.setsockopt(S.SOL_SOCKET, S.SO_PASSCRED, 1)
def named():
    become(5, 6); a.bind("from"); a.sendto(b"named", "to"); a.sendmsg([b"said"], said(5, 6), 0, "to"); time.sleep(0.3)
child = fork(named); print(receive(b), receive(b)); os.waitpid(child, 0)
found = os.stat("from"); print(found.st_uid, found.st_gid, oct(found.st_mode))
P
exec timeout 60 python3 -u /tmp/messages.py
