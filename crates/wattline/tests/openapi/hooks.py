"""What schemathesis cannot know of Wattline: how a site token is come by, and what a FAILED point means."""

import itertools
import json
import os
import urllib.error
import urllib.parse
import urllib.request

import jsonschema_rs
import schemathesis
import yaml

TIMEOUT_S = 10
URL = os.environ["WATTLINE_URL"]
CLIENT_TOKEN = os.environ["WATTLINE_CLIENT_TOKEN"]
KNOWN_SITE = "home"

with open(os.environ["WATTLINE_OPENAPI"], encoding="utf-8") as file:
    DOCUMENT = yaml.safe_load(file)


@schemathesis.auth(refresh_interval=None)
class Tokens:
    """The client token, or a site token for the site that a request names. For a site that is unknown it is one
    of another site, which has to be refused."""

    def __init__(self):
        self.of_sites = {}

    def get(self, case, context):
        if {"clientToken": []} in case.operation.definition.raw["security"]:
            return CLIENT_TOKEN
        site = urllib.parse.unquote(str((case.path_parameters or {}).get("siteId", KNOWN_SITE)))
        return self.of_site(site) or self.of_site(KNOWN_SITE)

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"

    def of_site(self, site):
        if site not in self.of_sites:
            token = mint(site)
            # One that is unknown now may be commissioned later.
            if token is None:
                return None
            self.of_sites[site] = token
        return self.of_sites[site]


def mint(site):
    request = urllib.request.Request(
        f"{URL}/v1/auth/site/{urllib.parse.quote(site, safe='')}",
        method="POST",
        headers={"Authorization": f"Bearer {CLIENT_TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return json.load(response)["site_access_token"]
    except urllib.error.HTTPError:
        return None


NUMBERS = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps apart what a schema cannot keep apart."""
    phase = case.meta.phase.name.value if case.meta else ""
    if case.operation.path == "/v1/commission" and isinstance(case.body, dict):
        # The coverage phase sends one site again and again, which is a 409 and no more after the first time; the
        # stateful one goes on from a site that was made. Both get new ones. Fuzzing draws its own.
        with_new_ids(case.body, is_new=phase in ("coverage", "stateful"))
    is_known = str((case.path_parameters or {}).get("deviceId")).startswith("device-")
    if case.operation.method == "delete" and is_known and phase != "stateful":
        # The devices of the dictionary are for all endpoints; these are for this one.
        case.path_parameters["deviceId"] = f"spare-{next(NUMBERS)}"


def with_new_ids(body, is_new):
    """That the devices of a site have different ids is a rule that a schema cannot tell."""
    devices = body.get("devices")
    devices = devices if isinstance(devices, list) else []
    number = next(NUMBERS)
    seen = set()
    for place, named in enumerate([body.get("site"), *devices]):
        if not isinstance(named, dict) or not isinstance(named.get("id"), str):
            continue
        # The empty one and the too long one are meant to be refused.
        if not 1 <= len(named["id"].encode(errors="replace")) <= 128:
            continue
        if is_new or named["id"] in seen:
            named["id"] = f"{named['id'][:16]}-{number}-{place}"
        if place > 0:
            seen.add(named["id"])


def validators():
    """For each telemetry endpoint what a point is, in the shape of its request."""
    schemas = {"components": DOCUMENT["components"]}

    def validator(name):
        schema = {**schemas, "$ref": f"#/components/schemas/{name}"}
        return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)

    return {
        "/v1/telemetry/BATTERY": (validator("BatteryPoint"), validator("BatteryFields"), ("start_time", "duration_s")),
        "/v1/telemetry/BATTERY_COUNTER": (
            validator("BatteryCounterReading"),
            validator("BatteryCounterFields"),
            ("timestamp",),
        ),
    }


VALIDATORS = validators()
# What a schema does not tell: who owns a device, when a time is, how long a text is in bytes.
BEYOND_SCHEMAS = (
    "unknown device",
    "device_id must be a battery's",
    "is too far in the past",
    "is too far in the future",
    "must have from 1 to 128 bytes",
    "must have at most 8192 bytes",
    "the resolution is 0.001",
)


@schemathesis.check
def points_are_judged_by_their_schema(ctx, response, case):
    """A point that breaks its schema is FAILED, and one that keeps it fails only by what a schema cannot tell."""
    path = case.operation.path
    if path not in VALIDATORS or response.status_code != 200:
        return
    sent = json.loads(response.request.body)
    answers = response.json()
    points = sent["telemetry"]
    assert len(answers) == len(points), f"{len(answers)} answers to {len(points)} points"
    whole, fields, beside = VALIDATORS[path]
    # In the older shape a point may lack what stands beside it. What is no such value there is another matter.
    is_older = any(sent.get(name) is not None for name in beside)
    for place, (point, answer) in enumerate(zip(points, answers)):
        is_valid = (fields if is_older else whole).is_valid(point)
        is_ok = answer["status"] == "OK"
        assert is_valid or not is_ok, f"point {place} breaks its schema and is OK: {point}"
        if is_valid and not is_ok and not is_older:
            message = answer["message"]
            assert any(known in message for known in BEYOND_SCHEMAS), f"point {place} keeps its schema: {message}"


DELETED = set()


@schemathesis.check
def what_is_commissioned_is_there(ctx, response, case):
    """ensure_resource_availability asks this where a path leads on from the path that created, as no path does here."""
    names = case.path_parameters or {}
    site, device = (urllib.parse.unquote(str(names[name])) if name in names else None for name in ("siteId", "deviceId"))
    if case.operation.method == "delete" and response.status_code == 204:
        DELETED.add((site, device))
    parent = ctx.internals.find_parent(case_id=case.id)
    if parent is None or parent.operation.path != "/v1/commission" or case.operation.method != "get":
        return
    created = ctx.internals.find_response(case_id=parent.id)
    if created is None or created.status_code != 200 or site != parent.body["site"]["id"]:
        return
    devices = {None, *(created["id"] for created in parent.body["devices"])}
    if device in devices and (site, device) not in DELETED:
        assert response.status_code not in (403, 404), f"{response.status_code} for what was commissioned"
