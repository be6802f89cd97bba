//! An image's manifest: read with suspicion, and written as the CNCF's layout for WebAssembly wants it, so that other tools read it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::DistributionError;
use crate::cache::Digest;
use crate::compile::MAX_INPUT;
use crate::text::{bytes as readable, cut};

/// A manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The manifest of older tools; its layers are told apart in the same way.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Several images under one name, one per platform. A component runs on all of them.
const INDEXES: [&str; 2] = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// What is asked for: indexes, too, or a registry says only that there is nothing.
pub(super) const ACCEPTED: [&str; 4] = [MANIFEST, DOCKER_MANIFEST, INDEXES[0], INDEXES[1]];

/// What describes the component.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The component; the second is what tools wrote before the layout was agreed on.
const LAYERS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/// Larger manifests are none: ours has below 1 KiB.
pub(super) const MOST: usize = 4 << 20;

/// Where the component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// SHA-256 in hex.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: Option<u64>,
    media_type: Option<String>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Finds the component in a manifest's bytes.
pub(super) fn read(bytes: &[u8]) -> Result<Layer, DistributionError> {
    let wrong = |why: String| DistributionError::NoPlugin { why };
    if bytes.len() > MOST {
        return Err(wrong(format!("its manifest has {}", readable(bytes.len() as u64))));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|why| wrong(format!("its manifest is not readable: {why}")))?;
    let media_type = manifest.media_type.as_deref().unwrap_or(MANIFEST);
    if INDEXES.contains(&media_type) || (manifest.manifests.is_some() && manifest.layers.is_empty()) {
        return Err(wrong(
            "it is an index of several images, and a component needs one for all platforms; name the image itself".to_owned(),
        ));
    }
    if manifest.schema_version != Some(2) || ![MANIFEST, DOCKER_MANIFEST].contains(&media_type) {
        return Err(wrong(format!("its manifest is of the unknown type `{}`", cut(media_type, 100))));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(wrong(format!("it has {} layers, a component is one", manifest.layers.len())));
    };
    if !LAYERS.contains(&layer.media_type.as_str()) {
        return Err(wrong(format!("it holds `{}`, expected `{}`", cut(&layer.media_type, 100), LAYERS[0])));
    }
    if layer.size > MAX_INPUT {
        return Err(wrong(format!("its component has {}, at most {} are loaded", readable(layer.size), readable(MAX_INPUT))));
    }
    let digest = layer.digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex));
    let digest = digest.ok_or_else(|| wrong("its component is not named by a SHA-256".to_owned()))?.to_owned();
    Ok(Layer { digest, size: layer.size })
}

/// 64 hex digits in lower case, as the specification has them. They become names of files, so nothing else passes.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What stands in an image beside the component.
pub(super) struct Image {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
}

/// The image of a component. It depends on nothing else: the same file, pushed twice, has the same digest.
pub(super) fn write(component: &[u8], title: &str, exports: &[String], imports: &[String]) -> Image {
    let layer = sha256(component);
    let config = json!({
        // Mandatory in the layout; a real date would give each push another digest.
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer],
        "component": { "exports": exports, "imports": imports, "target": Value::Null },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": sha256(&config), "size": config.len() },
        "layers": [{
            "mediaType": LAYERS[0],
            "digest": layer,
            "size": component.len(),
            // What tools that write layers to files name them by.
            "annotations": { "org.opencontainers.image.title": title },
        }],
    });
    Image { config, manifest: manifest.to_string().into_bytes() }
}

/// As registries write it.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes).hex())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(manifest: &Value) -> String {
        read(manifest.to_string().as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_and_depends_on_the_component_only() {
        let image = write(b"\0asm component", "acme.wasm", &["flagpost:plugin/exporter@0.1.0".to_owned()], &[]);
        let layer = read(&image.manifest).unwrap();
        assert_eq!((format!("sha256:{}", layer.digest), layer.size), (sha256(b"\0asm component"), 14));
        let again = write(b"\0asm component", "acme.wasm", &["flagpost:plugin/exporter@0.1.0".to_owned()], &[]);
        assert_eq!(image.manifest, again.manifest);
    }

    #[test]
    fn what_is_no_plugin_is_named() {
        let layer = |kind: &str| json!({ "mediaType": kind, "digest": format!("sha256:{}", "ab".repeat(32)), "size": 9 });
        let of = |layers: Value| json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers });
        let cases = [
            (of(json!([layer("application/vnd.oci.image.layer.v1.tar+gzip")])), "tar+gzip`, expected `application/wasm`"),
            (of(json!([layer("application/wasm"), layer("application/wasm")])), "2 layers"),
            (of(json!([])), "0 layers"),
            (json!({ "schemaVersion": 2, "mediaType": INDEXES[0], "manifests": [] }), "index"),
            (json!({ "schemaVersion": 2, "manifests": [] }), "index"),
            (json!({ "schemaVersion": 1, "layers": [] }), "unknown type"),
            (of(json!([{ "mediaType": "application/wasm", "digest": "sha256:../../x", "size": 9 }])), "SHA-256"),
            (of(json!([{ "mediaType": "application/wasm", "digest": format!("sha256:{}", "AB".repeat(32)), "size": 9 }])), "SHA-256"),
            (of(json!([{ "mediaType": "application/wasm", "digest": "sha512:ab", "size": 9 }])), "SHA-256"),
            (
                of(json!([{ "mediaType": "application/wasm", "digest": format!("sha256:{}", "ab".repeat(32)), "size": 1u64 << 40 }])),
                "at most",
            ),
            (json!("text"), "not readable"),
        ];
        for (manifest, words) in cases {
            let why = told(&manifest);
            assert!(why.contains(words), "{manifest}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&bytes));
        }
    }
}
