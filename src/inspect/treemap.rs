//! [`page`]: an image's files as a map of rectangles, in one page that needs nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::analyze::Analysis;

/// The page around the data.
const PAGE: &str = include_str!("treemap.html");

/// So many files have a rectangle of their own; the rest is put together by directories.
const MOST: usize = 4000;

/// A directory or a file.
#[derive(Debug, Default)]
struct Node {
    /// In bytes, of all layers together.
    size: u64,
    /// How many of them nobody can see in the end.
    hidden: u64,
    /// The layer that it is from, in the end or last.
    layer: usize,
    /// How many files are told together as one.
    files: usize,
    inside: BTreeMap<String, Self>,
}

/// Makes the page. No name of the image is ever taken for markup or for a program.
pub fn page(title: &str, analysis: &Analysis) -> String {
    let mut files: BTreeMap<&Path, Node> = BTreeMap::new();
    for (layer, share) in analysis.layers.iter().enumerate() {
        for (path, item) in &share.files {
            if item.size == 0 {
                continue;
            }
            let node = files.entry(path).or_default();
            let seen = analysis
                .merged
                .get(path)
                .is_some_and(|placed| placed.layer == layer && !placed.shared);
            node.size += item.size;
            node.hidden += if seen { 0 } else { item.size };
            node.layer = layer;
        }
    }
    let mut sizes: Vec<u64> = files.values().map(|node| node.size).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let least = sizes.get(MOST).map_or(0, |size| size + 1);
    let mut root = Node::default();
    let (large, small): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(_, node)| node.size >= least);
    large.iter().for_each(|(path, file)| root.put(path, file));
    small.iter().for_each(|(path, file)| root.put_small(path, file));
    let layers: Vec<Value> = analysis
        .layers
        .iter()
        .map(|share| {
            json!({
                "digest": share.descriptor.digest.short(),
                "size": share.size,
                "hidden": share.hidden,
                "command": share.command,
            })
        })
        .collect();
    let references: Vec<Value> = analysis
        .references
        .iter()
        .take(200)
        .map(|found| json!([found.path.to_string_lossy(), found.count, found.size]))
        .collect();
    let data = json!({
        "title": title,
        "size": analysis.size,
        "hidden": analysis.hidden,
        "wasted": analysis.wasted,
        "efficiency": analysis.efficiency,
        "layers": layers,
        "references": references,
        "root": root.json("/"),
    });
    let title = escaped(title);
    PAGE.replace("@TITLE@", &title).replace("@DATA@", &harmless(&data.to_string()))
}

impl Node {
    fn add(&mut self, file: &Self) {
        self.size += file.size;
        self.hidden += file.hidden;
        self.layer = file.layer;
    }

    fn put(&mut self, path: &Path, file: &Self) {
        self.add(file);
        let mut parts = path.components();
        if let Some(name) = parts.next() {
            let name = name.as_os_str().to_string_lossy().into_owned();
            self.inside.entry(name).or_default().put(parts.as_path(), file);
        }
    }

    /// Puts it together with others in the nearest directory that has something large.
    fn put_small(&mut self, path: &Path, file: &Self) {
        self.add(file);
        let mut parts = path.components();
        let name = parts.next().map(|name| name.as_os_str().to_string_lossy().into_owned());
        let inner = name.and_then(|name| self.inside.get_mut(&name));
        match inner.filter(|inner| !inner.inside.is_empty()) {
            Some(inner) => inner.put_small(parts.as_path(), file),
            None => {
                // A slash is in no file's name.
                let others = self.inside.entry("/".to_owned()).or_default();
                others.add(file);
                others.files += 1;
            }
        }
    }

    /// As the page's program reads it: name, size, hidden, layer or what is inside.
    fn json(&self, name: &str) -> Value {
        let name = match self.files {
            0 => name.to_owned(),
            1 => "(a small file)".to_owned(),
            files => format!("({files} small files)"),
        };
        let last = match self.inside.is_empty() {
            true => json!(self.layer),
            false => {
                let mut inside: Vec<(&String, &Self)> = self.inside.iter().collect();
                inside.sort_by_key(|(_, node)| std::cmp::Reverse(node.size));
                inside.into_iter().map(|(name, node)| node.json(name)).collect()
            }
        };
        json!([name, self.size, self.hidden, last])
    }
}

/// Text in a page.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            '@' => safe += "&#64;",
            c => safe.push(c),
        }
    }
    safe
}

/// JSON that ends no element of the page it stands in.
fn harmless(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                safe += &format!("\\u{:04x}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Config, Descriptor};
    use crate::inspect::listing::{Item, Record};
    use crate::layer::archive::{Entry, EntryKind};

    #[test]
    fn names_stay_names() {
        let evil = "</script><script>alert(1)</script>&\u{2028}@DATA@";
        let file = |path: &str, size| {
            let entry = Entry { size, ..Entry::new("", EntryKind::File) };
            Record::put(path, Item::of(entry))
        };
        let listing = vec![file(&format!("a/{evil}").replace("</", "< "), 10), file("b", 5)];
        let layers = [Descriptor::of("x", b"")];
        let analysis = Analysis::of(&Config::default(), &layers, vec![listing]);
        let page = page(evil, &analysis);
        // The page's own elements alone.
        assert_eq!(page.matches("<script").count(), 2, "{page}");
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("alert(1)</") && !page.contains("http://"));
        assert!(page.contains("&lt;/script&gt;"));
        let start = page.find(r#"type="application/json">"#).expect("the data") + 24;
        let end = start + page[start..].find("</script>").expect("its end");
        let data: Value = serde_json::from_str(&page[start..end]).expect("JSON");
        assert_eq!(data["title"], evil);
        assert_eq!(data["root"][1], 15);
        assert_eq!(data["root"][3][0][0], "a");
    }

    #[test]
    fn small_files_are_told_together() {
        let listing: Vec<Record> = (0..MOST + 10)
            .map(|n| {
                let size = if n < MOST { 100 } else { 1 };
                let entry = Entry { size, ..Entry::new("", EntryKind::File) };
                Record::put(format!("d/{n}"), Item::of(entry))
            })
            .collect();
        let layers = [Descriptor::of("x", b"")];
        let analysis = Analysis::of(&Config::default(), &layers, vec![listing]);
        let page = page("t", &analysis);
        assert!(page.contains(r#"["(10 small files)",10,0,0]"#) && page.contains(r#"["3999",100"#));
    }
}
