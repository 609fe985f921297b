# makepkg with a fakeroot of its own, and pacman that installs what it made.
exec 2>&1
mkdir -p /var/lib/pacman/local
echo 9 >/var/lib/pacman/local/ALPM_DB_VERSION
install -d -o app -g app /srv/build
cat >/srv/build/PKGBUILD <<'P'
pkgname=odd
pkgver=1
pkgrel=1
arch=(any)
license=(none)
package() {
    install -d -m 2750 -o root -g staff "$pkgdir/opt/odd"
    install -m 4711 -o app -g app /dev/null "$pkgdir/opt/odd/file"
    install -m 640 -o 31 -g 32 /dev/null "$pkgdir/opt/odd/numbers"
    ln -s file "$pkgdir/opt/odd/link"
    chown -h app "$pkgdir/opt/odd/link"
}
P
chown app /srv/build/PKGBUILD
cd /srv/build
makepkg -f --nodeps >/tmp/log || echo "as root: $?"
grep -i root /tmp/log | head -1
su app -c 'cd /srv/build && PKGEXT=.pkg.tar makepkg --nodeps --nocheck' >/tmp/log || { echo "as app: $?"; tail /tmp/log; }
stat -c '%n %U:%G' *.pkg.tar*
bsdtar -tvf *.pkg.tar* | awk '{print $1, $3, $4, $9, $10, $11}' | grep opt
pacman -U --noconfirm --nodeps --nodeps *.pkg.tar* >/tmp/log || { echo "install: $?"; tail /tmp/log; }
find /opt/odd -printf '%P %M %U:%G %l\n' | sort
pacman -Qkk odd
chown bob /opt/odd/numbers
pacman -Qkk odd || echo "changed: $?"
pacman -R --noconfirm odd >/dev/null && test ! -e /opt/odd && echo "gone"
