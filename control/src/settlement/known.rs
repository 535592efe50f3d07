//! What the service knows itself of passports that agents' words outside gates name.

use crate::db::Tx;
use crate::error::ApiResult;
use crate::passports;
use portcullis_core::base64;
use portcullis_core::modei::CatalogPin;
use portcullis_core::receipt::Receipt;
use std::collections::HashMap;

/// Passports, each read once for as long as there is room.
#[derive(Debug, Default)]
pub(super) struct Passports(HashMap<String, Option<Known>>);

#[derive(Debug)]
struct Known {
    agent_id: String,
    issuer_id: String,
    public_key: String,
    pin: Option<CatalogPin>,
    root: String,
}

/// Passports that are kept: some ten megabytes.
const MOST: usize = 20_000;

impl Passports {
    /// The passport at the root of the one that a receipt names; or the code of what is wrong:
    /// an agent's word outside a gate says nothing of its passport but the id.
    pub(super) async fn root_of(
        &mut self,
        tx: &mut Tx,
        receipt: &Receipt,
    ) -> ApiResult<Result<String, &'static str>> {
        let id = &receipt.agent.passport_id;
        if !self.0.contains_key(id) {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            // No id that is stored has the character that PostgreSQL's text has none of.
            let found = if id.contains('\0') { None } else { passports::find(tx, id).await? };
            let known = match found {
                None => None,
                Some(found) => Some(Known {
                    root: found.root_id()?,
                    pin: found.pin().filter(|_| found.gate_id.as_ref() == Some(&receipt.gate_id)),
                    agent_id: found.agent_id,
                    issuer_id: found.issuer_id,
                    public_key: found.public_key,
                }),
            };
            self.0.insert(id.clone(), known);
        }
        let Some(Some(known)) = self.0.get(id) else { return Ok(Err("passport_unknown")) };
        let agent = &receipt.agent;
        let is_it = known.agent_id == agent.agent_id
            && known.issuer_id == agent.issuer_id
            && known.public_key == base64::encode(&agent.public_key)
            && known.pin.as_ref() == Some(&receipt.catalog);
        Ok(if is_it { Ok(known.root.clone()) } else { Err("proof_mismatch") })
    }
}
