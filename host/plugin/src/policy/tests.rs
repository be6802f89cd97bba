#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn policy(rules: &[&str], networks: &[&str]) -> Policy {
    Policy::new(rules.iter().map(|rule| rule.parse().unwrap()).collect(), networks.iter().map(|network| network.parse().unwrap()).collect())
}

fn allows(rules: &[&str], method: &str, url: &str) -> bool {
    policy(rules, &[]).check(&method.parse().unwrap(), &Url::parse(url).unwrap()).is_ok()
}

#[test]
fn a_rule_grants_its_method_scheme_host_and_port_and_nothing_else() {
    let table = [
        ("POST https://in.acme.dev", "POST", "https://in.acme.dev/v1?x=1", true),
        ("POST https://in.acme.dev", "POST", "https://in.acme.dev:443/", true),
        ("POST https://in.acme.dev", "POST", "https://IN.ACME.DEV./", true),
        ("POST https://in.acme.dev", "GET", "https://in.acme.dev/", false),
        ("POST https://in.acme.dev", "POST", "http://in.acme.dev/", false),
        ("POST https://in.acme.dev", "POST", "https://in.acme.dev:8443/", false),
        ("POST https://in.acme.dev", "POST", "https://acme.dev/", false),
        ("POST https://in.acme.dev", "POST", "https://in.acme.dev.evil.net/", false),
        ("POST https://in.acme.dev", "POST", "https://in.acme.dev@evil.net/", false),
        ("POST,PUT https://in.acme.dev:8443/", "PUT", "https://in.acme.dev:8443/a", true),
        ("https://in.acme.dev", "DELETE", "https://in.acme.dev/", true),
        ("https://*.acme.dev", "GET", "https://a.b.acme.dev/", true),
        ("https://*.acme.dev", "GET", "https://acme.dev/", false),
        ("https://*.acme.dev", "GET", "https://evilacme.dev/", false),
        ("https://*.acme.dev", "GET", "https://.acme.dev/", false),
        ("http://127.0.0.1:9000", "GET", "http://127.0.0.1:9000/", true),
        ("http://127.0.0.1:9000", "GET", "http://2130706433:9000/", true),
        ("http://127.0.0.1:9000", "GET", "http://[::ffff:127.0.0.1]:9000/", true),
        ("http://127.0.0.1:9000", "GET", "http://127.0.0.2:9000/", false),
        ("http://[fd00::1]", "GET", "http://[fd00::1]/", true),
        ("http://bücher.example", "GET", "http://xn--bcher-kva.example/", true),
        ("http://169.254.169.254", "GET", "http://169.254.169.254/latest/meta-data", false),
        ("http://[fd00:ec2::254]", "GET", "http://[fd00:ec2::254]/", false),
        ("http://169.254.169.254", "GET", "http://[::ffff:a9fe:a9fe]/", false),
    ];
    for (rule, method, url, expected) in table {
        assert_eq!(allows(&[rule], method, url), expected, "{rule}: {method} {url}");
    }
    assert!(!allows(&[], "GET", "https://in.acme.dev/"), "nothing is granted by default");
}

#[test]
fn rules_that_grant_too_much_or_cannot_be_read_are_refused_with_what_to_write() {
    let table = [
        ("*", "has no scheme"),
        ("https://*", "a bare `*` is refused"),
        ("https://*.dev", "whole top-level domain"),
        ("https://in.*.dev", "only at the start"),
        ("https://*acme.dev", "only at the start"),
        ("https://*.1.2.3.4", "before a name, not an address"),
        ("in.acme.dev", "has no scheme"),
        ("ftp://in.acme.dev", "not http or https"),
        ("https://in.acme.dev/v1", "no path or query"),
        ("https://in.acme.dev?x", "no path or query"),
        ("https://user:secret@in.acme.dev", "no user or password"),
        ("https://", "is no host"),
        ("https://in.acme.dev:99999", "is no host"),
        ("post https://in.acme.dev", "write `POST`"),
        ("P@ST https://in.acme.dev", "is no HTTP method"),
        ("GET https://a.dev https://b.dev", "more than a method list"),
    ];
    for (text, expected) in table {
        let error = text.parse::<HostRule>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.contains("for example `POST https://in.acme.dev`"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn every_spelling_of_a_private_address_is_judged_as_that_address() {
    let table = [
        ("8.8.8.8", Verdict::Public),
        ("2606:4700::1111", Verdict::Public),
        ("::ffff:8.8.8.8", Verdict::Public),
        ("64:ff9b::808:808", Verdict::Public),
        ("0.0.0.0", Verdict::Private("this-network")),
        ("10.1.2.3", Verdict::Private("private")),
        ("172.16.0.1", Verdict::Private("private")),
        ("172.32.0.1", Verdict::Public),
        ("192.168.1.1", Verdict::Private("private")),
        ("100.64.0.1", Verdict::Private("shared (carrier-grade NAT)")),
        ("127.0.0.53", Verdict::Private("loopback")),
        ("169.254.1.1", Verdict::Private("link-local")),
        ("198.18.0.1", Verdict::Private("reserved")),
        ("224.0.0.1", Verdict::Private("multicast")),
        ("255.255.255.255", Verdict::Private("reserved")),
        ("::", Verdict::Private("this-network")),
        ("::1", Verdict::Private("loopback")),
        ("::ffff:127.0.0.1", Verdict::Private("loopback")),
        ("::127.0.0.1", Verdict::Private("loopback")),
        ("64:ff9b::7f00:1", Verdict::Private("loopback")),
        ("64:ff9b:1::1", Verdict::Private("reserved")),
        ("2002:a00:1::", Verdict::Private("private")),
        ("fe80::1", Verdict::Private("link-local")),
        ("fd12::1", Verdict::Private("unique-local")),
        ("fec0::1", Verdict::Private("site-local")),
        ("ff02::1", Verdict::Private("multicast")),
        ("2001:db8::1", Verdict::Private("reserved")),
        ("169.254.169.254", Verdict::Metadata),
        ("::ffff:169.254.169.254", Verdict::Metadata),
        ("64:ff9b::a9fe:a9fe", Verdict::Metadata),
        ("2002:a9fe:a9fe::", Verdict::Metadata),
        ("169.254.170.2", Verdict::Metadata),
        ("100.100.100.200", Verdict::Metadata),
        ("168.63.129.16", Verdict::Metadata),
        ("fd00:ec2::254", Verdict::Metadata),
    ];
    for (text, expected) in table {
        assert_eq!(judge(text.parse().unwrap()), expected, "{text}");
    }
}

#[test]
fn a_name_may_lead_to_a_private_address_only_where_the_operator_says_so() {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let open = policy(&[], &["10.0.0.0/8", "169.254.0.0/16", "fd00::/8"]);
    assert!(open.check_address("in.acme.dev", address("10.2.3.4")).is_ok());
    assert!(open.check_address("in.acme.dev", address("::ffff:10.2.3.4")).is_ok());
    assert!(open.check_address("in.acme.dev", address("192.168.0.1")).is_err());
    assert!(open.check_address("in.acme.dev", address("169.254.169.254")).is_err(), "metadata stays refused inside a granted network");
    assert!(open.check_address("in.acme.dev", address("fd00:ec2::254")).is_err());
    let closed = policy(&[], &[]);
    assert!(closed.check_address("localhost", address("127.0.0.1")).is_ok());
    assert!(closed.check_address("LOCALHOST.", address("::1")).is_ok());
    assert!(closed.check_address("localhost", address("10.0.0.1")).is_err());
    assert!(closed.check_address("localhost.evil.net", address("127.0.0.1")).is_err());
}

#[test]
fn a_denial_holds_the_yaml_to_paste() {
    let post = |rules: &[&str], url: &str| policy(rules, &[]).check(&Method::POST, &Url::parse(url).unwrap()).unwrap_err().to_string();
    let text = post(&[], "https://user:secret@in.acme.dev/v1?token=secret");
    assert!(text.contains(r#"allowedHosts: [ "POST https://in.acme.dev" ]"#), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert!(post(&[], "http://10.0.0.1:9000/").contains(r#"allowedHosts: [ "POST http://10.0.0.1:9000" ]"#));
    assert!(post(&["GET https://in.acme.dev"], "https://in.acme.dev/").contains("granted, but not for POST"));
    for url in ["http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/", "http://metadata.google.internal/"] {
        let text = post(&[], url);
        assert!(text.contains("no plugin may reach") && !text.contains("allowedHosts"), "what no grant opens has no line to paste: {text}");
    }
    let text = policy(&[], &[]).check_address("in.acme.dev", "10.0.0.5".parse().unwrap()).unwrap_err().to_string();
    assert!(text.contains(r#"allowedNetworks: [ "10.0.0.5/32" ]"#), "{text}");
}

proptest::proptest! {
    /// A wildcard always keeps a suffix of at least two labels: no text that is read grants an unrelated host.
    #[test]
    fn no_text_makes_the_rule_parser_panic_or_grants_an_unrelated_host(text in "(https?://)?[*.a-z0-9:/@ \\PC]{0,24}") {
        if let Ok(rule) = text.parse::<HostRule>() {
            let unrelated = Target { scheme: "https".into(), host: Host::Domain("quite.unrelated.example".into()), port: 443 };
            proptest::prop_assert!(!rule.matches_any_method(&unrelated), "{}", text);
        }
    }
}
