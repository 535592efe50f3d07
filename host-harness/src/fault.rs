use crate::Status;

/// A lie that the host tells instead of performing a call.
///
/// The call is written into the trace with `(fault)` behind its answer.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) call: String,
    pub(crate) occurrence: Option<u64>,
    pub(crate) answer: FaultAnswer,
}

#[derive(Clone, Debug)]
pub(crate) enum FaultAnswer {
    Status(Status),
    Data(Vec<u8>),
    Number(u64),
    Pointer { address: u32, length: u32 },
    Trap,
}

impl Fault {
    /// `call` answers `status` and writes nothing: the guest's return places
    /// keep what they held. `Status::OK` makes a call that claims success and
    /// did nothing. For a WASI call the number is the `errno`.
    pub fn status(call: &str, status: Status) -> Self {
        Self::new(call, FaultAnswer::Status(status))
    }

    /// `call` answers `Ok` and returns these bytes as its data. A call without
    /// data to return just answers `Ok`.
    pub fn data(call: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(call, FaultAnswer::Data(bytes.into()))
    }

    /// `call` answers `Ok` and returns this number (a token, a metric's value,
    /// a time); cut to 32 bits where the call's return place has 32.
    pub fn number(call: &str, number: u64) -> Self {
        Self::new(call, FaultAnswer::Number(number))
    }

    /// `call` answers `Ok` and returns this address and length as its data,
    /// whether or not anything is there.
    pub fn pointer(call: &str, address: u32, length: u32) -> Self {
        Self::new(call, FaultAnswer::Pointer { address, length })
    }

    /// `call` is not made: the VM dies there.
    pub fn trap(call: &str) -> Self {
        Self::new(call, FaultAnswer::Trap)
    }

    /// Only the `n`th such call from now on, counted from 1, over all VMs of the host.
    pub fn nth(mut self, n: u64) -> Self {
        self.occurrence = Some(n);
        self
    }

    fn new(call: &str, answer: FaultAnswer) -> Self {
        Self { call: call.to_owned(), occurrence: None, answer }
    }
}

/// The faults in force, with how often each one's call was made since, and
/// what is to happen between calls.
#[derive(Default)]
pub(crate) struct Faults {
    lies: Vec<(Fault, u64)>,
    turns: Vec<Turn>,
}

/// Something that another takes its turn to do right before a call.
struct Turn {
    call: String,
    /// How many more such calls until then.
    left: u64,
    act: Act,
}

pub(crate) type Act = Box<dyn FnOnce() + Send>;

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.lies.push((fault, 0));
    }

    pub(crate) fn before(&mut self, call: &str, nth: u64, act: Act) {
        self.turns.push(Turn { call: call.to_owned(), left: nth, act });
    }

    pub(crate) fn clear(&mut self) {
        self.lies.clear();
        self.turns.clear();
    }

    /// What has its turn now that this call is about to be made.
    pub(crate) fn take_turns(&mut self, call: &str) -> Vec<Act> {
        for turn in self.turns.iter_mut().filter(|turn| turn.call == call) {
            turn.left = turn.left.saturating_sub(1);
        }
        self.turns.extract_if(.., |turn| turn.left == 0 && turn.call == call).map(|turn| turn.act).collect()
    }

    /// The lie for this call, the earliest injected first; every fault of that
    /// name counts the call.
    pub(crate) fn take(&mut self, call: &str) -> Option<FaultAnswer> {
        let mut answer = None;
        for (fault, seen) in self.lies.iter_mut().filter(|(fault, _)| fault.call == call) {
            *seen = seen.saturating_add(1);
            if answer.is_none() && fault.occurrence.is_none_or(|n| n == *seen) {
                answer = Some(fault.answer.clone());
            }
        }
        answer
    }
}
