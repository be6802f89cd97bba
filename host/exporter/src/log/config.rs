//! The `log` exporter's keys.

use std::sync::Arc;

use flagpost_settings::{Place, Problems};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kind::Kind;
use crate::{BuildContext, Exporter};

use super::LogExporter;
use super::format::{FEATURE_FORMAT, Format};

/// One log line per event on standard error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// The line's message: a template over an event's fields. Tracking events, which have no value, have a default of their own.
    #[schemars(extend("default" = FEATURE_FORMAT))]
    log_format: Option<String>,
}

impl Kind for Keys {
    const NAME: &'static str = "log";
    const LOCATION: &'static [&'static str] = &[];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        match Format::new(self.log_format.as_deref()) {
            Ok(format) => Some(Arc::new(LogExporter::new(format, context))),
            Err(message) => {
                problems.error("logFormat", Place::Nowhere, message, "only fields are known, without functions and pipes");
                None
            }
        }
    }
}
