# What a USER finds who is not root from the first process on.
# user: app
exec 2>&1
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@example.org GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@example.org
id
pwd
echo "$HOME"
cd
umask
git init -q repo
cd repo
echo 1 >file
git add file
git commit -q -m first
git log --format=%s
find . ! -user app -o ! -group app
stat -c '%U:%G %a' file . .git
touch ~/t; mkdir ~/d; ln -s t ~/l; mkfifo ~/p; ln ~/t ~/h
stat -c '%n %U:%G %a %h' ~/t ~/d ~/l ~/p ~/h
chown root ~/t || echo "chown: $?"
chgrp staff ~/t && stat -c %G ~/t
chgrp sudo ~/t || echo "chgrp: $?"
chmod 6755 ~/t && stat -c %a ~/t
mknod ~/null c 1 3 || echo "mknod: $?"
mknod ~/fifo p && stat -c %U ~/fifo
su bob -c id </dev/null || echo "su: $?"
sudo -n id || echo "sudo: $?"
chroot / true || echo "chroot: $?"
kill -0 1 && echo "it is our own process"
python3 -c 'import os; print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))'
