//! JSON text to a tree that forgets nothing: a member that is given twice is there twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use wattline_wire::{DEPTH_MAX, Malformed};

use super::reader::Violation;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Never empty.
    #[error("the body breaks rules")]
    Invalid(Vec<Violation>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Parses a whole body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body)
            .map_err(|error| Malformed { offset: error.valid_up_to(), what: "invalid UTF-8" })?;
        check_depth(text)?;
        serde_json::from_str(text).map_err(|error| {
            if error.is_eof() {
                return Malformed { offset: text.len(), what: "unexpected end" };
            }
            Malformed { offset: offset(text, error.line(), error.column()), what: "not JSON" }
        })
    }
}

/// Brackets inside each other, strings left out. What is not JSON besides is found by the parser.
fn check_depth(text: &str) -> Result<(), Malformed> {
    let (mut depth, mut in_string, mut escaped) = (0u32, false, false);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Malformed { offset, what: "nested too deeply" });
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Lines and columns count from 1, and columns in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines_before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len);
    (lines_before.sum::<usize>() + column.saturating_sub(1)).min(text.len())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Node::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_text_is_refused_with_its_offset() {
        let offset = |body: &[u8]| Node::parse(body).expect_err("refused").offset;
        assert_eq!(offset(b""), 0);
        assert_eq!(offset(b"\xEF\xBB\xBF{}"), 0);
        assert_eq!(offset(b"{\"a\":\"\xff\"}"), 6);
        assert_eq!(offset(b"{\n\"a\": 1,\n  nil}"), 12);
        assert_eq!(offset(b"{} {}"), 3);
        assert_eq!(offset(b"[1e400]"), 5);
        for bad in ["[1,]", "{\"a\":01}", "[NaN]", "\"\\ud800\"", "{\"a\"", "[\"\u{1}\"]"] {
            assert!(Node::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Node::parse(nested(32).as_bytes()).is_ok());
        assert_eq!(offset(nested(33).as_bytes()), 32);
        let brackets_in_text = format!("\"{}\\\"{}\"", "[".repeat(40), "[".repeat(40));
        assert!(Node::parse(brackets_in_text.as_bytes()).is_ok());
    }

    #[test]
    fn a_member_given_twice_is_there_twice() {
        let node = Node::parse(br#"{"a":null,"a":[true,-1.5,7,"x"]}"#).expect("JSON");
        let array = Node::Array(vec![
            Node::Bool(true),
            Node::Number(-1.5),
            Node::Number(7.0),
            Node::Text("x".into()),
        ]);
        assert_eq!(node, Node::Object(vec![("a".into(), Node::Null), ("a".into(), array)]));
    }
}
