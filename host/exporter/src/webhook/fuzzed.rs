//! Rules that hold for any reply, for `crate::fuzzing`.

use std::time::{Duration, SystemTime};

use url::Url;

use super::outcome;
use super::redirect::{MOST_HOPS, next};

/// A wish is followed for ten minutes at most.
pub(crate) fn retry_after(header: &str) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    if let Some(wish) = outcome::retry_after(header, now) {
        assert!(wish <= Duration::from_secs(600));
    }
}

/// A redirect never leaves the host, never goes back to plain HTTP, and keeps the credentials.
pub(crate) fn location(header: &str) {
    for from in ["http://u:p@h/a?x=1", "https://h/", "http://h:8080/", "http://[::1]/"] {
        let Ok(from) = Url::parse(from) else { continue };
        assert!(next(&from, Some(header), MOST_HOPS).is_err());
        let Ok(to) = next(&from, Some(header), 0) else { continue };
        assert_eq!(to.host(), from.host());
        assert!(to.scheme() == from.scheme() || (from.scheme() == "http" && to.scheme() == "https" && from.port().is_none()));
        assert_eq!((to.username(), to.password()), (from.username(), from.password()));
    }
}
