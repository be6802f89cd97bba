#![allow(clippy::unwrap_used)]
use super::*;

fn collect(body: &str) -> Result<Collected, CollectError> {
    decode(body.as_bytes(), &CollectLimits::default())
}

fn text(lines: &Lines) -> &str {
    std::str::from_utf8(&lines.bytes).unwrap()
}

#[test]
fn a_request_of_the_javascript_provider() {
    let body = r#"{"events":[{"contextKind":"user","kind":"feature","creationDate":1795387300,"default":false,"key":"flag1","value":true,"variation":"A","userKey":"u1","source":"PROVIDER_CACHE"},
 {"kind":"tracking","contextKind":"user","creationDate":1795387300,"key":"checkout","evaluationContext":{"targetingKey":"u1","email":"a@b.c"},"trackingEventDetails":{"value":12.5,"currency":"EUR"},"userKey":"u1"}],
 "meta":{"provider":"web","openfeature":true,"app":"shop"}}"#;
    let collected = collect(body).unwrap();
    assert_eq!(
        text(&collected.feature),
        "{\"kind\":\"feature\",\"contextKind\":\"user\",\"userKey\":\"u1\",\"creationDate\":1795387300,\"key\":\"flag1\",\"variation\":\"A\",\"value\":true,\"default\":false,\"version\":\"\",\"source\":\"PROVIDER_CACHE\",\"metadata\":{\"app\":\"shop\",\"openfeature\":true,\"provider\":\"web\"}}\n"
    );
    assert_eq!(
        text(&collected.tracking),
        "{\"kind\":\"tracking\",\"contextKind\":\"user\",\"userKey\":\"u1\",\"creationDate\":1795387300,\"key\":\"checkout\",\"evaluationContext\":{\"email\":\"a@b.c\",\"targetingKey\":\"u1\"},\"trackingEventDetails\":{\"currency\":\"EUR\",\"value\":12.5}}\n"
    );
    assert_eq!(collected.ingested, 2);
}
