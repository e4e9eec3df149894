//! Candidates that want to pass without being right: by ending early, by forging what is reported, by changing what the
//! checks mean. No one of them knows how to double.

use super::case::{Case, For, PASSES};

const REFUSED: &str = "policy/failed/policy-violation/policy-*";
/// It ended, or something was malformed.
const CRASHED: &str = "test/crashed/misinterpretation/example-1";
const WRONG: &str = "test/failed/misinterpretation/example-1";
/// Whatever it is, it is told as wrong, in the tests.
const NOT_PASSED: &str = "test/failed|crashed|flaky/*/*";
const NOT_COMPILED: &str = "compile/failed/*/*";

/// Ending early, and forged reports.
pub(super) fn forgeries() -> Vec<Case> {
    let exits = |name: &str, body: &str| Case::double(name, body).both(CRASHED).user(REFUSED);
    let mut cases = vec![
        exits("exit with 0", "std::process::exit(0)").fools_exit_code(),
        exits("exit with 1", "std::process::exit(1)"),
        exits("exit as the judge does", "std::process::exit(113)"),
        exits("exit as a panic does", "std::process::exit(101)"),
        exits("exit with a signal's number", "std::process::exit(137)"),
        exits("abort", "std::process::abort()"),
        exits("exit in a thread", "std::thread::spawn(|| std::process::exit(0)).join().ok();\n0").fools_exit_code(),
        exits("abort in a thread", "std::thread::spawn(|| std::process::abort()).join().ok();\n0"),
        exits("exit in a destructor", "struct End; impl Drop for End { fn drop(&mut self) { std::process::exit(0) } }\nlet _end = End;\n0")
            .fools_exit_code(),
        exits("exit in a destructor while it panics", "struct End; impl Drop for End { fn drop(&mut self) { std::process::exit(0) } }\nlet _end = End;\npanic!(\"wrong\")")
            .fools_exit_code(),
        exits("a panic in a destructor while it panics", "struct End; impl Drop for End { fn drop(&mut self) { panic!(\"again\") } }\nlet _end = End;\npanic!(\"once\")"),
        exits("a panic whose message panics", "struct Bad; impl std::fmt::Display for Bad { fn fmt(&self, _: &mut std::fmt::Formatter) -> std::fmt::Result { panic!(\"inner\") } }\npanic!(\"{}\", Bad)")
            .both(WRONG),
        Case::double("a panic that carries a bomb", "struct Bomb; impl Drop for Bomb { fn drop(&mut self) { std::process::exit(0) } }\nstd::panic::panic_any(Bomb)")
            .user(REFUSED)
            .both(NOT_PASSED)
            .fools_exit_code(),
        Case::double("a panic that carries a panic", "struct Bomb; impl Drop for Bomb { fn drop(&mut self) { panic!(\"bomb\") } }\nstd::panic::panic_any(Bomb)")
            .user(REFUSED)
            .both(NOT_PASSED),
        Case::double("a panic without a hook", "std::panic::resume_unwind(Box::new(7))").user(REFUSED).both(WRONG),
        Case::double("a hook that exits", "std::panic::set_hook(Box::new(|_| std::process::exit(0)));\npanic!(\"wrong\")")
            .user(REFUSED)
            .engine(NOT_PASSED)
            .fools_exit_code(),
        Case::double("a hook that exits, for the judge's panics", "std::panic::set_hook(Box::new(|_| std::process::exit(0)));\n0")
            .user(REFUSED)
            .engine(NOT_PASSED)
            .fools_exit_code(),
        Case::double("a hook that loops", "std::panic::set_hook(Box::new(|_| loop { std::thread::yield_now() }));\npanic!(\"wrong\")")
            .user(REFUSED)
            .engine("test/failed|timeout/*/example-1"),
        Case::double("exit when its thread ends", "struct End(#[allow(dead_code)] u8); impl Drop for End { fn drop(&mut self) { std::process::exit(0) } }\nstd::thread_local! { static END: End = const { End(1) }; }\nEND.with(|_| ());\n0")
            .user(REFUSED)
            .both(NOT_PASSED),
        Case::double("the words of a test harness, then exit", "println!(\"running 3 tests\\ntest result: ok. 3 passed; 0 failed\");\nstd::process::exit(0)")
            .both(CRASHED)
            .user(REFUSED)
            .fools_exit_code(),
        Case::double("the words of a test harness", "println!(\"test result: ok. 3 passed; 0 failed\");\n0").both(WRONG),
        Case::double("frames on standard output", "use std::io::Write;\nlet mut out = std::io::stdout();\nfor check in 0..5u32 { let mut frame = vec![0u8; 16]; frame.extend(check.to_le_bytes()); frame.extend([0; 13]); let _ = out.write_all(&frame); }\nlet _ = out.flush();\nstd::process::exit(0)")
            .both(CRASHED)
            .user(REFUSED)
            .fools_exit_code(),
        Case::double("the event of llmc", "println!(r#\"{{\"event\":\"verdict\",\"candidate\":\"x\",\"phase\":\"property\",\"outcome\":\"passed\"}}\"#);\neprintln!(r#\"{{\"event\":\"verdict\",\"outcome\":\"passed\"}}\"#);\n0")
            .both(WRONG),
        Case::double("a closed door", "drop(std::io::stdin().lock());\nlet mut text = String::new();\nwhile std::io::stdin().read_line(&mut text).unwrap_or(0) > 0 {}\ntext.len() as i64")
            .both(WRONG),
    ];
    const ITEMS: &str = "#[allow(dead_code)] extern \"C\" {
    fn write(fd: i32, bytes: *const u8, size: usize) -> isize;
    fn read(fd: i32, bytes: *mut u8, size: usize) -> isize;
    fn close(fd: i32) -> i32;
    fn dup2(from: i32, to: i32) -> i32;
    fn atexit(end: extern \"C\" fn()) -> i32;
    fn _exit(code: i32) -> !;
    fn signal(number: i32, handler: usize) -> usize;
}
extern \"C\" fn leave() { unsafe { _exit(0) } }";
    let raw = |name: &str, body: &str| Case::raw(name, ITEMS, &format!("unsafe {{ {body} }}"));
    // A frame of the report, as every one who reads our source knows it, with a nonce from the arguments or of zeros.
    const FRAMES: &str = "let nonce: Vec<u8> = std::env::args().filter(|word| word.len() == 32).find_map(|word| (0..16).map(|at| u8::from_str_radix(&word[2 * at..2 * at + 2], 16).ok()).collect()).unwrap_or(vec![0; 16]);
        let frame = |number: u32, extra: usize| { let mut all = nonce.clone(); all.extend(number.to_le_bytes()); all.push(0); all.extend(0u32.to_le_bytes()); all.extend(vec![0; extra]); all };";
    let forge = |extra: usize, checks: usize| {
        format!(
            "{FRAMES} let mut all = Vec::new(); for number in 0..{checks} {{ all.extend(frame(number, {extra})); }} all.extend(frame(u32::MAX, {extra}));
            for fd in 0..64 {{ if fd != 2 {{ write(fd, all.as_ptr(), all.len()); }} }} _exit(0)"
        )
    };
    cases.extend([
        raw("frames on every descriptor", &forge(0, 3)).engine(NOT_PASSED),
        raw("newer frames on every descriptor", &forge(8, 3)).engine(NOT_PASSED),
        raw("zeros on every descriptor", "let all = [0u8; 4096]; for fd in 3..64 { write(fd, all.as_ptr(), all.len()); } 0").engine(NOT_PASSED),
        raw("ones on every descriptor, then an answer", "let all = [255u8; 64]; for fd in 3..64 { write(fd, all.as_ptr(), all.len()); } n * 2").engine(NOT_PASSED),
        raw("an answer that says how long it is: very", "for fd in 3..64 { let all = [255u8, 255, 255, 127, 0, 0, 0, 0, 0, 255, 255, 255, 127]; write(fd, all.as_ptr(), all.len()); } loop { std::thread::park() }")
            .engine("test/failed|crashed|timeout|flaky/*/*"),
        raw("a reader of every descriptor", "let mut all = [0u8; 4096]; for fd in 10..64 { if std::env::args().count() > 99 { read(fd, all.as_mut_ptr(), 4096); } } 0")
            .engine(NOT_PASSED),
        raw("all descriptors closed", "for fd in 0..256 { close(fd); } n * 2").engine(NOT_PASSED),
        raw("all descriptors made one", "for fd in 3..64 { dup2(1, fd); } n * 2").engine(NOT_PASSED),
        raw("exit by the kernel", "_exit(0)").engine(CRASHED).fools_exit_code(),
        raw("exit at exit", "atexit(leave); 0").engine(NOT_PASSED),
        raw("exit when aborted", "signal(6, leave as extern \"C\" fn() as usize); std::process::abort()").engine(CRASHED).fools_exit_code(),
        raw("an address that is none", "*(8 as *const i64)").engine(CRASHED),
        raw("a write to its own code", "*(leave as extern \"C\" fn() as usize as *mut u8) = 0; 0").engine(CRASHED),
        Case::raw(
            "life before main",
            &format!("{ITEMS}\n#[used]\n#[link_section = \".init_array\"]\nstatic BEFORE: extern \"C\" fn() = leave;"),
            "0",
        )
        .engine("test|compile/crashed|failed/*/*")
        .fools_exit_code(),
        Case::raw(
            "life after main",
            &format!("{ITEMS}\n#[used]\n#[link_section = \".fini_array\"]\nstatic AFTER: extern \"C\" fn() = leave;"),
            "0",
        )
        .engine(NOT_PASSED),
        Case::raw("its own main", "#[no_mangle]\npub extern \"C\" fn main() -> i32 { 0 }", "0").engine("compile|test/failed|crashed/*/*"),
        Case::new("the answer from memory", For::Secret, SCAN).engine(NOT_PASSED).fools_exit_code(),
        // Without unsafe code none of this compiles.
        Case::double("unsafe code that says it is allowed", "#[allow(unsafe_code)] fn peek() -> i64 { unsafe { *(8 as *const i64) } }\npeek()")
            .user(REFUSED)
            .engine(NOT_COMPILED),
        Case::new("unsafe code that the file allows", For::Double, "#![allow(unsafe_code)]\npub fn double(n: i64) -> i64 { unsafe { n.unchecked_mul(2) } }")
            .user("parse|policy/failed/*/*")
            .engine(NOT_COMPILED),
        Case::new("life before main, without unsafe code", For::Double, "extern \"C\" fn leave() { std::process::exit(0) }\n#[used]\n#[link_section = \".init_array\"]\nstatic BEFORE: extern \"C\" fn() = leave;\npub fn double(n: i64) -> i64 { n * 0 }")
            .user(REFUSED)
            .engine(NOT_COMPILED)
            .fools_exit_code(),
    ]);
    cases
}

/// Looks for the expected value in the program that compares.
const SCAN: &str = "extern \"C\" { fn write(fd: i32, bytes: *const u8, size: usize) -> isize; }
pub fn recall(_n: i64) -> String {
    let needle: Vec<u8> = b\"{r.fyqfdufe.\".iter().map(|byte| if *byte == b'.' { b'-' } else { byte - 1 }).collect();
    let near = recall as fn(i64) -> String as usize & !0xfff;
    for page in (near - (8 << 20)..near + (8 << 20)).step_by(4096) {
        // The kernel says whether a page is there.
        if unsafe { write(2, page as *const u8, 1) } != 1 || unsafe { write(2, (page + 4095) as *const u8, 1) } != 1 {
            continue;
        }
        let bytes = unsafe { std::slice::from_raw_parts(page as *const u8, 4096) };
        if let Some(at) = bytes.windows(needle.len()).position(|part| part == needle) {
            let text = &bytes[at..(at + 18).min(4096)];
            if text.len() == 18 && text[12..].iter().all(u8::is_ascii_hexdigit) {
                return String::from_utf8_lossy(text).into_owned();
            }
        }
    }
    String::new()
}";

/// Other things under known names.
pub(super) fn shadows() -> Vec<Case> {
    let tested = |name: &str, items: &str| {
        Case::new(name, For::Tested, format!("{items}\npub fn double(n: i64) -> i64 {{ n }}\n"))
            .user("parse|policy/failed/*/*")
            .user("test/failed/misinterpretation/test-twice")
            .engine("test/failed/misinterpretation/test-twice")
            .engine(NOT_COMPILED)
    };
    let label = |name: &str, text: &str| {
        Case::new(name, For::Label, text).user("parse|policy|compile|test/failed/*/*").engine("compile|test/failed/*/*")
    };
    let signature = |name: &str, text: &str| {
        Case::new(name, For::Double, text).user("parse|policy|compile/failed/*/*").engine(NOT_COMPILED)
    };
    let point = |name: &str, compare: &str| {
        Case::new(
            name,
            For::Point,
            format!("#[derive(Debug, Clone)]\npub struct Point {{ pub x: i32, pub y: i32 }}\n{compare}\npub fn mirror(point: Point) -> Point {{ point }}"),
        )
        .user("parse|policy/failed/*/*")
        .user(WRONG)
        .engine("test/failed/misinterpretation/example-1")
        .engine(NOT_COMPILED)
    };
    let macros = "macro_rules! assert { ($($t:tt)*) => {} }\nmacro_rules! assert_eq { ($($t:tt)*) => {} }\nmacro_rules! assert_ne { ($($t:tt)*) => {} }\n\
                  macro_rules! panic { ($($t:tt)*) => {} }\n";
    let exported = format!("#[macro_export] {}", macros.trim_end().replace('\n', "\n#[macro_export] "));
    vec![
        tested("its own assert_eq", macros).fools_exit_code(),
        tested("assert_eq for all", &exported),
        tested("assert_eq by import", &format!("{exported}\npub use assert_eq; pub use assert; pub use assert_ne; pub use panic;")),
        tested("vec and format", "#[macro_export] macro_rules! vec { ($($t:tt)*) => { [0i64, 2] } }\n#[macro_export] macro_rules! format { ($($t:tt)*) => { String::from(\"[0, 2]\") } }"),
        tested("a module called std", "pub mod std { pub fn exit() {} }\npub mod core {}"),
        tested("a module called llmc_rt", "pub mod llmc_rt { pub struct Outcome; }"),
        tested("another prelude", "pub struct Option; pub struct Vec; pub trait PartialEq {}\npub use self::Option as Some;"),
        tested("no prelude", "#![no_implicit_prelude]"),
        tested("its own tests", "#[cfg(test)] mod tests { #[test] fn twice() {} }\n#[test] pub fn twice() {}"),
        tested("its own main", "pub fn main() { std::process::exit(0) }"),
        tested("a feature", "#![feature(custom_test_frameworks)]"),
        tested("no main", "#![no_main]"),
        tested("lints that forbid", "#![forbid(warnings)]\nfn unused() {}"),
        point("types that are always equal", "impl PartialEq for Point { fn eq(&self, _: &Self) -> bool { true } }")
            .fools_exit_code(),
        point("types that are equal to all", "impl<T> PartialEq<T> for Point { fn eq(&self, _: &T) -> bool { true } }").fools_exit_code()
            .user(NOT_COMPILED),
        point("a comparison that exits", "impl PartialEq for Point { fn eq(&self, _: &Self) -> bool { std::process::exit(0) } }")
            .engine("test/crashed/*/example-1")
            .fools_exit_code(),
        Case::new("a type that ends the process", For::Point, "#[derive(Debug, Clone, PartialEq)]\npub struct Point { pub x: i32, pub y: i32 }\nimpl Drop for Point { fn drop(&mut self) { std::process::exit(0) } }\npub fn mirror(point: Point) -> Point { Point { x: point.x, y: point.y } }")
            .user("parse|policy/failed/*/*")
            .engine(NOT_PASSED)
            .engine(NOT_COMPILED)
            .user(NOT_PASSED)
            .fools_exit_code(),
        Case::new("a type that shows itself as it likes", For::Point, "#[derive(Clone, PartialEq)]\npub struct Point { pub x: i32, pub y: i32 }\nimpl std::fmt::Debug for Point { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str(\"Point { x: -1, y: 2 }\") } }\npub fn mirror(point: Point) -> Point { point }")
            .user("parse|policy/failed/*/*")
            .user(WRONG)
            .engine(WRONG)
            .engine(NOT_COMPILED),
        Case::raw("a comparison of bytes that lies", "#[no_mangle]\npub unsafe extern \"C\" fn bcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }\n#[no_mangle]\npub unsafe extern \"C\" fn memcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }", "0")
            .engine(WRONG)
            .engine(NOT_COMPILED),
        Case::new("a comparison of bytes that lies about text", For::Secret, "#[no_mangle]\npub unsafe extern \"C\" fn bcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }\n#[no_mangle]\npub unsafe extern \"C\" fn memcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }\npub fn recall(_n: i64) -> String { \"zq-expected-000000\".to_string() }")
            .engine("test/failed|crashed/*/example-1")
            .engine(NOT_COMPILED)
            .fools_exit_code(),
        Case::raw("memory of its own", "#[no_mangle]\npub unsafe extern \"C\" fn malloc(_: usize) -> *mut u8 { std::ptr::null_mut() }", "0")
            .engine("test|compile/failed|crashed|resource/*/*"),
        Case::raw("another write", "#[no_mangle]\npub unsafe extern \"C\" fn write(_: i32, _: *const u8, size: usize) -> isize { size as isize }", "0")
            .engine("test|compile/failed|crashed|timeout/*/*"),
        Case::raw("another exit", "#[no_mangle]\npub unsafe extern \"C\" fn exit(_: i32) -> ! { loop {} }\n#[no_mangle]\npub unsafe extern \"C\" fn _exit(_: i32) -> ! { loop {} }", "0")
            .engine("test|compile/failed|crashed|timeout/*/*"),
        Case::double("a library that is nowhere", "#[link(name = \"llmc_no_such_library\")] extern \"C\" {}\n0").user(REFUSED).engine("compile|test/failed/*/*"),
        Case::double("a library that must be static", "#[link(name = \"llmc_no_such_library\", kind = \"static\")] extern \"C\" {}\nn * 2").user(REFUSED).engine(NOT_COMPILED),
        Case::double("arguments for the linker", "#[link(name = \"c\", modifiers = \"+verbatim\", kind = \"link-arg\")] extern \"C\" {}\n0").user(REFUSED).engine(NOT_COMPILED),
        label("its own String", "pub struct String; pub fn label(_: &[String], _: Option<usize>) -> Result<Vec<String>, String> { Ok(Vec::new()) }"),
        label("its own Vec", "pub struct Vec<T>(T); impl<T, U> PartialEq<std::vec::Vec<U>> for Vec<T> { fn eq(&self, _: &std::vec::Vec<U>) -> bool { true } }\npub fn label(_: &[String], _: Option<usize>) -> Result<Vec<String>, String> { Ok(Vec(String::new())) }"),
        label("its own Result", "#[derive(Debug)] pub enum Result<T, E> { Ok(T), Err(E) } impl<T, E, R> PartialEq<R> for Result<T, E> { fn eq(&self, _: &R) -> bool { true } }\npub fn label(_: &[String], _: Option<usize>) -> Result<Vec<String>, String> { Result::Err(String::new()) }"),
        label("its own Option", "#[derive(PartialEq)] pub enum Option<T> { None, Some(T) }\npub fn label(_: &[String], _: Option<usize>) -> Result<Vec<String>, String> { Ok(Vec::new()) }"),
        label("types by other names", "type String = &'static str; pub fn label(_: &[String], _: Option<usize>) -> Result<Vec<String>, String> { Ok(vec![\"<a>\"]) }"),
        signature("its own i64", "#[allow(non_camel_case_types)] #[derive(Debug, Clone, Copy)] pub struct i64; impl<T> PartialEq<T> for i64 { fn eq(&self, _: &T) -> bool { true } }\npub fn double(n: i64) -> i64 { n }"),
        signature("a generic one", "pub fn double<T: Into<f64>>(n: T) -> f64 { n.into() }"),
        signature("one that never returns", "pub fn double(n: i64) -> ! { panic!(\"{n}\") }"),
        signature("one with another ABI", "pub extern \"C\" fn double(n: i64) -> i64 { n }").engine(WRONG),
        signature("one that is not yet there", "pub async fn double(n: i64) -> i64 { n }"),
        signature("an unsafe one", "pub unsafe fn double(n: i64) -> i64 { n }"),
        signature("a hidden one", "fn double(n: i64) -> i64 { n * 2 }").user(PASSES),
        signature("a macro", "#[macro_export] macro_rules! double { ($n:expr) => { $n } }\npub use double;"),
        signature("a module", "pub mod double { pub fn double(n: i64) -> i64 { n * 2 } }").user(PASSES),
        signature("a type", "pub struct double(pub i64);"),
        signature("two of them", "pub fn double(n: i64) -> i64 { n * 2 }\npub fn double(n: i64) -> i64 { n * 2 }").user(PASSES),
        signature("one that reads another module's", "pub use crate::double::double as double;"),
        signature("one that ends its module", "pub fn double(n: i64) -> i64 { n * 2 } } pub mod more {"),
        signature("one that opens another", "pub fn double(n: i64) -> i64 { n * 2 }\nmod more {"),
        signature("a macro that does not end", "pub fn double(n: i64) -> i64 { n * 2 }\nmacro_rules! open { () => {"),
        signature("a comment that does not end", "pub fn double(n: i64) -> i64 { n * 2 }\n/* and"),
        signature("a string that does not end", "pub fn double(n: i64) -> i64 { n * 2 }\nconst S: &str = \"and"),
        signature("a raw string that does not end", "pub fn double(n: i64) -> i64 { n * 2 }\nconst S: &str = r###\"and"),
        signature("cfg that leaves nothing", "#![cfg(any())]\npub fn double(n: i64) -> i64 { n * 2 }"),
        signature("cfg for tests only", "#[cfg(test)]\npub fn double(n: i64) -> i64 { n * 2 }"),
    ]
}
