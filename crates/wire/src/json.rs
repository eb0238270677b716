//! A pull parser for JSON text, checked to the letter and with the place of every error.
//!
//! It reads each byte once, copies nothing, and hands numbers over as exact decimals instead of floats.
//! The caller says what it expects, so the common document costs little more than comparing its keys.

use std::borrow::Cow;

use crate::number::{Decimal, short_thousandths};

/// Arrays and objects inside each other, the outermost one included.
pub const DEPTH_MAX: u32 = 32;

/// Text that is not JSON, or deeper than is accepted: where, and what is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Malformed {
    pub offset: usize,
    pub what: &'static str,
}

/// Where the parser stands in its text.
///
/// What stands in strings is held to UTF-8 as it is passed; outside of them JSON has nothing but ASCII.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A key with its closing quote and its colon, `key":`, as nearly everybody writes it: no white space between them.
///
/// It is compared a word at a time, as calling a comparison of bytes costs more than so few bytes do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    words: [u64; Key::BYTES_MAX / 8],
    /// The bits of the words that are compared.
    masks: [u64; Key::BYTES_MAX / 8],
    length: usize,
}

impl Key {
    const BYTES_MAX: usize = 48;

    pub(crate) const fn new(name: &str) -> Self {
        let (name, mut key) = (name.as_bytes(), Key { words: [0; _], masks: [0; _], length: name.len() + 2 });
        assert!(key.length <= Self::BYTES_MAX);
        let mut at = 0;
        while at < key.length {
            let byte = if at < name.len() { name[at] } else { b"\":"[at - name.len()] };
            key.words[at / 8] |= (byte as u64) << (at % 8 * 8);
            key.masks[at / 8] |= 0xFF << (at % 8 * 8);
            at += 1;
        }
        key
    }

    /// The number of a member that follows another, in thousandths, and what stands behind it, where all is written
    /// as usual: `,"key":number`.
    #[inline(always)]
    pub(crate) fn usual_member<'a>(&self, rest: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let rest = rest.strip_prefix(b",\"")?;
        if !self.stands_in(rest.first_chunk()?) {
            return None;
        }
        let rest = rest.get(self.length..)?;
        let (thousandths, length) = short_thousandths(rest.first_chunk()?)?;
        Some((thousandths, &rest[length..]))
    }

    #[inline]
    fn stands_in(&self, bytes: &[u8; Self::BYTES_MAX]) -> bool {
        let mut differ = 0;
        for (at, bytes) in bytes.as_chunks().0.iter().enumerate() {
            differ |= (u64::from_le_bytes(*bytes) ^ self.words[at]) & self.masks[at];
        }
        differ == 0
    }
}

/// What kind of value begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starts {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    pub(crate) fn fail<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed { offset: self.at, what })
    }

    /// What is not passed yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Passes to this end of its text.
    #[inline]
    pub(crate) fn go_to(&mut self, rest: &[u8]) {
        self.at = self.bytes.len() - rest.len();
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The byte that stands next after white space, not taken.
    #[inline]
    pub(crate) fn next_token(&mut self) -> Option<u8> {
        self.skip_space();
        self.peek()
    }

    /// Takes this byte after white space, or fails.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.next_token() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.fail(what)
    }

    /// After a member or an element: whether another one follows, up to the closing byte.
    #[inline]
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Malformed> {
        match self.next_token() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.fail("expected a comma or the end of the object or array"),
        }
    }

    /// After the opening byte: whether it is closed at once.
    #[inline]
    pub(crate) fn closes(&mut self, close: u8) -> bool {
        let closes = self.next_token() == Some(close);
        self.at += usize::from(closes);
        closes
    }

    #[inline]
    pub(crate) fn starts(&mut self) -> Result<Starts, Malformed> {
        match self.next_token() {
            Some(b'{') => Ok(Starts::Object),
            Some(b'[') => Ok(Starts::Array),
            Some(b'"') => Ok(Starts::String),
            Some(b'-' | b'0'..=b'9') => Ok(Starts::Number),
            Some(b't') => Ok(Starts::True),
            Some(b'f') => Ok(Starts::False),
            Some(b'n') => Ok(Starts::Null),
            None => self.fail("unexpected end"),
            Some(_) => self.fail("expected a value"),
        }
    }

    /// Takes this key, its closing quote and its colon when they stand next, the opening quote being taken already.
    #[inline]
    pub(crate) fn take_key(&mut self, key: &Key) -> bool {
        let stands = self.bytes[self.at..].first_chunk().is_some_and(|bytes| key.stands_in(bytes));
        self.at += if stands { key.length } else { 0 };
        stands
    }

    #[inline]
    pub(crate) fn open_key(&mut self) -> Result<(), Malformed> {
        self.expect(b'"', "expected a key in quotes")
    }

    /// The key that stands next, the opening quote being taken already, and its colon.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let key = self.string_rest()?;
        self.expect(b':', "expected a colon")?;
        Ok(key)
    }

    pub(crate) fn literal(&mut self, literal: &'static str) -> Result<(), Malformed> {
        if self.bytes[self.at..].starts_with(literal.as_bytes()) {
            self.at += literal.len();
            return Ok(());
        }
        self.fail("expected true, false or null")
    }

    /// Takes `null` when it stands next.
    #[inline]
    pub(crate) fn take_null(&mut self) -> Result<bool, Malformed> {
        if self.next_token() != Some(b'n') {
            return Ok(false);
        }
        self.literal("null")?;
        Ok(true)
    }

    /// The string that begins here.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.expect(b'"', "expected a string")?;
        self.string_rest()
    }

    /// The bytes of the string that begins here, for whom they are enough.
    pub(crate) fn string_bytes(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.expect(b'"', "expected a string")?;
        let end = plain_end(self.bytes, self.at);
        let plain = &self.bytes[self.at..end];
        if self.bytes.get(end) == Some(&b'"') && plain.is_ascii() {
            self.at = end + 1;
            return Ok(Cow::Borrowed(plain));
        }
        Ok(match self.string_rest()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// The rest of a string whose opening quote is taken: borrowed, unless it has escapes.
    #[inline]
    fn string_rest(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let text = self.plain_text()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut unescaped = text.to_owned();
        self.escaped_rest(|run| unescaped.push_str(run))?;
        Ok(Cow::Owned(unescaped))
    }

    /// The run of plain characters of a string.
    #[inline]
    fn plain_text(&mut self) -> Result<&'a str, Malformed> {
        let from = self.at;
        self.at = plain_end(self.bytes, self.at);
        self.text(from)
    }

    /// What was passed from there on.
    #[inline]
    fn text(&self, from: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(&self.bytes[from..self.at]).or_else(|_| self.fail("invalid UTF-8"))
    }

    /// The rest of a string from its first special byte on, run by run, up to and with the closing quote.
    #[cold]
    fn escaped_rest(&mut self, mut run: impl FnMut(&str)) -> Result<(), Malformed> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    run(character.encode_utf8(&mut [0; 4]));
                }
                Some(_) => return self.fail("control character in a string"),
                None => return self.fail("unexpected end in a string"),
            }
            run(self.plain_text()?);
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let escaped = match self.bytes.get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.fail("unknown escape"),
        };
        self.at += 2;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, Malformed> {
        let unit = |at: usize| -> Option<u32> {
            let digits = self.bytes.get(at + 2..at + 6)?;
            let starts = self.bytes.get(at..at + 2)? == b"\\u" && digits.iter().all(u8::is_ascii_hexdigit);
            // The bytes are hexadecimal digits, so they are text.
            starts.then(|| {
                digits.iter().fold(0, |sum, digit| sum * 16 + (*digit as char).to_digit(16).unwrap_or(0))
            })
        };
        let Some(first) = unit(self.at) else { return self.fail("bad \\u escape") };
        if let Some(character) = char::from_u32(first) {
            self.at += 6;
            return Ok(character);
        }
        // The first unit is a surrogate: a low one has to follow a high one.
        let second = unit(self.at + 6).filter(|second| (0xDC00..0xE000).contains(second));
        match (first < 0xDC00, second) {
            (true, Some(second)) => {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                self.at += 12;
                char::from_u32(code).map_or_else(|| self.fail("bad \\u escape"), Ok)
            }
            _ => self.fail("lone surrogate in a \\u escape"),
        }
    }

    /// Takes a number of the usual length when one stands next, in thousandths.
    #[inline(always)]
    pub(crate) fn take_short_number(&mut self) -> Option<u64> {
        self.skip_space();
        let (thousandths, length) = self.bytes[self.at..].first_chunk().and_then(short_thousandths)?;
        self.at += length;
        Some(thousandths)
    }

    pub(crate) fn number(&mut self) -> Result<Decimal, Malformed> {
        let rest = &self.bytes[self.at..];
        match Decimal::parse(rest) {
            Some((decimal, length)) => {
                self.at += length;
                Ok(decimal)
            }
            None => self.fail("bad number"),
        }
    }

    /// Passes over one value, whatever it is, that stands inside `depth` others.
    pub(crate) fn skip_value(&mut self, depth: u32) -> Result<(), Malformed> {
        match self.starts()? {
            Starts::Object => self.skip_container(b'}', depth),
            Starts::Array => self.skip_container(b']', depth),
            Starts::String => {
                self.at += 1;
                self.skip_string_rest()
            }
            Starts::Number => self.number().map(drop),
            Starts::True => self.literal("true"),
            Starts::False => self.literal("false"),
            Starts::Null => self.literal("null"),
        }
    }

    fn skip_container(&mut self, close: u8, depth: u32) -> Result<(), Malformed> {
        if depth >= DEPTH_MAX {
            return self.fail("nested too deep");
        }
        self.at += 1;
        if self.closes(close) {
            return Ok(());
        }
        loop {
            if close == b'}' {
                self.open_key()?;
                self.skip_string_rest()?;
                self.expect(b':', "expected a colon")?;
            }
            self.skip_value(depth + 1)?;
            if !self.more(close)? {
                return Ok(());
            }
        }
    }

    fn skip_string_rest(&mut self) -> Result<(), Malformed> {
        self.plain_text()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(());
        }
        self.escaped_rest(|_| ())
    }

    /// Passes over one value and gives its text.
    pub(crate) fn raw_value(&mut self, depth: u32) -> Result<&'a str, Malformed> {
        self.skip_space();
        let from = self.at;
        self.skip_value(depth)?;
        self.text(from)
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        match self.next_token() {
            None => Ok(()),
            Some(_) => self.fail("unexpected text after the end"),
        }
    }
}

/// Where the run of plain bytes of a string ends: at a quote, a backslash, a control byte, or the end.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Marks, from the lowest byte up to the first hit exactly, the bytes that are zero.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let special = zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64)) | control;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}
