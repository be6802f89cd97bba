//! The `s3` exporter's keys.

use std::sync::Arc;

use flagpost_event::Clock;
use flagpost_settings::{Place as Where, Problems};

use crate::aws::{AssumeRole, Connector, Patience, Place};
use crate::config::require;
use crate::kind::Kind;
use crate::name::Join;
use crate::objects::{ObjectConfig, ObjectExporter, object_keys};
use crate::{BuildContext, Exporter};

use super::store::S3Store;

object_keys! {
    /// Objects in an Amazon S3 bucket, or in another store with its protocol. Credentials come from the environment, the shared files, a
    /// container's or a machine's role, as everywhere in AWS.
    Keys {
        /// Mandatory. The bucket.
        bucket: String = String::new(),
        /// Ours: the store's address instead of Amazon's, `https://minio.example.com:9000`.
        endpoint: String = String::new(),
        /// Ours: the bucket's region; otherwise AWS_REGION's or the profile's.
        region: String = String::new(),
        /// Ours: the bucket stands in the path of requests, not in their host name. An `endpoint` that is an IP address needs no saying.
        force_path_style: bool = false,
        /// Ours: a role to take on.
        assume_role: AssumeRole = AssumeRole::default(),
        /// Ours: how the bucket encrypts the objects: `AES256`, `aws:kms` or `aws:kms:dsse`. Default: as the bucket says.
        server_side_encryption: String = String::new(),
        /// Ours: the key for `aws:kms`, its id or ARN. Default: the account's own.
        kms_key_id: String = String::new(),
        /// Ours: `STANDARD_IA`, `INTELLIGENT_TIERING`, `GLACIER_IR`, … Default: `STANDARD`.
        storage_class: String = String::new(),
    }
}

const ENCRYPTIONS: [&str; 3] = ["AES256", "aws:kms", "aws:kms:dsse"];

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct S3Config {
    pub(super) bucket: String,
    pub(super) endpoint: Option<String>,
    pub(super) force_path_style: bool,
    pub(super) encryption: Option<String>,
    pub(super) kms_key: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Kind for Keys {
    const NAME: &'static str = "s3";
    const LOCATION: &'static [&'static str] = &["bucket", "endpoint", "path", "filename"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let (config, place, objects) = self.check(problems, context)?;
        let patience = Patience { attempt: objects.timeout, operation: objects.timeout };
        let store = S3Store::new(config, Connector::new(place, patience));
        Some(Arc::new(ObjectExporter::new(store, objects)))
    }
}

impl Keys {
    fn check(self, problems: &mut Problems, context: &BuildContext) -> Option<(S3Config, Place, ObjectConfig)> {
        require(problems, Self::NAME, "bucket", &self.bucket, "my-bucket");
        let objects = self.objects(Join::Slash).check(problems, context);
        let place = Place::check(&self.endpoint, &self.region, &self.assume_role, problems);
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let encryption = given(&self.server_side_encryption);
        if encryption.as_deref().is_some_and(|encryption| !ENCRYPTIONS.contains(&encryption)) {
            let help = format!("one of {}", flagpost_settings::list(&ENCRYPTIONS));
            problems.error("serverSideEncryption", Where::Nowhere, "S3 does not encrypt in that way", help);
        }
        let kms_key = given(&self.kms_key_id);
        if kms_key.is_some() && !encryption.as_deref().is_some_and(|encryption| encryption.starts_with("aws:kms")) {
            problems.error("kmsKeyId", Where::Nowhere, "only `aws:kms` encrypts with a key of KMS", "set `serverSideEncryption: aws:kms`");
        }
        let storage_class = given(&self.storage_class);
        if storage_class.as_deref().is_some_and(|class| !class.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')) {
            problems.error("storageClass", Where::Nowhere, "no storage class is called so", "write it as STANDARD_IA");
        }
        let config = S3Config {
            bucket: self.bucket,
            endpoint: place.endpoint.clone(),
            force_path_style: self.force_path_style,
            encryption,
            kms_key,
            storage_class,
            clock: Arc::clone(&context.clock),
        };
        Some((config, place, objects?))
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
        keys.check(&mut problems, &BuildContext::system());
        problems.finish().0.into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn keys_that_cannot_work_are_told() {
        let all = serde_json::json!({
            "bucket": "b", "path": "day={{ .Date}}", "endpoint": "http://127.0.0.1:9000", "region": "eu-west-1", "forcePathStyle": true,
            "assumeRole": { "arn": "arn:aws:iam::123456789012:role/r", "externalId": "x" }, "serverSideEncryption": "aws:kms",
            "kmsKeyId": "k", "storageClass": "GLACIER_IR", "timeout": "5s", "format": "parquet", "parquetCompressionCodec": "ZSTD",
        });
        assert_eq!(problems(all.clone()), Vec::<String>::new());
        for (key, value) in [
            ("bucket", serde_json::json!("")),
            ("filename", serde_json::json!("all.json")),
            ("path", serde_json::json!("../up")),
            ("endpoint", serde_json::json!("127.0.0.1:9000")),
            ("region", serde_json::json!("EU (Ireland)")),
            ("serverSideEncryption", serde_json::json!("aws:rot13")),
            ("kmsKeyId", serde_json::json!("k")),
            ("storageClass", serde_json::json!("standard-ia")),
            ("timeout", serde_json::json!("0s")),
        ] {
            let mut wrong = all.clone();
            wrong[key] = value;
            if key == "kmsKeyId" {
                wrong["serverSideEncryption"] = "AES256".into();
            }
            let found = problems(wrong);
            assert!(found.contains(&key.to_owned()), "{key}: {found:?}");
        }
    }
}
