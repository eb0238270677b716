//! Named steps at which a test can make the process die, as if it were killed there.
//!
//! A process that nobody armed pays one atomic load a step. It must not know what the steps are for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    step: String,
    /// Passes that are left, the deadly one included.
    left: AtomicU32,
}

/// The text to arm with is no `STEP` and no `STEP:PASSES`.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Arms one step, once a process: `STEP` dies at its first pass, `STEP:3` at its third.
pub fn arm(text: &str) -> Result<(), Malformed> {
    let armed = parse(text).ok_or(Malformed)?;
    if ARMED.set(armed).is_ok() {
        IS_ARMED.store(true, Ordering::Release);
    }
    Ok(())
}

fn parse(text: &str) -> Option<Armed> {
    let (step, passes) = match text.split_once(':') {
        Some((step, passes)) => (step, passes.parse().ok().filter(|&passes| passes > 0)?),
        None => (text, 1),
    };
    (!step.is_empty()).then(|| Armed { step: step.to_owned(), left: AtomicU32::new(passes) })
}

/// Passes a step; the process ends here, without any clean-up, when it is the armed one's turn.
#[inline]
pub fn pass(step: &str) {
    if IS_ARMED.load(Ordering::Acquire) {
        pass_armed(step);
    }
}

#[cold]
fn pass_armed(step: &str) {
    let Some(armed) = ARMED.get().filter(|armed| armed.step == step) else { return };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_may_say_at_which_pass() {
        assert!(parse("announced").is_some_and(|armed| armed.left.into_inner() == 1));
        assert!(
            parse("announced:3")
                .is_some_and(|armed| armed.step == "announced" && armed.left.into_inner() == 3)
        );
        for malformed in ["", ":1", "announced:", "announced:0", "announced:x"] {
            assert!(parse(malformed).is_none(), "{malformed}");
        }
    }
}
