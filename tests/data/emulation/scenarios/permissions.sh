# What a user may not touch.
exec 2>&1
su app -c 'cat /etc/shadow' || echo "shadow: $?"
su app -c 'ls /root' || echo "a closed directory: $?"
echo secret >/srv/secret; chmod 600 /srv/secret
su app -c 'cat /srv/secret; echo x >>/srv/secret; echo x >/srv/secret; test -r /srv/secret' || echo "a file: $?"
su app -c 'touch /srv/new; mkdir /srv/new-dir; rm /srv/secret; mv /srv/secret /srv/moved; ln -s x /srv/link' </dev/null || echo "a directory: $?"
su app -c 'rm -f /srv/secret' || echo "forced: $?"
su app -c 'chmod 777 /srv/secret; touch -d @0 /srv/secret; ln /srv/secret /tmp/hard' || echo "not the owner: $?"
install -o bob -m 644 /dev/null /tmp/of-bob
su app -c 'rm -f /tmp/of-bob' || echo "sticky: $?"
sleep 60 &
su app -c "kill $!" || echo "a process: $?"
kill $!
su app -c 'cp /bin/id /srv/' || echo "copy: $?"
