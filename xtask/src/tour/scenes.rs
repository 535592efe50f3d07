//! What the tour shows, as data. The routes and the trust are those of
//! `envoy/envoy.yaml`.

/// One request and what must come of it.
pub(super) struct Scene {
    /// What it shows.
    pub(super) title: &'static str,
    /// The method.
    pub(super) method: &'static str,
    /// The request target, raw.
    pub(super) path: &'static str,
    /// The name of a credential in the wallet.
    pub(super) credential: Option<&'static str>,
    /// Other headers.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// What must come of it.
    pub(super) expect: Expect,
}

/// What must come of a request.
pub(super) enum Expect {
    /// It is answered with 200 by the upstream.
    Admitted {
        /// Headers that the upstream must see, once, with this value.
        has: &'static [(&'static str, &'static str)],
        /// Headers that it must not see.
        lacks: &'static [&'static str],
    },
    /// It is refused, and nothing reaches the upstream.
    Refused {
        /// The status.
        status: u16,
        /// The reason code. With 400 it may be missing: Envoy's own checks
        /// come before the gate's.
        reason: Option<&'static str>,
    },
}

impl Expect {
    /// The status of the answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Admitted { .. } => 200,
            Self::Refused { status, .. } => *status,
        }
    }

    /// In words.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Admitted { has, lacks } => {
                let has = has.iter().map(|(name, value)| format!("with {name}: {value}"));
                let lacks = lacks.iter().map(|name| format!("without {name}"));
                let parts: Vec<_> = has.chain(lacks).collect();
                format!("200, at the upstream {}", parts.join(", "))
            }
            Self::Refused { status: 400, reason: Some(reason) } => {
                format!("400, by Envoy itself or by the gate with {reason}")
            }
            Self::Refused { status, reason } => {
                format!("{status} {}", reason.unwrap_or_default())
            }
        }
    }
}

/// The identity of a self-issued passport, and no trace of the credential.
const SELF_ISSUED: Expect = Expect::Admitted {
    has: &[("x-gate-tier", "1"), ("x-gate-action", "flights:search")],
    lacks: &["agent-passport"],
};

/// The last scene, where a control service is there to revoke.
pub(super) static REVOKED: Scene = Scene {
    title: "the passport that was good, within a second after it was revoked",
    method: "GET",
    path: "/flights",
    credential: Some("good"),
    headers: &[],
    expect: Expect::Refused { status: 401, reason: Some("passport_revoked") },
};

/// The tour, in its order.
pub(super) static SCENES: &[Scene] = &[
    Scene {
        title: "a public route needs no credential",
        method: "GET",
        path: "/health",
        credential: None,
        headers: &[],
        expect: Expect::Admitted { has: &[], lacks: &["x-gate-agent-id", "x-gate-tier"] },
    },
    Scene {
        title: "nobody can dress up as an agent, on a public route either",
        method: "GET",
        path: "/health",
        credential: None,
        headers: &[("x-gate-agent-id", "agent_self_admin"), ("x-gate-tier", "3")],
        expect: Expect::Admitted { has: &[], lacks: &["x-gate-agent-id", "x-gate-tier"] },
    },
    Scene {
        title: "no credential",
        method: "GET",
        path: "/flights",
        credential: None,
        headers: &[],
        expect: Expect::Refused { status: 401, reason: Some("credential_missing") },
    },
    Scene {
        title: "a passport that its agent signed itself, where the gate takes those",
        method: "GET",
        path: "/flights",
        credential: Some("good"),
        headers: &[],
        expect: SELF_ISSUED,
    },
    Scene {
        title: "the same, beside a forged identity: the forgery is stripped",
        method: "GET",
        path: "/flights",
        credential: Some("good"),
        headers: &[("x-gate-tier", "3")],
        expect: SELF_ISSUED,
    },
    Scene {
        title: "the same with one byte of it changed",
        method: "GET",
        path: "/flights",
        credential: Some("forged"),
        headers: &[],
        expect: Expect::Refused { status: 401, reason: Some("signature_invalid") },
    },
    Scene {
        title: "a passport that has expired",
        method: "GET",
        path: "/flights",
        credential: Some("expired"),
        headers: &[],
        expect: Expect::Refused { status: 401, reason: Some("passport_expired") },
    },
    Scene {
        title: "an action that the passport does not grant",
        method: "POST",
        path: "/bookings",
        credential: Some("good"),
        headers: &[],
        expect: Expect::Refused { status: 403, reason: Some("permission_denied") },
    },
    Scene {
        title: "the same action with a passport of an issuer that the gate trusts",
        method: "POST",
        path: "/bookings",
        credential: Some("issued"),
        headers: &[],
        expect: Expect::Admitted {
            has: &[
                ("x-gate-issuer", "issuer:acme-demo"),
                ("x-gate-tier", "2"),
                ("x-gate-action", "flights:book"),
            ],
            lacks: &["agent-passport"],
        },
    },
    Scene {
        title: "a passport that one agent delegated to another",
        method: "GET",
        path: "/flights",
        credential: Some("delegated"),
        headers: &[],
        expect: SELF_ISSUED,
    },
    Scene {
        title: "a passport made by the public Modei client, unmodified",
        method: "GET",
        path: "/flights",
        credential: Some("modei"),
        headers: &[],
        expect: SELF_ISSUED,
    },
    Scene {
        title: "the Modei client's passport with one byte changed",
        method: "GET",
        path: "/flights",
        credential: Some("modei-forged"),
        headers: &[],
        expect: Expect::Refused { status: 401, reason: Some("signature_invalid") },
    },
    Scene {
        title: "delegated by the Modei client, three agents deep",
        method: "GET",
        path: "/flights",
        credential: Some("modei-delegated"),
        headers: &[],
        expect: SELF_ISSUED,
    },
    Scene {
        title: "a CapiscIO Trust Badge of a registry that the gate trusts",
        method: "GET",
        path: "/flights",
        credential: Some("badge"),
        headers: &[],
        expect: Expect::Admitted {
            has: &[
                ("x-gate-issuer", "https://registry.acme-demo.example"),
                ("x-gate-level", "2"),
                ("x-capiscio-agent-id", "did:web:agents.acme-demo.example:bot"),
            ],
            lacks: &["x-capiscio-badge"],
        },
    },
    Scene {
        title: "a badge that an agent signed itself, where the gate takes none of those",
        method: "GET",
        path: "/flights",
        credential: Some("own-badge"),
        headers: &[],
        expect: Expect::Refused { status: 401, reason: Some("BADGE_ISSUER_UNTRUSTED") },
    },
    Scene {
        title: "a request that the public CapiscIO client signed, unmodified",
        method: "GET",
        path: "/flights",
        credential: Some("signature"),
        headers: &[],
        expect: Expect::Admitted {
            has: &[("x-gate-agent-id", "local-dev-key"), ("x-gate-issuer", "simpleguard")],
            lacks: &["x-capiscio-jws"],
        },
    },
    Scene {
        title: "the same request once more: a signature is good for one use",
        method: "GET",
        path: "/flights",
        credential: Some("signature"),
        headers: &[],
        expect: Expect::Refused { status: 401, reason: Some("request_replayed") },
    },
    Scene {
        title: "a path that two programs could read in two ways",
        method: "GET",
        path: "/health/..%2fflights",
        credential: Some("good"),
        headers: &[],
        expect: Expect::Refused { status: 400, reason: Some("path_ambiguous") },
    },
    Scene {
        title: "a path that no route names",
        method: "GET",
        path: "/admin",
        credential: Some("good"),
        headers: &[],
        expect: Expect::Refused { status: 403, reason: Some("route_unknown") },
    },
];
