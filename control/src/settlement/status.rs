//! What may become of a settlement. Its summary never changes; its status does, as this says.

use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use utoipa::ToSchema;

/// Where a settlement stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was made.
    Pending,
    /// It was sent to whoever is to pay.
    Invoiced,
    /// It was paid. Final.
    Paid,
    /// Whoever is to pay says that it is wrong.
    Disputed,
    /// It does not count, and its receipts can be settled again. Final.
    Void,
}

impl Status {
    const ALL: [Status; 5] =
        [Status::Pending, Status::Invoiced, Status::Paid, Status::Disputed, Status::Void];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Invoiced => "invoiced",
            Status::Paid => "paid",
            Status::Disputed => "disputed",
            Status::Void => "void",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// What may follow.
    pub fn followers(self) -> &'static [Status] {
        match self {
            Status::Pending => &[Status::Invoiced, Status::Void],
            Status::Invoiced => &[Status::Paid, Status::Disputed, Status::Void],
            Status::Disputed => &[Status::Invoiced, Status::Void],
            Status::Paid | Status::Void => &[],
        }
    }

    /// That `next` may follow.
    ///
    /// # Errors
    /// 409 naming `status`, with what may.
    pub fn must_lead_to(self, next: Status) -> ApiResult<()> {
        if self.followers().contains(&next) {
            return Ok(());
        }
        let names: Vec<_> = self.followers().iter().map(|status| status.name()).collect();
        let may = if names.is_empty() {
            "it is final".to_owned()
        } else {
            format!("it may become {}", names.join(" or "))
        };
        let message =
            format!("status: a settlement that is {} does not become {}: {may}", self.name(), next.name());
        let mut error = ApiError::new(axum::http::StatusCode::CONFLICT, "transition_forbidden", message);
        error.field = Some("status".to_owned());
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_followed_by_those_alone_that_are_documented() {
        let allowed = [
            ("pending", "invoiced"),
            ("pending", "void"),
            ("invoiced", "paid"),
            ("invoiced", "disputed"),
            ("invoiced", "void"),
            ("disputed", "invoiced"),
            ("disputed", "void"),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                let may = from.must_lead_to(to).is_ok();
                assert_eq!(may, allowed.contains(&(from.name(), to.name())), "{from:?} to {to:?}");
            }
        }
    }
}
