//! The sandbox, with real processes and the real rustc.

use std::path::{Path, PathBuf};

use llmc::sandbox::{self, Ending, Job, Limits, Role};
use llmc::toolchain::{Compile, Compiled, CrateType, Toolchain};

fn compile(folder: &Path, source: &str) -> Compiled {
    let out = folder.join("out");
    std::fs::create_dir_all(&out).unwrap();
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let root = folder.join("src/main.rs");
    std::fs::write(&root, source).unwrap();
    let compile = Compile {
        crate_name: "candidate".into(),
        crate_type: CrateType::Bin,
        root,
        out,
        externs: Vec::new(),
        search: Vec::new(),
        metadata_only: false,
        forbid_unsafe: false,
        limits: Limits::COMPILE,
    };
    Toolchain::find(None).unwrap().compile(&compile).unwrap()
}

fn job(program: PathBuf) -> Job {
    Job {
        role: Role::Run,
        directory: program.parent().unwrap().into(),
        program,
        arguments: Vec::new(),
        environment: Vec::new(),
        readable: Vec::new(),
        writable: Vec::new(),
        input: b"hello".into(),
        limits: Limits::RUN,
    }
}

#[test]
fn an_honest_program_compiles_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let compiled = compile(
        folder.path(),
        "fn main() { let mut s = String::new(); std::io::stdin().read_line(&mut s).unwrap(); println!(\"{s}!\"); }",
    );
    assert_eq!(compiled.ending, Ending::Exited(0), "{compiled:?}");
    let finished = sandbox::run(&job(compiled.artifact.unwrap())).unwrap();
    assert_eq!(finished.ending, Ending::Exited(0), "{finished:?}");
    assert_eq!(finished.stdout, b"hello!\n");
}
