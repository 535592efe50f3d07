//! What was measured, for people and for programs.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Everything that one run measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// One number, and what is asked of it.
pub(crate) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    /// The largest value that is good enough.
    bar: Option<f64>,
}

impl Row {
    /// A number of which nothing is asked.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, bar: None }
    }

    /// Asks that the number be no larger than `bar`.
    pub(crate) fn at_most(mut self, bar: f64) -> Self {
        self.bar = Some(bar);
        self
    }

    /// Whether it is; a number that is none (NaN) is not.
    fn holds(&self) -> Option<bool> {
        self.bar.map(|bar| self.value <= bar)
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name, "value": self.value, "unit": self.unit,
            "bar": self.bar, "holds": self.holds(),
        })
    }
}

impl Report {
    /// Adds one number.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether every bar holds.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds() != Some(false))
    }

    /// Writes `report.json` into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf> {
        let file = folder.join("report.json");
        let rows: Vec<_> = self.rows.iter().map(Row::to_json).collect();
        std::fs::write(&file, format!("{:#}\n", Value::Array(rows)))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// The rows of which something is asked.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<44}{:>12}{:>12}  holds", "bar", "at most", "measured")?;
        for row in &self.rows {
            if let (Some(bar), Some(holds)) = (row.bar, row.holds()) {
                let digits = if row.unit == "bytes" { 0 } else { 2 };
                let holds = if holds { "yes" } else { "NO" };
                writeln!(out, "{:<44}{bar:>12.digits$}{:>12.digits$}  {holds}", row.name, row.value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_bar_is_a_missed_report() {
        let mut report = Report::default();
        report.add(Row::new("a", 1.0, "us"));
        report.add(Row::new("b", 1.3, "ratio").at_most(1.3));
        assert!(report.holds());
        report.add(Row::new("c", 1.31, "ratio").at_most(1.3));
        assert!(!report.holds());
    }

    #[test]
    fn what_could_not_be_measured_holds_no_bar() {
        assert_eq!(Row::new("a", f64::NAN, "us").at_most(9.0).holds(), Some(false));
    }
}
