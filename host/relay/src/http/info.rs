//! `/info`: upstream's answer (its `model.InfoResponse`), and what this relay has to say about itself beside it.
//!
//! Upstream's two fields say when flags were last read. Behind `upstream.url` somebody knows that, and is asked; without, the only thing read
//! here is the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Proxy, Reply};

/// What `/info` says.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    /// When the configuration was read, RFC 3339.
    pub(crate) configured: String,
    /// The flag sets of the configuration; none: everything belongs to the default one.
    pub(crate) flag_sets: Vec<String>,
}

/// The relay behind is not waited for longer: monitoring systems have short patience.
const PATIENCE: Duration = Duration::from_secs(2);

impl Info {
    pub(crate) async fn answer(&self, proxy: Option<&Proxy>) -> Response<Reply> {
        let behind = match proxy {
            Some(proxy) => Some(tokio::time::timeout(PATIENCE, proxy.info()).await.ok().flatten()),
            None => None,
        };
        match serde_json::to_string(&self.body(behind)) {
            Ok(body) => Reply::json(StatusCode::OK, body + "\n"),
            Err(error) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// `behind`: what the relay behind said, if there is one, and if it said anything.
    fn body(&self, behind: Option<Option<Map<String, Value>>>) -> Value {
        let mut own = json!({ "version": env!("CARGO_PKG_VERSION"), "flagSets": self.flag_sets });
        let mut body = match behind {
            Some(Some(info)) => {
                own["upstream"] = json!("ok");
                info
            }
            Some(None) => {
                own["upstream"] = json!("unreachable");
                Map::new()
            }
            None => {
                let mut info = Map::from_iter([("cacheRefresh".to_owned(), json!(self.configured))]);
                if !self.flag_sets.is_empty() {
                    let times: BTreeMap<&str, &str> = self.flag_sets.iter().map(|name| (name.as_str(), self.configured.as_str())).collect();
                    info.insert("flagsets".to_owned(), json!(times));
                }
                info
            }
        };
        body.insert("flagpost".to_owned(), own);
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_upstreams_with_and_without_flag_sets() {
        let configured = "2026-11-24T22:00:00Z".to_owned();
        let plain = Info { configured: configured.clone(), flag_sets: vec![] };
        let own = |more: Value| {
            let mut own = json!({ "version": env!("CARGO_PKG_VERSION"), "flagSets": [] });
            own.as_object_mut().into_iter().zip(more.as_object()).for_each(|(own, more)| own.extend(more.clone()));
            own
        };
        assert_eq!(plain.body(None), json!({ "cacheRefresh": configured, "flagpost": own(json!({})) }));
        let sets = Info { configured: configured.clone(), flag_sets: vec!["globex".into(), "acme".into()] };
        assert_eq!(
            sets.body(None),
            json!({
                "cacheRefresh": configured,
                "flagsets": { "acme": configured, "globex": configured },
                "flagpost": own(json!({ "flagSets": ["globex", "acme"] })),
            })
        );
        let upstreams = json!({ "cacheRefresh": "2022-06-13T11:22:55.941628+02:00", "flagsets": { "x": "y" } });
        assert_eq!(
            plain.body(Some(upstreams.as_object().cloned())),
            json!({
                "cacheRefresh": "2022-06-13T11:22:55.941628+02:00", "flagsets": { "x": "y" },
                "flagpost": own(json!({ "upstream": "ok" })),
            })
        );
        assert_eq!(plain.body(Some(None)), json!({ "flagpost": own(json!({ "upstream": "unreachable" })) }));
    }
}
