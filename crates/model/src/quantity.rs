/// The numbers that a data point may carry, by their public names.
///
/// A quantity is held as a whole number of thousandths of the unit in its name, so that sums are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Quantity {
    EnergyCharge,
    EnergyDischarge,
    HomeEnergy,
    SolarEnergy,
    PowerCharge,
    PowerDischarge,
    StoredEnergy,
    CapacityEnergy,
    HomePower,
    SolarPower,
    StateOfCharge,
    StateOfHealth,
    BackupReserve,
}

/// The four quantities that are lifetime counters in a counter reading, in the order of `Counters`.
pub const COUNTERS: [Quantity; 4] =
    [Quantity::EnergyCharge, Quantity::EnergyDischarge, Quantity::HomeEnergy, Quantity::SolarEnergy];

/// The quantities that a point of a device that is online must have.
pub const REQUIRED_ONLINE: [Quantity; 10] = [
    Quantity::PowerCharge,
    Quantity::PowerDischarge,
    Quantity::EnergyCharge,
    Quantity::EnergyDischarge,
    Quantity::StoredEnergy,
    Quantity::CapacityEnergy,
    Quantity::HomeEnergy,
    Quantity::HomePower,
    Quantity::SolarEnergy,
    Quantity::SolarPower,
];

impl Quantity {
    pub const COUNT: usize = 13;

    pub const ALL: [Quantity; Self::COUNT] = [
        Quantity::EnergyCharge,
        Quantity::EnergyDischarge,
        Quantity::HomeEnergy,
        Quantity::SolarEnergy,
        Quantity::PowerCharge,
        Quantity::PowerDischarge,
        Quantity::StoredEnergy,
        Quantity::CapacityEnergy,
        Quantity::HomePower,
        Quantity::SolarPower,
        Quantity::StateOfCharge,
        Quantity::StateOfHealth,
        Quantity::BackupReserve,
    ];

    /// The name in the API, in Kafka's schema, in Parquet and in ClickHouse.
    pub const fn name(self) -> &'static str {
        match self {
            Quantity::EnergyCharge => "battery_total_energy_charge_wh",
            Quantity::EnergyDischarge => "battery_total_energy_discharge_wh",
            Quantity::HomeEnergy => "home_total_energy_wh",
            Quantity::SolarEnergy => "solar_total_energy_wh",
            Quantity::PowerCharge => "battery_last_power_charge_w",
            Quantity::PowerDischarge => "battery_last_power_discharge_w",
            Quantity::StoredEnergy => "battery_last_stored_energy_wh",
            Quantity::CapacityEnergy => "battery_last_capacity_energy_wh",
            Quantity::HomePower => "home_last_power_w",
            Quantity::SolarPower => "solar_last_power_w",
            Quantity::StateOfCharge => "battery_last_state_of_charge_percentage",
            Quantity::StateOfHealth => "battery_last_state_of_health_percentage",
            Quantity::BackupReserve => "battery_last_backup_reserve_percentage",
        }
    }

    pub const fn is_percentage(self) -> bool {
        matches!(self, Quantity::StateOfCharge | Quantity::StateOfHealth | Quantity::BackupReserve)
    }

    /// The unit that the name ends with.
    pub const fn unit(self) -> &'static str {
        match self {
            Quantity::EnergyCharge
            | Quantity::EnergyDischarge
            | Quantity::HomeEnergy
            | Quantity::SolarEnergy
            | Quantity::StoredEnergy
            | Quantity::CapacityEnergy => "Wh",
            Quantity::PowerCharge | Quantity::PowerDischarge | Quantity::HomePower | Quantity::SolarPower => {
                "W"
            }
            Quantity::StateOfCharge | Quantity::StateOfHealth | Quantity::BackupReserve => "%",
        }
    }

    /// Still taken and kept, for clients that send it.
    pub const fn is_deprecated(self) -> bool {
        matches!(self, Quantity::BackupReserve)
    }

    /// The largest value that is accepted, in thousandths: 100 for a percentage, else 10^12 (a million
    /// megawatt hours, far above any battery and far below where 64 bits or `Decimal(18,3)` end).
    pub const fn max_thousandths(self) -> i64 {
        if self.is_percentage() { 100_000 } else { 1_000_000_000_000_000 }
    }

    /// Its bit among those of `Quantities::present`.
    pub const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A value for each quantity, or none.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantities {
    present: u16,
    thousandths: [i64; Quantity::COUNT],
}

impl Quantities {
    /// Those that have a bit in `present`, of which the others must be 0.
    pub fn new(present: u16, thousandths: [i64; Quantity::COUNT]) -> Self {
        Quantities { present: present & ((1 << Quantity::COUNT) - 1), thousandths }
    }

    pub const fn get(&self, quantity: Quantity) -> Option<i64> {
        if self.has(quantity) { Some(self.thousandths[quantity as usize]) } else { None }
    }

    pub const fn has(&self, quantity: Quantity) -> bool {
        self.present & quantity.bit() != 0
    }

    /// The bits of the quantities that have a value.
    pub const fn present(&self) -> u16 {
        self.present
    }

    /// What has no value is 0.
    pub const fn get_or_zero(&self, quantity: Quantity) -> i64 {
        self.thousandths[quantity as usize]
    }

    pub fn set(&mut self, quantity: Quantity, thousandths: i64) {
        self.present |= quantity.bit();
        self.thousandths[quantity as usize] = thousandths;
    }

    /// Whether every one of these quantities has a value; they are given as constants, so this is one mask.
    pub fn has_all(&self, quantities: &[Quantity]) -> bool {
        quantities.iter().all(|&quantity| self.has(quantity))
    }

    /// The four lifetime counters of a reading, where it carries them.
    pub fn counters(&self) -> Option<crate::Counters> {
        if !self.has_all(&COUNTERS) {
            return None;
        }
        Some(COUNTERS.map(|quantity| self.thousandths[quantity as usize]))
    }
}

impl std::fmt::Debug for Quantities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let present = Quantity::ALL.iter().filter_map(|&q| self.get(q).map(|value| (q.name(), value)));
        f.debug_map().entries(present).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_the_order_of_the_discriminants() {
        for (at, quantity) in Quantity::ALL.iter().enumerate() {
            assert_eq!(*quantity as usize, at);
        }
    }

    #[test]
    fn the_unit_is_the_end_of_the_name() {
        for quantity in Quantity::ALL {
            let end = match quantity.unit() {
                "Wh" => "_wh",
                "W" => "_w",
                _ => "_percentage",
            };
            assert!(quantity.name().ends_with(end), "{quantity:?}");
        }
    }

    #[test]
    fn counters_come_all_four_or_not_at_all() {
        let mut quantities = Quantities::default();
        for (value, quantity) in COUNTERS.iter().enumerate() {
            assert_eq!(quantities.counters(), None);
            quantities.set(*quantity, value as i64);
        }
        assert_eq!(quantities.counters(), Some([0, 1, 2, 3]));
    }
}
