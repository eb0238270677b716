//! The API's description, `deploy/openapi.yaml`, built from what serves the API: the endpoints of the policy,
//! the fields and limits of points, sites and devices, and the gateway's refusals.
//!
//! Owns the words of the description and its form. It must not hold a name, a limit or a status that the code
//! has too: those are asked for. It serves nothing and is in no binary; a test holds the file to it.

mod answers;
mod commissioning;
mod components;
mod endpoint;
mod examples;
mod links;
mod refused;
mod telemetry;
mod tree;
mod words;

use wattline_auth::policy::ENDPOINTS;

pub use tree::Tree;

use tree::map;

const HEAD: &str = "\
# The HTTP API of Wattline, for client generators and testing tools. docs/api.md tells the same in words.
# Written by `UPDATE_EXPECT=1 cargo test -p wattline-openapi` from the code; do not edit it.

";

/// The whole description.
pub fn document() -> Tree {
    map! {
        // A string with two dots is no number, but YAML's readers have been wrong about less.
        "openapi" => "3.1.0",
        "info" => map! {
            "title" => "Wattline",
            "version" => env!("CARGO_PKG_VERSION"),
            "summary" => "Telemetry ingestion for home batteries, in the public Flip Energy API.",
            "description" => words::API,
            "license" => map! { "name" => "Apache-2.0", "identifier" => "Apache-2.0" },
        },
        "servers" => [map! { "url" => "/", "description" => "The gateway that is asked." }],
        "tags" => words::tags(),
        "paths" => paths(),
        "components" => components::components(),
    }
}

/// The text of the file.
pub fn yaml() -> String {
    let options = serde_saphyr::ser_options! { compact_list_indent: true, folded_wrap_chars: 100 };
    let text = serde_saphyr::to_string_with_options(&document(), options);
    HEAD.to_owned() + &text.unwrap_or_else(|error| format!("# {error}\n"))
}

/// The rows of the policy by their paths, in its order.
fn paths() -> Tree {
    let mut paths: Vec<(String, Tree)> = Vec::new();
    for endpoint in &ENDPOINTS {
        let place = paths.iter().position(|(path, _)| path == endpoint.template).unwrap_or_else(|| {
            paths.push((endpoint.template.to_owned(), endpoint::path_item(endpoint)));
            paths.len() - 1
        });
        paths[place].1.push(&endpoint.method.name().to_ascii_lowercase(), endpoint::operation(endpoint));
    }
    Tree::Map(paths)
}
