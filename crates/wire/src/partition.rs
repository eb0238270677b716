//! Which partition a device's points go to.

use xxhash_rust::xxh3::Xxh3Default;

/// The hash of a device: XXH3-64 of the client's id, a zero byte, and the device's id.
///
/// It decides the partition, so it is part of the format of the topics and never changes.
pub fn device_hash(client_id: &str, device_id: &str) -> u64 {
    const STACK_BYTES: usize = 256;
    let length = client_id.len() + 1 + device_id.len();
    // Short ids, which are all that the edge accepts, are hashed in one call over a copy on the stack.
    if length <= STACK_BYTES {
        let mut joined = [0; STACK_BYTES];
        joined[..client_id.len()].copy_from_slice(client_id.as_bytes());
        joined[client_id.len() + 1..length].copy_from_slice(device_id.as_bytes());
        return xxhash_rust::xxh3::xxh3_64(&joined[..length]);
    }
    let mut hasher = Xxh3Default::new();
    hasher.update(client_id.as_bytes());
    hasher.update(&[0]);
    hasher.update(device_id.as_bytes());
    hasher.digest()
}

/// The partition of a device among so many.
pub fn partition_of(device_hash: u64, partitions: u32) -> u32 {
    (device_hash % u64::from(partitions)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(device_hash("demo", "bat-000001"), xxhash_rust::xxh3::xxh3_64(b"demo\0bat-000001"));
        let long = "x".repeat(300);
        assert_eq!(
            device_hash("demo", &long),
            xxhash_rust::xxh3::xxh3_64(format!("demo\0{long}").as_bytes())
        );
        assert_eq!(device_hash("demo", "bat-000001"), 308_268_492_581_609_786);
        assert_eq!(partition_of(device_hash("demo", "bat-000001"), 12), 2);
    }
}
