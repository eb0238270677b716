//! What operations refer to: schemas, parameters, headers, refusals, security schemes.

use wattline_auth::policy::{ENDPOINTS, TokenKind};
use wattline_auth::site_token::SITE_TOKEN_LIFE_S;
use wattline_directory::SITES_PAGE_MAX;
use wattline_gateway::SITES_PAGE;

use crate::answers;
use crate::endpoint::{path_parameters, schema, scheme};
use crate::tree::{Tree, map};
use crate::{commissioning, refused, telemetry};

/// The control characters of Unicode, as they stand in a character class; every dialect of patterns reads it.
pub const NO_CONTROL_CLASS: &str = r"\u0000-\u001f\u007f-\u009f";
/// A text without them.
pub const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

pub fn components() -> Tree {
    let schemas = telemetry::schemas().into_iter().chain(commissioning::schemas());
    map! {
        "securitySchemes" => security_schemes(),
        "parameters" => parameters(),
        "headers" => headers(),
        "responses" => responses(),
        "schemas" => Tree::Map(schemas.chain([("Problem".to_owned(), problem())]).collect()),
    }
}

fn security_schemes() -> Tree {
    let bearer = |description: String| {
        map! { "type" => "http", "scheme" => "bearer", "description" => description }
    };
    map! {
        scheme(TokenKind::Client) => bearer(
            "A client token, of `wattline token create`. It opens all of a client's data and is for servers only. \
             It never expires; `wattline token revoke` ends it within seconds."
                .to_owned(),
        ),
        scheme(TokenKind::Site) => bearer(format!(
            "A site token, of `POST /v1/auth/site/{{siteId}}`. It opens its own site for {} minutes, and no longer \
             than the client token that it was made with.",
            SITE_TOKEN_LIFE_S / 60
        )),
    }
}

fn parameters() -> Tree {
    let mut parameters = map! {
        "request_id" => map! {
            "name" => "X-Request-Id",
            "in" => "header",
            "schema" => map! { "type" => "string" },
            "description" => "Names the request in its answer, in the logs and in Kafka. Used where it is 1 to 64 \
                letters, digits, `-`, `_` and `.`; otherwise the gateway makes one.",
        },
        "skip" => page("skip", 0, u32::MAX, 0, "So many sites are left out first."),
        "limit" => page("limit", 1, SITES_PAGE_MAX, SITES_PAGE, "So many sites at most."),
    };
    for name in ENDPOINTS.iter().flat_map(path_parameters) {
        if parameters.get(name).is_some() {
            continue;
        }
        let (id, description) = match name {
            "siteId" => (schema("Id"), "The client's own id of the site, percent-encoded."),
            "deviceId" => (schema("Id"), "The client's own id of the device, percent-encoded."),
            _ => (
                map! { "type" => "string", "minLength" => 1 },
                "An id of the service behind, percent-encoded.",
            ),
        };
        let parameter = map! {
            "name" => name,
            "in" => "path",
            "required" => true,
            "schema" => id,
            "description" => description,
        };
        parameters.push(name, parameter);
    }
    parameters
}

fn page(name: &str, minimum: u32, maximum: u32, default: u32, description: &str) -> Tree {
    map! {
        "name" => name,
        "in" => "query",
        "schema" => map! {
            "type" => "integer",
            "minimum" => minimum,
            "maximum" => maximum,
            "default" => default,
        },
        "description" => description,
    }
}

fn headers() -> Tree {
    let header = |is_required: bool, schema: Tree, description: &str| {
        map! { "required" => is_required, "schema" => schema, "description" => description }
    };
    let text = |value: &str| map! { "type" => "string", "const" => value };
    map! {
        "X-Request-Id" => header(
            true,
            map! { "type" => "string", "pattern" => "^[A-Za-z0-9_.-]{1,64}$" },
            "The name of the request, the caller's own where it gave a usable one.",
        ),
        "Cache-Control" => header(true, text("no-store"), "Answers are for their caller alone."),
        "X-Content-Type-Options" => header(true, text("nosniff"), "The type is the one that is said."),
        "WWW-Authenticate" => header(
            true,
            map! { "type" => "string", "pattern" => "^Bearer realm=" },
            "The challenge of RFC 6750, with its error code where a token was sent.",
        ),
        "WWW-Authenticate-Optional" => header(
            false,
            map! { "type" => "string", "pattern" => "^Bearer realm=" },
            "Where the token's place is what is wrong: the challenge of RFC 6750.",
        ),
        "Allow" => header(true, map! { "type" => "string" }, "The methods that the path takes."),
        "Retry-After" => header(
            true,
            map! { "type" => "integer", "minimum" => 1 },
            "Seconds after which to send the request again.",
        ),
        "Accept-Optional" => header(false, text("application/json"), "Where the type is what is wrong."),
        "Accept-Encoding-Optional" => header(
            false,
            map! { "type" => "string" },
            "The compressions that are understood, where that is what is wrong.",
        ),
    }
}

/// Every refusal that some endpoint gives, by status.
fn responses() -> Tree {
    let mut responses: Vec<(u16, &str, Tree)> = Vec::new();
    for endpoint in &ENDPOINTS {
        for (status, refusals) in answers::by_status(&refused::of(endpoint)) {
            let name = answers::name(status, &refusals);
            if !responses.iter().any(|(_, known, _)| *known == name) {
                responses.push((status, name, answers::refusal(status, &refusals)));
            }
        }
    }
    responses.sort_by_key(|(status, name, _)| (*status, *name));
    let responses = responses.into_iter().map(|(_, name, response)| (name.to_owned(), response));
    Tree::Map(responses.chain([("UpstreamAnswer".to_owned(), answers::upstream())]).collect())
}

fn problem() -> Tree {
    let text = |description: &str| map! { "type" => "string", "description" => description };
    map! {
        "type" => "object",
        "description" => "Why a request as a whole is refused (RFC 9457). No text repeats what the caller sent.",
        "required" => ["type", "title", "status", "detail", "message", "code", "request_id"],
        "properties" => map! {
            "type" => text("A URI; `about:blank`."),
            "title" => text("The kind of problem."),
            "status" => map! { "type" => "integer", "description" => "The status of the answer." },
            "detail" => text("What is wrong, for a person."),
            "message" => text("The same as `detail`."),
            "code" => text("What is wrong, for a program."),
            "request_id" => text("The answer's `X-Request-Id`."),
            "offset" => map! {
                "type" => "integer",
                "minimum" => 0,
                "description" => "With `MALFORMED_JSON`: the byte of the decompressed body where it went wrong.",
            },
            "errors" => map! {
                "type" => "array",
                "description" => "With `VALIDATION_ERROR`: the rules that are broken, and where.",
                "items" => map! {
                    "type" => "object",
                    "required" => ["message", "path"],
                    "properties" => map! {
                        "message" => map! { "type" => "string" },
                        "path" => map! { "type" => "string" },
                    },
                },
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn responses_of_one_name_are_the_same() {
        let mut known = BTreeMap::new();
        for endpoint in &ENDPOINTS {
            for (status, refusals) in answers::by_status(&refused::of(endpoint)) {
                let name = answers::name(status, &refusals);
                let first = known.entry(name).or_insert_with(|| refusals.clone());
                assert_eq!(*first, refusals, "{name} of {}", endpoint.name);
            }
        }
    }
}
