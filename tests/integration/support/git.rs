//! git repositories, and who serves them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Place, free_port, has};

/// `git daemon`, until it is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    pub(crate) fn start(place: &Place, folder: &Path) -> Self {
        let port = free_port();
        let child = Command::new("git")
            .args(["daemon", "--reuseaddr", "--listen=127.0.0.1", "--export-all"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", folder.display()))
            .env("HOME", place.path("home"))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git is installed");
        let daemon = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "git daemon does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("git://127.0.0.1:{}/{rest}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has a child of its own, which does the work and ends with the first signal it gets.
        drop(Command::new("pkill").args(["-P", &self.child.id().to_string()]).status());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A repository `repo` with a branch, tags and a submodule, another one, `app`, with Dockerfiles, and
/// who serves them.
pub(crate) fn repository(place: &Place) -> Option<(PathBuf, Daemon)> {
    if !has("git", "git") {
        return None;
    }
    let folder = place.folder("git");
    let daemon = Daemon::start(place, &folder);
    let script = format!(
        "export GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'
         git config --global user.email a@b; git config --global user.name a
         git config --global init.defaultBranch main; umask 022
         git init -q sub; (cd sub; echo s > s; git add .; git commit -qm s)
         git init -q app; (cd app; mkdir docker; echo one > f; echo no > ignored
           printf 'FROM scratch\\nCOPY . /\\n' | tee Dockerfile > docker/Dockerfile
           echo ignored > .dockerignore; echo two > docker/f; git add .; git commit -qm app)
         git clone -q --bare app app.git; git -C app.git update-server-info
         git init -q repo; cd repo; mkdir -p dir/deep; echo 1 > file; echo x > dir/run
         chmod 755 dir/run; ln -s ../file dir/deep/link; git add .; git commit -qm one; git tag v1
         git tag -a v2 -m two; echo 2 > file; git commit -qam two; git checkout -qb side
         git submodule --quiet add {} sub; git commit -qm sub; git checkout -q main
         git for-each-ref --format='%(refname:short)=%(objectname)'",
        daemon.url("sub")
    );
    place.run("bash").arg("-ec").arg(script).in_folder(&folder).succeeds();
    Some((folder.join("repo"), daemon))
}
