use std::collections::BTreeMap;

/// So many of a kind are named; all are counted.
const NAMED_MAX: usize = 5;

/// What is wrong with a partition, by kind.
#[derive(Default)]
pub(crate) struct Problems {
    kinds: BTreeMap<(&'static str, &'static str), Kind>,
}

#[derive(Default)]
struct Kind {
    count: u64,
    named: Vec<String>,
}

impl Problems {
    /// `place` is where it is wrong, `what` what is.
    pub(crate) fn add(&mut self, place: &'static str, what: &'static str, name: impl FnOnce() -> String) {
        let kind = self.kinds.entry((place, what)).or_default();
        kind.count += 1;
        if kind.named.len() < NAMED_MAX {
            kind.named.push(name());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// One sentence a kind.
    pub(crate) fn into_texts(self) -> Vec<String> {
        self.kinds
            .into_iter()
            .map(|((place, what), Kind { count, named })| {
                let more = if count > named.len() as u64 { "; …" } else { "" };
                format!("{place}: {what} ({count}): {}{more}", named.join("; "))
            })
            .collect()
    }
}
