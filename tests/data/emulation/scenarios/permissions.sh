# What a user may make, remove, move, link and chmod. What he may read and write is not emulated: with
# one user, everything there is his.
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
