//! What a program needs to run: the dynamic linker is asked, which alone knows all its rules.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::collect::Collection;
use super::elf::{self, Kind};
use super::find;
use crate::transfer::Error;

/// Scripts that scripts interpret; the kernel's limit is as low.
const DEPTH: usize = 4;
/// What glibc loads by itself to look up users and hosts; part of libc itself since 2.34.
const NAME_SERVICES: [&str; 2] = ["libnss_files.so.2", "libnss_dns.so.2"];

/// Takes a program and all that it needs.
pub(super) fn add_program(
    collection: &mut Collection,
    program: &Path,
    path: &str,
) -> Result<(), Error> {
    add(collection, program, path, 0)
}

fn add(collection: &mut Collection, program: &Path, path: &str, depth: usize) -> Result<(), Error> {
    let real = collection.add_program(program)?;
    let mut file = File::open(&real).map_err(Error::opening(&real))?;
    match elf::interpreter(&mut file).map_err(Error::opening(&real))? {
        Kind::Alone => Ok(()),
        Kind::Dynamic(linker) => {
            for file in ["/etc/ld.so.cache", "/etc/ld.so.preload"] {
                collection.look(Path::new(file));
            }
            collection.add(&linker)?;
            let mut found = ask(&linker, &real)?;
            let libc = found.iter().find(|library| library.ends_with("libc.so.6"));
            if let Some(folder) = libc.and_then(|libc| libc.parent()) {
                let services = NAME_SERVICES.map(|name| folder.join(name));
                let services: Vec<_> = services.into_iter().filter(|s| s.exists()).collect();
                for service in &services {
                    found.extend(ask(&linker, service)?);
                }
                found.extend(services);
            }
            found.iter().try_for_each(|library| collection.add(library).map(drop))
        }
        Kind::Script(..) if depth >= DEPTH => {
            let problem = "its interpreter is a script of a script of a script".to_owned();
            Err(Error::Program { program: program.display().to_string(), problem })
        }
        Kind::Script(interpreter, rest) => {
            add(collection, &interpreter, path, depth + 1)?;
            // `#!/usr/bin/env python3` means the program after it.
            if interpreter.file_name().is_some_and(|name| name == "env")
                && let Some(name) = rest.split_whitespace().find(|word| !word.starts_with('-'))
            {
                let program = find(collection, name, path)?;
                add(collection, &program, path, depth + 1)?;
            }
            Ok(())
        }
    }
}

/// The libraries that a dynamic linker would load for a program. glibc's and musl's both print
/// `NAME => PATH (ADDRESS)` for `--list`.
fn ask(linker: &Path, program: &Path) -> Result<Vec<PathBuf>, Error> {
    let shown = program.display().to_string();
    // The caller's LD_LIBRARY_PATH will not be there when the image runs.
    let output = Command::new(linker)
        .arg("--list")
        .arg(program)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(Error::opening(linker))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut libraries = Vec::new();
    for line in text.lines() {
        match read_line(line) {
            Line::Library(path) => libraries.push(path),
            Line::Missing(library) => return Err(Error::NoLibrary { program: shown, library }),
            Line::Nothing => {}
        }
    }
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr);
        let problem = problem.lines().next().unwrap_or("the dynamic linker gave up").to_owned();
        return Err(Error::Program { program: shown, problem });
    }
    Ok(libraries)
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Library(PathBuf),
    Missing(String),
    Nothing,
}

fn read_line(line: &str) -> Line {
    let line = line.trim();
    let (name, place) = line.split_once(" => ").unwrap_or((line, line));
    if place.starts_with("not found") {
        return Line::Missing(name.to_owned());
    }
    let path = place.rsplit_once(" (0x").map_or(place, |(path, _)| path);
    if path.starts_with('/') { Line::Library(path.into()) } else { Line::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_both_linkers_are_read() {
        let library = |path: &str| Line::Library(path.into());
        for (line, read) in [
            ("\tlinux-vdso.so.1 (0x00007ffd)", Line::Nothing),
            ("\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)", library("/lib/x/libc.so.6")),
            ("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)", library("/lib64/ld-linux-x86-64.so.2")),
            (
                "\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f)",
                library("/lib/ld-musl-x86_64.so.1"),
            ),
            ("\tlibx.so => not found", Line::Missing("libx.so".into())),
            ("\tstatically linked", Line::Nothing),
            ("\tlib (x).so => /a b (x).so (0x7f)", library("/a b (x).so")),
        ] {
            assert_eq!(read_line(line), read, "{line}");
        }
    }
}
