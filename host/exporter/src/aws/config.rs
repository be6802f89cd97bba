//! The keys that all kinds of Amazon Web Services have.

use flagpost_settings::{Place as Where, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// What a role's session is called where nobody chose a name; it stands in the account's audit log.
const SESSION: &str = "flagpost";

/// A role to take on before anything else, with the credentials that the environment gives.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AssumeRole {
    /// The role's ARN. Empty: no role is taken on.
    arn: String,
    /// What the role's owner asks for.
    external_id: String,
    /// What the session is called.
    session_name: String,
}

impl Default for AssumeRole {
    fn default() -> Self {
        AssumeRole { arn: String::new(), external_id: String::new(), session_name: SESSION.to_owned() }
    }
}

/// Where a service is and as whom it is asked: the checked form of the keys `endpoint`, `region` and `assumeRole`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Instead of the service's own address; without a slash at its end.
    pub(crate) endpoint: Option<String>,
    /// Wins over the environment's.
    pub(crate) region: Option<String>,
    /// The role to take on.
    pub(super) role: Option<Role>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) external_id: Option<String>,
    pub(super) session_name: String,
}

impl Place {
    /// Checks the keys `endpoint`, `region` and `assumeRole`. Empty ones were not given.
    pub(crate) fn check(endpoint: &str, region: &str, role: &AssumeRole, problems: &mut Problems) -> Place {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        if !endpoint.is_empty() && !Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            problems.error("endpoint", Where::Nowhere, "is no URL of a service", "write it as https://host");
        }
        if !region.is_empty() && !is_region(region) {
            problems.error("region", Where::Nowhere, format!("`{region}` is no region"), "write it as eu-west-1");
        }
        let arn = role.arn.split(':').collect::<Vec<_>>();
        if role.arn.is_empty() {
            if !role.external_id.is_empty() || role.session_name != SESSION {
                problems.error("assumeRole.arn", Where::Nowhere, "a role to take on has an ARN", "set `arn`, or remove `assumeRole`");
            }
        } else if !matches!(arn[..], ["arn", _, "iam", _, _, role] if role.starts_with("role/")) {
            let fix = "write it as arn:aws:iam::123456789012:role/name";
            problems.error("assumeRole.arn", Where::Nowhere, "is no ARN of a role", fix);
        }
        let name = &role.session_name;
        if !(2..=64).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)) {
            let fix = "2 to 64 of: ASCII letters, digits, `_+=,.@-`";
            problems.error("assumeRole.sessionName", Where::Nowhere, "no session can be called so", fix);
        }
        Place {
            endpoint: given(endpoint.trim_end_matches('/')),
            region: given(region),
            role: given(&role.arn).map(|arn| Role { arn, external_id: given(&role.external_id), session_name: name.clone() }),
        }
    }
}

fn is_region(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The region in `arn:aws:kinesis:eu-west-1:123456789012:stream/name`.
pub(crate) fn region_of_arn(arn: &str) -> Option<&str> {
    arn.split(':').nth(3).filter(|region| !region.is_empty() && is_region(region))
}

/// The region in the name of one of the services' own hosts: `sqs.eu-west-1.amazonaws.com`, `eu-west-1.queue.amazonaws.com`,
/// `vpce-0-1.sqs.eu-west-1.vpce.amazonaws.com`, `sqs.eu-west-1.api.aws`. `None`: some other host.
pub(crate) fn region_of_host(host: &str) -> Option<&str> {
    let suffixes = [".vpce.amazonaws.com", ".amazonaws.com", ".amazonaws.com.cn", ".vpce.amazonaws.com.cn", ".api.aws"];
    let name = suffixes.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    // `queue.amazonaws.com` is the oldest region's.
    let (labels, oldest) = (name.split('.'), if name == "queue" { Some("us-east-1") } else { None });
    let is = |label: &&str| label.split('-').count() >= 3 && label.ends_with(|c: char| c.is_ascii_digit()) && !label.starts_with("vpce-");
    labels.rev().find(is).or(oldest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_region_is_found_in_arns_and_in_the_services_own_hosts_only() {
        let hosts = [
            ("sqs.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("eu-west-1.queue.amazonaws.com", Some("eu-west-1")),
            ("queue.amazonaws.com", Some("us-east-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("sqs.us-gov-west-1.api.aws", Some("us-gov-west-1")),
            ("vpce-0a1-b2.sqs.us-east-2.vpce.amazonaws.com", Some("us-east-2")),
            ("sqs-fips.us-east-1.amazonaws.com", Some("us-east-1")),
            ("localhost", None),
            ("sqs.eu-west-1.example.com", None),
            ("127.0.0.1", None),
        ];
        for (host, region) in hosts {
            assert_eq!(region_of_host(host), region, "{host}");
        }
        assert_eq!(region_of_arn("arn:aws:kinesis:eu-west-1:123456789012:stream/s"), Some("eu-west-1"));
        for other in ["arn:aws:iam::123456789012:role/r", "", "stream"] {
            assert_eq!(region_of_arn(other), None, "{other}");
        }
    }

    fn check(endpoint: &str, region: &str, role: AssumeRole) -> (Place, Vec<String>) {
        let mut problems = Problems::default();
        let place = Place::check(endpoint, region, &role, &mut problems);
        (place, problems.finish().0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keys_that_cannot_work_are_told_at_start() {
        let (place, problems) = check("http://127.0.0.1:9000/", "eu-west-1", AssumeRole::default());
        assert_eq!(
            (place.endpoint.as_deref(), place.region.as_deref(), place.role),
            (Some("http://127.0.0.1:9000"), Some("eu-west-1"), None)
        );
        assert_eq!(problems, Vec::<String>::new());
        let role =
            |arn: &str, session: &str| AssumeRole { arn: arn.to_owned(), external_id: "x".to_owned(), session_name: session.to_owned() };
        let good = "arn:aws:iam::123456789012:role/a/b";
        assert_eq!(check("", "", role(good, "me")).0.role.unwrap().external_id.as_deref(), Some("x"));
        for (endpoint, region, role, expected) in [
            ("127.0.0.1:9000", "", AssumeRole::default(), "endpoint: is no URL"),
            ("ftp://h", "", AssumeRole::default(), "endpoint: is no URL"),
            ("", "EU (Ireland)", AssumeRole::default(), "region: `EU (Ireland)` is no region"),
            ("", "", role("", SESSION), "assumeRole.arn: a role to take on has an ARN"),
            ("", "", role("my-role", SESSION), "assumeRole.arn: is no ARN of a role"),
            ("", "", role("arn:aws:iam::1:user/u", SESSION), "assumeRole.arn: is no ARN of a role"),
            ("", "", role(good, "a b"), "assumeRole.sessionName: no session can be called so"),
        ] {
            let (_, problems) = check(endpoint, region, role);
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{expected}: {problems:?}");
        }
    }
}
