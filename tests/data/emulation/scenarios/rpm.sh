# Packages with owners, capabilities, devices and scriptlets, made, installed and verified.
exec 2>&1
rpm() { command rpm --force-debian "$@"; }
echo '%_dbpath /var/lib/rpm' >/root/.rpmmacros
mkdir -p /root/rpmbuild/SPECS
cat >/root/rpmbuild/SPECS/odd.spec <<'S'
Name: odd
Version: 1
Release: 1
Summary: Odd owners
License: none
BuildArch: noarch
%description
Odd owners.
%install
mkdir -p %{buildroot}/opt/odd/dir %{buildroot}/opt/odd/dev
touch %{buildroot}/opt/odd/dir/made-by-odd
echo x >%{buildroot}/opt/odd/file
echo '#!/bin/sh' >%{buildroot}/opt/odd/caps
ln -s file %{buildroot}/opt/odd/link
%pre
getent group oddgroup >/dev/null || groupadd -r -g 901 oddgroup
getent passwd odd >/dev/null || useradd -r -u 900 -g oddgroup -M -d /opt/odd -s /bin/sh odd
%post
su odd -c 'id -un >/opt/odd/dir/made-by-odd'
chown -h odd /opt/odd/link
%postun
echo "removed: $1"
%files
%dir /opt/odd/dev
%attr(6750,odd,oddgroup) /opt/odd/file
%attr(0755,root,root) %caps(cap_net_raw,cap_net_admin=ep) /opt/odd/caps
%attr(2770,odd,oddgroup) %dir /opt/odd/dir
%attr(-,odd,oddgroup) /opt/odd/link
%attr(0666,root,oddgroup) %dev(c,1,3) /opt/odd/dev/null
%attr(0660,root,oddgroup) %dev(c,1,5) /opt/odd/dev/zero
%ghost %attr(0644,odd,oddgroup) /opt/odd/dir/made-by-odd
S
rpmbuild --quiet -bb /root/rpmbuild/SPECS/odd.spec | grep -v -e '^Wrote' -e cpio || true
package=$(find /root/rpmbuild -name '*.rpm')
rpm -qp --qf '[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILERDEVS} %{FILECAPS}\n]' "$package"
rpm --nodeps -i "$package"
rpm -V --nodeps odd && echo "verified"
find /opt/odd -printf '%P %M %u:%g %l\n' | sort
getcap -r /opt/odd
stat -c '%n %t:%T' /opt/odd/dev/*
cat /opt/odd/dir/made-by-odd
chown root /opt/odd/file; chmod 700 /opt/odd/dir; chgrp root /opt/odd/dev/zero; setcap -r /opt/odd/caps
rpm -V --nodeps odd || echo "changed: $?"
rpm --setugids odd >/dev/null 2>&1 || true
rpm --nodeps -i --force "$package"
rpm -V --nodeps odd && echo "verified again"
rpm --nodeps -e odd
find /opt/odd 2>/dev/null | sort
rpmdb --initdb --root /srv/other && rpm --root /srv/other --nodeps --noscripts -i "$package" && find /srv/other/opt -printf '%P %M %U:%G\n' | sort
