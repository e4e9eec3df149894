//! Tells the linker, and the embedded model, where llama.cpp's shared libraries are. Does nothing without the
//! feature `embedded`, and never builds or fetches anything itself.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Kernels that are left out. Intel's tile instructions (AMX) die of an illegal instruction in some virtual machines
/// that announce them, and llama.cpp believes the announcement.
const LEFT_OUT: &[&str] = &["sapphirerapids"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_EMBEDDED").is_none() {
        return;
    }
    let Ok(root) = env::var("DEP_LLAMA_ROOT") else {
        println!("cargo:warning=llama.cpp's build does not say where its libraries are");
        return;
    };
    let libraries = Path::new(&root).join("lib");
    let backends = env::var("DEP_LLAMA_BACKENDS_DIR").unwrap_or_else(|_| format!("{root}/backends"));
    match link_kernels(Path::new(&backends)) {
        Ok(folder) => println!("cargo:rustc-env=LLMC_BACKENDS_DIR={}", folder.display()),
        Err(error) => {
            println!("cargo:warning=can't gather llama.cpp's kernels from {backends}: {error}");
            println!("cargo:rustc-env=LLMC_BACKENDS_DIR={backends}");
        }
    }

    let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let origin = match target.as_str() {
        "windows" => return,
        "macos" => "@loader_path",
        _ => "$ORIGIN",
    };
    if target == "linux" {
        // The old kind of search path also holds for the libraries that our libraries need.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
    }
    // An installed binary first, so that libraries and kernels come from the same place; the build's folder last.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}/../lib/llmc");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}");
}

/// A folder of our own with all kernels that are safe to try, linked or copied from llama.cpp's.
fn link_kernels(backends: &Path) -> io::Result<PathBuf> {
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let folder = Path::new(&out).join("backends");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(backends)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name.to_string_lossy().contains(left_out)) {
            continue;
        }
        let link = folder.join(&name);
        fs::hard_link(entry.path(), &link).or_else(|_| fs::copy(entry.path(), &link).map(|_| ()))?;
    }
    Ok(folder)
}
