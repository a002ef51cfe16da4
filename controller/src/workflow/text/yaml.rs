//! A YAML tree with places: from parser events to nodes.
//!
//! It is not a general YAML value: keys are text, tags beyond the core ones are
//! refused, and everything is counted, so that an alias cannot grow into more
//! than [`NODES_MAX`] nodes.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::super::diagnostic::{Place, Sink};
use super::lines::LineMap;
use super::python;
use super::scalar::{self, Scalar};

/// Nodes in one tree, aliases and merges counted as often as they are used.
pub(in super::super) const NODES_MAX: usize = 200_000;
/// Maps and lists inside each other; the tree is walked by recursion.
pub(in super::super) const DEPTH_MAX: usize = 64;

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; each key once.
    Map(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

impl Node {
    /// What it is, for "expected …, found …".
    pub(in super::super) fn kind(&self) -> String {
        match &self.value {
            Value::Scalar(Scalar::Null) => "nothing (null)".to_owned(),
            Value::Scalar(Scalar::Bool(value)) => {
                format!("a boolean ({})", if *value { "true" } else { "false" })
            }
            Value::Scalar(Scalar::Int(value)) => format!("the number {value}"),
            Value::Scalar(Scalar::Float(value)) => format!("the number {}", python::float(*value)),
            Value::Scalar(Scalar::Date(text)) => format!("a date ({text})"),
            Value::Scalar(Scalar::Text(text)) => {
                format!("text ({})", python::quoted(&shortened(text)))
            }
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| 1 + e.node.count()).sum::<usize>(),
        }
    }
}

/// The first forty characters of a text.
pub(in super::super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 {
        return text.to_owned();
    }
    text.chars().take(39).chain(['…']).collect()
}

/// Parses one document; a fault goes to `sink` and gives `None`.
pub(in super::super) fn parse(text: &str, lines: &LineMap, sink: &mut Sink) -> Option<Node> {
    let mut builder = Builder { lines, anchors: HashMap::new(), nodes: 0, sink };
    let mut parser = Parser::new_from_str(text);
    let mut root = None;
    loop {
        let (event, span) = match parser.next_event()? {
            Ok(next) => next,
            Err(error) => {
                let place = builder.place(*error.marker());
                builder.refuse(place, &format!("this is not YAML: {}", error.info()));
                return None;
            }
        };
        match event {
            Event::StreamEnd => return root,
            Event::DocumentStart(..) if root.is_some() => {
                let place = builder.place(span.start);
                builder.refuse(place, "a second YAML document starts here; keep one");
                return None;
            }
            Event::StreamStart
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Comment(..) => {}
            event => root = Some(builder.node(event, span, &mut parser, 0)?),
        }
    }
}

struct Builder<'a> {
    lines: &'a LineMap,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    sink: &'a mut Sink,
}

type Events<'i> = Parser<'i, granit_parser::StrInput<'i>>;

impl Builder<'_> {
    fn place(&self, marker: granit_parser::Marker) -> Place {
        Place::new(self.lines.line(marker.line()), marker.col() + 1)
    }

    fn refuse(&mut self, place: Place, message: &str) {
        self.sink.error(place, "", message, "");
    }

    fn next<'i>(&mut self, parser: &mut Events<'i>) -> Option<(Event<'i>, Span)> {
        loop {
            match parser.next_event()? {
                Ok((Event::Comment(..), _)) => {}
                Ok(next) => return Some(next),
                Err(error) => {
                    let place = self.place(*error.marker());
                    self.refuse(place, &format!("this is not YAML: {}", error.info()));
                    return None;
                }
            }
        }
    }

    fn node(
        &mut self,
        event: Event<'_>,
        span: Span,
        parser: &mut Events<'_>,
        depth: usize,
    ) -> Option<Node> {
        let place = self.place(span.start);
        self.nodes += 1;
        if depth > DEPTH_MAX {
            self.refuse(place, &format!("lists and maps go more than {DEPTH_MAX} levels deep"));
            return None;
        }
        if self.nodes > NODES_MAX {
            self.refuse(
                place,
                &format!("there are more than {NODES_MAX} values, aliases included"),
            );
            return None;
        }
        let (anchor, value) = match event {
            Event::Alias(id) => return self.alias(id, place),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, self.scalar(&text, style, tag.as_deref(), place)?)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", place)?;
                (anchor, Value::List(self.list(parser, depth)?))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", place)?;
                (anchor, Value::Map(self.map(parser, depth)?))
            }
            _ => {
                self.refuse(place, "this is not YAML: a value is missing here");
                return None;
            }
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Some(node)
    }

    fn alias(&mut self, id: usize, place: Place) -> Option<Node> {
        let Some(found) = self.anchors.get(&id) else {
            self.refuse(place, "this alias stands inside of what it names");
            return None;
        };
        // Counted before it is copied: ten short lines can name a billion nodes.
        let count = found.count();
        if self.nodes + count > NODES_MAX {
            self.refuse(
                place,
                &format!("there are more than {NODES_MAX} values, aliases included"),
            );
            return None;
        }
        let node = found.clone();
        self.nodes += count;
        Some(node)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: Place,
    ) -> Option<Value> {
        let resolved = match tag {
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None => Ok(Scalar::Text(text.to_owned())),
            Some(tag) if tag.original() == "!" => Ok(Scalar::Text(text.to_owned())),
            Some(tag) => match tag.core_suffix() {
                Some(name) => scalar::tagged(name, text),
                None => Err(format!("the tag {} is not used in workflow files", tag.original())),
            },
        };
        match resolved {
            Ok(scalar) => Some(Value::Scalar(scalar)),
            Err(message) => {
                self.refuse(place, &message);
                None
            }
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, place: Place) -> Option<()> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(expected) => {
                let message = format!("the tag {} is not used in workflow files", tag.original());
                self.refuse(place, &message);
                None
            }
            _ => Some(()),
        }
    }

    fn list(&mut self, parser: &mut Events<'_>, depth: usize) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            match self.next(parser)? {
                (Event::SequenceEnd, _) => return Some(items),
                (event, span) => items.push(self.node(event, span, parser, depth + 1)?),
            }
        }
    }

    fn map(&mut self, parser: &mut Events<'_>, depth: usize) -> Option<Vec<Entry>> {
        let mut own = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next(parser)?;
            if matches!(event, Event::MappingEnd) {
                // The map's own keys win over merged ones, wherever `<<` stands.
                merged.extend(own);
                return Some(last_wins(merged));
            }
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = if merge { None } else { Some(self.node(event, span, parser, depth + 1)?) };
            let (event, span) = self.next(parser)?;
            let node = self.node(event, span, parser, depth + 1)?;
            match key {
                Some(key) => own.push(Entry { place: key.place, key: self.key(key)?, node }),
                None => merged.extend(self.merged(node)?),
            }
        }
    }

    /// The entries that a `<<` brings; in a list the earlier map wins.
    fn merged(&mut self, node: Node) -> Option<Vec<Entry>> {
        let place = node.place;
        let maps = match node.value {
            Value::Map(entries) => return Some(entries),
            Value::List(items) => items,
            Value::Scalar(_) => {
                self.refuse(place, "`<<` takes a map or a list of maps");
                return None;
            }
        };
        let mut all = Vec::new();
        for item in maps.into_iter().rev() {
            let Value::Map(entries) = item.value else {
                self.refuse(item.place, "`<<` takes a map or a list of maps");
                return None;
            };
            all.extend(entries);
        }
        Some(all)
    }

    fn key(&mut self, key: Node) -> Option<String> {
        match key.value {
            Value::Scalar(Scalar::Text(text)) => Some(text),
            // `COMPLETE: 0` is text, `1: x` is a number; the model refuses or takes its text.
            Value::Scalar(Scalar::Int(value)) => Some(value.to_string()),
            Value::Scalar(Scalar::Float(value)) => Some(python::float(value)),
            Value::Scalar(Scalar::Bool(value)) => {
                let written = python::boolean(value);
                self.refuse(
                    key.place,
                    &format!(
                        "this key is the boolean {written} in YAML 1.1; quote it to make it text"
                    ),
                );
                None
            }
            Value::Map(_) => {
                self.refuse(
                    key.place,
                    "a map cannot be a key; a value that starts with `{` must be quoted",
                );
                None
            }
            _ => {
                self.refuse(key.place, "a key must be text; quote it");
                None
            }
        }
    }
}

/// Of two equal keys the last wins, at the place of the first, as in Python.
fn last_wins(entries: Vec<Entry>) -> Vec<Entry> {
    let mut index: HashMap<String, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match index.get(&entry.key) {
            Some(&at) => kept[at] = entry,
            None => {
                index.insert(entry.key.clone(), kept.len());
                kept.push(entry);
            }
        }
    }
    kept
}
