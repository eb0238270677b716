use std::collections::HashMap;
use std::sync::Arc;

/// The number of a device within one partition's audit.
pub(crate) type Device = u32;

/// The devices that were met, each by a number, so that a key is small and can still be told by name.
#[derive(Default)]
pub(crate) struct Devices {
    numbers: HashMap<Arc<str>, Device>,
    names: Vec<Arc<str>>,
    /// Client, a zero byte, device: no id holds a zero byte.
    joined: String,
}

impl Devices {
    pub(crate) fn number(&mut self, client_id: &str, device_id: &str) -> Device {
        self.joined.clear();
        self.joined.extend([client_id, "\0", device_id]);
        if let Some(&number) = self.numbers.get(self.joined.as_str()) {
            return number;
        }
        let number = self.names.len() as Device;
        let name: Arc<str> = self.joined.as_str().into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }

    /// `client/device`.
    pub(crate) fn name(&self, device: Device) -> String {
        self.names.get(device as usize).map_or_else(String::new, |name| name.replace('\0', "/"))
    }
}
