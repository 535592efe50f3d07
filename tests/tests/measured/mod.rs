//! What is measured, as Prometheus reads it; and what a dashboard and alerts ask for.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One reading of a metrics page.
pub struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Metrics by name: their kind, and their labels.
pub type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

impl Scrape {
    pub fn read(page: &[u8]) -> Self {
        let page = String::from_utf8(page.to_vec()).unwrap();
        let mut scrape = Scrape { kinds: BTreeMap::new(), samples: Vec::new() };
        for line in page.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => {
                    if let Some((name, kind)) =
                        comment.strip_prefix("TYPE ").and_then(|rest| rest.split_once(' '))
                    {
                        scrape.kinds.insert(name.to_owned(), kind.to_owned());
                    }
                }
                None if line.is_empty() => {}
                None => scrape.samples.push(Sample::read(line)),
            }
        }
        scrape
    }

    /// The names of all that has a value.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.samples.iter().map(|sample| sample.name.clone())
    }

    /// All of a name together.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }

    /// The value of the one that has these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            let has = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|v| v == value);
            sample.name == name && labels.iter().all(has)
        };
        self.samples.iter().find(fits).map(|sample| sample.value)
    }

    /// The values of these labels of all samples of a name, which have no other labels.
    pub fn labels<const N: usize>(&self, name: &str, labels: [&str; N]) -> BTreeSet<[String; N]> {
        let of_name = self.samples.iter().filter(|sample| sample.name == name);
        of_name
            .map(|sample| {
                assert_eq!(sample.labels.len(), N, "{name}: {:?}", sample.labels);
                labels.map(|label| sample.labels[label].clone())
            })
            .collect()
    }

    /// What there is under names that begin so.
    pub fn metrics(&self, prefix: &str) -> Metrics {
        let mut metrics = Metrics::new();
        for sample in self.samples.iter().filter(|sample| sample.name.starts_with(prefix)) {
            let kind = self.kinds.get(&sample.name).cloned().unwrap_or_default();
            let (_, labels) = metrics.entry(sample.name.clone()).or_insert_with(|| (kind, BTreeSet::new()));
            labels.extend(sample.labels.keys().cloned());
        }
        metrics
    }
}

impl Sample {
    /// `name{label="value",…} value`; no label's value here has a quote in it.
    fn read(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split_terminator("\",");
        let labels = labels.filter_map(|label| {
            let (name, value) = label.split_once("=\"")?;
            Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap_or(f64::NAN) }
    }
}

/// The rows of a table whose first cells are metrics.
pub fn documented(page: &str) -> Metrics {
    let rows = page.lines().filter(|line| line.starts_with("| `portcullis_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let kind = cells[2].split([',', ' ']).next().unwrap().to_owned();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[1].trim_matches('`').to_owned(), (kind, labels))
    })
    .collect()
}

/// The queries of a dashboard of Grafana, each with its panel's title. Every panel must have a title,
/// a unit and a query.
pub fn panels(dashboard: &str) -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let mut queries = Vec::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().filter(|title| !title.is_empty());
        let title = title.unwrap_or_else(|| panic!("a panel has no title: {panel}"));
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is another's");
        if panel["type"] == "row" {
            continue;
        }
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{title} has no unit");
        let targets = panel["targets"].as_array().filter(|targets| !targets.is_empty());
        for target in targets.unwrap_or_else(|| panic!("{title} asks for nothing")) {
            // Grafana's own, from which Prometheus sees a time.
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            assert!(!query.contains('$'), "{title}: {query}");
            queries.push((title.to_owned(), query));
        }
    }
    queries
}

/// The expressions of a rule file, each with its alert's name; each on one line.
pub fn alerts(rules: &str) -> Vec<(String, String)> {
    let mut name = String::new();
    let mut found = Vec::new();
    for line in rules.lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            alert.clone_into(&mut name);
        } else if let Some(expression) = line.strip_prefix("expr: ") {
            found.push((name.clone(), expression.to_owned()));
        }
    }
    assert!(!found.is_empty());
    found
}

/// The metrics that a query in PromQL names: words that are no function, no keyword, no label and no
/// part of a text.
pub fn names_in(query: &str) -> BTreeSet<String> {
    const LISTS: [&str; 4] = ["by", "without", "on", "ignoring"];
    // Texts first, which may hold any sign: every second part is between quotes.
    let bare: String = query.split('"').step_by(2).collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut names = BTreeSet::new();
    let mut rest = bare.as_str();
    while let Some(first) = rest.chars().next() {
        let (word, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let follows = after.trim_start();
        let is_list = |text: &str| LISTS.iter().any(|list| text.strip_prefix(list).is_some_and(is_opened));
        rest = match first {
            '{' => rest.split_once('}').unwrap().1,
            '[' => rest.split_once(']').unwrap().1,
            _ if LISTS.contains(&word) => after.split_once(')').unwrap().1,
            _ if word.is_empty() => &rest[first.len_utf8()..],
            _ => {
                // `sum by (le) (…)` is a function as `sum(…)` is.
                if first.is_ascii_alphabetic() && !is_opened(after) && !is_list(follows) {
                    names.insert(word.to_owned());
                }
                after
            }
        };
    }
    names
}

fn is_opened(text: &str) -> bool {
    text.trim_start().starts_with('(')
}
