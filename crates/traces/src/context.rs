//! The `traceparent` of W3C Trace Context, level 1.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The bytes of version 00; a later version may have more behind them.
const LEN: usize = 55;

/// None where it is none, as the standard demands: whoever reads it goes on as if it were not there.
pub(crate) fn parse(text: &[u8]) -> Option<SpanContext> {
    let (head, rest) = text.split_at_checked(LEN)?;
    let dashes = [2, 35, 52].iter().all(|&at| head[at] == b'-');
    let [version, trace_id, span_id, flags] = [&head[..2], &head[3..35], &head[36..52], &head[53..]];
    let version = hex(version)?;
    let goes_on = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    if !dashes || !goes_on {
        return None;
    }
    let trace_id = TraceId::from(hex(trace_id)?);
    let span_id = SpanId::from(hex(span_id)? as u64);
    let flags = TraceFlags::new(hex(flags)? as u8 & TraceFlags::SAMPLED.to_u8());
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

pub(crate) fn text(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
}

/// Up to 32 digits; capitals are not allowed.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = parse(GOOD.as_bytes()).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(text(&context), GOOD);
        assert!(!parse(GOOD.replace("-01", "-00").as_bytes()).unwrap().is_sampled());
        // Flags that are not known yet are left aside.
        assert_eq!(text(&parse(GOOD.replace("-01", "-03").as_bytes()).unwrap()), GOOD);
        // So is what a later version has more.
        let later = format!("cc{}-what-the-future-brings", &GOOD[2..]);
        assert_eq!(text(&parse(later.as_bytes()).unwrap()), GOOD);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let zeroes = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]
            .map(|id| GOOD.replace(id, &"0".repeat(id.len())));
        let bad = [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("ff{}", &GOOD[2..]),
            format!("cc{}x", &GOOD[2..]),
            GOOD.replace("4bf9", "4BF9"),
            GOOD.replace("4bf9", "+bf9"),
            GOOD.replacen('-', "_", 1),
            GOOD.replace("-01", "-0g"),
            "ä".repeat(40),
        ];
        for text in bad.iter().chain(&zeroes) {
            assert!(parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
