//! The description is what the code does: the file, the examples, the shapes.

mod complete;
mod document;
mod examples;
mod shapes;
