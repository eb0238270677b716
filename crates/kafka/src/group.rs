use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::Connection;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The members of a consumer group, each by its client's name and host; none where there is no such group. A member
/// that was killed is one until its session is over.
pub fn group_members(connection: &Connection, group: &str) -> anyhow::Result<Vec<String>> {
    let client: BaseConsumer = connection.config().create()?;
    let groups = client
        .fetch_group_list(Some(group), TIMEOUT)
        .with_context(|| format!("cannot ask Kafka for the members of the group {group}"))?;
    let members =
        groups.groups().iter().filter(|known| known.name() == group).flat_map(|known| known.members());
    Ok(members.map(|member| format!("{} at {}", member.client_id(), member.client_host())).collect())
}
