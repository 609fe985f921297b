# Chains of setuid programs, with the password asked and refused.
exec 2>&1
echo 'app ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/app
chmod 440 /etc/sudoers.d/app
chown root:root /etc/sudoers.d/app
sudo id
sudo -u app id
sudo -u app -g staff id
su app -c 'sudo id'
su app -c 'sudo -u bob id'
su app -c 'sudo -u bob sudo -n id' || echo "bob may not: $?"
su app -c 'sudo su - bob -c "id; su -c id app </dev/null"' || echo "bob knows no password: $?"
su app -c 'sudo su app -c "sudo su bob -c id"'
echo 'bob:right' | chpasswd
su app -c 'echo wrong | su bob -c id' || echo "wrong: $?"
su app -c 'echo right | su bob -c id'
echo 'bob ALL=(ALL) ALL' >/etc/sudoers.d/bob
chmod 440 /etc/sudoers.d/bob
su bob -c 'echo wrong | sudo -S -p "" id' >/dev/null || echo "wrong: $?"
su bob -c 'echo right | sudo -S -p "" id -u'
# A file that is not root's is no configuration.
chown app /etc/sudoers.d/app
su app -c 'sudo -n id' || echo "sudoers of app: $?"
chown root /etc/sudoers.d/app
sudo -l -U app | tail -1

cp /usr/bin/id /tmp/id
chown bob:staff /tmp/id
for mode in 4755 2755 6755 755 4644; do
    chmod $mode /tmp/id
    echo "$mode: $(su app -c '/tmp/id' || true)"
done
chmod 4755 /tmp/id
chown app /tmp/id
stat -c %a /tmp/id
printf '#!/bin/sh\nid -u\n' >/tmp/script
chown bob /tmp/script
chmod 4755 /tmp/script
su app -c /tmp/script
cp /usr/bin/id /tmp/root-id
chmod 4755 /tmp/root-id
su app -c /tmp/root-id
su app -c 'setpriv --no-new-privs /tmp/root-id'
su app -c 'passwd -S app | cut -d" " -f1,2; chsh -s /bin/sh; getent passwd app; chage -l app' | head -3
stat -c '%U:%G %a' /etc/passwd /etc/shadow
