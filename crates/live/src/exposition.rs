//! Prometheus' text, as far as it is read here.

/// A line of a metric: its labels as they stand, and its value.
pub(crate) struct Line<'a> {
    labels: &'a str,
    pub(crate) value: f64,
}

impl Line<'_> {
    /// A label's value; those that are asked for have no quotes in them.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.labels.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    }
}

pub(crate) fn lines<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = Line<'a>> {
    text.lines().filter_map(move |line| {
        let (name, value) = line.rsplit_once(' ')?;
        let labels = name.strip_prefix(metric)?;
        let is_whole = labels.is_empty() || labels.starts_with('{');
        is_whole.then_some(Line { labels, value: value.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_told_from_those_that_begin_with_its_name() {
        let text =
            "# TYPE a_total counter\na_total{kind=\"X\",reason=\"too_old\"} 3\na_total_more 4\na_total 2\n";
        let read: Vec<_> = lines(text, "a_total")
            .map(|line| (line.value, line.label("reason").map(str::to_owned)))
            .collect();
        assert_eq!(read, [(3.0, Some("too_old".to_owned())), (2.0, None)]);
    }
}
