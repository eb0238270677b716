//! What a gateway has to say to the audit trail, gathered in memory and appended now and then.
//!
//! Whoever can reach the gateway can cause denials, so they must not be able to fill the table. Denials are
//! recorded one by one up to a rate, which is separate for callers that are known and callers that are not,
//! so that noise from outside does not hide a client's misuse. Above the rate they are counted, and one row
//! stands for all of a flush. Minted site tokens are recorded one by one up to what memory may hold.

use std::sync::{Arc, Mutex, PoisonError};

use wattline_auth::KeyId;

use crate::audit::AuditAction;
use crate::check_device_id;
use crate::database::Directory;

/// Denials of one kind of caller that are recorded at once, and how many a second after that: at most some
/// 86,000 rows a day and a gateway.
const DENIALS_BURST: u32 = 60;
const DENIALS_PER_S: u32 = 1;
/// Events in memory. While the directory is away there may be more, which are counted only.
const PENDING_MAX: usize = 10_000;
/// The longest request id that is kept.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// One thing to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub(crate) at_ms: i64,
    class: Class,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) key_id: Option<String>,
    pub(crate) site_id: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) events: u64,
}

impl AuditEvent {
    /// A site token was handed out.
    pub fn site_token_minted(
        at_ms: i64,
        client: Arc<str>,
        key_id: KeyId,
        site_id: &str,
        request_id: &str,
    ) -> Self {
        let event = Self::new(at_ms, Class::Mint).by(Some(client), Some(key_id));
        event.about(Some(site_id), request_id)
    }

    /// A request was refused for its token. `client` is who is known to have sent it; the key id and the site
    /// are what the request named.
    pub fn denied(
        at_ms: i64,
        reason: &'static str,
        client: Option<Arc<str>>,
        key_id: Option<KeyId>,
        site_id: Option<&str>,
        request_id: &str,
    ) -> Self {
        let class = if client.is_some() { Class::DenialOfClient } else { Class::DenialOfStranger };
        let event = Self::new(at_ms, class).by(client, key_id).about(site_id, request_id);
        Self { reason: Some(reason), ..event }
    }

    fn new(at_ms: i64, class: Class) -> Self {
        Self {
            at_ms,
            class,
            client: None,
            key_id: None,
            site_id: None,
            request_id: None,
            reason: None,
            events: 1,
        }
    }

    fn by(self, client: Option<Arc<str>>, key_id: Option<KeyId>) -> Self {
        Self { client, key_id: key_id.map(|id| id.to_string()), ..self }
    }

    fn about(self, site_id: Option<&str>, request_id: &str) -> Self {
        let site_id = site_id.filter(|id| check_device_id(id).is_ok()).map(str::to_owned);
        let is_kept = request_id.len() <= REQUEST_ID_BYTES_MAX && !request_id.contains(char::is_control);
        Self { site_id, request_id: is_kept.then(|| request_id.to_owned()), ..self }
    }

    pub(crate) fn action(&self) -> AuditAction {
        match self.class {
            Class::DenialOfStranger | Class::DenialOfClient => AuditAction::Denial,
            Class::Mint => AuditAction::MintSite,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    DenialOfStranger,
    DenialOfClient,
    Mint,
}

impl Class {
    const ALL: [Self; 3] = [Self::DenialOfStranger, Self::DenialOfClient, Self::Mint];

    /// For metrics.
    fn name(self) -> &'static str {
        match self {
            Self::DenialOfStranger => "unknown_caller",
            Self::DenialOfClient => "client",
            Self::Mint => "site_token",
        }
    }

    /// The row that stands for events which were counted only.
    fn summary(self, at_ms: i64, events: u64) -> AuditEvent {
        let reason = match self {
            Self::DenialOfStranger => "more denials of unknown callers, counted only",
            Self::DenialOfClient => "more denials of known clients, counted only",
            Self::Mint => "more site tokens, counted only",
        };
        AuditEvent { reason: Some(reason), events, ..AuditEvent::new(at_ms, self) }
    }
}

/// Gathers events until they are flushed.
#[derive(Debug, Default)]
pub struct AuditLog(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    events: Vec<AuditEvent>,
    allowances: [Allowance; 2],
    /// By class.
    counted_only: [u64; 3],
    /// The same, of all that was counted only since the start.
    dropped: [u64; 3],
    last_at_ms: i64,
}

/// A token bucket in whole thousandths.
#[derive(Debug)]
struct Allowance {
    thousandths: u64,
    filled_at_ms: i64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { thousandths: u64::from(DENIALS_BURST) * 1_000, filled_at_ms: i64::MIN }
    }
}

impl Allowance {
    fn take(&mut self, now_ms: i64) -> bool {
        // A clock that steps back fills nothing; one that steps ahead fills the bucket once.
        let passed_ms = u64::try_from(now_ms.saturating_sub(self.filled_at_ms)).unwrap_or(0);
        let filled = passed_ms.saturating_mul(u64::from(DENIALS_PER_S)).saturating_add(self.thousandths);
        self.thousandths = filled.min(u64::from(DENIALS_BURST) * 1_000);
        self.filled_at_ms = now_ms;
        let has_one = self.thousandths >= 1_000;
        self.thousandths -= if has_one { 1_000 } else { 0 };
        has_one
    }
}

impl Pending {
    /// Counts an event and keeps nothing else of it.
    fn drop_details(&mut self, class: Class) {
        self.counted_only[class as usize] += 1;
        self.dropped[class as usize] += 1;
    }
}

impl AuditLog {
    pub fn note(&self, event: AuditEvent) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let class = event.class;
        pending.last_at_ms = event.at_ms;
        let is_allowed = match class {
            Class::Mint => true,
            denial => pending.allowances[denial as usize].take(event.at_ms),
        };
        if is_allowed && pending.events.len() < PENDING_MAX {
            pending.events.push(event);
        } else {
            pending.drop_details(class);
        }
    }

    /// Events of which the audit trail has the number only, since the start, by who or what they were of.
    pub fn dropped(&self) -> [(&'static str, u64); 3] {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Class::ALL.map(|class| (class.name(), pending.dropped[class as usize]))
    }

    /// Appends what was gathered to the audit trail. What cannot be appended is gathered again.
    pub async fn flush(&self, directory: &Directory) -> anyhow::Result<()> {
        let events = self.take();
        if events.is_empty() {
            return Ok(());
        }
        let appended = directory.append_audit(&events).await;
        if appended.is_err() {
            self.put_back(events);
        }
        appended
    }

    fn take(&self) -> Vec<AuditEvent> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = std::mem::take(&mut pending.events);
        let counted_only = std::mem::take(&mut pending.counted_only);
        for (class, count) in Class::ALL.into_iter().zip(counted_only).filter(|(_, count)| *count > 0) {
            events.push(class.summary(pending.last_at_ms, count));
        }
        events
    }

    fn put_back(&self, events: Vec<AuditEvent>) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if event.events == 1 && pending.events.len() < PENDING_MAX {
                pending.events.push(event);
            } else if event.events == 1 {
                pending.drop_details(event.class);
            } else {
                // Its events were dropped when they came.
                pending.counted_only[event.class as usize] += event.events;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(at_ms: i64, client: Option<&str>) -> AuditEvent {
        AuditEvent::denied(at_ms, "unknown token", client.map(Arc::from), None, Some("s\0"), "r")
    }

    fn rows(log: &AuditLog) -> (usize, u64) {
        let events = log.take();
        (events.len(), events.iter().map(|event| event.events).sum())
    }

    #[test]
    fn a_flood_of_denials_leaves_few_rows_and_hides_no_other_event() {
        let log = AuditLog::default();
        for number in 0..100_000 {
            log.note(denial(1_000 + number / 1_000, None));
        }
        log.note(denial(1_100, Some("demo")));
        let id = wattline_auth::ClientToken::from_random(true, &[1; wattline_auth::RANDOM_BYTES]).key_id();
        log.note(AuditEvent::site_token_minted(1_100, "demo".into(), id, "s", "r"));
        let events = log.take();
        assert_eq!(events.len(), DENIALS_BURST as usize + 3);
        assert_eq!(events.iter().map(|event| event.events).sum::<u64>(), 100_002);
        assert!(
            events.iter().all(|event| event.site_id.is_none() || event.action() == AuditAction::MintSite)
        );

        // Ten seconds later there is room for ten more.
        (0..50).for_each(|_| log.note(denial(11_100, None)));
        assert_eq!(rows(&log), (11, 50));
        // A clock that steps back gives nothing.
        (0..50).for_each(|_| log.note(denial(5_000, None)));
        assert_eq!(rows(&log), (1, 50));
        let dropped = 100_000 - u64::from(DENIALS_BURST) + 40 + 50;
        assert_eq!(log.dropped(), [("unknown_caller", dropped), ("client", 0), ("site_token", 0)]);
    }

    #[test]
    fn nothing_is_lost_from_the_count_while_the_directory_is_away() {
        let log = AuditLog::default();
        let id = wattline_auth::ClientToken::from_random(true, &[1; wattline_auth::RANDOM_BYTES]).key_id();
        let minted = || AuditEvent::site_token_minted(0, "demo".into(), id, "s", "r");
        for _ in 0..3 {
            (0..PENDING_MAX).for_each(|_| log.note(minted()));
            (0..100).for_each(|_| log.note(denial(0, Some("demo"))));
            log.put_back(log.take());
        }
        let events = log.take();
        assert!(events.len() <= PENDING_MAX + 3, "{}", events.len());
        let count = |action| -> u64 {
            events.iter().filter(|event| event.action() == action).map(|event| event.events).sum()
        };
        assert_eq!(count(AuditAction::MintSite), 3 * PENDING_MAX as u64);
        assert_eq!(count(AuditAction::Denial), 300);
        // Each once, however often what stands for it was put back.
        let dropped: u64 = log.dropped().iter().map(|(_, count)| count).sum();
        let kept = events
            .iter()
            .filter(|event| event.reason.is_none_or(|reason| !reason.starts_with("more")))
            .count();
        assert_eq!(dropped, 3 * PENDING_MAX as u64 + 300 - kept as u64);
    }
}
