//! Label selectors: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, `a>1`, `a<1`, joined by commas.

use std::{collections::BTreeMap, str::FromStr};

use super::Error;
use crate::authz::{Operator, Requirement};

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LabelRequirement {
    /// The label is there and its value is one of these.
    In(String, Vec<String>),
    /// The label is absent, or its value is none of these.
    NotIn(String, Vec<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
    /// The label is a whole number above this one.
    GreaterThan(String, i64),
    /// The label is a whole number below this one.
    LessThan(String, i64),
}

/// A parsed label selector; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector(pub Vec<LabelRequirement>);

impl LabelSelector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an authorizer may know of it; comparisons have no word there (Z4).
    pub fn requirements(&self) -> Vec<Requirement> {
        self.0.iter().filter_map(LabelRequirement::requirement).collect()
    }
}

impl LabelRequirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
            Self::GreaterThan(key, limit) => number(labels, key).is_some_and(|value| value > *limit),
            Self::LessThan(key, limit) => number(labels, key).is_some_and(|value| value < *limit),
        }
    }

    fn requirement(&self) -> Option<Requirement> {
        let (key, operator, values) = match self {
            Self::In(key, values) => (key, Operator::In, values.clone()),
            Self::NotIn(key, values) => (key, Operator::NotIn, values.clone()),
            Self::Exists(key) => (key, Operator::Exists, Vec::new()),
            Self::DoesNotExist(key) => (key, Operator::DoesNotExist, Vec::new()),
            Self::GreaterThan(..) | Self::LessThan(..) => return None,
        };
        Some(Requirement { key: key.clone(), operator, values })
    }
}

fn number(labels: &BTreeMap<String, String>, key: &str) -> Option<i64> {
    labels.get(key)?.parse().ok()
}

impl FromStr for LabelSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut parser = Parser { tokens: tokens(text), text };
        let mut requirements = vec![parser.requirement()?];
        while let Some(token) = parser.next() {
            if token != Token::Comma {
                return Err(parser.refused());
            }
            requirements.push(parser.requirement()?);
        }
        Ok(Self(requirements))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Comma,
    Open,
    Close,
    Not,
    Equal,
    NotEqual,
    Greater,
    Less,
    Word(String),
}

/// Tokens, last one first.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        let token = match next {
            ',' => Token::Comma,
            '(' => Token::Open,
            ')' => Token::Close,
            '>' => Token::Greater,
            '<' => Token::Less,
            '=' => {
                chars.next_if_eq(&'=');
                Token::Equal
            }
            '!' => chars.next_if_eq(&'=').map_or(Token::Not, |_| Token::NotEqual),
            space if space.is_ascii_whitespace() => continue,
            first => {
                let mut word = String::from(first);
                while let Some(more) =
                    chars.next_if(|next| !",()><=!".contains(*next) && !next.is_ascii_whitespace())
                {
                    word.push(more);
                }
                Token::Word(word)
            }
        };
        found.push(token);
    }
    found.reverse();
    found
}

struct Parser<'a> {
    tokens: Vec<Token>,
    text: &'a str,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        self.tokens.pop()
    }

    fn next_if(&mut self, wanted: &Token) -> bool {
        self.tokens.pop_if(|token| token == wanted).is_some()
    }

    fn refused(&self) -> Error {
        Error::Syntax(format!("found what is not expected in {:?}", self.text))
    }

    fn requirement(&mut self) -> Result<LabelRequirement, Error> {
        let absent = self.next_if(&Token::Not);
        let Some(Token::Word(key)) = self.next() else { return Err(self.refused()) };
        check_key(&key)?;
        match (absent, self.tokens.last()) {
            (true, None | Some(Token::Comma)) => Ok(LabelRequirement::DoesNotExist(key)),
            (false, None | Some(Token::Comma)) => Ok(LabelRequirement::Exists(key)),
            (true, Some(_)) => Err(self.refused()),
            (false, Some(_)) => self.compared(key),
        }
    }

    fn compared(&mut self, key: String) -> Result<LabelRequirement, Error> {
        match self.next() {
            Some(Token::Equal) => Ok(LabelRequirement::In(key, vec![self.value()?])),
            Some(Token::NotEqual) => Ok(LabelRequirement::NotIn(key, vec![self.value()?])),
            Some(Token::Greater) => Ok(LabelRequirement::GreaterThan(key, self.whole_number()?)),
            Some(Token::Less) => Ok(LabelRequirement::LessThan(key, self.whole_number()?)),
            Some(Token::Word(word)) if word == "in" => Ok(LabelRequirement::In(key, self.values()?)),
            Some(Token::Word(word)) if word == "notin" => Ok(LabelRequirement::NotIn(key, self.values()?)),
            _ => Err(self.refused()),
        }
    }

    /// A value may be empty: `a=` selects the empty value.
    fn value(&mut self) -> Result<String, Error> {
        match self.tokens.pop_if(|token| matches!(token, Token::Word(_))) {
            Some(Token::Word(value)) => checked_value(value),
            _ => Ok(String::new()),
        }
    }

    fn whole_number(&mut self) -> Result<i64, Error> {
        self.value()?.parse().map_err(|_| self.refused())
    }

    fn values(&mut self) -> Result<Vec<String>, Error> {
        if !self.next_if(&Token::Open) {
            return Err(self.refused());
        }
        let mut values = vec![self.value()?];
        loop {
            match self.next() {
                Some(Token::Close) => return Ok(values),
                Some(Token::Comma) => values.push(self.value()?),
                _ => return Err(self.refused()),
            }
        }
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let reason = if !(1..=63).contains(&name.len()) || !is_name(name) {
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
         alphanumeric character"
    } else if prefix.is_some_and(|prefix| !is_domain(prefix)) {
        "prefix part must be a lowercase RFC 1123 subdomain"
    } else {
        return Ok(());
    };
    Err(Error::Key { key: key.to_owned(), reason })
}

fn checked_value(value: String) -> Result<String, Error> {
    if value.len() <= 63 && (value.is_empty() || is_name(&value)) {
        return Ok(value);
    }
    let reason = "a valid label must be an empty string or consist of at most 63 alphanumeric characters, '-', '_' or \
                  '.', and must start and end with an alphanumeric character";
    Err(Error::Value { value, reason })
}

fn is_name(text: &str) -> bool {
    let ends = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        is_name(label) && !label.contains(|char: char| char.is_ascii_uppercase() || char == '_')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn labels() -> BTreeMap<String, String> {
        [("app", "web"), ("tier", ""), ("demo.example/size", "7")]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[rstest]
    #[case("", true)]
    #[case("app", true)]
    #[case("!app", false)]
    #[case("! other", true)]
    #[case("app=web", true)]
    #[case("app == web", true)]
    #[case("app!=web", false)]
    #[case("other!=web", true)]
    #[case("app in (web, api)", true)]
    #[case("app in (api)", false)]
    #[case("app notin (api),app", true)]
    #[case("other notin (x)", true)]
    #[case("tier=", true)]
    #[case("tier in (,x)", true)]
    #[case("demo.example/size>6", true)]
    #[case("demo.example/size < 7", false)]
    #[case("app>1", false)]
    #[case("in in (in)", false)]
    #[case("app=web,tier=gold", false)]
    fn r9_the_full_grammar_is_understood(#[case] selector: &str, #[case] selected: bool) {
        assert_eq!(selector.parse::<LabelSelector>().unwrap().matches(&labels()), selected);
    }

    #[rstest]
    #[case("app=web,")]
    #[case(",app")]
    #[case("app in web")]
    #[case("app in (web")]
    #[case("app web")]
    #[case("!app=web")]
    #[case("app=web=x")]
    #[case("=web")]
    #[case("-app")]
    #[case("a/b/c")]
    #[case("UP/b")]
    #[case("app=-web")]
    #[case("app>x")]
    fn r9_anything_else_is_refused(#[case] selector: &str) {
        assert!(selector.parse::<LabelSelector>().is_err());
    }

    #[test]
    fn z4_comparisons_are_dropped_never_guessed() {
        let selector: LabelSelector = "app in (a,b),!old,n>1".parse().unwrap();
        let shown: Vec<_> =
            selector.requirements().into_iter().map(|shown| (shown.key, shown.operator)).collect();
        assert_eq!(shown, [("app".to_owned(), Operator::In), ("old".to_owned(), Operator::DoesNotExist)]);
    }
}
