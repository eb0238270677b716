//! A document whose members stay in the order in which they were put down, which `serde_json::Value` does not
//! promise.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// A map, written as it will read: `map! { "type" => "string", "maxLength" => 128 }`.
macro_rules! map {
    ($($key:expr => $value:expr),* $(,)?) => {
        $crate::tree::Tree::Map(vec![$(($key.to_string(), $crate::tree::Tree::from($value))),*])
    };
}
pub(crate) use map;

impl Tree {
    pub const EMPTY: Self = Self::Map(Vec::new());

    /// Adds a member at the end of a map, or gives the one that is there another value.
    pub fn push(&mut self, key: &str, value: impl Into<Tree>) {
        let Self::Map(members) = self else { return };
        match members.iter_mut().find(|(name, _)| name == key) {
            Some((_, known)) => *known = value.into(),
            None => members.push((key.to_owned(), value.into())),
        }
    }

    /// The map with this member.
    pub fn with(mut self, key: &str, value: impl Into<Tree>) -> Self {
        self.push(key, value);
        self
    }

    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.members().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The members of a map; of anything else none.
    pub fn members(&self) -> &[(String, Tree)] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => values.serialize(serializer),
            Self::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl From<bool> for Tree {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Tree {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<i32> for Tree {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u32> for Tree {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u16> for Tree {
    fn from(value: u16) -> Self {
        Self::Integer(value.into())
    }
}

impl From<usize> for Tree {
    fn from(value: usize) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// Whole numbers are written as such.
impl From<f64> for Tree {
    fn from(value: f64) -> Self {
        const EXACT_MAX: f64 = 9e15;
        if value.fract() == 0.0 && value.abs() < EXACT_MAX {
            Self::Integer(value as i64)
        } else {
            Self::Number(value)
        }
    }
}

impl From<&str> for Tree {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Tree {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Tree>> From<Vec<T>> for Tree {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(T::into).collect())
    }
}

impl<T: Into<Tree>, const N: usize> From<[T; N]> for Tree {
    fn from(values: [T; N]) -> Self {
        Self::List(values.into_iter().map(T::into).collect())
    }
}

impl From<&serde_json::Value> for Tree {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Integer(whole),
                (None, number) => Self::Number(number.unwrap_or_default()),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(values) => Self::List(values.iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Map(members.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}
