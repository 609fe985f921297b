# What postinst scripts do to owners, modes and capabilities, in packages that do much of it.
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y postgresql openssh-server iputils-ping systemd dbus sudo cron \
    exim4-daemon-light man-db acl python3-minimal >/install.log 2>&1 || { tail -n 40 /install.log; exit 1; }
rm /install.log
apt-get clean
# A cluster, made by a user who owns his files: without true owners there is none.
test -s /var/lib/postgresql/15/main/PG_VERSION
