//! The whole pipeline as processes on the real services: HTTP in, ClickHouse and Parquet out.
//!
//! A test has a site of its own: topics, a database, a consumer group, a folder with the directory and the
//! Parquet files. What a site's processes wrote to their logs is shown when its test fails. Nothing here waits
//! by sleeping for a time that is hoped to be enough: every wait has a condition and a deadline.

mod authority;
mod backup;
mod broker;
mod bucket;
mod catalogue;
mod collector;
mod commands;
mod cookbook;
mod counters;
mod dashboards;
mod doctor;
mod engine;
mod forwarding;
mod front;
mod http;
mod keep_out;
mod limits;
mod live;
mod load;
mod malformed;
mod management;
mod matrix;
mod moved;
mod openapi;
mod partitions;
mod points;
mod portal;
#[path = "../../../directory/tests/it/postgres.rs"]
#[expect(dead_code, reason = "what the directory's own tests look into")]
mod postgres;
mod process;
mod prometheus;
mod proxy;
mod rebuild;
mod refusals;
mod rejected;
mod restarts;
mod roles;
mod secrets;
mod secured;
mod site;
mod sites;
mod stored;
mod telemetry;
mod tls;
mod traces;
#[path = "../../../portal/tests/it/webdriver.rs"]
#[expect(dead_code, reason = "the portal's pages are used by keyboard, this crate's are looked at")]
mod webdriver;
