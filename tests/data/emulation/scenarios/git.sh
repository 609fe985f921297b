# Whose repository it is decides whether git works in it.
exec 2>&1
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@example.org GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@example.org
git init -q /srv/of-root
cd /srv/of-root
echo 1 >file
git add file
git commit -q -m first
su app -c 'cd /srv/of-root && git status --short' || echo "app in root's: $?"
su app -c 'git init -q ~/own; cd ~/own; echo 1 >f; git add f; git commit -q -m x; git log --format=%s; stat -c %U:%G .git f'
cd ~app/own && git status --short || echo "root in app's: $?"
su app -c 'sudo -n true; git config --global --add safe.directory /srv/of-root; cd /srv/of-root; git log --format=%s' || true
git clone -q ~app/own /srv/clone || echo "a clone of app's by root: $?"
su app -c 'git config --global --add safe.directory "*"; git clone -q /srv/of-root ~/clone; cat ~/clone/file; find ~/clone ! -user app'
chown -R app:app /srv/of-root
su app -c 'rm ~/.gitconfig; cd /srv/of-root; git log --format=%s; git fsck'
cd /srv/of-root && git log --format=%s || echo "no longer root's: $?"
chown root /srv/of-root && git log --format=%s || echo "its .git is not: $?"
export SUDO_UID=1000
chown app /srv/of-root && git log --format=%s || echo "with SUDO_UID: $?"
