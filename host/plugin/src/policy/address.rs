//! Which addresses are public. Sources: IANA's special-purpose address registries (IPv4: RFC 6890 and successors, IPv6 likewise), the
//! clouds' documentation for their metadata services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Anyone's: a granted name may lead to it.
    Public,
    /// Not for names, unless the operator says so; the word says what it is.
    Private(&'static str),
    /// Hands out the machine's own credentials: never.
    Metadata,
}

/// An IPv4 address out of `::ffff:a.b.c.d`; anything else as it is.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Judges one address, IPv4 hidden in IPv6 included.
pub(crate) fn judge(address: IpAddr) -> Verdict {
    match canonical(address) {
        IpAddr::V4(v4) => judge_v4(v4),
        IpAddr::V6(v6) => judge_v6(v6),
    }
}

fn judge_v4(address: Ipv4Addr) -> Verdict {
    match address.octets() {
        // AWS, GCP, Azure, Oracle, DigitalOcean; AWS ECS task credentials; Alibaba Cloud; Oracle Cloud classic; Azure's wire server.
        [169, 254, 169, 254] | [169, 254, 170, 2] | [169, 254, 170, 23] | [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => {
            Verdict::Metadata
        }
        [0, ..] => Verdict::Private("this-network"),
        [127, ..] => Verdict::Private("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Verdict::Private("private"),
        [100, 64..=127, ..] => Verdict::Private("shared (carrier-grade NAT)"),
        [169, 254, ..] => Verdict::Private("link-local"),
        [192, 0, 0, _] | [192, 0, 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Verdict::Private("reserved"),
        [224..=239, ..] => Verdict::Private("multicast"),
        [240..=255, ..] => Verdict::Private("reserved"),
        _ => Verdict::Public,
    }
}

fn judge_v6(address: Ipv6Addr) -> Verdict {
    /// AWS (instance metadata, ECS credentials), GCP.
    const METADATA: [Ipv6Addr; 3] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    if METADATA.contains(&address) {
        return Verdict::Metadata;
    }
    let tail = |a: u16, b: u16| {
        let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
        judge_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Verdict::Private("this-network"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Verdict::Private("loopback"),
        // IPv4-compatible (deprecated), NAT64 (RFC 6052), 6to4 (RFC 3056): the IPv4 address inside decides.
        [0, 0, 0, 0, 0, 0, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => tail(a, b),
        // Local-use NAT64 (RFC 8215), Teredo, documentation, discard-only: nothing public is there.
        [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x100, 0, 0, 0, ..] => {
            Verdict::Private("reserved")
        }
        [0xfc00..=0xfdff, ..] => Verdict::Private("unique-local"),
        [0xfe80..=0xfebf, ..] => Verdict::Private("link-local"),
        [0xfec0..=0xfeff, ..] => Verdict::Private("site-local"),
        [0xff00..=0xffff, ..] => Verdict::Private("multicast"),
        _ => Verdict::Public,
    }
}
