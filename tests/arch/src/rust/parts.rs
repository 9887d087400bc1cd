/// A parsed file.
#[derive(Debug)]
pub struct RustFile {
    /// Relative to the repository's root.
    pub path: String,
    /// What it holds; without a name of its own.
    pub module: Module,
}

/// What stands in one module: a file, or `mod name { … }` within one.
#[derive(Debug, Default)]
pub struct Module {
    /// Empty for a file's.
    pub name: String,
    /// What it defines, with the methods and constants of inherent `impl`s.
    pub items: Vec<Definition>,
    /// Each name of each `use`, also of those within functions.
    pub imports: Vec<Import>,
    /// Names in expressions, types, patterns, attributes and macros' arguments.
    pub mentions: Vec<Mention>,
    /// `mod name { … }`.
    pub inline: Vec<Module>,
    /// `mod name;`.
    pub declared: Vec<String>,
}

/// A definition.
#[derive(Debug)]
pub struct Definition {
    /// Its keyword: `fn`, `struct`, …, `macro`; `name!` for a type that a macro call defines.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Has a `pub` of any reach.
    pub visible: bool,
    /// The type whose method or constant it is.
    pub of: Option<String>,
}

/// A name of a `use`.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// As written, `crate` and `super` included.
    pub path: Vec<String>,
    /// What it is called here; `None` for `*`.
    pub name: Option<String>,
    /// Has a `pub` of any reach.
    pub public: bool,
}

/// A name that is used.
#[derive(Debug)]
pub struct Mention {
    /// As written, without generic arguments.
    pub path: Vec<String>,
    /// Follows a dot, or a path that ended: its meaning depends on a type.
    pub of_value: bool,
    /// The items and types in whose definition (or `impl`) it stands.
    pub within: Vec<String>,
}

impl Definition {
    /// Whether it is a type or a trait.
    #[must_use]
    pub fn is_type(&self) -> bool {
        ["struct", "enum", "union", "trait", "type", "name!"].contains(&self.kind)
    }
}
