//! The `googleStorage` exporter's keys.

use std::sync::Arc;

use flagpost_settings::{Place, Problems};

use crate::config::require;
use crate::google::{Access, AccessKeys};
use crate::kind::Kind;
use crate::name::Join;
use crate::objects::{ObjectConfig, ObjectExporter, object_keys};
use crate::{BuildContext, Exporter};

use super::store::GoogleStore;

/// What the environment calls an emulator.
const EMULATOR: &str = "STORAGE_EMULATOR_HOST";

object_keys! {
    /// Objects in a Google Cloud Storage bucket.
    Keys {
        /// Mandatory. The bucket.
        bucket: String = String::new(),
        /// Ours: a file with credentials in JSON. Default: the application default ones (`GOOGLE_APPLICATION_CREDENTIALS`, gcloud's, the machine's).
        credentials_file: String = String::new(),
        /// Ours: another address of the service (`https://storage.europe-west3.rep.googleapis.com`), or an emulator's (`http://host:port`, which gets
        /// no credentials). `STORAGE_EMULATOR_HOST` does the same for emulators.
        endpoint: String = String::new(),
        /// Ours: `NEARLINE`, `COLDLINE`, `ARCHIVE`, … Default: as the bucket says.
        storage_class: String = String::new(),
        /// Ours: the key of Cloud KMS that encrypts the objects: `projects/P/locations/L/keyRings/R/cryptoKeys/K`. Default: as the bucket says.
        kms_key_name: String = String::new(),
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct GoogleConfig {
    pub(super) bucket: String,
    pub(super) access: Access,
    pub(super) storage_class: Option<String>,
    pub(super) kms_key: Option<String>,
}

impl Kind for Keys {
    const NAME: &'static str = "googleStorage";
    const LOCATION: &'static [&'static str] = &["bucket", "endpoint", "path", "filename"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let emulator = std::env::var(EMULATOR).ok();
        let (config, objects) = self.check(problems, context, emulator.as_deref())?;
        match GoogleStore::new(config, objects.timeout) {
            Ok(store) => Some(Arc::new(ObjectExporter::new(store, objects))),
            Err(message) => {
                problems.error("kind", Place::Nowhere, message, "install the system's CA certificates");
                None
            }
        }
    }
}

impl Keys {
    fn check(self, problems: &mut Problems, context: &BuildContext, emulator: Option<&str>) -> Option<(GoogleConfig, ObjectConfig)> {
        require(problems, Self::NAME, "bucket", &self.bucket, "my-bucket");
        if !self.bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            let fix = "letters, digits, `-`, `_` and `.`; folders belong into `path`";
            problems.error("bucket", Place::Nowhere, "no bucket can be called so", fix);
        }
        let objects = self.objects(Join::Clean).check(problems, context);
        let keys = AccessKeys { endpoint: &self.endpoint, file: &self.credentials_file, text: None, emulator };
        let access = Access::check(keys, problems);
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let storage_class = given(&self.storage_class);
        if storage_class.as_deref().is_some_and(|class| !class.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')) {
            problems.error("storageClass", Place::Nowhere, "no storage class is called so", "write it as NEARLINE");
        }
        let kms_key = given(&self.kms_key_name);
        if kms_key.as_deref().is_some_and(|key| !(key.starts_with("projects/") && key.contains("/cryptoKeys/"))) {
            let fix = "write projects/P/locations/L/keyRings/R/cryptoKeys/K";
            problems.error("kmsKeyName", Place::Nowhere, "is no name of a key", fix);
        }
        Some((GoogleConfig { bucket: self.bucket, access: access?, storage_class, kms_key }, objects?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_settings::decode;

    use super::*;

    fn problems(json: serde_json::Value) -> Vec<String> {
        let mut problems = Problems::default();
        let keys: Keys = decode(&json.into(), "", &mut problems);
        keys.check(&mut problems, &BuildContext::system(), None);
        problems.finish().0.into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn keys_that_cannot_work_are_told() {
        let all = serde_json::json!({
            "bucket": "my-bucket_1.acme.com", "path": "day={{ .Date}}", "endpoint": "https://storage.europe-west3.rep.googleapis.com",
            "credentialsFile": "key.json", "storageClass": "NEARLINE", "kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
            "timeout": "5s", "format": "parquet", "parquetCompressionCodec": "ZSTD",
        });
        assert_eq!(problems(all.clone()), Vec::<String>::new());
        for (key, value) in [
            ("bucket", ""),
            ("bucket", "my/bucket"),
            ("filename", "all.json"),
            ("path", "../up"),
            ("endpoint", "127.0.0.1:9000"),
            ("storageClass", "nearline"),
            ("kmsKeyName", "k"),
            ("timeout", "0s"),
        ] {
            let mut wrong = all.clone();
            wrong[key] = value.into();
            let found = problems(wrong);
            assert!(found.contains(&key.to_owned()), "{key}: {found:?}");
        }
    }
}
