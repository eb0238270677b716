//! The document as tests look at it.

use expect_test::expect_file;
use serde_json::Value;
use wattline_openapi::Tree;

pub fn document() -> Value {
    serde_json::to_value(wattline_openapi::document()).expect("JSON")
}

/// What a `$ref` points to; anything else is itself.
pub fn resolved<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
    match node.get("$ref").and_then(Value::as_str) {
        Some(place) => {
            let pointer = place.strip_prefix('#').expect("a place in the document");
            document.pointer(pointer).unwrap_or_else(|| panic!("{place} points to nothing"))
        }
        None => node,
    }
}

#[test]
fn the_file_is_what_the_code_says() {
    // UPDATE_EXPECT=1 cargo test -p wattline-openapi
    expect_file!["../../../../deploy/openapi.yaml"].assert_eq(&wattline_openapi::yaml());
}

/// A key that is given twice is lost on the way to JSON, and refused by some readers of YAML.
fn check_keys(tree: &Tree, place: &str) {
    let members = tree.members();
    for (at, (key, value)) in members.iter().enumerate() {
        assert!(members[..at].iter().all(|(other, _)| other != key), "{place}/{key} is there twice");
        check_keys(value, &format!("{place}/{key}"));
    }
    if let Tree::List(values) = tree {
        values.iter().for_each(|value| check_keys(value, place));
    }
}

#[test]
fn no_key_is_given_twice() {
    check_keys(&wattline_openapi::document(), "");
}
