use crate::host::Randomness;

/// Where a VM's `random_get` draws from.
pub(crate) enum Random {
    Seeded(u64),
    System,
}

impl Random {
    pub(crate) fn new(randomness: Randomness, vm: u32) -> Self {
        match randomness {
            // An odd factor keeps the VMs' states apart for every seed.
            Randomness::Seeded(seed) => {
                Self::Seeded(seed.wrapping_add(u64::from(vm).wrapping_mul(0x5851_F42D_4C95_7F2D)))
            }
            Randomness::System => Self::System,
        }
    }

    /// Fills `bytes`; false if the system has no randomness to give.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> bool {
        match self {
            Self::Seeded(state) => {
                for chunk in bytes.chunks_mut(8) {
                    for (byte, random) in chunk.iter_mut().zip(split_mix(state).to_le_bytes()) {
                        *byte = random;
                    }
                }
                true
            }
            Self::System => getrandom::fill(bytes).is_ok(),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): short, and well mixed from any seed.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
