# A server that trusts owners, and peers by the kernel's word.
exec 2>&1
export LC_ALL=C.UTF-8
bin=$(echo /usr/lib/postgresql/*/bin)
install -d -o postgres -g postgres -m 700 /srv/pg
install -d -o postgres -g postgres -m 2775 /srv/socket
su postgres -c "$bin/initdb -D /srv/pg --auth=peer --no-sync" | grep -E 'owned|Success'
"$bin/initdb" -D /srv/of-root | tail -2 || true
su postgres -c "$bin/pg_ctl -D /srv/pg -w -s -l /srv/pg/log -o '-k /srv/socket -h \"\"' start"
su postgres -c 'psql -h /srv/socket -Atc "select current_user, 6 * 7"'
psql -h /srv/socket -U postgres -Atc 'select 1' || echo "root is no postgres: $?"
su app -c 'psql -h /srv/socket -U postgres -Atc "select 1"' || echo "nor is app: $?"
su postgres -c 'createuser -h /srv/socket app; createdb -h /srv/socket -O app app'
su app -c 'psql -h /srv/socket -Atc "create table t (x int); insert into t values (1), (2); select sum(x), current_user from t"'
su app -c 'setpriv --no-new-privs psql -h /srv/socket -U app -Atc "select current_user"'
stat -c '%U:%G %a %F' /srv/socket/.s.PGSQL.5432 /srv/socket /srv/pg/PG_VERSION /srv/pg/base
find /srv/pg ! -user postgres
# Not as root, and not in a directory of somebody else.
"$bin/postgres" -D /srv/pg | head -2
su postgres -c "$bin/pg_ctl -D /srv/pg -w -s -m fast stop"
chown app /srv/pg
chmod 755 /srv/pg
su postgres -c "$bin/postgres -D /srv/pg -k /srv/socket" 2>&1 | sed 's/^.*\] //' || true
