//! `flagSets` and keys: who is whose client. Upstream's rules in upstream's words, but no key is ever shown.

use flagpost_exporter::Secret;
use flagpost_settings::{Data, Node, Place, Problems, decode_with, join};
use sha2::{Digest, Sha256};

use super::file;
use super::keys;
use super::model::{AuthorizedKeys, DEFAULT_FLAG_SET, FlagSet};

/// A flag set, and where it is written.
pub(crate) struct Tenant<'n> {
    pub(crate) flag_set: FlagSet,
    pub(crate) path: String,
    pub(crate) node: &'n Node,
}

/// The flag sets of the file, in its order. Those without a name of their own are called by their keys.
pub(crate) fn flag_sets<'n>(root: &'n Node, problems: &mut Problems) -> Vec<Tenant<'n>> {
    let items = match root.get("flagSets").map(|entry| &entry.value) {
        None => &[],
        Some(Node { data: Data::Null, .. }) => &[],
        Some(Node { data: Data::Map(entries), .. }) if entries.is_empty() => &[],
        Some(Node { data: Data::List(items), .. }) => items.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    let mut tenants: Vec<Tenant<'n>> = Vec::new();
    for (index, node) in items.iter().enumerate() {
        let path = format!("flagSets[{index}]");
        let written: file::FlagSet = decode_with(node, &path, &keys::elsewhere, problems);
        let keys_place = node.get("apiKeys").map_or(&node.place, |entry| &entry.place);
        let api_keys = checked(written.api_keys, &join(&path, "apiKeys"), keys_place, problems);
        let name = match written.name {
            Some(name) if name == DEFAULT_FLAG_SET => {
                let name_place = node.get("name").map_or(&node.place, |entry| &entry.place);
                let message = format!("`{DEFAULT_FLAG_SET}` is the flag set of a relay without flag sets: this one has no name");
                problems.warning(join(&path, "name"), name_place, message, "give it a name of its own");
                None
            }
            name => name,
        };
        if let Some(name) = &name {
            let name_place = node.get("name").map_or(&node.place, |entry| &entry.place);
            if name.len() > 100 || name.contains(char::is_control) {
                problems.error(join(&path, "name"), name_place, "a name has 1 to 100 characters", "choose another name");
            }
            if let Some(twin) = tenants.iter().find(|other| other.flag_set.name == *name) {
                let message = format!("the flag set on {} has the same name", twin.node.place);
                problems.error(join(&path, "name"), name_place, message, "give each a name of its own");
            }
        }
        if api_keys.is_empty() && !problems.concern(&join(&path, "apiKeys")) {
            // Upstream's words; it has no word for a set without a name.
            let shown = name.as_deref().unwrap_or(&path);
            problems.error(join(&path, "apiKeys"), &node.place, format!("flagset {shown} has no API keys"), "give it `apiKeys`");
        }
        let name = name.unwrap_or_else(|| unnamed(&api_keys));
        for key in &api_keys {
            if let Some(other) = tenants.iter().find(|other| other.flag_set.api_keys.contains(key)) {
                let shown = &digest(key)[..8];
                let message = format!("API key sha256:{shown}… is used by multiple flagsets: {} and {name}", other.flag_set.name);
                problems.error(join(&path, "apiKeys"), keys_place, message, "give each flag set keys of its own");
            }
        }
        tenants.push(Tenant { flag_set: FlagSet { name, api_keys }, path, node });
    }
    tenants
}

/// `authorizedKeys`, with keys that could not be meant complained about.
pub(crate) fn authorized(written: file::AuthorizedKeys, root: &Node, tenants: &[Tenant<'_>], problems: &mut Problems) -> AuthorizedKeys {
    let place = |key: &str| root.place_at(&format!("authorizedKeys.{key}")).cloned().unwrap_or_default();
    let evaluation = checked(written.evaluation, "authorizedKeys.evaluation", &place("evaluation"), problems);
    let admin = checked(written.admin, "authorizedKeys.admin", &place("admin"), problems);
    let routed = |key: &Secret| tenants.iter().any(|tenant| tenant.flag_set.api_keys.contains(key));
    if !tenants.is_empty() && !evaluation.iter().all(routed) {
        let message = "with flag sets, a request with such a key has no flag set and is answered 400";
        problems.warning("authorizedKeys.evaluation", place("evaluation"), message, "put the keys into `apiKeys` of a flag set");
    }
    AuthorizedKeys { evaluation, admin }
}

/// The keys, each once.
fn checked(written: Vec<Secret>, path: &str, place: &Place, problems: &mut Problems) -> Vec<Secret> {
    let mut keys: Vec<Secret> = Vec::new();
    for key in written {
        let text = key.reveal();
        if text.is_empty() {
            problems.error(path, place, "an empty key: a request without one would be let in", "remove it");
        } else if !keys.contains(&key) {
            if text.trim() != text {
                let message = format!("the key sha256:{}… has blanks around it, and they count", &digest(&key)[..8]);
                problems.warning(path, place, message, "remove them unless clients send them, too");
            }
            keys.push(key);
        }
    }
    keys
}

/// What an unnamed flag set is called: a hash of its sorted keys' digests, so that their order does not matter.
fn unnamed(keys: &[Secret]) -> String {
    let mut digests: Vec<String> = keys.iter().map(digest).collect();
    digests.sort();
    format!("flagset-{}", hex::encode(&Sha256::digest(digests.concat())[..4]))
}

fn digest(key: &Secret) -> String {
    hex::encode(Sha256::digest(key.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unnamed_flag_set_is_called_by_its_keys_in_any_order() {
        let keys = |texts: &[&str]| texts.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>();
        let name = unnamed(&keys(&["a", "b"]));
        assert_eq!(name, unnamed(&keys(&["b", "a"])));
        assert_ne!(name, unnamed(&keys(&["ab"])));
        // Cursors hang on it.
        assert_eq!(name, "flagset-ab19ec53");
    }
}
