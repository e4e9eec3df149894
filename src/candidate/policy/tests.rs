//! What somebody who reads our source would try, each with the reason for which it is refused.

use crate::candidate::from_source;
use crate::spec::{Dependency, Spec};

const WANTED: &str = "pub fn double(x: i32) -> i32";

fn spec(dependencies: &[&str]) -> Spec {
    let yaml = format!("llmc: 1\nname: sample\ndescription: A sample.\nsignature: '{WANTED}'\n");
    let (mut spec, _) = crate::spec::parse("specs/sample.yaml", "sample", yaml.as_bytes()).expect("a good spec");
    for name in dependencies {
        let dependency = Dependency { version: "1".into(), features: vec![], default_features: true };
        spec.dependencies.insert((*name).into(), dependency);
    }
    spec
}

/// `CODE: DETAIL` of the refusal, or `fine`.
fn said(code: &str, spec: &Spec) -> String {
    let source = match code.starts_with("#!") {
        true => format!("{code}\n{WANTED} {{ x * 2 }}"),
        false => format!("{WANTED} {{ x * 2 }}\n{code}"),
    };
    match from_source(&source, spec) {
        Ok(_) => "fine".into(),
        Err(verdict) => format!("{}: {}", verdict.code.unwrap_or_default(), verdict.detail),
    }
}

#[track_caller]
fn all(cases: &[(&str, &str)]) {
    all_with(&spec(&[]), cases);
}

#[track_caller]
fn all_with(spec: &Spec, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (code, expected) in cases {
        let got = said(code, spec);
        if got != *expected {
            let code: String = code.chars().take(200).collect();
            wrong.push(format!("{code}\n  expected {expected}\n       got {got}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_denied_path_is_found_however_it_is_spelled() {
    let denied = "policy-path: `std::fs` is denied";
    all(&[
        ("use std::fs;", denied),
        ("use std::{fmt, fs as files};", denied),
        ("use {std::{fs::{File, read}}};", "policy-path: `std::fs::File` leads to `std::fs`, which is denied"),
        ("use ::std::fs;", "policy-path: `::std::fs` leads to `std::fs`, which is denied"),
        ("use std::r#fs;", denied),
        ("use r#std::fs;", denied),
        ("use core::net::IpAddr;", "policy-path: `core::net::IpAddr` leads to `std::net`, which is denied"),
        ("fn g() { alloc::fs::read(\"x\"); }", "policy-path: `alloc::fs::read` leads to `std::fs`, which is denied"),
        (
            "use std as s; fn g() { s::fs::read(\"x\"); }",
            "policy-path: `s::fs::read` leads to `std::fs`, which is denied",
        ),
        (
            "use std::{self as s}; mod s2 { pub use super::s as t; } fn g() { s2::t::fs::read(\"x\"); }",
            "policy-path: `s2::t::fs::read` leads to `std::fs`, which is denied",
        ),
        (
            "mod m { pub use std as s; } use m::s as t; fn g() { t::fs::read(\"x\"); }",
            "policy-path: `t::fs::read` leads to `std::fs`, which is denied",
        ),
        (
            "mod m { pub use std as s; } use m::{s as t}; use t::fs as u; fn g() { u::read(\"x\"); }",
            "policy-path: `t::fs` leads to `std::fs`, which is denied",
        ),
        (
            "mod m { pub mod n { pub use std::os as o; } } use self::m::n::*; fn g() { o::unix::net::UnixStream::pair(); }",
            "policy-path: `o::unix::net::UnixStream::pair` leads to `std::net`, which is denied",
        ),
        (
            "fn g() { use std as s; { use s as t; fn h() { t::process::exit(0) } } }",
            "policy-path: `t::process::exit` leads to `std::process`, which is denied",
        ),
        ("use std::*;", "policy-path: `use std::*` would bring what is denied into reach"),
        ("use std::os::unix::*;", "policy-path: `use std::os::unix::*` would bring what is denied into reach"),
        (
            "use std::os::unix::prelude::*;",
            "policy-path: `std::os::unix::prelude` leads to `std::process`, which is denied",
        ),
        (
            "use std::os::unix::fs::symlink;",
            "policy-path: `std::os::unix::fs::symlink` leads to `std::fs`, which is denied",
        ),
        (
            "use std::os::linux::net::SocketAddrExt;",
            "policy-path: `std::os::linux::net::SocketAddrExt` leads to `std::net`, which is denied",
        ),
        (
            "use std as a; use std as b; use a as c; use b::*;",
            "policy-path: `use b::*` would bring what is denied into reach",
        ),
        ("type F = std::fs::File;", "policy-path: `std::fs::File` leads to `std::fs`, which is denied"),
        (
            "trait T { type F; } struct S; impl T for S { type F = std::fs::File; } fn g() { <S as T>::F::open(\"x\"); }",
            "policy-path: `std::fs::File` leads to `std::fs`, which is denied",
        ),
        (
            "fn g() { <std::fs::File>::open(\"x\"); }",
            "policy-path: `std::fs::File` leads to `std::fs`, which is denied",
        ),
        (
            "fn g() { <str as std::net::ToSocketAddrs>::to_socket_addrs(\"x\"); }",
            "policy-path: `std::net::ToSocketAddrs::to_socket_addrs` leads to `std::net`, which is denied",
        ),
        (
            "fn g<T: Into<std::process::Command>>(_: T) {}",
            "policy-path: `std::process::Command` leads to `std::process`, which is denied",
        ),
        (
            "const N: usize = { std::process::abort() };",
            "policy-path: `std::process::abort` leads to `std::process`, which is denied",
        ),
        (
            "fn g() -> [u8; std::process::id() as usize] { [] }",
            "policy-path: `std::process::id` leads to `std::process`, which is denied",
        ),
        (
            "struct S<T>(T) where T: AsRef<std::fs::File>;",
            "policy-path: `std::fs::File` leads to `std::fs`, which is denied",
        ),
        (
            "fn g(x: u8) -> u8 { match x { y if std::fs::exists(\"x\").is_ok() => y, _ => 0 } }",
            "policy-path: `std::fs::exists` leads to `std::fs`, which is denied",
        ),
        (
            "fn g() { let f: fn(&str) -> _ = std::fs::read::<&str>; }",
            "policy-path: `std::fs::read` leads to `std::fs`, which is denied",
        ),
        ("extern crate std as s;", "policy-item: `extern crate … as …` is not allowed"),
        ("extern crate self as me;", "policy-item: `extern crate … as …` is not allowed"),
        ("use std::io::Write; use std::thread; use std::time::Instant; use std::env; use std::{panic, sync};", "fine"),
        ("use std::panic; fn g() { panic::catch_unwind(|| panic!(\"x\")).ok(); }", "fine"),
    ]);
}

#[test]
fn a_denied_name_is_found_in_every_module_of_std_that_has_it() {
    let with = |deny: &[&str]| {
        let mut spec = spec(&[]);
        spec.policy.deny = deny.iter().map(|path| (*path).to_owned()).collect();
        spec
    };
    all_with(
        &with(&["std::collections::HashMap"]),
        &[
            (
                "use std::collections::hash_map::HashMap;",
                "policy-path: `std::collections::hash_map::HashMap` leads to `std::collections::HashMap`, which is denied",
            ),
            (
                "use std::collections as c; fn g() { c::hash_map::HashMap::<u8, u8>::new(); }",
                "policy-path: `c::hash_map::HashMap::new` leads to `std::collections::HashMap`, which is denied",
            ),
            (
                "use std::collections::hash_map::*;",
                "policy-path: `use std::collections::hash_map::*` would bring what is denied into reach",
            ),
            ("use std::collections::{BTreeMap, hash_map::Entry};", "fine"),
        ],
    );
    all_with(
        &with(&["std::string::String", "std::boxed::Box"]),
        &[
            ("fn g(x: String) {}", "policy-path: `String` leads to `std::string::String`, which is denied"),
            (
                "fn g() { let x = alloc::boxed::Box::new(1); }",
                "policy-path: `alloc::boxed::Box::new` leads to `std::boxed::Box`, which is denied",
            ),
            ("fn g() { vec![Box::new(1)]; }", "policy-path: `Box::new` leads to `std::boxed::Box`, which is denied"),
            ("fn g(x: &str) -> Vec<u8> { vec![] }", "fine"),
        ],
    );
}

#[test]
fn what_asks_the_file_system_is_found_without_its_name() {
    let method = |name: &str| format!("policy-path: `.{name}()` in a file that deals with paths asks the file system");
    all(&[
        ("fn g() -> bool { std::env::temp_dir().exists() }", &method("exists")),
        ("use std::env::current_exe; fn g() { current_exe().unwrap().read_link(); }", &method("read_link")),
        ("fn g() { std::path::absolute(\"x\").unwrap().metadata(); }", &method("metadata")),
        (
            "use std::path::PathBuf as P; fn g(p: P) -> bool { P::exists(&p) }",
            "policy-path: `P::exists` in a file that deals with paths asks the file system",
        ),
        (
            "type P = std::path::PathBuf; fn g(p: P) -> bool { <P>::is_dir(&p) }",
            "policy-path: `<_>::is_dir` in a file that deals with paths asks the file system",
        ),
        (
            "macro_rules! m { ($p:expr, $f:ident) => { $p.$f() } } fn g() { m!(std::path::Path::new(\"x\"), exists); }",
            "policy-macro: `exists` inside of a macro, in a file that deals with paths",
        ),
        (
            "fn g() { println!(\"{}\", std::path::Path::new(\"x\").is_file()); }",
            "policy-path: `.is_file()` asks the file system",
        ),
        ("struct Door; impl Door { fn exists(&self) -> bool { true } } fn g() -> bool { Door.exists() }", "fine"),
    ]);
}

#[test]
fn paths_that_macros_put_together_are_refused() {
    all(&[
        (
            "macro_rules! m { ($a:ident, $b:ident) => { $a::$b::read(\"x\") } } fn g() { m!(std, fs); }",
            "policy-path: `std` by itself in a macro can't be followed",
        ),
        (
            "use std as s; macro_rules! m { ($a:ident, $b:ident) => { $a::$b::read(\"x\") } } fn g() { m!(s, fs); }",
            "policy-path: `s` by itself in a macro can't be followed",
        ),
        (
            "macro_rules! m { ($($t:tt)*) => { std::$($t)*::id() } } fn g() { m!(process); }",
            "policy-path: `std` by itself in a macro can't be followed",
        ),
        (
            "macro_rules! m { (($($p:tt)*) $f:ident) => { $($p)*::$f::UnixStream::pair() } } fn g() { m!((std::os::unix) net); }",
            "policy-macro: `net` inside of a macro, in a file that defines macros",
        ),
        (
            "macro_rules! m { ($($p:tt)*) => { $($p)* } } fn g() { m!(m!(std::os::unix)); }",
            "policy-path: `std::os::unix` by itself in a macro can't be followed",
        ),
        (
            "mod m { macro_rules! x { ($($t:tt)*) => { $($t)* } } pub(crate) use x; } fn g() { m::x!(self::super) }",
            "policy-path: `self::super` reaches out of the candidate's own module",
        ),
        (
            "mod o {} fn g() { vec![{ use std::os as o; o::unix::net::UnixStream::pair() }]; }",
            "policy-path: `std::os` by itself in a macro can't be followed",
        ),
        (
            // A tt-muncher.
            "macro_rules! m { (@ $($d:tt)*) => { $($d)* }; ($h:tt $($t:tt)*) => { m!(@ $($t)* $h) } } fn g() { m!(fs :: read); }",
            "policy-macro: `fs` inside of a macro, in a file that defines macros",
        ),
        (
            "macro_rules! m { ($x:ident) => { mod n { pub use std::$x as y; } } }",
            "policy-macro: an import that a macro puts together can't be followed",
        ),
        (
            "mod o {} macro_rules! m { () => { use std::os as o; } } fn g() { m!(); o::unix::net::UnixStream::pair(); }",
            "policy-path: `std::os` by itself in a macro can't be followed",
        ),
        (
            "mod s {} fn g() { let _ = vec![{ use std::{self as s}; s::fs::read(\"x\") }]; }",
            "policy-path: `std` by itself in a macro can't be followed",
        ),
        (
            "macro_rules! m { ($u:tt $($p:tt)*) => { $u $($p)*; } } fn g() { m!(use a::b); }",
            "policy-macro: an import that a macro puts together can't be followed",
        ),
        (
            "macro_rules! m { ($p:path) => { use $p as x; } }",
            "policy-macro: an import that a macro puts together can't be followed",
        ),
        (
            "mod m { macro_rules! x { () => { super::secret() } } pub(crate) use x; } fn g() { m::x!() }",
            "policy-path: `super` in a macro can't be followed, in a file that defines macros",
        ),
        (
            "mod m { macro_rules! x { ($($t:tt)*) => { $($t)*::secret() } } pub(crate) use x; } fn g() { m::x!(self::super) }",
            "policy-crate: `::secret`: the crate `secret` is not declared in the spec",
        ),
        (
            "macro_rules! m { ($a:tt) => { $a::other::f() } } fn g() { m!(crate); }",
            "policy-path: `crate` by itself in a macro can't be followed",
        ),
        (
            "macro_rules! m { () => { $crate::other::f() } }",
            "policy-path: `crate::other::f` names another artifact; the spec uses no other",
        ),
        (
            "fn g() { macro_rules! m { ($b:ident) => { std::$b::id() } } m!(process); }",
            "policy-path: `std` by itself in a macro can't be followed",
        ),
        (
            "macro_rules! outer { ($n:ident) => { macro_rules! $n { () => {} } } } outer!(println);",
            "policy-macro: a macro inside of a macro can't be followed",
        ),
        ("macro_rules! sum { ($($x:expr),*) => { 0 $(+ $x)* } } fn g() -> i32 { sum!(1, 2, 3) }", "fine"),
        (
            "macro_rules! map { ($($k:expr => $v:expr),* $(,)?) => {{ let mut m = std::collections::HashMap::new(); $(m.insert($k, $v);)* m }} } fn g() { map! { 1 => 2 }; }",
            "fine",
        ),
    ]);
    all_with(
        &spec(&["paste"]),
        &[
            (
                "fn g() { paste::paste! { std::[<f s>]::read(\"x\") }; }",
                "policy-path: `std` by itself in a macro can't be followed",
            ),
            (
                "use std as s; fn g() { paste::paste! { s::[<f s>]::read(\"x\") }; }",
                "policy-path: `s` by itself in a macro can't be followed",
            ),
        ],
    );
}

#[test]
fn macros_that_read_are_refused_under_every_name() {
    let not_allowed = |name: &str| format!("policy-macro: `{name}!` is not allowed");
    let renamed = |path: &str| format!("policy-macro: `{path}` is a macro that is not allowed");
    all(&[
        ("const T: &str = include_str!(\"/etc/passwd\");", &not_allowed("include_str")),
        ("include!(\"x.rs\");", &not_allowed("include")),
        ("fn g() { core::include_bytes!(\"x\"); }", &not_allowed("include_bytes")),
        ("fn g() { r#include_str!(\"x\"); }", &not_allowed("include_str")),
        ("fn g(x: u8) { match x { include!(\"x\") => {}, _ => {} } }", &not_allowed("include")),
        ("fn g(x: include!(\"x\")) {}", &not_allowed("include")),
        ("struct S; impl S { include!(\"x\"); }", &not_allowed("include")),
        ("trait T { include!(\"x\"); }", &not_allowed("include")),
        ("fn g() { println!(concat!(\"{}\", include_str!(\"x\"))); }", &not_allowed("include_str")),
        ("fn g() -> [u8; include_bytes!(\"x\").len()] { todo!() }", &not_allowed("include_bytes")),
        ("#[doc = include_str!(\"x\")] fn g() {}", &not_allowed("include_str")),
        ("#[doc = concat!(env!(\"HOME\"))] fn g() {}", &not_allowed("env")),
        ("#[deprecated(note = include_str!(\"x\"))] fn g() {}", &not_allowed("include_str")),
        ("use std::include_str as text; const T: &str = text!(\"x\");", &renamed("std::include_str")),
        ("use std::prelude::v1::include as i; i!(\"x\");", &renamed("std::prelude::v1::include")),
        ("use core::{option_env as o}; fn g() { o!(\"HOME\"); }", &renamed("core::option_env")),
        ("use std::env as e; fn g() { e!(\"HOME\"); }", &renamed("std::env")),
        ("use std as s; use s::env as e; fn g() { e!(\"HOME\"); }", &renamed("s::env")),
        ("macro_rules! m { ($m:ident) => { $m!(\"x\") } } fn g() { m!(include); }", &not_allowed("include")),
        ("macro_rules! m { ($($t:tt)*) => { $($t)* } } fn g() { m!(env !(\"HOME\")); }", &not_allowed("env")),
        ("fn g() { assert!(cfg!(test)); }", &not_allowed("cfg")),
        ("fn g() -> &'static str { module_path!() }", &not_allowed("module_path")),
        ("fn g() -> &'static str { std::file!() }", &not_allowed("file")),
        ("use std::cfg as c; fn g() -> bool { c!(debug_assertions) }", &renamed("std::cfg")),
        ("cfg_select! { unix => { fn g() {} } _ => {} }", &not_allowed("cfg_select")),
        ("fn g() { std::arch::asm!(\"nop\"); }", &not_allowed("asm")),
        ("std::arch::global_asm!(\"nop\");", &not_allowed("global_asm")),
        ("mod file { pub fn cfg() {} } use file::cfg; fn g(env: u8) { cfg(); println!(\"{}\", env); }", "fine"),
    ]);
}

#[test]
fn macros_of_std_keep_their_meaning() {
    let anew = |name: &str| format!("policy-macro: `{name}!` is std's and may not be defined anew");
    all(&[
        ("macro_rules! assert_eq { ($($t:tt)*) => {} }", &anew("assert_eq")),
        ("mod m { macro_rules! panic { ($($t:tt)*) => {} } }", &anew("panic")),
        ("fn g() { macro_rules! r#assert { ($($t:tt)*) => {} } }", &anew("assert")),
        (
            "macro_rules! quiet { ($($t:tt)*) => {} } use quiet as assert_eq;",
            "policy-macro: `assert_eq` is std's; `quiet` may not take its name",
        ),
        (
            "mod m { macro_rules! quiet { ($($t:tt)*) => {} } pub(super) use quiet; } use m::quiet as panic;",
            "policy-macro: `panic` is std's; `m::quiet` may not take its name",
        ),
        ("use std::fmt::Debug as derive;", "policy-macro: `derive` is std's; `std::fmt::Debug` may not take its name"),
        ("use std::fmt::write; use std::vec; fn g() { let x: vec::Vec<u8> = vec![]; }", "fine"),
    ]);
}

#[test]
fn attributes_that_change_compilation_are_refused_in_every_position() {
    let not_allowed = |name: &str| format!("policy-attribute: the attribute `{name}` is not allowed");
    all(&[
        ("#![no_std]", &not_allowed("no_std")),
        ("#![feature(asm)]", &not_allowed("feature")),
        ("#![recursion_limit = \"100000\"]", &not_allowed("recursion_limit")),
        ("#![cfg_attr(all(), no_implicit_prelude)]", &not_allowed("cfg_attr")),
        ("#[no_mangle] pub fn main() {}", "fine"),
        ("#[no_mangle] pub fn malloc() {}", &not_allowed("no_mangle")),
        ("#[unsafe(no_mangle)] pub fn malloc() {}", "policy-unsafe: an `unsafe` attribute"),
        (
            "#[unsafe(link_section = \".init_array\")] static X: fn() = g; fn g() {}",
            "policy-unsafe: an `unsafe` attribute",
        ),
        ("#[link_section = \".init_array\"] static X: fn() = g; fn g() {}", &not_allowed("link_section")),
        ("#[used] static X: u8 = 1;", &not_allowed("used")),
        ("#[export_name = \"malloc\"] fn g() {}", &not_allowed("export_name")),
        ("#[global_allocator] static A: std::alloc::System = std::alloc::System;", &not_allowed("global_allocator")),
        ("#[path = \"/etc/passwd\"] mod m {}", &not_allowed("path")),
        ("#[macro_export] macro_rules! m { () => {} }", &not_allowed("macro_export")),
        ("#[target_feature(enable = \"avx\")] fn g() {}", &not_allowed("target_feature")),
        ("#[cfg(debug_assertions)] fn g() {}", &not_allowed("cfg")),
        ("fn g() { #[cfg(test)] { return; } }", &not_allowed("cfg")),
        ("fn g() { #[cfg(test)] let x = 1; }", &not_allowed("cfg")),
        ("fn g() { #[cfg(test)] println!(); }", &not_allowed("cfg")),
        ("fn g() { #![cfg(unix)] }", &not_allowed("cfg")),
        ("mod m { #![cfg(unix)] }", &not_allowed("cfg")),
        ("fn g() -> Vec<u8> { vec![#[cfg(test)] 1] }", &not_allowed("cfg")),
        ("fn g(x: u8) { [#[cfg(test)] x]; }", &not_allowed("cfg")),
        ("fn g(x: u8) { h(#[cfg(test)] x); } fn h(_: u8) {}", &not_allowed("cfg")),
        ("fn g(#[cfg(test)] x: u8) {}", &not_allowed("cfg")),
        ("struct S; impl S { fn g(#[cfg(test)] &self) {} }", &not_allowed("cfg")),
        ("struct S { #[cfg(test)] x: u8 }", &not_allowed("cfg")),
        ("struct S(#[cfg(test)] u8);", &not_allowed("cfg")),
        ("enum E { #[cfg(test)] A, B }", &not_allowed("cfg")),
        ("fn g(x: u8) { match x { #[cfg(test)] 1 => {}, _ => {} } }", &not_allowed("cfg")),
        ("struct S { x: u8 } fn g() { S { #[cfg(test)] x: 1 }; }", &not_allowed("cfg")),
        ("struct S { x: u8 } fn g(s: S) { let S { #[cfg(test)] x } = s; }", &not_allowed("cfg")),
        ("fn g<#[cfg(test)] T>() {}", &not_allowed("cfg")),
        ("type F = fn(#[cfg(test)] u8);", &not_allowed("cfg")),
        ("fn g() { let f = |#[cfg(test)] x: u8| x; }", &not_allowed("cfg")),
        ("trait T { #[cfg(test)] fn g(); }", &not_allowed("cfg")),
        ("struct S; impl S { #[cfg(test)] const X: u8 = 1; }", &not_allowed("cfg")),
        ("#[cfg(test)] use std::fmt;", "fine"),
        ("#[cfg(unix)] use std::fmt;", &not_allowed("cfg")),
        ("#[core::prelude::v1::derive(Debug)] struct S;", &not_allowed("core::prelude::v1::derive")),
        (
            "use std::prelude::v1::test as t; #[t] fn g() {}",
            "policy-attribute: `std::prelude::v1::test` is an attribute that is not allowed",
        ),
        ("macro_rules! m { () => { #[no_mangle] fn malloc() {} } } m!();", &not_allowed("no_mangle")),
        (
            "macro_rules! m { ($a:ident) => { #[$a] fn malloc() {} } } m!(no_mangle);",
            "policy-attribute: an attribute that a macro puts together can't be followed",
        ),
        (
            "macro_rules! m { ($h:tt) => { $h[no_mangle] fn malloc() {} } } m!(#);",
            "policy-attribute: an attribute that a macro puts together can't be followed",
        ),
        (
            "macro_rules! m { ($($t:tt)*) => { $($t)* } } m!(# [cfg_attr(all(), no_mangle)] fn malloc() {});",
            &not_allowed("cfg_attr"),
        ),
        (
            "macro_rules! m { ($a:tt) => { #$a fn malloc() {} } } m!([no_mangle]);",
            "policy-attribute: an attribute that a macro puts together can't be followed",
        ),
    ]);
    // A crate may bring attributes of its own; std's stay what they are.
    all_with(
        &spec(&["tool"]),
        &[
            ("#[tool::main] fn g() {}", "fine"),
            ("#[core::prelude::v1::cfg_eval] fn g() {}", &not_allowed("core::prelude::v1::cfg_eval")),
            (
                "#[::std::prelude::v1::global_allocator] static A: u8 = 1;",
                &not_allowed("std::prelude::v1::global_allocator"),
            ),
            ("use std as s; #[s::prelude::v1::derive(Debug)] struct S;", &not_allowed("s::prelude::v1::derive")),
            (
                "use std::prelude::v1::global_allocator as g; #[g] static A: std::alloc::System = std::alloc::System;",
                "policy-attribute: `std::prelude::v1::global_allocator` is an attribute that is not allowed",
            ),
            ("#[rustc_dummy] fn g() {}", &not_allowed("rustc_dummy")),
            (
                "#[rand::attribute] fn g() {}",
                "policy-crate: `rand::attribute`: the crate `rand` is not declared in the spec",
            ),
        ],
    );
}

#[test]
fn unsafe_code_is_refused_in_every_form() {
    all(&[
        ("fn g() { unsafe {} }", "policy-unsafe: an `unsafe` block is not allowed"),
        ("unsafe fn g() {}", "policy-unsafe: an `unsafe` function is not allowed"),
        ("unsafe trait T {}", "policy-unsafe: an `unsafe` trait is not allowed"),
        ("struct S; unsafe impl Send for S {}", "policy-unsafe: an `unsafe` impl is not allowed"),
        ("trait T { unsafe fn g(); }", "policy-unsafe: an `unsafe` function is not allowed"),
        ("struct S; impl S { unsafe fn g() {} }", "policy-unsafe: an `unsafe` function is not allowed"),
        ("extern \"C\" { fn abs(x: i32) -> i32; }", "policy-unsafe: an `extern` block is not allowed"),
        ("unsafe extern \"C\" { safe fn abs(x: i32) -> i32; }", "policy-unsafe: an `extern` block is not allowed"),
        ("extern \"C\" fn g() {}", "policy-item: `extern fn g` is not allowed"),
        ("type F = unsafe fn();", "policy-unsafe: an `unsafe` function type is not allowed"),
        ("fn g(f: Vec<unsafe fn()>) {}", "policy-unsafe: an `unsafe` function type is not allowed"),
        ("static mut X: u8 = 1;", "policy-unsafe: `static mut` is not allowed"),
        ("fn g() { static mut X: u8 = 1; }", "policy-unsafe: `static mut` is not allowed"),
        ("const X: u8 = unsafe { 1 };", "policy-unsafe: an `unsafe` block is not allowed"),
        ("fn g() { async { const { unsafe {} } }; }", "policy-unsafe: an `unsafe` block is not allowed"),
        ("fn g() { println!(\"{}\", unsafe { 1 }); }", "policy-unsafe: `unsafe` inside of a macro"),
        ("macro_rules! m { ($b:block) => { unsafe $b } }", "policy-unsafe: `unsafe` inside of a macro"),
        (
            "macro_rules! m { ($($t:tt)*) => { $($t)* } } fn g() { m!(unsafe {}); }",
            "policy-unsafe: `unsafe` inside of a macro",
        ),
        ("macro_rules! m { () => { static mut X: u8 = 1; } } m!();", "policy-unsafe: `static mut` is not allowed"),
        (
            "macro_rules! m { () => { extern \"C\" { fn abs(x: i32) -> i32; } } }",
            "policy-item: `extern` inside of a macro",
        ),
        ("fn r#unsafe() {} fn g() { r#unsafe() }", "fine"),
    ]);
}

#[test]
fn hooks_and_ends_of_the_process_are_refused() {
    all(&[
        ("fn g() { std::panic::set_hook(Box::new(|_| {})); }", "policy-path: `std::panic::set_hook` is denied"),
        (
            "use std::panic as p; fn g() { p::take_hook(); }",
            "policy-path: `p::take_hook` leads to `std::panic::take_hook`, which is denied",
        ),
        ("use std::panic::{set_hook as s};", "policy-path: `std::panic::set_hook` is denied"),
        ("use core::panic::*;", "policy-path: `use core::panic::*` would bring what is denied into reach"),
        (
            "fn g() -> ! { std::process::exit(0) }",
            "policy-path: `std::process::exit` leads to `std::process`, which is denied",
        ),
        (
            "use std::process::abort as a;",
            "policy-path: `std::process::abort` leads to `std::process`, which is denied",
        ),
        (
            "use std::process::{ExitCode, Termination};",
            "policy-path: `std::process::ExitCode` leads to `std::process`, which is denied",
        ),
    ]);
}

#[test]
fn other_crates_and_modules_are_out_of_reach() {
    all(&[
        ("use libc::abort;", "policy-crate: `libc::abort`: the crate `libc` is not declared in the spec"),
        ("fn g() { ::libc::abort(); }", "policy-crate: `::libc::abort`: the crate `libc` is not declared in the spec"),
        (
            "extern crate proc_macro;",
            "policy-crate: `extern crate`: the crate `proc_macro` is not declared in the spec",
        ),
        ("use super::secret;", "policy-path: `super::secret` reaches out of the candidate's own module"),
        ("use self::super::secret;", "policy-path: `self::super::secret` reaches out of the candidate's own module"),
        (
            "mod m { use super::{super::secret}; }",
            "policy-path: `super::super::secret` reaches out of the candidate's own module",
        ),
        (
            "fn g() { fn h() { super::secret() } }",
            "policy-path: `super::secret` reaches out of the candidate's own module",
        ),
        ("use crate as c;", "policy-path: `crate` itself may not be imported"),
        ("use crate::{self as c};", "policy-path: `crate` itself may not be imported"),
        ("use crate::*;", "policy-path: `crate` itself may not be imported"),
        ("fn g() { crate::k1::f() }", "policy-path: `crate::k1::f` names another artifact; the spec uses no other"),
        ("mod m;", "policy-item: `mod m;` reads another file"),
        ("fn g() { mod m; }", "policy-item: `mod m;` reads another file"),
    ]);
}

#[test]
fn characters_that_a_reader_does_not_see_or_takes_for_others_are_refused() {
    let hidden = |code: &str, place: &str, escape: &str| {
        format!("policy-identifier: the invisible character {code} on {place}; write it as `\\u{{{escape}}}`")
    };
    let foreign = |name: &str| format!("policy-identifier: the identifier `{name}` is not plain ASCII");
    all(&[
        // Cyrillic and Greek look-alikes.
        ("fn d\u{43e}uble2() {}", &foreign("d\u{43e}uble2")),
        ("fn g() { let \u{3bf} = 1; }", &foreign("\u{3bf}")),
        ("fn g<'\u{430}>(x: &'\u{430} str) {}", &foreign("\u{430}")),
        ("fn g() { '\u{430}: loop { break '\u{430}; } }", &foreign("\u{430}")),
        ("fn r#\u{444}() {}", &foreign("\u{444}")),
        ("macro_rules! m { () => { let \u{430} = 1; } }", &foreign("\u{430}")),
        ("fn g() { println!(\"{}\", { let \u{430} = 1; \u{430} }); }", &foreign("\u{430}")),
        ("struct S { \u{ff41}: u8 }", &foreign("\u{ff41}")),
        // Bidirectional and invisible ones, wherever they stand.
        ("const X: &str = \"a\u{202e}b\";", &hidden("U+202E", "line 4, column 19", "202e")),
        ("const X: &str = r#\"a\u{2066}b\"#;", &hidden("U+2066", "line 4, column 21", "2066")),
        ("const X: char = '\u{200b}';", &hidden("U+200B", "line 4, column 18", "200b")),
        ("/// a\u{2067}b\nfn g() {}", &hidden("U+2067", "line 4, column 6", "2067")),
        ("/** a\u{202a}b */\nfn g() {}", &hidden("U+202A", "line 4, column 6", "202a")),
        ("fn g() { println!(\"\u{200f}\"); }", &hidden("U+200F", "line 5, column 15", "200f")),
        ("const X: &str = \"\u{e0041}\";", &hidden("U+E0041", "line 4, column 18", "e0041")),
        ("const X: &str = \"\\u{202e}\"; const Y: char = '\\u{200b}';", "fine"),
        ("// a\u{202e}b\nfn g() {} /* \u{2066} */", "fine"),
        (
            "const X: &str = \"na\u{ef}ve \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{4f60}\u{597d} \u{1f600}\";",
            "fine",
        ),
        // A file from Windows is no attack.
        ("fn g() -> &'static str {\r\n    \"x\"\r\n}\r\n", "fine"),
    ]);
    // What a comment hides is not in the candidate.
    let source = format!("{WANTED} {{ x * 2 }} // a\u{202e}b\n/* \u{2066} */");
    let candidate = from_source(&source, &spec(&[])).expect("comments are dropped");
    assert!(candidate.source.is_ascii(), "{}", candidate.source);
}

#[test]
fn every_oversize_has_its_reason() {
    let lines = (0..200).map(|n| format!("fn f{n}() {{}}\n")).collect::<String>();
    let long = "x;".repeat(70_000);
    let deep = format!("fn g() {{ {}1{}; }}", "(".repeat(10_000), ")".repeat(10_000));
    let negated = format!("fn g() {{ {}1; }}", "-".repeat(10_000));
    all(&[
        (&lines, "policy-lines: 203 lines of formatted code; the spec allows 120"),
        (&long, "bounds: 140039 bytes of Rust; at most 131072 are read"),
        (&deep, "bounds: brackets nested deeper than 128"),
        (&negated, "bounds: more than 128 prefix operators in a row"),
    ]);
}
