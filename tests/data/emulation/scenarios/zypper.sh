# The same by zypper.
exec 2>&1
rpm() { command rpm --force-debian "$@"; }
echo '%_dbpath /var/lib/rpm' >/root/.rpmmacros
mkdir -p /root/rpmbuild/SPECS /srv/repo /etc/products.d
cat >/root/rpmbuild/SPECS/one.spec <<S
Name: one
Version: 1
Release: 1
Summary: one
License: none
BuildArch: noarch
%description
one
%install
mkdir -p %{buildroot}/opt/one
echo one >%{buildroot}/opt/one/file
%files
%attr(2750,31,32) %dir /opt/one
%attr(4711,app,staff) /opt/one/file
S
rpmbuild --quiet -bb /root/rpmbuild/SPECS/one.spec | grep -v ^Wrote || true
find /root/rpmbuild -name '*.rpm' -exec cp {} /srv/repo/ \;
createrepo_c -q /srv/repo
zypper -q --non-interactive addrepo --no-gpgcheck dir:///srv/repo ours
zypper -q --non-interactive --no-gpg-checks install --no-recommends one >/tmp/log 2>&1 || echo "install: $?"
find /opt/one -printf '%P %M %U:%G\n' | sort
rpm -V --nodeps one && echo "verified"
zypper -q --non-interactive remove one >/tmp/log 2>&1 || echo "remove: $?"
test ! -e /opt/one && echo "gone"
