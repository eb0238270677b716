//! The policy against the table of the founding document.

mod policy;
