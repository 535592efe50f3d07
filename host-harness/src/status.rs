use std::fmt;

/// What a host call answers: a number of the ABI (`proxy_status_t`), or any
/// other number that a fault is to answer. For WASI calls it is an `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u32);

impl Status {
    /// The call did what was asked.
    pub const OK: Self = Self(0);
    /// There is no such key, header, property, queue or metric.
    pub const NOT_FOUND: Self = Self(1);
    /// An argument is out of range, or the thing asked for is not available in this callback.
    pub const BAD_ARGUMENT: Self = Self(2);
    /// The value cannot be serialized.
    pub const SERIALIZATION_FAILURE: Self = Self(3);
    /// The given bytes cannot be parsed.
    pub const PARSE_FAILURE: Self = Self(4);
    /// An expression is invalid; no host in use answers it.
    pub const BAD_EXPRESSION: Self = Self(5);
    /// A pointer of the guest lies outside its memory.
    pub const INVALID_MEMORY_ACCESS: Self = Self(6);
    /// The queue holds nothing.
    pub const EMPTY: Self = Self(7);
    /// The shared value changed since it was read.
    pub const CAS_MISMATCH: Self = Self(8);
    /// The result differs from the expected one; no host in use answers it.
    pub const RESULT_MISMATCH: Self = Self(9);
    /// The host failed.
    pub const INTERNAL_FAILURE: Self = Self(10);
    /// The stream is gone.
    pub const BROKEN_CONNECTION: Self = Self(11);
    /// The host does not have this call.
    pub const UNIMPLEMENTED: Self = Self(12);

    /// Every status that the ABI names, in numeric order, `OK` first.
    pub const ALL: [Self; 13] = [
        Self::OK,
        Self::NOT_FOUND,
        Self::BAD_ARGUMENT,
        Self::SERIALIZATION_FAILURE,
        Self::PARSE_FAILURE,
        Self::BAD_EXPRESSION,
        Self::INVALID_MEMORY_ACCESS,
        Self::EMPTY,
        Self::CAS_MISMATCH,
        Self::RESULT_MISMATCH,
        Self::INTERNAL_FAILURE,
        Self::BROKEN_CONNECTION,
        Self::UNIMPLEMENTED,
    ];
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "Ok",
            1 => "NotFound",
            2 => "BadArgument",
            3 => "SerializationFailure",
            4 => "ParseFailure",
            5 => "BadExpression",
            6 => "InvalidMemoryAccess",
            7 => "Empty",
            8 => "CasMismatch",
            9 => "ResultMismatch",
            10 => "InternalFailure",
            11 => "BrokenConnection",
            12 => "Unimplemented",
            other => return write!(f, "Status({other})"),
        };
        f.write_str(name)
    }
}
