//! From tokens to a tree, by the rules of Go's text/template/parse.

use std::collections::HashMap;

use super::ast::{Branch, Command, Expr, Kind, Node, Pipe};
use super::error::TemplateError;
use super::functions;
use super::lex::{Lexed, Token, lex};

/// Deepest nesting of branches and parentheses: parsing, checking and executing recurse.
const MAX_DEPTH: usize = 100;

/// A template and the templates defined in it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) body: Vec<Node>,
    pub(super) defined: HashMap<String, Vec<Node>>,
}

type Result<T> = std::result::Result<T, TemplateError>;

pub(super) fn parse(text: &str) -> Result<Parsed> {
    let tokens = lex(text)?;
    let mut parser = Parser { text, tokens, next: 0, variables: vec!["$".to_owned()], defined: HashMap::new(), depth: 0, loops: 0 };
    let body = match parser.list()? {
        (body, Stop::End) => body,
        (_, Stop::Word(word, offset)) => return parser.fail(offset, format!("unexpected {{{{{word}}}}}")),
    };
    Ok(Parsed { body, defined: parser.defined })
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Lexed>,
    next: usize,
    /// Declared so far, innermost last.
    variables: Vec<String>,
    defined: HashMap<String, Vec<Node>>,
    depth: usize,
    /// Loops around.
    loops: usize,
}

/// What ended a list.
enum Stop {
    /// The template's end.
    End,
    /// `end` or `else`, and where.
    Word(&'static str, usize),
}

impl Parser<'_> {
    fn peek(&self) -> &Lexed {
        // The last token is never taken.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Lexed {
        let lexed = self.peek().clone();
        self.next += 1;
        lexed
    }

    fn fail<T>(&self, offset: usize, message: impl Into<String>) -> Result<T> {
        Err(TemplateError::at(self.text, offset, message))
    }

    fn unexpected<T>(&self, lexed: &Lexed, context: &str) -> Result<T> {
        let what = match &lexed.token {
            Token::End => "end of the template".to_owned(),
            Token::Close => "}}".to_owned(),
            Token::Word(word) => word.clone(),
            Token::Field(name) => format!(".{name}"),
            Token::Variable(name) => name.clone(),
            _ => format!("{:?}", self.text[lexed.offset..].chars().next().unwrap_or(' ')),
        };
        self.fail(lexed.offset, format!("unexpected {what} in {context}"))
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return self.fail(self.peek().offset, format!("nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn close(&mut self, context: &str) -> Result<()> {
        match self.take() {
            Lexed { token: Token::Close, .. } => Ok(()),
            other => self.unexpected(&other, context),
        }
    }

    /// Nodes up to the end, or to `{{ end` or `{{ else`, which is taken.
    fn list(&mut self) -> Result<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        loop {
            let lexed = self.take();
            match lexed.token {
                Token::End => return Ok((nodes, Stop::End)),
                Token::Text(text) => nodes.push(Node::Text(text)),
                _ => {
                    let keyword = match &self.peek().token {
                        Token::Word(word) => word.clone(),
                        _ => String::new(),
                    };
                    match keyword.as_str() {
                        "end" | "else" => {
                            self.next += 1;
                            return Ok((nodes, Stop::Word(if keyword == "end" { "end" } else { "else" }, lexed.offset)));
                        }
                        "define" if self.depth == 0 => self.define()?,
                        _ => nodes.push(self.action(&keyword)?),
                    }
                }
            }
        }
    }

    /// An action, its `{{` taken.
    fn action(&mut self, keyword: &str) -> Result<Node> {
        let first = self.peek().clone();
        match keyword {
            "if" | "with" | "range" => {
                self.next += 1;
                self.nested(|parser| parser.control(keyword, first.offset))
            }
            "break" | "continue" => {
                self.next += 1;
                if self.loops == 0 {
                    return self.fail(first.offset, format!("{{{{{keyword}}}}} outside {{{{range}}}}"));
                }
                self.close(keyword)?;
                Ok(if keyword == "break" { Node::Break } else { Node::Continue })
            }
            "template" | "block" => {
                self.next += 1;
                let name = self.quoted(keyword)?;
                let has_pipe = keyword == "block" || self.peek().token != Token::Close;
                let pipe = if has_pipe { Some(self.pipe(keyword, &Token::Close)?) } else { self.close(keyword).map(|()| None)? };
                if keyword == "block" {
                    self.body_of(&name, first.offset, keyword)?;
                }
                Ok(Node::Call { name, offset: first.offset, pipe })
            }
            // Only at the top.
            "define" => self.unexpected(&first, "command"),
            _ => Ok(Node::Action(self.pipe("command", &Token::Close)?)),
        }
    }

    fn quoted(&mut self, context: &str) -> Result<String> {
        match self.take() {
            Lexed { token: Token::Quoted(text), .. } => Ok(text),
            other => self.unexpected(&other, &format!("{context} clause")),
        }
    }

    fn define(&mut self) -> Result<()> {
        let offset = self.take().offset;
        let name = self.quoted("define")?;
        self.close("define clause")?;
        self.body_of(&name, offset, "define")
    }

    /// The body of a definition up to its `end`, with variables of its own.
    fn body_of(&mut self, name: &str, offset: usize, context: &str) -> Result<()> {
        let outside = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let list = self.nested(Self::list);
        self.variables = outside;
        self.loops = loops;
        match list? {
            (body, Stop::Word("end", _)) => {
                self.close("end")?;
                let empty = |body: &[Node]| body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()));
                if self.defined.get(name).is_some_and(|before| !empty(before)) {
                    if empty(&body) {
                        return Ok(());
                    }
                    return self.fail(offset, format!("multiple definition of template {name:?}"));
                }
                self.defined.insert(name.to_owned(), body);
                Ok(())
            }
            (_, Stop::Word(word, offset)) => self.fail(offset, format!("unexpected {{{{{word}}}}} in {context} clause")),
            (_, Stop::End) => self.fail(offset, format!("{context} without {{{{end}}}}")),
        }
    }

    /// A branch, its keyword taken, up to its `end`.
    fn control(&mut self, keyword: &str, offset: usize) -> Result<Node> {
        let variables = self.variables.len();
        let pipe = self.pipe(keyword, &Token::Close)?;
        self.loops += usize::from(keyword == "range");
        let (body, stop) = self.list()?;
        self.loops -= usize::from(keyword == "range");
        let mut otherwise = Vec::new();
        match stop {
            Stop::End => return self.fail(offset, format!("{keyword} without {{{{end}}}}")),
            Stop::Word("end", _) => self.close("end")?,
            Stop::Word(..) => match self.peek().clone() {
                // `else if` shares the `end`.
                Lexed { token: Token::Word(word), offset, .. } if word == keyword && word != "range" => {
                    self.next += 1;
                    otherwise.push(self.nested(|parser| parser.control(&word, offset))?);
                }
                _ => {
                    self.close("else")?;
                    match self.list()? {
                        (list, Stop::Word("end", _)) => otherwise = list,
                        (_, Stop::Word(_, offset)) => return self.fail(offset, "expected end; found {{else}}"),
                        (_, Stop::End) => return self.fail(offset, format!("{keyword} without {{{{end}}}}")),
                    }
                    self.close("end")?;
                }
            },
        }
        self.variables.truncate(variables);
        let branch = Branch { pipe, body, otherwise };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// A pipeline up to `end`, which is taken.
    fn pipe(&mut self, context: &str, end: &Token) -> Result<Pipe> {
        let mut pipe = Pipe { offset: self.peek().offset, variables: Vec::new(), assigns: false, commands: Vec::new() };
        while let Token::Variable(name) = self.peek().token.clone() {
            match self.tokens[self.next + 1].token {
                Token::Assign | Token::Declare => {
                    pipe.assigns = self.tokens[self.next + 1].token == Token::Assign;
                    self.next += 2;
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                    break;
                }
                Token::Comma => {
                    self.next += 2;
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                    if context != "range" || pipe.variables.len() > 1 {
                        return self.fail(pipe.offset, format!("too many declarations in {context}"));
                    }
                    if !matches!(self.peek().token, Token::Variable(_)) {
                        return self.fail(self.peek().offset, "range can only initialize variables");
                    }
                }
                _ => break,
            }
        }
        loop {
            let lexed = self.peek();
            if lexed.token == *end {
                self.next += 1;
                break;
            }
            if matches!(&lexed.token, Token::Word(word) if is_keyword(word))
                || matches!(
                    lexed.token,
                    Token::Assign | Token::Declare | Token::Pipe | Token::Comma | Token::Right | Token::Close | Token::End
                )
            {
                let lexed = lexed.clone();
                return self.unexpected(&lexed, context);
            }
            let command = self.command()?;
            pipe.commands.push(command);
        }
        if pipe.commands.is_empty() {
            return self.fail(pipe.offset, format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(command.operands[0].kind, Kind::Bool(_) | Kind::Dot | Kind::Nil | Kind::Int(_) | Kind::Float(_) | Kind::Text(_)) {
                return self.fail(command.operands[0].offset, format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(pipe)
    }

    fn command(&mut self) -> Result<Command> {
        let mut operands = Vec::new();
        loop {
            let operand = self.operand()?;
            operands.push(operand);
            let lexed = self.peek();
            match lexed.token {
                Token::Pipe => {
                    self.next += 1;
                    return Ok(Command { operands });
                }
                Token::Close | Token::Right => return Ok(Command { operands }),
                _ if lexed.spaced => {}
                _ => {
                    let lexed = lexed.clone();
                    return self.unexpected(&lexed, "operand");
                }
            }
        }
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Expr> {
        let term = self.term()?;
        let mut fields = Vec::new();
        while let Lexed { token: Token::Field(name), spaced: false, .. } = self.peek() {
            fields.push(name.clone());
            self.next += 1;
        }
        if fields.is_empty() {
            return Ok(term);
        }
        let Expr { offset, kind } = term;
        match kind {
            Kind::Fields(inner, mut before) if matches!(inner.kind, Kind::Dot) => {
                before.append(&mut fields);
                Ok(Expr { offset, kind: Kind::Fields(inner, before) })
            }
            Kind::Bool(_) | Kind::Text(_) | Kind::Int(_) | Kind::Float(_) | Kind::Nil | Kind::Dot => {
                self.fail(offset, "unexpected . after a term that has no fields")
            }
            kind => Ok(Expr { offset, kind: Kind::Fields(Box::new(Expr { offset, kind }), fields) }),
        }
    }

    fn term(&mut self) -> Result<Expr> {
        let lexed = self.take();
        let offset = lexed.offset;
        let kind = match lexed.token {
            Token::Word(word) => match word.as_str() {
                "true" | "false" => Kind::Bool(word == "true"),
                "nil" => Kind::Nil,
                _ if is_keyword(&word) => return self.fail(offset, format!("unexpected {word} in operand")),
                _ => match functions::find(&word) {
                    Some(function) => Kind::Function(function.name),
                    None => {
                        let known = functions::list();
                        return self.fail(offset, format!("function {word:?} not defined: expected one of {known}"));
                    }
                },
            },
            Token::Dot => Kind::Dot,
            Token::Field(name) => Kind::Fields(Box::new(Expr { offset, kind: Kind::Dot }), vec![name]),
            Token::Variable(name) if self.variables.contains(&name) => Kind::Variable(name),
            Token::Variable(name) => return self.fail(offset, format!("undefined variable {name:?}")),
            Token::Quoted(text) => Kind::Text(text.into()),
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Left => Kind::Pipe(Box::new(self.nested(|parser| parser.pipe("parenthesized pipeline", &Token::Right))?)),
            _ => return self.unexpected(&lexed, "operand"),
        };
        Ok(Expr { offset, kind })
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range" | "template" | "with")
}
