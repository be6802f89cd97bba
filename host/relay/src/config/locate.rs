//! Which file is the configuration. Upstream's flag and search path.

use std::path::{Path, PathBuf};

/// Directories that are searched, in order, and the file's base name: upstream's.
const DIRECTORIES: &[&str] = &["./", "/goff/", "/etc/opt/goff/"];
const BASE: &str = "goff-proxy";
/// Upstream's extensions, in its order.
const EXTENSIONS: &[&str] = &["yaml", "toml", "json", "yml"];

/// A configuration file, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Located {
    /// This one.
    File(PathBuf),
    /// Nothing was found; these were looked for.
    Nothing(Vec<PathBuf>),
}

/// The file named on the command line, else the first that exists on the search path.
pub fn locate(named: Option<&Path>, exists: impl Fn(&Path) -> bool) -> Located {
    let mut looked_for = Vec::new();
    let found = named.map(Path::to_owned).or_else(|| {
        DIRECTORIES.iter().flat_map(|directory| EXTENSIONS.iter().map(move |extension| format!("{directory}{BASE}.{extension}"))).find_map(
            |candidate| {
                let candidate = PathBuf::from(candidate);
                if exists(&candidate) {
                    return Some(candidate);
                }
                looked_for.push(candidate);
                None
            },
        )
    });
    match found {
        Some(file) => Located::File(file),
        None => Located::Nothing(looked_for),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_file_wins_and_the_search_goes_directory_by_directory() {
        let present = |files: &'static [&'static str]| move |path: &Path| files.iter().any(|file| Path::new(file) == path);
        let file = |text: &str| Located::File(PathBuf::from(text));
        assert_eq!(locate(Some(Path::new("a.conf")), present(&["./goff-proxy.yaml"])), file("a.conf"));
        assert_eq!(locate(None, present(&["/goff/goff-proxy.yaml", "./goff-proxy.yml"])), file("./goff-proxy.yml"));
        assert_eq!(locate(None, present(&["/etc/opt/goff/goff-proxy.json"])), file("/etc/opt/goff/goff-proxy.json"));
        assert_eq!(locate(None, present(&["./goff-proxy.toml"])), file("./goff-proxy.toml"));
        let Located::Nothing(looked_for) = locate(None, |_| false) else { panic!("nothing is there") };
        assert_eq!(looked_for.len(), 12);
    }
}
