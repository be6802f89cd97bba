//! The `azureBlobStorage` exporter's keys.

use std::sync::Arc;

use flagpost_event::Clock;
use flagpost_settings::{Place, Problems};
use url::Url;

use crate::config::require;
use crate::kind::Kind;
use crate::name::Join;
use crate::objects::{ObjectConfig, ObjectExporter, object_keys};
use crate::{BuildContext, Exporter, Secret};

use super::shared_key::is_key;
use super::store::AzureStore;

object_keys! {
    /// Block blobs in an Azure storage container.
    Keys {
        /// Mandatory. The container.
        container: String = String::new(),
        /// Mandatory. The storage account.
        account_name: String = String::new(),
        /// The account's key. Without one (and without `sasUrl`): the environment's client secret, the workload's identity, or the
        /// machine's.
        account_key: Option<Secret> = None,
        /// Ours: a URL with a shared access signature, of the container or of the account. It says where, too. Rights: create and write;
        /// read, so that an object of somebody else is told from one's own.
        sas_url: Option<Secret> = None,
        /// Ours: the blob service's address instead of `https://<accountName>.blob.core.windows.net`; for Azurite
        /// `http://127.0.0.1:10000/devstoreaccount1`.
        endpoint: String = String::new(),
    }
}

/// Who we are there.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// The account, and its key.
    SharedKey(String, Secret),
    /// The signature stands in the URL.
    Signature,
    /// Entra ID, by what the environment says.
    Entra,
}

/// A checked configuration.
#[derive(Clone)]
pub(super) struct AzureConfig {
    /// The container's URL; with a signature it is a secret.
    pub(super) url: Url,
    pub(super) access: Access,
    /// The container and where it is, as it may be shown.
    pub(super) shown: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl Kind for Keys {
    const NAME: &'static str = "azureBlobStorage";
    const LOCATION: &'static [&'static str] = &["accountName", "container", "endpoint", "path", "filename"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let (config, objects) = self.check(problems, context)?;
        match AzureStore::new(config, objects.timeout) {
            Ok(store) => Some(Arc::new(ObjectExporter::new(store, objects))),
            Err(message) => {
                problems.error("accountKey", Place::Nowhere, message, "set `accountKey` or `sasUrl`, or see to the environment (AZURE_…)");
                None
            }
        }
    }
}

impl Keys {
    pub(super) fn check(self, problems: &mut Problems, context: &BuildContext) -> Option<(AzureConfig, ObjectConfig)> {
        require(problems, Self::NAME, "container", &self.container, "my-container");
        require(problems, Self::NAME, "accountName", &self.account_name, "my-account");
        let objects = self.objects(Join::SlashAfterPath).check(problems, context);
        let signed = self.sas_url.is_some();
        if signed && self.account_key.is_some() {
            problems.error("sasUrl", Place::Nowhere, "an account's key is given, too", "remove one of the two");
        }
        if signed && !self.endpoint.is_empty() {
            problems.error("endpoint", Place::Nowhere, "`sasUrl` says where the container is", "remove one of the two");
        }
        if self.account_key.as_ref().is_some_and(|key| !is_key(key.reveal())) {
            problems.error("accountKey", Place::Nowhere, "is no account's key: expected base64", "copy it from the account's access keys");
        }
        let default = format!("https://{}.blob.core.windows.net", self.account_name);
        let (key, text) = match &self.sas_url {
            Some(url) => ("sasUrl", url.reveal()),
            None if self.endpoint.is_empty() => ("accountName", default.as_str()),
            None => ("endpoint", self.endpoint.as_str()),
        };
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.and_then(|url| container_url(url, &self.container));
        if url.is_none() && !self.account_name.is_empty() && !self.container.is_empty() {
            problems.error(key, Place::Nowhere, "is no address of a blob service", "write it as https://host");
        }
        if signed && url.as_ref().is_some_and(|url| !url.query_pairs().any(|(name, _)| name == "sig")) {
            problems.error("sasUrl", Place::Nowhere, "holds no signature (`sig=`)", "copy the whole URL");
        }
        let access = match (&self.account_key, signed) {
            (_, true) => Access::Signature,
            (Some(key), _) => Access::SharedKey(self.account_name.clone(), key.clone()),
            (None, false) => Access::Entra,
        };
        if matches!(access, Access::Entra) && url.as_ref().is_some_and(|url| url.scheme() != "https") {
            problems.error(
                "endpoint",
                Place::Nowhere,
                "tokens are sent over https only",
                "set `accountKey` or `sasUrl`, or write https://",
            );
        }
        let url = url?;
        let shown = format!("container `{}` at {}", self.container, &url[url::Position::BeforeScheme..url::Position::AfterPort]);
        Some((AzureConfig { url, access, shown, clock: Arc::clone(&context.clock) }, objects?))
    }
}

/// The container's URL from the service's, unless it is that already.
fn container_url(mut url: Url, container: &str) -> Option<Url> {
    if url.path_segments()?.next_back() != Some(container) {
        url.path_segments_mut().ok()?.pop_if_empty().push(container);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_settings::decode;
    use serde_json::{Value, json};

    use super::*;

    fn check(json: Value) -> (Option<AzureConfig>, Vec<String>) {
        let mut problems = Problems::default();
        let keys: Keys = decode(&json.into(), "", &mut problems);
        let config = keys.check(&mut problems, &BuildContext::system()).map(|(config, _)| config);
        (config, problems.finish().0.into_iter().map(|problem| problem.path).collect())
    }

    #[test]
    fn a_container_is_found_from_account_endpoint_or_signed_url() {
        let base = json!({ "container": "c", "accountName": "acc" });
        for (keys, url) in [
            (json!({}), "https://acc.blob.core.windows.net/c"),
            (json!({ "endpoint": "http://127.0.0.1:10000/acc", "accountKey": "a2V5" }), "http://127.0.0.1:10000/acc/c"),
            (json!({ "endpoint": "http://127.0.0.1:10000/acc/", "accountKey": "a2V5" }), "http://127.0.0.1:10000/acc/c"),
            (json!({ "sasUrl": "https://acc.blob.core.windows.net/c?sv=1&sig=x%3D" }), "https://acc.blob.core.windows.net/c?sv=1&sig=x%3D"),
            (json!({ "sasUrl": "https://acc.blob.core.windows.net/?sv=1&sig=x" }), "https://acc.blob.core.windows.net/c?sv=1&sig=x"),
        ] {
            let mut all = base.clone();
            all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            let (config, problems) = check(all);
            assert_eq!((config.unwrap().url.as_str(), problems), (url, vec![]));
        }
    }

    #[test]
    fn keys_that_cannot_work_are_told() {
        let good = json!({ "container": "c", "accountName": "acc", "accountKey": "a2V5" });
        for (keys, path) in [
            (json!({ "container": "" }), "container"),
            (json!({ "accountName": "" }), "accountName"),
            (json!({ "accountKey": "not base64!" }), "accountKey"),
            (json!({ "sasUrl": "https://h/c?sig=x" }), "sasUrl"),
            (json!({ "accountKey": null, "sasUrl": "https://h/c" }), "sasUrl"),
            (json!({ "accountKey": null, "sasUrl": "h/c?sig=x" }), "sasUrl"),
            (json!({ "endpoint": "127.0.0.1" }), "endpoint"),
            (json!({ "accountKey": null, "endpoint": "http://127.0.0.1" }), "endpoint"),
            (json!({ "filename": "all.json" }), "filename"),
        ] {
            let mut all = good.clone();
            all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            let problems = check(all).1;
            assert!(problems.contains(&path.to_owned()), "{keys}: {problems:?}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        for keys in [
            json!({ "container": "c", "accountName": "acc", "accountKey": "aHVudGVyMg==" }),
            json!({ "container": "c", "accountName": "acc", "sasUrl": "https://acc.blob.core.windows.net/c?sv=1&sig=hunter2" }),
        ] {
            let config = check(keys).0.unwrap();
            let text = format!("{:?}", AzureStore::new(config, std::time::Duration::from_secs(1)).unwrap());
            assert!(text.contains("container `c` at https://acc.blob.core.windows.net"), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        }
    }
}
