//! Redis' protocol, version 2: as much as these commands and their answers need.

use std::io::{self, BufRead, ErrorKind, Read as _};

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Anything that is no error.
    Good,
    /// `WRONGTYPE Operation against …`.
    Error(String),
}

/// The bytes of a command.
pub fn write(command: &[String], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads one answer: a simple string, an error, a number or a bulk string; these commands have no others.
pub fn read(input: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    // Neither errors nor numbers are long.
    input.by_ref().take(64 << 10).read_line(&mut line)?;
    let Some(rest) = line.strip_suffix("\r\n") else {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended before the answer"));
    };
    match rest.split_at_checked(1) {
        Some(("+" | ":", _)) => Ok(Reply::Good),
        Some(("-", error)) => Ok(Reply::Error(error.to_owned())),
        Some(("$", size)) => {
            let size: i64 = size.parse().map_err(|_| strange(rest))?;
            // -1: nothing, and nothing follows.
            if size >= 0 {
                io::copy(&mut input.by_ref().take(size as u64 + 2), &mut io::sink())?;
            }
            Ok(Reply::Good)
        }
        _ => Err(strange(rest)),
    }
}

fn strange(line: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no answer of Redis: {line:.80}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_one_by_one() {
        let mut input: &[u8] = b"+OK\r\n$17\r\n1700000000000-0\r\n\r\n$-1\r\n:1\r\n-NOAUTH Authentication required.\r\nHTTP/1.1 400\r\n:";
        for _ in 0..4 {
            assert_eq!(read(&mut input).unwrap_or_else(|why| panic!("{why}")), Reply::Good);
        }
        assert!(matches!(read(&mut input), Ok(Reply::Error(error)) if error == "NOAUTH Authentication required."));
        assert!(matches!(read(&mut input), Err(error) if error.kind() == ErrorKind::InvalidData));
        assert!(matches!(read(&mut input), Err(error) if error.kind() == ErrorKind::UnexpectedEof));
    }

    #[test]
    fn words_are_counted_in_bytes() {
        let mut out = Vec::new();
        write(&["XADD".to_owned(), "Ω\r\n".to_owned()], &mut out);
        assert_eq!(out, "*2\r\n$4\r\nXADD\r\n$4\r\nΩ\r\n\r\n".as_bytes());
    }
}
