//! SPDX licence expressions, as far as manifests of crates use them.

use std::collections::BTreeSet;

/// An SPDX licence expression, read left to right: `a OR b` binds weaker than `a AND b`.
pub(crate) struct Spdx<'a> {
    words: std::iter::Peekable<std::vec::IntoIter<String>>,
    allowed: &'a BTreeSet<&'a str>,
}

impl<'a> Spdx<'a> {
    /// True if one may take the crate under `allowed` licences alone.
    pub(crate) fn allows(expression: &str, allowed: &'a BTreeSet<&'a str>) -> bool {
        // Old manifests say `MIT/Apache-2.0` and mean OR.
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
        let mut spdx = Self { words: words.into_iter().peekable(), allowed };
        let good = spdx.any();
        good && spdx.words.peek().is_none()
    }

    fn any(&mut self) -> bool {
        let mut good = self.all();
        while self.words.next_if(|word| word == "OR").is_some() {
            good |= self.all();
        }
        good
    }

    fn all(&mut self) -> bool {
        let mut good = self.one();
        while self.words.next_if(|word| word == "AND").is_some() {
            good &= self.one();
        }
        good
    }

    fn one(&mut self) -> bool {
        match self.words.next().as_deref() {
            Some("(") => {
                let good = self.any();
                self.words.next().as_deref() == Some(")") && good
            }
            Some(licence) => match self.words.next_if(|word| word == "WITH") {
                Some(_) => {
                    let exception = self.words.next().unwrap_or_default();
                    self.allowed.contains(format!("{licence} WITH {exception}").as_str())
                }
                None => self.allowed.contains(licence),
            },
            None => false,
        }
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
    for good in [
        "MIT",
        "MIT OR GPL-3.0-only",
        "GPL-3.0-only/MIT",
        "MIT AND ISC",
        "ISC AND (Apache-2.0 OR MIT)",
        "Apache-2.0 WITH LLVM-exception OR X",
    ] {
        assert!(Spdx::allows(good, &allowed), "{good}");
    }
    for bad in
        ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR ISC) AND X", "", "MIT)", "Apache-2.0"]
    {
        assert!(!Spdx::allows(bad, &allowed), "{bad}");
    }
}
