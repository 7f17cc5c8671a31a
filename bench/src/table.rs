//! The table at the end of `make bench`: name, ours, floor, ratio.

use serde_json::{Value, json};

/// The same thing measured several times.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<f64>);

impl Values {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The middle one; 0 of none.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// Smallest and largest.
    pub fn spread(&self) -> (f64, f64) {
        let end = |value: Option<&f64>| value.copied().unwrap_or_default();
        (end(self.0.first()), end(self.0.last()))
    }

    /// Each by itself.
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        let mut made = Self::default();
        self.0.iter().for_each(|value| made.push(change(*value)));
        made
    }
}

/// One line.
#[derive(Clone, Debug)]
pub struct Row {
    name: String,
    unit: &'static str,
    ours: Values,
    floor: Option<Values>,
    about: String,
}

impl Row {
    /// Medians of what was measured.
    pub fn new(name: &str, unit: &'static str, ours: Values, floor: Option<Values>) -> Self {
        Self { name: name.to_owned(), unit, ours, floor, about: String::new() }
    }

    /// One number.
    pub fn plain(name: &str, unit: &'static str, value: f64) -> Self {
        Self::new(name, unit, Values(vec![value]), None)
    }

    /// With a remark.
    pub fn about(mut self, text: &str) -> Self {
        text.clone_into(&mut self.about);
        self
    }

    fn ratio(&self) -> Option<f64> {
        let floor = self.floor.as_ref()?.median();
        (floor > 0.0).then(|| self.ours.median() / floor)
    }
}

/// All lines.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    /// One more line.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// What could not be measured, and why.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// For people, as Markdown.
    pub fn text(&self) -> String {
        let mut lines = vec![
            "| name | ours | floor | ratio |".to_owned(),
            "| --- | --- | --- | --- |".to_owned(),
        ];
        for row in &self.rows {
            let floor = row.floor.as_ref().map_or("–".to_owned(), |f| number(f.median()));
            let ratio = row.ratio().map_or("–".to_owned(), |r| format!("{r:.2}"));
            let (low, high) = row.ours.spread();
            let spread = if row.ours.0.len() > 1 {
                format!(" ({}–{})", number(low), number(high))
            } else {
                String::new()
            };
            let ours = format!("{} {}{spread}", number(row.ours.median()), row.unit);
            lines.push(format!("| {} | {ours} | {floor} | {ratio} |", row.name));
        }
        let about = self.rows.iter().filter(|r| !r.about.is_empty());
        lines.push(String::new());
        lines.extend(about.map(|r| format!("{}: {}", r.name, r.about)));
        lines.extend(self.notes.iter().cloned());
        lines.join("\n")
    }

    /// For programs.
    pub fn json(&self, machine: &Value) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let (low, high) = row.ours.spread();
                json!({
                    "name": row.name,
                    "unit": row.unit,
                    "ours": row.ours.median(),
                    "spread": [low, high],
                    "repeats": row.ours.0.len(),
                    "floor": row.floor.as_ref().map(Values::median),
                    "ratio": row.ratio(),
                    "about": row.about,
                })
            })
            .collect();
        json!({ "machine": machine, "rows": rows, "notes": self.notes })
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        small if small >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_median_spread_floor_and_ratio() {
        let mut ours = Values::default();
        [300.0, 100.0, 200.0].into_iter().for_each(|v| ours.push(v));
        let mut floor = Values::default();
        floor.push(80.0);
        let mut table = Table::default();
        table.push(Row::new("x", "ns", ours, Some(floor)));
        table.push(Row::plain("y", "KB", 1.5));
        let text = table.text();
        assert!(text.contains("| x | 200 ns (100–300) | 80.0 | 2.50 |"), "{text}");
        assert!(text.contains("| y | 1.50 KB | – | – |"), "{text}");
        assert_eq!(table.json(&Value::Null)["rows"][0]["ratio"], 2.5);
    }
}
