//! Finding what gates offer, by its name, price and service level.

use super::publish::namespace;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use portcullis_core::catalog::PricingModel;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The permission's name, or all of a namespace.
    pub capability: Capability,
    /// The highest price, in cents, whatever it is for.
    pub max_price_cents: Option<i64>,
    /// The least promised uptime, in basis points. Who promises none is not found.
    pub min_uptime_bp: Option<i64>,
    /// The longest promised response time, in milliseconds. Who promises none is not found.
    pub max_response_time_ms: Option<i64>,
    /// What the price is for.
    pub pricing_model: Option<PricingModel>,
    /// What comes first.
    pub sort: Sort,
    /// How many.
    pub limit: i64,
    /// After how many others.
    pub offset: i64,
}

/// A name, or all that begin alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Capability {
    /// This permission.
    Exactly(String),
    /// All that begin with this, which ends with a colon.
    Within(String),
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sort {
    /// The lowest price.
    #[default]
    PriceAscending,
    /// The highest price.
    PriceDescending,
    /// The highest promised uptime; none comes last.
    UptimeDescending,
    /// The shortest promised response time; none comes last.
    ResponseAscending,
}

/// Something that is offered.
#[derive(Clone, Debug)]
pub struct Service {
    /// By which gate.
    pub gate_id: String,
    /// What that is called.
    pub gate_name: String,
    /// How strictly it checks.
    pub profile: String,
    /// What.
    pub permission_key: String,
    /// In which version of its catalog.
    pub version: i64,
    /// What the price is for.
    pub pricing_model: String,
    /// The price.
    pub price_cents: i64,
    /// The promised uptime.
    pub uptime_basis_points: Option<i64>,
    /// The promised response time.
    pub response_time_ms: Option<i64>,
    /// The platform's part of the price.
    pub fee_basis_points: Option<i64>,
}

impl Capability {
    /// Reads `ns:name`, or `ns:*` for all of a namespace.
    ///
    /// # Errors
    /// 422.
    pub fn read(text: &str) -> ApiResult<Self> {
        let wrong = "must be the name of a permission, or a namespace as flights:*";
        let is_name = |text: &str| {
            (1..=256).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
                && !text.contains('*')
        };
        match text.strip_suffix('*') {
            None if is_name(text) => Ok(Capability::Exactly(text.to_owned())),
            Some(prefix) if is_name(prefix) && prefix.ends_with(':') && prefix.len() > 1 => {
                Ok(Capability::Within(prefix.to_owned()))
            }
            _ => Err(ApiError::invalid("capability", wrong)),
        }
    }
}

impl Sort {
    /// Reads its name.
    ///
    /// # Errors
    /// 422.
    pub fn read(text: &str) -> ApiResult<Self> {
        match text {
            "price_asc" => Ok(Sort::PriceAscending),
            "price_desc" => Ok(Sort::PriceDescending),
            "uptime_desc" => Ok(Sort::UptimeDescending),
            "response_asc" => Ok(Sort::ResponseAscending),
            _ => {
                let problem = "must be price_asc, price_desc, uptime_desc or response_asc";
                Err(ApiError::invalid("sort", problem))
            }
        }
    }

    /// Both databases order what is missing otherwise, so it has a value here.
    fn order(self) -> &'static str {
        match self {
            Sort::PriceAscending => "s.price_cents",
            Sort::PriceDescending => "s.price_cents DESC",
            Sort::UptimeDescending => "COALESCE(s.uptime_basis_points, -1) DESC",
            Sort::ResponseAscending => "COALESCE(s.response_time_ms, 9007199254740992)",
        }
    }
}

impl Wanted {
    /// What is found, and how many there are on all pages: of gates that are to be found, in
    /// the version that is in force, with a price.
    ///
    /// # Errors
    /// No database.
    pub async fn find(&self, tx: &mut Tx) -> ApiResult<(Vec<Service>, i64)> {
        let mut conditions = String::from(
            "FROM catalog_services s JOIN gates g ON g.gate_id = s.gate_id \
             WHERE s.namespace = $1 AND g.is_discoverable = 1 AND g.deleted_at IS NULL AND s.version = \
             (SELECT MAX(c.version) FROM catalogs c WHERE c.gate_id = s.gate_id AND c.effective_at <= $2)",
        );
        let mut values: Vec<Bound> = Vec::new();
        let mut and = |condition: &str, value: Bound| {
            values.push(value);
            // After the two that are always there.
            let place = values.len().saturating_add(2);
            conditions.push_str(&format!(" AND {condition} ${place}"));
        };
        let name = match &self.capability {
            Capability::Exactly(name) => {
                and("s.permission_key =", Bound::Text(name.clone()));
                name
            }
            Capability::Within(prefix) => {
                let length = i64::try_from(prefix.len()).unwrap_or(i64::MAX);
                and(&format!("substr(s.permission_key, 1, {length}) ="), Bound::Text(prefix.clone()));
                prefix
            }
        };
        for (condition, number) in [
            ("s.price_cents <=", self.max_price_cents),
            ("s.uptime_basis_points >=", self.min_uptime_bp),
            ("s.response_time_ms <=", self.max_response_time_ms),
        ] {
            if let Some(number) = number {
                and(condition, Bound::Number(number));
            }
        }
        if let Some(model) = self.pricing_model {
            and("s.pricing_model =", Bound::Text(model.name().to_owned()));
        }
        let count = format!("SELECT COUNT(*) {conditions}");
        let total: i64 = bound(&count, name, &values).fetch_one(&mut **tx).await?.try_get(0)?;
        // By number and by its own order: the pages of one list have each entry once.
        let select = format!(
            "SELECT s.gate_id, g.name, g.profile, s.permission_key, s.version, s.pricing_model, s.price_cents, \
             s.uptime_basis_points, s.response_time_ms, s.fee_basis_points {conditions} \
             ORDER BY {}, s.gate_id, s.permission_key LIMIT {} OFFSET {}",
            self.sort.order(),
            self.limit,
            self.offset
        );
        let rows = bound(&select, name, &values).fetch_all(&mut **tx).await?;
        Ok((rows.iter().map(Service::read).collect::<ApiResult<_>>()?, total))
    }
}

/// A value of a condition.
enum Bound {
    Text(String),
    Number(i64),
}

fn bound<'q>(sql: &str, name: &str, values: &[Bound]) -> Query<'q, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(namespace(name).to_owned()).bind(now_ms());
    values.iter().fold(query, |query, value| match value {
        Bound::Text(text) => query.bind(text.clone()),
        Bound::Number(number) => query.bind(*number),
    })
}

impl Service {
    fn read(row: &AnyRow) -> ApiResult<Self> {
        Ok(Service {
            gate_id: row.try_get("gate_id")?,
            gate_name: row.try_get("name")?,
            profile: row.try_get("profile")?,
            permission_key: row.try_get("permission_key")?,
            version: row.try_get("version")?,
            pricing_model: row.try_get("pricing_model")?,
            price_cents: row.try_get("price_cents")?,
            uptime_basis_points: row.try_get("uptime_basis_points")?,
            response_time_ms: row.try_get("response_time_ms")?,
            fee_basis_points: row.try_get("fee_basis_points")?,
        })
    }
}
