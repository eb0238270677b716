use proptest::prelude::*;

use super::*;
use crate::api::{Device, DeviceChange, DeviceDetails, DeviceType, Site, SiteChange, SiteDetails};

fn violations<T: std::fmt::Debug>(parsed: Result<T, BodyError>) -> Vec<(String, &'static str)> {
    match parsed.expect_err("refused") {
        BodyError::Invalid(violations) => {
            violations.into_iter().map(|violation| (violation.path, violation.rule)).collect()
        }
        BodyError::Malformed(malformed) => panic!("malformed: {malformed}"),
    }
}

fn commission(json: &str) -> Result<Commission, BodyError> {
    Commission::parse(json.as_bytes())
}

const FULL: &str = r#"{
    "site": {"id":"site/1","first_name":"Ada","last_name":null,"email":"ada@example.com","state_code":"PR",
        "city":"San Juan","zip_code":"00901","street_address":"1 Calle","street_address2":"","company_name":"C",
        "service_account_id":"sa","created_at":"ignored","loyalty":{"deep":[1]}},
    "devices": [
        {"id":"bat-1","type":"BATTERY","site_id":"site/1","manufacturer_name":"M","product_name":"P",
         "serial_number":"S","attributes":{"battery_capacity_wh":13500,"battery_power_input_w":5000.5,
         "battery_power_output_w":0,"chemistry":"LFP"},"configuration":{"reserve_percentage":20},
         "install_date":"2026-01-31"},
        {"id":"ev-1","type":"EV_CHARGER","attributes":null,"install_date":"2026-01-31T10:00:00-05:00"}
    ],
    "can_auto_enroll": true, "unknown": [] }"#;

#[test]
fn a_full_body_is_taken_and_unknown_fields_are_ignored() {
    let taken = commission(FULL).expect("valid");
    assert_eq!(taken.site.id, "site/1");
    assert_eq!(taken.site.details.get("first_name"), Some("Ada"));
    assert_eq!(taken.site.details.get("last_name"), None);
    assert_eq!(taken.site.details.get("street_address2"), Some(""));
    assert!(taken.can_auto_enroll);
    let battery = DeviceDetails {
        device_type: DeviceType::Battery,
        manufacturer_name: Some("M".into()),
        product_name: Some("P".into()),
        serial_number: Some("S".into()),
        install_date: Some("2026-01-31".into()),
        battery_capacity_wh: Some(13500.0),
        battery_power_input_w: Some(5000.5),
        battery_power_output_w: Some(0.0),
        reserve_percentage: Some(20.0),
    };
    assert_eq!(taken.devices[0].details, battery);
    let charger = DeviceDetails {
        device_type: DeviceType::EvCharger,
        install_date: Some("2026-01-31T10:00:00-05:00".into()),
        ..DeviceDetails::default()
    };
    assert_eq!(taken.devices[1].details, charger);
    let bare = commission(r#"{"site":{"id":"s"},"devices":[]}"#).expect("valid");
    assert!(bare.devices.is_empty() && !bare.can_auto_enroll);
}

#[test]
fn every_broken_rule_is_named_with_its_path() {
    let broken = commission(
        r#"{"site":{"id":"","email":"x@","state_code":"DC","city":7,"city":8,"zip_code":"1\u0000"},
            "devices":[
                {"id":"a","type":"BATTERY","attributes":{"battery_capacity_wh":-1,"battery_power_input_w":1e8}},
                {"id":"a","type":"WIND","configuration":{"reserve_percentage":"20"},"install_date":"31.1.2026"},
                {"type":null,"attributes":[]},
                7
            ],
            "can_auto_enroll":"yes"}"#,
    );
    let expected = [
        ("site.id", "must be 1 to 128 bytes without control characters"),
        ("site.email", "must be an e-mail address"),
        ("site.state_code", "must be the two letters of one of the 50 states or PR"),
        ("site.city", "must not be given twice"),
        ("site.zip_code", "must be at most 256 bytes without control characters"),
        ("devices[0].attributes.battery_capacity_wh", "must be a number from 0 to 1,000,000,000"),
        ("devices[0].attributes.battery_power_input_w", "must be a number from 0 to 10,000,000"),
        ("devices[1].type", "must be BATTERY or EV_CHARGER"),
        ("devices[1].install_date", "must be an RFC 3339 date, or date and time"),
        ("devices[1].configuration.reserve_percentage", "must be a number from 0 to 100"),
        ("devices[2].id", "is required"),
        ("devices[2].type", "is required"),
        ("devices[2].attributes", "must be an object"),
        ("devices[3]", "must be an object"),
        ("can_auto_enroll", "must be true, false or null"),
    ];
    let expected: Vec<_> = expected.map(|(path, rule)| (path.to_owned(), rule)).into();
    assert_eq!(violations(broken), expected);

    let refused = |json: &str| violations(commission(json)).remove(0);
    assert_eq!(refused("[]"), (String::new(), "must be an object"));
    assert_eq!(refused(r#"{"devices":[]}"#), ("site".into(), "is required"));
    assert_eq!(refused(r#"{"site":{"id":"s"},"devices":null}"#), ("devices".into(), "is required"));
    let twice = r#"{"site":{"id":"s"},"devices":[{"id":"a","type":"BATTERY"},{"id":"a","type":"BATTERY"}]}"#;
    assert_eq!(refused(twice), ("devices[1].id".into(), "must not be another device's of this request"));
    let elsewhere = r#"{"site":{"id":"s"},"devices":[{"id":"a","type":"BATTERY","site_id":"t"}]}"#;
    assert_eq!(refused(elsewhere), ("devices[0].site_id".into(), "cannot be changed"));
    let device = r#"{"id":"a","type":"x"}"#;
    let many = |count| format!(r#"{{"site":{{"id":"s"}},"devices":[{}]}}"#, vec![device; count].join(","));
    assert_eq!(refused(&many(1_001)), ("devices".into(), "must be at most 1,000 devices"));
    assert_eq!(violations(commission(&many(1_000))).len(), crate::api::VIOLATIONS_MAX);
}

#[test]
fn a_change_keeps_what_is_absent_and_empties_what_is_null() {
    let mut site = commission(FULL).expect("valid").site.details;
    let before = site.clone();
    SiteChange::parse(b"{}", "s").expect("valid").apply(&mut site);
    assert_eq!(site, before);
    let change = br#"{"id":"s","first_name":null,"city":"Ponce","created_at":7,"new":1}"#;
    SiteChange::parse(change, "s").expect("valid").apply(&mut site);
    assert_eq!((site.get("first_name"), site.get("city")), (None, Some("Ponce")));
    assert_eq!(site.get("email"), Some("ada@example.com"));
    assert_eq!(violations(SiteChange::parse(change, "t")), [("id".to_owned(), "cannot be changed")]);

    let mut device = commission(FULL).expect("valid").devices.remove(0).details;
    let change =
        br#"{"attributes":{"battery_capacity_wh":null,"battery_power_input_w":7},"type":"EV_CHARGER"}"#;
    DeviceChange::parse(change, "s", "d").expect("valid").apply(&mut device);
    assert_eq!((device.battery_capacity_wh, device.battery_power_input_w), (None, Some(7.0)));
    assert_eq!((device.battery_power_output_w, device.device_type), (Some(0.0), DeviceType::EvCharger));
    DeviceChange::parse(br#"{"attributes":null,"configuration":null}"#, "s", "d")
        .expect("valid")
        .apply(&mut device);
    assert_eq!((device.battery_power_output_w, device.reserve_percentage), (None, None));
    assert_eq!(device.manufacturer_name.as_deref(), Some("M"));
    let null_type = DeviceChange::parse(br#"{"type":null,"site_id":"other"}"#, "s", "d");
    let rules: Vec<_> = violations(null_type).into_iter().map(|(path, _)| path).collect();
    assert_eq!(rules, ["site_id", "type"]);
}

#[test]
fn what_is_shown_has_every_field_of_the_contract() {
    let taken = commission(FULL).expect("valid");
    let at = jiff::Timestamp::from_second(1_795_000_000).expect("a time");
    let site = Site { id: "s".into(), details: taken.site.details, created_at: at, updated_at: at };
    let expected = serde_json::json!({
        "id": "s", "first_name": "Ada", "last_name": null, "email": "ada@example.com", "state_code": "PR",
        "city": "San Juan", "zip_code": "00901", "street_address": "1 Calle", "street_address2": "",
        "company_name": "C", "service_account_id": "sa",
        "created_at": "2026-11-18T11:06:40Z", "updated_at": "2026-11-18T11:06:40Z",
    });
    assert_eq!(serde_json::to_value(&site).expect("JSON"), expected);
    let device = Device {
        id: "d".into(),
        site_id: "s".into(),
        details: taken.devices[0].details.clone(),
        created_at: at,
        updated_at: at,
    };
    let expected = serde_json::json!({
        "id": "d", "site_id": "s", "manufacturer_name": "M", "product_name": "P", "serial_number": "S",
        "type": "BATTERY",
        "attributes": { "battery_capacity_wh": 13500.0, "battery_power_input_w": 5000.5, "battery_power_output_w": 0.0 },
        "configuration": { "reserve_percentage": 20.0 }, "install_date": "2026-01-31",
        "created_at": "2026-11-18T11:06:40Z", "updated_at": "2026-11-18T11:06:40Z",
    });
    assert_eq!(serde_json::to_value(&device).expect("JSON"), expected);
}

proptest! {
    /// What is shown of a site, sent back as a change, changes nothing.
    #[test]
    fn a_site_read_and_sent_back_stays_as_it_is(values in prop::array::uniform10(prop::option::of("[a-z ]{0,20}"))) {
        let mut details = SiteDetails(values);
        details.0[2] = Some("a@b".into());
        details.0[3] = Some("CA".into());
        let at = jiff::Timestamp::UNIX_EPOCH;
        let site = Site { id: "s".into(), details: details.clone(), created_at: at, updated_at: at };
        let json = serde_json::to_vec(&site).expect("JSON");
        let mut other = SiteDetails::default();
        SiteChange::parse(&json, "s").expect("valid").apply(&mut other);
        prop_assert_eq!(other, details);
    }

    #[test]
    fn parsing_never_panics(body in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a-z0-9\\\\ ]{0,80}") {
        let _ = Commission::parse(&body);
        let _ = Commission::parse(text.as_bytes());
        let _ = DeviceChange::parse(text.as_bytes(), "s", "d");
    }
}
