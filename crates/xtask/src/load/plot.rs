//! A plot of lines over the seconds of a run, as SVG that takes its colours from the page.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
/// Room for the names at the ends of the lines.
const RIGHT: f64 = 96.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// Names at the ends of lines are at least so far apart.
const NAME_GAP: f64 = 14.0;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// For values of very different size; what is zero is left out.
    Log,
}

pub struct Series {
    pub name: &'static str,
    /// Seconds, and the value then.
    pub points: Vec<(f64, f64)>,
}

pub struct Plot {
    pub title: &'static str,
    pub unit: &'static str,
    pub scale: Scale,
    /// Where the axis of time ends, so that plots can be read one below the other.
    pub seconds: f64,
    pub series: Vec<Series>,
}

/// The values at the ends of an axis, and those at its lines.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Plot {
    pub fn svg(&self) -> String {
        let seconds = self.seconds;
        let axis = match self.scale {
            Scale::Linear => linear(self.largest()),
            Scale::Log => logarithmic(self.smallest(), self.largest()),
        };
        let x = |time: f64| LEFT + (WIDTH - LEFT - RIGHT) * time / seconds;
        let y = |value: f64| {
            let share = match self.scale {
                Scale::Linear => value / axis.high,
                Scale::Log => (value / axis.low).log10() / (axis.high / axis.low).log10(),
            };
            TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share)
        };
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} in {}\">\n",
            self.title, self.unit
        );
        for tick in &axis.ticks {
            let at = y(*tick);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                short(*tick)
            );
        }
        for tick in linear(seconds).ticks.iter().filter(|tick| **tick <= seconds) {
            let _ = writeln!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} s</text>",
                x(*tick),
                HEIGHT - 8.0,
                short(*tick)
            );
        }
        for (number, series) in self.series.iter().enumerate() {
            let points: Vec<String> =
                self.shown(series).map(|(time, value)| format!("{:.1},{:.1}", x(time), y(value))).collect();
            let _ =
                writeln!(svg, "<polyline class=\"line s{}\" points=\"{}\"/>", number + 1, points.join(" "));
        }
        self.write_names(&mut svg, y);
        self.write_readings(&mut svg, x);
        svg + "</svg>\n"
    }

    fn shown<'a>(&self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        let is_log = self.scale == Scale::Log;
        series.points.iter().copied().filter(move |(_, value)| !is_log || *value > 0.0)
    }

    fn all(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| self.shown(series))
    }

    fn largest(&self) -> f64 {
        self.all().map(|(_, value)| value).fold(0.0, f64::max)
    }

    fn smallest(&self) -> f64 {
        self.all().map(|(_, value)| value).fold(f64::INFINITY, f64::min)
    }

    /// Each line's name at its end, moved apart where ends meet.
    fn write_names(&self, svg: &mut String, y: impl Fn(f64) -> f64) {
        let mut names: Vec<(f64, usize)> = self
            .series
            .iter()
            .enumerate()
            .filter_map(|(number, series)| Some((y(self.shown(series).last()?.1), number)))
            .collect();
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let lowest = HEIGHT - BOTTOM;
        let mut free = TOP;
        let count = names.len();
        for (place, (at, number)) in names.into_iter().enumerate() {
            let rest = (count - place - 1) as f64 * NAME_GAP;
            let at = at.max(free).min(lowest - rest);
            free = at + NAME_GAP;
            let _ = writeln!(
                svg,
                "<text class=\"name s{}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                number + 1,
                WIDTH - RIGHT + 8.0,
                at + 4.0,
                self.series[number].name
            );
        }
    }

    /// What the lines say at each second, for who points at it.
    fn write_readings(&self, svg: &mut String, x: impl Fn(f64) -> f64) {
        let Some(longest) = self.series.iter().max_by_key(|series| series.points.len()) else { return };
        for (index, (time, _)) in longest.points.iter().enumerate() {
            let next = longest.points.get(index + 1).map_or(time + 1.0, |point| point.0);
            let mut reading = format!("{time:.0} s");
            for series in &self.series {
                if let Some((_, value)) = series.points.get(index) {
                    let _ = write!(reading, "\n{}: {} {}", series.name, short(*value), self.unit);
                }
            }
            let _ = writeln!(
                svg,
                "<rect class=\"reading\" x=\"{:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\">\
                 <title>{reading}</title></rect>",
                x(*time),
                (x(next) - x(*time)).max(1.0),
                HEIGHT - TOP - BOTTOM
            );
        }
    }
}

/// From zero to the first line above the largest value, in steps of 1, 2 or 5.
fn linear(largest: f64) -> Axis {
    const LINES: f64 = 5.0;
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let decade = 10f64.powf((largest / LINES).log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|times| times * decade).into_iter().find(|step| step * LINES >= largest);
    let step = step.unwrap_or(largest);
    let count = (largest / step).ceil() as usize;
    Axis { low: 0.0, high: step * count as f64, ticks: (0..=count).map(|tick| step * tick as f64).collect() }
}

/// Whole powers of ten around the values.
fn logarithmic(smallest: f64, largest: f64) -> Axis {
    let smallest = if smallest.is_finite() { smallest } else { 1.0 };
    let first = smallest.log10().floor() as i32;
    let last = (largest.max(smallest).log10().ceil() as i32).max(first + 1);
    let power = |exponent: i32| 10f64.powi(exponent);
    Axis { low: power(first), high: power(last), ticks: (first..=last).map(power).collect() }
}

/// A number in the width of an axis: 30k for 30000.
pub fn short(value: f64) -> String {
    let (divided, suffix) = match value.abs() {
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = if divided.abs() >= 100.0 { format!("{divided:.0}") } else { format!("{divided:.2}") };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.5, 12.345, 999.6, 30_000.0, 1_234_567.0].map(short);
        assert_eq!(shown, ["0", "0.5", "12.35", "1000", "30k", "1.23M"]);
    }

    #[test]
    fn axes_hold_their_values() {
        assert_eq!(linear(23_000.0).ticks, [0.0, 5e3, 10e3, 15e3, 20e3, 25e3]);
        assert_eq!(linear(0.0).high, 1.0);
        let axis = logarithmic(0.4, 250.0);
        assert_eq!((axis.low, axis.high), (0.1, 1_000.0));
    }

    #[test]
    fn every_value_lies_inside_the_plot() {
        for scale in [Scale::Linear, Scale::Log] {
            let points = vec![(1.0, 3.0), (2.0, 0.0), (3.0, 4_000.0)];
            let plot = Plot {
                title: "a",
                unit: "b",
                scale,
                seconds: 4.0,
                series: vec![Series { name: "c", points }],
            };
            let svg = plot.svg();
            let line = svg.lines().find(|line| line.starts_with("<polyline")).expect("a line");
            let points =
                line.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("points");
            for point in points.split(' ') {
                let (x, y) = point.split_once(',').expect("two numbers");
                let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
                assert!(
                    (LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y),
                    "{point}"
                );
            }
        }
    }
}
