//! Compiles fasttrace.c, which `python -m fasttrace amalgamate fasttrace --only traces,info` has written.

use std::{env, process::Command};

fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn tool(name: &str, usual: &str) -> String {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).unwrap_or_else(|_| usual.into())
}

fn main() {
    let (folder, out) = (tool("FASTTRACE", "fasttrace"), env::var("OUT_DIR").unwrap());
    let (object, library) = (
        format!("{out}/fasttrace.o"),
        format!("{out}/libfasttrace.a"),
    );
    println!("cargo:rerun-if-changed={folder}/fasttrace.c");
    let flags = [
        "-O3",
        "-std=c99",
        "-ffp-contract=off",
        "-fPIC",
        "-c",
        "-o",
        &object,
    ];
    run(Command::new(tool("CC", "cc"))
        .args(flags)
        .arg(format!("{folder}/fasttrace.c")));
    run(Command::new(tool("AR", "ar")).args(["crs", &library, &object]));
    println!("cargo:rustc-link-search=native={out}");
    println!("cargo:rustc-link-lib=static=fasttrace");
    println!("cargo:rustc-link-lib=m");
}
