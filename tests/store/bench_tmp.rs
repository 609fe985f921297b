//! tmp
use std::time::Instant;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use bryo::store::*;
use bryo::rootfs::SideTable;
use bryo::image::Digest;
use bryo::sys::overlay::{self, Overlay};
pub(crate) fn bench() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut trees = vec![];
    for n in 0..450 {
        let new = store.new_tree().unwrap();
        fs::write(new.files().join(format!("f{n}")), "x").unwrap();
        trees.push(new.commit(&TreeKey::Diff(Digest::of(n.to_string().as_bytes())), &SideTable::new(true)).unwrap());
    }
    let big = {
        let new = store.new_tree().unwrap();
        for d in 0..300 { let p = new.files().join(format!("d{d}")); fs::create_dir(&p).unwrap(); for f in 0..100 { fs::write(p.join(f.to_string()), "y").unwrap(); } }
        new.commit(&TreeKey::Diff(Digest::of(b"big")), &SideTable::new(true)).unwrap()
    };
    let mut out = std::io::stdout();
    for (name, t) in [("1", &trees[..1]), ("big", std::slice::from_ref(&big)), ("10", &trees[..10]), ("150", &trees[..150]), ("450", &trees[..])] {
        let mut best = [u128::MAX; 4];
        for i in 0..20 {
            let a = Instant::now();
            let mut s = store.snapshot(t).unwrap();
            best[0] = best[0].min(a.elapsed().as_micros());
            let dir = if name == "big" { "d5" } else { "" };
            s.root().write_file(&Path::new(dir).join("new"), 0o644, b"x").unwrap();
            let a = Instant::now();
            let (_, r) = s.changes().unwrap();
            best[1] = best[1].min(a.elapsed().as_micros());
            let a = Instant::now();
            if i % 2 == 0 { s.commit(&Digest::of(format!("{name} {i} c").as_bytes()), &r).unwrap(); best[2] = best[2].min(a.elapsed().as_micros()); }
            else { drop(s); best[3] = best[3].min(a.elapsed().as_micros()); }
        }
        writeln!(out, "{name} layers: snapshot {} us, changes {}, commit {}, drop {}", best[0], best[1], best[2], best[3]).unwrap();
    }
    // new and old mount
    let w = store.workspace().unwrap();
    for n in ["u","w","l","r"] { fs::create_dir(w.path().join(n)).unwrap(); }
    let rel = w.path().strip_prefix(store.path()).unwrap();
    for count in [2, 150, 450] {
        let lower: Vec<_> = trees[..count].iter().map(|t| t.files().strip_prefix(store.path()).unwrap().to_owned()).collect();
        let (u, wk) = (rel.join("u"), rel.join("w"));
        let o = Overlay { base: store.path(), lower: &lower, upper: Some((&u, &wk)) };
        for old in [false, true] {
            let mut best = u128::MAX;
            for _ in 0..20 {
                drop(fs::remove_dir_all(w.path().join("w/work")));
                let a = Instant::now();
                if old { o.mount_at_once(&w.path().join("r"), &w.path().join("l")).unwrap(); } else { o.mount(&w.path().join("r"), &w.path().join("l")).unwrap(); }
                best = best.min(a.elapsed().as_micros());
                overlay::unmount(&w.path().join("r")).unwrap();
            }
            writeln!(out, "mount {count} old={old} {best} us").unwrap();
        }
    }
    // fsync
    let mut s = store.snapshot(&trees[..2]).unwrap();
    let a = Instant::now();
    for i in 0..1000 { let mut f = fs::File::create(s.root().path().join(format!("s{i}"))).unwrap(); f.write_all(b"abc").unwrap(); f.sync_all().unwrap(); }
    writeln!(out, "1000 fsync in snapshot: {} ms", a.elapsed().as_millis()).unwrap();
    let a = Instant::now();
    for i in 0..1000 { let mut f = fs::File::create(s.upper().path().join(format!("t{i}"))).unwrap(); f.write_all(b"abc").unwrap(); f.sync_all().unwrap(); }
    writeln!(out, "1000 fsync beside: {} ms", a.elapsed().as_millis()).unwrap();
    let _ = s.changes();
    let a = Instant::now(); for _ in 0..100 { Store::open(dir.path()).unwrap(); } writeln!(out, "open: {} us", a.elapsed().as_micros()/100).unwrap();
    let a = Instant::now(); for i in 0..100u32 { store.put_blob(&i.to_le_bytes()).unwrap(); } writeln!(out, "put_blob: {} us", a.elapsed().as_micros()/100).unwrap();
}
