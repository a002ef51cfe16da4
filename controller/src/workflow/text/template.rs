//! Templates: Jinja as OSMO's service renders it, by minijinja.
//!
//! Only the `workflow` section is rendered, comments included. Unknown names
//! fail. The exact token forms (`{{output}}` …) are hidden from the template
//! and come out unchanged; [`tokens`] replaces them later.
//! There is no loader, so `include`, `import` and `extends` fail.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use super::super::diagnostic::{Place, Sink};
use super::super::tokens;
use super::TEXT_BYTES_MAX;
use super::lines::{self, LineMap};
use super::python;
use super::scalar::Scalar;
use super::sections::Section;
use super::yaml;

/// Template steps before a file is taken for an endless loop.
const FUEL_MAX: u64 = 5_000_000;

/// Variables, later ones winning: `default-values`, `--set`, `--set-string`.
#[derive(Debug, Default)]
pub(in super::super) struct Variables(Vec<(String, Value)>);

impl Variables {
    /// Adds every top-level entry of `default-values`.
    pub(in super::super) fn add_defaults(&mut self, section: &Section, sink: &mut Sink) {
        let map = LineMap::shifted(&section.text, section.line);
        let Some(root) = yaml::parse(&section.text, &map, sink) else { return };
        let yaml::Value::Map(entries) = root.value else { return };
        for defaults in entries {
            match defaults.node.value {
                yaml::Value::Scalar(Scalar::Null) => {}
                yaml::Value::Map(entries) => {
                    for entry in &entries {
                        self.0.push((entry.key.clone(), to_value(&entry.node)));
                    }
                }
                _ => sink.error(
                    defaults.place,
                    "default-values",
                    format!("expected a map of names to values, found {}", defaults.node.kind()),
                    "write `name: value` lines, indented below it",
                ),
            }
        }
    }

    /// Adds `--set k=v` arguments, each tried as a whole number, then as a
    /// decimal one, else text; or, for `--set-string`, always text.
    pub(in super::super) fn add_arguments(
        &mut self,
        flag: &str,
        arguments: &[String],
        sink: &mut Sink,
    ) {
        for argument in arguments {
            let Some((name, text)) = split_argument(flag, argument, sink) else { continue };
            let value = if flag == "--set" { typed(text) } else { Value::from(text) };
            self.0.push((name.to_owned(), value));
        }
    }
}

/// `NAME=VALUE`, cut at the first `=`.
pub(in super::super) fn split_argument<'a>(
    flag: &str,
    argument: &'a str,
    sink: &mut Sink,
) -> Option<(&'a str, &'a str)> {
    let pair = argument.split_once('=').filter(|(name, _)| !name.is_empty());
    if pair.is_none() {
        sink.error(
            None,
            "",
            format!("{flag} {argument} is incorrectly formatted"),
            format!("write {flag} NAME=VALUE"),
        );
    }
    pair
}

fn typed(text: &str) -> Value {
    if let Some(whole) = python::parse_int(text) {
        return Value::from(whole);
    }
    python::parse_float(text).map_or_else(|| Value::from(text), Value::from)
}

fn to_value(node: &yaml::Node) -> Value {
    match &node.value {
        yaml::Value::Scalar(scalar) => match scalar {
            Scalar::Null => Value::from(()),
            Scalar::Bool(value) => Value::from(*value),
            Scalar::Int(value) => {
                i64::try_from(*value).map_or_else(|_| Value::from(*value), Value::from)
            }
            Scalar::Float(value) => Value::from(*value),
            Scalar::Date(text) | Scalar::Text(text) => Value::from(text.as_str()),
        },
        yaml::Value::List(items) => items.iter().map(to_value).collect::<Vec<_>>().into(),
        yaml::Value::Map(entries) => {
            Value::from_pairs(entries.iter().map(|e| (e.key.as_str(), to_value(&e.node))))
        }
    }
}

/// Renders the section. The map leads from rendered lines to the file's.
pub(in super::super) fn render(
    section: &Section,
    variables: &Variables,
    sink: &mut Sink,
) -> Option<(String, LineMap)> {
    let (hidden, kept) = tokens::hide(&section.text);
    let marked = lines::can_mark(&section.text);
    let source = if marked { lines::mark(&hidden, section.line) } else { hidden };
    let context = Value::from_pairs(variables.0.iter().cloned());
    let rendered = match run(&source, &context) {
        Ok(rendered) => rendered,
        Err(error) => {
            report(&error, section, sink);
            return None;
        }
    };
    let (text, map) = if marked {
        lines::unmark(&rendered, section.line)
    } else {
        let map = LineMap::shifted(&rendered, section.line);
        (rendered, map)
    };
    Some((tokens::restore(&text, &kept), map))
}

fn run(source: &str, context: &Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL_MAX));
    environment.set_formatter(|out, _, value| {
        if value.is_undefined() {
            return Err(Error::from(minijinja::ErrorKind::UndefinedError));
        }
        out.write_str(&printed(value)).map_err(Error::from)
    });
    let template = environment.template_from_named_str("workflow", source)?;
    let mut out = Bounded(Vec::new());
    template.render_captured_to(context.clone(), &mut out)?;
    String::from_utf8(out.0).map_err(|_| {
        Error::new(minijinja::ErrorKind::WriteFailure, "the rendered text is not UTF-8")
    })
}

/// Output that ends at [`TEXT_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "the rendered text is larger than {} MiB",
                TEXT_BYTES_MAX >> 20
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn report(error: &Error, section: &Section, sink: &mut Sink) {
    let mut message = format!("Jinja Template Error: {}", error.kind());
    if let Some(detail) = error.detail() {
        let _ = write!(message, ": {detail}");
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(message, ": {cause}");
        source = cause.source();
    }
    let place = error.line().map(|line| Place::new(line + section.line - 1, 1));
    sink.error(place, "", message, remedy(error.kind()));
}

fn remedy(kind: minijinja::ErrorKind) -> &'static str {
    use minijinja::ErrorKind as Kind;
    match kind {
        Kind::UndefinedError => {
            "name it under `default-values:` or pass --set NAME=VALUE; a token such as {{output}} \
             is written without blanks"
        }
        Kind::SyntaxError => {
            "text that holds {{, {% or {# for another program goes between {% raw %} and \
             {% endraw %}, or into a file named by `localpath`"
        }
        Kind::OutOfFuel => "the template does too much; shorten its loops",
        Kind::TemplateNotFound => "include, import and extends have nothing to load; write it out",
        _ => "",
    }
}

/// Python's `str()`.
fn printed(value: &Value) -> String {
    value.as_str().map_or_else(|| nested(value), str::to_owned)
}

/// Python's `repr()`.
fn nested(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return python::quoted(text);
    }
    match value.kind() {
        ValueKind::Number if !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.to_string(), python::float)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<_> = value
                .try_iter()
                .map(|all| all.map(|one| nested(&one)).collect())
                .unwrap_or_default();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map => {
            let keys = value.try_iter().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
            let pairs: Vec<_> = keys
                .iter()
                .map(|key| {
                    let item = value.get_item(key).unwrap_or_default();
                    format!("{}: {}", nested(key), nested(&item))
                })
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => value.to_string(),
    }
}
