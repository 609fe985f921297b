# A compiler's many processes, as root and as app.
exec 2>&1
export CARGO_NET_OFFLINE=true
mkdir -p /srv/odd/src
printf '[package]\nname = "odd"\nversion = "1.0.0"\nedition = "2021"\n' >/srv/odd/Cargo.toml
printf 'fn main() { println!("odd works") }\n' >/srv/odd/src/main.rs
cargo install -q --path /srv/odd --root /usr/local 2>&1 | grep -v warning || true
odd
stat -c '%U:%G %a' /usr/local/bin/odd
cp -r /srv/odd /home/app/odd && chown -R app:app /home/app/odd
su - app -c 'CARGO_NET_OFFLINE=true cargo install -q --path odd 2>&1 | grep -v warning; .cargo/bin/odd; find . ! -user app'
