//! What is to be done with a request, as JavaScript is told.

use crate::head::Head;
use crate::unusable::{optional, owned};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::str::from_utf8;
use portcullis_core::json::{Object, Value, canonical_text};
use portcullis_core::{Access, Denial, Identity, Mode, Permit, Refused, Route, UnixTime, guardrails};
use portcullis_reply::{Reply, Told, headers};

/// What is to be done next.
pub(crate) enum Outcome {
    /// The store is asked about this key, of which nothing needs to be known after `until`.
    Ask { key: String, until: UnixTime },
    /// At most this many bytes of the body, and one, are read.
    NeedBody { limit: u32 },
    /// The request goes on, or is answered: an object.
    Decided(Object<'static>),
}

impl Outcome {
    pub(crate) fn to_json(&self) -> String {
        let object = match self {
            Outcome::Ask { key, until } => Object::from([
                ("step", "ask".into()),
                ("key", owned(key.as_str())),
                ("until", Value::integer(until.as_millis())),
            ]),
            Outcome::NeedBody { limit } => {
                Object::from([("step", "body".into()), ("limit", Value::integer((*limit).into()))])
            }
            Outcome::Decided(object) => return canonical_text(&Value::Object(object.clone())),
        };
        canonical_text(&object.into())
    }

    /// A refusal of which nothing but the reason is known.
    pub(crate) fn of_unknown(denial: Denial) -> Self {
        Self::refused(None, Refused::of_unknown(denial), Told::default())
    }

    /// The request goes on. `wanted` is what the answer asks of the next one.
    pub(crate) fn permitted(head: &Head<'_>, permit: &Permit, wanted: Option<String>) -> Self {
        let set = permit.identity().map(headers::identity).unwrap_or_default();
        let decision = decision(
            "allow",
            None,
            permit.access().name(),
            permit.identity(),
            Some(permit.route()),
            permit.evaluations(),
        );
        Self::forwarded(head, permit.route().keeps_credential(), &set, wanted, decision)
    }

    /// The request is answered, or goes on without an identity where refusals are only reported.
    pub(crate) fn refused(head: Option<&Head<'_>>, refused: Refused, told: Told) -> Self {
        let Refused { denial, mode, route, identity, access, evaluations, .. } = &refused;
        let is_reported = *mode == Mode::Report;
        let name = if is_reported { "report" } else { "block" };
        let decision =
            decision(name, Some(denial), access.name(), identity.as_ref(), route.as_deref(), evaluations);
        if let Some(head) = head.filter(|_| is_reported) {
            let keeps_credential = route.as_ref().is_some_and(|route| route.keeps_credential());
            return Self::forwarded(head, keeps_credential, &[], None, decision);
        }
        let Reply { status, headers, body, .. } = Reply::refusing(denial, told);
        Outcome::Decided(Object::from([
            ("step", "answer".into()),
            ("status", i32::from(status).into()),
            ("headers", pairs(headers.into_iter())),
            ("body", owned(String::from_utf8(body).unwrap_or_default())),
            ("decision", decision.into()),
        ]))
    }

    fn forwarded(
        head: &Head<'_>,
        keeps_credential: bool,
        set: &[headers::Set<'_>],
        wanted: Option<String>,
        decision: Object<'static>,
    ) -> Self {
        let stripped =
            head.headers.iter().filter(|(name, value)| headers::is_stripped(name, value, keeps_credential));
        // INVARIANT: names are tokens (RFC 9110 section 5.6.2), so all of them are text.
        let stripped = stripped.map(|(name, _)| owned(from_utf8(name).unwrap_or_default())).collect();
        Outcome::Decided(Object::from([
            ("step", "forward".into()),
            ("strip", Value::Array(stripped)),
            ("set", pairs(set.iter().copied())),
            ("accept_signature", optional(wanted)),
            ("decision", decision.into()),
        ]))
    }
}

/// What whoever follows decisions is told.
fn decision(
    decision: &'static str,
    denial: Option<&Denial>,
    access: &'static str,
    identity: Option<&Identity>,
    route: Option<&Route>,
    evaluations: &[guardrails::Evaluation],
) -> Object<'static> {
    let action = route.and_then(|route| match route.access() {
        Access::Action(action) => Some(action.as_str()),
        Access::Public => None,
    });
    let evaluated = |one: &guardrails::Evaluation| {
        let members = [
            ("name", one.name.into()),
            ("result", one.result.into()),
            ("detail", owned(one.detail.as_str())),
        ];
        Object::from(members).into()
    };
    Object::from([
        ("decision", decision.into()),
        ("reason_code", denial.map(|denial| denial.reason.code()).into()),
        ("detail", optional(denial.map(|denial| denial.detail.as_ref()))),
        ("access_mode", access.into()),
        ("action", optional(action)),
        ("agent_id", optional(identity.map(Identity::agent_id))),
        ("credential_id", optional(identity.map(Identity::credential_id))),
        ("issuer", optional(identity.map(Identity::issuer))),
        ("guardrails", Value::Array(evaluations.iter().map(evaluated).collect::<Vec<_>>())),
    ])
}

fn pairs(pairs: impl Iterator<Item = (&'static str, impl Into<String>)>) -> Value<'static> {
    Value::Array(pairs.map(|(name, value)| Value::Array(vec![name.into(), owned(value)])).collect())
}
