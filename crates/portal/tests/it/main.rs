//! The portal over HTTP, on a real SQLite file and on a real Postgres: a browser's requests, and those that no
//! browser sends.

mod bench;
mod browser;
mod chromium;
mod forgery;
mod headers;
mod limits;
#[path = "../../../directory/tests/it/postgres.rs"]
mod postgres;
mod sign_in;
mod tokens;
mod webdriver;
