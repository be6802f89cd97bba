//! Words that are not shown: in a guest's log lines, reasons and complaints, and in what comes back from a destination.
//!
//! A guest is told some secrets (a revealed one, `${NAME}` in its configuration), and a destination others; either may repeat what it was
//! told. What leaves the host in a text that an operator reads goes through here.

use std::borrow::Cow;
use std::fmt;

use flagpost_exporter::Secret;

/// Shorter words are no secrets, and replacing them would garble texts that they happen to stand in.
const SHORTEST: usize = 4;

/// Values, and what is shown instead of each.
#[derive(Clone, Default, PartialEq)]
pub struct Hidden(Vec<(Secret, String)>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, instead)| instead)).finish()
    }
}

impl Hidden {
    /// Shows `instead` for `value` from now on. Values of fewer than four bytes are no secrets.
    pub fn add(&mut self, value: Secret, instead: impl Into<String>) {
        if value.reveal().len() >= SHORTEST && !self.0.iter().any(|(known, _)| *known == value) {
            self.0.push((value, instead.into()));
            // A word that holds another one goes first.
            self.0.sort_by_key(|(value, _)| std::cmp::Reverse(value.reveal().len()));
        }
    }

    /// The words, and what is shown for each.
    pub fn words(&self) -> impl Iterator<Item = (&Secret, &str)> {
        self.0.iter().map(|(value, instead)| (value, instead.as_str()))
    }

    /// The text without the words.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for (value, instead) in &self.0 {
            if text.contains(value.reveal()) {
                text = Cow::Owned(text.replace(value.reveal(), instead));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_longest_first_and_never_printed() {
        let mut hidden = Hidden::default();
        for (value, instead) in [("hunter", "${A}"), ("hunter22", "${B}"), ("abc", "${C}")] {
            hidden.add(Secret::new(value), instead);
        }
        assert_eq!(hidden.hide("abc hunter22 hunter hunter2"), "abc ${B} ${A} ${A}2");
        assert!(matches!(hidden.hide("nothing"), Cow::Borrowed(_)));
        assert!(!format!("{hidden:?}").contains("hunter"));
    }
}
