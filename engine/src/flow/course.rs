//! Whether a listing gets anywhere.

/// Pages in a row that hold nothing: a store may skip over what was deleted,
/// a thousand keys at a time, but not for ever.
const EMPTY_MAX: u32 = 10_000;

/// Follows a listing page by page, in the memory of two marks, and notices
/// when it walks in a circle (Brent's method: one mark is kept, and moved on
/// after 1, 2, 4, … pages, so that any circle closes on it).
#[derive(Debug, Default)]
pub struct Course {
    token: Mark,
    keys: Mark,
    empty: u32,
}

/// One sequence of words, and the one that is remembered.
#[derive(Debug)]
struct Mark {
    kept: Option<String>,
    left: u64,
    span: u64,
}

impl Default for Mark {
    fn default() -> Self {
        Self { kept: None, left: 0, span: 1 }
    }
}

impl Mark {
    /// Whether `word` has been here before.
    fn again(&mut self, word: &str) -> bool {
        if self.kept.as_deref() == Some(word) {
            return true;
        }
        if self.left == 0 {
            self.kept = Some(word.to_owned());
            self.left = self.span;
            self.span = self.span.saturating_mul(2);
        }
        self.left -= 1;
        false
    }
}

impl Course {
    /// Whether a listing may go on after a page that begins with the key
    /// `first` (`None` for an empty one) and is continued by `next`.
    pub fn advances(&mut self, first: Option<&str>, next: Option<&str>) -> bool {
        let circle = next.is_some_and(|next| self.token.again(next));
        let repeats = first.is_some_and(|first| self.keys.again(first));
        self.empty = if first.is_some() { 0 } else { self.empty + 1 };
        !circle && !repeats && self.empty < EMPTY_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_circle_closes_whatever_comes_before_it() {
        for before in 0..20 {
            for round in 1..20 {
                let mut course = Course::default();
                let mut page = 0;
                let token = |page| {
                    let inside =
                        if page < before { page } else { before + (page - before) % round };
                    format!("token {inside}")
                };
                while course.advances(Some(&format!("key {page}")), Some(&token(page))) {
                    page += 1;
                    assert!(page < 200, "{before} pages, then a circle of {round}");
                }
            }
        }
    }

    #[test]
    fn pages_that_repeat_under_new_names_are_noticed() {
        let mut course = Course::default();
        let mut pages = 0;
        while course.advances(Some("a"), Some(&format!("token {pages}"))) {
            pages += 1;
            assert!(pages < 10);
        }
    }

    #[test]
    fn a_long_listing_goes_on_and_a_void_does_not() {
        let mut course = Course::default();
        for page in 0..100_000 {
            assert!(course.advances(Some(&format!("{page}")), Some(&format!("{page}"))));
        }
        assert!(course.advances(None, None));
        let empty = (0..).take_while(|page| course.advances(None, Some(&format!("void {page}"))));
        assert_eq!(empty.count(), 9_998);
    }
}
