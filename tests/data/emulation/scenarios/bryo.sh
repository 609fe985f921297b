# bryo builds inside of bryo. In memory: an overlay's changes cannot lie in an
# overlay.
exec 2>&1
mkdir -p /srv/root/bin /srv/root/etc /srv/context
cp /bin/busybox /srv/root/bin/
for p in sh id chown stat touch mkdir ln su cat; do ln -s busybox /srv/root/bin/$p; done
printf 'root:x:0:0::/:/bin/sh\nweb:x:77:77::/:/bin/sh\n' >/srv/root/etc/passwd
printf 'root:x:0:\nweb:x:77:\n' >/srv/root/etc/group
cat >/srv/context/Dockerfile <<'D'
FROM base
RUN touch /f && chown 33:44 /f && stat -c %u:%g /f
RUN ln -s f /l && chown -h web /l && stat -c '%u:%g %n' /f /l
USER web
WORKDIR /home
RUN id -u; id -g; touch /tmp-of-web 2>/dev/null || true; stat -c %u:%g /etc/passwd
D
chmod -R a+rX /srv
build() {
    /shared/bryo --storage "$1" import -q /srv/root base >/dev/null
    /shared/bryo --storage "$1" build --progress plain -t app /srv/context 2>&1 |
        sed -n 's/^.*\] \([0-9:]* *[^ ]*\)$/\1/p; /error/p'
    /shared/bryo --storage "$1" run --rm -u root app stat -c '%u:%g %n' /f /l
}
build /dev/shm/of-root
