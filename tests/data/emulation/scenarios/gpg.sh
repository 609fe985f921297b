# An agent, a socket in a home directory, warnings about unsafe owners.
exec 2>&1
gpg --batch --passphrase '' --quick-gen-key root@example.org default default never 2>/dev/null
gpg --list-keys --with-colons 2>/dev/null | grep -c ^uid
su - app -c 'gpg --batch --passphrase "" --quick-gen-key app@example.org default default never 2>/dev/null; gpg --list-secret-keys --with-colons 2>/dev/null | grep ^uid | cut -d: -f10; echo text >t; gpg --batch --clearsign t; gpg --verify t.asc 2>&1 | grep -c "Good signature"; stat -c "%U:%G %a" .gnupg t.asc .gnupg/private-keys-v1.d; gpgconf --kill all'
gpg --homedir ~app/.gnupg --list-keys 2>&1 | grep WARNING
gpgconf --kill all
gpgconf --homedir ~app/.gnupg --kill all
find /root/.gnupg ! -type s -printf '%P %u %m\n' | grep -v -e '\.key' -e '\.rev' | sort
