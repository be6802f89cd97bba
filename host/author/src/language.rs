//! The languages that projects can be in.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A language with a component toolchain, an example and a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// `cargo`, target `wasm32-wasip2`.
    Rust,
    /// QuickJS (`componentize-qjs`), or StarlingMonkey where the project has `jco`.
    JavaScript,
    /// As JavaScript, after `tsc`.
    TypeScript,
    /// `componentize-py`.
    Python,
    /// The standard Go compiler.
    Go,
    /// `zig cc`, or `$CC`.
    C,
}

/// File that makes a directory a project of a language. TypeScript before JavaScript: both have a `package.json`.
const MARKS: [(&str, Language); 6] = [
    ("Cargo.toml", Language::Rust),
    ("plugin.ts", Language::TypeScript),
    ("plugin.js", Language::JavaScript),
    ("plugin.py", Language::Python),
    ("go.mod", Language::Go),
    ("plugin.c", Language::C),
];

impl Language {
    /// All of them.
    pub const ALL: [Language; 6] =
        [Language::Rust, Language::JavaScript, Language::TypeScript, Language::Python, Language::Go, Language::C];

    /// The language of the project in a directory: by the first of these files in it. `None`: it holds no project.
    pub fn of(directory: &Path) -> Option<Language> {
        MARKS.iter().find(|(file, _)| directory.join(file).is_file()).map(|(_, language)| *language)
    }

    /// The files that [`of`](Self::of) looks for.
    pub fn marks() -> impl Iterator<Item = &'static str> {
        MARKS.iter().map(|(file, _)| *file)
    }

    /// As `--lang` and the examples' directories call it.
    pub fn short(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::JavaScript => "js",
            Language::TypeScript => "ts",
            Language::Python => "python",
            Language::Go => "go",
            Language::C => "c",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Rust => "Rust",
            Language::JavaScript => "JavaScript",
            Language::TypeScript => "TypeScript",
            Language::Python => "Python",
            Language::Go => "Go",
            Language::C => "C",
        })
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let found =
            Language::ALL.into_iter().find(|language| language.short() == lower || language.to_string().to_ascii_lowercase() == lower);
        found.ok_or_else(|| format!("expected one of {}", Language::ALL.map(Language::short).join(", ")))
    }
}
