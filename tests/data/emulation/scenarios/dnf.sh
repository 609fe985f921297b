# A repository of our own; installed here and into another root.
exec 2>&1
rpm() { command rpm --force-debian "$@"; }
echo '%_dbpath /var/lib/rpm' >/root/.rpmmacros
mkdir -p /root/rpmbuild/SPECS /srv/repo
for name in one two; do
    cat >/root/rpmbuild/SPECS/$name.spec <<S
Name: $name
Version: 1
Release: 1
Summary: $name
License: none
BuildArch: noarch
%description
$name
%install
mkdir -p %{buildroot}/opt/$name
echo $name >%{buildroot}/opt/$name/file
%pre -p <lua>
posix.stat("/")
%files
%attr(2750,31,32) %dir /opt/$name
%attr(4711,app,staff) /opt/$name/file
S
    rpmbuild --quiet -bb /root/rpmbuild/SPECS/$name.spec | grep -v ^Wrote || true
done
find /root/rpmbuild -name '*.rpm' -exec cp {} /srv/repo/ \;
createrepo_c -q /srv/repo
mkdir -p /etc/yum.repos.d
printf '[ours]\nname=ours\nbaseurl=file:///srv/repo\nenabled=1\ngpgcheck=0\n' >/etc/yum.repos.d/ours.repo
dnf -q -y install one | grep -E '^ (one|two)|Error' || true
find /opt/one -printf '%P %M %U:%G\n' | sort
rpm -V --nodeps one && echo "verified"
dnf -q -y --installroot=/srv/root --releasever=1 --setopt=reposdir=/etc/yum.repos.d install two | grep -E '^ (one|two)|Error' || true
find /srv/root/opt -printf '%P %M %U:%G\n' | sort
dnf -q -y remove one | grep -E '^ (one|two)|Error' || true
test ! -e /opt/one && echo "gone"
