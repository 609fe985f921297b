# Where a user may not make anything. What he may read, write and remove is not emulated: with one
# user, everything there is his.
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
ls /srv
