//! A long list as a stream of portions: the first leaves before the last is written, and no answer is in memory as a
//! whole.
//!
//! Invariant: the bytes are those that the list would have in one piece.

use std::{io::Write, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::stream::unfold;

use super::Render;
use crate::{encoded::Encoded, list::ListMeta};

/// So much is written before it leaves: the windows of a stream hold some of these.
const PORTION: usize = 128 * 1024;

/// A list on its way.
struct Flow {
    render: Render,
    meta: ListMeta,
    items: Vec<Arc<Encoded>>,
    /// Of the items, how many were written.
    next: usize,
    packer: Option<GzEncoder<Vec<u8>>>,
    ended: bool,
}

/// The body of a list.
pub(super) fn body(render: Render, meta: ListMeta, items: Vec<Arc<Encoded>>, gzip: bool) -> Body {
    let packer = gzip.then(|| GzEncoder::new(Vec::with_capacity(PORTION), Compression::fast()));
    let flow = Flow { render, meta, items, next: 0, packer, ended: false };
    Body::from_stream(unfold(flow, |mut flow| async move {
        let portion = flow.portion()?;
        // A long list is the work of milliseconds: others have their turn in between.
        tokio::task::consume_budget().await;
        Some((portion, flow))
    }))
}

impl Flow {
    /// The next bytes; none after the last.
    fn portion(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        while !self.ended {
            let mut json = Vec::with_capacity(PORTION + PORTION / 8);
            self.write(&mut json);
            match self.packed(json) {
                // A packer may keep everything to itself for a while.
                Ok(bytes) if bytes.is_empty() => {}
                other => return Some(other),
            }
        }
        None
    }

    fn write(&mut self, json: &mut Vec<u8>) {
        if self.next == 0 {
            self.render.open_list(json, &self.meta);
        }
        while self.next < self.items.len() && json.len() < PORTION {
            if self.next > 0 {
                json.push(b',');
            }
            self.render.write_item(json, &self.items[self.next]);
            self.next += 1;
        }
        if self.next == self.items.len() {
            json.extend_from_slice(b"]}");
            self.ended = true;
        }
    }

    fn packed(&mut self, json: Vec<u8>) -> Result<Bytes, std::io::Error> {
        let Some(packer) = &mut self.packer else { return Ok(json.into()) };
        packer.write_all(&json)?;
        if self.ended {
            let last = self.packer.take().map(GzEncoder::finish);
            return last.unwrap_or_else(|| Ok(Vec::new())).map(Bytes::from);
        }
        Ok(std::mem::take(packer.get_mut()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http::{HeaderMap, HeaderValue, Uri};
    use http_body_util::BodyExt;
    use rstest::rstest;

    use super::*;
    use crate::{
        render::Shape,
        testing::{Book, book},
    };
    use apiserver_kind::Kind;

    fn items(count: usize) -> Vec<Arc<Encoded>> {
        let item = |number: usize| {
            let name = format!("b{number}");
            Arc::new(Encoded::of(&book("shop", &name, "Draft", 3), &[], 42).unwrap())
        };
        (0..count).map(item).collect()
    }

    fn render(accept: &'static str) -> Render {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, HeaderValue::from_static(accept));
        let shape = Shape { gvk: Book::GVK, columns: Book::COLUMNS };
        Render::of(&headers, &Uri::from_static("/"), shape).unwrap()
    }

    #[rstest]
    #[case::objects("application/json")]
    #[case::table("application/json;as=Table;v=v1;g=meta.k8s.io")]
    #[case::metadata("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")]
    #[tokio::test]
    async fn a_stream_has_the_bytes_of_the_whole(#[case] accept: &'static str) {
        for count in [0, 1, 2000] {
            let (render, meta, items) = (render(accept), ListMeta::at(42), items(count));
            let whole = render.whole(&meta, &items);
            for gzip in [false, true] {
                let streamed = body(render, meta.clone(), items.clone(), gzip);
                let bytes = streamed.collect().await.unwrap().to_bytes();
                let mut plain = Vec::new();
                let read = if gzip {
                    flate2::read::GzDecoder::new(bytes.as_ref()).read_to_end(&mut plain)
                } else {
                    bytes.as_ref().read_to_end(&mut plain)
                };
                assert!(read.is_ok());
                assert!(plain == whole, "{accept}, {count} objects, gzip {gzip}");
                assert!(serde_json::from_slice::<serde_json::Value>(&plain).is_ok());
            }
        }
    }

    #[tokio::test]
    async fn a_long_list_comes_in_portions() {
        let mut streamed = body(render("application/json"), ListMeta::at(42), items(2000), false);
        let mut portions = Vec::new();
        while let Some(frame) = streamed.frame().await {
            portions.push(frame.unwrap().into_data().unwrap().len());
        }
        assert!(portions.len() > 2 && portions.iter().all(|portion| *portion < 2 * PORTION), "{portions:?}");
    }
}
