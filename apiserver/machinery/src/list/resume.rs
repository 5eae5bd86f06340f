//! The token that continues a list: bound to its version, its selection and where it stopped (R12).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::Selection;
use crate::status::Status;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Version of the list; 0 where only the place is known any more.
    #[serde(rename = "rv")]
    pub(crate) version: u64,
    /// Namespace and name of the last object given.
    #[serde(rename = "after")]
    pub(crate) after: (String, String),
    #[serde(rename = "of")]
    selection: String,
}

impl Token {
    pub(crate) fn new(version: u64, after: (&str, &str), selection: &Selection) -> Self {
        let after = (after.0.to_owned(), after.1.to_owned());
        Self { version, after, selection: digest(selection) }
    }

    pub(crate) fn encode(&self) -> String {
        encoded(self)
    }

    /// Reads a token of a list with the same selection.
    pub(crate) fn decode(text: &str, selection: &Selection) -> Result<Self, Status> {
        let token: Self = decoded(text)?;
        if token.selection == digest(selection) { Ok(token) } else { Err(refused()) }
    }
}

/// The token of a list that is computed: what its kind goes on with, bound to the selection that it began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    at: String,
    of: String,
}

impl Bound {
    pub(crate) fn encode(at: String, selection: &Selection) -> String {
        encoded(&Self { at, of: digest(selection) })
    }

    /// What the kind gave, if it is of this selection.
    pub(crate) fn decode(text: &str, selection: &Selection) -> Result<String, Status> {
        let Self { at, of } = decoded(text)?;
        if of == digest(selection) { Ok(at) } else { Err(refused()) }
    }
}

fn encoded(token: &impl Serialize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(token).unwrap_or_default())
}

fn decoded<T: DeserializeOwned>(text: &str) -> Result<T, Status> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
    serde_json::from_slice(&bytes).map_err(|_| refused())
}

fn refused() -> Status {
    Status::bad_request("continue key is not valid")
}

fn digest(selection: &Selection) -> String {
    let digest = Sha256::digest(format!("{selection:?}"));
    BASE64_URL_SAFE_NO_PAD.encode(&digest[..9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_a_token_is_bound_to_its_selection() {
        let shop = Selection { namespace: Some("shop".to_owned()), ..Selection::default() };
        let token = Token::new(7, ("shop", "b1"), &shop);
        assert_eq!(Token::decode(&token.encode(), &shop), Ok(token.clone()));
        let other = Token::decode(&token.encode(), &Selection::default()).unwrap_err();
        assert_eq!(other.code().as_u16(), 400);
        assert_eq!(Token::decode("nonsense", &shop).unwrap_err().code().as_u16(), 400);
    }

    #[test]
    fn r12_so_is_the_token_of_a_kind_that_is_computed() {
        let shop = Selection { namespace: Some("shop".to_owned()), ..Selection::default() };
        let token = Bound::encode("there".to_owned(), &shop);
        assert_eq!(Bound::decode(&token, &shop), Ok("there".to_owned()));
        assert_eq!(Bound::decode(&token, &Selection::default()).unwrap_err().code().as_u16(), 400);
        assert_eq!(Bound::decode("there", &shop).unwrap_err().code().as_u16(), 400);
    }
}
