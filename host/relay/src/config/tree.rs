//! Changing a tree: what sources beside the file do.

use flagpost_settings::{Data, Entry, Node, Place, same_key};

/// The value of `key` below `node`, in any case, made when it is missing. Anything but a map becomes one.
pub(super) fn member<'n>(node: &'n mut Node, key: &str, place: &Place) -> &'n mut Node {
    if !matches!(node.data, Data::Map(_)) {
        *node = Node { place: place.clone(), data: Data::Map(Vec::new()) };
    }
    let Data::Map(entries) = &mut node.data else { unreachable!("made a map above") };
    let exact = entries.iter().position(|entry| entry.key == key);
    let found = exact.or_else(|| entries.iter().position(|entry| same_key(&entry.key, key)));
    let at = found.unwrap_or_else(|| {
        let value = Node { place: place.clone(), data: Data::Null };
        entries.push(Entry { key: key.to_owned(), place: place.clone(), value });
        entries.len() - 1
    });
    &mut entries[at].value
}

/// The item at `index`, with empty ones before it when the list is shorter. A single value becomes a list of one first, as it would when it
/// is read.
pub(super) fn item<'n>(node: &'n mut Node, index: usize, place: &Place) -> &'n mut Node {
    if !matches!(node.data, Data::List(_)) {
        let single = std::mem::replace(node, Node { place: place.clone(), data: Data::Null });
        node.place = single.place.clone();
        node.data = Data::List(if matches!(single.data, Data::Null) { Vec::new() } else { vec![single] });
    }
    let Data::List(items) = &mut node.data else { unreachable!("made a list above") };
    while items.len() <= index {
        items.push(Node { place: place.clone(), data: Data::Null });
    }
    &mut items[index]
}

/// Takes the entry of that key out, in any case.
pub(super) fn take(node: &mut Node, key: &str) -> Option<Entry> {
    let Data::Map(entries) = &mut node.data else { return None };
    let at = entries.iter().position(|entry| same_key(&entry.key, key))?;
    Some(entries.remove(at))
}

/// Whether there is a value: neither nothing nor the empty text.
pub(super) fn is_set(node: Option<&Node>) -> bool {
    match node.map(|node| &node.data) {
        None | Some(Data::Null) => false,
        Some(Data::Scalar(scalar)) => !scalar.text.is_empty(),
        Some(Data::List(_) | Data::Map(_)) => true,
    }
}
