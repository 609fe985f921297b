# Keys, a server's own checks of owners, and a log-in that changes its user.
exec 2>&1
ssh-keygen -A | cut -d: -f1
mkdir -p /run/sshd
chmod 755 /run/sshd
/usr/sbin/sshd -t && echo "ready"
stat -c '%n %U:%G %a' /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub
chown app /run/sshd
/usr/sbin/sshd -t || echo "a directory of app's: $?"
chown root /run/sshd
su - app -c 'umask 077; mkdir -p .ssh; ssh-keygen -q -t ed25519 -N "" -f .ssh/id; cp .ssh/id.pub .ssh/authorized_keys; stat -c "%U %a" .ssh/*'
ssh-keygen -q -t ed25519 -N '' -f /root/key
usermod -p '*' app
cat /root/key.pub >>~app/.ssh/authorized_keys
log_in() {
    ssh -o ProxyCommand='/usr/sbin/sshd -i -o UsePAM=no -o LogLevel=QUIET' -o BatchMode=yes -o LogLevel=ERROR \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i /root/key app@here "$@"
}
log_in 'id; umask; echo $HOME; touch made; stat -c %U:%G made'
chown bob ~app/.ssh/authorized_keys
log_in id || echo "a file of bob's: $?"
chown app ~app/.ssh/authorized_keys
chmod 777 ~app
log_in id || echo "a home for all: $?"
