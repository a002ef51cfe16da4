//! The spec of a data set: YAML into checked values.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::size_draw;
use super::{DatasetError, Planned};
use crate::store::bucket::KEY_BYTES_MAX;

/// Objects that one spec may name.
const OBJECTS_MAX: u64 = 1_000_000;
/// Digits that a number in a name may be padded to.
const DIGITS_MAX: usize = 20;

/// A data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// Decides every byte and every size.
    pub seed: u64,
    /// What the set has.
    pub objects: Vec<ObjectGroup>,
}

/// Objects that share a prefix, a range of sizes and a way of naming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectGroup {
    /// `s3://bucket/prefix`; names are put directly behind the prefix.
    pub url: String,
    /// How many objects.
    #[serde(default = "one")]
    pub count: u64,
    /// Their sizes.
    pub bytes: SizeRange,
    /// Their names.
    #[serde(default)]
    pub name: NamePattern,
}

fn one() -> u64 {
    1
}

impl DatasetSpec {
    /// Reads a spec.
    ///
    /// # Errors
    /// [`DatasetError::Spec`], naming the line.
    pub fn parse(yaml: &str) -> Result<Self, DatasetError> {
        serde_saphyr::from_str(yaml).map_err(|error| DatasetError::Spec(error.to_string()))
    }

    /// Every object, in the spec's order.
    pub(super) fn plan(&self) -> Result<Vec<Planned>, DatasetError> {
        let count = self.objects.iter().fold(0u64, |sum, group| sum.saturating_add(group.count));
        if count > OBJECTS_MAX {
            let reason = format!("{count} objects are too many; the limit is {OBJECTS_MAX}");
            return Err(DatasetError::Spec(reason));
        }
        let mut plan = Vec::new();
        for group in &self.objects {
            group.plan(self.seed, &mut plan)?;
        }
        let mut seen = BTreeSet::new();
        for object in &plan {
            if !seen.insert((&object.bucket, &object.key)) {
                let reason = format!(
                    "s3://{}/{} is named twice; give `name` a `{{}}` or the groups other prefixes",
                    object.bucket, object.key
                );
                return Err(DatasetError::Spec(reason));
            }
        }
        Ok(plan)
    }
}

impl ObjectGroup {
    fn plan(&self, seed: u64, plan: &mut Vec<Planned>) -> Result<(), DatasetError> {
        let place = self.url.strip_prefix("s3://");
        let (bucket, prefix) = place
            .map(|place| place.split_once('/').unwrap_or((place, "")))
            .filter(|(bucket, _)| s3s::path::check_bucket_name(bucket))
            .ok_or_else(|| {
                DatasetError::Spec(format!("url `{}`: write s3://bucket/prefix", self.url))
            })?;
        for number in 0..self.count {
            let key = format!("{prefix}{}", self.name.write(number));
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                let reason = format!("key `{key}` must have 1 to {KEY_BYTES_MAX} bytes");
                return Err(DatasetError::Spec(reason));
            }
            let bytes = self.bytes.pick(size_draw(seed, bucket, &key));
            plan.push(Planned { bucket: bucket.to_owned(), key, bytes });
        }
        Ok(())
    }
}

/// Object sizes: one, or a half-open range of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeRange(Range<u64>);

impl SizeRange {
    /// The sizes in bytes.
    pub fn range(&self) -> Range<u64> {
        self.0.clone()
    }

    fn pick(&self, draw: u64) -> u64 {
        // The range is never empty.
        self.0.start + draw % (self.0.end - self.0.start)
    }
}

impl FromStr for SizeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((low, high)) = text.split_once("..") else {
            let bytes = size(text)?;
            return Ok(Self(bytes..bytes + 1));
        };
        let (low, high) = (size(low)?, size(high)?);
        if low >= high {
            return Err(format!("`{text}` holds no size: the first must be below the second"));
        }
        Ok(Self(low..high))
    }
}

impl fmt::Display for SizeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.0.start, self.0.end)
    }
}

fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(format!("`{text}` is no size: write 4096, 64KiB, 8MiB or 1GiB")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no size"))?;
    // Room for the end of a range, and far beyond any disk.
    let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes < 1 << 50);
    bytes.ok_or_else(|| format!("`{text}` is too large"))
}

/// How objects of a group are named: text around the object's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    before: String,
    number: Option<usize>,
    after: String,
}

impl NamePattern {
    fn write(&self, number: u64) -> String {
        match self.number {
            None => self.before.clone(),
            Some(digits) => format!("{}{number:0digits$}{}", self.before, self.after),
        }
    }
}

impl Default for NamePattern {
    fn default() -> Self {
        Self { before: String::new(), number: Some(6), after: ".bin".to_owned() }
    }
}

impl FromStr for NamePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no name: write at most one `{{}}` or `{{:06}}`");
        let Some((before, rest)) = text.split_once('{') else {
            return match text.contains('}') {
                true => Err(wrong()),
                false => Ok(Self { before: text.to_owned(), number: None, after: String::new() }),
            };
        };
        let (number, after) = rest.split_once('}').ok_or_else(wrong)?;
        let digits = match number {
            "" => Some(0),
            number => number.strip_prefix(":0").and_then(|digits| digits.parse().ok()),
        };
        let digits = digits.filter(|digits| *digits <= DIGITS_MAX).ok_or_else(wrong)?;
        if [before, after].iter().any(|text| text.contains(['{', '}'])) {
            return Err(wrong());
        }
        Ok(Self { before: before.to_owned(), number: Some(digits), after: after.to_owned() })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            None => f.write_str(&self.before),
            Some(0) => write!(f, "{}{{}}{}", self.before, self.after),
            Some(digits) => write!(f, "{}{{:0{digits}}}{}", self.before, self.after),
        }
    }
}

impl Serialize for SizeRange {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SizeRange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
