use std::collections::BTreeMap;

use crate::rust::{Import, Module};

/// The modules of one crate, and what names mean in them.
pub(super) struct Tree<'a> {
    /// The root first.
    pub(super) modules: Vec<Branch<'a>>,
}

/// A module in its place.
pub(super) struct Branch<'a> {
    /// The file that it stands in.
    pub(super) file: &'a str,
    pub(super) source: &'a Module,
    parent: Option<usize>,
    children: BTreeMap<&'a str, usize>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Module(usize),
    Item {
        module: usize,
        name: String,
    },
    /// Something of another crate.
    Foreign,
}

impl<'a> Tree<'a> {
    /// The modules that the file `root` declares, and those that they do.
    pub(super) fn new(files: &'a BTreeMap<String, &'a Module>, root: &'a str) -> Self {
        let mut tree = Self { modules: Vec::new() };
        let folder = root.strip_suffix("lib.rs").or_else(|| root.strip_suffix("main.rs"));
        let folder = folder.map_or_else(|| folder_of(root), str::to_owned);
        if let Some(source) = files.get(root) {
            tree.add(files, (root, source), None, &folder);
        }
        tree
    }

    fn add(
        &mut self,
        files: &'a BTreeMap<String, &'a Module>,
        (file, source): (&'a str, &'a Module),
        parent: Option<usize>,
        folder: &str,
    ) -> usize {
        let at = self.modules.len();
        self.modules.push(Branch { file, source, parent, children: BTreeMap::new() });
        for inner in &source.inline {
            let folder = format!("{folder}{}/", inner.name);
            let child = self.add(files, (file, inner), Some(at), &folder);
            self.modules[at].children.insert(&inner.name, child);
        }
        for name in &source.declared {
            let path = format!("{folder}{name}.rs");
            // Files for tests are not among them.
            let Some((file, source)) = files.get_key_value(&path) else { continue };
            let child = self.add(files, (file, source), Some(at), &folder_of(&path));
            self.modules[at].children.insert(name, child);
        }
        at
    }

    /// Whether `module` lies below `top`, or is it.
    pub(super) fn is_below(&self, module: usize, top: usize) -> bool {
        module == top
            || self.modules[module].parent.is_some_and(|parent| self.is_below(parent, top))
    }

    /// What `path` means in `module`; several where a module and an item have one name.
    pub(super) fn resolve(&self, module: usize, path: &[String]) -> Vec<Meaning> {
        self.resolve_once(module, path, &mut Vec::new())
    }

    /// `asked` has the names whose meaning is being looked for, so that globs end.
    fn resolve_once(
        &self,
        module: usize,
        path: &[String],
        asked: &mut Vec<(usize, String)>,
    ) -> Vec<Meaning> {
        let mut rest = path.iter();
        let mut meanings = match self.start(module, path) {
            Some((start, words)) => {
                rest = path[words..].iter();
                vec![Meaning::Module(start)]
            }
            None => rest.next().map_or_else(Vec::new, |name| self.lookup(module, name, asked)),
        };
        for name in rest {
            meanings = self.within(&meanings, name, asked);
        }
        meanings
    }

    /// The module that `crate`, `self` and `super` at the start name, and how many words do.
    fn start(&self, module: usize, path: &[String]) -> Option<(usize, usize)> {
        match path.first()?.as_str() {
            "crate" => Some((0, 1)),
            "self" => Some((module, 1)),
            "super" => {
                let words = path.iter().take_while(|word| *word == "super").count();
                let up = |module: usize, _| self.modules[module].parent.unwrap_or(0);
                Some(((0..words).fold(module, up), words))
            }
            _ => None,
        }
    }

    /// What `name` means after a path that means one of `meanings`.
    fn within(
        &self,
        meanings: &[Meaning],
        name: &str,
        asked: &mut Vec<(usize, String)>,
    ) -> Vec<Meaning> {
        let mut found = Vec::new();
        for meaning in meanings {
            if let Meaning::Module(module) = meaning {
                found.extend(self.lookup(*module, name, asked));
            }
        }
        if !found.is_empty() {
            return found;
        }
        // A type's constant, variant or method; else a type that a derive or a macro put there.
        let other = |meaning: &&Meaning| !matches!(meaning, Meaning::Module(_));
        let others: Vec<Meaning> = meanings.iter().filter(other).cloned().collect();
        if !others.is_empty() {
            return others;
        }
        let made = |meaning: &Meaning| match meaning {
            Meaning::Module(module) if name.starts_with(char::is_uppercase) => {
                Meaning::Item { module: *module, name: name.to_owned() }
            }
            _ => Meaning::Foreign,
        };
        meanings.iter().map(made).collect()
    }

    fn lookup(&self, module: usize, name: &str, asked: &mut Vec<(usize, String)>) -> Vec<Meaning> {
        let question = (module, name.to_owned());
        if asked.contains(&question) {
            // Whoever asked first finds it elsewhere, or it is nowhere in this crate.
            return vec![Meaning::Foreign];
        }
        asked.push(question);
        let found = self.lookup_new(module, name, asked);
        asked.pop();
        found
    }

    fn lookup_new(
        &self,
        module: usize,
        name: &str,
        asked: &mut Vec<(usize, String)>,
    ) -> Vec<Meaning> {
        let node = &self.modules[module];
        let child = node.children.get(name).map(|child| Meaning::Module(*child));
        let own = node.source.items.iter().any(|item| item.name == name && item.of.is_none());
        let mut found: Vec<Meaning> = child.into_iter().collect();
        if own {
            found.push(Meaning::Item { module, name: name.to_owned() });
        }
        let is_named = |import: &&Import| import.name.as_deref() == Some(name);
        for import in node.source.imports.iter().filter(is_named) {
            let meanings = self.resolve_once(module, &import.path, asked);
            match meanings.is_empty() {
                true => found.push(Meaning::Foreign),
                false => found.extend(meanings),
            }
        }
        if !found.is_empty() {
            return found;
        }
        for import in node.source.imports.iter().filter(|import| import.name.is_none()) {
            for meaning in self.resolve_once(module, &import.path, asked) {
                match meaning {
                    Meaning::Module(of) if self.shows(of, name, module) => {
                        found.extend(self.lookup(of, name, asked));
                    }
                    _ => {}
                }
            }
        }
        if found.is_empty() && module == 0 {
            found.extend(self.exported_macro(name));
        }
        found
    }

    /// `#[macro_export]` puts a macro into the root, wherever it is written.
    fn exported_macro(&self, name: &str) -> Option<Meaning> {
        let exports = |node: &Branch<'_>| {
            let mut items = node.source.items.iter();
            items.any(|item| item.kind == "macro" && item.visible && item.name == name)
        };
        let module = self.modules.iter().position(exports)?;
        Some(Meaning::Item { module, name: name.to_owned() })
    }

    /// Whether a `*` brings `name` from the module `of` to `to`: a private `use` stays where it is,
    /// and below.
    fn shows(&self, of: usize, name: &str, to: usize) -> bool {
        let imports = &self.modules[of].source.imports;
        let mut named = imports.iter().filter(|import| import.name.as_deref() == Some(name));
        self.is_below(to, of) || named.all(|import| import.public)
    }
}

/// Where the modules of a file lie: `a/b/` of `a/b.rs`.
fn folder_of(path: &str) -> String {
    format!("{}/", path.trim_end_matches(".rs"))
}
