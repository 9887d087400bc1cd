use super::*;

fn module(text: &str) -> Module {
    source(&TextFile { path: "src/core/src/a.rs".into(), text: text.into() }).unwrap().module
}

/// The paths that `text` mentions, joined; those that follow a dot with it.
fn mentions(text: &str) -> Vec<String> {
    let joined = |mention: &Mention| {
        format!("{}{}", if mention.of_value { "." } else { "" }, mention.path.join("::"))
    };
    module(text).mentions.iter().map(joined).collect()
}

#[test]
fn names_are_mentioned_in_every_position() {
    for (text, wanted) in [
        ("fn f(a: super::A) -> Vec<B> {}", &["super::A", "Vec", "B"] as &[&str]),
        ("fn f() { crate::a::b(C { d: E::F }); }", &["crate::a::b", "C", "E::F"]),
        ("fn f() { match g { A::B => {} C => {} d => {} } }", &["g", "A::B", "C"]),
        ("fn f(x: u8) { x.call::<A>(); x.field; }", &[".call", "A"]),
        ("fn f() { <A as B>::c(); <D>::e(); }", &["B::c", "A", "D", ".e"]),
        ("impl A for B {}", &["A", "B"]),
        ("pub(in crate::a) static A: B = C;", &["B", "C"]),
        ("#[derive(A)] struct S { #[serde(default = \"b::c\")] d: E }", &["A", "b::c", "E"]),
        ("#[serde(with = \"b\")] #[doc = \"c\"] struct S;", &["b::serialize"]),
        ("#[arg(value_parser = a::b, name = \"c\")] struct S;", &["a::b"]),
    ] {
        let found = mentions(text);
        for wanted in wanted {
            assert!(found.iter().any(|found| found == wanted), "{text}: {found:?}");
        }
        let absent = ["x", "d", "field", "crate::a", "c", "name"];
        assert!(!found.iter().any(|found| absent.contains(&found.as_str())), "{text}: {found:?}");
    }
}

#[test]
fn names_are_mentioned_in_macros_arguments() {
    let call = |arguments: &str| mentions(&format!("fn f(x: u8) {{ m!({arguments}); }}"));
    for (arguments, wanted) in [
        ("a::b(C, x, d.e)", &["m", "u8", "a::b", "C", "d"] as &[&str]),
        ("x(x.call(), x.field, 0..y)", &["x", ".call", "y"]),
        ("\"{NAME} {x} {}\", key = A::B, other: C, D => 1", &["NAME", "A::B", "C", "D"]),
        ("Vec::<A>::new()", &["Vec", "A", ".new"]),
        ("{ fn g<'a>() { if true { H } } }", &["H"]),
    ] {
        let found = call(arguments);
        for wanted in wanted {
            assert!(found.iter().any(|found| found == wanted), "{arguments}: {found:?}");
        }
        let absent = ["e", "field", "key", "other", "g", "if", "true", "a", "call"];
        assert!(!found.iter().any(|found| absent.contains(&found.as_str())), "{found:?}");
    }
    assert!(!call("x, x.y").contains(&"x".to_owned()), "a variable is no item");
    let rules = "macro_rules! m { ($a:expr) => { $crate::b::C::$a; d!($a) } }";
    assert_eq!(mentions(rules)[1..], ["crate::b::C", "d"]);
}

#[test]
fn imports_have_a_path_and_a_name_each() {
    let text = "pub(super) use a::{self, B as C, d::*}; fn f() { use super::E; use ::foreign::F; }";
    let import = |path: &str, name: Option<&str>, public| Import {
        path: path.split("::").map(str::to_owned).collect(),
        name: name.map(str::to_owned),
        public,
    };
    let wanted = [
        import("a", Some("a"), true),
        import("a::B", Some("C"), true),
        import("a::d", None, true),
        import("super::E", Some("E"), false),
    ];
    assert_eq!(module(text).imports, wanted);
}

#[test]
fn definitions_say_who_sees_them() {
    let text = "pub struct A; pub(self) enum B {} impl A { pub(crate) fn c() {} fn d() {} }
        impl T for A { fn e() {} } macro_rules! f { () => {} } pub(super) use f;
        macro_rules! g { () => {} } name!(/** A name. */ MadeName); mod h; mod i { pub fn j() {} }";
    let module = module(text);
    let items = module.items.iter();
    let found: Vec<_> = items
        .map(|item| (item.kind, item.name.as_str(), item.of.as_deref(), item.visible))
        .collect();
    let wanted = [
        ("struct", "A", None, true),
        ("enum", "B", None, false),
        ("fn", "c", Some("A"), true),
        ("fn", "d", Some("A"), false),
        ("macro", "f", None, true),
        ("macro", "g", None, false),
        ("name!", "MadeName", None, true),
    ];
    assert_eq!(found, wanted);
    assert_eq!((module.declared, module.inline[0].items.len()), (vec!["h".to_owned()], 1));
}

#[test]
fn tests_are_left_out() {
    for test in [
        "#[cfg(test)] mod tests { use a::B; }",
        "#[cfg(all(unix, test))] fn f() { a::b() }",
        "#[cfg(test)] use a::B;",
        "#[test] fn f() { a::b() }",
    ] {
        let module = module(test);
        let parts = module.items.len() + module.imports.len() + module.mentions.len();
        assert_eq!(parts + module.inline.len(), 0, "{test}");
    }
    let there = "#[cfg(not(test))] fn f() {} #[cfg(any(test, feature = \"a\"))] fn g() {}";
    assert_eq!(module(there).items.len(), 2);
    assert_eq!(module("impl A { #[cfg(test)] pub fn f() { a::b() } }").mentions.len(), 1);
    for path in
        ["src/a/src/tests.rs", "src/a/tests/b.rs", "src/a/src/testing/b.rs", "tests/a/tests/b.rs"]
    {
        assert!(is_test(path), "{path}");
    }
    for path in ["tests/a/src/b.rs", "src/a/build.rs", "src/a/src/contests.rs"] {
        assert!(!is_test(path), "{path}");
    }
}

#[test]
fn what_is_no_rust_is_said() {
    let text = |path: &str| TextFile { path: path.into(), text: "fn {".into() };
    let error = sources(&[text("src/core/src/a.rs")]).unwrap_err();
    assert!(error.starts_with("src/core/src/a.rs: "), "{error}");
    let left = [text("src/core/src/tests.rs"), text("src/core/src/a.c"), text("a.rs")];
    assert_eq!(sources(&left).unwrap().len(), 0);
}
