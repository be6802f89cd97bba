//! From a request's headers to the key in it and upstream's answer to a wrong one (its `middleware/key_auth_extended.go` around echo's
//! `KeyAuth`): `X-API-Key` first and alone if it is there, else `Authorization: Bearer`.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::keys::{Access, Grant};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const BEARER: &[u8] = b"Bearer ";
/// echo looks at this many `Authorization` values of one request.
const MAX_VALUES: usize = 20;

/// Why a request does not come in: the 401's `message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("missing key in request header")]
    Missing,
    #[error("invalid key in the request header")]
    Malformed,
    #[error("invalid key")]
    Wrong,
    /// A wrong `X-API-Key`.
    #[error("code=401, message=Unauthorized")]
    WrongApiKey,
    /// A stream's `apiKey` in the query, missing or wrong.
    #[error("Unauthorized")]
    Stream,
}

/// Whether the request may use a user route.
pub(crate) fn user(access: &Access, headers: &HeaderMap) -> Result<(), AuthError> {
    if access.is_required() { check(access, headers, |_| true) } else { Ok(()) }
}

/// Whether the request may use an admin route: always only with an admin's key.
pub(crate) fn admin(access: &Access, headers: &HeaderMap) -> Result<(), AuthError> {
    check(access, headers, |grant| grant.admin)
}

/// Whether the request may use a stream, whose key is in its query.
pub(crate) fn stream(access: &Access, query: Option<&str>) -> Result<(), AuthError> {
    if !access.is_required() {
        return Ok(());
    }
    let key = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(name, _)| name == "apiKey");
    match key {
        Some((_, key)) if access.find(key.as_bytes()).is_some() => Ok(()),
        _ => Err(AuthError::Stream),
    }
}

fn check(access: &Access, headers: &HeaderMap, opens: impl Fn(&Grant) -> bool) -> Result<(), AuthError> {
    let good = |key: &[u8]| access.find(key).is_some_and(&opens);
    if let Some(key) = api_key(headers) {
        return if good(key) { Ok(()) } else { Err(AuthError::WrongApiKey) };
    }
    let mut error = AuthError::Missing;
    for value in headers.get_all(header::AUTHORIZATION).iter().take(MAX_VALUES) {
        match after_bearer(value.as_bytes()) {
            Some(key) if good(key) => return Ok(()),
            Some(_) => error = AuthError::Wrong,
            None if error == AuthError::Missing => error = AuthError::Malformed,
            None => {}
        }
    }
    Err(error)
}

/// The key that says whose events these are; upstream reads it once more and more leniently.
pub(crate) fn routing_key(headers: &HeaderMap) -> Option<&[u8]> {
    api_key(headers).or_else(|| {
        let value = headers.get(header::AUTHORIZATION)?.as_bytes();
        Some(match strip_bearer(value) {
            Some(key) => key.trim_ascii(),
            None => value,
        })
    })
}

fn api_key(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(X_API_KEY).map(HeaderValue::as_bytes).filter(|key| !key.is_empty())
}

/// What follows the scheme, if it is there and something follows.
fn after_bearer(value: &[u8]) -> Option<&[u8]> {
    strip_bearer(value).filter(|key| !key.is_empty())
}

fn strip_bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then_some(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use flagpost_delivery::Admission;
    use flagpost_event::SystemClock;
    use flagpost_exporter::Secret;
    use flagpost_spool::{MemoryLog, Pressure};

    use super::*;
    use crate::config::{AuthorizedKeys, FlagSet};
    use crate::http::keys::{Keys, LookupError};
    use crate::intake::{Gate, Intakes};

    fn secrets(keys: &[&str]) -> Vec<Secret> {
        keys.iter().map(|key| Secret::new(*key)).collect()
    }

    fn access(evaluation: &[&str], admin: &[&str], sets: &[(&str, &[&str])]) -> Access {
        let keys = AuthorizedKeys { evaluation: secrets(evaluation), admin: secrets(admin) };
        let sets: Vec<FlagSet> = sets.iter().map(|(name, keys)| FlagSet { name: (*name).to_owned(), api_keys: secrets(keys) }).collect();
        let gate = Gate::new(Admission::default(), Box::new(Pressure::default), 0);
        let log = Arc::new(MemoryLog::new(1 << 20, Arc::new(SystemClock)));
        // `gone` has no intake.
        let names: Vec<&str> = if sets.is_empty() {
            vec!["default"]
        } else {
            sets.iter().map(|set| set.name.as_str()).filter(|name| *name != "gone").collect()
        };
        let intakes = Intakes::new(log, names.iter().map(|name| ((*name).into(), vec![])), &gate);
        Access::new(&keys, &sets, &intakes, [7; 32])
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    type Headers = &'static [(&'static str, &'static str)];

    #[test]
    fn each_header_has_upstreams_answer() {
        use AuthError::*;
        let access = access(&["eval"], &["root"], &[("acme", &["acme-1", "acme-2"])]);
        type Verdict = Result<(), AuthError>;
        let cases: &[(Headers, Verdict, Verdict)] = &[
            (&[], Err(Missing), Err(Missing)),
            (&[("x-api-key", "eval")], Ok(()), Err(WrongApiKey)),
            (&[("x-api-key", "acme-2")], Ok(()), Err(WrongApiKey)),
            (&[("x-api-key", "root")], Ok(()), Ok(())),
            (&[("x-api-key", "nobody")], Err(WrongApiKey), Err(WrongApiKey)),
            (&[("x-api-key", "Eval")], Err(WrongApiKey), Err(WrongApiKey)),
            // `X-API-Key` alone decides when it is there; an empty one is not there.
            (&[("x-api-key", "nobody"), ("authorization", "Bearer eval")], Err(WrongApiKey), Err(WrongApiKey)),
            (&[("x-api-key", "eval"), ("authorization", "Bearer nobody")], Ok(()), Err(WrongApiKey)),
            (&[("x-api-key", ""), ("authorization", "Bearer eval")], Ok(()), Err(Wrong)),
            (&[("authorization", "Bearer eval")], Ok(()), Err(Wrong)),
            (&[("authorization", "bEARER root")], Ok(()), Ok(())),
            (&[("authorization", "Bearer  eval")], Err(Wrong), Err(Wrong)),
            (&[("authorization", "Bearer nobody")], Err(Wrong), Err(Wrong)),
            (&[("authorization", "Bearer")], Err(Malformed), Err(Malformed)),
            (&[("authorization", "")], Err(Malformed), Err(Malformed)),
            (&[("authorization", "eval")], Err(Malformed), Err(Malformed)),
            (&[("authorization", "Basic eval")], Err(Malformed), Err(Malformed)),
            (&[("authorization", "Basic x"), ("authorization", "Bearer eval")], Ok(()), Err(Wrong)),
        ];
        for (sent, as_user, as_admin) in cases {
            let headers = headers(sent);
            assert_eq!((user(&access, &headers), admin(&access, &headers)), (*as_user, *as_admin), "{sent:?}");
        }
    }

    #[test]
    fn the_texts_are_upstreams() {
        let texts = [AuthError::Missing, AuthError::Malformed, AuthError::Wrong, AuthError::WrongApiKey, AuthError::Stream];
        assert_eq!(
            texts.map(|error| error.to_string()),
            [
                "missing key in request header",
                "invalid key in the request header",
                "invalid key",
                "code=401, message=Unauthorized",
                "Unauthorized"
            ]
        );
    }

    #[test]
    fn user_routes_are_open_until_there_is_a_key_that_is_not_an_admins() {
        let none = HeaderMap::new();
        for (access, open) in [
            (access(&[], &[], &[]), true),
            (access(&[], &["root"], &[]), true),
            (access(&["eval"], &[], &[]), false),
            (access(&[""], &[], &[]), false),
            (access(&[], &[], &[("acme", &["acme-1"])]), false),
        ] {
            assert_eq!(user(&access, &none).is_ok(), open, "{access:?}");
            assert_eq!(stream(&access, None).is_ok(), open, "{access:?}");
            assert_eq!(admin(&access, &none), Err(AuthError::Missing), "admin routes are never open");
        }
    }

    #[test]
    fn a_streams_key_is_in_its_query() {
        let access = access(&["a b&c"], &["root"], &[]);
        for (query, good) in [
            (Some("apiKey=a+b%26c"), true),
            (Some("x=1&apiKey=root"), true),
            (Some("apikey=root"), false),
            (Some("apiKey="), false),
            (Some("apiKey=root2"), false),
            (None, false),
        ] {
            assert_eq!(stream(&access, query), if good { Ok(()) } else { Err(AuthError::Stream) }, "{query:?}");
        }
    }

    #[test]
    fn the_key_says_whose_events_they_are() {
        let access = access(
            &["eval"],
            &["root", "acme-admin"],
            &[("acme", &["acme-1", "acme-admin"]), ("globex", &["globex-1"]), ("gone", &["gone-1"])],
        );
        let flag_set = |headers: &HeaderMap| access.intake(routing_key(headers)).map(|intake| intake.flag_set().to_owned());
        let not_found = || Err(LookupError::NotFound);
        let cases: Vec<(Headers, Result<String, LookupError>)> = vec![
            (&[("x-api-key", "acme-1")], Ok("acme".into())),
            (&[("authorization", "Bearer globex-1")], Ok("globex".into())),
            (&[("authorization", "bearer   globex-1")], Ok("globex".into())),
            (&[("authorization", "globex-1")], Ok("globex".into())),
            (&[("x-api-key", "acme-1"), ("authorization", "Bearer globex-1")], Ok("acme".into())),
            (&[("x-api-key", "acme-admin")], Ok("acme".into())),
            (&[("x-api-key", "eval")], not_found()),
            (&[("x-api-key", "root")], not_found()),
            (&[("x-api-key", "nobody")], not_found()),
            (&[("x-api-key", "gone-1")], Err(LookupError::Gone("gone".into()))),
            (&[], Err(LookupError::NoKey)),
        ];
        for (sent, expected) in cases {
            assert_eq!(flag_set(&headers(sent)), expected, "{sent:?}");
        }
        assert_eq!(LookupError::NoKey.to_string(), "no API key provided");
        assert_eq!(LookupError::NotFound.to_string(), "flagset not found for API key");
        assert_eq!(LookupError::Gone("x".into()).to_string(), "impossible to find the flagset with the name x");
        assert_eq!(LookupError::NoDefault.to_string(), "no configured flagset");
    }

    #[test]
    fn without_flag_sets_every_key_leads_to_the_default_one() {
        let access = access(&["eval"], &["root"], &[]);
        for key in [None, Some(&b"eval"[..]), Some(b"root"), Some(b"nobody")] {
            assert_eq!(access.intake(key).unwrap().flag_set(), "default");
        }
    }

    #[test]
    fn a_key_of_two_flag_sets_is_a_key_of_neither() {
        let access = access(&[], &[], &[("a", &["both", "a"]), ("b", &["both"])]);
        assert_eq!(access.intake(Some(b"both")).err(), Some(LookupError::NotFound));
        assert_eq!(access.intake(Some(b"a")).unwrap().flag_set(), "a");
    }

    #[test]
    fn keys_are_replaced_at_once_and_never_printed() {
        let keys = Keys::new(access(&["hunter2"], &[], &[]));
        assert!(keys.now().find(b"hunter2").is_some());
        assert!(!format!("{keys:?}").contains("hunter2"));
        keys.replace(access(&["hunter3"], &[], &[]));
        assert!(keys.now().find(b"hunter2").is_none() && keys.now().find(b"hunter3").is_some());
    }
}
