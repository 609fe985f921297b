# POSIX ACLs that name others. These entries are not kept, as there are no others for the kernel here:
# modes, masks and what is inherited are compared.
exec 2>&1
getfacl() { command getfacl "$@" | grep -v -E '^(default:)?(user|group):[^:]+:'; }
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
cp -a d copied; getfacl -R copied
cp -p f g; stat -c %a g
setfacl -k d; getfacl d | grep -c default || true
su app -c 'touch ~/own; setfacl -m u:bob:r ~/own; stat -c %A ~/own'
su bob -c 'setfacl -m u:bob:rw /home/app/own' || echo "bob: $?"
su bob -c 'setfacl -m u:bob:rw /srv/f' || echo "bob at root's: $?"
setfacl -m u:4000000000:r f; stat -c %a f
mkdir -m 700 e; setfacl -m g:staff:rx e; stat -c %A e
