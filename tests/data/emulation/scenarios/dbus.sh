# A bus that asks the kernel who calls.
exec 2>&1
mkdir -p /run/dbus
dbus-uuidgen --ensure
dbus-daemon --system --fork
call() { dbus-send --system --print-reply=literal --dest=org.freedesktop.DBus /org/freedesktop/DBus "org.freedesktop.DBus.$@"; }
call GetConnectionUnixUser string:org.freedesktop.DBus
stat -c '%U:%G %a %F' /run/dbus/system_bus_socket
cat >/tmp/who.py <<'P'
import socket, sys, os, binascii
# The bus's own words: AUTH EXTERNAL by uid, then Hello.
s = socket.socket(socket.AF_UNIX)
s.connect("/run/dbus/system_bus_socket")
uid = sys.argv[1]
s.sendall(b"\0AUTH EXTERNAL " + binascii.hexlify(uid.encode()) + b"\r\n")
print(uid, s.recv(100).split()[0].decode())
P
python3 /tmp/who.py 0
python3 /tmp/who.py 1000
su app -c 'python3 /tmp/who.py 1000; python3 /tmp/who.py 0; python3 /tmp/who.py 1001'
su app -c 'dbus-send --system --print-reply=literal --dest=org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus.GetConnectionUnixUser string:org.freedesktop.DBus'
su app -c 'dbus-run-session -- sh -c "dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus.GetConnectionUnixUser string:org.freedesktop.DBus"'
