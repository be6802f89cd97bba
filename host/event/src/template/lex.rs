//! From a template's text to tokens, by the rules of Go's text/template/parse.

use super::error::TemplateError;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Text between actions, trimmed as its neighbours ask.
    Text(String),
    Open,
    Close,
    /// A word: a function, a keyword, `true`, `false`, `nil`.
    Word(String),
    /// `.Name`, without the dot.
    Field(String),
    /// `$name` or `$`, with the dollar.
    Variable(String),
    Dot,
    Quoted(String),
    Int(i64),
    Float(f64),
    /// `=`, `:=`.
    Assign,
    Declare,
    Pipe,
    Comma,
    Left,
    Right,
    End,
}

/// A token and where it is.
#[derive(Clone, Debug)]
pub(super) struct Lexed {
    pub(super) token: Token,
    /// In bytes.
    pub(super) offset: usize,
    /// Whether white space stands before it.
    pub(super) spaced: bool,
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Lexed>,
}

type Result<T> = std::result::Result<T, TemplateError>;

/// Takes a template apart; the last token is [`Token::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Lexed>> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.template()?;
    lexer.push(Token::End, text.len(), false);
    Ok(lexer.tokens)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn push(&mut self, token: Token, offset: usize, spaced: bool) {
        self.tokens.push(Lexed { token, offset, spaced });
    }

    fn fail<T>(&self, offset: usize, message: impl Into<String>) -> Result<T> {
        Err(TemplateError::at(self.text, offset, message))
    }

    fn template(&mut self) -> Result<()> {
        let mut trim = false;
        loop {
            let start = self.at;
            let end = self.rest().find("{{").map_or(self.text.len(), |found| start + found);
            let after = end + 2;
            let marker = self.text.get(after..).is_some_and(|rest| rest.starts_with('-') && rest[1..].starts_with(is_space));
            let mut text = &self.text[start..end];
            if trim {
                text = text.trim_start_matches(is_space);
            }
            if marker {
                text = text.trim_end_matches(is_space);
            }
            if !text.is_empty() {
                self.push(Token::Text(text.to_owned()), start, false);
            }
            if end == self.text.len() {
                return Ok(());
            }
            self.at = after + if marker { 2 } else { 0 };
            trim = if self.rest().starts_with("/*") {
                self.comment(end)?
            } else {
                self.push(Token::Open, end, false);
                self.action(end)?
            };
        }
    }

    /// Passes over a comment; whether it trims what follows.
    fn comment(&mut self, open: usize) -> Result<bool> {
        let Some(length) = self.rest().find("*/") else { return self.fail(open, "unclosed comment") };
        self.at += length + 2;
        let Some((length, trim)) = self.close() else { return self.fail(self.at, "comment ends before closing delimiter") };
        self.at += length;
        Ok(trim)
    }

    /// Whether the action ends here: the delimiter's length, and whether it trims what follows.
    fn close(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        let marked = rest.starts_with(is_space) && rest[1..].starts_with("-}}");
        marked.then_some((4, true))
    }

    /// The tokens of an action; whether it trims what follows.
    fn action(&mut self, open: usize) -> Result<bool> {
        let mut depth = 0_usize;
        let mut spaced = false;
        loop {
            let start = self.at;
            if let Some((length, trim)) = self.close() {
                if depth > 0 {
                    return self.fail(start, "unclosed left paren");
                }
                self.at += length;
                self.push(Token::Close, start, spaced);
                return Ok(trim);
            }
            let Some(first) = self.rest().chars().next() else { return self.fail(open, "unclosed action") };
            self.at += first.len_utf8();
            let token = match first {
                _ if is_space(first) => {
                    spaced = true;
                    continue;
                }
                '=' => Token::Assign,
                ':' => {
                    if !self.rest().starts_with('=') {
                        return self.fail(start, "expected :=");
                    }
                    self.at += 1;
                    Token::Declare
                }
                '|' => Token::Pipe,
                ',' => Token::Comma,
                '(' => {
                    depth += 1;
                    Token::Left
                }
                ')' => {
                    if depth == 0 {
                        return self.fail(start, "unexpected right paren");
                    }
                    depth -= 1;
                    Token::Right
                }
                '"' => Token::Quoted(self.quoted(start)?),
                '`' => {
                    let Some(length) = self.rest().find('`') else { return self.fail(start, "unterminated raw quoted string") };
                    let text = self.rest()[..length].replace('\r', "");
                    self.at += length + 1;
                    Token::Quoted(text)
                }
                '\'' => Token::Int(self.character(start)?),
                '$' => Token::Variable(format!("${}", self.name(start)?)),
                '.' if !self.rest().starts_with(|next: char| next.is_ascii_digit()) => match self.name(start)? {
                    name if name.is_empty() => Token::Dot,
                    name => Token::Field(name),
                },
                '.' | '+' | '-' | '0'..='9' => self.number(start)?,
                _ if is_word(first) => {
                    self.at = start;
                    Token::Word(self.name(start)?)
                }
                other => return self.fail(start, format!("unexpected {other:?} in action")),
            };
            self.push(token, start, spaced);
            spaced = false;
        }
    }

    /// Letters and digits up to something that can stand behind a name.
    fn name(&mut self, start: usize) -> Result<String> {
        let rest = self.rest();
        let length = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        self.at += length;
        let ends = match self.rest().chars().next() {
            None => true,
            Some(next) => is_space(next) || matches!(next, '.' | ',' | '|' | ':' | ')' | '(') || self.close().is_some(),
        };
        if !ends {
            let next = self.rest().chars().next().unwrap_or_default();
            return self.fail(start, format!("bad character {next:?} after {:?}", &self.text[start..self.at]));
        }
        Ok(rest[..length].to_owned())
    }

    /// Behind the quote: a text with Go's escapes.
    fn quoted(&mut self, start: usize) -> Result<String> {
        let mut bytes = Vec::new();
        loop {
            let mut characters = self.rest().chars();
            match characters.next() {
                None | Some('\n') => return self.fail(start, "unterminated quoted string"),
                Some('"') => {
                    self.at += 1;
                    // Go keeps bytes that are no text; events are text.
                    return Ok(String::from_utf8_lossy(&bytes).into_owned());
                }
                Some('\\') => self.escape(start, '"', &mut bytes)?,
                Some(other) => {
                    self.at += other.len_utf8();
                    bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    /// Behind the quote: one character as its number.
    fn character(&mut self, start: usize) -> Result<i64> {
        let mut bytes = Vec::new();
        match self.rest().chars().next() {
            None | Some('\n' | '\'') => return self.fail(start, "malformed character constant"),
            Some('\\') => self.escape(start, '\'', &mut bytes)?,
            Some(other) => {
                self.at += other.len_utf8();
                bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        if !self.rest().starts_with('\'') {
            return self.fail(start, "malformed character constant");
        }
        self.at += 1;
        let one = std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next()).map(u32::from);
        Ok(i64::from(one.unwrap_or_else(|| bytes.first().copied().unwrap_or_default().into())))
    }

    /// At a backslash: appends what is escaped, by Go's `strconv.Unquote`.
    fn escape(&mut self, start: usize, quote: char, bytes: &mut Vec<u8>) -> Result<()> {
        let rest = self.rest().as_bytes();
        let digits = |from: usize, count: usize, radix: u32| -> Option<u32> {
            let text = rest.get(from..from + count).and_then(|digits| std::str::from_utf8(digits).ok())?;
            text.bytes().all(|digit| digit.is_ascii_alphanumeric()).then(|| u32::from_str_radix(text, radix).ok()).flatten()
        };
        let wide = |count: usize| digits(2, count, 16).and_then(char::from_u32).map(|character| (character, 2 + count));
        let simple = |byte: u8| Some((char::from(byte), 2));
        let found = match rest.get(1) {
            Some(b'a') => simple(7),
            Some(b'b') => simple(8),
            Some(b'f') => simple(12),
            Some(b'n') => simple(b'\n'),
            Some(b'r') => simple(b'\r'),
            Some(b't') => simple(b'\t'),
            Some(b'v') => simple(11),
            Some(b'\\') => simple(b'\\'),
            Some(&other) if char::from(other) == quote => simple(other),
            Some(b'u') => wide(4),
            Some(b'U') => wide(8),
            Some(b'x' | b'0'..=b'7') => {
                let (from, count, radix) = if rest[1] == b'x' { (2, 2, 16) } else { (1, 3, 8) };
                let Some(byte) = digits(from, count, radix).and_then(|value| u8::try_from(value).ok()) else {
                    return self.fail(start, "invalid syntax: unknown escape in a quoted text");
                };
                bytes.push(byte);
                self.at += from + count;
                return Ok(());
            }
            _ => None,
        };
        let Some((character, length)) = found else { return self.fail(start, "invalid syntax: unknown escape in a quoted text") };
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += length;
        Ok(())
    }

    /// A number, its first character passed already.
    fn number(&mut self, start: usize) -> Result<Token> {
        let text = &self.text[start..];
        let mut length = 0;
        let mut before = ' ';
        let hex = text.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
        for (at, character) in text.char_indices() {
            let sign = matches!(character, '+' | '-') && (at == 0 || (matches!(before, 'e' | 'E') && !hex) || matches!(before, 'p' | 'P'));
            if !(sign || character == '.' || is_word(character)) {
                break;
            }
            before = character;
            length = at + character.len_utf8();
        }
        self.at = start + length;
        let text = &text[..length];
        match super::number::parse(text) {
            Ok(token) => Ok(token),
            Err(message) => self.fail(start, format!("{message}: {text:?}")),
        }
    }
}
