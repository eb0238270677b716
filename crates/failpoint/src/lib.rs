//! Named steps at which a test can make the process die, as if it were killed there, or stand still.
//!
//! A process that nobody armed pays one atomic load a step. It must not know what the steps are for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    step: String,
    /// Passes that are left, the armed one included.
    left: AtomicU32,
    effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Die,
    /// Stand still until somebody sends SIGCONT.
    Stop,
}

/// The text to arm with is no `STEP`, `STEP:PASSES` or `STEP:PASSES:stop`.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Arms one step, once a process: `STEP` dies at its first pass, `STEP:3` at its third, `STEP:3:stop` stands
/// still there.
pub fn arm(text: &str) -> Result<(), Malformed> {
    let armed = parse(text).ok_or(Malformed)?;
    if ARMED.set(armed).is_ok() {
        IS_ARMED.store(true, Ordering::Release);
    }
    Ok(())
}

fn parse(text: &str) -> Option<Armed> {
    let (text, effect) = match text.strip_suffix(":stop") {
        Some(text) => (text, Effect::Stop),
        None => (text, Effect::Die),
    };
    let (step, passes) = match text.split_once(':') {
        Some((step, passes)) => (step, passes.parse().ok().filter(|&passes| passes > 0)?),
        None => (text, 1),
    };
    (!step.is_empty()).then(|| Armed { step: step.to_owned(), left: AtomicU32::new(passes), effect })
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
    if armed.left.fetch_sub(1, Ordering::Relaxed) != 1 {
        return;
    }
    match armed.effect {
        Effect::Die => std::process::abort(),
        Effect::Stop => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            // The kernel may let this thread run for a moment before all of them stand still.
            std::thread::sleep(Duration::from_millis(50));
        }
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
        assert!(parse("announced:3:stop").is_some_and(|armed| {
            armed.step == "announced" && armed.left.into_inner() == 3 && armed.effect == Effect::Stop
        }));
        for malformed in ["", ":1", ":stop", "announced:", "announced:0", "announced:x"] {
            assert!(parse(malformed).is_none(), "{malformed}");
        }
    }
}
