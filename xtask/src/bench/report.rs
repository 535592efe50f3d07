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
    bar: Option<Bar>,
}

/// What is good enough.
#[derive(Clone, Copy)]
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    /// A number of which nothing is asked.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, bar: None }
    }

    /// Asks that the number be no larger than `bar`.
    pub(crate) fn at_most(mut self, bar: f64) -> Self {
        self.bar = Some(Bar::AtMost(bar));
        self
    }

    /// Asks that the number be no smaller than `bar`.
    pub(crate) fn at_least(mut self, bar: f64) -> Self {
        self.bar = Some(Bar::AtLeast(bar));
        self
    }

    /// Whether it is; a number that is none (NaN) is not.
    fn holds(&self) -> Option<bool> {
        self.bar.map(|bar| match bar {
            Bar::AtMost(bar) => self.value <= bar,
            Bar::AtLeast(bar) => self.value >= bar,
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name, "value": self.value, "unit": self.unit,
            "bar": self.bar.map(Bar::value), "holds": self.holds(),
        })
    }
}

impl Bar {
    fn value(self) -> f64 {
        match self {
            Bar::AtMost(bar) | Bar::AtLeast(bar) => bar,
        }
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
        writeln!(out, "{:<44}{:>18}{:>12}  holds", "bar", "wanted", "measured")?;
        for row in &self.rows {
            if let (Some(bar), Some(holds)) = (row.bar, row.holds()) {
                let digits = if row.unit == "bytes" { 0 } else { 2 };
                let holds = if holds { "yes" } else { "NO" };
                let wanted = match bar {
                    Bar::AtMost(bar) => format!("at most {bar:.digits$}"),
                    Bar::AtLeast(bar) => format!("at least {bar:.digits$}"),
                };
                writeln!(out, "{:<44}{wanted:>18}{:>12.digits$}  {holds}", row.name, row.value)?;
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
    fn a_number_that_must_not_be_smaller_may_be_larger() {
        assert_eq!(Row::new("a", 100.0, "MB/s").at_least(100.0).holds(), Some(true));
        assert_eq!(Row::new("a", 99.9, "MB/s").at_least(100.0).holds(), Some(false));
    }

    #[test]
    fn what_could_not_be_measured_holds_no_bar() {
        assert_eq!(Row::new("a", f64::NAN, "us").at_most(9.0).holds(), Some(false));
        assert_eq!(Row::new("a", f64::NAN, "us").at_least(9.0).holds(), Some(false));
    }
}
