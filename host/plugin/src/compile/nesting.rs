//! How deep the components of a file are nested in each other.
//!
//! wasmtime's time grows with the square of it: a file of 2 MB with 200,000 components in each other costs the compiler all of its ten minutes of CPU, and the
//! plugins behind it in the queue wait meanwhile. Looking takes time in proportion to the file.

use wasmparser::{Parser, Payload};

use super::CompileError;

/// Composed components have a handful of levels.
const DEEPEST: usize = 100;

/// Refuses files that are nested too deep. What else may be wrong with a file is the compiler's to say.
pub(super) fn check(wasm: &[u8]) -> Result<(), CompileError> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::ComponentSection { .. } | Payload::ModuleSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
        if depth > DEEPEST {
            return Err(CompileError::Refused(format!("its components are nested in each other more than {DEEPEST} levels deep")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HEAD: &[u8] = b"\0asm\x0d\0\x01\0";

    /// A component with so many in each other. The text format would not nest them so deep.
    fn nested(levels: usize) -> Vec<u8> {
        (0..levels).fold(HEAD.to_vec(), |inner, _| {
            // A section with a component in it; its length takes two bytes.
            let length = [(inner.len() & 0x7f) as u8 | 0x80, u8::try_from(inner.len() >> 7).unwrap()];
            [HEAD, &[4], &length, &inner].concat()
        })
    }

    #[test]
    fn a_hundred_levels_are_enough_for_everybody() {
        assert_eq!(check(&nested(DEEPEST)), Ok(()));
        let error = check(&nested(DEEPEST + 1)).unwrap_err().to_string();
        assert!(error.contains("more than 100 levels"), "{error}");
    }

    #[test]
    fn siblings_and_files_that_are_no_components_are_the_compilers_business() {
        let siblings = format!("(component {})", "(component (core module))".repeat(DEEPEST * 2));
        assert_eq!(check(&wat::parse_str(siblings).unwrap()), Ok(()));
        for file in [&b"no component"[..], b"", &nested(DEEPEST + 1)[..200]] {
            assert_eq!(check(file), Ok(()));
        }
    }
}
