//! Where we differ from `k8s.io/sample-apiserver`, and why. A difference that is not in here fails the test, and so does
//! one in here that is gone.

/// Some requests, a part of their answers, and why it differs.
pub(super) struct Known {
    pub(super) cases: &'static [&'static str],
    pub(super) part: &'static str,
    #[expect(dead_code, reason = "for whoever reads the table")]
    pub(super) why: &'static str,
}

/// Every request.
pub(super) const ALL: &[&str] = &["*"];

pub(super) const KNOWN: &[Known] = &[
    Known {
        cases: ALL,
        part: "audit-id",
        why: "P11: it is there twice in theirs, kube-apiserver's and their own",
    },
    Known { cases: ALL, part: "cache-control", why: "P11: likewise" },
    Known {
        cases: &[
            "list",
            "list by name",
            "list in pages",
            "list of a cache",
            "anything",
            "an unknown form, then JSON",
            "html, then anything",
        ],
        part: "shape",
        why: "R7: our items say what they are; those of typed Go lists do not",
    },
    Known { cases: &["table of nothing"], part: "shape", why: "no rows are a list without rows, never null" },
    Known {
        cases: &["watch list", "watch list as table"],
        part: "shape",
        why: "W7: a bookmark comes before the end; theirs is left out when the watch was short",
    },
    Known { cases: &["head"], part: "code", why: "S13: HEAD is answered as GET is" },
    // R19: we speak JSON alone, and pass protobuf over where there is something else.
    Known {
        cases: &[
            "metadata as the garbage collector asks",
            "discovery as old controllers ask",
            "protobuf alone",
        ],
        part: "content-type",
        why: "R19: we have no protobuf",
    },
    Known {
        cases: &["metadata as the garbage collector asks", "protobuf alone"],
        part: "shape",
        why: "R19: we have no protobuf",
    },
    Known { cases: &["any application"], part: "code", why: "R1: any application means JSON to us" },
    Known { cases: &["any application"], part: "shape", why: "R1: any application means JSON to us" },
    Known { cases: &["any application"], part: "message", why: "R1: any application means JSON to us" },
    Known { cases: &["any application"], part: "reason", why: "R1: any application means JSON to us" },
    Known { cases: &["any application", "text alone"], part: "details", why: "no details are left out" },
    Known {
        cases: &["discovery of the version", "discovery as old controllers ask"],
        part: "headers",
        why: "S2: every document has an ETag",
    },
    Known {
        cases: &["discovery of the version", "discovery as old controllers ask"],
        part: "shape",
        why: "S8: group and version are said for each kind; there is no hash of a stored version",
    },
    Known {
        cases: &["schemas"],
        part: "headers",
        why: "O5: no parts of a document, and no time at which it was made",
    },
    Known { cases: &["schemas"], part: "shape", why: "the schemas are of other kinds" },
    Known {
        cases: &["bad name", "a namespace"],
        part: "code",
        why: "C1, C2: names are subdomains, and a kind of the cluster has no namespace; their sample kind checks neither",
    },
    Known {
        cases: &["bad name", "a namespace"],
        part: "shape",
        why: "likewise: a refusal in place of an object",
    },
    Known {
        cases: &["watch from a version that is none"],
        part: "code",
        why: "E1: what cannot be read is the caller's fault, for a watch as for a list; theirs is 500",
    },
    Known { cases: &["watch from a version that is none"], part: "shape", why: "E1: likewise" },
    Known { cases: &["watch from a version that is none"], part: "reason", why: "E1: likewise" },
    Known {
        cases: &["unknown dry run", "unknown match", "unknown validation", "odd field manager"],
        part: "details",
        why: "the same field and reason; Go's way of printing values and the empty word are left out",
    },
    Known { cases: OTHER_WORDS, part: "message", why: "the same meaning without the words of Go's parsers" },
];

/// What a parser says.
const OTHER_WORDS: &[&str] = &[
    "a number for a name",
    "another group",
    "another kind",
    "bad continue",
    "bad field selector",
    "bad label selector",
    "bad limit",
    "empty body",
    "no JSON",
    "odd field manager",
    "table with nonsense",
    "text",
    "text alone",
    "unknown dry run",
    "unknown field",
    "unknown match",
    "unknown validation",
    "version of the future",
    "version that is none",
    "watch from a version that is none",
    "watch with a bad selector",
    "watch with a bad timeout",
];
