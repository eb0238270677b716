//! What the way from a body to records takes from the heap.

use wattline_fleet::fleet::{self, Device};
use wattline_model::{Kind, Point};
use wattline_wire::record::{self, Header};
use wattline_wire::{Bounds, Decoder, Invalid, PointSink};

const FROM_S: u32 = 1_790_000_000;
const BOUNDS: Bounds = Bounds { oldest_ms: 0, newest_ms: i64::MAX };
const HEADER: Header<'static> =
    Header { client_id: "demo", request_id: "0123456789abcdef", received_at_ms: 0 };
/// For the record and what else a request has once.
const A_FEW: u64 = 20;

struct Encode {
    kind: Kind,
    record: Vec<u8>,
    points: usize,
}

impl<'a> PointSink<'a> for Encode {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        record::push(&mut self.record, self.kind, &point.expect("a point without flaws"));
        self.points += 1;
    }

    fn restart(&mut self) {
        self.record.clear();
        self.points = 0;
    }
}

/// One request into a record that may have room from the request before.
fn take(decoder: &mut Decoder, kind: Kind, body: &[u8], room: Vec<u8>) -> (Vec<u8>, usize) {
    let mut sink = Encode { kind, record: room, points: 0 };
    record::begin(&mut sink.record, &HEADER);
    decoder.decode(body, BOUNDS, &mut sink).expect("a body of the fleet");
    (sink.record, sink.points)
}

/// `cargo xtask bench` reads the line that is printed.
#[test]
#[expect(clippy::print_stdout, reason = "the measured figures are read by people and programs")]
fn a_point_takes_nothing_from_the_heap() {
    let (mut per_point, mut per_request) = (0.0f64, 0);
    for (kind, of_fleet) in
        [(Kind::Battery, fleet::Kind::Battery), (Kind::BatteryCounter, fleet::Kind::BatteryCounter)]
    {
        for points in [1, 100, 1_000] {
            let mut devices: Vec<Device> = (0..points as u32).map(|at| Device::new(7, at, FROM_S)).collect();
            let body = fleet::body(of_fleet, &mut devices, points);
            let mut decoder = Decoder::new(kind);
            let (mut room, _) = take(&mut decoder, kind, &body, Vec::new());
            room.clear();
            let steady = allocation_counter::measure(|| {
                let (_, taken) = take(&mut decoder, kind, &body, room);
                assert_eq!(taken, points);
            });
            let first = allocation_counter::measure(|| {
                take(&mut Decoder::new(kind), kind, &body, Vec::new());
            });
            per_point = per_point.max(steady.count_total as f64 / points as f64);
            per_request = per_request.max(first.count_total);
        }
    }
    println!("allocations: {{\"per_point\":{per_point},\"per_request\":{per_request}}}");
    assert_eq!(per_point, 0.0, "allocations a point");
    assert!(per_request <= A_FEW, "{per_request} allocations for a request");
}
