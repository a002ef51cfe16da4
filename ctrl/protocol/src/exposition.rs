//! Prometheus' text format, version 0.0.4: what `/metrics` answers.

use std::fmt::Write as _;

/// The answer's content type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a value does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It only grows.
    Counter,
    /// It may fall.
    Gauge,
}

impl Shape {
    /// As the format calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A page that grows, metric by metric.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Begins a metric; its samples follow.
    pub fn metric<'a>(&'a mut self, name: &'a str, shape: Shape, about: &str) -> Samples<'a> {
        let about = about.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {}", shape.name());
        Samples { name, text: &mut self.0 }
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Where the samples of one metric go.
#[derive(Debug)]
pub struct Samples<'a> {
    name: &'a str,
    text: &'a mut String,
}

impl Samples<'_> {
    /// A sample, with its labels as they stand.
    pub fn put<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>, number: f64) {
        self.text.push_str(self.name);
        let mut open = '{';
        for (label, value) in labels {
            let _ = write!(self.text, "{open}{label}=\"{}\"", escaped(value));
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {number}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Page, Shape};

    // The format's own example, from Prometheus' "Exposition formats".
    #[test]
    fn labels_are_escaped_as_the_format_wants_it() {
        let mut page = Page::default();
        let about = "The total number of HTTP requests.";
        let mut requests = page.metric("http_requests_total", Shape::Counter, about);
        requests.put([("method", "post"), ("code", "200")], 1027.0);
        let mut odd = page.metric("msdos_file_access_time_seconds", Shape::Gauge, "a\\b\nc");
        odd.put([("path", r"C:\DIR\FILE.TXT"), ("error", "Cannot find file:\n\"FILE.TXT\"")], 0.5);
        page.metric("metric_without_labels", Shape::Gauge, "").put([], 12.47);
        let expected = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027
# HELP msdos_file_access_time_seconds a\\b\nc
# TYPE msdos_file_access_time_seconds gauge
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 0.5
# HELP metric_without_labels 
# TYPE metric_without_labels gauge
metric_without_labels 12.47
"#;
        assert_eq!(page.into_text(), expected);
    }
}
