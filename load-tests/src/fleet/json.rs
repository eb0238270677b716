//! The JSON of one point, written straight into the body.
//!
//! A serialiser would cost more than the gateway spends on reading the point again; the shapes are
//! fixed, so they are spelled out here.

use super::{Flaw, INTERVAL_S, Interval, Kind};

/// Where a point's time stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimePlace {
    Point,
    /// The older shape: the wrapper's `start_time` and `duration_s` apply.
    Wrapper,
}

pub(super) fn point(out: &mut Vec<u8>, kind: Kind, interval: &Interval, flaw: Option<Flaw>, time: TimePlace) {
    out.push(b'{');
    match kind {
        Kind::Battery if time == TimePlace::Wrapper => {}
        Kind::Battery => {
            start_and_duration(out, interval);
            out.push(b',');
        }
        Kind::BatteryCounter => {
            out.extend_from_slice(b"\"timestamp\":\"");
            date_time(out, interval.end_s(), interval.device);
            out.extend_from_slice(b"\",");
        }
    }
    out.extend_from_slice(b"\"device_id\":\"");
    device_id(out, interval.device, flaw);
    if interval.is_online {
        online(out, kind, interval, flaw);
    } else {
        offline(out, kind, interval);
    }
    out.push(b'}');
}

pub(super) fn start_and_duration(out: &mut Vec<u8>, interval: &Interval) {
    out.extend_from_slice(b"\"start_time\":\"");
    date_time(out, interval.start_s, interval.device);
    out.extend_from_slice(b"\",\"duration_s\":");
    integer(out, u64::from(INTERVAL_S));
}

fn online(out: &mut Vec<u8>, kind: Kind, interval: &Interval, flaw: Option<Flaw>) {
    let total_mwh = match kind {
        Kind::Battery => interval.energy_mwh.map(u64::from),
        Kind::BatteryCounter => interval.counters_mwh,
    };
    let power_mw = interval.power_mw.map(u64::from);
    let soc_milli_percent = u64::from(interval.stored_mwh) * 10_000 / u64::from(interval.capacity_mwh) * 10;

    out.extend_from_slice(b"\",\"last_is_online\":true,\"last_mode\":");
    match interval.mode {
        Some(mode) => {
            out.push(b'"');
            out.extend_from_slice(mode.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"battery_last_power_charge_w\":");
    thousandths(out, power_mw[0]);
    out.extend_from_slice(b",\"battery_last_power_discharge_w\":");
    thousandths(out, power_mw[1]);
    out.extend_from_slice(b",\"battery_total_energy_charge_wh\":");
    thousandths(out, total_mwh[0]);
    out.extend_from_slice(b",\"battery_total_energy_discharge_wh\":");
    thousandths(out, total_mwh[1]);
    if flaw != Some(Flaw::MissingField) {
        out.extend_from_slice(b",\"battery_last_stored_energy_wh\":");
        thousandths(out, u64::from(interval.stored_mwh));
    }
    out.extend_from_slice(b",\"battery_last_capacity_energy_wh\":");
    thousandths(out, u64::from(interval.capacity_mwh));
    out.extend_from_slice(b",\"last_is_grid_online\":");
    out.extend_from_slice(if interval.is_grid_online { b"true" } else { b"false" });
    out.extend_from_slice(b",\"home_total_energy_wh\":");
    thousandths(out, total_mwh[2]);
    out.extend_from_slice(b",\"home_last_power_w\":");
    if flaw == Some(Flaw::NegativeNumber) {
        out.extend_from_slice(b"-1");
    } else {
        thousandths(out, power_mw[2]);
    }
    out.extend_from_slice(b",\"solar_total_energy_wh\":");
    thousandths(out, total_mwh[3]);
    out.extend_from_slice(b",\"solar_last_power_w\":");
    thousandths(out, power_mw[3]);
    out.extend_from_slice(b",\"battery_last_state_of_charge_percentage\":");
    if flaw == Some(Flaw::StateOfChargeOver100) {
        out.extend_from_slice(b"130");
    } else {
        thousandths(out, soc_milli_percent);
    }
    out.extend_from_slice(b",\"battery_last_state_of_health_percentage\":");
    thousandths(out, u64::from(interval.health_centi_percent) * 10);
    out.extend_from_slice(b",\"battery_last_backup_reserve_percentage\":");
    integer(out, u64::from(interval.reserve_percent));
    if (interval.noise >> 20) & 127 == 0 {
        raw_data(out, interval);
    }
}

/// An offline point knows nothing; half of the devices say so by nulls and half by leaving out
/// what may be left out. The four counters of an offline reading are always written as nulls.
fn offline(out: &mut Vec<u8>, kind: Kind, interval: &Interval) {
    out.extend_from_slice(b"\",\"last_is_online\":false");
    if kind == Kind::Battery && interval.device & 2 != 0 {
        return;
    }
    out.extend_from_slice(
        b",\"last_mode\":null\
          ,\"battery_last_power_charge_w\":null,\"battery_last_power_discharge_w\":null\
          ,\"battery_total_energy_charge_wh\":null,\"battery_total_energy_discharge_wh\":null\
          ,\"battery_last_stored_energy_wh\":null,\"battery_last_capacity_energy_wh\":null\
          ,\"last_is_grid_online\":null,\"home_total_energy_wh\":null,\"home_last_power_w\":null\
          ,\"solar_total_energy_wh\":null,\"solar_last_power_w\":null\
          ,\"battery_last_state_of_charge_percentage\":null\
          ,\"battery_last_state_of_health_percentage\":null",
    );
}

fn raw_data(out: &mut Vec<u8>, interval: &Interval) {
    out.extend_from_slice(
        b",\"oem_raw_data\":{\"firmware\":\"4.2.17\",\"inverter\":{\"state\":\"RUN\",\"faults\":[]}\
          ,\"cell_temperature_c\":[",
    );
    for cell in 0..4 {
        if cell > 0 {
            out.push(b',');
        }
        thousandths(out, 20_000 + ((interval.noise >> (8 * cell)) & 63) * 100);
    }
    out.extend_from_slice(b"]}");
}

/// A flawed id never begins with `bat-`, so no import makes it known.
pub(super) fn device_id(out: &mut Vec<u8>, index: u32, flaw: Option<Flaw>) {
    out.extend_from_slice(if flaw == Some(Flaw::UnknownDevice) { b"nobody-" } else { b"bat-" });
    let number = u64::from(index) + 1;
    let mut least = 100_000;
    while number < least {
        out.push(b'0');
        least /= 10;
    }
    integer(out, number);
}

/// RFC 3339. Clients differ, and so do these devices: most write `Z`, some add milliseconds, some
/// write an offset.
pub(super) fn date_time(out: &mut Vec<u8>, time_s: u32, device: u32) {
    seconds(out, time_s);
    out.extend_from_slice(match device % 16 {
        14 => b".000Z",
        15 => b"+00:00",
        _ => b"Z",
    });
}

/// `2026-11-24T03:10:00`, by the civil-from-days rule of the proleptic Gregorian calendar.
fn seconds(out: &mut Vec<u8>, time_s: u32) {
    let (days, of_day) = (time_s / 86_400, time_s % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00";
    for (place, value) in [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, of_day / 3_600),
        (14, of_day / 60 % 60),
        (17, of_day % 60),
    ] {
        text[place] = b'0' + (value / 10) as u8;
        text[place + 1] = b'0' + (value % 10) as u8;
    }
    out.extend_from_slice(&text);
}

fn thousandths(out: &mut Vec<u8>, value: u64) {
    integer(out, value / 1_000);
    let rest = (value % 1_000) as u16;
    if rest == 0 {
        return;
    }
    let digits = [b'.', b'0' + (rest / 100) as u8, b'0' + (rest / 10 % 10) as u8, b'0' + (rest % 10) as u8];
    let kept = match (rest % 100, rest % 10) {
        (0, _) => 2,
        (_, 0) => 3,
        _ => 4,
    };
    out.extend_from_slice(&digits[..kept]);
}

fn integer(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}
