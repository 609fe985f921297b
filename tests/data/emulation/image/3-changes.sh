# What an earlier step made is changed, moved and copied up in a later one. (Not the content of hard
# links: an overlay copies each of them up alone, also Docker's.)
mv /srv/a /srv/moved
mv /kinds-copied /kinds-renamed
mv /home/ann-copied/d/e /home/ann-copied/e
chmod o+r /work/program
echo more >>/kinds/owner-then-caps
touch /kinds-renamed/dangling-too
ln /kinds-renamed/fifo /kinds-renamed/fifo-too
ln -P /kinds-renamed/dangling /kinds-renamed/dangling-hard
mv /kinds-renamed/link /kinds-renamed/link-moved
chown -h bob /kinds-unpacked/kinds/link
rm /kinds-unpacked/kinds/disk
touch /kinds-unpacked/kinds/disk
sed -i s/x/y/ /shared-by-crew/deep/deeper/file
chown -R --from=ann bob /kinds-of-names
chown --reference=/work /tmp/by-sudo
userdel bob
useradd -m -u 2020 eve
find /home/bob -user 2010 -exec chown -h eve {} +
rm -r /home/ann-as-root
mkdir /home/ann-as-root
su ann -c 'echo x >>~/program; rm ~/p; mkfifo ~/p; mv ~/d ~/dd; touch /shared-by-crew/later'
chgrp -R crew /var/cache/man
setcap -r /kinds/ls-by-root
chmod u-s /kinds-unpacked/work/program
cp --attributes-only --preserve=ownership /kinds/file /kinds/like-file
