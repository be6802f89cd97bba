#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const EMPTY: &str = "(component)";

struct Fixture {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    engine: Engine,
    digest: Digest,
    artefact: Vec<u8>,
}

fn fixture() -> Fixture {
    let temp = tempfile::tempdir().unwrap();
    let engine = crate::engine::compiler().unwrap();
    let wasm = wat::parse_str(EMPTY).unwrap();
    let artefact = engine.precompile_component(&wasm).unwrap();
    Fixture { dir: temp.path().join("cache"), _temp: temp, engine, digest: Digest::of(&wasm), artefact }
}

impl Fixture {
    fn open(&self) -> Cache {
        Cache::open(&self.dir, &self.engine).unwrap()
    }

    fn filled(&self) -> Cache {
        let cache = self.open();
        cache.take(&self.engine, &self.digest, &self.artefact).unwrap();
        cache
    }
}

#[test]
fn what_was_kept_is_loaded_by_the_next_start() {
    let fixture = fixture();
    assert!(fixture.open().load(&fixture.engine, &fixture.digest).is_none());
    fixture.filled();
    assert!(fixture.open().load(&fixture.engine, &fixture.digest).is_some());
}

#[test]
fn the_code_compiled_without_a_pool_runs_with_one() {
    let fixture = fixture();
    let runner = crate::engine::runner().unwrap();
    assert_eq!(compatibility(&runner), compatibility(&fixture.engine));
    assert!(fixture.open().take(&runner, &fixture.digest, &fixture.artefact).is_ok());
}

#[test]
fn an_entry_with_any_byte_flipped_or_cut_is_not_loaded() {
    let fixture = fixture();
    let cache = fixture.filled();
    let path = cache.entry(&fixture.digest);
    let good = fs::read(&path).unwrap();
    for at in [0, 4, 5, 20, 36, 37, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        assert!(cache.load(&fixture.engine, &fixture.digest).is_none(), "byte {at}");
    }
    for length in [0, 3, 5, 36, 37, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(cache.load(&fixture.engine, &fixture.digest).is_none(), "{length} bytes");
    }
    fs::write(&path, good).unwrap();
    assert!(cache.load(&fixture.engine, &fixture.digest).is_some());
}

#[test]
fn a_forged_entry_and_one_moved_to_another_plugins_name_are_not_loaded() {
    let fixture = fixture();
    let cache = fixture.filled();
    let path = cache.entry(&fixture.digest);
    let other = Digest::of(b"another plugin");
    fs::copy(&path, cache.entry(&other)).unwrap();
    assert!(cache.load(&fixture.engine, &other).is_none(), "an entry is bound to its source");
    let forger = Cache::open(&fixture.dir.with_file_name("elsewhere"), &fixture.engine).unwrap();
    forger.store(&fixture.digest, &fixture.artefact).unwrap();
    fs::copy(forger.entry(&fixture.digest), &path).unwrap();
    assert!(cache.load(&fixture.engine, &fixture.digest).is_none(), "another key's MAC");
    fs::write(&path, &fixture.artefact).unwrap();
    assert!(cache.load(&fixture.engine, &fixture.digest).is_none(), "bare code");
}

#[test]
fn a_key_that_others_could_read_is_replaced() {
    let fixture = fixture();
    fixture.filled();
    let key = fixture.dir.join("key");
    let before = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let cache = fixture.open();
    assert_ne!(fs::read(&key).unwrap(), before);
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    assert!(cache.load(&fixture.engine, &fixture.digest).is_none());
}

#[test]
fn the_directory_is_made_private_and_a_shared_one_is_refused() {
    let fixture = fixture();
    fixture.open();
    assert_eq!(fs::metadata(&fixture.dir).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(&fixture.dir, fs::Permissions::from_mode(0o770)).unwrap();
    let error = Cache::open(&fixture.dir, &fixture.engine).unwrap_err().to_string();
    assert!(error.contains("chmod 700"), "{error}");
}

#[test]
fn leftovers_and_other_versions_entries_are_removed_at_start() {
    let fixture = fixture();
    let cache = fixture.filled();
    // No process has that number; the one that started this one lives, and may be compiling.
    let [input, output] = ["wasm", "cwasm"].map(|kind| format!("tmp-{}-2.{kind}", std::os::unix::process::parent_id()));
    for name in ["tmp-4194305-2", "tmp-4194305-2.cwasm", "tmp-key-4194305-2", "aa-0000000000000000.cwasm", &input, &output] {
        fs::write(fixture.dir.join(name), b"x").unwrap();
    }
    fixture.open();
    let mut names: Vec<_> = cache.files().map(|path| path.file_name().unwrap().to_owned()).collect();
    names.sort();
    let mut expected = [cache.entry(&fixture.digest).file_name().unwrap().to_owned(), "key".into(), input.into(), output.into()];
    expected.sort();
    assert_eq!(names, expected);
}
