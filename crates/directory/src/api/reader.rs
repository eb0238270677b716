//! Takes the known fields out of an object, and notes where and how they break the rules.

use super::Change;
use super::json::{BodyError, Node};

/// More broken rules than this are not told apart.
pub const VIOLATIONS_MAX: usize = 20;

/// A rule that is broken, and where. Neither repeats what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Such as `devices[0].attributes.battery_capacity_wh`.
    pub path: String,
    pub rule: &'static str,
}

#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    pub fn add(&mut self, path: String, rule: &'static str) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation { path, rule });
        }
    }

    /// The value, unless a rule was broken.
    pub fn or<T>(self, value: Option<T>) -> Result<T, BodyError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(BodyError::Invalid(self.0)),
        }
    }
}

/// One object of a body, with its place in it.
pub(crate) struct Object<'a> {
    members: &'a [(String, Node)],
    path: String,
    violations: &'a mut Violations,
}

impl<'a> Object<'a> {
    /// The object that a node is; none, and a violation, where it is something else.
    pub fn of(node: &'a Node, path: String, violations: &'a mut Violations) -> Option<Self> {
        match node {
            Node::Object(members) => Some(Self { members, path, violations }),
            _ => {
                violations.add(path, "must be an object");
                None
            }
        }
    }

    pub fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    pub fn broken(&mut self, field: &str, rule: &'static str) {
        let path = self.path_of(field);
        self.violations.add(path, rule);
    }

    pub fn violations(&mut self) -> &mut Violations {
        self.violations
    }

    /// The node of a field; none where it is absent, given twice, or null.
    fn node(&mut self, field: &str) -> Change<&'a Node> {
        let mut given = self.members.iter().filter(|(name, _)| name == field);
        let first = given.next();
        if given.next().is_some() {
            self.broken(field, "must not be given twice");
            return Change::Keep;
        }
        match first {
            None => Change::Keep,
            Some((_, Node::Null)) => Change::Clear,
            Some((_, node)) => Change::Set(node),
        }
    }

    /// What is sent for a field, read by its rule.
    pub fn change<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&'a Node) -> Result<T, &'static str>,
    ) -> Change<T> {
        match self.node(field) {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(node) => match read(node) {
                Ok(value) => Change::Set(value),
                Err(rule) => {
                    self.broken(field, rule);
                    Change::Keep
                }
            },
        }
    }

    /// A field that may be neither absent nor null.
    pub fn required<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&'a Node) -> Result<T, &'static str>,
    ) -> Option<T> {
        match self.node(field) {
            Change::Set(node) => match read(node) {
                Ok(value) => return Some(value),
                Err(rule) => self.broken(field, rule),
            },
            Change::Keep | Change::Clear => self.broken(field, "is required"),
        }
        None
    }

    /// A field that cannot be changed: what is sent for it has to be what it is.
    pub fn fixed(&mut self, field: &str, value: &str) {
        match self.node(field) {
            Change::Set(Node::Text(text)) if text == value => {}
            Change::Keep => {}
            _ => self.broken(field, "cannot be changed"),
        }
    }
}

pub(crate) fn text(node: &Node) -> Result<&str, &'static str> {
    match node {
        Node::Text(text) => Ok(text),
        _ => Err("must be a string"),
    }
}

pub(crate) fn number(node: &Node, max: f64, rule: &'static str) -> Result<f64, &'static str> {
    match node {
        // Negative zero is zero.
        Node::Number(number) if (0.0..=max).contains(number) => Ok(number.abs()),
        _ => Err(rule),
    }
}

pub(crate) fn id(node: &Node) -> Result<String, &'static str> {
    let id = text(node)?;
    crate::check_device_id(id).map_err(|error| error.0)?;
    Ok(id.to_owned())
}
