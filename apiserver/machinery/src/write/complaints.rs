//! Complaints about the fields of a body, of which little is kept whatever the body is like (C4).
//!
//! Invariant: whoever sends a body chooses its keys, how deep they lie and how often they repeat; what is printed and
//! kept for that has a bound of its own.

/// So many are looked at, as in Kubernetes; the others are counted.
const MOST: usize = 100;
/// Characters of a path.
const LONGEST: usize = 256;

/// A path as Kubernetes prints it: `spec.ports[0].name`. It is printed from its root on, and cut.
#[derive(Debug, Default)]
pub(super) struct Path {
    text: String,
    characters: usize,
}

impl Path {
    /// Goes on to the value of a key.
    pub(super) fn field(&mut self, key: &str) {
        if self.characters > 0 {
            self.print(".");
        }
        self.print(key);
    }

    /// Goes on to an item of a list.
    pub(super) fn item(&mut self, index: usize) {
        self.print(&format!("[{index}]"));
    }

    fn print(&mut self, text: &str) {
        for each in text.chars().take(LONGEST - self.characters) {
            self.text.push(each);
            self.characters += 1;
        }
    }
}

/// What is wrong with the fields of one body.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    texts: Vec<String>,
    looked_at: usize,
    more: usize,
}

impl Complaints {
    /// Adds one, unless the same was said before; its path is printed only where there is room for it.
    pub(super) fn add(&mut self, what: &str, print: impl FnOnce(&mut Path)) {
        if self.looked_at == MOST {
            self.more += 1;
            return;
        }
        self.looked_at += 1;
        let mut path = Path::default();
        print(&mut path);
        let text = format!("{what} field {:?}", path.text);
        if !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    /// All of them; the last tells how many there were besides.
    pub(super) fn into_texts(mut self) -> Vec<String> {
        if self.more > 0 {
            self.texts.push(format!("and {} more unknown or duplicate fields", self.more));
        }
        self.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_a_path_is_printed_from_its_root_and_cut() {
        let mut path = Path::default();
        path.field("spec");
        path.field("ports");
        path.item(0);
        path.field("ä");
        assert_eq!(path.text, "spec.ports[0].ä");
        path.field(&"ö".repeat(1000));
        path.item(1);
        path.field("x");
        assert_eq!(path.text.chars().count(), LONGEST);
    }

    #[test]
    fn c4_a_hundred_are_told_and_the_others_counted() {
        let mut complaints = Complaints::default();
        for index in 0..MOST + 50 {
            complaints.add("unknown", |path| path.item(index));
        }
        let texts = complaints.into_texts();
        assert_eq!((texts.len(), texts[MOST - 1].as_str()), (MOST + 1, "unknown field \"[99]\""));
        assert_eq!(texts[MOST], "and 50 more unknown or duplicate fields");
    }
}
