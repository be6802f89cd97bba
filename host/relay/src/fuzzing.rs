//! What fuzz targets run (`fuzz/`): parsers of foreign bytes with the rules that hold for any input. No part of the interface.

use crate::http::fuzzed;

/// A compressed body: the first byte chooses the encoding, the second the limit.
pub fn inflate(input: &[u8]) {
    fuzzed::inflate(input);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn compressed_bodies_and_broken_ones_are_inflated_or_refused() {
        let text = br#"{"events":[{"kind":"feature","userKey":"u"}]}"#.repeat(40);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        bare.write_all(&text).unwrap();
        let packed = [
            (0, gzip.finish().unwrap()),
            (1, zlib.finish().unwrap()),
            (1, bare.finish().unwrap()),
            (2, zstd::encode_all(&text[..], 3).unwrap()),
        ];
        let mut random = StdRng::seed_from_u64(7);
        for (encoding, body) in packed {
            for limit in [0, 1, 255] {
                super::inflate(&[&[encoding, limit], &body[..]].concat());
            }
            for _ in 0..300 {
                let mut broken = [&[encoding, random.random()], &body[..]].concat();
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(2..broken.len());
                    broken[at] = random.random();
                }
                broken.truncate(random.random_range(2..=broken.len()));
                super::inflate(&broken);
            }
        }
        super::inflate(b"");
    }
}
