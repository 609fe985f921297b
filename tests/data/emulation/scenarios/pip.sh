# Packages of Python, as root and as app.
exec 2>&1
mkdir -p /srv/p/odd
cat >/srv/p/setup.py <<'P'
from setuptools import setup
setup(name="odd", version="1", packages=["odd"], entry_points={"console_scripts": ["odd=odd:main"]})
P
echo 'def main(): print("odd works")' >/srv/p/odd/__init__.py
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INDEX=1
pip3 install -q --break-system-packages --no-build-isolation /srv/p 2>&1 | grep -v -i warning || true
odd
find /usr/local/lib/python3*/dist-packages/odd* -printf '%f %u:%g %m\n' | sort | head
chmod -R a+rwX /srv/p
cp -r /srv/p /home/app/p && chown -R app:app /home/app/p
su - app -c 'PIP_NO_INDEX=1 pip3 install -q --user --break-system-packages --no-build-isolation ~/p 2>&1 | grep -v -i warning; ~/.local/bin/odd; find ~/.local ! -user app'
