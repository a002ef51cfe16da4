//! Which objects there are: counted, never listed in memory.

use super::schedule::mix;

/// Objects in a folder, so that no folder grows without end.
const FOLDER_OBJECTS: u64 = 1000;
/// What seven digits can name.
const OBJECTS_MAX: u64 = 10_000_000;

/// Objects of one kind, below one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The prefix without its slash: lower-case letters, digits, `-`.
    pub name: String,
    /// How many.
    pub count: u64,
    /// The smallest size.
    pub bytes_least: u64,
    /// The largest; sizes in between are drawn evenly.
    pub bytes_most: u64,
}

impl Dataset {
    /// `count` objects of `bytes` bytes each.
    pub fn new(name: &str, count: u64, bytes: u64) -> Self {
        let count = count.min(OBJECTS_MAX);
        Self { name: name.to_owned(), count, bytes_least: bytes, bytes_most: bytes }
    }

    /// The path of an object below the prefix.
    pub fn path(&self, index: u64) -> String {
        if self.count <= FOLDER_OBJECTS {
            return format!("{index:07}.bin");
        }
        format!("{:04}/{index:07}.bin", index / FOLDER_OBJECTS)
    }

    /// Its whole key.
    pub fn key(&self, index: u64) -> String {
        format!("{}/{}", self.name, self.path(index))
    }

    /// Its size in bytes.
    pub fn bytes(&self, index: u64) -> u64 {
        let span = self.bytes_most.saturating_sub(self.bytes_least) + 1;
        self.bytes_least + mix(self.id(index)) % span
    }

    /// What its content is told apart by.
    pub fn id(&self, index: u64) -> u64 {
        let name = self.name.bytes().fold(0, |id, byte| mix(id ^ u64::from(byte)));
        mix(name ^ index)
    }

    /// All bytes.
    pub fn bytes_total(&self) -> u64 {
        (0..self.count).map(|index| self.bytes(index)).sum()
    }
}

/// The data sets of a bucket; its objects are numbered in the order of keys.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    sets: Vec<Dataset>,
}

/// One object of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) key: String,
    pub(super) bytes: u64,
    pub(super) id: u64,
}

impl Catalog {
    /// In the order of names.
    pub fn new(mut sets: Vec<Dataset>) -> Self {
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        Self { sets }
    }

    /// The object of this number, if there are so many.
    pub(super) fn nth(&self, mut number: u64) -> Option<Known> {
        for set in &self.sets {
            if number < set.count {
                let (bytes, id) = (set.bytes(number), set.id(number));
                return Some(Known { key: set.key(number), bytes, id });
            }
            number -= set.count;
        }
        None
    }

    /// The number of the first object whose key is `key` or comes after it.
    pub(super) fn from(&self, key: &str) -> u64 {
        let (mut low, mut high) = (0, self.sets.iter().map(|set| set.count).sum::<u64>());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.nth(middle) {
                Some(known) if known.key.as_str() < key => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// The object under exactly this key.
    pub(super) fn find(&self, key: &str) -> Option<Known> {
        self.nth(self.from(key)).filter(|known| known.key == key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_are_in_order_and_found() {
        let few = Dataset { bytes_most: 100, ..Dataset::new("few", 3, 10) };
        let catalog = Catalog::new(vec![Dataset::new("many", 2500, 1), few.clone()]);
        let keys: Vec<String> = (0..2503).map(|number| catalog.nth(number).unwrap().key).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys[0], "few/0000000.bin");
        assert_eq!(keys[2502], "many/0002/0002499.bin");
        assert_eq!(catalog.nth(2503), None);
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(catalog.from(key), number as u64);
            assert!((10..=100).contains(&catalog.find(key).unwrap().bytes) || number > 2);
        }
        assert_eq!(catalog.find("many/"), None);
        assert_eq!(few.bytes_total(), (0..3).map(|index| few.bytes(index)).sum::<u64>());
    }
}
