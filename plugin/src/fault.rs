//! What the host did wrong. Most calls to it answer with one of these, so it is four bytes that
//! are copied, and its words are found when somebody asks for them.

use crate::pairs::Malformed;
use core::fmt;

/// What was wrong, and with which of its calls and callbacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HostFault {
    place: Place,
    problem: Problem,
    /// What the call answered; higher ones as the highest of these. The ABI's are below 13.
    status: u16,
}

/// Where it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    AddHeaderMapValue,
    ContinueStream,
    ControlService,
    DefineMetric,
    EnvironGet,
    EnvironSizesGet,
    Gate,
    GetBufferBytes,
    GetCurrentTime,
    GetHeaderMapPairs,
    GetProperty,
    GetSharedData,
    Host,
    HttpCall,
    OnConfigure,
    OnRequestBody,
    OnRequestHeaders,
    OnRequestTrailers,
    Queue,
    RandomGet,
    RemoveHeaderMapValue,
    ReplaceHeaderMapValue,
    SendLocalResponse,
    SetEffectiveContext,
    SetProperty,
    SetSharedData,
    SetTickPeriod,
}

/// What it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    /// The call answered another status than 0.
    Status,
    /// What it returned is no map of headers.
    Map(Malformed),
    BodyLeftOut,
    BodyShrinks,
    CameAfterTheEnd,
    CameBeforeTheHeaders,
    CameTwice,
    Ended,
    ForeignMemory,
    LeftOut,
    LostRecord,
    LostRequest,
    NoCas,
    NoConfiguration,
    NoRoom,
    NoService,
    NoTime,
    NoTrailers,
    NotByItsCas,
    OtherLane,
    OtherPartOfTheAnswer,
    OtherPartOfTheBody,
    OtherProxy,
    OtherValue,
    Overtaken,
    PageChanges,
    Reentered,
    SlotsTaken,
    TooLargeAnEnvironment,
    TooMuch,
    TookNothing,
    UnreadableReceipt,
    ValueChanges,
    Zeros,
}

impl HostFault {
    pub(crate) const fn new(place: Place, problem: Problem) -> Self {
        HostFault { place, problem, status: 0 }
    }

    /// Of a call that answered this status instead of 0.
    pub(crate) fn answered(place: Place, status: u32) -> Self {
        let status = u16::try_from(status).unwrap_or(u16::MAX);
        HostFault { place, problem: Problem::Status, status }
    }

    /// The status, where that was the fault.
    pub(crate) fn status(self) -> Option<u32> {
        (self.problem == Problem::Status).then_some(self.status.into())
    }
}

impl fmt::Display for HostFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.place.name())?;
        formatter.write_str(" ")?;
        formatter.write_str(self.problem.text())?;
        if self.problem == Problem::Status { u32::from(self.status).fmt(formatter) } else { Ok(()) }
    }
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::AddHeaderMapValue => "proxy_add_header_map_value",
            Place::ContinueStream => "proxy_continue_stream",
            Place::ControlService => "the control service",
            Place::DefineMetric => "proxy_define_metric",
            Place::EnvironGet => "environ_get",
            Place::EnvironSizesGet => "environ_sizes_get",
            Place::Gate => "the gate",
            Place::GetBufferBytes => "proxy_get_buffer_bytes",
            Place::GetCurrentTime => "proxy_get_current_time_nanoseconds",
            Place::GetHeaderMapPairs => "proxy_get_header_map_pairs",
            Place::GetProperty => "proxy_get_property",
            Place::GetSharedData => "proxy_get_shared_data",
            Place::Host => "the host",
            Place::HttpCall => "proxy_http_call",
            Place::OnConfigure => "proxy_on_configure",
            Place::OnRequestBody => "proxy_on_request_body",
            Place::OnRequestHeaders => "proxy_on_request_headers",
            Place::OnRequestTrailers => "proxy_on_request_trailers",
            Place::Queue => "the queue of records",
            Place::RandomGet => "random_get",
            Place::RemoveHeaderMapValue => "proxy_remove_header_map_value",
            Place::ReplaceHeaderMapValue => "proxy_replace_header_map_value",
            Place::SendLocalResponse => "proxy_send_local_response",
            Place::SetEffectiveContext => "proxy_set_effective_context",
            Place::SetProperty => "proxy_set_property",
            Place::SetSharedData => "proxy_set_shared_data",
            Place::SetTickPeriod => "proxy_set_tick_period_milliseconds",
        }
    }
}

impl Problem {
    fn text(self) -> &'static str {
        match self {
            Problem::Status => "answered status ",
            Problem::Map(malformed) => malformed.text(),
            Problem::BodyLeftOut => "left out a body that is announced",
            Problem::BodyShrinks => "told of a body that grows shorter",
            Problem::CameAfterTheEnd => "came after the request's end",
            Problem::CameBeforeTheHeaders => "came before the request's headers",
            Problem::CameTwice => "came twice",
            Problem::Ended => "returned what a newer version of the gate has ended: start the proxy anew",
            Problem::ForeignMemory => "returned memory that it did not allocate",
            Problem::LeftOut => "was left out, and the upstream was asked: is it among allowed_capabilities?",
            Problem::LostRecord => "lost a record that waited",
            Problem::LostRequest => "lost what it knew of a request",
            Problem::NoCas => "returned no CAS",
            Problem::NoConfiguration => "gave no usable configuration",
            Problem::NoRoom => "has no room",
            Problem::NoService => "has no control service",
            Problem::NoTime => "told no time",
            Problem::NoTrailers => "returned no trailers where there are some",
            Problem::NotByItsCas => "does not do as its CAS says",
            Problem::OtherLane => "has another end of this lane",
            Problem::OtherPartOfTheAnswer => "returned another part of the answer",
            Problem::OtherPartOfTheBody => "returned another part of the body",
            Problem::OtherProxy => "is another proxy than the configuration's `host` says",
            Problem::OtherValue => "returned another value than was set",
            Problem::Overtaken => "let another worker write at the same time",
            Problem::PageChanges => "changed a page too often",
            Problem::Reentered => "called the gate while it was deciding",
            Problem::SlotsTaken => "let others write all slots",
            Problem::TooLargeAnEnvironment => "told of more than an environment can be",
            Problem::TooMuch => "charges no sum beyond 2^53 - 1 cents",
            Problem::TookNothing => "took nothing out",
            Problem::UnreadableReceipt => "made a receipt that nobody could read",
            Problem::ValueChanges => "changed a value too often",
            Problem::Zeros => "filled in zeros",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_fault_is_four_bytes_and_says_where_and_what_it_was() {
        assert_eq!(size_of::<HostFault>(), 4);
        assert_eq!(size_of::<Result<(), HostFault>>(), 4);
        let refused = HostFault::answered(Place::GetSharedData, 7);
        assert_eq!(refused.status(), Some(7));
        assert_eq!(refused.to_string(), "proxy_get_shared_data answered status 7");
        let other = HostFault::new(Place::GetSharedData, Problem::OtherValue);
        assert_eq!(other.status(), None);
        assert_eq!(other.to_string(), "proxy_get_shared_data returned another value than was set");
        let short = HostFault::new(Place::GetHeaderMapPairs, Problem::Map(Malformed::Short));
        assert_eq!(short.to_string(), "proxy_get_header_map_pairs the map is shorter than it says");
    }
}
