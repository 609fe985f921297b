# File capabilities: set, read, cleared, copied.
exec 2>&1
cd /tmp
cp /bin/true f
setcap cap_net_raw,cap_net_admin=eip f
getcap f
getfattr -n security.capability -e hex f
getfattr -d -m - f
cp f plain; cp -a f kept; mv f moved; ln moved hard
getcap plain kept moved hard
chown app kept; getcap kept; stat -c '%U %a' kept
setcap cap_chown=ep kept; getcap kept
chown -h app kept; getcap kept
chmod 4755 moved; getcap moved
echo >>moved; getcap moved
setcap -r hard && getcap hard || true
setcap -v cap_net_raw=ep kept || echo "differs: $?"
setcap cap_sys_admin=i kept
getcap kept
setcap cap_nosuch=ep kept 2>/dev/null || echo "no such: $?"
setcap cap_net_raw=ep /tmp || echo "a directory: $?"
ln -s kept link; setcap cap_net_raw=ep link || echo "a link: $?"
su app -c 'cp /bin/true ~/t; setcap cap_net_raw=ep ~/t' || echo "as app: $?"
su app -c 'getcap /tmp/kept'
setfattr -n user.note -v text kept; getfattr -n user.note --only-values kept; echo
su app -c 'cd; setfattr -n user.note -v text t; getfattr -d t' | grep note
su app -c 'setfattr -n trusted.x -v y ~/t' || echo "trusted as app: $?"
getfattr -m - -d kept | sort
cp /bin/cat reader; setcap cap_dac_override=ep reader; chown root reader; getcap reader
getcap -r /usr /bin 2>/dev/null | sort
# What carries an owner has no capability.
mkdir odd && mkfifo odd/fifo && ln -s kept odd/link && cp kept odd/file
chown -h app odd/*
setcap cap_net_raw=ep odd/file
getcap -r odd
getcap odd/fifo
