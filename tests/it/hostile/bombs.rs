//! Candidates that use things up: the compiler's time, stack and memory, then their own.

use super::case::{Case, For, PASSES};

/// Refused before it is compiled, for its form or for what it holds.
const REFUSED: &str = "parse|policy/failed/format-violation|policy-violation/*";
/// The compiler said no, gave up, or was stopped: any of these is the truth, and none of them a pass.
const STOPPED: &str = "parse|policy|compile/failed|timeout|crashed|resource/*/*";
const TIMEOUT: &str = "compile/timeout/resource/*";
const USED_UP: &str = "compile/timeout|resource|crashed/resource/*";

/// Bombs for rustc.
pub(super) fn compiler() -> Vec<Case> {
    let item = |name: &str, items: &str, body: &str| {
        let case = Case::double(name, body);
        Case { source: format!("{items}\n{}", case.source), ..case }
    };
    let errors = |name: &str, count: usize| {
        let functions = (0..count).map(|at| format!("fn e{at}() -> u8 {{ missing_{at}(undefined{at}) }}\n"));
        item(name, &functions.collect::<String>(), "n * 2")
    };
    vec![
        item(
            "an endless constant",
            "#[allow(long_running_const_eval)]\nconst END: u64 = { let mut n = 0u64; while n < u64::MAX { n += 1; } n };",
            "n * 2 + (END as i64) * 0",
        )
        .both(TIMEOUT),
        item(
            "an endless constant function",
            "#![allow(long_running_const_eval)]\nconst fn spin(n: u64) -> u64 { let mut at = n; loop { at = at.wrapping_add(1); if at == n { return at; } } }\nstatic END: u64 = spin(3);",
            "n * 2 + (END as i64) * 0",
        )
        .user(REFUSED)
        .user("compile/failed/miscompile/long_running_const_eval")
        .user(TIMEOUT)
        .engine(TIMEOUT),
        item(
            "types without end",
            "fn grow<T>(n: i64, value: T) -> i64 { if n == 0 { 0 } else { grow(n - 1, (value,)) } }",
            "n * 2 + grow(3, ())",
        )
        .user("policy|compile/failed/*/*")
        .engine("compile/failed|timeout|resource/*/*"),
        item(
            "types that double",
            "fn twice<T: Copy>(value: T) -> (T, T) { (value, value) }",
            &format!("let v = 1u8;\n{}\nn * 2 + (std::mem::size_of_val(&v) as i64) * 0", "let v = twice(v);\n".repeat(45)),
        )
        .both("compile/failed|timeout|resource|crashed/*/*"),
        item(
            "functions for 2^30 types",
            &{
                let mut text = String::from("struct A<T>(T); struct B<T>(T); fn f0<T>() -> i64 { 1 }\n");
                for at in 1..=30 {
                    let below = at - 1;
                    text.push_str(&format!("fn f{at}<T>() -> i64 {{ f{below}::<A<T>>() ^ f{below}::<B<T>>() }}\n"));
                }
                text
            },
            "n * 2 + f30::<u8>() * 0",
        )
        .both(USED_UP)
        .both("compile/failed/miscompile/*"),
        item(
            "a trait that is looked for without end",
            "trait Deep { const N: i64; } struct W<T>(T); impl<T> Deep for W<T> where W<W<T>>: Deep { const N: i64 = 1; }",
            "n * 2 + <W<u8> as Deep>::N * 0",
        )
        .both("compile/failed/*/*"),
        item(
            "a macro that doubles",
            "macro_rules! bomb { ($($t:tt)*) => { bomb!($($t)* $($t)*) } }",
            "bomb!(1 +); n * 2",
        )
        .both(USED_UP)
        .both("compile|policy/failed/*/*"),
        item(
            "macros of macros",
            &{
                let mut text = String::from("macro_rules! m0 { () => { 1i64 } }\n");
                for at in 1..=40 {
                    let below = at - 1;
                    text.push_str(&format!("macro_rules! m{at} {{ () => {{ m{below}!() + m{below}!() }} }}\n"));
                }
                text
            },
            "n * 2 + m40!() * 0",
        )
        .both(USED_UP)
        .both("compile|policy/failed/*/*"),
        item(
            "a text that doubles",
            &{
                let mut text = String::from("macro_rules! t0 { () => { \"0123456789abcdef\" } }\n");
                for at in 1..=40 {
                    let below = at - 1;
                    text.push_str(&format!("macro_rules! t{at} {{ () => {{ concat!(t{below}!(), t{below}!()) }} }}\n"));
                }
                text
            },
            "n * 2 + (t40!().len() as i64) * 0",
        )
        .both(USED_UP)
        .both("compile|policy/failed/*/*"),
        item("a static of a terabyte", "static HUGE: [u8; 1 << 40] = [0; 1 << 40];", "n * 2 + i64::from(HUGE[n as usize & 7])")
            .both(STOPPED),
        item("a static of two gigabytes", "static HUGE: [u64; 1 << 28] = [7; 1 << 28];", "n * 2 + (HUGE[n as usize & 7] as i64) * 0")
            .both(STOPPED),
        item("a constant of four gigabytes", "const HUGE: [[u64; 1 << 15]; 1 << 14] = [[3; 1 << 15]; 1 << 14];", "n * 2 + (HUGE[3][n as usize & 7] as i64) * 0")
            .both(STOPPED),
        Case::double("a local of a terabyte", "let all = [0u8; 1 << 40];\nn * 2 + i64::from(all[n as usize & 7])")
            .both(STOPPED)
            .both("test/crashed|resource/*/example-1"),
        errors("a thousand errors", 500).user(REFUSED).both("compile/failed/hallucination/E0425"),
        // rustc says nothing before it has looked for names like each of those that are missing.
        errors("three thousand errors", 1500).user(REFUSED).both("compile/failed/hallucination/E0425").both(TIMEOUT),
        item("a thousand warnings", &(0..1500).map(|at| format!("fn w{at}() {{ let unused{at} = {at}; }}\n")).collect::<String>(), "n * 2")
            .user(REFUSED)
            .user(PASSES)
            .engine(PASSES)
            .engine("compile/resource/resource/*"),
        item("a message without end", "", &format!("let x: u8 = \"{}\";\nn", "error ".repeat(15_000)))
            .user(REFUSED)
            .user("compile/failed/*/E0308")
            .engine("parse|compile/failed/*/*"),
        item("text that is no text", "", "let \u{202e}a = 1; n * 2").user(REFUSED).engine("compile|parse/failed/*/*"),
        Case::new("nothing", For::Double, "").both("parse|compile/failed/*/*"),
        Case::new("zeros", For::Double, "\0\0\0\0").both("parse|compile/failed/*/*"),
        Case::new("too long", For::Double, format!("pub fn double(n: i64) -> i64 {{ n * 2 }}\n{}", "// long\n".repeat(200_000)))
            .user(REFUSED)
            .engine("parse|compile/*/*/*")
            .engine(PASSES),
    ]
}

/// Texts that are too deep or too long for whoever reads them.
pub(super) fn deep() -> Vec<Case> {
    // Some of these are long and not deep: those may well be right.
    let case = |(name, text)| Case::new(name, For::Double, text).both(STOPPED).both(PASSES);
    nestings(10_000).into_iter().map(case).collect()
}

/// Texts that are deep or long where a parser, a compiler or a destructor may recurse.
pub(super) fn nestings(depth: usize) -> Vec<(String, String)> {
    let nested =
        |open: &str, middle: &str, close: &str| format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
    let body = |text: &str| format!("pub fn double(n: i64) -> i64 {{ let _x = {text}; n * 2 }}");
    let typed = |text: &str| format!("pub fn double(n: i64) -> i64 {{ let _x: Option<{text}> = None; n * 2 }}");
    let items = |text: &str| format!("{text}\npub fn double(n: i64) -> i64 {{ n * 2 }}");
    let texts = [
        ("parentheses", body(&nested("(", "1", ")"))),
        ("blocks", body(&nested("{", "1", "}"))),
        ("arrays", body(&nested("[", "1", "]"))),
        ("tuples", body(&nested("(", "1", ",)"))),
        ("conditions", body(&nested("if n > 0 {", "1", "} else { 2 }"))),
        ("loops", body(&nested("loop { break ", "1", "}"))),
        ("matches", body(&nested("match n { _ => ", "1", "}"))),
        ("else ifs", body(&format!("{} {{ 3 }}", "if n == 1 { 2 } else ".repeat(depth)))),
        ("a sum", body(&vec!["1"; depth * 2].join("+"))),
        ("a comparison of sums", body(&format!("({}) == 1", vec!["n"; depth].join("^")))),
        ("ands", body(&vec!["true"; depth].join("&&"))),
        ("minuses", body(&format!("{}1", "-".repeat(depth)))),
        ("nots", body(&format!("{}true", "!".repeat(depth)))),
        ("borrows", body(&format!("{}1", "&".repeat(depth)))),
        ("dereferences", body(&format!("{}n", "*".repeat(depth)))),
        ("casts", body(&format!("1{}", " as i64".repeat(depth)))),
        ("questions", body(&format!("Some(1){}", "?".repeat(depth)))),
        ("methods", body(&format!("1i64{}", ".abs()".repeat(depth)))),
        ("fields", body(&format!("n{}", ".a".repeat(depth)))),
        ("calls", body(&nested("f(", "1", ")"))),
        ("calls of calls", body(&format!("f{}", "()".repeat(depth)))),
        ("indices", body(&format!("n{}", "[0]".repeat(depth)))),
        ("assignments", body(&format!("{}1", "a = ".repeat(depth)))),
        ("ranges", body(&format!("{}1", "..".repeat(depth)))),
        ("returns", body(&format!("{}1", "return ".repeat(depth)))),
        ("closures", body(&format!("{}1", "|| ".repeat(depth)))),
        ("closures that move", body(&format!("{}1", "move |_: u8| ".repeat(depth)))),
        ("async blocks", body(&nested("async {", "1", "}"))),
        ("macros", body(&nested("vec![", "1", "]"))),
        ("labels", body(&nested("'a: {", "1", "}"))),
        ("generics", typed(&nested("Option<", "u8", ">"))),
        ("types in brackets", typed(&nested("[", "u8", "]"))),
        ("types in parentheses", typed(&nested("(", "u8", ")"))),
        ("references", typed(&format!("{}u8", "&'static ".repeat(depth)))),
        ("pointers", typed(&format!("{}u8", "*const ".repeat(depth)))),
        ("functions of functions", typed(&nested("fn(", "u8", ")"))),
        ("functions that give functions", typed(&format!("{}u8", "fn() -> ".repeat(depth)))),
        ("traits of traits", typed(&nested("Box<dyn Fn(", "u8", ")>"))),
        ("qualified paths", typed(&nested("<", "u8", " as T>::A"))),
        ("a path", typed(&vec!["a"; depth].join("::"))),
        ("bounds", items(&format!("fn f<T: {}>() {{}}", vec!["Copy"; depth].join("+")))),
        ("modules", items(&nested("mod a {", "", "}"))),
        ("functions in functions", items(&nested("fn f() {", "", "}"))),
        ("constants in constants", items(&nested("const _: u8 = {", "", "0 };"))),
        ("imports", items(&format!("use {};", nested("std::{", "vec", "}")))),
        ("attributes", items(&format!("{}struct S;", "#[allow(dead_code)]".repeat(depth)))),
        (
            "attributes in attributes",
            items(&format!("#[{}] struct S;", nested("cfg_attr(all(),", "allow(dead_code)", ")"))),
        ),
        ("comments", items(&nested("/*", "", "*/"))),
        ("an open comment", items(&"/*".repeat(depth))),
        ("open brackets", items(&"[".repeat(depth))),
        ("closed brackets", items(&"]".repeat(depth))),
        ("a raw string's fence", items(&format!("const S: &str = r{0}\"\"{0};", "#".repeat(250)))),
        ("patterns", items(&format!("fn f({}: u8) {{}}", nested("(", "a", ")")))),
        ("pattern alternatives", body(&format!("matches!(n, {})", vec!["1"; depth].join("|")))),
        ("patterns that bind", body(&format!("match n {{ {}_ => 1 }}", "a @ ".repeat(depth)))),
        (
            "arms",
            body(&format!(
                "match n {{ {} _ => 0 }}",
                (0..depth).map(|at| format!("{at} => {at},")).collect::<String>()
            )),
        ),
        ("statements", body(&format!("{{ {} 1 }}", "1;".repeat(depth)))),
        ("lets", body(&format!("{{ {} 1 }}", "let x = n;".repeat(depth)))),
        ("let elses", body(&nested("{ let Some(_y) = Some(1) else { return ", "1", "}; 1 }"))),
        ("a string", body(&format!("{:?}", "s".repeat(depth * 10)))),
        ("escapes", body(&format!("\"{}\"", "\\u{1f600}".repeat(depth)))),
        ("digits", body(&"9".repeat(depth * 10))),
        ("a name", body(&"a".repeat(depth * 10))),
        ("formatting", body(&format!("format!(\"{}\"{})", "{}".repeat(depth / 4), ",n".repeat(depth / 4)))),
        (
            "lifetimes",
            items(&format!("fn f<{}>() {{}}", (0..depth / 2).map(|at| format!("'a{at},")).collect::<String>())),
        ),
        (
            "fields of a struct",
            items(&format!("struct S {{ {} }}", (0..depth / 2).map(|at| format!("a{at}: u8,")).collect::<String>())),
        ),
        (
            "variants that derive",
            items(&format!(
                "#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)] enum E {{ {} }}",
                (0..500).map(|at| format!("A{at}(u8),")).collect::<String>()
            )),
        ),
    ];
    texts.into_iter().map(|(name, text)| (format!("{depth} {name}"), text)).collect()
}

/// Bombs for its own process.
pub(super) fn process() -> Vec<Case> {
    const TIMEOUT: &str = "test/timeout/resource/example-1";
    const RESOURCE: &str = "test/resource/resource/example-1";
    const OVERFLOW: &str = "test/crashed/resource/example-1";
    let text = |name: &str, body: &str| {
        Case::new(
            name,
            For::Label,
            format!(
                "pub fn label(words: &[String], limit: Option<usize>) -> Result<Vec<String>, String> {{ let _ = (words, limit); {body} }}"
            ),
        )
    };
    vec![
        Case::double("a loop", "loop {}").both(TIMEOUT),
        Case::double("a loop that yields", "loop { std::thread::yield_now() }").both(TIMEOUT),
        Case::double("a loop at the end", "if n == -21 { loop {} }\nn * 2").both("property/timeout/resource/property-twice"),
        Case::double("a loop in the property", "if n > 100 { loop {} }\nn * 2").both("property/timeout/resource/property-twice"),
        Case::double("a sleep", "std::thread::sleep(std::time::Duration::from_secs(600)); n * 2").both(TIMEOUT),
        Case::double("a lock that it holds itself", "let lock = std::sync::Mutex::new(n); let held = lock.lock().unwrap(); let again = *lock.lock().unwrap(); *held + again")
            .both("test/timeout|failed|crashed/*/example-1"),
        Case::double("a process that stops itself", "unsafe { raise(19); }\nn * 2").engine("compile/failed/miscompile/*"),
        Case::raw("a process that stops itself, unsafely", "extern \"C\" { fn raise(signal: i32) -> i32; }", "unsafe { raise(19); }\nn * 2")
            .engine("test/timeout|crashed/*/example-1"),
        Case::raw("a loop that is deaf to signals", "extern \"C\" { fn signal(number: i32, handler: usize) -> usize; }", "unsafe { for number in [1, 2, 3, 15, 24, 25] { signal(number, 1); } }\nloop {}")
            .engine(TIMEOUT),
        Case::double("threads without end", "let mut all = Vec::new();\nloop { match std::thread::Builder::new().stack_size(16 << 10).spawn(|| std::thread::park()) { Ok(thread) => all.push(thread), Err(_) => panic!(\"no more than {}\", all.len() / 1000) } }")
            .both("test/failed|resource|crashed|timeout/*/example-1"),
        Case::double("threads that loop", "for _ in 0..8 { std::thread::spawn(|| loop { std::hint::spin_loop() }); }\nloop {}").both(TIMEOUT),
        Case::double("threads that outlive the answer", "std::thread::spawn(|| loop { std::hint::spin_loop() });\nn * 2")
            .both("*/passed|timeout|failed|resource|crashed|flaky/*/*"),
        Case::double("a thread that waits for the end", "std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(600)));\nn * 2")
            .both("*/passed|timeout|failed|resource|crashed|flaky/*/*"),
        Case::double("memory by pieces", "let mut all: Vec<Vec<u8>> = Vec::new();\nloop { all.push(vec![1; 1 << 20]); }").both(RESOURCE),
        Case::double("memory at once", "let all = vec![1u8; 1 << 40];\nall.len() as i64 + n").both(RESOURCE),
        Case::double("memory that leaks", "loop { Box::leak(vec![n; 1 << 16].into_boxed_slice()); }").both(RESOURCE),
        Case::double("memory that is asked for nicely", "let mut all: Vec<u8> = Vec::new();\nlet refused = all.try_reserve(1 << 40).is_err();\nif refused { n * 2 } else { 0 }")
            .both(PASSES),
        Case::double("more memory than there are numbers", "let all: Vec<u64> = Vec::with_capacity(usize::MAX / 4);\nall.len() as i64 + n")
            .both("test/failed|resource/*/example-1"),
        Case::double("many maps", "let mut all = Vec::new();\nloop { let mut block: Vec<u8> = Vec::with_capacity(1 << 18); block.push(1); all.push(block); }")
            .both(RESOURCE),
        Case::raw("maps without end", "extern \"C\" { fn mmap(at: *mut u8, size: usize, protection: i32, flags: i32, fd: i32, offset: i64) -> *mut u8; }", "loop { unsafe { if mmap(std::ptr::null_mut(), 4096, 3, 0x22, -1, 0) as isize == -1 { panic!(\"no more\") } } }")
            .engine("test/failed|resource|crashed|timeout/*/example-1"),
        Case::double("a stack without end", "fn deep(n: i64) -> i64 { if n == i64::MIN { 0 } else { 1 + deep(n - 1) } }\ndeep(n)").both(OVERFLOW),
        Case::double("a stack without end in a thread", "fn deep(n: i64) -> i64 { if n == i64::MIN { 0 } else { 1 + deep(n - 1) } }\nstd::thread::spawn(move || deep(n)).join().unwrap()")
            .both(OVERFLOW),
        Case::double("a frame larger than the stack", "let all = [n; 1 << 22];\nall.iter().map(|x| x / (1 << 21)).sum()").both("test/crashed|failed/*/example-1"),
        Case::double("a list whose end takes the stack", "struct Node(Option<Box<Node>>); let mut list = Node(None);\nfor _ in 0..200_000 { list = Node(Some(Box::new(list))); }\ndrop(list); n * 2")
            .both(OVERFLOW),
        Case::double("words without end", "loop { println!(\"{}\", \"x\".repeat(1 << 16)); }").both(RESOURCE),
        Case::double("complaints without end", "loop { eprintln!(\"{}\", \"x\".repeat(1 << 16)); }").both(RESOURCE),
        Case::double("small words without end", "loop { print!(\"x\"); eprint!(\"y\"); }").both("test/resource|timeout/resource/example-1"),
        Case::double("a panic of a hundred megabytes", "panic!(\"{}\", \"x\".repeat(100 << 20))").both("test/failed|resource|crashed/*/example-1"),
        Case::double("a file without end", "use std::io::Write; match std::fs::File::create(\"@DROP@-endless\") { Ok(mut file) => loop { if file.write_all(&[0; 65536]).is_err() { escaped(\"to the disk\") } }, Err(_) => n * 2 }")
            .user("policy/failed/policy-violation/policy-path")
            .engine(PASSES),
        text("an answer of gigabytes", "Ok(vec![\"x\".repeat(300 << 20)])").both("test/failed|resource|crashed/*/example-1"),
        text("an answer of many parts", "Ok(vec![String::new(); 12 << 20])").both("test/failed|resource|crashed/*/example-1"),
        text("an error of megabytes", "Err(\"x\".repeat(64 << 20))").both("test/failed|resource|crashed/*/example-1"),
    ]
}
