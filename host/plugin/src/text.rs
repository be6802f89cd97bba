//! Small forms of text for messages.

/// `128 MiB`, `4.5 KiB`, `12 B`.
pub(crate) fn bytes(count: u64) -> String {
    for (unit, size) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if count >= size {
            let tenths = u128::from(count) * 10 / u128::from(size);
            return if tenths % 10 == 0 { format!("{} {unit}", tenths / 10) } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) };
        }
    }
    format!("{count} B")
}

/// At most `max` bytes of `text`, cut between characters and marked.
pub(crate) fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}… ({} bytes more)", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_write_them() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (128 << 20, "128 MiB"), (3 << 29, "1.5 GiB")] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_cut_keeps_whole_characters_and_says_what_is_missing() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("grün", 3), "gr… (3 bytes more)");
    }
}
