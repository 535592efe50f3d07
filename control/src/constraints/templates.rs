//! Sets of constraints with a name, to be applied to passports: some that are always there,
//! and what operators have made.

use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use anyhow::Context;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// A set of constraints.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConstraintTemplate {
    /// What it is called by: lower-case letters, digits and hyphens.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// `industry`, `role`, `security`, `commerce`, or another word.
    pub category: Option<String>,
    /// A picture's name.
    pub icon: Option<String>,
    /// The constraints.
    #[schema(value_type = Object)]
    pub constraints: Map<String, Value>,
    /// Whether it is always there.
    pub is_system: bool,
}

/// More than anybody looks through.
const MOST: i64 = 1000;

impl ConstraintTemplate {
    fn system(slug: &str, name: &str, category: &str, description: &str, constraints: Value) -> Self {
        ConstraintTemplate {
            slug: slug.to_owned(),
            name: name.to_owned(),
            description: Some(description.to_owned()),
            category: Some(category.to_owned()),
            icon: None,
            constraints: constraints.as_object().cloned().unwrap_or_default(),
            is_system: true,
        }
    }

    fn read(row: &AnyRow) -> ApiResult<Self> {
        let constraints = serde_json::from_str(&row.try_get::<String, _>("constraints")?);
        Ok(ConstraintTemplate {
            slug: row.try_get("slug")?,
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            category: row.try_get("category")?,
            icon: row.try_get("icon")?,
            constraints: constraints.context("a template is unreadable")?,
            is_system: false,
        })
    }
}

/// Those that are always there.
fn system() -> [ConstraintTemplate; 4] {
    let of = ConstraintTemplate::system;
    [
        of(
            "code-review-agent",
            "Code review agent",
            "role",
            "Reads, at most once a second on average",
            json!({"core:data:read_only": true, "core:rate:max_per_minute": 60}),
        ),
        of(
            "conservative-agent",
            "Conservative agent",
            "security",
            "Little at a time, and a person approves of what costs more than a dollar",
            json!({"core:rate:max_per_minute": 10, "core:rate:max_per_hour": 100, "core:cost:max_per_action": 1000,
                "core:cost:max_cumulative": 5000, "core:cost:cumulative_window": "daily",
                "core:cost:approval_threshold": 100}),
        ),
        of(
            "supervised-agent",
            "Supervised agent",
            "security",
            "A person approves of everything",
            json!({"core:approval:required": true}),
        ),
        of(
            "web-research-agent",
            "Web research agent",
            "role",
            "Reads, and spends at most ten dollars a day",
            json!({"core:data:read_only": true, "core:rate:max_per_minute": 30,
                "core:cost:max_cumulative": 1000, "core:cost:cumulative_window": "daily"}),
        ),
    ]
}

/// All of a category, or all, by their slugs.
///
/// # Errors
/// No database.
pub async fn list(tx: &mut Tx, category: Option<&str>) -> ApiResult<Vec<ConstraintTemplate>> {
    let rows = sqlx::query(
        "SELECT slug, name, description, category, icon, constraints FROM constraint_templates \
         ORDER BY slug LIMIT $1",
    )
    .bind(MOST)
    .fetch_all(&mut **tx)
    .await?;
    let mut all: Vec<ConstraintTemplate> = system().into();
    for row in &rows {
        all.push(ConstraintTemplate::read(row)?);
    }
    all.retain(|template| category.is_none_or(|category| template.category.as_deref() == Some(category)));
    all.sort_by(|one, other| one.slug.cmp(&other.slug));
    Ok(all)
}

/// The one of this slug.
///
/// # Errors
/// 404.
pub async fn find(tx: &mut Tx, slug: &str) -> ApiResult<ConstraintTemplate> {
    if let Some(template) = system().into_iter().find(|template| template.slug == slug) {
        return Ok(template);
    }
    let row = sqlx::query(
        "SELECT slug, name, description, category, icon, constraints FROM constraint_templates WHERE slug = $1",
    )
    .bind(slug)
    .fetch_optional(&mut **tx)
    .await?;
    ConstraintTemplate::read(&row.ok_or_else(|| ApiError::not_found("template", slug))?)
}

/// Adds one.
///
/// # Errors
/// 409 where there is one of its slug, or as many as are kept.
pub async fn create(tx: &mut Tx, template: &ConstraintTemplate) -> ApiResult<()> {
    let taken = || ApiError::conflict(format!("there is a template {} already", template.slug));
    if system().iter().any(|known| known.slug == template.slug) {
        return Err(taken());
    }
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM constraint_templates").fetch_one(&mut **tx).await?;
    if count >= MOST {
        let message = format!("there are {MOST} templates already");
        return Err(ApiError::new(StatusCode::CONFLICT, "too_many_templates", message));
    }
    let inserted = sqlx::query(
        "INSERT INTO constraint_templates (slug, name, description, category, icon, constraints, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(&template.slug)
    .bind(&template.name)
    .bind(&template.description)
    .bind(&template.category)
    .bind(&template.icon)
    .bind(Value::Object(template.constraints.clone()).to_string())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 1 { Ok(()) } else { Err(taken()) }
}

#[cfg(test)]
mod tests {
    use super::system;
    use crate::constraints::check;

    #[test]
    fn gates_can_judge_each_template_that_is_always_there() {
        for template in system() {
            check("constraints", &template.constraints, |_| false).unwrap();
        }
        assert!(system().is_sorted_by(|one, next| one.slug < next.slug));
    }
}
