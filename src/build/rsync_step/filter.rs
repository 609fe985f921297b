//! [`Rules`]: the filter of one RSYNC, those of its directories included.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::build::error::Fault;
use crate::dockerfile::rsync::filter::{PerDirectory, Rule, Side, Statement};
use crate::dockerfile::rsync::{Filter, Settings};
use crate::rootfs::{Root, clean};

/// A filter's file that is larger than that is none.
const LARGEST: u64 = 1 << 20;

/// In their order; the first that matches decides.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    items: Vec<Item>,
    /// With --delete-excluded only rules that say so spare anything.
    spares_excluded: bool,
}

#[derive(Debug, Clone)]
enum Item {
    Rule(Rule),
    PerDirectory(PerDirectory),
}

/// The rules that a directory's own files add, by the place of their `dir-merge` in the list.
#[derive(Debug)]
pub(super) struct Level {
    directory: PathBuf,
    lists: Vec<Own>,
}

#[derive(Debug, Default)]
struct Own {
    rules: Vec<Rule>,
    /// A `!`: the rules of the directories above count no more.
    clears: bool,
}

/// The directories from the root of the transfer to where one is.
pub(super) type Levels = Vec<Rc<Level>>;

impl Rules {
    pub(super) fn new(settings: &Settings, context: &Root) -> Result<Self, Fault> {
        let mut rules = Self { items: Vec::new(), spares_excluded: !settings.delete_excluded };
        for filter in &settings.filters {
            match filter {
                Filter::Rule(statement) => rules.add(statement, context, 0)?,
                Filter::Patterns { file, include } => {
                    rules.merge(file, Some(*include), context, 0)?;
                }
            }
        }
        Ok(rules)
    }

    fn add(&mut self, statement: &Statement, context: &Root, depth: usize) -> Result<(), Fault> {
        match statement {
            Statement::Rule(rule) => self.items.push(Item::Rule(rule.clone())),
            Statement::Clear => self.items.clear(),
            Statement::PerDirectory(per) => self.items.push(Item::PerDirectory(per.clone())),
            Statement::Merge { file, patterns } => self.merge(file, *patterns, context, depth)?,
        }
        Ok(())
    }

    fn merge(
        &mut self,
        file: &str,
        patterns: Option<bool>,
        context: &Root,
        depth: usize,
    ) -> Result<(), Fault> {
        let path = clean(Path::new(file));
        if depth > 10 {
            return Err(Fault::Rsync(format!("filter file {file}: files in files without an end")));
        }
        let missing = || Fault::NotFound { path: Path::new("/").join(&path), ignored: false };
        let text = context.read_file(&path, LARGEST)?.ok_or_else(missing)?;
        let statements = Statement::file(&String::from_utf8_lossy(&text), patterns);
        let statements = statements.map_err(|why| Fault::Rsync(format!("{file}: {why}")))?;
        statements.iter().try_for_each(|statement| self.add(statement, context, depth + 1))
    }

    /// What the files of a directory add.
    pub(super) fn level(
        &self,
        name: &Path,
        root: &Root,
        path: &Path,
    ) -> Result<Option<Rc<Level>>, Fault> {
        let mut lists = Vec::new();
        for item in &self.items {
            let Item::PerDirectory(per) = item else { continue };
            let mut own = Own::default();
            let file = path.join(&per.file);
            if root.stat(&file)?.is_some_and(|meta| !meta.is_dir())
                && let Some(text) = root.read_file(&file, LARGEST)?
            {
                let text = String::from_utf8_lossy(&text);
                let wrong = |why| Fault::Rsync(format!("{}: {why}", file.display()));
                for statement in Statement::file(&text, per.patterns).map_err(wrong)? {
                    match statement {
                        Statement::Rule(rule) => own.rules.push(rule),
                        Statement::Clear => own = Own { rules: Vec::new(), clears: true },
                        Statement::Merge { .. } | Statement::PerDirectory(_) => {
                            return Err(wrong("it names another file".to_owned()));
                        }
                    }
                }
            }
            lists.push(own);
        }
        let directory = name.to_owned();
        Ok((!lists.is_empty()).then(|| Rc::new(Level { directory, lists })))
    }

    /// Whether a file is left out, or (for the receiver) spared.
    pub(super) fn exclude(&self, name: &Path, is_dir: bool, side: Side, levels: &Levels) -> bool {
        let text = name.to_string_lossy();
        let decides = |rule: &Rule, text: &str| {
            let counts = side == Side::Sender || self.spares_excluded || !rule.sender;
            (counts && rule.matches(text, is_dir, side)).then_some(!rule.include)
        };
        let mut number = 0;
        for item in &self.items {
            let per = match item {
                Item::Rule(rule) => match decides(rule, &text) {
                    Some(excluded) => return excluded,
                    None => continue,
                },
                Item::PerDirectory(per) => per,
            };
            for level in levels.iter().rev() {
                let own = &level.lists[number];
                let inner = name.strip_prefix(&level.directory).unwrap_or(name);
                let is_own = inner.components().count() <= 1;
                let inner = inner.to_string_lossy();
                if per.inherited || is_own {
                    let decided = own.rules.iter().find_map(|rule| decides(rule, &inner));
                    if let Some(excluded) = decided {
                        return excluded;
                    }
                }
                if own.clears {
                    break;
                }
            }
            number += 1;
        }
        false
    }
}
