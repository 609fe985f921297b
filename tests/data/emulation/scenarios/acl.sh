# POSIX ACLs that name others.
exec 2>&1
umask 022
cd /srv
touch f; mkdir d
setfacl -m u:app:rw,g:staff:r,m::rwx f && getfacl f
stat -c %a f
chmod 600 f; getfacl f
setfacl -x u:app f; getfacl f
setfacl -b f; getfacl f; stat -c %a f
setfacl -m u:app:rwx d; setfacl -d -m u:bob:rwx,g::rx d && getfacl d
touch d/inherits; mkdir d/inherits-too; getfacl d/inherits d/inherits-too
cp -a d copied; getfacl -R copied | grep -c bob
cp -p f g; stat -c %a g
setfacl -k d; getfacl d | grep -c default || true
su app -c 'touch ~/own; setfacl -m u:bob:r ~/own; getfacl -p ~/own'
su bob -c 'setfacl -m u:bob:rw /home/app/own' || echo "bob: $?"
su bob -c 'setfacl -m u:bob:rw /srv/f' || echo "bob at root's: $?"
setfacl -m u:4000000000:r f; getfacl -n f
mkdir -m 700 e; setfacl -m g:staff:rx e; stat -c %A e; ls -ld e | cut -c1-11
