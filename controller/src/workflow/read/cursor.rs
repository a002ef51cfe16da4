//! A node and the key path that leads to it, with typed access.

use super::super::diagnostic::{Place, Sink};
use super::super::model::Text;
use super::super::text::python;
use super::super::text::scalar::Scalar;
use super::super::text::yaml::{Entry, Node, Value};
use super::keys;

/// Where a reader stands.
#[derive(Debug, Clone)]
pub(in super::super) struct Cursor<'n> {
    pub node: &'n Node,
    pub path: String,
}

/// A map whose keys have been checked.
#[derive(Debug)]
pub(in super::super) struct Fields<'n> {
    entries: &'n [Entry],
    pub place: Place,
    path: String,
}

impl<'n> Cursor<'n> {
    pub(in super::super) fn place(&self) -> Place {
        self.node.place
    }

    pub(in super::super) fn error(&self, sink: &mut Sink, message: String, remedy: &str) {
        sink.error(self.place(), &self.path, message, remedy);
    }

    pub(in super::super) fn expected<T>(
        &self,
        sink: &mut Sink,
        what: &str,
        remedy: &str,
    ) -> Option<T> {
        self.error(sink, format!("expected {what}, found {}", self.node.kind()), remedy);
        None
    }

    pub(in super::super) fn is_null(&self) -> bool {
        self.node.value == Value::Scalar(Scalar::Null)
    }

    /// A map with these keys and no others.
    pub(in super::super) fn fields(&self, known: &[&str], sink: &mut Sink) -> Option<Fields<'n>> {
        let Value::Map(entries) = &self.node.value else {
            return self.expected(sink, &format!("a map with {}", listed(known)), "");
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let path = joined(&self.path, &entry.key);
            let remedy = keys::remedy(&entry.key, known, &self.path);
            sink.error(entry.place, &path, "unknown key", remedy);
        }
        Some(Fields { entries, place: self.place(), path: self.path.clone() })
    }

    /// A map with any keys.
    pub(in super::super) fn entries(&self, sink: &mut Sink) -> Vec<(&'n Entry, Self)> {
        let Value::Map(entries) = &self.node.value else {
            let remedy = "write `NAME: value` lines below it";
            let _: Option<()> = self.expected(sink, "a map of names to values", remedy);
            return Vec::new();
        };
        entries
            .iter()
            .map(|entry| {
                (entry, Cursor { node: &entry.node, path: joined(&self.path, &entry.key) })
            })
            .collect()
    }

    /// A list.
    pub(in super::super) fn items(&self, sink: &mut Sink) -> Vec<Self> {
        let Value::List(items) = &self.node.value else {
            let _: Option<()> = self.expected(sink, "a list", "begin each entry with `- `");
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .map(|(index, node)| Cursor { node, path: format!("{}[{index}]", self.path) })
            .collect()
    }

    /// Text; numbers become text as Python prints them.
    pub(in super::super) fn text(&self, sink: &mut Sink) -> Option<Text> {
        let text = match &self.node.value {
            Value::Scalar(Scalar::Text(text)) => text.clone(),
            Value::Scalar(Scalar::Int(value)) => value.to_string(),
            Value::Scalar(Scalar::Float(value)) => python::float(*value),
            Value::Scalar(Scalar::Bool(_) | Scalar::Date(_)) => {
                return self.expected(sink, "text", "put it in quotes");
            }
            _ => return self.expected(sink, "text", ""),
        };
        if text.contains('\0') {
            self.error(sink, "the text holds a NUL character".to_owned(), "remove it");
            return None;
        }
        Some(Text { text, place: self.place() })
    }

    pub(in super::super) fn texts(&self, sink: &mut Sink) -> Vec<Text> {
        self.items(sink).iter().filter_map(|item| item.text(sink)).collect()
    }

    /// A boolean, also as 0, 1 or a quoted word.
    pub(in super::super) fn boolean(&self, sink: &mut Sink) -> Option<bool> {
        match &self.node.value {
            Value::Scalar(Scalar::Bool(value)) => Some(*value),
            Value::Scalar(Scalar::Int(0)) => Some(false),
            Value::Scalar(Scalar::Int(1)) => Some(true),
            Value::Scalar(Scalar::Float(value)) if *value == 0.0 => Some(false),
            Value::Scalar(Scalar::Float(value)) if *value == 1.0 => Some(true),
            Value::Scalar(Scalar::Text(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
                "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
                _ => self.expected(sink, "true or false", ""),
            },
            _ => self.expected(sink, "true or false", ""),
        }
    }

    /// A whole number of at least 0: `4`, `"4"`, `4.0`.
    pub(in super::super) fn whole(&self, sink: &mut Sink) -> Option<u64> {
        let value = match &self.node.value {
            Value::Scalar(Scalar::Int(value)) => Some(*value),
            Value::Scalar(Scalar::Bool(value)) => Some(i128::from(*value)),
            Value::Scalar(Scalar::Float(value)) if value.fract() == 0.0 => {
                python::parse_int(&format!("{value:.0}"))
            }
            Value::Scalar(Scalar::Text(text)) => python::parse_int(text),
            _ => None,
        };
        let value = value.and_then(|value| u64::try_from(value).ok());
        value.or_else(|| self.expected(sink, "a whole number", "write it without unit or fraction"))
    }
}

impl<'n> Fields<'n> {
    pub(in super::super) fn get(&self, key: &str) -> Option<Cursor<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Cursor { node: &entry.node, path: joined(&self.path, key) })
    }

    /// Where the key itself stands.
    pub(in super::super) fn place_of(&self, key: &str) -> Place {
        self.entries.iter().find(|e| e.key == key).map_or(self.place, |entry| entry.place)
    }

    pub(in super::super) fn required(&self, key: &str, sink: &mut Sink) -> Option<Cursor<'n>> {
        let found = self.get(key);
        if found.is_none() {
            let path = joined(&self.path, key);
            sink.error(self.place, &path, "this key is required", format!("add `{key}:` here"));
        }
        found
    }

    pub(in super::super) fn text_or_empty(&self, key: &str, sink: &mut Sink) -> Text {
        self.get(key)
            .and_then(|cursor| cursor.text(sink))
            .unwrap_or(Text { text: String::new(), place: self.place })
    }

    pub(in super::super) fn required_text(&self, key: &str, sink: &mut Sink) -> Text {
        self.required(key, sink)
            .and_then(|cursor| cursor.text(sink))
            .unwrap_or(Text { text: String::new(), place: self.place })
    }

    pub(in super::super) fn texts(&self, key: &str, sink: &mut Sink) -> Vec<Text> {
        self.get(key).map(|cursor| cursor.texts(sink)).unwrap_or_default()
    }

    pub(in super::super) fn boolean(&self, key: &str, default: bool, sink: &mut Sink) -> bool {
        self.get(key).and_then(|cursor| cursor.boolean(sink)).unwrap_or(default)
    }

    pub(in super::super) fn items(&self, key: &str, sink: &mut Sink) -> Vec<Cursor<'n>> {
        self.get(key).map(|cursor| cursor.items(sink)).unwrap_or_default()
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn listed(keys: &[&str]) -> String {
    match keys {
        [one] => (*one).to_owned(),
        _ if keys.len() > 4 => format!("keys such as {}", keys[..3].join(", ")),
        _ => keys.join(", "),
    }
}
