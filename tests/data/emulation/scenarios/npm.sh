# npm runs scripts of a package as the owner of its folder.
exec 2>&1
mkdir -p /srv/odd /srv/use
echo '{"name":"odd","version":"1.0.0","bin":{"odd":"odd.js"},"scripts":{"postinstall":"id -u > made-by"}}' >/srv/odd/package.json
printf '#!/usr/bin/env node\nconsole.log("odd works")\n' >/srv/odd/odd.js
export npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false npm_config_offline=true
cd /srv/odd && npm pack --silent
cd /srv/use && echo '{"name":"use","version":"1.0.0"}' >package.json
npm install --silent /srv/odd/odd-1.0.0.tgz
./node_modules/.bin/odd
cat node_modules/odd/made-by
find . -printf '%P %u:%g\n' | sort
npm install --silent -g /srv/odd/odd-1.0.0.tgz && odd
chown -R app:staff /srv/use && rm -rf node_modules
npm install --silent /srv/odd/odd-1.0.0.tgz
cat node_modules/odd/made-by
find . -printf '%P %u:%g\n' | sort
su app -c 'cd && mkdir n && cd n && npm install --silent /srv/odd/odd-1.0.0.tgz; find . ! -user app; cat node_modules/odd/made-by'
